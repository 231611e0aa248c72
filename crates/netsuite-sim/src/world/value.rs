//! One field's value: from JSON, to JSON, to and from a column, and when two are the same.

use std::collections::BTreeSet;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::{Offset, TimeZone};
use rusqlite::types::{Value as Column, ValueRef};
use rust_decimal::prelude::{FromPrimitive, ToPrimitive};
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::Value as Json;

use super::Refusal;
use crate::catalog::{Field, Kind};

/// Marks a moment in a text column, so that SuiteQL knows a date from a text that looks like one.
pub(crate) const MOMENT_MARK: char = '\u{1}';
/// Marks a wall-clock time without zone; only SuiteQL expressions have it.
pub(crate) const WALL_MARK: char = '\u{2}';

const MAX_DIGITS: usize = 15;
const MAX_OPTIONS: usize = 500;
const MAX_OPTION_CHARS: usize = 100;

/// A field's value.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) enum Value {
    #[default]
    Null,
    Text(String),
    Bool(bool),
    Integer(i64),
    Decimal(Decimal),
    Date(Date),
    Moment(Timestamp),
    Reference(i64),
    Set(BTreeSet<String>),
}

impl Value {
    /// Reads natural JSON for a field.
    ///
    /// # Errors
    /// A refusal that names the field, when the JSON does not fit its kind.
    pub(crate) fn from_json(field: &Field, json: &Json) -> Result<Self, Refusal> {
        if json.is_null() {
            return Ok(Self::empty(field.kind));
        }
        match field.kind {
            Kind::Text(max) => text(field, json, max),
            Kind::Bool => match json {
                Json::Bool(flag) => Ok(Self::Bool(*flag)),
                Json::String(word) if word.eq_ignore_ascii_case("t") => Ok(Self::Bool(true)),
                Json::String(word) if word.eq_ignore_ascii_case("f") => Ok(Self::Bool(false)),
                _ => Err(Refusal::invalid_value(field, json)),
            },
            Kind::Integer => integer(field, json),
            Kind::Decimal(scale) => decimal(field, json, scale),
            Kind::Date => match json {
                Json::String(word) if word.is_empty() => Ok(Self::Null),
                Json::String(word) => {
                    let date = word.parse::<Date>().map_err(|_| Refusal::invalid_value(field, json))?;
                    if (1900..=2999).contains(&date.year()) {
                        Ok(Self::Date(date))
                    } else {
                        Err(Refusal::invalid_value(field, json))
                    }
                }
                _ => Err(Refusal::invalid_value(field, json)),
            },
            Kind::Moment => match json {
                Json::String(word) => {
                    word.parse::<Timestamp>().map(Self::Moment).map_err(|_| Refusal::invalid_value(field, json))
                }
                _ => Err(Refusal::invalid_value(field, json)),
            },
            Kind::Reference(_) => reference(field, json),
            Kind::MultiSelect => options(field, json),
        }
    }

    /// What an empty field holds.
    pub(crate) fn empty(kind: Kind) -> Self {
        match kind {
            Kind::Bool => Self::Bool(false),
            Kind::MultiSelect => Self::Set(BTreeSet::new()),
            Kind::Text(_) | Kind::Integer | Kind::Decimal(_) | Kind::Date | Kind::Moment | Kind::Reference(_) => {
                Self::Null
            }
        }
    }

    /// Whether a required field holding this would be complained about.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Set(options) => options.is_empty(),
            Self::Text(_)
            | Self::Bool(_)
            | Self::Integer(_)
            | Self::Decimal(_)
            | Self::Date(_)
            | Self::Moment(_)
            | Self::Reference(_) => false,
        }
    }

    /// Natural JSON: booleans, numbers, text; references and options as id strings.
    pub(crate) fn to_json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Text(text) => Json::from(text.as_str()),
            Self::Bool(flag) => Json::from(*flag),
            Self::Integer(number) => Json::from(*number),
            Self::Decimal(number) => number_json(*number),
            Self::Date(date) => Json::from(date.to_string()),
            Self::Moment(moment) => Json::from(iso(*moment)),
            Self::Reference(id) => Json::from(id.to_string()),
            Self::Set(options) => sorted(options).into_iter().map(Json::from).collect(),
        }
    }

    /// The text of a system note; empty values have none.
    pub(crate) fn to_note(&self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Set(options) if options.is_empty() => None,
            Self::Set(options) => Some(sorted(options).join(", ")),
            Self::Bool(flag) => Some(if *flag { "T" } else { "F" }.to_owned()),
            Self::Text(text) => Some(text.clone()),
            Self::Decimal(number) => Some(number.normalize().to_string()),
            Self::Integer(_) | Self::Date(_) | Self::Moment(_) | Self::Reference(_) => {
                Some(self.to_json().as_str().map_or_else(|| self.to_json().to_string(), str::to_owned))
            }
        }
    }

    /// The column's content.
    pub(crate) fn to_column(&self, zone: &TimeZone) -> Column {
        match self {
            Self::Null => Column::Null,
            Self::Text(text) => Column::Text(text.clone()),
            Self::Bool(flag) => Column::Text(if *flag { "T" } else { "F" }.to_owned()),
            Self::Integer(number) | Self::Reference(number) => Column::Integer(*number),
            Self::Decimal(number) => match number.normalize() {
                whole if whole.scale() == 0 => whole.to_i64().map_or(Column::Null, Column::Integer),
                part => part.to_f64().map_or(Column::Null, Column::Real),
            },
            Self::Date(date) => {
                let start = date.to_zoned(zone.clone()).map(|zoned| zoned.timestamp());
                start.map_or(Column::Null, |moment| Column::Text(moment_column(moment)))
            }
            Self::Moment(moment) => Column::Text(moment_column(*moment)),
            Self::Set(options) if options.is_empty() => Column::Null,
            Self::Set(options) => Column::Text(sorted(options).join(", ")),
        }
    }

    /// Reads a column back; what does not fit the kind is empty, as columns are only written by [`Value::to_column`].
    pub(crate) fn from_column(kind: Kind, column: ValueRef<'_>, zone: &TimeZone) -> Self {
        let text = || column.as_str().ok();
        match kind {
            Kind::Text(_) => text().map_or(Self::Null, |text| Self::Text(text.to_owned())),
            Kind::Bool => Self::Bool(text() == Some("T")),
            Kind::Integer => column.as_i64().map_or(Self::Null, Self::Integer),
            Kind::Reference(_) => column.as_i64().map_or(Self::Null, Self::Reference),
            Kind::Decimal(_) => match column {
                ValueRef::Integer(number) => Self::Decimal(Decimal::from(number)),
                ValueRef::Real(number) => Decimal::from_f64(number).map_or(Self::Null, Self::Decimal),
                ValueRef::Null | ValueRef::Text(_) | ValueRef::Blob(_) => Self::Null,
            },
            Kind::Date => text()
                .and_then(moment_of_column)
                .map_or(Self::Null, |moment| Self::Date(moment.to_zoned(zone.clone()).date())),
            Kind::Moment => text().and_then(moment_of_column).map_or(Self::Null, Self::Moment),
            Kind::MultiSelect => {
                let options = text().unwrap_or_default().split(", ").filter(|option| !option.is_empty());
                Self::Set(options.map(str::to_owned).collect())
            }
        }
    }

    /// Whether two values are the same to NetSuite: numbers by amount, sets as sets, empty as null.
    pub(crate) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Decimal(a), Self::Decimal(b)) => a == b,
            (a, b) if a.is_empty() && b.is_empty() => true,
            (a, b) => a == b,
        }
    }
}

/// A moment as NetSuite's interfaces print it.
pub(crate) fn iso(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A moment as a column holds it.
pub(crate) fn moment_column(moment: Timestamp) -> String {
    format!("{MOMENT_MARK}{}", iso(moment))
}

/// The moment a column holds.
pub(crate) fn moment_of_column(text: &str) -> Option<Timestamp> {
    let text = text.strip_prefix(MOMENT_MARK)?;
    // Once per cell of a page: the one form that columns have is read by hand.
    match utc_seconds(text.as_bytes()) {
        Some(at) => Some(at),
        None => text.parse().ok(),
    }
}

/// `2026-03-02T15:04:05Z`, and nothing else.
fn utc_seconds(text: &[u8]) -> Option<Timestamp> {
    let (true, Some(b'Z')) = (text.len() == 20, text.last()) else { return None };
    let number = |from: usize, to: usize| {
        text[from..to].iter().try_fold(0_i16, |sum, byte| match byte {
            b'0'..=b'9' => Some(sum * 10 + i16::from(byte - b'0')),
            _ => None,
        })
    };
    let small = |from: usize| number(from, from + 2).and_then(|part| i8::try_from(part).ok());
    let date = Date::new(number(0, 4)?, small(5)?, small(8)?).ok()?;
    let time = Time::new(small(11)?, small(14)?, small(17)?, 0).ok()?;
    Offset::UTC.to_timestamp(date.to_datetime(time)).ok()
}

/// An amount as a JSON number that reads back to the same amount.
pub(crate) fn number_json(number: Decimal) -> Json {
    let number = number.normalize();
    match number.to_i64() {
        Some(whole) if number.scale() == 0 => Json::from(whole),
        _ => number.to_f64().map_or(Json::Null, Json::from),
    }
}

/// Rounds half away from zero, as amounts are rounded in accounts.
pub(crate) fn rounded(number: Decimal, scale: u32) -> Decimal {
    number.round_dp_with_strategy(scale, RoundingStrategy::MidpointAwayFromZero)
}

/// Option ids in NetSuite's order: by number where they are numbers.
fn sorted(options: &BTreeSet<String>) -> Vec<&str> {
    let mut list: Vec<&str> = options.iter().map(String::as_str).collect();
    list.sort_by_key(|option| (option.parse::<u64>().unwrap_or(u64::MAX), *option));
    list
}

fn text(field: &Field, json: &Json, max: usize) -> Result<Value, Refusal> {
    let text = match json {
        Json::String(text) => text.trim().to_owned(),
        Json::Number(number) => number.to_string(),
        Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => {
            return Err(Refusal::invalid_value(field, json));
        }
    };
    if text.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r')) {
        return Err(Refusal::invalid_value(field, &Json::from("text with control characters")));
    }
    if text.chars().count() > max {
        let message =
            format!("The field {} contained more than the maximum number ( {max} ) of characters allowed.", field.name);
        return Err(Refusal::new("EXCEEDED_MAX_FIELD_LENGTH", message).at(field.name));
    }
    Ok(if text.is_empty() { Value::Null } else { Value::Text(text) })
}

fn amount(field: &Field, json: &Json) -> Result<Option<Decimal>, Refusal> {
    let word = match json {
        Json::Number(number) => number.to_string(),
        Json::String(word) if word.trim().is_empty() => return Ok(None),
        Json::String(word) => word.trim().to_owned(),
        Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => {
            return Err(Refusal::invalid_value(field, json));
        }
    };
    Decimal::from_str(&word)
        .or_else(|_| Decimal::from_scientific(&word))
        .map(Some)
        .map_err(|_| Refusal::invalid_value(field, json))
}

fn integer(field: &Field, json: &Json) -> Result<Value, Refusal> {
    let Some(number) = amount(field, json)? else { return Ok(Value::Null) };
    let number = number.normalize();
    match number.to_i64() {
        Some(whole) if number.scale() == 0 && fits(number) => Ok(Value::Integer(whole)),
        _ => Err(Refusal::invalid_value(field, json)),
    }
}

fn decimal(field: &Field, json: &Json, scale: u32) -> Result<Value, Refusal> {
    let Some(number) = amount(field, json)? else { return Ok(Value::Null) };
    let number = rounded(number, scale).normalize();
    if fits(number) { Ok(Value::Decimal(number)) } else { Err(Refusal::invalid_value(field, json)) }
}

fn fits(number: Decimal) -> bool {
    number.mantissa().unsigned_abs().to_string().len() <= MAX_DIGITS
}

fn reference(field: &Field, json: &Json) -> Result<Value, Refusal> {
    let id = match json {
        Json::Number(number) => number.as_i64(),
        Json::String(word) if word.is_empty() => return Ok(Value::Null),
        Json::String(word) => word.parse::<i64>().ok(),
        Json::Object(members) => match members.get("id") {
            Some(Json::String(word)) => word.parse::<i64>().ok(),
            Some(Json::Number(number)) => number.as_i64(),
            _ => None,
        },
        Json::Null | Json::Bool(_) | Json::Array(_) => None,
    };
    id.map(Value::Reference).ok_or_else(|| Refusal::bad_reference(field, json))
}

fn options(field: &Field, json: &Json) -> Result<Value, Refusal> {
    let list = match json {
        Json::Array(list) => list,
        Json::Object(members) => match members.get("items") {
            Some(Json::Array(list)) => list,
            _ => return Err(Refusal::invalid_value(field, json)),
        },
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {
            return Err(Refusal::invalid_value(field, json));
        }
    };
    let mut options = BTreeSet::new();
    for entry in list {
        let id = match entry {
            Json::Object(members) => members.get("id").unwrap_or(entry),
            other => other,
        };
        let word = match id {
            Json::String(word) => word.trim().to_owned(),
            Json::Number(number) => number.to_string(),
            _ => return Err(Refusal::invalid_value(field, json)),
        };
        let odd = word.is_empty() || word.contains(',') || word.chars().any(char::is_control);
        if odd || word.chars().count() > MAX_OPTION_CHARS {
            return Err(Refusal::invalid_value(field, json));
        }
        options.insert(word);
    }
    if options.len() > MAX_OPTIONS {
        return Err(Refusal::invalid_value(field, &Json::from(format!("{} options", options.len()))));
    }
    Ok(Value::Set(options))
}

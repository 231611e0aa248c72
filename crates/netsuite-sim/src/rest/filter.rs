//! `?q=` of record collections: `companyName START_WITH "A" AND creditLimit GREATER 10`.

use rusqlite::types::Value as Column;

use crate::catalog::{Field, Kind, RecordType};
use crate::format::DateFormat;
use crate::world::{Overlay, Value};
use jiff::tz::TimeZone;

/// A condition with its parameters.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    pub(crate) sql: String,
    pub(crate) params: Vec<Column>,
}

/// Why a filter is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FilterError {
    UnknownField(String),
    Malformed(String),
}

/// What a filter is read with.
pub(crate) struct Reader<'a> {
    pub(crate) kind: &'a RecordType,
    pub(crate) overlay: &'a Overlay,
    pub(crate) zone: &'a TimeZone,
    pub(crate) format: &'a DateFormat,
}

const MAX_CONDITIONS: usize = 100;

impl Reader<'_> {
    /// Reads a filter.
    ///
    /// # Errors
    /// A field that the collection cannot be filtered by, or a text that is no filter.
    pub(crate) fn read(&self, text: &str) -> Result<Filter, FilterError> {
        let words = words(text)?;
        let mut filter = Filter::default();
        let mut rest = words.as_slice();
        for _ in 0..MAX_CONDITIONS {
            let used = self.condition(rest, &mut filter)?;
            rest = &rest[used..];
            match rest {
                [] => return Ok(filter),
                [Word::Bare(joint), tail @ ..] if ["AND", "OR"].contains(&joint.to_uppercase().as_str()) => {
                    filter.sql.push_str(&format!(" {} ", joint.to_uppercase()));
                    rest = tail;
                }
                [other, ..] => return Err(FilterError::Malformed(other.text().to_owned())),
            }
        }
        Err(FilterError::Malformed("more than 100 conditions".to_owned()))
    }

    fn condition(&self, words: &[Word], filter: &mut Filter) -> Result<usize, FilterError> {
        let [Word::Bare(name), Word::Bare(operator), rest @ ..] = words else {
            return Err(FilterError::Malformed(words.first().map_or("", Word::text).to_owned()));
        };
        let (column, field) = self.column(name)?;
        let operator = operator.to_uppercase();
        let (operator, negated) =
            operator.strip_suffix("_NOT").map_or((operator.as_str(), false), |positive| (positive, true));
        let (sql, values, used) = match operator {
            "EMPTY" => (format!("{column} IS NULL"), Vec::new(), 0),
            "ANY_OF" => {
                let (values, used) = list(rest)?;
                (format!("{column} IN ({})", vec!["?"; values.len()].join(", ")), values, used)
            }
            "BETWEEN" | "WITHIN" => {
                let (values, used) = list(rest)?;
                if values.len() != 2 {
                    return Err(FilterError::Malformed(operator.to_owned()));
                }
                (format!("{column} BETWEEN ? AND ?"), values, used)
            }
            "ON" => {
                let day = rest.first().ok_or_else(|| FilterError::Malformed("ON".to_owned()))?.text();
                let (from, to) = (self.value(field, "ON", day)?, self.value(field, "AFTER", day)?);
                filter.params.extend([from, to]);
                (format!("{column} >= ? AND {column} < ?"), Vec::new(), 1)
            }
            other => {
                let value = rest.first().ok_or_else(|| FilterError::Malformed(other.to_owned()))?;
                let (sql, text) = comparison(other, &column, value.text())?;
                (sql, vec![text], 1)
            }
        };
        filter.sql.push_str(&format!("{}({sql})", if negated { "NOT " } else { "" }));
        for value in values {
            filter.params.push(self.value(field, operator, &value)?);
        }
        Ok(2 + used)
    }

    /// The quoted column of a field's REST name.
    fn column(&self, name: &str) -> Result<(String, Option<&Field>), FilterError> {
        if name == "id" || name == "internalId" {
            return Ok(("id".to_owned(), None));
        }
        let unknown = || FilterError::UnknownField(name.to_owned());
        if self.kind.unfilterable.iter().any(|own| own == name) {
            return Err(unknown());
        }
        let shown = |field: &&Field| {
            field.in_rest && field.rest == name && field.feature.is_none_or(|feature| self.overlay.has(feature))
        };
        let field = self.kind.fields.iter().find(shown).ok_or_else(unknown)?;
        Ok((format!("\"{}\"", field.name), Some(field)))
    }

    /// The value as the column holds it; dates are written in the account's format.
    fn value(&self, field: Option<&Field>, operator: &str, text: &str) -> Result<Column, FilterError> {
        let Some(field) = field else { return Ok(Column::Text(text.to_owned())) };
        match field.kind {
            Kind::Date | Kind::Moment => {
                let date = self.format.parse(text).ok_or_else(|| FilterError::Malformed(text.to_owned()))?;
                let after_the_day = matches!(operator, "AFTER" | "ON_OR_BEFORE");
                let date = if after_the_day { date.tomorrow().unwrap_or(date) } else { date };
                Ok(Value::Date(date).to_column(self.zone))
            }
            Kind::Bool => Ok(Column::Text(if text.eq_ignore_ascii_case("true") { "T" } else { "F" }.to_owned())),
            Kind::Integer | Kind::Reference(_) | Kind::Decimal(_) | Kind::Text(_) | Kind::MultiSelect => {
                Ok(Column::Text(text.to_owned()))
            }
        }
    }
}

/// The comparison and the text it compares with.
fn comparison(operator: &str, column: &str, text: &str) -> Result<(String, String), FilterError> {
    let like = |pattern: String| (format!("{column} LIKE ? ESCAPE '\\'"), pattern);
    let plain = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    Ok(match operator {
        "IS" | "EQUAL" => (format!("{column} = ?"), text.to_owned()),
        "START_WITH" => like(format!("{plain}%")),
        "END_WITH" => like(format!("%{plain}")),
        "CONTAIN" => like(format!("%{plain}%")),
        "GREATER" => (format!("{column} > CAST(? AS NUMERIC)"), text.to_owned()),
        "GREATER_OR_EQUAL" => (format!("{column} >= CAST(? AS NUMERIC)"), text.to_owned()),
        "LESS" => (format!("{column} < CAST(? AS NUMERIC)"), text.to_owned()),
        "LESS_OR_EQUAL" => (format!("{column} <= CAST(? AS NUMERIC)"), text.to_owned()),
        "BEFORE" | "ON_OR_BEFORE" => (format!("{column} < ?"), text.to_owned()),
        "AFTER" | "ON_OR_AFTER" => (format!("{column} >= ?"), text.to_owned()),
        other => return Err(FilterError::Malformed(other.to_owned())),
    })
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    Bare(String),
    Quoted(String),
    Mark(char),
}

impl Word {
    fn text(&self) -> &str {
        match self {
            Self::Bare(text) | Self::Quoted(text) => text,
            Self::Mark(_) => "[",
        }
    }
}

/// `[1, 2]`: the values, and how many words they took.
fn list(words: &[Word]) -> Result<(Vec<String>, usize), FilterError> {
    let malformed = || FilterError::Malformed("[".to_owned());
    let [Word::Mark('['), rest @ ..] = words else { return Err(malformed()) };
    let end = rest.iter().position(|word| *word == Word::Mark(']')).ok_or_else(malformed)?;
    let values = rest[..end].iter().filter(|word| !matches!(word, Word::Mark(_))).map(|word| word.text().to_owned());
    Ok((values.collect(), end + 2))
}

fn words(text: &str) -> Result<Vec<Word>, FilterError> {
    let mut words = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(first) = chars.next() {
        match first {
            c if c.is_whitespace() => {}
            '[' | ']' | ',' => words.push(Word::Mark(first)),
            '"' => {
                let mut word = String::new();
                loop {
                    match chars.next() {
                        Some('"') => break,
                        Some(c) => word.push(c),
                        None => return Err(FilterError::Malformed(word)),
                    }
                }
                words.push(Word::Quoted(word));
            }
            first => {
                let mut word = first.to_string();
                while let Some(c) = chars.next_if(|c| !c.is_whitespace() && !matches!(c, '[' | ']' | ',')) {
                    word.push(c);
                }
                words.push(Word::Bare(word));
            }
        }
    }
    Ok(words)
}

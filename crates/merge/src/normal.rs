//! The field's rules: typed values → canonical form (semantics §2.1).
//!
//! Two values are equal exactly when their canonical forms are, so every spelling of one meaning must end in the same
//! form here, and the form itself must stay as it is: `normalise(normalise(x)) = normalise(x)`. References keep the id
//! of the side that was read; mapping ids between sides is the business of whoever holds the links.

use std::collections::{BTreeMap, BTreeSet};

use model::spec::{FieldSpec, Kind, LinesSpec, Policy, TypeSpec};
use model::wire::{ExactDecimal, calendar_date, instant, whole_second};
use model::{ErrorClass, Failure, Fields, Line, Lines, NativeId, TypedValue, Value};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// Between the members of a multi-select in NetSuite's own text form.
const MEMBER_SEPARATOR: char = '\u{5}';
/// Longest line key and longest member of a set, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// Version of these rules. Raised when a value would come out in another form than before: entries of the log name the
/// version they were made under, and shadows must be normalised anew or every record looks edited (semantics §2.1).
pub const VERSION: u32 = 1;

/// Brings a typed value into the field's canonical form.
///
/// # Errors
/// A [`Failure`] of class validation, code `bad_value`, naming field, shape and what is accepted; never the value.
pub fn normalise(field: &FieldSpec, value: &TypedValue) -> Result<Value, Failure> {
    let empty = match value {
        TypedValue::Null => true,
        TypedValue::Text(text) => text.is_empty(),
        TypedValue::Reference { id, .. } => id.is_empty(),
        TypedValue::Bool(_)
        | TypedValue::Integer(_)
        | TypedValue::Decimal(_)
        | TypedValue::Date(_)
        | TypedValue::DateTime(_)
        | TypedValue::Set(_)
        | TypedValue::Lines(_) => false,
    };
    let normal = match &field.kind {
        // A checkbox nobody ticked is off, not unknown.
        Kind::Bool if empty => Some(Value::Bool(false)),
        _ if empty => Some(Value::Null),
        Kind::Bool => checkbox(value),
        Kind::Integer => integer(value),
        Kind::Decimal { scale } => decimal(value, *scale),
        Kind::Text { max, keep_trailing } => text(value, *max, *keep_trailing),
        Kind::Date => date(value),
        Kind::DateTime => date_time(value),
        Kind::Reference { .. } => reference(value),
        Kind::Set => set(value),
        Kind::Lines(spec) => return lines(field, spec, value),
    };
    normal.ok_or_else(|| refusal(&field.name, value, &accepted(&field.kind)))
}

/// Brings changed fields into canonical form under their canonical names. Producers may use the tenant's column names;
/// where they use both, the canonical name counts. Fields the type does not have, and ignored ones, are left out.
///
/// # Errors
/// The first field's [`Failure`], in order of name.
pub fn normalise_changes(spec: &TypeSpec, changes: &BTreeMap<String, TypedValue>) -> Result<Fields, Failure> {
    normalise_fields(changes, |name| spec.field_or_column(name))
}

fn normalise_fields<'a>(
    values: &BTreeMap<String, TypedValue>,
    find: impl Fn(&str) -> Option<&'a FieldSpec>,
) -> Result<Fields, Failure> {
    let mut fields = Fields::new();
    for (name, value) in values {
        let Some(field) = find(name).filter(|field| field.policy != Policy::Ignored) else { continue };
        if *name == field.name || !values.contains_key(&field.name) {
            fields.insert(field.name.clone(), normalise(field, value)?);
        }
    }
    Ok(fields)
}

fn checkbox(value: &TypedValue) -> Option<Value> {
    let on = match value {
        TypedValue::Bool(on) => *on,
        TypedValue::Integer(0) => false,
        TypedValue::Integer(1) => true,
        TypedValue::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
            "t" | "true" | "1" => true,
            "f" | "false" | "0" | "" => false,
            _ => return None,
        },
        TypedValue::Null
        | TypedValue::Integer(_)
        | TypedValue::Decimal(_)
        | TypedValue::Date(_)
        | TypedValue::DateTime(_)
        | TypedValue::Reference { .. }
        | TypedValue::Set(_)
        | TypedValue::Lines(_) => return None,
    };
    Some(Value::Bool(on))
}

/// A number in any of its spellings; `Some(None)` = empty text.
fn number(value: &TypedValue) -> Option<Option<ExactDecimal>> {
    match value {
        TypedValue::Integer(number) => ExactDecimal::parse(&number.to_string()).map(Some),
        TypedValue::Decimal(text) => ExactDecimal::parse(text).map(Some),
        TypedValue::Text(text) => match text.trim() {
            "" => Some(None),
            text => ExactDecimal::parse(text).map(Some),
        },
        TypedValue::Null
        | TypedValue::Bool(_)
        | TypedValue::Date(_)
        | TypedValue::DateTime(_)
        | TypedValue::Reference { .. }
        | TypedValue::Set(_)
        | TypedValue::Lines(_) => None,
    }
}

fn integer(value: &TypedValue) -> Option<Value> {
    match number(value)? {
        Some(number) => number.integer().map(Value::Int),
        None => Some(Value::Null),
    }
}

fn decimal(value: &TypedValue, scale: u32) -> Option<Value> {
    match number(value)? {
        Some(number) => number.at_scale(scale).map(Value::Text),
        None => Some(Value::Null),
    }
}

fn text(value: &TypedValue, max: usize, keep_trailing: bool) -> Option<Value> {
    let raw = match value {
        TypedValue::Text(text) | TypedValue::Decimal(text) | TypedValue::Date(text) | TypedValue::DateTime(text) => {
            text.clone()
        }
        TypedValue::Integer(number) => number.to_string(),
        // NetSuite answers a select with its id and its label; the id is the value.
        TypedValue::Reference { id, .. } => id.clone(),
        TypedValue::Null | TypedValue::Bool(_) | TypedValue::Set(_) | TypedValue::Lines(_) => return None,
    };
    if raw.contains('\0') {
        return None;
    }
    let mut text = unix_lines(composed(raw));
    if !keep_trailing {
        text.truncate(text.trim_end_matches(' ').len());
    }
    (text.chars().count() <= max).then(|| Value::text(text))
}

/// NFC, without a copy when the text is composed already.
fn composed(text: String) -> String {
    if is_nfc_quick(text.chars()) == IsNormalized::Yes { text } else { text.nfc().collect() }
}

/// CRLF → LF, and a lone CR as well: else `\r\r\n` would change again at a second look.
fn unix_lines(text: String) -> String {
    if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text }
}

fn date(value: &TypedValue) -> Option<Value> {
    let text = match value {
        TypedValue::Date(text) | TypedValue::Text(text) => text.trim(),
        // A moment is no day before somebody names the zone, and an adapter would have.
        TypedValue::DateTime(_)
        | TypedValue::Null
        | TypedValue::Bool(_)
        | TypedValue::Integer(_)
        | TypedValue::Decimal(_)
        | TypedValue::Reference { .. }
        | TypedValue::Set(_)
        | TypedValue::Lines(_) => return None,
    };
    if text.is_empty() {
        return Some(Value::Null);
    }
    calendar_date(text).map(|date| Value::Text(date.to_string()))
}

fn date_time(value: &TypedValue) -> Option<Value> {
    let text = match value {
        TypedValue::DateTime(text) | TypedValue::Text(text) => text.trim(),
        TypedValue::Date(_)
        | TypedValue::Null
        | TypedValue::Bool(_)
        | TypedValue::Integer(_)
        | TypedValue::Decimal(_)
        | TypedValue::Reference { .. }
        | TypedValue::Set(_)
        | TypedValue::Lines(_) => return None,
    };
    if text.is_empty() {
        return Some(Value::Null);
    }
    // NetSuite keeps whole seconds: cut before comparing, or every SuiteX value differs from its own echo.
    instant(text).map(|at| Value::Text(whole_second(at).to_string()))
}

fn reference(value: &TypedValue) -> Option<Value> {
    let id = match value {
        TypedValue::Reference { id, .. } | TypedValue::Text(id) => id.trim().to_owned(),
        TypedValue::Integer(number) => number.to_string(),
        TypedValue::Null
        | TypedValue::Bool(_)
        | TypedValue::Decimal(_)
        | TypedValue::Date(_)
        | TypedValue::DateTime(_)
        | TypedValue::Set(_)
        | TypedValue::Lines(_) => return None,
    };
    if id.is_empty() {
        return Some(Value::Null);
    }
    NativeId::parse(&id).ok().map(|_| Value::Text(id))
}

fn set(value: &TypedValue) -> Option<Value> {
    let members: Vec<String> = match value {
        TypedValue::Set(members) => members.clone(),
        TypedValue::Text(text) => text.split([MEMBER_SEPARATOR, ',']).map(str::to_owned).collect(),
        TypedValue::Integer(number) => vec![number.to_string()],
        TypedValue::Reference { id, .. } => vec![id.clone()],
        TypedValue::Null
        | TypedValue::Bool(_)
        | TypedValue::Decimal(_)
        | TypedValue::Date(_)
        | TypedValue::DateTime(_)
        | TypedValue::Lines(_) => return None,
    };
    let mut normal = BTreeSet::new();
    for member in members {
        let member = composed(member.trim().to_owned());
        if member.contains('\0') || member.len() > MAX_NAME_BYTES {
            return None;
        }
        if !member.is_empty() {
            normal.insert(member);
        }
    }
    Some(if normal.is_empty() { Value::Null } else { Value::Set(normal) })
}

fn lines(field: &FieldSpec, spec: &LinesSpec, value: &TypedValue) -> Result<Value, Failure> {
    let typed = match value {
        TypedValue::Lines(lines) => lines,
        // An empty list cannot tell which kind of list it is.
        TypedValue::Set(members) if members.is_empty() => return Ok(Value::Null),
        TypedValue::Null
        | TypedValue::Bool(_)
        | TypedValue::Integer(_)
        | TypedValue::Decimal(_)
        | TypedValue::Text(_)
        | TypedValue::Date(_)
        | TypedValue::DateTime(_)
        | TypedValue::Reference { .. }
        | TypedValue::Set(_) => return Err(refusal(&field.name, value, &accepted(&field.kind))),
    };
    let find = |name: &str| spec.field(name).or_else(|| spec.line.iter().find(|line| line.column == name));
    let mut lines = Lines::new();
    for (key, fields) in typed {
        if key.is_empty() || key.len() > MAX_NAME_BYTES || key.contains('\0') {
            return Err(refusal(&field.name, value, "line keys of 1 to 255 bytes without U+0000"));
        }
        let line: Line = Some(normalise_fields(fields, find).map_err(|failure| within(&field.name, failure))?);
        lines.insert(key.clone(), line);
    }
    Ok(if lines.is_empty() { Value::Null } else { Value::Lines(lines) })
}

/// Names the sublist around a line field's failure.
fn within(sublist: &str, failure: Failure) -> Failure {
    Failure { reason: format!("sublist {sublist}, {}", failure.reason), ..failure }
}

fn refusal(field: &str, value: &TypedValue, accepted: &str) -> Failure {
    let reason = format!("field {field}: {} is not accepted; accepted: {accepted}", shape(value));
    Failure::new(ErrorClass::Validation, "bad_value", reason)
}

/// The value's shape, fit for messages and logs.
fn shape(value: &TypedValue) -> String {
    match value {
        TypedValue::Null => "null".to_owned(),
        TypedValue::Bool(_) => "a boolean".to_owned(),
        TypedValue::Integer(_) => "a whole number".to_owned(),
        TypedValue::Decimal(text) => format!("a decimal of {} characters", text.chars().count()),
        TypedValue::Text(text) => format!("text of {} characters", text.chars().count()),
        TypedValue::Date(_) => "a date".to_owned(),
        TypedValue::DateTime(_) => "a date-time".to_owned(),
        TypedValue::Reference { .. } => "a reference".to_owned(),
        TypedValue::Set(members) => format!("a set of {} members", members.len()),
        TypedValue::Lines(lines) => format!("a sublist of {} lines", lines.len()),
    }
}

fn accepted(kind: &Kind) -> String {
    match kind {
        Kind::Bool => "T, F, true, false, 1 and 0".to_owned(),
        Kind::Integer => "whole numbers within ±10^15".to_owned(),
        Kind::Decimal { scale } => {
            format!("decimals within ±10^15 of at most 28 digits (kept to {scale} after the point), no percent sign")
        }
        Kind::Text { max, .. } => format!("text or a number of at most {max} characters without U+0000"),
        Kind::Date => "YYYY-MM-DD from 0001-01-01 to 9999-12-31".to_owned(),
        Kind::DateTime => "RFC 3339 with an offset, years 0001 to 9999".to_owned(),
        Kind::Reference { to } => format!("the id of one {to}"),
        Kind::Set => "a list of ids of at most 255 bytes each, or ids separated by commas".to_owned(),
        Kind::Lines(_) => "lines by their id".to_owned(),
    }
}

#[cfg(test)]
mod tests;

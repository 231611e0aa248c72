//! Field values in canonical form (semantics §2.1).
//!
//! Two values are equal exactly when their canonical forms are identical, so a state can be compared, hashed and
//! stored without knowing the field's kind. Decimals, dates, date-times and references are text here, in one
//! spelling each; adapters and `merge::normal` bring values into that spelling. As JSON a value is what a person
//! would write: the mapping is one to one, and decimals never pass through a float.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// A record's synced fields by name. A missing field is unknown in an observation and empty in a state.
pub type Fields = BTreeMap<String, Value>;
/// One line of a sublist; `None` only in changes (the line is to go) and in `pre` (the line must be absent).
pub type Line = Option<Fields>;
/// Lines by line key (semantics §2.7); position is never a key.
pub type Lines = BTreeMap<String, Line>;
/// For each sublist field: line key → the side's own line id.
pub type LineIds = BTreeMap<String, BTreeMap<String, String>>;

/// A value in canonical form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// Empty: `""`, missing and null are one value.
    #[default]
    Null,
    /// A checkbox.
    Bool(bool),
    /// A whole number that is counted with.
    Int(i64),
    /// Text in NFC; also decimals at the field's scale, `YYYY-MM-DD`, `YYYY-MM-DDTHH:MM:SSZ`, references (a rid).
    Text(String),
    /// A multi-select: a set of ids.
    Set(BTreeSet<String>),
    /// A sublist.
    Lines(Lines),
}

impl Value {
    /// Text, or null when it is empty.
    pub fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        if text.is_empty() { Self::Null } else { Self::Text(text) }
    }

    /// True for the empty value.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The text of a text value.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Set(_) | Self::Lines(_) => None,
        }
    }

    /// The lines of a sublist; empty for null.
    pub fn as_lines(&self) -> Option<&Lines> {
        match self {
            Self::Lines(lines) => Some(lines),
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Set(_) | Self::Text(_) => None,
        }
    }

    /// The value's shape, fit for messages and logs (never the value itself).
    pub fn shape(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Int(_) => "integer",
            Self::Text(_) => "text",
            Self::Set(_) => "set",
            Self::Lines(_) => "lines",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_one_to_one() {
        let line: Fields = [("item".to_owned(), Value::text("a"))].into();
        for value in [
            Value::Null,
            Value::Bool(true),
            Value::Int(-3),
            Value::text("10.00"),
            Value::Set(["1".to_owned(), "2".to_owned()].into()),
            Value::Set(BTreeSet::new()),
            Value::Lines([("n1".to_owned(), Some(line)), ("n2".to_owned(), None)].into()),
            Value::Lines(Lines::new()),
        ] {
            let json = serde_json::to_string(&value).unwrap();
            assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), value, "{json}");
        }
    }
}

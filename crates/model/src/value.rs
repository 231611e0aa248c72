//! Field values in canonical form (semantics §2.1).
//!
//! Two values are equal exactly when their canonical forms are identical, so a state can be compared, hashed and
//! stored without knowing the field's kind. Decimals, dates, date-times and references are text here, in one
//! spelling each; adapters and `merge::normal` bring values into that spelling. As JSON a value is what a person
//! would write: the mapping is one to one, and decimals never pass through a float.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
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
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
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

/// By hand: the derived form tries one kind after the other and writes an error for each that does not fit, which costs
/// ten times as much, and every value of every record comes this way.
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null, a boolean, a whole number, text, a list of texts, or lines by key")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Int(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Value, E> {
        i64::try_from(number).map(Value::Int).map_err(|_| E::custom("a whole number beyond 64 bits"))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut set = BTreeSet::new();
        while let Some(item) = items.next_element()? {
            set.insert(item);
        }
        Ok(Value::Set(set))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut lines = Lines::new();
        while let Some((key, line)) = entries.next_entry()? {
            lines.insert(key, line);
        }
        Ok(Value::Lines(lines))
    }
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
            let tree: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(serde_json::from_value::<Value>(tree).unwrap(), value, "{json}");
        }
        for stranger in ["1.5", "18446744073709551615", "[1]", "{\"a\": 1}", "[[]]"] {
            assert!(serde_json::from_str::<Value>(stranger).is_err(), "{stranger}");
        }
    }
}

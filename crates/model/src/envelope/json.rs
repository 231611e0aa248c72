//! JSON read one level at a time, so that a fault deep inside still has its pointer, numbers keep every digit, and
//! members nobody asks for cost nothing.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::wire::Findings;

/// The document in these bytes, checked to be JSON.
pub(super) fn document<'a>(body: &'a [u8], findings: &mut Findings) -> Option<&'a RawValue> {
    let Ok(text) = std::str::from_utf8(body) else {
        findings.refuse("is no UTF-8 text; accepted is JSON in UTF-8");
        return None;
    };
    match serde_json::from_str(text) {
        Ok(raw) => Some(raw),
        // The parser's own words may quote the body; place is enough.
        Err(error) => {
            findings.refuse(format!("is no JSON at line {}, column {}", error.line(), error.column()));
            None
        }
    }
}

/// What stands here, in one word.
pub(super) fn shape(raw: &RawValue) -> Shape {
    match raw.get().as_bytes().first() {
        Some(b'{') => Shape::Object,
        Some(b'[') => Shape::Array,
        Some(b'"') => Shape::Text,
        Some(b't' | b'f') => Shape::Boolean,
        Some(b'n') | None => Shape::Null,
        Some(_) => Shape::Number,
    }
}

/// The six shapes of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Object,
    Array,
    Text,
    Number,
    Boolean,
    Null,
}

impl Shape {
    /// The shape with its article.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Object => "an object",
            Self::Array => "an array",
            Self::Text => "text",
            Self::Number => "a number",
            Self::Boolean => "a boolean",
            Self::Null => "null",
        }
    }
}

/// The items of an array.
pub(super) fn array<'a>(raw: &'a RawValue, findings: &mut Findings) -> Option<Vec<&'a RawValue>> {
    match serde_json::from_str(raw.get()) {
        Ok(items) => Some(items),
        Err(_) => {
            findings.refuse(format!("is {}; accepted is an array", shape(raw).as_str()));
            None
        }
    }
}

/// The text of a string. JSON can spell halves of surrogate pairs, which are no text.
pub(super) fn text(raw: &RawValue, findings: &mut Findings) -> Option<String> {
    if shape(raw) != Shape::Text {
        findings.refuse(format!("is {}; accepted is text", shape(raw).as_str()));
        return None;
    }
    match serde_json::from_str(raw.get()) {
        Ok(text) => Some(text),
        Err(_) => {
            findings.refuse("is text with half of a surrogate pair; accepted is Unicode text");
            None
        }
    }
}

/// An object's members by name; of a name given twice the last counts.
pub(super) struct Object<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Object<'a> {
    pub(super) fn read(raw: &'a RawValue, findings: &mut Findings) -> Option<Self> {
        if shape(raw) != Shape::Object {
            findings.refuse(format!("is {}; accepted is an object", shape(raw).as_str()));
            return None;
        }
        match serde_json::from_str(raw.get()) {
            Ok(members) => Some(Self(members)),
            Err(_) => {
                findings.refuse("has a member name with half of a surrogate pair; accepted is Unicode text");
                None
            }
        }
    }

    pub(super) fn members(self) -> BTreeMap<String, &'a RawValue> {
        self.0
    }

    /// A member, also when it is null.
    pub(super) fn member(&self, name: &str) -> Option<&'a RawValue> {
        self.0.get(name).copied()
    }

    /// A member that is not null.
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.member(name).filter(|raw| shape(raw) != Shape::Null)
    }

    /// Reads a text member that must be there; `read` answers what is accepted instead.
    pub(super) fn text<T>(
        &self,
        name: &str,
        findings: &mut Findings,
        read: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> Option<T> {
        match self.optional_text(name, findings, read) {
            Some(outcome) => outcome,
            None => findings.refuse_member(name, "is missing; accepted is text"),
        }
    }

    /// Reads a text member that may be missing: `None` = it is, `Some(None)` = it was refused.
    pub(super) fn optional_text<T>(
        &self,
        name: &str,
        findings: &mut Findings,
        read: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> Option<Option<T>> {
        let raw = self.get(name)?;
        Some(findings.under(name, |f| {
            let text = text(raw, f)?;
            read(&text).map_err(|accepted| f.refuse(format!("is not accepted; accepted: {accepted}"))).ok()
        }))
    }

    /// Reads a member of any shape that may be missing, in the manner of [`Self::optional_text`].
    pub(super) fn optional<T>(
        &self,
        name: &str,
        findings: &mut Findings,
        read: impl FnOnce(&RawValue) -> Result<T, &'static str>,
    ) -> Option<Option<T>> {
        let raw = self.get(name)?;
        let refuse = |accepted| {
            findings.refuse_at(name, format!("is {} that is not accepted; accepted: {accepted}", shape(raw).as_str()));
        };
        Some(read(raw).map_err(refuse).ok())
    }

    /// Reads short text that is kept as it is.
    pub(super) fn label(&self, name: &str, max_bytes: usize, findings: &mut Findings) -> Option<String> {
        let raw = self.get(name)?;
        findings.under(name, |f| {
            let text = text(raw, f)?;
            f.text(&text, max_bytes);
            Some(text)
        })
    }

    /// Reads JSON that is kept as it is.
    pub(super) fn opaque(&self, name: &str, findings: &mut Findings) -> Option<serde_json::Value> {
        let raw = self.get(name)?;
        findings.under(name, |f| match serde_json::from_str(raw.get()) {
            Ok(json) => {
                f.opaque(&json, raw.get().len());
                Some(json)
            }
            Err(_) => {
                f.refuse("is JSON nested too deeply, with absurd numbers or with half of a surrogate pair");
                None
            }
        })
    }
}

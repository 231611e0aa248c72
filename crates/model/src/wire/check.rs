//! What no event may contain, however it was spelled: text that Postgres cannot hold, absurd lengths, numbers and
//! dates. Findings point at the member and name shape and rule, never the value.

use std::collections::BTreeMap;
use std::fmt;

use super::exact::{ExactDecimal, calendar_date, instant};
use crate::{Timestamp, TypedValue};

/// Longest text of one value, in bytes.
pub const MAX_TEXT_BYTES: usize = 1024 * 1024;
/// Most changed fields of one event, and most fields of one line.
pub const MAX_FIELDS: usize = 5_000;
/// Most lines of one sublist, and most members of one set.
pub const MAX_MEMBERS: usize = 10_000;
/// Longest field name, line key, set member or id of a reference, in bytes.
pub const MAX_NAME_BYTES: usize = 255;
/// Longest snapshot URI and correlation id, in bytes.
pub const MAX_LABEL_BYTES: usize = 2_048;
/// Longest `auth_context`, in bytes of JSON.
pub const MAX_AUTH_CONTEXT_BYTES: usize = 64 * 1024;
/// Most findings reported for one request; the rest would only repeat them.
pub const MAX_FINDINGS: usize = 100;
/// A pointer shows at most this much of one name, in characters.
const MAX_SHOWN: usize = 60;

/// What is wrong with one member, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointed {
    /// JSON pointer (RFC 6901) to the member; empty for the whole body.
    pub pointer: String,
    /// One sentence fragment: shape and what is accepted, never the value.
    pub message: String,
}

impl fmt::Display for Pointed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pointer.as_str() {
            "" => write!(f, "the body {}", self.message),
            pointer => write!(f, "{pointer} {}", self.message),
        }
    }
}

/// Findings, and the place where the reader stands.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    at: String,
    found: Vec<Pointed>,
}

impl Findings {
    /// Runs `read` one step further down, at the member or index `step`.
    pub(crate) fn under<T>(&mut self, step: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let here = self.at.len();
        self.at.push('/');
        for c in step.chars().take(MAX_SHOWN) {
            match c {
                '~' => self.at.push_str("~0"),
                '/' => self.at.push_str("~1"),
                // A pointer travels in attributes and rows that cannot hold every control character.
                c if c.is_control() => self.at.push(char::REPLACEMENT_CHARACTER),
                c => self.at.push(c),
            }
        }
        let result = read(self);
        self.at.truncate(here);
        result
    }

    /// Notes that what stands here is refused.
    pub(crate) fn refuse(&mut self, message: impl Into<String>) {
        if self.found.len() < MAX_FINDINGS {
            self.found.push(Pointed { pointer: self.at.clone(), message: message.into() });
        }
    }

    /// Notes that the member `step` is refused.
    pub(crate) fn refuse_at(&mut self, step: &str, message: impl Into<String>) {
        self.under(step, |here| here.refuse(message));
    }

    /// The same, for readers that have nothing to give then.
    pub(crate) fn refuse_member<T>(&mut self, step: &str, message: impl Into<String>) -> Option<T> {
        self.refuse_at(step, message);
        None
    }

    /// All findings; empty = nothing is refused.
    pub(crate) fn into_found(self) -> Vec<Pointed> {
        self.found
    }

    /// Refuses text that is too long or cannot be stored.
    pub(crate) fn text(&mut self, text: &str, max_bytes: usize) {
        if text.len() > max_bytes {
            self.refuse(format!("is text of {} bytes; accepted are at most {max_bytes}", text.len()));
        } else if text.contains('\0') {
            self.refuse("is text with the character U+0000, which cannot be stored; accepted is text without it");
        }
    }

    /// Refuses names of fields and lines that are empty, too long or cannot be stored.
    fn name(&mut self, name: &str) {
        if name.is_empty() {
            self.refuse("has an empty name");
        } else {
            self.text(name, MAX_NAME_BYTES);
        }
    }

    /// Refuses what no changed field may hold.
    pub(crate) fn fields(&mut self, fields: &BTreeMap<String, TypedValue>, in_line: bool) {
        self.count(fields.len(), MAX_FIELDS, "fields");
        for (name, value) in fields {
            self.under(name, |here| {
                here.name(name);
                here.value(value, in_line);
            });
        }
    }

    fn value(&mut self, value: &TypedValue, in_line: bool) {
        match value {
            TypedValue::Null | TypedValue::Bool(_) | TypedValue::Integer(_) => {}
            TypedValue::Text(text) => self.text(text, MAX_TEXT_BYTES),
            TypedValue::Decimal(text) => {
                if ExactDecimal::parse(text).is_none() {
                    self.refuse(format!(
                        "is a number spelled in {} characters; accepted are decimals of at most 28 digits",
                        text.chars().count()
                    ));
                }
            }
            TypedValue::Date(text) => {
                if calendar_date(text).is_none() {
                    self.refuse("is no date; accepted is YYYY-MM-DD, 0001-01-01 to 9999-12-31");
                }
            }
            TypedValue::DateTime(text) => {
                if instant(text).is_none() {
                    self.refuse("is no date-time; accepted is RFC 3339 with an offset, years 0001 to 9999");
                }
            }
            TypedValue::Reference { id, name } => {
                self.under("id", |here| here.text(id, MAX_NAME_BYTES));
                self.under("name", |here| here.text(name, MAX_TEXT_BYTES));
            }
            TypedValue::Set(members) => {
                self.count(members.len(), MAX_MEMBERS, "members");
                for (index, member) in members.iter().enumerate() {
                    if member.len() > MAX_NAME_BYTES || member.contains('\0') {
                        self.under(&index.to_string(), |here| here.text(member, MAX_NAME_BYTES));
                    }
                }
            }
            TypedValue::Lines(_) if in_line => self.refuse("is a sublist inside a line; a line has no sublists"),
            TypedValue::Lines(lines) => {
                self.count(lines.len(), MAX_MEMBERS, "lines");
                for (key, fields) in lines {
                    self.under(key, |here| {
                        here.name(key);
                        here.fields(fields, true);
                    });
                }
            }
        }
    }

    fn count(&mut self, count: usize, max: usize, what: &str) {
        if count > max {
            self.refuse(format!("has {count} {what}; accepted are at most {max}"));
        }
    }

    /// Refuses moments no edit can have happened at.
    pub(crate) fn moment(&mut self, at: Timestamp) {
        /// 2200-01-01T00:00:00Z.
        const END: i64 = 7_258_118_400;
        if !(0..END).contains(&at.as_second()) {
            self.refuse("is outside the years 1970 to 2199");
        }
    }

    /// Refuses opaque JSON that is too large or cannot be stored.
    pub(crate) fn opaque(&mut self, json: &serde_json::Value, bytes: usize) {
        if bytes > MAX_AUTH_CONTEXT_BYTES {
            self.refuse(format!("is JSON of {bytes} bytes; accepted are at most {MAX_AUTH_CONTEXT_BYTES}"));
        } else if has_nul(json) {
            self.refuse("contains the character U+0000, which cannot be stored");
        }
    }
}

fn has_nul(json: &serde_json::Value) -> bool {
    use serde_json::Value as Json;
    match json {
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
        Json::String(text) => text.contains('\0'),
        Json::Array(items) => items.iter().any(has_nul),
        Json::Object(members) => members.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
    }
}

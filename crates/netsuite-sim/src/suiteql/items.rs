//! Rows as the `items` of a REST page, written straight into text: a page of a thousand rows is made often.

use rusqlite::types::ValueRef;

use super::functions::{Moment, plain};
use crate::world::World;

/// The items of a page, while they are written.
pub(super) struct Items {
    /// `,"name":` of every column.
    keys: Vec<String>,
    text: String,
    is_first: bool,
}

impl Items {
    pub(super) fn new() -> Self {
        Self { keys: Vec::new(), text: "[".to_owned(), is_first: true }
    }

    /// Names the columns, before the first row.
    pub(super) fn name(&mut self, columns: &[String]) {
        self.keys = columns
            .iter()
            .map(|name| {
                let mut key = ",".to_owned();
                push_text(&mut key, name);
                key.push(':');
                key
            })
            .collect();
    }

    /// Adds a row.
    pub(super) fn push(&mut self, row: &rusqlite::Row<'_>, world: &World) -> rusqlite::Result<()> {
        self.text.push_str(if self.is_first { "{\"links\":[]" } else { ",{\"links\":[]" });
        self.is_first = false;
        for (index, key) in self.keys.iter().enumerate() {
            // Every scalar is text, and a null has no key at all.
            match row.get_ref(index)? {
                ValueRef::Null => {}
                value @ (ValueRef::Integer(_) | ValueRef::Real(_)) => {
                    self.text.push_str(key);
                    self.text.push('"');
                    self.text.push_str(&plain(value));
                    self.text.push('"');
                }
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                    let content = String::from_utf8_lossy(bytes);
                    if content.is_empty() {
                        continue;
                    }
                    self.text.push_str(key);
                    match Moment::of(&content) {
                        Some(moment) => push_text(&mut self.text, &super::rendered(moment, world)),
                        None => push_text(&mut self.text, &content),
                    }
                }
            }
        }
        self.text.push('}');
        Ok(())
    }

    /// The whole list.
    pub(super) fn finish(mut self) -> String {
        self.text.push(']');
        self.text
    }
}

/// A JSON string.
fn push_text(out: &mut String, text: &str) {
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&serde_json::Value::from(text).to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_json_whatever_they_hold() {
        for text in ["plain", "quote \" and \\", "line\nend", "ü€", "\u{7f}\u{1}"] {
            let mut out = String::new();
            push_text(&mut out, text);
            assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }
    }
}

//! A change as asked for: field values and lines, checked one by one but not yet against the world.

use serde_json::{Map, Value as Json};

use super::children::{ChildrenDraft, Shape};
use super::refusal::Refusal;
use super::value::Value;
use crate::catalog::{Field, RecordType};

const MAX_LINES: usize = 1_000;

/// What a caller wants a record to become.
#[derive(Debug, Default, Clone)]
pub(crate) struct Draft {
    /// Position in [`RecordType::fields`] and new value.
    pub(crate) values: Vec<(usize, Value)>,
    /// Lines to add or change, in order.
    pub(crate) upsert: Vec<LineDraft>,
    /// Line ids to remove.
    pub(crate) remove: Vec<i64>,
    /// Remove every line that `upsert` does not name.
    pub(crate) replace_lines: bool,
    /// Lines of other sublists.
    pub(crate) children: Vec<ChildrenDraft>,
}

/// One line to add (`line` absent) or change.
#[derive(Debug, Clone)]
pub(crate) struct LineDraft {
    /// The caller's own name for the line; the reply gives its id.
    pub(crate) key: String,
    /// Existing line id.
    pub(crate) line: Option<i64>,
    /// Position in [`RecordType::line_fields`] and new value.
    pub(crate) values: Vec<(usize, Value)>,
}

impl Draft {
    /// Reads `{field: value, …, "lines": …}` in SuiteQL names.
    ///
    /// `lines` is an object `{"5": {…}, "6": null, "any word": {…}}` (change, remove, add) or a list whose entries
    /// may name a `line`.
    ///
    /// # Errors
    /// Names the first field that is unknown, read-only or does not take the value.
    pub(crate) fn from_json(kind: &RecordType, changes: &Map<String, Json>) -> Result<Self, Refusal> {
        let mut draft = Self::default();
        for (name, json) in changes {
            if name == "lines" && kind.has_lines() {
                draft.read_lines(kind, json)?;
            } else if let Some((_, table)) = kind.sublists.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)) {
                if let Some(shape) = Shape::of(kind, table) {
                    draft.children.push(ChildrenDraft::from_json(shape, json)?);
                }
            } else {
                draft.values.push(body_value(kind, name, json)?);
            }
        }
        Ok(draft)
    }

    /// Sets a body field by name, replacing an earlier value.
    pub(crate) fn set(&mut self, kind: &RecordType, name: &str, value: Value) {
        if let Some(position) = kind.position(name) {
            self.values.retain(|(at, _)| *at != position);
            self.values.push((position, value));
        }
    }

    fn read_lines(&mut self, kind: &RecordType, json: &Json) -> Result<(), Refusal> {
        match json {
            Json::Null => Ok(()),
            Json::Object(lines) => lines.iter().try_for_each(|(key, line)| self.keyed_line(kind, key, line)),
            Json::Array(lines) => {
                lines.iter().enumerate().try_for_each(|(index, line)| self.listed_line(kind, index, line))
            }
            Json::Bool(_) | Json::Number(_) | Json::String(_) => {
                Err(Refusal::new("INVALID_CONTENT", "lines is an object or a list of lines.").at("lines"))
            }
        }?;
        if self.upsert.len() + self.remove.len() > MAX_LINES {
            return Err(Refusal::new("USER_ERROR", format!("At most {MAX_LINES} lines per request.")).at("lines"));
        }
        Ok(())
    }

    fn keyed_line(&mut self, kind: &RecordType, key: &str, json: &Json) -> Result<(), Refusal> {
        let line = key.parse::<i64>().ok();
        match (json, line) {
            (Json::Null, Some(line)) => self.remove.push(line),
            (Json::Object(fields), line) => {
                let values = line_values(kind, key, fields)?;
                self.upsert.push(LineDraft { key: key.to_owned(), line, values });
            }
            _ => return Err(Refusal::new("INVALID_CONTENT", "A line is an object, or null to remove it.").on_line(key)),
        }
        Ok(())
    }

    fn listed_line(&mut self, kind: &RecordType, index: usize, json: &Json) -> Result<(), Refusal> {
        let key = index.to_string();
        let Json::Object(fields) = json else {
            return Err(Refusal::new("INVALID_CONTENT", "A line is an object.").on_line(&key));
        };
        let mut fields = fields.clone();
        let line = match fields.remove("line").or_else(|| fields.remove("id")) {
            None | Some(Json::Null) => None,
            Some(Json::Number(number)) => number.as_i64(),
            Some(Json::String(word)) => word.parse().ok(),
            Some(_) => return Err(Refusal::new("INVALID_CONTENT", "line is a line id.").on_line(&key)),
        };
        let values = line_values(kind, &key, &fields)?;
        self.upsert.push(LineDraft { key, line, values });
        Ok(())
    }
}

/// Reads one line's fields.
///
/// # Errors
/// Names the first field that is unknown or does not take the value.
pub(crate) fn line_values(
    kind: &RecordType,
    key: &str,
    fields: &Map<String, Json>,
) -> Result<Vec<(usize, Value)>, Refusal> {
    fields.iter().map(|(name, json)| line_value(kind, name, json).map_err(|refusal| refusal.on_line(key))).collect()
}

fn line_value(kind: &RecordType, name: &str, json: &Json) -> Result<(usize, Value), Refusal> {
    let position = kind.line_fields.iter().position(|field| field.name == name);
    let position = position.ok_or_else(|| Refusal::unknown_field(name))?;
    Ok((position, Value::from_json(&kind.line_fields[position], json)?))
}

fn body_value(kind: &RecordType, name: &str, json: &Json) -> Result<(usize, Value), Refusal> {
    let position = kind.position(name).ok_or_else(|| Refusal::unknown_field(name))?;
    let field: &Field = &kind.fields[position];
    if field.read_only {
        return Err(Refusal::read_only(field));
    }
    Ok((position, Value::from_json(field, json)?))
}

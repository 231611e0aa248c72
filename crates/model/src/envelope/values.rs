//! Natural JSON → typed values. The producer's spelling decides the shape; the field's rules come later, in the merge.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde_json::value::RawValue;

use super::json::{Object, Shape, array, shape, text};
use crate::TypedValue;
use crate::wire::{ExactDecimal, Findings};

/// What a line of an array may be named by.
const LINE_KEYS: [&str; 2] = ["id", "line"];
/// What a reference consists of; NetSuite's REST adds `links`.
const REFERENCE: [&str; 4] = ["id", "name", "refName", "links"];

/// The members of `changes`.
pub(super) fn fields(raw: &RawValue, findings: &mut Findings) -> Option<BTreeMap<String, TypedValue>> {
    Some(typed_members(Object::read(raw, findings)?.members(), false, findings))
}

fn typed_members(
    members: BTreeMap<String, &RawValue>,
    in_line: bool,
    findings: &mut Findings,
) -> BTreeMap<String, TypedValue> {
    let mut typed = BTreeMap::new();
    for (name, raw) in members {
        if let Some(value) = findings.under(&name, |f| value(raw, in_line, f)) {
            typed.insert(name, value);
        }
    }
    typed
}

fn value(raw: &RawValue, in_line: bool, findings: &mut Findings) -> Option<TypedValue> {
    match shape(raw) {
        Shape::Null => Some(TypedValue::Null),
        Shape::Boolean => Some(TypedValue::Bool(raw.get() == "true")),
        Shape::Text => text(raw, findings).map(TypedValue::Text),
        Shape::Number => number(raw, findings),
        Shape::Array => list(raw, in_line, findings),
        Shape::Object => object(raw, in_line, findings),
    }
}

fn number(raw: &RawValue, findings: &mut Findings) -> Option<TypedValue> {
    let spelled = raw.get();
    if let Ok(number) = spelled.parse() {
        return Some(TypedValue::Integer(number));
    }
    if ExactDecimal::parse(spelled).is_none() {
        findings.refuse(format!(
            "is a number spelled in {} characters; accepted are numbers of at most 28 digits",
            spelled.len()
        ));
        return None;
    }
    Some(TypedValue::Decimal(spelled.to_owned()))
}

/// An array of texts and whole numbers is a multi-select, one of objects is a sublist.
fn list(raw: &RawValue, in_line: bool, findings: &mut Findings) -> Option<TypedValue> {
    let items = array(raw, findings)?;
    if !items.is_empty() && items.iter().all(|item| shape(item) == Shape::Object) {
        return lines_of_list(items, in_line, findings);
    }
    let mut members = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        members.extend(findings.under(&index.to_string(), |f| name_of(item, f)));
    }
    Some(TypedValue::Set(members))
}

/// An id: text or a whole number.
fn name_of(raw: &RawValue, findings: &mut Findings) -> Option<String> {
    match shape(raw) {
        Shape::Text => text(raw, findings),
        Shape::Number if raw.get().parse::<i64>().is_ok() => Some(raw.get().to_owned()),
        found @ (Shape::Number | Shape::Null | Shape::Boolean | Shape::Array | Shape::Object) => {
            findings.refuse(format!("is {}; accepted are text and whole numbers", found.as_str()));
            None
        }
    }
}

fn lines_of_list(items: Vec<&RawValue>, in_line: bool, findings: &mut Findings) -> Option<TypedValue> {
    if no_lines_here(in_line, findings) {
        return None;
    }
    let mut lines = BTreeMap::new();
    for (index, item) in items.into_iter().enumerate() {
        findings.under(&index.to_string(), |f| {
            let object = Object::read(item, f)?;
            let named = LINE_KEYS.into_iter().find_map(|name| Some((name, object.get(name)?)));
            let Some((name, raw)) = named else {
                return f.refuse_member("id", "is missing; a line is named by id or line");
            };
            let key = f.under(name, |f| name_of(raw, f))?;
            let mut members = object.members();
            members.remove(name);
            let fields = typed_members(members, true, f);
            match lines.entry(key) {
                Entry::Vacant(line) => {
                    line.insert(fields);
                    Some(())
                }
                Entry::Occupied(_) => f.refuse_member(name, "names a line that stands in the list already"),
            }
        });
    }
    Some(TypedValue::Lines(lines))
}

/// An object is a reference, or a sublist when every member is an object.
fn object(raw: &RawValue, in_line: bool, findings: &mut Findings) -> Option<TypedValue> {
    let object = Object::read(raw, findings)?;
    if object.member("id").is_some_and(|id| shape(id) != Shape::Object) {
        return reference(object, findings);
    }
    let members = object.members();
    if no_lines_here(in_line, findings) {
        return None;
    }
    let mut lines = BTreeMap::new();
    for (key, raw) in members {
        findings.under(&key, |f| {
            let fields = typed_members(Object::read(raw, f)?.members(), true, f);
            lines.insert(key.clone(), fields);
            Some(())
        });
    }
    Some(TypedValue::Lines(lines))
}

fn reference(object: Object<'_>, findings: &mut Findings) -> Option<TypedValue> {
    let Some(id) = object.get("id") else { return Some(TypedValue::Null) };
    let id = findings.under("id", |f| name_of(id, f));
    let name = match ["name", "refName"].into_iter().find(|name| object.get(name).is_some()) {
        Some(member) => object.label(member, crate::wire::MAX_TEXT_BYTES, findings),
        None => Some(String::new()),
    };
    for (member, _) in object.members() {
        if !REFERENCE.contains(&member.as_str()) {
            findings.refuse_at(&member, "stands in a reference; accepted are id, name and refName");
        }
    }
    Some(TypedValue::Reference { id: id?, name: name? })
}

fn no_lines_here(in_line: bool, findings: &mut Findings) -> bool {
    if in_line {
        findings.refuse("is a sublist inside a line; a line has no sublists");
    }
    in_line
}

//! Record JSON as clients send it, turned into a draft.

use http::StatusCode;
use serde_json::{Map, Value as Json};

use super::{Problem, metadata};
use crate::account::Account;
use crate::wire::Call;
use crate::world::{Draft, RecordType};

/// Members of record JSON that say nothing about fields.
const SILENT: [&str; 3] = ["links", "id", "refName"];
const SUBLIST: &str = "item";

/// Reads the body of a POST, PATCH or PUT.
///
/// # Errors
/// No JSON object, or a field that is unknown, read-only or does not take the value.
pub(super) fn draft(account: &Account, call: &Call, kind: &RecordType) -> Result<Draft, Problem> {
    let overlay = account.world.overlay();
    // A transformation needs no body at all.
    let text: &[u8] = if call.body.is_empty() && call.path.contains("/!transform/") { b"{}" } else { &call.body };
    let Ok(Json::Object(body)) = serde_json::from_slice::<Json>(text) else {
        return Err(content("Invalid content in the request body.".to_owned(), None));
    };
    let lenient = call
        .header("x-netsuite-propertynamevalidation")
        .is_some_and(|rule| matches!(rule.to_lowercase().as_str(), "ignore" | "warning"));
    let mut changes = Map::new();
    let mut replaces = false;
    for (name, value) in body {
        if SILENT.contains(&name.as_str()) {
            continue;
        }
        if name == SUBLIST && kind.has_lines() {
            changes.insert("lines".to_owned(), sublist(&value)?);
            replaces = replaced(call, SUBLIST);
            continue;
        }
        if kind.sublists.iter().any(|(own, _)| *own == name) {
            changes.insert(name, value);
            continue;
        }
        match metadata::fields(kind, &overlay).find(|field| field.rest == name) {
            Some(field) => {
                changes.insert(field.name.to_owned(), value);
            }
            None if lenient => {}
            None => {
                return Err(content(format!("Unknown reference or field '{name}' in the request body."), Some(name)));
            }
        }
    }
    let mut draft = Draft::from_json(kind, &changes)?;
    draft.replace_lines = replaces;
    for children in &mut draft.children {
        let name = kind.sublists.iter().find(|(_, table)| *table == children.table).map_or("", |(name, _)| name);
        children.replace = replaced(call, name);
    }
    Ok(draft)
}

/// Whether `replace=` names a sublist.
fn replaced(call: &Call, sublist: &str) -> bool {
    call.param("replace").is_some_and(|list| list.split(',').any(|own| own.trim() == sublist))
}

/// `{"items": [{"line": 1, "item": {"id": "5"}, "quantity": 2}]}` as a list of lines.
fn sublist(json: &Json) -> Result<Json, Problem> {
    let Some(Json::Array(items)) = json.get("items") else {
        return Err(content("A sublist is an object with items.".to_owned(), Some(SUBLIST.to_owned())));
    };
    let lines = items.iter().enumerate().map(|(index, item)| match item {
        Json::Object(line) => {
            let mut line = line.clone();
            line.remove("links");
            // Follows from quantity and rate.
            line.remove("amount");
            Ok(Json::Object(line))
        }
        _ => Err(content("A line is an object.".to_owned(), Some(format!("item.items[{index}]")))),
    });
    lines.collect()
}

fn content(text: String, path: Option<String>) -> Problem {
    Problem::Request(StatusCode::BAD_REQUEST, "INVALID_CONTENT", text, path.map(|path| ("o:errorPath", path)))
}

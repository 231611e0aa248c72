//! Records as REST shows them: camelCase, real JSON types, nulls left out, references with their names.

use serde_json::{Map, Value as Json, json};

use super::Problem;
use crate::account::Account;
use crate::catalog::catalog;
use crate::wire::Call;
use crate::world::{Field, Kind, RecordType, Shape, Stored, Value};

/// A record with its links.
pub(super) fn record(account: &Account, call: &Call, kind: &RecordType, stored: &Stored) -> Result<Json, Problem> {
    let base = address(call, kind, stored.id);
    let wanted: Option<Vec<&str>> = call.param("fields").map(|list| list.split(',').map(str::trim).collect());
    let mut shown = Map::new();
    shown.insert("links".to_owned(), json!([{ "rel": "self", "href": base }]));
    shown.insert("id".to_owned(), Json::from(stored.id.to_string()));
    let overlay = account.world.overlay();
    for (field, value) in kind.fields.iter().zip(&stored.values) {
        let absent = !field.in_rest || field.feature.is_some_and(|feature| !overlay.has(feature));
        if absent || wanted.as_ref().is_some_and(|wanted| !wanted.contains(&field.rest)) {
            continue;
        }
        if let Some(json) = member(account, call, field, value, &base)? {
            shown.insert(field.rest.to_owned(), json);
        }
    }
    let expanded = call.param("expandSubResources") == Some("true");
    let opened = |name: &str| {
        let named = call.param("expand").is_some_and(|list| list.split(',').any(|own| own.trim() == name));
        expanded || named
    };
    if kind.has_lines() && wanted.is_none() {
        let sublist =
            if opened("item") { lines(account, call, kind, stored)? } else { links_only(&format!("{base}/item")) };
        shown.insert("item".to_owned(), sublist);
    }
    for (name, table) in kind.sublists.iter().filter(|_| wanted.is_none()) {
        let sublist = match Shape::of(kind, table).filter(|_| opened(name)) {
            Some(shape) => super::children::collection(account, call, &format!("{base}/{name}"), shape, stored.id)?,
            None => links_only(&format!("{base}/{name}")),
        };
        shown.insert((*name).to_owned(), sublist);
    }
    Ok(Json::Object(shown))
}

/// The item sublist as a collection.
pub(super) fn lines(account: &Account, call: &Call, kind: &RecordType, stored: &Stored) -> Result<Json, Problem> {
    let base = format!("{}/item", address(call, kind, stored.id));
    let mut items = Vec::new();
    for id in stored.lines.keys() {
        items.push(line(account, call, kind, stored, *id)?.unwrap_or(Json::Null));
    }
    Ok(collection(&base, items))
}

/// A whole collection on one page.
pub(super) fn collection(href: &str, items: Vec<Json>) -> Json {
    json!({
        "links": [{ "rel": "self", "href": href }],
        "count": items.len(),
        "hasMore": false,
        "offset": 0,
        "totalResults": items.len(),
        "items": items,
    })
}

/// One line; nothing when the order has no such line.
pub(super) fn line(
    account: &Account,
    call: &Call,
    kind: &RecordType,
    stored: &Stored,
    id: i64,
) -> Result<Option<Json>, Problem> {
    let Some(values) = stored.lines.get(&id) else { return Ok(None) };
    let base = format!("{}/item/{id}", address(call, kind, stored.id));
    let mut shown = Map::new();
    shown.insert("links".to_owned(), json!([{ "rel": "self", "href": base }]));
    shown.insert("line".to_owned(), Json::from(id));
    for (field, value) in kind.line_fields.iter().zip(values) {
        if let Some(json) = member(account, call, field, value, &base)? {
            shown.insert(field.rest.to_owned(), json);
        }
    }
    Ok(Some(Json::Object(shown)))
}

/// The URL of a record.
pub(super) fn address(call: &Call, kind: &RecordType, id: i64) -> String {
    format!("{}{}{}/{id}", call.origin(), super::RECORD_PREFIX, kind.rest)
}

fn links_only(href: &str) -> Json {
    json!({ "links": [{ "rel": "self", "href": href }] })
}

pub(super) fn member(
    account: &Account,
    call: &Call,
    field: &Field,
    value: &Value,
    base: &str,
) -> Result<Option<Json>, Problem> {
    if value.is_empty() {
        return Ok(None);
    }
    Ok(Some(match (field.kind, value) {
        (Kind::Reference(table), Value::Reference(id)) => {
            let name = account.world.title(table, *id)?.unwrap_or_default();
            let url = catalog().records().iter().find(|kind| kind.table == table).map_or(table, |kind| kind.rest);
            let href = format!("{}{}{url}/{id}", call.origin(), super::RECORD_PREFIX);
            json!({ "links": [{ "rel": "self", "href": href }], "id": id.to_string(), "refName": name })
        }
        (Kind::MultiSelect, Value::Set(options)) => {
            let items: Vec<Json> = options.iter().map(|id| json!({ "id": id, "refName": id })).collect();
            json!({ "links": [{ "rel": "self", "href": format!("{base}/{}", field.rest) }], "items": items })
        }
        (_, Value::Text(code)) if field.codes.is_some() => {
            let list = field.codes.and_then(|list| catalog().codes(list));
            // Codes of transactions are keyed by type; any type's word for the letter has the same second half.
            let word = list.and_then(|list| {
                let own = list.get(code.as_str());
                own.or_else(|| list.iter().find(|(key, _)| key.ends_with(&format!(":{code}"))).map(|(_, word)| word))
            });
            let word = word.map_or(code.as_str(), |word| word.rsplit(" : ").next().unwrap_or(word));
            json!({ "id": code, "refName": word })
        }
        (_, other) => other.to_json(),
    }))
}

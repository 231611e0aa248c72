//! Sublists as sub-resources: `/customer/5/addressBook`, `…/12`, `…/12/addressBookAddress`.

use axum::response::Response;
use serde_json::{Map, Value as Json, json};

use super::render::{address, member};
use super::{Problem, records};
use crate::account::Account;
use crate::catalog::RecordType;
use crate::wire::{Call, resource};
use crate::world::{Child, Shape, WorldError};

/// Answers a sublist, a line of it, or what is behind the line.
pub(super) fn answer(
    account: &Account,
    call: &Call,
    kind: &'static RecordType,
    id: &str,
    sublist: &str,
    rest: &[&str],
) -> Result<Response, Problem> {
    let found = kind.sublists.iter().find(|(name, _)| *name == sublist);
    let shape = found.and_then(|(_, table)| Shape::of(kind, table)).ok_or(WorldError::Absent)?;
    let stored = records::load(account, kind, id)?;
    let base = format!("{}/{sublist}", address(call, kind, stored.id));
    let [key, rest @ ..] = rest else {
        return Ok(resource("collection", &collection(account, call, &base, shape, stored.id)?));
    };
    let key: i64 = key.parse().map_err(|_| WorldError::Absent)?;
    let children = account.world.children(shape, stored.id)?;
    let child = children.iter().find(|child| child.key == key).ok_or(WorldError::Absent)?;
    let base = format!("{base}/{key}");
    match (rest, shape.behind) {
        ([], _) => Ok(resource("singular", &line(account, call, &base, shape, child)?)),
        ([name], Some((field, _))) if *name == field.rest => {
            Ok(resource("singular", &behind(account, call, &format!("{base}/{name}"), child)?))
        }
        _ => Err(WorldError::Absent.into()),
    }
}

/// A sublist with its lines.
pub(super) fn collection(
    account: &Account,
    call: &Call,
    base: &str,
    shape: Shape,
    parent: i64,
) -> Result<Json, Problem> {
    let children = account.world.children(shape, parent)?;
    let lines = children.iter().map(|child| line(account, call, &format!("{base}/{}", child.key), shape, child));
    let items = lines.collect::<Result<Vec<_>, _>>()?;
    Ok(super::render::collection(base, items))
}

fn line(account: &Account, call: &Call, base: &str, shape: Shape, child: &Child) -> Result<Json, Problem> {
    let mut shown = Map::new();
    shown.insert("links".to_owned(), json!([{ "rel": "self", "href": base }]));
    shown.insert("id".to_owned(), Json::from(child.key.to_string()));
    shown.insert("internalId".to_owned(), Json::from(child.key));
    for field in shape.fields() {
        let value = child.values.iter().find(|(own, _)| own.name == field.name).map(|(_, value)| value);
        if let Some(json) = value.map(|value| member(account, call, field, value, base)).transpose()?.flatten() {
            shown.insert(field.rest.to_owned(), json);
        }
    }
    if let Some((field, _)) = shape.behind {
        let href = format!("{base}/{}", field.rest);
        shown.insert(field.rest.to_owned(), behind(account, call, &href, child)?);
    }
    Ok(Json::Object(shown))
}

fn behind(account: &Account, call: &Call, base: &str, child: &Child) -> Result<Json, Problem> {
    let mut shown = Map::new();
    shown.insert("links".to_owned(), json!([{ "rel": "self", "href": base }]));
    for (field, value) in child.behind.iter().filter(|(field, _)| field.in_rest) {
        if let Some(json) = member(account, call, field, value, base)? {
            let json = if field.name == "country" { json!({ "id": json, "refName": json }) } else { json };
            shown.insert(field.rest.to_owned(), json);
        }
    }
    Ok(Json::Object(shown))
}

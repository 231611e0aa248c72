//! Record calls: list, create, read, change, upsert, delete.

use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value as Json, json};

use super::filter::{FilterError, Reader};
use super::{Problem, body, links, paging, render};
use crate::account::Account;
use crate::wire::{Call, empty_answer, resource};
use crate::world::{
    Author, Draft, INTEGRATION_USER, LineDraft, Operation, RecordType, Saving, Stored, Value, WorldError,
};

fn author() -> Author {
    Author { user: INTEGRATION_USER.to_owned(), context: "RESTWEBSERVICES".to_owned() }
}

/// Ids of a type, a page at a time.
pub(super) fn list(account: &Account, call: &Call, kind: &'static RecordType) -> Result<Response, Problem> {
    let (limit, offset) = paging(call)?;
    let overlay = account.world.overlay();
    let reader = Reader { kind, overlay: &overlay, zone: &account.world.zone, format: &account.world.date_format };
    let filter = call.param("q").map(|text| reader.read(text)).transpose().map_err(unfiltered)?.unwrap_or_default();
    let (ids, total) = account.world.page_of_ids(kind, (&filter.sql, &filter.params), (limit, offset))?;
    let items: Vec<Json> = ids
        .iter()
        .map(|id| {
            let href = render::address(call, kind, *id);
            json!({ "links": [{ "rel": "self", "href": href }], "id": id.to_string() })
        })
        .collect();
    let body = json!({
        "links": links(call, limit, offset, total),
        "count": items.len(),
        "hasMore": offset + items.len() < total,
        "items": items,
        "offset": offset,
        "totalResults": total,
    });
    Ok(resource("collection", &body))
}

fn unfiltered(error: FilterError) -> Problem {
    let (code, text) = match error {
        FilterError::UnknownField(name) => {
            ("NONEXISTENT_FIELD", format!("Field '{name}' does not exist or is not searchable."))
        }
        FilterError::Malformed(near) => ("INVALID_PARAMETER", format!("Invalid query parameter q near '{near}'.")),
    };
    Problem::Request(StatusCode::BAD_REQUEST, code, text, Some(("o:errorQueryParam", "q".to_owned())))
}

/// `POST …/5/!transform/invoice`: a new transaction with what the old one holds.
pub(super) fn transform(
    account: &Account,
    call: &Call,
    kind: &'static RecordType,
    id: &str,
    to: &str,
) -> Result<Response, Problem> {
    let target = RecordType::of_url(to).filter(|target| target.has_lines() && kind.has_lines());
    let target = target.ok_or_else(|| Problem::unknown_type(to))?;
    let stored = load(account, kind, id)?;
    let mut draft = body::draft(account, call, target)?;
    for name in ["entity", "memo", "otherrefnum"] {
        if !draft.values.iter().any(|(at, _)| target.fields[*at].name == name) {
            draft.set(target, name, stored.value(kind, name).clone());
        }
    }
    if draft.upsert.is_empty() {
        let lines = stored.lines.iter().map(|(line, values)| LineDraft {
            key: line.to_string(),
            line: None,
            values: values.iter().cloned().enumerate().collect(),
        });
        draft.upsert = lines.collect();
    }
    account.ledger.write_asked(Operation::Create);
    let new = insert(account, target, draft)?;
    Ok(written(call, target, new))
}

pub(super) fn create(account: &Account, call: &Call, kind: &'static RecordType) -> Result<Response, Problem> {
    account.ledger.write_asked(Operation::Create);
    let draft = body::draft(account, call, kind)?;
    let id = insert(account, kind, draft)?;
    Ok(written(call, kind, id))
}

pub(super) fn get(account: &Account, call: &Call, kind: &'static RecordType, id: &str) -> Result<Response, Problem> {
    let stored = load(account, kind, id)?;
    Ok(resource("singular", &render::record(account, call, kind, &stored)?))
}

pub(super) fn patch(account: &Account, call: &Call, kind: &'static RecordType, id: &str) -> Result<Response, Problem> {
    account.ledger.write_asked(Operation::Update);
    let id = resolve(account, kind, id)?.ok_or(WorldError::Absent)?;
    change(account, kind, id, body::draft(account, call, kind)?)?;
    Ok(written(call, kind, id))
}

/// `PUT …/eid:X`: changes the record with that external id, or creates it.
pub(super) fn upsert(account: &Account, call: &Call, kind: &'static RecordType, id: &str) -> Result<Response, Problem> {
    let Some(external_id) = id.strip_prefix("eid:") else {
        let text = "PUT is for external ids: use eid:.".to_owned();
        return Err(Problem::Request(StatusCode::BAD_REQUEST, "INVALID_REQUEST", text, None));
    };
    let mut draft = body::draft(account, call, kind)?;
    let id = match account.world.find_external(kind, external_id)? {
        Some(id) => {
            account.ledger.write_asked(Operation::Update);
            change(account, kind, id, draft)?;
            id
        }
        None => {
            account.ledger.write_asked(Operation::Create);
            draft.set(kind, "externalid", Value::Text(external_id.to_owned()));
            insert(account, kind, draft)?
        }
    };
    Ok(written(call, kind, id))
}

pub(super) fn delete(account: &Account, kind: &'static RecordType, id: &str) -> Result<Response, Problem> {
    account.ledger.write_asked(Operation::Delete);
    let id = resolve(account, kind, id)?.ok_or(WorldError::Absent)?;
    let attempt = |saving: &Saving<'_>| saving.delete(kind, &saving.load_unlocked(kind, id)?);
    account.scripts.before_submit(&author(), attempt)?;
    let ((), saves) = account.world.transact(&author(), |saving, scripted| {
        scripted.push(attempt(saving)?);
        Ok(())
    })?;
    account.ledger.write_done(Operation::Delete);
    account.scripts.after_submit(&saves);
    Ok(empty_answer(StatusCode::NO_CONTENT))
}

/// The item sublist of an order.
pub(super) fn lines(account: &Account, call: &Call, kind: &'static RecordType, id: &str) -> Result<Response, Problem> {
    let stored = load(account, kind, id)?;
    Ok(resource("collection", &render::lines(account, call, kind, &stored)?))
}

/// One line of an order.
pub(super) fn line(
    account: &Account,
    call: &Call,
    kind: &'static RecordType,
    id: &str,
    line: &str,
) -> Result<Response, Problem> {
    let stored = load(account, kind, id)?;
    let line = line.parse().map_err(|_| WorldError::Absent)?;
    let shown = render::line(account, call, kind, &stored, line)?.ok_or(WorldError::Absent)?;
    Ok(resource("singular", &shown))
}

fn insert(account: &Account, kind: &'static RecordType, mut draft: Draft) -> Result<i64, Problem> {
    draft.values.extend(account.scripts.before_submit(&author(), |saving| saving.create(kind, &draft, None))?);
    let (id, saves) = account.world.transact(&author(), |saving, scripted| {
        let saved = saving.create(kind, &draft, None)?;
        let id = saved.id;
        scripted.push(saved);
        Ok(id)
    })?;
    account.ledger.write_done(Operation::Create);
    account.scripts.after_submit(&saves);
    Ok(id)
}

fn change(account: &Account, kind: &'static RecordType, id: i64, mut draft: Draft) -> Result<(), Problem> {
    let attempt = |saving: &Saving<'_>, draft: &Draft| saving.update(kind, &saving.load_unlocked(kind, id)?, draft);
    draft.values.extend(account.scripts.before_submit(&author(), |saving| attempt(saving, &draft))?);
    let ((), saves) = account.world.transact(&author(), |saving, scripted| {
        scripted.push(attempt(saving, &draft)?);
        Ok(())
    })?;
    account.ledger.write_done(Operation::Update);
    account.scripts.after_submit(&saves);
    Ok(())
}

pub(super) fn load(account: &Account, kind: &'static RecordType, id: &str) -> Result<Stored, Problem> {
    let id = resolve(account, kind, id)?.ok_or(WorldError::Absent)?;
    Ok(account.world.find(kind, id)?.ok_or(WorldError::Absent)?)
}

/// The internal id that a path names, if such a record exists or the id at least could be one.
fn resolve(account: &Account, kind: &RecordType, id: &str) -> Result<Option<i64>, Problem> {
    if let Some(external_id) = id.strip_prefix("eid:") {
        let external_id = percent_encoding::percent_decode_str(external_id).decode_utf8_lossy();
        return Ok(account.world.find_external(kind, &external_id)?);
    }
    match id.parse() {
        Ok(id) => Ok(Some(id)),
        Err(_) => {
            let text = format!("Invalid record instance ID: {id}. Provide a valid record instance ID.");
            Err(Problem::Request(StatusCode::BAD_REQUEST, "INVALID_ID", text, None))
        }
    }
}

/// 204 with the record's address.
fn written(call: &Call, kind: &RecordType, id: i64) -> Response {
    let mut response = empty_answer(StatusCode::NO_CONTENT);
    if let Ok(location) = HeaderValue::from_str(&render::address(call, kind, id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

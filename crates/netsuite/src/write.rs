//! Guarded writes through the write RESTlet, at most ten to a call (protocol version 1, see the README).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::stream::{self, StreamExt};
use http::Method;
use model::spec::{FieldSpec, Kind, Policy, TypeSpec};
use model::{Fields, LineIds, NativeId, Timestamp, Value, WriteKind, WriteOutcome, WriteRequest};
use serde::Deserialize;
use serde_json::{Map, json};
use uuid::Uuid;

use crate::connection::{Call, CallError, Connection, LEAST_TIME_TO_SEND};
use crate::encode::{external_id, wire};
use crate::errors::{Meaning, Surface, record_refusal};

/// Most writes of one call (semantics §6).
pub const WRITES_PER_CALL: usize = 10;
/// Calls of one request under way at once; the gate has the last word.
const CALLS_AT_ONCE: usize = 4;

#[derive(Deserialize)]
struct Answered {
    results: Vec<ItemResult>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ItemResult {
    write_id: Uuid,
    status: Status,
    id: Option<String>,
    last_modified: Option<Timestamp>,
    #[serde(default)]
    lines: Option<BTreeMap<String, String>>,
    code: Option<String>,
    message: Option<String>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Stale,
    Fenced,
    Gone,
    Duplicate,
    Invalid,
}

/// A write that is ready to be sent, and where its outcome belongs.
struct Ready<'a> {
    index: usize,
    request: &'a WriteRequest,
    body: serde_json::Value,
}

/// One outcome per write, in order.
pub(crate) async fn write(connection: &Connection, spec: &TypeSpec, writes: &[WriteRequest]) -> Vec<WriteOutcome> {
    let mut outcomes: Vec<WriteOutcome> = vec![WriteOutcome::NotSent; writes.len()];
    let mut ready = Vec::new();
    for (index, request) in writes.iter().enumerate() {
        match item(spec, request) {
            Ok(body) => ready.push(Ready { index, request, body }),
            Err(outcome) => outcomes[index] = *outcome,
        }
    }
    let mut calls = Vec::new();
    for batch in ready.chunks(WRITES_PER_CALL) {
        calls.push(call(connection, spec, batch).boxed());
    }
    let mut calls = stream::iter(calls).buffer_unordered(CALLS_AT_ONCE);
    while let Some(settled) = calls.next().await {
        for (index, outcome) in settled {
            outcomes[index] = outcome;
        }
    }
    outcomes
}

/// Sends one batch. A batch goes by the earliest deadline in it, so that none is sent after its own.
async fn call(connection: &Connection, spec: &TypeSpec, batch: &[Ready<'_>]) -> Vec<(usize, WriteOutcome)> {
    let now = connection.now();
    let in_time = |at: Timestamp| Duration::try_from(at.duration_since(now)).is_ok_and(|d| d >= LEAST_TIME_TO_SEND);
    let batch: Vec<&Ready<'_>> = batch.iter().filter(|ready| in_time(ready.request.deadline)).collect();
    let Some(deadline) = batch.iter().map(|ready| ready.request.deadline).min() else { return Vec::new() };
    let writes: Vec<&serde_json::Value> = batch.iter().map(|ready| &ready.body).collect();
    let call = Call {
        surface: Surface::Restlet,
        method: Method::POST,
        url: connection.endpoints().write_restlet.clone(),
        body: Some(Bytes::from(json!({ "writes": writes }).to_string())),
        transient: false,
        deadline: Some(deadline),
    };
    match connection.write(&call).await {
        Ok(body) => results(connection, spec, &batch, &body),
        Err(error) => {
            let outcome = of_call(&error);
            if outcome == WriteOutcome::Unknown {
                tracing::warn!(
                    account = %connection.account(), code = error.code(), writes = batch.len(),
                    "account {}: {} writes were sent and their outcome is unknown ({})",
                    connection.account(), batch.len(), error.code()
                );
            }
            batch.iter().map(|ready| (ready.index, outcome.clone())).collect()
        }
    }
}

/// What the failure of a whole call means for each write of it.
fn of_call(error: &CallError) -> WriteOutcome {
    match error {
        CallError::Paused { rest } => WriteOutcome::Throttled { retry_after: Some(*rest) },
        CallError::NotSent { .. } => WriteOutcome::NotSent,
        CallError::Lost(_) => WriteOutcome::Unknown,
        // A script that died on its fifth write has carried out four.
        CallError::Refused(refusal) if !refusal.before_any_work() => WriteOutcome::Unknown,
        CallError::Refused(refusal) if refusal.meaning == Meaning::TooMany => {
            WriteOutcome::Throttled { retry_after: refusal.retry_after }
        }
        CallError::Refused(refusal) => WriteOutcome::Refused { code: refusal.code.to_owned() },
    }
}

/// An answer that does not fit the question, item by item, says nothing that can be trusted.
fn results(connection: &Connection, spec: &TypeSpec, batch: &[&Ready<'_>], body: &[u8]) -> Vec<(usize, WriteOutcome)> {
    let answered = serde_json::from_slice::<Answered>(body).ok().map(|answered| answered.results);
    let fits = |results: &Vec<ItemResult>| {
        results.len() == batch.len()
            && results.iter().zip(batch).all(|(result, ready)| result.write_id == ready.request.write_id)
    };
    let Some(results) = answered.filter(fits) else {
        tracing::warn!(
            account = %connection.account(), writes = batch.len(),
            "account {}: the write RESTlet's answer does not fit the {} writes it was given; their outcome is unknown",
            connection.account(), batch.len()
        );
        return batch.iter().map(|ready| (ready.index, WriteOutcome::Unknown)).collect();
    };
    batch.iter().zip(results).map(|(ready, result)| (ready.index, of_item(spec, ready.request, result))).collect()
}

fn of_item(spec: &TypeSpec, request: &WriteRequest, result: ItemResult) -> WriteOutcome {
    match result.status {
        Status::Ok => landed(spec, request, result),
        Status::Stale => WriteOutcome::Stale,
        Status::Fenced => WriteOutcome::Fenced,
        Status::Gone => WriteOutcome::Gone,
        Status::Duplicate => WriteOutcome::Duplicate,
        Status::Invalid => refused_item(spec, result.code.as_deref(), result.message.as_deref()),
    }
}

/// Landed; without an id that can be read, only the next read tells where.
fn landed(spec: &TypeSpec, request: &WriteRequest, result: ItemResult) -> WriteOutcome {
    let named = result.id.as_deref().and_then(|id| NativeId::parse(id).ok());
    let Some(native_id) = named.or_else(|| request.native_id.clone()) else { return WriteOutcome::Unknown };
    let mut line_ids = LineIds::new();
    if let (Some((field, _)), Some(lines)) = (sublist(spec), result.lines)
        && !lines.is_empty()
    {
        line_ids.insert(field.name.clone(), lines);
    }
    let token = result.last_modified.map(Timestamp::as_second);
    WriteOutcome::landed(native_id, token, line_ids)
}

/// A refusal of one record. Some of them are no fault of its content.
fn refused_item(spec: &TypeSpec, code: Option<&str>, message: Option<&str>) -> WriteOutcome {
    let refusal = record_refusal(code, message);
    match refusal.meaning {
        // The units ran out, or the script's time, before this item was begun.
        Meaning::TooMany | Meaning::Trouble => WriteOutcome::Throttled { retry_after: None },
        Meaning::Changed => WriteOutcome::Stale,
        Meaning::Login | Meaning::Permission | Meaning::Redirected => {
            WriteOutcome::Refused { code: refusal.code.to_owned() }
        }
        Meaning::Absent | Meaning::Content | Meaning::Query | Meaning::Setup => {
            let message = match labelled(spec, message.unwrap_or_default()).as_slice() {
                [] => refusal.sentence,
                fields => format!("{} (field {})", refusal.sentence.trim_end_matches('.'), fields.join(", ")),
            };
            WriteOutcome::Invalid { code: crate::errors::record_code(code), message }
        }
    }
}

/// NetSuite names a missing field by its label on the form. Where that is our field's name but for blanks and case
/// ("Company Name"), the row that a person sees says which field of ours it is.
fn labelled<'a>(spec: &'a TypeSpec, message: &str) -> Vec<&'a str> {
    let Some((_, labels)) = message.split_once("Please enter value(s) for: ") else { return Vec::new() };
    let squeezed = |label: &str| label.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    let labels: BTreeSet<String> = labels.split(',').map(squeezed).collect();
    spec.fields.iter().map(|field| field.name.as_str()).filter(|name| labels.contains(*name)).collect()
}

/// One write in the protocol's words; or the outcome of a write that cannot be put into them.
fn item(spec: &TypeSpec, request: &WriteRequest) -> Result<serde_json::Value, Box<WriteOutcome>> {
    let mut item = Map::new();
    item.insert("writeId".to_owned(), json!(request.write_id));
    item.insert("kind".to_owned(), json!(request.kind.as_str()));
    item.insert("type".to_owned(), json!(spec.name.as_str()));
    item.insert("id".to_owned(), json!(request.native_id.as_ref().map(NativeId::as_str)));
    item.insert("rid".to_owned(), json!(request.rid.to_string()));
    item.insert("stamp".to_owned(), json!(request.stamp));
    item.insert("expect".to_owned(), json!(request.expect));
    if request.kind == WriteKind::Create {
        item.insert("externalId".to_owned(), json!(external_id(request.rid)));
    }
    if request.kind != WriteKind::Create && request.native_id.is_none() {
        return Err(invalid("id_missing", "an update or delete needs the record's internal id"));
    }
    item.insert("changes".to_owned(), json!(body_fields(spec, &request.changes)));
    item.insert("pre".to_owned(), json!(pre(spec, request)?));
    if let Some((field, _)) = sublist(spec)
        && let Some(lines) = line_changes(field, request)?
    {
        item.insert("lines".to_owned(), lines);
    }
    Ok(serde_json::Value::Object(item))
}

fn body_fields(spec: &TypeSpec, fields: &Fields) -> Map<String, serde_json::Value> {
    let is_sublist = |name: &str| spec.field(name).is_some_and(|field| field.lines().is_some());
    fields.iter().filter(|(name, _)| !is_sublist(name)).map(|(name, value)| (name.clone(), wire(value))).collect()
}

/// The values the record must still hold. A delete's `pre` is the whole shadow, and in a shadow what is not there is
/// empty: said aloud, or a field that a user filled meanwhile would go down with the record.
fn pre(spec: &TypeSpec, request: &WriteRequest) -> Result<Map<String, serde_json::Value>, Box<WriteOutcome>> {
    let mut pre = body_fields(spec, &request.pre);
    if request.kind != WriteKind::Delete {
        return Ok(pre);
    }
    for field in spec.fields.iter().filter(|field| field.policy != Policy::Ignored && field.kind != Kind::Bool) {
        let held = match field.lines() {
            None => json!(null),
            Some(_) => all_lines(field, request)?,
        };
        pre.entry(field.name.clone()).or_insert(held);
    }
    Ok(pre)
}

/// Every line of the shadow by its NetSuite id: one more or one less is somebody's edit.
fn all_lines(field: &FieldSpec, request: &WriteRequest) -> Result<serde_json::Value, Box<WriteOutcome>> {
    let Some(lines) = request.pre.get(&field.name).and_then(Value::as_lines) else { return Ok(json!(null)) };
    let ids = request.line_ids.get(&field.name);
    let mut all = Map::new();
    for (key, line) in lines.iter().filter_map(|(key, line)| Some((key, line.as_ref()?))) {
        let Some(id) = ids.and_then(|ids| ids.get(key)) else {
            return Err(invalid("line_without_id", "a line of the record to be deleted has no NetSuite line id"));
        };
        all.insert(id.clone(), json!(plain(line)));
    }
    Ok(if all.is_empty() { json!(null) } else { json!(all) })
}

/// The sublist's part of a create or update: lines to set and lines to take away, each with what it must still hold.
fn line_changes(field: &FieldSpec, request: &WriteRequest) -> Result<Option<serde_json::Value>, Box<WriteOutcome>> {
    let lines_of = |fields: &Fields| fields.get(&field.name).and_then(Value::as_lines).cloned().unwrap_or_default();
    let (changes, pre) = (lines_of(&request.changes), lines_of(&request.pre));
    if changes.is_empty() || request.kind == WriteKind::Delete {
        return Ok(None);
    }
    let empty = BTreeMap::new();
    let ids = request.line_ids.get(&field.name).unwrap_or(&empty);
    let (mut upsert, mut remove) = (Vec::new(), Vec::new());
    for (key, change) in &changes {
        // The lines of an earlier generation are not those of a record yet to be created.
        let line = ids.get(key).filter(|_| request.kind == WriteKind::Update);
        let before = pre.get(key).and_then(Option::as_ref).map(plain);
        match (change, line) {
            (Some(fields), line) => upsert.push(json!({
                "key": key, "line": line, "changes": plain(fields),
                "pre": line.map(|_| before.unwrap_or_default()),
            })),
            (None, Some(line)) => remove.push(json!({ "line": line, "pre": before.unwrap_or_default() })),
            (None, None) => return Err(invalid("line_without_id", "a line to be removed has no NetSuite line id")),
        }
    }
    // Two keys for one line would write it twice in one save.
    let named: Vec<&String> = changes.keys().filter_map(|key| ids.get(key)).collect();
    if named.iter().collect::<BTreeSet<_>>().len() != named.len() {
        return Err(invalid("line_named_twice", "two lines have the same NetSuite line id"));
    }
    Ok(Some(json!({ "upsert": upsert, "remove": remove })))
}

fn plain(fields: &Fields) -> Map<String, serde_json::Value> {
    fields.iter().map(|(name, value)| (name.clone(), wire(value))).collect()
}

fn sublist(spec: &TypeSpec) -> Option<(&FieldSpec, &model::spec::LinesSpec)> {
    spec.fields.iter().find_map(|field| Some((field, field.lines()?)))
}

fn invalid(code: &str, message: &str) -> Box<WriteOutcome> {
    Box::new(WriteOutcome::Invalid { code: code.to_owned(), message: message.to_owned() })
}

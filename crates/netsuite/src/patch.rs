//! Writes by PATCH, for types whose records carry no stamp of ours: a look before, the system notes after. Nothing refuses a
//! write that comes too late, so one of unknown outcome keeps the side closed as long as it may live.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::stream::{self, StreamExt};
use http::Method;
use model::spec::{FieldSpec, Kind, Notes, TypeSpec, Unproven};
use model::{
    Fields, LineIds, NativeId, Observed, ReadRequest, RemoteError, Value, WriteKind, WriteOutcome, WriteRequest,
};
use serde_json::{Map, json};

use crate::connection::{Answer, Call, CallError, Connection};
use crate::encode::{external_id, wire};
use crate::errors::{Meaning, Surface, record_code};
use crate::notes;
use crate::read;

/// Requests under way at once; the gate has the last word.
const REQUESTS_AT_ONCE: usize = 4;
/// How much longer than our wait for its answer a request may live: what NetSuite gives a REST request at most, with room.
const LIFETIME_BEYOND_TIMEOUT: Duration = Duration::from_secs(240);

/// The code of a refusal for something that is taken.
const ALREADY_EXISTS: &str = "already_exists";

/// How long a request may land after its deadline.
pub(crate) fn quarantine(connection: &Connection) -> Duration {
    connection.timeout() + LIFETIME_BEYOND_TIMEOUT
}

/// One outcome per write, in order.
pub(crate) async fn write(
    connection: &Arc<Connection>,
    spec: &TypeSpec,
    notes: &Notes,
    writes: &[WriteRequest],
) -> Vec<WriteOutcome> {
    if connection.integration_user().is_none() {
        let refused = WriteOutcome::Refused { code: "integration_user_missing".to_owned() };
        return vec![refused; writes.len()];
    }
    let looked = look(connection, spec, notes, writes).await;
    let mut calls = Vec::new();
    for (request, looked) in writes.iter().zip(looked) {
        calls.push(async move { send(connection, spec, request, looked).await }.boxed());
    }
    let mut outcomes: Vec<(WriteOutcome, u64)> = stream::iter(calls).buffered(REQUESTS_AT_ONCE).collect().await;
    explain(connection, spec, notes, writes, &mut outcomes).await;
    outcomes.into_iter().map(|(outcome, _)| outcome).collect()
}

/// What may be sent, with the newest note it was looked at under; or what becomes of the write instead.
type Looked = Result<u64, WriteOutcome>;

/// Reads the records that are to be changed, and compares them with what the writes rest on.
async fn look(connection: &Arc<Connection>, spec: &TypeSpec, notes: &Notes, writes: &[WriteRequest]) -> Vec<Looked> {
    let known = writes.iter().filter(|write| write.kind != WriteKind::Create);
    let wants: Vec<ReadRequest> = known
        .map(|write| ReadRequest {
            rid: write.rid,
            native_id: write.native_id.clone(),
            generation: write.generation,
            unresolved: Vec::new(),
            note: write.note,
        })
        .collect();
    let mut answers =
        if wants.is_empty() { Vec::new() } else { read::read(connection, spec, &wants).await }.into_iter();
    let judged = writes.iter().map(|write| match write.kind {
        WriteKind::Create => Ok(0),
        WriteKind::Update | WriteKind::Delete => match answers.next() {
            Some(answer) => judge(notes, write, answer),
            None => Err(WriteOutcome::NotSent),
        },
    });
    judged.collect()
}

fn judge(notes: &Notes, write: &WriteRequest, answer: Result<Observed, RemoteError>) -> Looked {
    let observed = match answer {
        Ok(observed) => observed,
        Err(RemoteError::Forbidden { code, .. }) => return Err(WriteOutcome::Refused { code }),
        Err(RemoteError::Unavailable { retry_after, .. }) => return Err(WriteOutcome::Throttled { retry_after }),
        Err(RemoteError::Unreadable { .. }) => return Err(WriteOutcome::NotSent),
    };
    let held = |name: &String| observed.fields.get(name).cloned().unwrap_or_default();
    match observed.note {
        _ if !observed.exists => Err(WriteOutcome::Gone),
        _ if write.pre.iter().any(|(name, expected)| held(name) != *expected) => Err(WriteOutcome::Stale),
        // Its notes were never read, so none could be told from those of this write.
        _ if write.note == 0 => Err(WriteOutcome::Stale),
        _ if write.kind == WriteKind::Delete && notes.unproven == Unproven::Report => Err(unguarded_delete()),
        Some(note) => Ok(note),
        None => Err(WriteOutcome::NotSent),
    }
}

fn unguarded_delete() -> WriteOutcome {
    WriteOutcome::Invalid {
        code: "unguarded_delete".to_owned(),
        message: "The type is written by PATCH, and a deleted record has no notes: an edit made while the deletion is on its \
                  way would be lost unseen. Delete it in NetSuite, or set unproven = \"accept\" in its notes."
            .to_owned(),
    }
}

async fn send(
    connection: &Arc<Connection>,
    spec: &TypeSpec,
    request: &WriteRequest,
    looked: Looked,
) -> (WriteOutcome, u64) {
    let note = match looked {
        Ok(note) => note,
        Err(outcome) => return (outcome, 0),
    };
    let call = match call(connection, spec, request) {
        Ok(call) => call,
        Err(outcome) => return (*outcome, 0),
    };
    let outcome = match connection.exchange_write(&call).await {
        Ok(answer) => landed(request, &answer),
        Err(error) => of_call(&error),
    };
    match outcome {
        WriteOutcome::Invalid { code, message } if request.kind == WriteKind::Create && code == ALREADY_EXISTS => {
            (taken(connection, spec, request, message).await, note)
        }
        outcome => (outcome, note),
    }
}

/// Something of the new record is taken: our external id, and then an earlier attempt landed; or a name that must be its own.
async fn taken(connection: &Arc<Connection>, spec: &TypeSpec, request: &WriteRequest, message: String) -> WriteOutcome {
    let (rid, generation, unresolved) = (request.rid, request.generation, Vec::new());
    let want = ReadRequest { rid, native_id: None, generation, unresolved, note: 0 };
    match read::read(connection, spec, &[want]).await.pop() {
        Some(Ok(found)) if !found.exists => WriteOutcome::Invalid { code: ALREADY_EXISTS.to_owned(), message },
        Some(Ok(_)) => WriteOutcome::Duplicate,
        Some(Err(_)) | None => WriteOutcome::Unknown,
    }
}

fn call(connection: &Connection, spec: &TypeSpec, request: &WriteRequest) -> Result<Call, Box<WriteOutcome>> {
    let invalid = |code: &str, message: &str| {
        Box::new(WriteOutcome::Invalid { code: code.to_owned(), message: message.to_owned() })
    };
    let (method, id) = match (request.kind, &request.native_id) {
        (WriteKind::Create, _) => (Method::POST, None),
        (WriteKind::Update, Some(id)) => (Method::PATCH, Some(id.as_str())),
        (WriteKind::Delete, Some(id)) => (Method::DELETE, Some(id.as_str())),
        (WriteKind::Update | WriteKind::Delete, None) => {
            return Err(invalid("id_missing", "an update or delete needs the record's internal id"));
        }
    };
    let url = connection.endpoints().records(&spec.netsuite.rest, id);
    let url = url.ok_or_else(|| invalid("bad_address", "the record's address cannot be formed"))?;
    let body = match request.kind {
        WriteKind::Delete => None,
        WriteKind::Create | WriteKind::Update => {
            let mut body = body(spec, &request.changes).map_err(|field| {
                invalid("bad_value", &format!("{field} holds a number that JSON cannot carry exactly"))
            })?;
            if request.kind == WriteKind::Create {
                body.insert("externalId".to_owned(), json!(external_id(request.rid)));
            }
            Some(Bytes::from(serde_json::Value::Object(body).to_string()))
        }
    };
    Ok(Call { surface: Surface::Rest, method, url, body, transient: false, deadline: Some(request.deadline) })
}

/// Record JSON of SuiteTalk REST. On error the field that cannot be put into it.
fn body(spec: &TypeSpec, changes: &Fields) -> Result<Map<String, serde_json::Value>, String> {
    let mut body = Map::new();
    for (name, value) in changes {
        let Some(field) = spec.field(name) else { continue };
        let json = member(field, value).ok_or_else(|| name.clone())?;
        body.insert(field.rest.clone().unwrap_or_else(|| name.clone()), json);
    }
    Ok(body)
}

fn member(field: &FieldSpec, value: &Value) -> Option<serde_json::Value> {
    Some(match (&field.kind, value) {
        (Kind::Reference { .. }, Value::Text(id)) => json!({ "id": id }),
        (Kind::Set, Value::Set(ids)) => {
            json!({ "items": ids.iter().map(|id| json!({ "id": id })).collect::<Vec<_>>() })
        }
        (Kind::Set, Value::Null) => json!({ "items": [] }),
        (Kind::Decimal { .. }, Value::Text(text)) => number(text)?,
        (_, value) => wire(value),
    })
}

/// A decimal as a JSON number, if the number says the same.
fn number(text: &str) -> Option<serde_json::Value> {
    let number: f64 = text.parse().ok()?;
    let exact = model::wire::ExactDecimal::parse(text)? == model::wire::ExactDecimal::parse(&number.to_string())?;
    exact.then(|| json!(number))
}

fn landed(request: &WriteRequest, answer: &Answer) -> WriteOutcome {
    let made = || answer.location.as_deref().and_then(|url| NativeId::parse(url.rsplit('/').next()?).ok());
    // Without an id that can be read, only the next read tells where.
    match request.native_id.clone().or_else(made) {
        Some(native_id) => WriteOutcome::landed(native_id, None, LineIds::new()),
        None => WriteOutcome::Unknown,
    }
}

fn of_call(error: &CallError) -> WriteOutcome {
    let refusal = match error {
        CallError::Paused { rest } => return WriteOutcome::Throttled { retry_after: Some(*rest) },
        CallError::NotSent { .. } => return WriteOutcome::NotSent,
        CallError::Lost(_) => return WriteOutcome::Unknown,
        CallError::Refused(refusal) => refusal,
    };
    match refusal.meaning {
        Meaning::TooMany => WriteOutcome::Throttled { retry_after: refusal.retry_after },
        Meaning::Trouble => WriteOutcome::Unknown,
        Meaning::Absent => WriteOutcome::Gone,
        Meaning::Changed => WriteOutcome::Stale,
        Meaning::Content => {
            WriteOutcome::Invalid { code: record_code(Some(refusal.code)), message: refusal.sentence.clone() }
        }
        Meaning::Login | Meaning::Permission | Meaning::Redirected | Meaning::Query | Meaning::Setup => {
            WriteOutcome::Refused { code: refusal.code.to_owned() }
        }
    }
}

/// Reads in the notes what every update that landed replaced. Where they cannot be read the outcome counts as unknown: the
/// recovery reads them.
async fn explain(
    connection: &Connection,
    spec: &TypeSpec,
    notes: &Notes,
    writes: &[WriteRequest],
    outcomes: &mut [(WriteOutcome, u64)],
) {
    let updated = |(write, (outcome, note)): (&WriteRequest, &(WriteOutcome, u64))| match outcome {
        WriteOutcome::Ok { native_id, .. } if write.kind == WriteKind::Update => {
            Some((read::internal_id(native_id)?, *note))
        }
        _ => None,
    };
    let asked: Vec<(i64, u64)> = writes.iter().zip(outcomes.iter()).filter_map(updated).collect();
    if asked.is_empty() {
        return;
    }
    let found = notes::since(connection, notes, &asked).await;
    if let Err(error) = &found {
        tracing::warn!(
            account = %connection.account(), %error, writes = asked.len(),
            "account {}: {} writes landed, and the notes that tell what they replaced cannot be read: {error}",
            connection.account(), asked.len()
        );
    }
    let found: Option<BTreeMap<i64, Vec<notes::Note>>> = found.ok();
    for (write, (outcome, _)) in writes.iter().zip(outcomes) {
        let WriteOutcome::Ok { native_id, before, unproven, .. } = outcome else { continue };
        if write.kind != WriteKind::Update {
            continue;
        }
        let Some(found) = &found else {
            *outcome = WriteOutcome::Unknown;
            continue;
        };
        let newer = read::internal_id(native_id).and_then(|id| found.get(&id)).map_or(&[][..], Vec::as_slice);
        let told = notes::tell(spec, newer, Some((&write.changes, &write.pre)));
        if notes.unproven == Unproven::Report {
            *unproven = told.unproven;
        }
        if told.before.iter().any(|(name, held)| write.pre.get(name) != Some(held)) {
            let native_id = Some(native_id.clone());
            *before = Some(Box::new(Observed { exists: true, native_id, fields: told.before, ..Observed::default() }));
        }
    }
}

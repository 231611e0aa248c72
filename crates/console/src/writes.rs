//! What people may do.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use chassis::bus::{Message, lane};
use chassis::problem::Problem;
use http::StatusCode;
use merge::normal::normalise_changes;
use model::record::LockReason;
use model::spec::TypeSpec;
use model::{AccountId, Fields, RecordRef, RecordType, Side, TypedValue};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use steps::{Choice, ResolveError, ResolveRequest, StepError, lock_record, unlock as release};
use store::audit::Action;
use store::listing;
use uuid::Uuid;

use crate::Console;
use crate::answer::{Admin, Answer, Operator, bad, problem, store_failed};
use crate::audited::audited;
use crate::operations::{conflict_context, suggest};
use crate::record_id::find;

/// Reads a JSON body; only after the asker's role is settled.
pub(crate) fn body<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| bad(format!("the body is not the JSON expected here: {error}")))
}

fn step_failed(error: &StepError) -> Problem {
    let StepError::Store(error) = error;
    store_failed(error)
}

/// `POST …/resolve`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resolve {
    rev: u32,
    action: Verdict,
    #[serde(default)]
    changes: BTreeMap<String, Value>,
    #[serde(default)]
    note: String,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    AcceptSuitex,
    AcceptNetsuite,
    AcceptSuggested,
    Edit,
}

pub(crate) async fn resolve(
    asker: Operator,
    State(console): State<Arc<Console>>,
    Path(id): Path<Uuid>,
    bytes: Bytes,
) -> Answer {
    let request: Resolve = body(&bytes)?;
    let found = listing::conflict(&console.pool, id).await.map_err(|error| store_failed(&error))?;
    let Some((record, row)) = found else { return Err(problem(StatusCode::NOT_FOUND, "not_found")) };
    let subject = format!("conflict {id}");
    let (actor, note) = (asker.name.clone(), request.note.clone());
    let about = Action {
        actor: &actor,
        action: "resolve",
        record: Some(&record),
        subject: &subject,
        note: &note,
        ..Action::default()
    };
    audited(&console, &about, decide(&console, asker.name, id, (&record, &row), request)).await
}

async fn decide(
    console: &Console,
    actor: String,
    id: Uuid,
    (record, row): (&RecordRef, &Value),
    request: Resolve,
) -> Answer {
    let choice = choose(console, record, row, &request)?;
    let wanted = decided(row, &choice).map_err(|_| problem(StatusCode::INTERNAL_SERVER_ERROR, "failed"))?;
    let asked =
        ResolveRequest { record: record.clone(), conflict_id: id, rev: request.rev, choice, actor, note: request.note };
    match steps::resolve(&console.engine.core(), &asked).await {
        Ok(version) => Ok(Json(json!({ "conflict_id": id, "status": "resolved", "version": version })).into_response()),
        Err(ResolveError::Step(error)) => Err(step_failed(&error)),
        Err(ResolveError::NotOpen) => already(console, id, request.rev, &wanted).await,
        Err(ResolveError::Moved(_)) => {
            let context = conflict_context(&console.pool, id).await.map_err(|error| store_failed(&error))?;
            Err(problem(StatusCode::CONFLICT, "conflict_moved").with("context", context.unwrap_or_default()))
        }
    }
}

/// The values that would stand, as the decision is stored; null = the record would be deleted.
fn decided(row: &Value, choice: &Choice) -> serde_json::Result<Value> {
    match choice {
        Choice::Accept(Side::Suitex) => Ok(row["our_changes"].clone()),
        Choice::Accept(Side::Netsuite) => Ok(row["remote_snapshot"].clone()),
        Choice::Values(values) => serde_json::to_value(values),
    }
}

/// The same decision sent again is answered as it was the first time (K12). Another decision about values that are
/// decided already is told so: whoever sent it must not believe that it stands.
async fn already(console: &Console, id: Uuid, rev: u32, wanted: &Value) -> Answer {
    let found = listing::conflict(&console.pool, id).await.map_err(|error| store_failed(&error))?;
    let row = found.map(|(_, row)| row).unwrap_or_default();
    let made = &row["resolution"];
    if row["status"] == "resolved" && made["rev"] == rev && made["values"] == *wanted {
        return Ok(Json(json!({ "conflict_id": id, "status": "resolved" })).into_response());
    }
    let context = conflict_context(&console.pool, id).await.map_err(|error| store_failed(&error))?.unwrap_or_default();
    Err(problem(StatusCode::CONFLICT, "conflict_closed").with("context", context))
}

fn choose(console: &Console, record: &RecordRef, row: &Value, request: &Resolve) -> Result<Choice, Problem> {
    match request.action {
        Verdict::AcceptSuitex => Ok(Choice::Accept(Side::Suitex)),
        Verdict::AcceptNetsuite => Ok(Choice::Accept(Side::Netsuite)),
        Verdict::AcceptSuggested => {
            let (suitex, netsuite) = (&row["our_changes"], &row["remote_snapshot"]);
            let side = if suggest(suitex, netsuite) == *netsuite && !netsuite.is_null() {
                Side::Netsuite
            } else {
                Side::Suitex
            };
            Ok(Choice::Accept(side))
        }
        Verdict::Edit => {
            let spec =
                console.engine.world.get(&record.record_type).ok_or_else(|| bad("the record type is not synced"))?;
            if request.changes.is_empty() {
                return Err(bad("changes must name at least one field when the action is edit"));
            }
            if let Some(unknown) = request.changes.keys().find(|name| spec.field(name).is_none()) {
                return Err(bad(format!("changes.{unknown} is not a field of {}", record.record_type)));
            }
            decides(spec, row["field"].as_str().unwrap_or_default(), &request.changes)?;
            let mut typed = BTreeMap::new();
            for (name, value) in &request.changes {
                typed.insert(name.clone(), plain(name, value)?);
            }
            let values: Fields = normalise_changes(spec, &typed).map_err(|failure| bad(failure.reason))?;
            Ok(Choice::Values(values))
        }
    }
}

/// An edit names the conflict's field, or every field of its atomic group, and no other: a field left out would be emptied,
/// and one beside it would be overwritten unseen. A conflict about the whole record may name any.
fn decides(spec: &TypeSpec, field: &str, changes: &BTreeMap<String, Value>) -> Result<(), Problem> {
    let Some(leader) = spec.field(field) else { return Ok(()) };
    let members: Vec<&str> = spec.group_of(leader).iter().map(|member| member.name.as_str()).collect();
    if let Some(missing) = members.iter().find(|name| !changes.contains_key(**name)) {
        return Err(bad(format!("changes.{missing} is missing: {} are decided together", members.join(", "))));
    }
    match changes.keys().find(|name| !members.contains(&name.as_str())) {
        Some(other) => Err(bad(format!("changes.{other} is no part of this conflict, which is about {field}"))),
        None => Ok(()),
    }
}

/// A natural JSON value as a typed one.
fn plain(name: &str, value: &Value) -> Result<TypedValue, Problem> {
    let refused = || bad(format!("changes.{name} must be null, a boolean, a number, text or a list of texts"));
    Ok(match value {
        Value::Null => TypedValue::Null,
        Value::Bool(flag) => TypedValue::Bool(*flag),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => TypedValue::Integer(whole),
            None => TypedValue::Decimal(number.to_string()),
        },
        Value::String(text) => TypedValue::Text(text.clone()),
        Value::Array(items) => {
            let texts: Option<Vec<String>> = items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
            TypedValue::Set(texts.ok_or_else(refused)?)
        }
        Value::Object(_) => return Err(refused()),
    })
}

/// `POST /api/v1/locks`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewLock {
    #[serde(alias = "account_id")]
    account: String,
    #[serde(rename = "type", alias = "record_type")]
    record_type: String,
    #[serde(alias = "record_id", alias = "record")]
    id: String,
    field: Option<String>,
    #[serde(default, alias = "reason")]
    note: String,
}

pub(crate) async fn lock(asker: Operator, State(console): State<Arc<Console>>, bytes: Bytes) -> Answer {
    let request: NewLock = body(&bytes)?;
    let record = find(&console, &request.account, &request.record_type, &request.id).await?;
    let known = console.engine.world.get(&record.record_type);
    if let (Some(field), Some(spec)) = (&request.field, known)
        && spec.field(field).is_none()
    {
        return Err(bad(format!("field {field} is not a field of {}", record.record_type)));
    }
    let note = format!("{}: {}", asker.name, request.note);
    let action = Action {
        actor: &asker.name,
        action: "lock",
        record: Some(&record),
        subject: request.field.as_deref().unwrap_or_default(),
        note: &request.note,
        ..Action::default()
    };
    audited(&console, &action, async {
        let set =
            lock_record(&console.engine.core(), &record, request.field.as_deref(), LockReason::Admin, &note).await;
        match set.map_err(|error| step_failed(&error))? {
            Some(lock_id) => Ok((StatusCode::CREATED, Json(json!({ "lock_id": lock_id }))).into_response()),
            None => Err(problem(StatusCode::NOT_FOUND, "not_found")),
        }
    })
    .await
}

pub(crate) async fn unlock(asker: Operator, State(console): State<Arc<Console>>, Path(id): Path<Uuid>) -> Answer {
    let found = listing::lock(&console.pool, id).await.map_err(|error| store_failed(&error))?;
    let Some((record, conflict)) = found else { return Err(problem(StatusCode::NOT_FOUND, "not_found")) };
    let subject = format!("lock {id}");
    let action =
        Action { actor: &asker.name, action: "unlock", record: Some(&record), subject: &subject, ..Action::default() };
    audited(&console, &action, async {
        if let Some(conflict) = conflict {
            let problem = problem(StatusCode::CONFLICT, "locked_by_conflict").with("conflict_id", conflict.to_string());
            return Err(problem.detail("resolve the conflict instead"));
        }
        let released = release(&console.engine.core(), &record, &|lock| lock.lock_id == id).await;
        match released.map_err(|error| step_failed(&error))? {
            0 => Err(problem(StatusCode::NOT_FOUND, "not_found")),
            _ => Ok(StatusCode::NO_CONTENT.into_response()),
        }
    })
    .await
}

/// Ends an error by another attempt: a refused write is owed still, so its lock goes; a message is published again.
pub(crate) async fn retry(asker: Operator, State(console): State<Arc<Console>>, Path(id): Path<i64>) -> Answer {
    end_error(&console, &asker.name, id, "retry").await
}

pub(crate) async fn discard(asker: Operator, State(console): State<Arc<Console>>, Path(id): Path<i64>) -> Answer {
    end_error(&console, &asker.name, id, "discard").await
}

async fn end_error(console: &Console, actor: &str, id: i64, action: &'static str) -> Answer {
    let queued = listing::queued_error(&console.pool, id).await.map_err(|error| store_failed(&error))?;
    let Some(queued) = queued else { return Err(problem(StatusCode::NOT_FOUND, "not_found")) };
    let (record, account) = (record_of(&queued), AccountId::parse(&queued.account_id).ok());
    let subject = format!("error {id}");
    let about = Action {
        actor,
        action,
        account: account.as_ref(),
        record: record.as_ref(),
        subject: &subject,
        ..Action::default()
    };
    audited(console, &about, async {
        if queued.status != "open" {
            return Err(problem(StatusCode::CONFLICT, "not_open"));
        }
        let is_write = queued.attributes.contains_key("target");
        if let ("retry", false, Some(payload)) = (action, is_write, queued.payload.clone()) {
            republish(console, &queued.attributes, payload).await?;
        }
        free(console, record.as_ref()).await?;
        end(console, id, if action == "retry" { "retried" } else { "discarded" }, actor).await
    })
    .await
}

fn record_of(queued: &listing::Queued) -> Option<RecordRef> {
    let account = AccountId::parse(&queued.account_id).ok()?;
    let record_type = RecordType::parse(queued.record_type.as_deref()?).ok()?;
    Some(RecordRef { account, record_type, rid: queued.rid? })
}

/// Locks that errors set on the record go; what queued up behind them is looked at again.
async fn free(console: &Console, record: Option<&RecordRef>) -> Result<(), Problem> {
    let Some(record) = record else { return Ok(()) };
    let by_error = |lock: &model::record::Lock| lock.reason == LockReason::Error;
    release(&console.engine.core(), record, &by_error).await.map_err(|error| step_failed(&error))?;
    Ok(())
}

async fn end(console: &Console, id: i64, status: &'static str, by: &str) -> Answer {
    let ended = listing::settle_error(&console.pool, id, status, by).await.map_err(|error| store_failed(&error))?;
    if !ended {
        return Err(problem(StatusCode::CONFLICT, "not_open"));
    }
    Ok(Json(json!({ "id": id, "status": status })).into_response())
}

/// The message as it first came, without what its failure added.
async fn republish(console: &Console, attributes: &BTreeMap<String, String>, payload: Vec<u8>) -> Result<(), Problem> {
    let added = ["error_class", "reason", "reason_code", "attempts", "first_failed_at"];
    let original: BTreeMap<String, String> = attributes
        .iter()
        .filter(|(name, _)| !added.contains(&name.as_str()))
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect();
    let topics = &console.parts.core.topics;
    let message = Message {
        data: payload.into(),
        ordering_key: original.get("record_key").map(|key| lane(key, topics.lanes)),
        attributes: original,
    };
    for outcome in console.parts.bus.publish(&topics.raw, vec![message]).await {
        outcome.map_err(|error| {
            tracing::error!(%error, "a message could not be published again: {error}");
            problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable").retry_after(2)
        })?;
    }
    Ok(())
}

/// `PATCH /api/v1/accounts/{id}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountChange {
    suspended: bool,
}

pub(crate) async fn account(
    asker: Admin,
    State(console): State<Arc<Console>>,
    Path(id): Path<String>,
    bytes: Bytes,
) -> Answer {
    let change: AccountChange = body(&bytes)?;
    let id = AccountId::parse(&id).map_err(|error| bad(error.to_string()))?;
    let subject = if change.suspended { "suspend" } else { "resume" };
    let action = Action { actor: &asker.name, action: "account", account: Some(&id), subject, ..Action::default() };
    audited(&console, &action, async {
        let done = store::accounts::set_suspended(&console.pool, &id, change.suspended).await;
        if !done.map_err(|error| store_failed(&error))? {
            return Err(problem(StatusCode::NOT_FOUND, "not_found"));
        }
        Ok(Json(json!({ "account_id": id.as_str(), "suspended": change.suspended })).into_response())
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_names_all_of_an_atomic_group_and_nothing_else() {
        let world = model::spec::World::sample();
        let spec = world.get(&RecordType::parse("customer").unwrap()).unwrap();
        let changes = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), json!("1"))).collect();
        for whole in [vec!["terms", "currency"], vec!["currency", "terms"]] {
            assert!(decides(spec, "terms", &changes(&whole)).is_ok());
        }
        for (field, wrong) in
            [("terms", vec!["terms"]), ("terms", vec!["terms", "currency", "email"]), ("email", vec![])]
        {
            assert!(decides(spec, field, &changes(&wrong)).is_err(), "{wrong:?}");
        }
        assert!(decides(spec, "*", &changes(&["email", "terms"])).is_ok(), "the whole record");
    }
}

//! What people may do with a record's past: put a value back, and see what a period would have come to under other
//! policies.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use chassis::problem::Problem;
use http::{HeaderMap, StatusCode};
use merge::FoldError;
use model::{AccountId, Side, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use steps::{StepError, UndoError};
use store::audit::Action;
use store::replay::Snapshot;

use crate::Console;
use crate::answer::{Admin, Answer, Operator, bad, problem, store_failed};
use crate::audited::audited;
use crate::operations::conflict_context;
use crate::operations::undo::{Refusal, UndoAsk, undo as put_back};
use crate::operations::what_if::{Asked, WhatIfError, under, what_if};
use crate::record_id::find;
use crate::writes::body;

/// Longest `Idempotency-Key`, in characters.
const MAX_KEY: usize = 255;

/// `POST …/undo`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UndoBody {
    field: String,
    version: u64,
    side: Option<String>,
    #[serde(default)]
    note: String,
}

pub(crate) async fn undo(
    asker: Operator,
    State(console): State<Arc<Console>>,
    Path((account, record_type, id)): Path<(String, String, String)>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Answer {
    let request: UndoBody = body(&bytes)?;
    let side =
        request.side.as_deref().map(|side| Side::parse(side).ok_or_else(|| bad("side must be suitex or netsuite")));
    let side = side.transpose()?;
    let key = idempotency_key(&headers)?;
    let record = find(&console, &account, &record_type, &id).await?;
    let subject = format!("{} of version {}", request.field, request.version);
    let action = Action {
        actor: &asker.name,
        action: "undo",
        record: Some(&record),
        subject: &subject,
        note: &request.note,
        ..Action::default()
    };
    let ask = UndoAsk {
        field: request.field,
        version: request.version,
        side,
        key,
        actor: asker.name.clone(),
        note: request.note.clone(),
    };
    audited(&console, &action, async {
        match put_back(&console.pool, &console.engine.core(), &record, &ask).await {
            Ok(done) => Ok(Json(json!({
                "record_id": record.rid.to_string(),
                "field": ask.field,
                "version": done.version,
                "event_id": done.event_id,
            }))
            .into_response()),
            Err(refusal) => Err(refused(&console, refusal).await),
        }
    })
    .await
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().ok().map(str::trim).filter(|key| !key.is_empty() && key.len() <= MAX_KEY);
    let accepted = format!("Idempotency-Key must be 1 to {MAX_KEY} visible ASCII characters");
    key.map(|key| Some(key.to_owned())).ok_or_else(|| bad(accepted))
}

async fn refused(console: &Console, refusal: Refusal) -> Problem {
    let told = refusal.to_string();
    match refusal {
        Refusal::NoVersion { .. } => problem(StatusCode::NOT_FOUND, "not_found").detail(told),
        Refusal::Nothing(_) => problem(StatusCode::CONFLICT, "nothing_to_undo").detail(told),
        Refusal::Either(_) => problem(StatusCode::CONFLICT, "side_needed").detail(told),
        Refusal::KeyReused => problem(StatusCode::CONFLICT, "key_reused").detail(told),
        Refusal::Store(error) | Refusal::Step(UndoError::Step(StepError::Store(error))) => store_failed(&error),
        Refusal::Step(UndoError::NoRecord) => problem(StatusCode::NOT_FOUND, "not_found"),
        Refusal::Step(UndoError::Locked(lock)) => {
            let lock_id = lock.lock_id.to_string();
            problem(StatusCode::CONFLICT, "locked").with("lock_id", lock_id).detail(told)
        }
        Refusal::Step(UndoError::Refused(FoldError::InConflict(id))) => {
            let context = match conflict_context(&console.pool, id).await {
                Ok(context) => context.unwrap_or_default(),
                Err(error) => return store_failed(&error),
            };
            problem(StatusCode::CONFLICT, "in_conflict").with("context", context).detail("resolve the conflict instead")
        }
        Refusal::Step(UndoError::Refused(FoldError::Dead)) => problem(StatusCode::CONFLICT, "deleted").detail(told),
        Refusal::Step(
            UndoError::Moved
            | UndoError::Refused(
                FoldError::NoSuchConflict(_)
                | FoldError::StaleResolution { .. }
                | FoldError::NotOpenToUndo { .. }
                | FoldError::StandsAlready,
            ),
        ) => bad(told),
    }
}

/// `POST /api/v1/replay`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplayBody {
    account: String,
    from: String,
    to: String,
    #[serde(default)]
    policies: BTreeMap<String, BTreeMap<String, Value>>,
}

pub(crate) async fn replay(asker: Admin, State(console): State<Arc<Console>>, bytes: Bytes) -> Answer {
    let request: ReplayBody = body(&bytes)?;
    let account = AccountId::parse(&request.account).map_err(|error| bad(error.to_string()))?;
    let asked = Asked { account, from: instant("from", &request.from)?, to: instant("to", &request.to)? };
    if asked.from > asked.to {
        return Err(bad("from must not be after to"));
    }
    let other = under(&console.engine.world, &request.policies).map_err(bad)?;
    let subject = format!("{} to {}", asked.from, asked.to);
    let action = Action {
        actor: &asker.name,
        action: "replay",
        account: Some(&asked.account),
        subject: &subject,
        ..Action::default()
    };
    audited(&console, &action, async {
        let mut snapshot = Snapshot::take(&console.pool).await.map_err(|error| store_failed(&error))?;
        let found = what_if(&mut snapshot, &asked, &console.engine.world, &other).await;
        Ok(Json(found.map_err(|error| not_replayed(&error))?).into_response())
    })
    .await
}

fn instant(member: &str, text: &str) -> Result<Timestamp, Problem> {
    text.parse().map_err(|_| bad(format!("{member} must be an RFC 3339 instant such as 2026-11-14T13:12:05Z")))
}

fn not_replayed(error: &WhatIfError) -> Problem {
    match error {
        WhatIfError::NoAccount => problem(StatusCode::NOT_FOUND, "not_found").detail(error.to_string()),
        WhatIfError::Broken { record, .. } => problem(StatusCode::CONFLICT, "log_broken")
            .detail(error.to_string())
            .with("record_type", record.record_type.as_str())
            .with("record_id", record.rid.to_string()),
        WhatIfError::TooLong { .. } => problem(StatusCode::BAD_REQUEST, "period_too_long").detail(error.to_string()),
        WhatIfError::NoType(_) => problem(StatusCode::CONFLICT, "type_not_synced").detail(error.to_string()),
        WhatIfError::Store(error) => store_failed(error),
    }
}

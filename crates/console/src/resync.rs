//! Customer resync: the console stores what is asked, the reconciler does it, and the request's address tells how far it
//! is. The console speaks to neither side itself.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::IntoResponse;
use chassis::problem::Problem;
use http::{HeaderValue, StatusCode, header};
use model::{AccountId, NativeId, RecordRef, RecordType, Rid, Side};
use serde::Deserialize;
use serde_json::{Value, json};
use store::resyncs::{self, Asked};
use uuid::Uuid;

use crate::Console;
use crate::answer::{Answer, Operator, bad, problem, store_failed};

/// Most ids of one request; whoever means more means the type.
const MAX_IDS: usize = 1_000;
/// Records of a plan shown at once, if nobody names a number.
const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 500;
/// How long an application is waited for before its address is the answer. Looking at the sides again takes a request or
/// two; only a plan of a whole type takes longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// `?plan=true`.
#[derive(Deserialize)]
pub(crate) struct How {
    #[serde(default)]
    plan: bool,
}

/// `POST /api/v1/resync`: what to look at, or the plan to carry out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    account: Option<String>,
    #[serde(rename = "type")]
    record_type: Option<String>,
    ids: Option<Vec<String>>,
    plan: Option<Uuid>,
}

pub(crate) async fn resync(
    asker: Operator,
    State(console): State<Arc<Console>>,
    Query(how): Query<How>,
    bytes: Bytes,
) -> Answer {
    let body: Body = serde_json::from_slice(&bytes)
        .map_err(|error| bad(format!("the body is not the JSON expected here: {error}")))?;
    if let Some(plan) = body.plan {
        if body.account.is_some() || body.record_type.is_some() || body.ids.is_some() || how.plan {
            return Err(bad("plan stands alone: the plan knows its account, type and records"));
        }
        return apply(&console, plan, &asker.name).await;
    }
    let (account, record_type) = scope(&console, &body)?;
    let rids = match &body.ids {
        Some(ids) => Some(find_all(&console, &account, &record_type, ids).await?),
        None => None,
    };
    let resync_id = console.engine.ids.uuid();
    let asked = Asked {
        resync_id,
        account: &account,
        record_type: &record_type,
        plan: how.plan,
        rids,
        by: &asker.name,
        at: console.engine.clock.now(),
    };
    resyncs::ask(&console.pool, &asked).await.map_err(|error| store_failed(&error))?;
    accepted(&console, resync_id).await
}

/// 202 with the request's address and how it stands.
async fn accepted(console: &Console, id: Uuid) -> Answer {
    let shown = shown(console, id).await?;
    let href = format!("/api/v1/resync/{id}");
    let location = HeaderValue::from_str(&href).map_err(|_| problem(StatusCode::INTERNAL_SERVER_ERROR, "internal"))?;
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(shown)).into_response())
}

async fn shown(console: &Console, id: Uuid) -> Result<Value, Problem> {
    let found = resyncs::get(&console.pool, id).await.map_err(|error| store_failed(&error))?;
    found.ok_or_else(|| problem(StatusCode::NOT_FOUND, "not_found"))
}

fn scope(console: &Console, body: &Body) -> Result<(AccountId, RecordType), Problem> {
    let (Some(account), Some(record_type)) = (&body.account, &body.record_type) else {
        return Err(bad("the body must name account and type, or a plan"));
    };
    let account = AccountId::parse(account).map_err(|error| bad(error.to_string()))?;
    let record_type = RecordType::parse(record_type).map_err(|error| bad(error.to_string()))?;
    let settings = console.parts.accounts.get(&account);
    let settings = settings.ok_or_else(|| bad(format!("account {account} is not one of this installation")))?;
    if settings.suitex_database_url.is_none() {
        return Err(bad(format!("account {account} has no application database: there are no two sides to compare")));
    }
    if console.engine.world.get(&record_type).is_none() {
        let names: Vec<&str> = console.engine.world.types.iter().map(|spec| spec.name.as_str()).collect();
        return Err(bad(format!("type {record_type} is not synced; accepted are: {}", names.join(", "))));
    }
    Ok((account, record_type))
}

/// The records of these ids, each once, in their order; a problem names the ids nobody knows.
async fn find_all(
    console: &Console,
    account: &AccountId,
    record_type: &RecordType,
    ids: &[String],
) -> Result<Vec<Rid>, Problem> {
    if ids.is_empty() || ids.len() > MAX_IDS {
        return Err(bad(format!("ids must name 1 to {MAX_IDS} records; without ids all of the type are meant")));
    }
    let mut rids: Vec<(Rid, &String)> = Vec::new();
    let mut natives: [Vec<(NativeId, &String)>; 2] = [Vec::new(), Vec::new()];
    for id in ids {
        if let Ok(rid) = id.parse() {
            rids.push((Rid(rid), id));
            continue;
        }
        let named = id.split_once(':').and_then(|(side, native)| Some((Side::parse(side)?, native)));
        let Some((side, native)) = named else {
            return Err(bad(format!("ids: {id:?} must be an internal id (a UUID), netsuite:ID or suitex:ID")));
        };
        let native = NativeId::parse(native).map_err(|error| bad(format!("ids: {id:?}: {error}")))?;
        natives[usize::from(side == Side::Netsuite)].push((native, id));
    }
    let records = &console.engine.records;
    let mut unknown: Vec<&String> = Vec::new();
    for (side, wanted) in Side::BOTH.into_iter().zip(&natives) {
        let keys: Vec<_> = wanted.iter().map(|(native, _)| (record_type.clone(), native.clone())).collect();
        let found = records.lookup(account, side, &keys).await.map_err(|error| store_failed(&error))?;
        for (key, (_, id)) in keys.iter().zip(wanted) {
            match found.get(key) {
                Some(rid) => rids.push((*rid, id)),
                None => unknown.push(id),
            }
        }
    }
    rids.sort_unstable();
    rids.dedup_by_key(|(rid, _)| *rid);
    let key = |rid: &Rid| RecordRef { account: account.clone(), record_type: record_type.clone(), rid: *rid };
    let keys: Vec<RecordRef> = rids.iter().map(|(rid, _)| key(rid)).collect();
    let views = records.views(&keys, false).await.map_err(|error| store_failed(&error))?;
    let here: HashSet<Rid> =
        views.iter().filter(|view| view.record.head.merged_into.is_none()).map(|view| view.record.key.rid).collect();
    unknown.extend(rids.iter().filter(|(rid, _)| !here.contains(rid)).map(|(_, id)| *id));
    if !unknown.is_empty() {
        let detail = format!("{} of the ids belong to no {record_type} of {account}", unknown.len());
        return Err(bad(detail).with("unknown", json!(unknown)));
    }
    Ok(rids.into_iter().map(|(rid, _)| rid).collect())
}

/// Carries a plan out, once, if everything it stands on still stands.
async fn apply(console: &Console, id: Uuid, by: &str) -> Answer {
    let found = shown(console, id).await?;
    if found["kind"] != "plan" {
        return Err(bad("that request is no plan: it was carried out as it came"));
    }
    if !resyncs::apply(&console.pool, id, by).await.map_err(|error| store_failed(&error))? {
        return Err(refused(&shown(console, id).await?));
    }
    let verdict = async {
        loop {
            // Listening before looking: what moves in between is heard.
            let moved = console.moved.heard();
            let now = shown(console, id).await?;
            match now["status"].as_str() {
                Some("checking" | "applying") => moved.await,
                Some("applied") => return Ok(Json(now).into_response()),
                _ => return Err(refused(&now)),
            }
        }
    };
    match tokio::time::timeout(PATIENCE, verdict).await {
        Ok(verdict) => verdict,
        Err(_) => accepted(console, id).await,
    }
}

/// Why a plan is not carried out (now, any more).
fn refused(plan: &Value) -> Problem {
    let (code, detail) = match plan["status"].as_str() {
        Some("moved") => ("plan_moved", "these records are not as the plan found them; make a new one"),
        Some("queued" | "running") => ("plan_not_ready", "it is still being made"),
        Some("failed") => ("plan_failed", "a side did not answer; make a new one"),
        _ => ("plan_applied", "it has been carried out, or is being"),
    };
    let problem = problem(StatusCode::CONFLICT, code).detail(detail).with("plan_status", plan["status"].clone());
    match code {
        "plan_moved" => problem.with("records", plan["moved"].clone()),
        _ => problem,
    }
}

/// Where a plan is read on.
#[derive(Deserialize)]
pub(crate) struct Page {
    cursor: Option<Uuid>,
    limit: Option<usize>,
}

/// How a request stands; of a plan, the records that would change.
pub(crate) async fn status(
    _: Operator,
    State(console): State<Arc<Console>>,
    Path(id): Path<Uuid>,
    Query(page): Query<Page>,
) -> Answer {
    let limit = match page.limit.unwrap_or(DEFAULT_PAGE) {
        limit @ 1..=MAX_PAGE => limit,
        _ => return Err(bad(format!("limit must be 1 to {MAX_PAGE}"))),
    };
    let mut answer = shown(&console, id).await?;
    let after = page.cursor.map(Rid);
    let items =
        resyncs::items(&console.pool, id, after, true, limit + 1).await.map_err(|error| store_failed(&error))?;
    let next = if items.len() > limit { items.get(limit - 1).map(|item| item.rid) } else { None };
    answer["items"] = items.into_iter().take(limit).filter_map(|item| item.body).collect();
    answer["next_cursor"] = json!(next);
    Ok(Json(answer).into_response())
}

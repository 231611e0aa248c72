//! Certificates of completeness, and asking for a new one.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use chassis::problem::Problem;
use http::StatusCode;
use model::{AccountId, RecordType};
use serde_json::json;

use crate::Console;
use crate::answer::{Answer, Operator, Viewer, bad, problem, store_failed};

/// The account and type of a path; 404 when they are not ours.
fn known(console: &Console, account: &str, record_type: &str) -> Result<(AccountId, RecordType), Problem> {
    let account = AccountId::parse(account).map_err(|error| bad(error.to_string()))?;
    let record_type = RecordType::parse(record_type).map_err(|error| bad(error.to_string()))?;
    let missing = |what: String| Err(problem(StatusCode::NOT_FOUND, "not_found").detail(what));
    if console.parts.accounts.get(&account).is_none() {
        return missing(format!("{account} is not an account of this installation"));
    }
    if console.engine.world.get(&record_type).is_none() {
        return missing(format!("{record_type} is not a synced type"));
    }
    Ok((account, record_type))
}

/// The newest certificate.
pub(crate) async fn certificate(
    _: Viewer,
    State(console): State<Arc<Console>>,
    Path((account, record_type)): Path<(String, String)>,
) -> Answer {
    let (account, record_type) = known(&console, &account, &record_type)?;
    let found = store::sweeps::certificate(&console.pool, &account, &record_type).await;
    match found.map_err(|error| store_failed(&error))? {
        Some(certificate) => Ok(Json(certificate).into_response()),
        None => {
            Err(problem(StatusCode::NOT_FOUND, "not_found").detail(format!("no sweep of {record_type} has ended yet")))
        }
    }
}

/// Asks for a sweep now. The certificate that answers this request, or a later one, has `answers` ≥ `asked_at`.
pub(crate) async fn renew(
    _: Operator,
    State(console): State<Arc<Console>>,
    Path((account, record_type)): Path<(String, String)>,
) -> Answer {
    let (account, record_type) = known(&console, &account, &record_type)?;
    let now = console.engine.clock.now();
    // As the database keeps it: to the microsecond.
    let now = model::Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now);
    let asked = store::sweeps::request(&console.pool, &account, &record_type, now).await;
    asked.map_err(|error| store_failed(&error))?;
    let body = json!({ "account_id": account.as_str(), "record_type": record_type.as_str(), "asked_at": now });
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

//! The account as a whole: counters, logins, faults, pretended load, catalogue, reset.

use axum::Json;
use axum::body::Bytes;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::problem::Problem;
use super::{Named, parse, work};
use crate::faults::Rules;
use crate::pool::Integration;
use crate::world::{CustomType, SchemaChange};

/// What was asked and done, counted.
#[utoipa::path(get, path = "/accounts/{account}/ledger", params(("account" = String, Path)),
    responses((status = 200, description = "the counters")))]
pub(super) async fn ledger(Named(account): Named) -> Result<Json<Value>, Problem> {
    let waiting = work(account.clone(), |account| account.world.custom_count(CustomType::outbox())).await?;
    let mut counts = json!(account.ledger.read());
    counts["outbox"] = Value::from(waiting);
    counts["concurrency_limit"] = Value::from(account.pool.limit());
    counts["concurrency_free"] = Value::from(account.pool.free());
    Ok(Json(counts))
}

/// Starts counting again.
#[utoipa::path(delete, path = "/accounts/{account}/ledger", params(("account" = String, Path)), responses((status = 204)))]
pub(super) async fn clear_ledger(Named(account): Named) -> StatusCode {
    account.ledger.clear();
    StatusCode::NO_CONTENT
}

/// The login audit trail.
#[utoipa::path(get, path = "/accounts/{account}/login-audit", params(("account" = String, Path)),
    responses((status = 200, description = "logins, with reasons")))]
pub(super) async fn audit(Named(account): Named) -> Json<Value> {
    Json(json!({ "logins": account.audit.read() }))
}

/// The fault rules, with how often each matched and fired.
#[utoipa::path(get, path = "/accounts/{account}/faults", params(("account" = String, Path)),
    responses((status = 200, description = "rules")))]
pub(super) async fn faults(Named(account): Named) -> Json<Value> {
    Json(json!({ "rules": account.faults.list() }))
}

/// Adds fault rules.
#[utoipa::path(post, path = "/accounts/{account}/faults", params(("account" = String, Path)), request_body = Rules,
    responses((status = 200, description = "all rules"), (status = 400)))]
pub(super) async fn add_faults(Named(account): Named, body: Bytes) -> Result<Json<Value>, Problem> {
    let rules: Rules = parse(&body)?;
    account.faults.add(rules).map_err(|text| Problem::field("rules", &text))?;
    Ok(Json(json!({ "rules": account.faults.list() })))
}

/// Removes every fault rule.
#[utoipa::path(delete, path = "/accounts/{account}/faults", params(("account" = String, Path)), responses((status = 204)))]
pub(super) async fn clear_faults(Named(account): Named) -> StatusCode {
    account.faults.clear();
    StatusCode::NO_CONTENT
}

/// Load that is only pretended.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PhantomBody {
    /// Slots that some other integration uses.
    #[serde(default)]
    concurrency: u32,
    /// Other integrations by name, each with the slots it uses.
    #[serde(default)]
    integrations: Vec<Integration>,
}

/// The other integrations there seem to be.
#[utoipa::path(get, path = "/accounts/{account}/phantom", params(("account" = String, Path)),
    responses((status = 200, description = "concurrency, limit, integrations")))]
pub(super) async fn phantoms(Named(account): Named) -> Json<Value> {
    Json(account.pool.phantoms())
}

/// Pretends that other integrations use slots of the pool.
#[utoipa::path(post, path = "/accounts/{account}/phantom", params(("account" = String, Path)), request_body = PhantomBody,
    responses((status = 200, description = "concurrency, limit, integrations")))]
pub(super) async fn phantom(Named(account): Named, body: Bytes) -> Result<Json<Value>, Problem> {
    let body: PhantomBody = parse(&body)?;
    account.pool.pretend(body.concurrency, body.integrations);
    Ok(Json(account.pool.phantoms()))
}

/// Removes, renames, forbids or restores a column or table.
#[utoipa::path(post, path = "/accounts/{account}/schema", params(("account" = String, Path)), request_body = SchemaChange,
    responses((status = 200, description = "all changes in force"), (status = 400)))]
pub(super) async fn schema(Named(account): Named, body: Bytes) -> Result<Json<Value>, Problem> {
    let change: SchemaChange = parse(&body)?;
    let overlay = work(account, move |account| {
        account.world.change_schema(&change)?;
        Ok(account.world.overlay())
    })
    .await?;
    Ok(Json(json!(*overlay)))
}

/// Forgets records, rules, settings, load and counters; ids go on.
#[utoipa::path(post, path = "/accounts/{account}/reset", params(("account" = String, Path)), responses((status = 204)))]
pub(super) async fn reset(Named(account): Named) -> Result<StatusCode, Problem> {
    account.faults.clear();
    account.pool.pretend(0, Vec::new());
    work(account.clone(), |account| account.world.reset()).await?;
    account.apply_limit();
    account.world.take_late();
    account.scripts.cache().clear();
    account.scripts.journal().clear();
    account.ledger.clear();
    Ok(StatusCode::NO_CONTENT)
}

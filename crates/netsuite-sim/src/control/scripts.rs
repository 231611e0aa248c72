//! The account's SuiteScripts: running map/reduce scripts, the execution log, the cache.

use axum::Json;
use axum::body::Bytes;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::problem::Problem;
use super::{Named, parse};

/// A map/reduce script to run.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TaskBody {
    /// Script id.
    script: String,
    /// Script id of the deployment; without it, one that is not scheduled and free.
    #[serde(default)]
    deployment: Option<String>,
}

/// Runs a map/reduce script now and answers when it is finished.
#[utoipa::path(post, path = "/accounts/{account}/tasks", params(("account" = String, Path)), request_body = TaskBody,
    responses((status = 200, description = "maps, reduces, errors, units, output"), (status = 400), (status = 409)))]
pub(super) async fn task(Named(account): Named, body: Bytes) -> Result<Json<Value>, Problem> {
    let body: TaskBody = parse(&body)?;
    let scripts = account.scripts.clone();
    let run = move || scripts.run_now(&body.script, body.deployment.as_deref());
    let finished = tokio::task::spawn_blocking(run).await.map_err(|error| Problem::failed(&error))?;
    finished.map(|finished| Json(json!(finished))).map_err(|fault| Problem::fault(&fault))
}

/// The execution log.
#[utoipa::path(get, path = "/accounts/{account}/script-log", params(("account" = String, Path)),
    responses((status = 200, description = "entries, oldest first")))]
pub(super) async fn log(Named(account): Named) -> Json<Value> {
    Json(json!({ "entries": account.scripts.journal().read() }))
}

/// Makes N/cache lose everything.
#[utoipa::path(delete, path = "/accounts/{account}/script-cache", params(("account" = String, Path)), responses((status = 204)))]
pub(super) async fn clear_cache(Named(account): Named) -> StatusCode {
    account.scripts.cache().clear();
    StatusCode::NO_CONTENT
}

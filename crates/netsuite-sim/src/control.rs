//! The control API (`/_sim/v1/…`): what people and tests do to the simulated accounts. Loopback only.

mod problem;
mod settings;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, FromRequestParts, Path, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use http::request::Parts;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::account::Account;
use crate::app::App;
use crate::catalog::catalog;
use crate::clock::Mode;
use crate::faults::Rules;
use crate::world::{
    Amounts, Author, Edit, Import, Operation, RecordType, SCENARIOS, SchemaChange, Script, WorldError, iso,
};
use problem::Problem;

const MAX_LATE_SECONDS: f64 = 86_400.0;

/// The routes under `/_sim/v1`.
pub(crate) fn routes() -> Router<Arc<App>> {
    let account = Router::new()
        .route("/edit", post(edit))
        .route("/records/{type}", get(ids))
        .route("/records/{type}/{id}", get(record))
        .route("/dump/{type}", get(dump))
        .route("/ledger", get(ledger).delete(clear_ledger))
        .route("/login-audit", get(audit))
        .route("/faults", get(faults).post(add_faults).delete(clear_faults))
        .route("/phantom", post(phantom))
        .route("/schema", post(schema))
        .route("/scenario", get(scenarios).post(scenario))
        .route("/copy", post(copy))
        .route("/settings", get(settings::read).patch(settings::change))
        .route("/generate", post(generate))
        .route("/import", post(import))
        .route("/reset", post(reset));
    Router::new()
        .nest("/accounts/{account}", account)
        .route("/clock", get(clock).post(set_clock))
        .fallback(|| async { Problem::not_found("there is no such control resource") })
        .layer(axum::middleware::from_fn(loopback_only))
}

async fn loopback_only(ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request, next: Next) -> Response {
    if peer.ip().to_canonical().is_loopback() {
        next.run(request).await
    } else {
        Problem::forbidden("the control API answers this machine only").into_response()
    }
}

/// The account that the path names.
struct Named(Arc<Account>);

impl FromRequestParts<Arc<App>> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let path: Path<std::collections::HashMap<String, String>> =
            Path::from_request_parts(parts, app).await.map_err(|_| Problem::not_found("there is no such account"))?;
        let account = path.get("account").and_then(|id| app.account(id)).cloned();
        account.map(Self).ok_or_else(|| Problem::not_found("there is no such account"))
    }
}

/// Does work on an account away from the threads that serve connections.
async fn work<T, W>(account: Arc<Account>, work: W) -> Result<T, Problem>
where
    T: Send + 'static,
    W: FnOnce(&Account) -> Result<T, WorldError> + Send + 'static,
{
    match tokio::task::spawn_blocking(move || work(&account)).await {
        Ok(outcome) => outcome.map_err(Problem::from),
        Err(error) => Err(Problem::failed(&error)),
    }
}

fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem::malformed(&error))
}

fn kind(name: &str) -> Result<&'static RecordType, Problem> {
    RecordType::named(name).ok_or_else(|| {
        let known: Vec<&str> = catalog().records().iter().map(|kind| kind.name).collect();
        Problem::field("type", &format!("there is no record type {name}; there are {}", known.join(", ")))
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EditBody {
    #[serde(default = "anyone")]
    user: String,
    #[serde(default = "by_hand")]
    context: String,
    operation: Operation,
    #[serde(rename = "type")]
    type_name: String,
    #[serde(default)]
    id: Option<Value>,
    #[serde(default)]
    changes: Map<String, Value>,
    #[serde(default = "yes")]
    scripts: bool,
    /// Whole seconds, as stamps have them; parts are rounded up.
    #[serde(default)]
    visible_after_seconds: f64,
}

fn anyone() -> String {
    "user".to_owned()
}

fn by_hand() -> String {
    "USERINTERFACE".to_owned()
}

fn yes() -> bool {
    true
}

async fn edit(Named(account): Named, body: Bytes) -> Result<Json<Value>, Problem> {
    let body: EditBody = parse(&body)?;
    let kind = kind(&body.type_name)?;
    let id = match &body.id {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.parse().map_err(|_| Problem::absent())?),
        Some(Value::Number(number)) => number.as_i64(),
        Some(_) => return Err(Problem::field("id", "an id is text of digits")),
    };
    let late = body.visible_after_seconds.ceil();
    if !(0.0..=MAX_LATE_SECONDS).contains(&late) {
        return Err(Problem::field("visible_after_seconds", "visible_after_seconds is from 0 to 86400"));
    }
    let late = late as u32;
    let edit = Edit {
        user: body.user,
        context: body.context,
        operation: body.operation,
        type_name: kind.name.to_owned(),
        id,
        changes: body.changes,
        scripts: body.scripts,
        visible_after_seconds: late,
    };
    let saved = work(account.clone(), move |account| account.world.edit(&edit)).await?;
    account.ledger.user_edit();
    let mut answer = json!({ "id": saved.id.to_string(), "lastModified": iso(saved.at) });
    if kind.has_lines() {
        answer["lines"] = saved.lines.iter().map(|(key, id)| (key.clone(), Value::from(id.to_string()))).collect();
    }
    Ok(Json(answer))
}

async fn ids(Named(account): Named, Path((_, name)): Path<(String, String)>) -> Result<Json<Value>, Problem> {
    let kind = kind(&name)?;
    let ids = work(account, move |account| account.world.ids(kind)).await?;
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    Ok(Json(json!({ "ids": ids })))
}

async fn record(
    Named(account): Named,
    Path((_, name, id)): Path<(String, String, String)>,
) -> Result<Json<Value>, Problem> {
    let kind = kind(&name)?;
    let id: i64 = id.parse().map_err(|_| Problem::absent())?;
    let stored = work(account, move |account| account.world.find(kind, id)).await?.ok_or_else(Problem::absent)?;
    Ok(Json(json!({ "id": id.to_string(), "fields": stored.to_json(kind) })))
}

async fn dump(Named(account): Named, Path((_, name)): Path<(String, String)>) -> Result<Json<Value>, Problem> {
    let kind = kind(&name)?;
    let records = work(account, move |account| account.world.dump(kind)).await?;
    Ok(Json(json!({ "records": records })))
}

async fn ledger(Named(account): Named) -> Response {
    let mut counts = json!(account.ledger.read());
    counts["concurrency_limit"] = Value::from(account.pool.limit());
    counts["concurrency_free"] = Value::from(account.pool.free());
    Json(counts).into_response()
}

async fn clear_ledger(Named(account): Named) -> StatusCode {
    account.ledger.clear();
    StatusCode::NO_CONTENT
}

async fn audit(Named(account): Named) -> Json<Value> {
    Json(json!({ "logins": account.audit.read() }))
}

async fn faults(Named(account): Named) -> Json<Value> {
    Json(json!({ "rules": account.faults.list() }))
}

async fn add_faults(Named(account): Named, body: Bytes) -> Result<Json<Value>, Problem> {
    let rules: Rules = parse(&body)?;
    account.faults.add(rules).map_err(|text| Problem::field("rules", &text))?;
    Ok(Json(json!({ "rules": account.faults.list() })))
}

async fn clear_faults(Named(account): Named) -> StatusCode {
    account.faults.clear();
    StatusCode::NO_CONTENT
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PhantomBody {
    concurrency: u32,
}

async fn phantom(Named(account): Named, body: Bytes) -> Result<Json<Value>, Problem> {
    let body: PhantomBody = parse(&body)?;
    account.pool.pretend(body.concurrency);
    Ok(Json(json!({ "concurrency": body.concurrency, "limit": account.pool.limit() })))
}

async fn schema(Named(account): Named, body: Bytes) -> Result<Json<Value>, Problem> {
    let change: SchemaChange = parse(&body)?;
    let overlay = work(account, move |account| {
        account.world.change_schema(&change)?;
        Ok(account.world.overlay())
    })
    .await?;
    Ok(Json(json!(*overlay)))
}

async fn scenarios(Named(_): Named) -> Json<Value> {
    let list = SCENARIOS.iter().map(|scenario| json!({ "name": scenario.name, "pitfall": scenario.pitfall }));
    Json(json!({ "scenarios": list.collect::<Vec<_>>() }))
}

async fn scenario(Named(account): Named, body: Bytes) -> Result<Json<Value>, Problem> {
    let script: Script = parse(&body)?;
    Ok(Json(work(account, move |account| account.world.play(&script)).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CopyBody {
    #[serde(default = "anyone")]
    user: String,
    #[serde(default = "by_hand")]
    context: String,
    #[serde(rename = "type")]
    type_name: String,
    id: String,
    #[serde(default = "yes")]
    scripts: bool,
}

async fn copy(Named(account): Named, body: Bytes) -> Result<Json<Value>, Problem> {
    let body: CopyBody = parse(&body)?;
    let kind = kind(&body.type_name)?;
    let id = body.id.parse().map_err(|_| Problem::absent())?;
    let author = Author { user: body.user, context: body.context };
    let saved = work(account, move |account| account.world.copy(kind, id, &author, body.scripts)).await?;
    Ok(Json(json!({ "id": saved.id.to_string(), "lastModified": iso(saved.at) })))
}

async fn generate(Named(account): Named, body: Bytes) -> Result<Json<Value>, Problem> {
    let amounts: Amounts = parse(&body)?;
    let made = work(account, move |account| account.world.generate(&amounts)).await?;
    Ok(Json(json!(made)))
}

async fn import(Named(account): Named, body: Bytes) -> Result<Json<Value>, Problem> {
    let import: Import = parse(&body)?;
    let done = work(account, move |account| account.world.import(&import)).await?;
    Ok(Json(json!(done)))
}

async fn reset(Named(account): Named) -> Result<StatusCode, Problem> {
    account.faults.clear();
    account.pool.pretend(0);
    work(account.clone(), |account| account.world.reset()).await?;
    account.apply_limit();
    account.ledger.clear();
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockBody {
    #[serde(default)]
    mode: Option<Mode>,
    #[serde(default)]
    now: Option<Timestamp>,
    #[serde(default)]
    advance_seconds: Option<i64>,
}

async fn clock(State(app): State<Arc<App>>) -> Json<Value> {
    let (mode, now) = app.clock.state();
    Json(json!({ "mode": mode, "now": now }))
}

async fn set_clock(State(app): State<Arc<App>>, body: Bytes) -> Result<Json<Value>, Problem> {
    let body: ClockBody = parse(&body)?;
    app.clock.set(body.mode, body.now, body.advance_seconds).map_err(|text| Problem::field("mode", text))?;
    let (mode, now) = app.clock.state();
    Ok(Json(json!({ "mode": mode, "now": now })))
}

#![doc = include_str!("../README.md")]
// A refusal is built once per refused request; boxing it would only make every signature longer.
#![allow(clippy::result_large_err)]

mod answer;
mod audited;
mod certificates;
mod config;
mod history;
mod moved;
mod openapi;
pub mod operations;
mod reads;
mod record_id;
mod resync;
mod snapshots;
mod writes;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{delete, get, post};
use chassis::Parts;
use chassis::health::Progress;
use chassis::snapshots::Snapshots;
use http::StatusCode;
use model::{PerSide, Side};
use sqlx::PgPool;
use steps::{Absent, Engine};
use store::PgRecords;

use answer::problem;
pub use config::{Config, Role, Tokens};

/// What every request is answered from.
pub(crate) struct Console {
    pub(crate) pool: PgPool,
    pub(crate) engine: Engine,
    pub(crate) tokens: Tokens,
    pub(crate) parts: Parts,
    /// What the reconciler announces.
    pub(crate) moved: moved::Moved,
    /// Where large events lie.
    pub(crate) snapshots: Option<Arc<Snapshots>>,
}

/// Longest the console may take until it can answer; it waits for the database as long as it must.
const ANSWERS_WITHIN: Duration = Duration::from_secs(3_600);

/// Serves the API until shutdown, and relays what people's decisions leave in the outbox.
///
/// # Errors
/// The record types' file.
pub fn start(parts: Parts, config: Config) -> impl Future<Output = anyhow::Result<()>> {
    // From the beginning on: a console that called itself ready without its routes would refuse what it is asked.
    let building = parts.health.progress("the API", ANSWERS_WITHIN);
    building.block("its routes are not there yet");
    serve(parts, config, building)
}

async fn serve(parts: Parts, config: Config, building: Progress) -> anyhow::Result<()> {
    let mut engine = Engine {
        records: chassis::crash::records(Arc::new(PgRecords::new(parts.pool.clone()))),
        remotes: PerSide { suitex: Arc::new(Absent(Side::Suitex)), netsuite: Arc::new(Absent(Side::Netsuite)) },
        world: Arc::new(chassis::sync::world(&parts.core)?),
        clock: parts.clock.clone(),
        ids: parts.ids.clone(),
        settings: config.limits,
    };
    let Some(limits) = chassis::rules::numbered(&parts, engine.settings.clone()).await? else { return Ok(()) };
    engine.settings = limits;
    // Where an account is known it can be suspended; the gate itself is the writers' business.
    if chassis::gate::Gate::open(&parts).await.is_none() {
        return Ok(());
    }
    let console = Console {
        pool: parts.pool.clone(),
        engine,
        tokens: config.tokens,
        parts: parts.clone(),
        moved: moved::Moved::default(),
        snapshots: config.snapshots,
    };
    let console = Arc::new(console);
    parts.routes.mount(router(console.clone()));
    drop(building);
    tokio::join!(parts.relay(), console.moved.listen(&parts), parts.shutdown.cancelled());
    Ok(())
}

/// The API of contracts §6, as far as it is built: see the README.
fn router(console: Arc<Console>) -> Router {
    Router::new()
        .route("/openapi.json", get(openapi::document))
        .route("/api/v1/state/{account}/{record_type}/{id}", get(reads::state))
        .route("/api/v1/records/{account}/{record_type}/{id}/timeline", get(reads::timeline))
        .route("/api/v1/records/{account}/{record_type}/{id}/blame", get(reads::blame))
        .route("/api/v1/records/{account}/{record_type}/{id}/undo", post(history::undo))
        .route("/api/v1/replay", post(history::replay))
        .route("/api/v1/events", get(reads::events))
        .route("/api/v1/events/{account}/{id}/snapshot", get(snapshots::snapshot))
        .route("/api/v1/conflicts", get(reads::conflicts))
        .route("/api/v1/conflicts/{id}", get(reads::conflict))
        .route("/api/v1/conflicts/{id}/resolve", post(writes::resolve))
        .route("/api/v1/locks", get(reads::locks).post(writes::lock))
        .route("/api/v1/locks/{id}", delete(writes::unlock))
        .route("/api/v1/errors", get(reads::errors))
        .route("/api/v1/errors/{id}/retry", post(writes::retry))
        .route("/api/v1/errors/{id}/discard", post(writes::discard))
        .route("/api/v1/certificates/{account}/{record_type}", get(certificates::certificate).post(certificates::renew))
        .route("/api/v1/resync", post(resync::resync))
        .route("/api/v1/resync/{id}", get(resync::status))
        .route("/api/v1/accounts", get(reads::accounts))
        .route("/api/v1/accounts/{account}", axum::routing::patch(writes::account))
        .method_not_allowed_fallback(async || problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"))
        .fallback(async || problem(StatusCode::NOT_FOUND, "no_such_address"))
        .layer(axum::middleware::map_response(answer::as_problem))
        .with_state(console)
}

#![doc = include_str!("../README.md")]

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use chassis::Parts;
use chassis::problem::Problem;
use http::{HeaderMap, StatusCode};
use serde_json::json;
use tracing::Instrument;

mod body;
mod config;
mod refusal;
mod relay;
mod share;
mod signature;

pub use config::IngestSettings;
pub use refusal::{MAX_BODY_BYTES, Refusal};
pub use relay::{Accepted, Relay};
pub use signature::{MAX_ID_BYTES, MIN_SECRET_BYTES, SigningKey, TOLERANCE_SECONDS};

/// Serves until shutdown, then finishes the requests under way.
///
/// # Errors
/// A signing secret that cannot be used.
pub async fn start(parts: Parts, settings: IngestSettings) -> anyhow::Result<()> {
    let topics = parts.core.topics.clone();
    let relay = Arc::new(Relay::new(settings, &parts.accounts, parts.bus.clone(), topics, parts.clock.clone())?);
    parts.routes.mount(router(relay.clone()));
    parts.shutdown.cancelled().await;
    relay.drain().await;
    Ok(())
}

/// The relay's one route.
pub fn router(relay: Arc<Relay>) -> Router {
    Router::new()
        .route("/v1/accounts/{account_id}/events", post(take))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Events are sent by POST")
        })
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "not_found", "There is nothing here"))
        .with_state(relay)
}

async fn take(
    State(relay): State<Arc<Relay>>,
    account: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    // A path that cannot be read names no account, and an unknown account looks like a wrong signature.
    let account = account.map(|Path(account)| account).unwrap_or_default();
    // Known once it is trusted; the path alone may say anything.
    let span = tracing::info_span!("take", account_id = tracing::field::Empty);
    chassis::trace::adopt(&span, [relay::sender_trace(&headers)].iter());
    match relay.take(&account, &headers, body).instrument(span).await {
        Ok(accepted) => (StatusCode::ACCEPTED, axum::Json(json!({ "accepted": accepted }))).into_response(),
        Err(refusal) => {
            tracing::debug!(code = refusal.code(), "a request is refused: {refusal}");
            refusal.into_response()
        }
    }
}

//! NetSuite's clock.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::parse;
use super::problem::Problem;
use crate::app::App;
use crate::clock::Mode;

/// What the clock is to do.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ClockBody {
    #[serde(default)]
    mode: Option<Mode>,
    /// The moment it is to show.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    now: Option<Timestamp>,
    /// Seconds to go on by; for the virtual clock.
    #[serde(default)]
    advance_seconds: Option<i64>,
}

/// The mode and the present moment.
#[utoipa::path(get, path = "/clock", responses((status = 200, description = "mode and now")))]
pub(super) async fn read(State(app): State<Arc<App>>) -> Json<Value> {
    let (mode, now) = app.clock.state();
    Json(json!({ "mode": mode, "now": now }))
}

/// Sets or advances the clock.
#[utoipa::path(post, path = "/clock", request_body = ClockBody,
    responses((status = 200, description = "mode and now"), (status = 400)))]
pub(super) async fn set(State(app): State<Arc<App>>, body: Bytes) -> Result<Json<Value>, Problem> {
    let body: ClockBody = parse(&body)?;
    app.clock.set(body.mode, body.now, body.advance_seconds).map_err(|text| Problem::field("mode", text))?;
    let (mode, now) = app.clock.state();
    Ok(Json(json!({ "mode": mode, "now": now })))
}

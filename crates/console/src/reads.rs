//! What people may look at.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::IntoResponse;
use chassis::problem::Problem;
use http::{HeaderValue, StatusCode, header};
use model::{AccountId, RecordType, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use store::listing::{self, Cursor, EventFilter, MAX_PAGE, Page};
use uuid::Uuid;

use crate::Console;
use crate::answer::{Answer, Operator, Viewer, bad, problem, store_failed};
use crate::operations::{self, conflict_context, state_at};
use crate::record_id::find;
use crate::snapshots;

/// Rows of a page nobody named a size for.
const DEFAULT_PAGE: i64 = 100;
/// Most items of a timeline.
const TIMELINE: i64 = 1_000;

/// `?version=` or `?at=` of a state.
#[derive(Deserialize)]
pub(crate) struct Moment {
    version: Option<i64>,
    at: Option<String>,
}

/// Filters of listings.
#[derive(Deserialize)]
pub(crate) struct Filter {
    account: Option<String>,
    #[serde(rename = "type")]
    record_type: Option<String>,
    record: Option<String>,
    disposition: Option<String>,
    status: Option<String>,
    cursor: Option<String>,
    limit: Option<i64>,
}

impl Filter {
    fn account(&self) -> Result<Option<AccountId>, Problem> {
        self.account.as_deref().map(AccountId::parse).transpose().map_err(|error| bad(error.to_string()))
    }

    fn cursor(&self) -> Result<Option<Cursor>, Problem> {
        let read =
            |text: &str| Cursor::parse(text).ok_or_else(|| bad("cursor must be the next_cursor of an earlier answer"));
        self.cursor.as_deref().map(read).transpose()
    }

    fn limit(&self) -> Result<i64, Problem> {
        match self.limit.unwrap_or(DEFAULT_PAGE) {
            limit @ 1..=MAX_PAGE => Ok(limit),
            _ => Err(bad(format!("limit must be 1 to {MAX_PAGE}"))),
        }
    }
}

fn listed(page: Page) -> Answer {
    Ok(Json(json!({ "items": page.items, "next_cursor": page.next_cursor.map(|cursor| cursor.to_string()) }))
        .into_response())
}

pub(crate) async fn state(
    _: Viewer,
    State(console): State<Arc<Console>>,
    Path((account, record_type, id)): Path<(String, String, String)>,
    Query(moment): Query<Moment>,
) -> Answer {
    let record = find(&console, &account, &record_type, &id).await?;
    let at = moment.at.as_deref().map(str::parse::<Timestamp>).transpose();
    let at = at.map_err(|_| bad("at must be an RFC 3339 instant such as 2026-11-14T13:12:05Z"))?;
    let found = match (moment.version, at) {
        (None, None) => listing::state(&console.pool, &record).await.map_err(|error| store_failed(&error))?,
        (version, at) => state_at(&console.pool, &record, version, at).await.map_err(|error| store_failed(&error))?,
    };
    let Some(state) = found else { return Err(problem(StatusCode::NOT_FOUND, "not_found")) };
    let etag = format!("\"{}\"", state["version"]);
    let etag = HeaderValue::from_str(&etag).map_err(|_| problem(StatusCode::INTERNAL_SERVER_ERROR, "internal"))?;
    Ok(([(header::ETAG, etag)], Json(state)).into_response())
}

pub(crate) async fn timeline(
    _: Viewer,
    State(console): State<Arc<Console>>,
    Path((account, record_type, id)): Path<(String, String, String)>,
) -> Answer {
    let record = find(&console, &account, &record_type, &id).await?;
    let mut items = listing::timeline(&console.pool, &record, TIMELINE).await.map_err(|error| store_failed(&error))?;
    snapshots::show(&console, &mut items).await;
    found(items)
}

pub(crate) async fn blame(
    _: Viewer,
    State(console): State<Arc<Console>>,
    Path((account, record_type, id)): Path<(String, String, String)>,
) -> Answer {
    let record = find(&console, &account, &record_type, &id).await?;
    let items = operations::blame(&console.pool, &console.engine.world, &record).await;
    found(items.map_err(|error| store_failed(&error))?)
}

fn found(items: Vec<Value>) -> Answer {
    if items.is_empty() {
        return Err(problem(StatusCode::NOT_FOUND, "not_found"));
    }
    Ok(Json(json!({ "items": items, "next_cursor": null })).into_response())
}

pub(crate) async fn events(_: Viewer, State(console): State<Arc<Console>>, Query(filter): Query<Filter>) -> Answer {
    let record_type = filter.record_type.as_deref().map(RecordType::parse).transpose();
    let wanted = EventFilter {
        account: filter.account()?,
        record_type: record_type.map_err(|error| bad(error.to_string()))?,
        record: filter.record.clone(),
        disposition: filter.disposition.clone(),
    };
    let page = listing::events(&console.pool, &wanted, filter.cursor()?, filter.limit()?).await;
    listed(page.map_err(|error| store_failed(&error))?)
}

pub(crate) async fn conflicts(_: Viewer, State(console): State<Arc<Console>>, Query(filter): Query<Filter>) -> Answer {
    let account = filter.account()?;
    let page = listing::conflicts(
        &console.pool,
        account.as_ref(),
        filter.status.as_deref(),
        filter.cursor()?,
        filter.limit()?,
    )
    .await;
    listed(page.map_err(|error| store_failed(&error))?)
}

pub(crate) async fn conflict(_: Viewer, State(console): State<Arc<Console>>, Path(id): Path<Uuid>) -> Answer {
    match conflict_context(&console.pool, id).await.map_err(|error| store_failed(&error))? {
        Some(context) => Ok(Json(context).into_response()),
        None => Err(problem(StatusCode::NOT_FOUND, "not_found")),
    }
}

pub(crate) async fn locks(_: Operator, State(console): State<Arc<Console>>, Query(filter): Query<Filter>) -> Answer {
    let account = filter.account()?;
    let page = listing::locks(&console.pool, account.as_ref(), filter.cursor()?, filter.limit()?).await;
    listed(page.map_err(|error| store_failed(&error))?)
}

pub(crate) async fn errors(_: Operator, State(console): State<Arc<Console>>, Query(filter): Query<Filter>) -> Answer {
    let account = filter.account()?;
    let page =
        listing::errors(&console.pool, account.as_ref(), filter.status.as_deref(), filter.cursor()?, filter.limit()?)
            .await;
    listed(page.map_err(|error| store_failed(&error))?)
}

pub(crate) async fn accounts(_: Viewer, State(console): State<Arc<Console>>) -> Answer {
    let items = listing::accounts(&console.pool).await.map_err(|error| store_failed(&error))?;
    Ok(Json(json!({ "items": items, "next_cursor": null })).into_response())
}

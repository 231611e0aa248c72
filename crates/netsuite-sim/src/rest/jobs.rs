//! Asynchronous calls: `Prefer: respond-async` answers at once with a job, whose task holds the real answer.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::json;

use super::Problem;
use crate::wire::{Call, empty_answer, json_answer};

/// Jobs an account remembers; the oldest are forgotten first.
const MAX_JOBS: usize = 10_000;
const PREFIX: &str = "/services/rest/async/v1/job";

/// The jobs of an account, in memory.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    jobs: BTreeMap<u64, Job>,
    /// Idempotency key → job.
    keys: BTreeMap<String, u64>,
}

#[derive(Debug, Clone)]
struct Job {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Jobs {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a call wants a job.
pub(super) fn is_wanted(call: &Call) -> bool {
    call.header("prefer").is_some_and(|prefer| prefer.to_lowercase().contains("respond-async"))
}

/// Does the work once for every idempotency key and answers with its job.
pub(super) fn begin(jobs: &Jobs, call: &Call, work: impl FnOnce() -> Response) -> Response {
    let key = call.header("x-netsuite-idempotency-key").map(str::to_owned);
    let id = {
        let mut state = jobs.state();
        if let Some(id) = key.as_ref().and_then(|key| state.keys.get(key)) {
            return repeated(call, *id);
        }
        state.last += 1;
        let id = state.last;
        if let Some(key) = key {
            state.keys.insert(key, id);
        }
        id
    };
    let (parts, body) = work().into_parts();
    // The bodies of answers are in memory already: nothing is waited for.
    let body = futures::executor::block_on(body.collect()).map(|body| body.to_bytes()).unwrap_or_default();
    let mut state = jobs.state();
    state.jobs.insert(id, Job { status: parts.status, headers: parts.headers, body });
    while state.jobs.len() > MAX_JOBS {
        state.jobs.pop_first();
        let first = state.jobs.keys().next().copied().unwrap_or(0);
        state.keys.retain(|_, job| *job >= first);
    }
    let mut response = empty_answer(StatusCode::ACCEPTED);
    response.headers_mut().insert("preference-applied", HeaderValue::from_static("respond-async"));
    located(call, id, response)
}

fn located(call: &Call, id: u64, mut response: Response) -> Response {
    if let Ok(location) = HeaderValue::from_str(&format!("{}{PREFIX}/{id}", call.origin())) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// The same key again: refused, with the earlier job.
fn repeated(call: &Call, id: u64) -> Response {
    let body = json!({
        "type": "https://www.rfc-editor.org/rfc/rfc9110.html#section-15.5.1",
        "title": "Conflict",
        "status": 400,
        "o:errorDetails": [{
            "detail": "The idempotency key was used by an earlier request. See the Location header for its job.",
            "o:errorHeader": "X-NetSuite-idempotency-key",
            "o:errorCode": "IDEMPOTENCY_ERROR",
        }],
    });
    let response = json_answer(StatusCode::BAD_REQUEST, "application/vnd.oracle.resource+json; type=error", &body);
    located(call, id, response)
}

/// Answers `/services/rest/async/v1/job/…`.
pub(super) fn answer(jobs: &Jobs, call: &Call, rest: &str) -> Result<Response, Problem> {
    let parts: Vec<&str> = rest.trim_matches('/').split('/').collect();
    let id: u64 = parts[0].parse().map_err(|_| Problem::absent_job())?;
    let job = jobs.state().jobs.get(&id).cloned().ok_or_else(Problem::absent_job)?;
    let base = format!("{}{PREFIX}/{id}", call.origin());
    let own = json!([{ "rel": "self", "href": base }]);
    let progress = if job.status.is_success() { "succeeded" } else { "failed" };
    let body = match parts.as_slice() {
        [_] => json!({
            "links": own, "completed": true, "id": id.to_string(), "progress": progress,
            "task": { "links": [{ "rel": "self", "href": format!("{base}/task") }] },
        }),
        [_, "task"] => json!({
            "links": [{ "rel": "self", "href": format!("{base}/task") }], "count": 1, "hasMore": false, "offset": 0,
            "totalResults": 1,
            "items": [{ "links": [{ "rel": "self", "href": format!("{base}/task/1") }], "id": "1" }],
        }),
        [_, "task", "1"] => json!({
            "links": [{ "rel": "self", "href": format!("{base}/task/1") }], "id": "1", "completed": true,
            "progress": progress, "result": { "links": [{ "rel": "self", "href": format!("{base}/task/1/result") }] },
        }),
        [_, "task", "1", "result"] => {
            let mut response = Response::new(Body::from(job.body));
            *response.status_mut() = job.status;
            *response.headers_mut() = job.headers;
            return Ok(response);
        }
        _ => return Err(Problem::absent_job()),
    };
    Ok(json_answer(StatusCode::OK, "application/vnd.oracle.resource+json; type=singular", &body))
}

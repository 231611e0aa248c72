//! SuiteTalk REST: records, SuiteQL and the system service.

mod body;
mod query;
mod records;
mod render;

use axum::response::Response;
use http::{Method, StatusCode};
use serde_json::json;

use crate::account::Account;
use crate::wire::{Call, json_answer, plain_rest_error, rest_error, unexpected};
use crate::world::{RecordType, Refusal, WorldError, iso};

const RECORD_PREFIX: &str = "/services/rest/record/v1/";

/// Answers a REST call; the caller is logged in and holds a slot.
pub(crate) fn answer(account: &Account, call: &Call) -> Response {
    if let Some(refusal) = wrong_language(account, call) {
        return refusal;
    }
    match call.path.as_str() {
        "/services/rest/query/v1/suiteql" if call.method == Method::POST => query::answer(account, call),
        "/services/rest/query/v1/suiteql" => method_not_allowed(),
        "/services/rest/system/v1/serverTime" => {
            let body = json!({ "serverTime": iso(account.world.now()) });
            json_answer(StatusCode::OK, "application/json", &body)
        }
        "/services/rest/system/v1/governanceLimits" => {
            let body = json!({
                "accountConcurrencyLimit": account.pool.limit(),
                "accountUnallocatedConcurrencyLimit": account.pool.limit(),
            });
            json_answer(StatusCode::OK, "application/json", &body)
        }
        path => match path.strip_prefix(RECORD_PREFIX) {
            Some(rest) => record(account, call, rest),
            None => plain_rest_error(StatusCode::NOT_FOUND, "NOT_FOUND", "The requested URL does not exist."),
        },
    }
}

/// A user whose language is not the company's has to say so in every call.
fn wrong_language(account: &Account, call: &Call) -> Option<Response> {
    let settings = account.world.settings();
    let wanted = settings.language.as_ref()?;
    let sent = call.header("accept-language").unwrap_or_default();
    let fits = sent.split(',').any(|tag| tag.trim().eq_ignore_ascii_case(wanted));
    let text = "The value of the request header 'Accept-Language' is invalid. Provide a valid value.";
    let about = Some(("o:errorHeader", "Accept-Language"));
    (!fits).then(|| rest_error(StatusCode::BAD_REQUEST, &crate::wire::Detail { code: "INVALID_HEADER", text, about }))
}

fn record(account: &Account, call: &Call, rest: &str) -> Response {
    let mut parts = rest.trim_end_matches('/').split('/');
    let name = parts.next().unwrap_or_default();
    let Some(kind) = RecordType::of_url(name) else {
        let text = format!("Record type '{name}' does not exist");
        return plain_rest_error(StatusCode::NOT_FOUND, "NONEXISTENT_RECORD_TYPE", &text);
    };
    let path: Vec<&str> = parts.collect();
    let outcome = match (&call.method, path.as_slice()) {
        (&Method::GET, []) => records::list(account, call, kind),
        (&Method::POST, []) => records::create(account, call, kind),
        (&Method::GET, [id]) => records::get(account, call, kind, id),
        (&Method::PATCH, [id]) => records::patch(account, call, kind, id),
        (&Method::PUT, [id]) => records::upsert(account, call, kind, id),
        (&Method::DELETE, [id]) => records::delete(account, kind, id),
        (&Method::GET, [id, "item"]) if kind.has_lines() => records::lines(account, call, kind, id),
        (&Method::GET, [id, "item", line]) if kind.has_lines() => records::line(account, call, kind, id, line),
        _ => return method_not_allowed(),
    };
    outcome.unwrap_or_else(|problem| problem.answer())
}

fn method_not_allowed() -> Response {
    plain_rest_error(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "Method not allowed.")
}

/// Why a record call has no result.
pub(crate) enum Problem {
    World(WorldError),
    /// A refusal of the request's form: status, code, text, what it is about.
    Request(StatusCode, &'static str, String, Option<(&'static str, String)>),
}

impl From<WorldError> for Problem {
    fn from(error: WorldError) -> Self {
        Self::World(error)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::World(refusal.into())
    }
}

impl Problem {
    /// A query parameter with a value that is not accepted.
    pub(crate) fn parameter(name: &'static str, text: impl Into<String>) -> Self {
        Self::Request(
            StatusCode::BAD_REQUEST,
            "INVALID_PARAMETER",
            text.into(),
            Some(("o:errorQueryParam", name.to_owned())),
        )
    }

    fn answer(self) -> Response {
        match self {
            Self::World(WorldError::Absent) => {
                let text = "The record instance does not exist. Provide a valid record instance ID.";
                plain_rest_error(StatusCode::NOT_FOUND, "NONEXISTENT_ID", text)
            }
            Self::World(WorldError::Refused(refusal)) => refused(&refusal),
            Self::World(error) => unexpected(false, &error),
            Self::Request(status, code, text, about) => {
                let about = about.as_ref().map(|(member, name)| (*member, name.as_str()));
                rest_error(status, &crate::wire::Detail { code, text: &text, about })
            }
        }
    }
}

/// A business refusal over REST.
fn refused(refusal: &Refusal) -> Response {
    let code = match refusal.code {
        "INVALID_KEY_OR_REF" => "INVALID_KEY_OR_REF",
        "NONEXISTENT_FIELD" | "INVALID_CONTENT" => "INVALID_CONTENT",
        _ => "USER_ERROR",
    };
    let text = format!("Error while accessing a resource. {}", refusal.message);
    let about = refusal.field.as_deref().map(|field| ("o:errorPath", field));
    rest_error(StatusCode::BAD_REQUEST, &crate::wire::Detail { code, text: &text, about })
}

/// `limit` and `offset` of a collection, in NetSuite's bounds.
///
/// # Errors
/// Names the parameter at fault.
pub(crate) fn paging(call: &Call) -> Result<(usize, usize), Problem> {
    const MAX_LIMIT: usize = 1_000;
    let number = |name: &'static str, default: usize| match call.param(name) {
        None => Ok(default),
        Some(text) => text
            .parse::<usize>()
            .map_err(|_| Problem::parameter(name, format!("The {name} parameter has to be a number."))),
    };
    let (limit, offset) = (number("limit", MAX_LIMIT)?, number("offset", 0)?);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Problem::parameter("limit", format!("The limit parameter has to be from 1 to {MAX_LIMIT}.")));
    }
    if offset % limit != 0 {
        return Err(Problem::parameter("offset", "The offset parameter has to be divisible by the limit parameter."));
    }
    if offset / limit >= MAX_LIMIT {
        return Err(Problem::parameter("offset", "At most 1000 pages can be read."));
    }
    Ok((limit, offset))
}

/// The links of a page: next, last, first and prev where there are such pages, and self.
pub(crate) fn links(call: &Call, limit: usize, offset: usize, total: usize) -> serde_json::Value {
    let base = format!("{}{}", call.origin(), call.path);
    let link =
        |rel: &str, offset: usize| json!({ "rel": rel, "href": format!("{base}?limit={limit}&offset={offset}") });
    let last = total.saturating_sub(1) / limit * limit;
    let mut links = Vec::new();
    if offset > 0 {
        links.push(link("first", 0));
        links.push(link("prev", offset.saturating_sub(limit)));
    }
    if offset + limit < total {
        links.push(link("next", offset + limit));
        links.push(link("last", last));
    }
    links.push(link("self", offset));
    serde_json::Value::Array(links)
}

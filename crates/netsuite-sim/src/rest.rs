//! SuiteTalk REST: records, SuiteQL and the system service.

mod body;
mod children;
mod filter;
mod jobs;
mod metadata;
mod query;
mod records;
mod render;

use axum::response::Response;
use http::{Method, StatusCode};
use serde_json::json;

use crate::account::Account;
pub(crate) use jobs::Jobs;

use crate::wire::{Call, json_answer, plain_rest_error, rest_error, unexpected};
use crate::world::{RecordType, Refusal, Settings, WorldError, iso};

const RECORD_PREFIX: &str = "/services/rest/record/v1/";
const JOB_PREFIX: &str = "/services/rest/async/v1/job/";

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
                "accountUnallocatedConcurrencyLimit": account.pool.unallocated(),
            });
            json_answer(StatusCode::OK, "application/json", &body)
        }
        path => match (path.strip_prefix(RECORD_PREFIX), path.strip_prefix(JOB_PREFIX)) {
            (Some(rest), _) if jobs::is_wanted(call) => {
                jobs::begin(&account.jobs, call, || record(account, call, rest))
            }
            (Some(rest), _) => record(account, call, rest),
            (None, Some(rest)) if call.method == Method::GET => {
                jobs::answer(&account.jobs, call, rest).unwrap_or_else(Problem::answer)
            }
            _ => plain_rest_error(StatusCode::NOT_FOUND, "NOT_FOUND", "The requested URL does not exist."),
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
    routed(account, call, rest).unwrap_or_else(Problem::answer)
}

fn routed(account: &Account, call: &Call, rest: &str) -> Result<Response, Problem> {
    refuse_content(call)?;
    let mut parts = rest.trim_end_matches('/').split('/');
    let name = parts.next().unwrap_or_default();
    let path: Vec<&str> = parts.collect();
    if name == "metadata-catalog" {
        return match (&call.method, path.as_slice()) {
            (&Method::GET, []) => metadata::answer(account, call, None),
            (&Method::GET, [kind]) => metadata::answer(account, call, Some(kind)),
            _ => Ok(method_not_allowed()),
        };
    }
    let kind = RecordType::of_url(name).filter(|kind| metadata::has(kind, &account.world.overlay()));
    let kind = kind.ok_or_else(|| Problem::unknown_type(name))?;
    if Settings::names(&account.world.settings().forbidden_records, kind) {
        return Err(Problem::forbidden(kind));
    }
    match (&call.method, path.as_slice()) {
        (&Method::GET, []) => records::list(account, call, kind),
        (&Method::POST, []) => records::create(account, call, kind),
        (&Method::GET, [id]) => records::get(account, call, kind, id),
        (&Method::PATCH, [id]) => records::patch(account, call, kind, id),
        (&Method::PUT, [id]) => records::upsert(account, call, kind, id),
        (&Method::DELETE, [id]) => records::delete(account, kind, id),
        (&Method::POST, [id, "!transform", to]) => records::transform(account, call, kind, id, to),
        (&Method::GET, [id, "item"]) if kind.has_lines() => records::lines(account, call, kind, id),
        (&Method::GET, [id, "item", line]) if kind.has_lines() => records::line(account, call, kind, id, line),
        (&Method::GET, [id, sublist, rest @ ..]) => children::answer(account, call, kind, id, sublist, rest),
        _ => Ok(method_not_allowed()),
    }
}

/// What the record service neither reads nor writes.
fn refuse_content(call: &Call) -> Result<(), Problem> {
    let is_json = |value: &str| value.split(',').any(|part| part.contains("json") || part.contains("*/*"));
    let text = |part: &str, value: &str| format!("The media type '{value}' of the {part} header is not supported.");
    if let Some(accept) = call.header("accept")
        && !is_json(accept)
    {
        let text = text("Accept", accept);
        let about = Some(("o:errorHeader", "Accept".to_owned()));
        return Err(Problem::Request(StatusCode::NOT_ACCEPTABLE, "NOT_ACCEPTABLE", text, about));
    }
    match call.header("content-type") {
        Some(kind) if !call.body.is_empty() && !is_json(kind) => {
            let text = text("Content-Type", kind);
            let about = Some(("o:errorHeader", "Content-Type".to_owned()));
            Err(Problem::Request(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", text, about))
        }
        _ => Ok(()),
    }
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

    /// A record type that the account does not have.
    fn unknown_type(name: &str) -> Self {
        let text = format!("Record type '{name}' does not exist");
        Self::Request(StatusCode::NOT_FOUND, "NONEXISTENT_RECORD_TYPE", text, None)
    }

    /// The role may not use that record type.
    fn forbidden(kind: &RecordType) -> Self {
        let text = format!(
            "Permission Violation: You need a higher level of the 'Lists -> {}' permission to access this page. Please \
             contact your account administrator.",
            kind.deleted_type
        );
        Self::Request(StatusCode::FORBIDDEN, "INSUFFICIENT_PERMISSION", text, None)
    }

    fn absent_job() -> Self {
        let text = "The job does not exist. Provide a valid job ID.".to_owned();
        Self::Request(StatusCode::NOT_FOUND, "NONEXISTENT_ID", text, None)
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

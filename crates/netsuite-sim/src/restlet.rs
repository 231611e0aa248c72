//! The two RESTlets Concord deploys, native until the real scripts run: query and guarded write.

use axum::response::Response;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use crate::account::Account;
use crate::suiteql::{Query, QueryError};
use crate::wire::{Call, json_answer, restlet_error, unexpected};
use crate::world::{Author, INTEGRATION_USER, Operation, RecordType, WriteItem, WriteReply, WriteStatus};

/// Script id of the query RESTlet.
pub(crate) const QUERY_SCRIPT: &str = "customscript_concord_query";
/// Script id of the write RESTlet.
pub(crate) const WRITE_SCRIPT: &str = "customscript_concord_write";
const QUERY_DEPLOY: &str = "customdeploy_concord_query";
const WRITE_DEPLOY: &str = "customdeploy_concord_write";

const UNITS_PER_CALL: u32 = 5_000;
const QUERY_UNITS: u32 = 10;
/// Finding out whether an external id is taken.
const LOOKUP_UNITS: u32 = 10;
const MAX_BODY_BYTES: usize = 10 * 1024 * 1024;
const MAX_WRITES: usize = 10;
const DEFAULT_ROWS: usize = 1_000;
const MAX_ROWS: usize = 5_000;

/// Answers a RESTlet call; the caller is logged in and holds a slot.
pub(crate) fn answer(account: &Account, call: &Call) -> Response {
    let script = match (call.param("script"), call.param("deploy")) {
        (Some(QUERY_SCRIPT), Some(QUERY_DEPLOY)) => QUERY_SCRIPT,
        (Some(WRITE_SCRIPT), Some(WRITE_DEPLOY)) => WRITE_SCRIPT,
        _ => {
            let text = "That Suitelet is invalid, disabled, or no longer exists.";
            return restlet_error(StatusCode::NOT_FOUND, "SSS_INVALID_SCRIPTLET_ID", text);
        }
    };
    if call.method != Method::POST {
        let text = format!("The RESTlet has no {} handler.", call.method.as_str().to_lowercase());
        return restlet_error(StatusCode::METHOD_NOT_ALLOWED, "SSS_INVALID_SCRIPT_METHOD", &text);
    }
    let is_json = call.header("content-type").is_some_and(|kind| kind.to_lowercase().starts_with("application/json"));
    if !is_json {
        let text = "The request's Content-Type is not supported: send application/json.";
        return restlet_error(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", text);
    }
    if call.body.len() > MAX_BODY_BYTES {
        let text = "The request is larger than the 10 MB a RESTlet takes.";
        return restlet_error(StatusCode::BAD_REQUEST, "SSS_REQUEST_SIZE_EXCEEDED", text);
    }
    match serde_json::from_slice::<Json>(&call.body) {
        Ok(body) if script == QUERY_SCRIPT => query(account, body),
        Ok(body) => write(account, body),
        Err(_) => restlet_error(StatusCode::BAD_REQUEST, "INVALID_REQUEST", "The request body is no JSON."),
    }
}

#[derive(Debug, Deserialize)]
struct QueryBody {
    query: String,
    #[serde(default)]
    params: Vec<Json>,
    #[serde(default)]
    limit: Option<usize>,
    #[serde(default)]
    offset: usize,
}

fn script_error(code: &str, message: &str) -> Response {
    restlet_error(StatusCode::BAD_REQUEST, code, message)
}

fn query(account: &Account, body: Json) -> Response {
    let body: QueryBody = match serde_json::from_value(body) {
        Ok(body) => body,
        Err(error) => return script_error("SSS_INVALID_TYPE_ARG", &error.to_string()),
    };
    let limit = body.limit.unwrap_or(DEFAULT_ROWS);
    if !(1..=MAX_ROWS).contains(&limit) {
        return script_error("SSS_INVALID_TYPE_ARG", &format!("limit is from 1 to {MAX_ROWS}"));
    }
    account.ledger.units(QUERY_UNITS);
    let query = Query {
        text: &body.query,
        params: &body.params,
        limit,
        offset: body.offset,
        with_allowed: true,
        counted: false,
    };
    let page = match account.world.query(&query) {
        Ok(page) => page,
        Err(QueryError::World(error)) => return unexpected(true, &error),
        Err(error) => return script_error("SSS_SEARCH_ERROR_OCCURRED", &error.detail().unwrap_or_default()),
    };
    account.ledger.rows(page.rows.len());
    let named = |cells: Vec<crate::suiteql::Cell>| {
        let row = page.columns.iter().cloned().zip(cells.into_iter().map(crate::suiteql::Cell::into_json));
        Json::Object(row.collect::<Map<_, _>>())
    };
    let rows: Vec<Json> = page.rows.into_iter().map(named).collect();
    json_answer(StatusCode::OK, "application/json; charset=utf-8", &json!({ "rows": rows }))
}

fn write(account: &Account, body: Json) -> Response {
    let Some(Json::Array(items)) = body.get("writes") else {
        return script_error("SSS_MISSING_REQD_ARGUMENT", "writes is required: a list of writes");
    };
    if items.len() > MAX_WRITES {
        return script_error("SSS_INVALID_TYPE_ARG", &format!("at most {MAX_WRITES} writes per call"));
    }
    let author = Author { user: INTEGRATION_USER.to_owned(), context: "RESTLET".to_owned() };
    let mut left = UNITS_PER_CALL;
    let mut results = Vec::with_capacity(items.len());
    for json in items {
        let item = match serde_json::from_value::<WriteItem>(json.clone()) {
            Ok(item) => item,
            Err(error) => {
                let write_id = json.get("writeId").and_then(Json::as_str).unwrap_or_default();
                results.push(WriteReply::invalid(write_id, "SSS_INVALID_TYPE_ARG", &error.to_string()));
                continue;
            }
        };
        account.ledger.write_asked(item.kind);
        let units = units(&item);
        if units > left {
            let text = "Script Execution Usage Limit Exceeded";
            results.push(WriteReply::invalid(&item.write_id, "SSS_USAGE_LIMIT_EXCEEDED", text));
            continue;
        }
        left -= units;
        match account.world.write(&item, &author) {
            Ok(reply) => {
                account.ledger.outcome(reply.status);
                if reply.status == WriteStatus::Ok {
                    account.ledger.write_done(item.kind);
                }
                results.push(reply);
            }
            Err(error) => return unexpected(true, &error),
        }
    }
    account.ledger.units(UNITS_PER_CALL - left);
    let body = json!({ "results": results, "remainingUsage": left });
    json_answer(StatusCode::OK, "application/json; charset=utf-8", &body)
}

/// What the script's calls for one write cost.
fn units(item: &WriteItem) -> u32 {
    let Some(kind) = RecordType::named(&item.type_name) else { return 0 };
    match item.kind {
        Operation::Create => LOOKUP_UNITS + kind.units.load + kind.units.save,
        Operation::Update | Operation::Delete => kind.units.load + kind.units.save,
    }
}

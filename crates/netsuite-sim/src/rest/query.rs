//! `POST /services/rest/query/v1/suiteql`.

use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value as Json;

use super::{Problem, links, paging};
use crate::account::Account;
use crate::suiteql::{Query, QueryError};
use crate::wire::{Call, resource_text, unexpected};

const PREFIX: &str = "Invalid search query. Detailed unprocessed description follows. ";

#[derive(Debug, Deserialize)]
struct QueryBody {
    q: String,
    #[serde(default)]
    params: Vec<Json>,
}

pub(super) fn answer(account: &Account, call: &Call) -> Response {
    run(account, call).unwrap_or_else(Problem::answer)
}

fn run(account: &Account, call: &Call) -> Result<Response, Problem> {
    let is_transient = call.header("prefer").is_some_and(|prefer| prefer.to_lowercase().contains("transient"));
    if !is_transient {
        return Err(Problem::Request(
            StatusCode::BAD_REQUEST,
            "INVALID_HEADER",
            "The required request header 'Prefer' is missing or its value is not 'transient'.".to_owned(),
            Some(("o:errorHeader", "Prefer".to_owned())),
        ));
    }
    let (limit, offset) = paging(call)?;
    // The content type is not looked at: clients that send none work too.
    let body: QueryBody = read(&call.body).map_err(|_| {
        let text = "Invalid content in the request body.".to_owned();
        Problem::Request(StatusCode::BAD_REQUEST, "INVALID_CONTENT", text, None)
    })?;
    let query = Query { text: &body.q, params: &body.params, limit, offset, with_allowed: false, counted: true };
    let page = match account.world.query_items(&query) {
        Ok(page) => page,
        Err(QueryError::World(error)) => return Err(error.into()),
        Err(error @ QueryError::TooLong) => return Ok(unexpected(false, &error)),
        Err(error) => {
            let text = format!("{PREFIX}{}", error.detail().unwrap_or_default());
            return Err(Problem::parameter("q", text));
        }
    };
    account.ledger.rows(page.count);
    let body = format!(
        "{{\"links\":{},\"count\":{},\"hasMore\":{},\"items\":{},\"offset\":{offset},\"totalResults\":{}}}",
        links(call, limit, offset, page.total),
        page.count,
        offset + page.count < page.total,
        page.items,
        page.total,
    );
    Ok(resource_text("collection", body))
}

/// NetSuite takes line ends inside JSON texts as they are, and people send such queries.
fn read(body: &[u8]) -> serde_json::Result<QueryBody> {
    serde_json::from_slice(body).or_else(|strict| {
        let blanked: Vec<u8> = body.iter().map(|byte| if byte.is_ascii_whitespace() { b' ' } else { *byte }).collect();
        serde_json::from_slice(&blanked).map_err(|_| strict)
    })
}

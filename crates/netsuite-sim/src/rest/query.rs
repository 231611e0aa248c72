//! `POST /services/rest/query/v1/suiteql`.

use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::{Problem, links, paging};
use crate::account::Account;
use crate::suiteql::{Query, QueryError};
use crate::wire::{Call, resource};

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
    let body: QueryBody = serde_json::from_slice(&call.body).map_err(|_| {
        let text = "Invalid content in the request body.".to_owned();
        Problem::Request(StatusCode::BAD_REQUEST, "INVALID_CONTENT", text, None)
    })?;
    let query = Query { text: &body.q, params: &body.params, limit, offset, with_allowed: false, counted: true };
    let page = match account.world.query(&query) {
        Ok(page) => page,
        Err(QueryError::World(error)) => return Err(error.into()),
        Err(error) => {
            let text = format!("{PREFIX}{}", error.detail().unwrap_or_default());
            return Err(Problem::parameter("q", text));
        }
    };
    account.ledger.rows(page.rows.len());
    let columns = &page.columns;
    let items: Vec<Json> = page
        .rows
        .into_iter()
        .map(|cells| {
            let mut item = Map::new();
            item.insert("links".to_owned(), json!([]));
            // A null has no key at all.
            let values = columns.iter().zip(cells).filter_map(|(name, cell)| Some((name, cell.into_text()?)));
            item.extend(values.map(|(name, text)| (name.clone(), Json::from(text))));
            Json::Object(item)
        })
        .collect();
    Ok(resource(
        "collection",
        &json!({
            "links": links(call, limit, offset, page.total),
            "count": items.len(),
            "hasMore": offset + items.len() < page.total,
            "items": items,
            "offset": offset,
            "totalResults": page.total,
        }),
    ))
}

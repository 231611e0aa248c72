//! RESTlets: the call, checked as NetSuite checks it, and the script's answer.

use axum::response::Response;
use http::{Method, StatusCode};
use serde_json::Value as Json;

use crate::account::Account;
use crate::script::Reply;
use crate::wire::{Call, restlet_answer, restlet_error};
use crate::world::Operation;

/// Script id of the RESTlet whose writes the ledger counts one by one.
pub(crate) const WRITE_SCRIPT: &str = "customscript_concord_write";

/// A string in or out.
const MAX_BODY_BYTES: usize = 10 * 1024 * 1024;

/// Answers a RESTlet call; the caller is logged in and holds a slot.
pub(crate) fn answer(account: &Account, call: &Call) -> Response {
    let (Some(script), Some(deployment)) = (call.param("script"), call.param("deploy")) else { return no_script() };
    let body = match body(call) {
        Ok(body) => body,
        Err(refusal) => return *refusal,
    };
    let method = call.method.as_str().to_lowercase();
    let (reply, units) = account.scripts.restlet(script, deployment, &method, &body.to_string());
    match reply {
        Reply::NoScript => no_script(),
        Reply::NoHandler => {
            let text = format!("The RESTlet has no {method} handler.");
            restlet_error(StatusCode::METHOD_NOT_ALLOWED, "SSS_INVALID_SCRIPT_METHOD", &text)
        }
        Reply::Said(text) if text.len() > MAX_BODY_BYTES => {
            let text = "The answer is larger than the 10 MB a RESTlet gives.";
            restlet_error(StatusCode::BAD_REQUEST, "SSS_FILE_CONTENT_SIZE_EXCEEDED", text)
        }
        Reply::Said(text) => {
            if script == WRITE_SCRIPT {
                count(account, &body, &text, units);
            }
            restlet_answer(text)
        }
        Reply::Threw(fault) => restlet_error(StatusCode::BAD_REQUEST, &fault.name, &fault.shown()),
    }
}

fn no_script() -> Response {
    let text = "That Suitelet is invalid, disabled, or no longer exists.";
    restlet_error(StatusCode::NOT_FOUND, "SSS_INVALID_SCRIPTLET_ID", text)
}

/// What the script's function is given: the body's JSON, or the URL's parameters for methods without a body.
fn body(call: &Call) -> Result<Json, Box<Response>> {
    if matches!(call.method, Method::GET | Method::DELETE) {
        let own = call.query.iter().filter(|(name, _)| !matches!(name.as_str(), "script" | "deploy"));
        return Ok(Json::Object(own.map(|(name, value)| (name.clone(), Json::from(value.as_str()))).collect()));
    }
    let is_json = call.header("content-type").is_some_and(|kind| kind.to_lowercase().starts_with("application/json"));
    if !is_json {
        let text = "The request's Content-Type is not supported: send application/json.";
        return Err(Box::new(restlet_error(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", text)));
    }
    if call.body.len() > MAX_BODY_BYTES {
        let text = "The request is larger than the 10 MB a RESTlet takes.";
        return Err(Box::new(restlet_error(StatusCode::BAD_REQUEST, "SSS_REQUEST_SIZE_EXCEEDED", text)));
    }
    serde_json::from_slice(&call.body).map_err(|_| {
        Box::new(restlet_error(StatusCode::BAD_REQUEST, "INVALID_REQUEST", "The request body is no JSON."))
    })
}

/// Counts what the writes of a request asked for, what came of them, and what each of them cost.
fn count(account: &Account, body: &Json, answer: &str, units: u32) {
    for write in body["writes"].as_array().into_iter().flatten() {
        if let Ok(operation) = serde_json::from_value::<Operation>(write["kind"].clone()) {
            account.ledger.write_asked(operation);
        }
    }
    let answer: Json = serde_json::from_str(answer).unwrap_or_default();
    let results = answer["results"].as_array().map(Vec::as_slice).unwrap_or_default();
    for result in results {
        account.ledger.outcome(result["status"].as_str().unwrap_or_default());
    }
    account.ledger.write_units(units, results.len());
}

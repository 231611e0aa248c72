//! The OAuth 2.0 token endpoint.

use std::sync::Arc;

use axum::response::Response;
use http::{Method, StatusCode};
use serde_json::json;

use crate::account::Account;
use crate::app::App;
use crate::auth::{Assertion, Entry, Reason};
use crate::clock::Clock;
use crate::gate::with_fault;
use crate::wire::{Call, json_answer, parse_query, plain_rest_error};

/// Path of the token endpoint.
pub(crate) const PATH: &str = "/services/rest/auth/oauth2/v1/token";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const LIFETIME_SECONDS: i64 = 3_600;

/// Answers a request for an access token.
pub(crate) async fn answer(app: &Arc<App>, call: Call) -> Response {
    if call.method != Method::POST {
        return plain_rest_error(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "Method not allowed.");
    }
    let form = parse_query(&String::from_utf8_lossy(&call.body));
    let field = |name: &str| form.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone());
    let (Some(grant_type), Some(kind), Some(jwt)) =
        (field("grant_type"), field("client_assertion_type"), field("client_assertion"))
    else {
        return refused("invalid_request");
    };
    if grant_type != "client_credentials" || kind != ASSERTION_TYPE {
        return refused("invalid_grant");
    }
    let Some(assertion) = Assertion::peek(&jwt) else { return refused("invalid_grant") };
    let Some(account) = owner(app, &assertion) else { return refused("invalid_grant") };
    let keeper = app.clone();
    with_fault(&account, call, move |account, call, extra| async move {
        if !extra.is_zero() {
            tokio::time::sleep(extra).await;
        }
        grant(&keeper, &account, &call, &jwt, &assertion)
    })
    .await
}

/// The account that mapped the certificate, else the one that knows the integration.
fn owner(app: &App, assertion: &Assertion) -> Option<Arc<Account>> {
    let mapped = |account: &&Arc<Account>| account.mapping.as_ref().is_some_and(|own| own.is_mapped(assertion));
    let known = |account: &&Arc<Account>| account.mapping.as_ref().is_some_and(|own| own.is_of(assertion));
    app.accounts().find(mapped).or_else(|| app.accounts().find(known)).cloned()
}

fn grant(app: &App, account: &Account, call: &Call, jwt: &str, assertion: &Assertion) -> Response {
    let now = Clock::real();
    let audience = format!("{}{PATH}", call.origin());
    let outcome = match &account.mapping {
        Some(mapping) => mapping.verify(jwt, assertion, &audience, now.as_second()),
        None => Err(Reason::FeatureDisabled),
    };
    account.audit.note(Entry {
        at: now,
        scheme: "OAuth2",
        success: outcome.is_ok(),
        detail: outcome.as_ref().err().copied(),
        path: PATH.to_owned(),
    });
    let Ok(scopes) = outcome else { return refused("invalid_grant") };
    account.ledger.token();
    let expires = now.as_second() + LIFETIME_SECONDS;
    let token = app.tokens.issue(&account.config.realm(), scopes, expires, app.next_serial());
    let body = json!({ "access_token": token, "expires_in": LIFETIME_SECONDS, "token_type": "Bearer" });
    json_answer(StatusCode::OK, "application/json", &body)
}

fn refused(error: &str) -> Response {
    json_answer(StatusCode::BAD_REQUEST, "application/json", &json!({ "error": error }))
}

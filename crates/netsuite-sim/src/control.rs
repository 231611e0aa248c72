//! The control API (`/_sim/v1/…`): what people and tests do to the simulated accounts. Loopback only.

mod account;
mod clock;
mod document;
mod problem;
mod records;
mod scripts;
mod settings;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, FromRequestParts, Path, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use http::request::Parts;
use serde::de::DeserializeOwned;

use crate::account::Account;
use crate::app::App;
use crate::catalog::catalog;
use crate::world::{RecordType, WorldError};
use problem::Problem;

/// The routes under `/_sim/v1`; `document` describes every one of them.
pub(crate) fn routes() -> Router<Arc<App>> {
    let account = Router::new()
        .route("/edit", post(records::edit))
        .route("/copy", post(records::copy))
        .route("/records/{type}", get(records::ids))
        .route("/records/{type}/{id}", get(records::record))
        .route("/dump/{type}", get(records::dump))
        .route("/generate", post(records::generate))
        .route("/import", post(records::import))
        .route("/scenario", get(records::scenarios).post(records::scenario))
        .route("/ledger", get(account::ledger).delete(account::clear_ledger))
        .route("/login-audit", get(account::audit))
        .route("/faults", get(account::faults).post(account::add_faults).delete(account::clear_faults))
        .route("/phantom", get(account::phantoms).post(account::phantom))
        .route("/schema", post(account::schema))
        .route("/reset", post(account::reset))
        .route("/tasks", post(scripts::task))
        .route("/script-log", get(scripts::log))
        .route("/script-cache", delete(scripts::clear_cache))
        .route("/settings", get(settings::read).patch(settings::change));
    Router::new()
        .nest("/accounts/{account}", account)
        .route("/clock", get(clock::read).post(clock::set))
        .route("/openapi.json", get(document::read))
        .fallback(|| async { Problem::not_found("there is no such control resource") })
        .layer(axum::middleware::from_fn(loopback_only))
}

async fn loopback_only(ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request, next: Next) -> Response {
    if peer.ip().to_canonical().is_loopback() {
        next.run(request).await
    } else {
        Problem::forbidden("the control API answers this machine only").into_response()
    }
}

/// The account that the path names.
struct Named(Arc<Account>);

impl FromRequestParts<Arc<App>> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let path: Path<std::collections::HashMap<String, String>> =
            Path::from_request_parts(parts, app).await.map_err(|_| Problem::not_found("there is no such account"))?;
        let account = path.get("account").and_then(|id| app.account(id)).cloned();
        account.map(Self).ok_or_else(|| Problem::not_found("there is no such account"))
    }
}

/// Does work on an account away from the threads that serve connections.
async fn work<T, W>(account: Arc<Account>, work: W) -> Result<T, Problem>
where
    T: Send + 'static,
    W: FnOnce(&Account) -> Result<T, WorldError> + Send + 'static,
{
    match tokio::task::spawn_blocking(move || work(&account)).await {
        Ok(outcome) => outcome.map_err(Problem::from),
        Err(error) => Err(Problem::failed(&error)),
    }
}

fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem::malformed(&error))
}

fn kind(name: &str) -> Result<&'static RecordType, Problem> {
    RecordType::named(name).ok_or_else(|| {
        let known: Vec<&str> = catalog().records().iter().map(|kind| kind.name).collect();
        Problem::field("type", &format!("there is no record type {name}; there are {}", known.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::StatusCode;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn only_this_machine_is_answered() {
        let guarded =
            Router::<()>::new().route("/clock", get(|| async { "12" })).layer(axum::middleware::from_fn(loopback_only));
        for (peer, status) in [
            ("127.0.0.1:1", StatusCode::OK),
            ("[::1]:1", StatusCode::OK),
            ("[::ffff:127.0.0.1]:1", StatusCode::OK),
            ("192.0.2.7:1", StatusCode::FORBIDDEN),
            ("[2001:db8::1]:1", StatusCode::FORBIDDEN),
        ] {
            let mut request = Request::new(Body::empty());
            *request.uri_mut() = "/clock".parse().unwrap();
            request.extensions_mut().insert(ConnectInfo(peer.parse::<SocketAddr>().unwrap()));
            assert_eq!(guarded.clone().oneshot(request).await.unwrap().status(), status, "{peer}");
        }
    }
}

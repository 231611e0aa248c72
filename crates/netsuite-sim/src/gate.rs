//! The way of an API call: whose it is, what goes wrong with it, whether it may come in, and its turn.

use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use http::header::{AUTHORIZATION, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, StatusCode};

use crate::account::Account;
use crate::app::App;
use crate::auth::{Entry, Grant, OAuth1, Reason, Scope, parse_header};
use crate::clock::Clock;
use crate::faults::{FaultKind, Rule, Seen};
use crate::wire::{BreakOff, Call, HangUp, empty_answer, plain_rest_error, rest_over_limit, restlet_error, unexpected};
use crate::world::Overload;
use crate::{rest, restlet, token};

pub(crate) const RESTLET_PATH: &str = "/app/site/hosting/restlet.nl";
const REST_PREFIX: &str = "/services/rest/";

/// The two kinds of API, which word the same refusals differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Surface {
    Rest,
    Restlet,
}

/// Credentials as sent, not yet verified.
enum Credentials {
    Tba(OAuth1),
    Bearer(Grant),
}

/// Answers any call that is not for the control API.
pub(crate) async fn answer(app: Arc<App>, call: Call) -> Response {
    if call.path == token::PATH {
        return token::answer(&app, call).await;
    }
    let surface = match call.path.as_str() {
        RESTLET_PATH => Surface::Restlet,
        path if path.starts_with(REST_PREFIX) && call.method == Method::OPTIONS => {
            return empty_answer(StatusCode::NO_CONTENT);
        }
        path if path.starts_with(REST_PREFIX) => Surface::Rest,
        _ => return plain_rest_error(StatusCode::NOT_FOUND, "NOT_FOUND", "The requested URL does not exist."),
    };
    let (account, credentials) = match identify(&app, surface, &call) {
        Ok(found) => found,
        Err(refusal) => return *refusal,
    };
    with_fault(&account, call, move |account, call, extra| async move {
        admitted(account, call, surface, &credentials, extra).await
    })
    .await
}

/// Does the work, or what a fault makes of it.
pub(crate) async fn with_fault<W, F>(account: &Arc<Account>, call: Call, work: W) -> Response
where
    W: FnOnce(Arc<Account>, Call, Duration) -> F + Send + 'static,
    F: Future<Output = Response> + Send,
{
    let asked = pattern(&call);
    let seen = Seen { method: call.method.as_str(), path: &call.target, body: &call.body };
    let Some(rule) = account.faults.decide(&seen) else {
        let response = work(account.clone(), call, Duration::ZERO).await;
        account.ledger.call(&asked, response.status().as_u16());
        return response;
    };
    account.ledger.fault(rule.fault.word());
    let delay = Duration::from_secs_f64(rule.delay_seconds);
    let restlet = call.path == RESTLET_PATH;
    let response = match rule.fault {
        FaultKind::Status => status_fault(&rule, restlet),
        FaultKind::ExpiredToken => {
            let surface = if restlet { Surface::Restlet } else { Surface::Rest };
            let is_bearer = call.header(AUTHORIZATION.as_str()).is_some_and(|sent| sent.starts_with("Bearer "));
            let scheme = if is_bearer { Scheme::Bearer } else { Scheme::Tba };
            login_refused(surface, scheme, &account.config.realm())
        }
        FaultKind::Redirect => moved(&call),
        FaultKind::Slow => work(account.clone(), call, delay).await,
        FaultKind::Reset => marked(empty_answer(StatusCode::OK), HangUp),
        FaultKind::LostResponse => marked(work(account.clone(), call, delay).await, HangUp),
        FaultKind::Truncate => marked(work(account.clone(), call, delay).await, BreakOff),
        FaultKind::Zombie => {
            let late = account.clone();
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                let ledger = late.ledger.clone();
                let response = work(late, call, Duration::ZERO).await;
                ledger.call(&asked, response.status().as_u16());
            });
            return marked(empty_answer(StatusCode::OK), HangUp);
        }
    };
    account.ledger.call(&asked, response.status().as_u16());
    response
}

/// The path with ids replaced, so that the ledger stays small.
fn pattern(call: &Call) -> String {
    if call.path == RESTLET_PATH {
        return format!("{RESTLET_PATH}?script={}", call.param("script").unwrap_or_default());
    }
    let is_id = |part: &str| part.starts_with("eid:") || (!part.is_empty() && part.chars().all(|c| c.is_ascii_digit()));
    let parts: Vec<&str> = call.path.split('/').map(|part| if is_id(part) { "{id}" } else { part }).collect();
    format!("{} {}", call.method, parts.join("/"))
}

/// The account lives in another data centre: the same path, on a host that does not exist.
fn moved(call: &Call) -> Response {
    let mut response = empty_answer(StatusCode::FOUND);
    if let Ok(location) = HeaderValue::from_str(&format!("https://moved.netsuite.invalid{}", call.target)) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

fn marked<T: Clone + Send + Sync + 'static>(mut response: Response, mark: T) -> Response {
    response.extensions_mut().insert(mark);
    response
}

fn status_fault(rule: &Rule, is_restlet: bool) -> Response {
    let status = rule.status.and_then(|status| StatusCode::from_u16(status).ok());
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let text = "An unexpected error occurred. Error ID: injected";
    match (is_restlet, status.as_u16()) {
        (false, 429) => rest_over_limit(),
        (true, 429) => restlet_error(status, "SSS_REQUEST_LIMIT_EXCEEDED", OVER_LIMIT),
        (true, 401) => restlet_error(status, "INVALID_LOGIN_ATTEMPT", "Invalid login attempt."),
        (false, 401) => plain_rest_error(status, "INVALID_LOGIN", INVALID_LOGIN),
        (true, _) => restlet_error(status, "UNEXPECTED_ERROR", text),
        (false, 400) => plain_rest_error(status, "USER_ERROR", text),
        (false, _) => plain_rest_error(status, "UNEXPECTED_ERROR", text),
    }
}

const OVER_LIMIT: &str = "Concurrent request limit exceeded. Request blocked.";
const INVALID_LOGIN: &str = "Invalid login attempt. For more details, see the Login Audit Trail in the NetSuite UI at \
    Setup > Users/Roles > User Management > View Login Audit Trail.";

/// Whose credentials these claim to be.
fn identify(app: &App, surface: Surface, call: &Call) -> Result<(Arc<Account>, Credentials), Box<Response>> {
    let header = call.header(AUTHORIZATION.as_str()).unwrap_or_default();
    let is_bearer = header.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("Bearer "));
    if is_bearer {
        let grant = app.tokens.open(header[7..].trim());
        return match grant.and_then(|grant| app.realm(&grant.account).cloned().map(|account| (account, grant))) {
            Some((account, grant)) => Ok((account, Credentials::Bearer(grant))),
            None => Err(Box::new(login_refused(surface, Scheme::Bearer, ""))),
        };
    }
    let Some(oauth) = parse_header(header) else {
        let malformed = !header.is_empty() && surface == Surface::Restlet;
        return Err(Box::new(if malformed {
            let text = "The request could not be understood by the server due to malformed syntax.";
            restlet_error(StatusCode::BAD_REQUEST, "INVALID_REQUEST", text)
        } else {
            login_refused(surface, Scheme::Tba, "")
        }));
    };
    let realm = oauth.get("realm").unwrap_or_default().to_owned();
    match app.realm(&realm).cloned() {
        Some(account) => Ok((account, Credentials::Tba(oauth))),
        None => Err(Box::new(login_refused(surface, Scheme::Tba, &realm))),
    }
}

#[derive(Debug, Clone, Copy)]
enum Scheme {
    Tba,
    Bearer,
}

fn login_refused(surface: Surface, scheme: Scheme, realm: &str) -> Response {
    let mut response = match surface {
        Surface::Rest => plain_rest_error(StatusCode::UNAUTHORIZED, "INVALID_LOGIN", INVALID_LOGIN),
        Surface::Restlet => restlet_error(StatusCode::UNAUTHORIZED, "INVALID_LOGIN_ATTEMPT", "Invalid login attempt."),
    };
    let challenge = match scheme {
        Scheme::Tba => {
            format!("OAuth realm=\"{realm}\", error=\"token_rejected\", error_description=\"Invalid login attempt.\"")
        }
        Scheme::Bearer => {
            format!("Bearer realm=\"{realm}\", error=\"invalid_token\", error_description=\"Invalid login attempt.\"")
        }
    };
    if let Ok(challenge) = HeaderValue::from_str(&challenge) {
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

/// Logs in, takes a slot, waits as long as the account is slow, and does the work.
async fn admitted(
    account: Arc<Account>,
    call: Call,
    surface: Surface,
    credentials: &Credentials,
    extra: Duration,
) -> Response {
    if let Err(refusal) = log_in(&account, &call, surface, credentials) {
        return *refusal;
    }
    let Some(slot) = account.pool.enter() else {
        account.ledger.over_limit();
        if account.world.settings().overload == Overload::InvalidLogin {
            return login_refused(surface, Scheme::Tba, &account.config.realm());
        }
        return match surface {
            Surface::Rest => rest_over_limit(),
            Surface::Restlet => restlet_error(StatusCode::BAD_REQUEST, "SSS_REQUEST_LIMIT_EXCEEDED", OVER_LIMIT),
        };
    };
    account.ledger.running(slot.running);
    let writes = match surface {
        Surface::Rest => call.method != Method::GET && !call.path.contains("/query/"),
        Surface::Restlet => call.param("script") == Some(restlet::WRITE_SCRIPT),
    };
    let own = if writes { account.config.write_latency_ms } else { account.config.read_latency_ms };
    let wait = extra + Duration::from_millis(own);
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
    let worker = account.clone();
    let done = tokio::task::spawn_blocking(move || match surface {
        Surface::Rest => rest::answer(&worker, &call),
        Surface::Restlet => restlet::answer(&worker, &call),
    });
    done.await.unwrap_or_else(|error| unexpected(surface == Surface::Restlet, &error))
}

fn log_in(account: &Account, call: &Call, surface: Surface, credentials: &Credentials) -> Result<(), Box<Response>> {
    let now = Clock::real();
    let scope = match surface {
        Surface::Rest => Scope::RestWebServices,
        Surface::Restlet => Scope::Restlets,
    };
    let base_url = format!("{}{}", call.origin(), call.path);
    let (scheme, word, outcome) = match credentials {
        Credentials::Tba(header) => {
            let outcome = match &account.tba {
                Some(tba) => tba.verify(call.method.as_str(), &base_url, &call.query, header, now.as_second()),
                None => Err(Reason::FeatureDisabled),
            };
            (Scheme::Tba, "TBA", outcome)
        }
        Credentials::Bearer(grant) => (Scheme::Bearer, "Bearer", grant.verify(now.as_second())),
    };
    let permitted = match credentials {
        Credentials::Bearer(grant) => grant.allows(scope),
        Credentials::Tba(_) => true,
    };
    let detail = outcome.err().or((!permitted).then_some(Reason::PermissionDenied));
    account.audit.note(Entry { at: now, scheme: word, success: detail.is_none(), detail, path: call.path.clone() });
    match detail {
        None => Ok(()),
        Some(Reason::PermissionDenied) => Err(Box::new(match surface {
            Surface::Rest => {
                let text = format!("Permission Violation: the access token lacks the scope {}.", scope.word());
                plain_rest_error(StatusCode::FORBIDDEN, "INSUFFICIENT_PERMISSION", &text)
            }
            Surface::Restlet => {
                let text = "You do not have privileges to use this RESTlet.";
                restlet_error(StatusCode::FORBIDDEN, "INSUFFICIENT_PERMISSION", text)
            }
        })),
        Some(_) => Err(Box::new(login_refused(surface, scheme, &account.config.realm()))),
    }
}

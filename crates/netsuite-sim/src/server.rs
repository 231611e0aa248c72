//! The listener: every connection, the health pages, and answers that break off on purpose.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{ConnectInfo, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use http_body_util::{BodyExt, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tower::ServiceExt;

use crate::account::Account;
use crate::app::App;
use crate::auth::TokenKey;
use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::wire::{BreakOff, Call, HangUp, plain_rest_error};
use crate::world::{Amounts, Generated, WorldError};
use crate::{control, gate};

const MAX_BODY_BYTES: usize = 104 * 1024 * 1024;
const DRAIN: Duration = Duration::from_secs(5);
/// How late a late change may become visible, and its scripts run, when nobody reads meanwhile.
const SETTLE_EVERY: Duration = Duration::from_millis(250);

/// Why the simulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is not accepted.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Two accounts have the same id.
    #[error("account {0} is configured twice")]
    Twice(String),
    /// The data folder cannot be used.
    #[error("data_dir cannot be used")]
    DataDir(#[source] std::io::Error),
    /// The address cannot be listened on.
    #[error("listen: {address} cannot be listened on")]
    Listen {
        /// The address as configured.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The public key of an account cannot be used.
    #[error("account {account}: {source}")]
    Key {
        /// The account.
        account: String,
        /// Why.
        #[source]
        source: crate::MappingError,
    },
    /// The scripts of an account cannot run.
    #[error("account {account}: {source}")]
    Scripts {
        /// The account.
        account: String,
        /// Why.
        #[source]
        source: Box<crate::ScriptError>,
    },
    /// The records of an account cannot be opened.
    #[error("account {account}: its records in data_dir cannot be opened")]
    World {
        /// The account.
        account: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A simulator that listens.
pub struct Running {
    address: SocketAddr,
    task: JoinHandle<()>,
    app: Weak<App>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Why sample records were not made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// No such account runs here.
    #[error("there is no account {0}")]
    Unknown(String),
    /// What was asked for cannot be made.
    #[error("{0}")]
    Refused(String),
    /// The account's storage failed.
    #[error("the account's records could not be written")]
    Storage(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Running {
    /// The address it listens on, with the port that was free.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes sample records in an account, as `POST accounts/{a}/generate` of the control API does. Blocks the thread.
    ///
    /// # Errors
    /// When the account does not run here, asks for too much, or cannot be written.
    pub fn generate(&self, account: &str, amounts: &Amounts) -> Result<Generated, GenerateError> {
        let unknown = || GenerateError::Unknown(account.to_owned());
        let app = self.app.upgrade().ok_or_else(unknown)?;
        let account = app.account(account).ok_or_else(unknown)?;
        account.world.generate(amounts).map_err(|error| match error {
            WorldError::Refused(refusal) => GenerateError::Refused(refusal.message),
            other => GenerateError::Storage(Box::new(other)),
        })
    }

    /// Waits until it has stopped.
    pub async fn stopped(self) {
        if let Err(error) = self.task.await
            && error.is_panic()
        {
            tracing::error!(%error, "the simulator broke");
        }
    }
}

/// Opens every account and listens until `shutdown` resolves; then open requests get five seconds to end.
///
/// # Errors
/// A setting, file or address that cannot be used.
pub async fn start(config: Config, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<Running, StartError> {
    std::fs::create_dir_all(&config.data_dir).map_err(StartError::DataDir)?;
    let clock = Arc::new(Clock::following_the_machine());
    let tokens = TokenKey::load(&config.data_dir, &mut fastrand::Rng::new()).map_err(StartError::DataDir)?;
    let mut accounts: Vec<Account> = Vec::new();
    let mut background = JoinSet::new();
    for settings in config.accounts {
        if accounts.iter().any(|account| account.config.realm() == settings.realm()) {
            return Err(StartError::Twice(settings.account_id));
        }
        accounts.push(Account::open(settings, &config.data_dir, clock.clone())?);
    }
    let app = Arc::new(App::new(clock, tokens, accounts));
    background.spawn(settle(app.clone()));
    for account in app.accounts() {
        for (script, deployment, every) in account.scripts.schedule() {
            background.spawn(scheduled(account.clone(), script, deployment, every));
        }
    }
    let listening = |source| StartError::Listen { address: config.listen, source };
    let listener = TcpListener::bind(config.listen).await.map_err(listening)?;
    let address = listener.local_addr().map_err(listening)?;
    let shared = Arc::downgrade(&app);
    let task = tokio::spawn(serve(listener, app, shutdown, background));
    Ok(Running { address, task, app: shared })
}

/// Makes late changes visible when they are due, so that their scripts run on time.
async fn settle(app: Arc<App>) {
    let mut beat = tokio::time::interval(SETTLE_EVERY);
    loop {
        beat.tick().await;
        for account in app.accounts().filter(|account| account.world.has_late()) {
            let account = account.clone();
            let settled = tokio::task::spawn_blocking(move || account.settle()).await;
            if let Ok(Err(error)) = settled {
                let error: &WorldError = &error;
                tracing::error!(%error, "late changes could not be made visible");
            }
        }
    }
}

/// Runs a scheduled script again and again. While a run is not finished, its deployment is left alone.
async fn scheduled(account: Arc<Account>, script: String, deployment: String, every: Duration) {
    let mut beat = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        let (account, script, deployment) = (account.clone(), script.clone(), deployment.clone());
        let run = move || account.scripts.run_now(&script, Some(&deployment));
        if let Ok(Err(fault)) = tokio::task::spawn_blocking(run).await {
            tracing::debug!(%fault, "a scheduled script did not run");
        }
    }
}

async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    shutdown: impl Future<Output = ()> + Send + 'static,
    mut background: JoinSet<()>,
) {
    let (stop, stopping) = watch::channel(false);
    let router = router(app.clone());
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(connection(stream, peer, router.clone(), stopping.clone()));
                }
                // Out of file handles, most likely: let some connections end.
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
    drop(listener);
    // A save that waits for ingest is done as soon as its script hears that there will be no answer.
    app.accounts().for_each(|account| account.scripts.close());
    let _ = stop.send(true);
    let drained = tokio::time::timeout(DRAIN, async { while connections.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::warn!("some requests did not end in time");
    }
    background.shutdown().await;
}

async fn connection(stream: TcpStream, peer: SocketAddr, router: Router, mut stopping: watch::Receiver<bool>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection stays without nodelay");
    }
    let service = service_fn(move |request: http::Request<Incoming>| {
        let router = router.clone();
        async move {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            let response = router.oneshot(request).await.unwrap_or_else(|never: Infallible| match never {});
            sent(response).await
        }
    });
    let serving = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        outcome = serving.as_mut() => Some(outcome),
        () = async { let _ = stopping.wait_for(|stop| *stop).await; } => None,
    };
    let outcome = match ended {
        Some(outcome) => outcome,
        None => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// The answer, unless it is to be lost: an error here closes the connection without a word.
async fn sent(response: Response) -> Result<Response, std::io::Error> {
    if response.extensions().get::<HangUp>().is_some() {
        return Err(std::io::Error::other("the connection is closed on purpose"));
    }
    if response.extensions().get::<BreakOff>().is_none() {
        return Ok(response);
    }
    let (mut parts, body) = response.into_parts();
    let whole = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(whole.len()));
    let half: Bytes = whole.slice(..whole.len() / 2);
    let body = Body::new(StreamBody::new(broken(half)));
    Ok(Response::from_parts(parts, body))
}

/// Half an answer, sent, and then the end of the connection.
fn broken(half: Bytes) -> impl futures::Stream<Item = Result<Frame<Bytes>, std::io::Error>> {
    futures::stream::unfold(Some(half), |rest| async move {
        match rest {
            Some(half) if !half.is_empty() => Some((Ok(Frame::data(half)), Some(Bytes::new()))),
            Some(_) => {
                // What was written so far has to leave before the connection is closed.
                tokio::time::sleep(Duration::from_millis(20)).await;
                Some((Err(std::io::Error::other("the answer breaks off on purpose")), None))
            }
            None => None,
        }
    })
}

fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .nest("/_sim/v1", control::routes())
        .fallback(netsuite)
        .with_state(app)
}

/// Any call that is for NetSuite itself.
async fn netsuite(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if body.size_hint().lower() > MAX_BODY_BYTES as u64 {
        return too_large();
    }
    match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(body) => gate::answer(app, Call::new(&parts, body.to_bytes())).await,
        Err(_) => too_large(),
    }
}

fn too_large() -> Response {
    plain_rest_error(StatusCode::PAYLOAD_TOO_LARGE, "INVALID_REQUEST", "The request is larger than 104 MB.")
}

/// Ready as long as every account's records can be read.
async fn ready(State(app): State<Arc<App>>) -> Response {
    let checked = tokio::task::spawn_blocking(move || {
        app.accounts().all(|account| account.world.title("currency", 1).is_ok_and(|name| name.is_some()))
    });
    match checked.await {
        Ok(true) => "ready\n".into_response(),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "an account's records cannot be read\n").into_response(),
    }
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let mut families: Vec<(&str, Vec<String>)> = Vec::new();
    for account in app.accounts() {
        for (name, value) in account.ledger.read().samples() {
            let line = format!("{name}{{account=\"{}\"}} {value}\n", account.config.account_id);
            match families.iter_mut().find(|(own, _)| *own == name) {
                Some((_, lines)) => lines.push(line),
                None => families.push((name, vec![line])),
            }
        }
    }
    let mut text = format!(
        "# TYPE concord_build_info gauge\nconcord_build_info{{service=\"netsuite-sim\",version=\"{}\"}} 1\n",
        env!("CARGO_PKG_VERSION")
    );
    for (name, lines) in families {
        text.push_str(&format!("# TYPE {name} counter\n{}", lines.concat()));
    }
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

//! `/livez`, `/readyz`, `/metrics`, and the service's own routes beside them.
//!
//! Alive means the process answers. Ready means more: its dependencies answer *and* its work moves. A worker holds a
//! [`Progress`] and ticks it on every turn of its loop, with or without messages; a loop that has not come round within
//! its named limit makes the process unready, whatever its port says.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::future::BoxFuture;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::problem::Problem;
use crate::telemetry;

/// Longest a dependency may take to answer.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an answer about the dependencies is good for: probes and scrapers must not become load.
const CHECK_AGE: Duration = Duration::from_secs(1);

type Check = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// What readiness depends on. Clones share one state.
#[derive(Clone, Default)]
pub struct Health {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    state: Mutex<HealthState>,
    checking: tokio::sync::Mutex<Option<(Instant, Vec<String>)>>,
}

#[derive(Default)]
struct HealthState {
    started: bool,
    draining: bool,
    dependencies: Vec<(&'static str, Check)>,
    workers: Vec<Arc<Mutex<Worker>>>,
}

#[derive(Debug)]
struct Worker {
    name: String,
    limit: Duration,
    ticked: Instant,
    blocked: Option<String>,
    finished: bool,
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state();
        f.debug_struct("Health").field("started", &state.started).field("workers", &state.workers).finish()
    }
}

/// A worker's sign of life. Dropping it means the worker ended in order.
#[derive(Debug)]
pub struct Progress(Arc<Mutex<Worker>>);

impl Progress {
    fn worker(&self) -> MutexGuard<'_, Worker> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The loop came round.
    pub fn tick(&self) {
        self.worker().ticked = Instant::now();
    }

    /// The worker is alive and cannot work, for this reason: not ready until [`Progress::unblock`].
    pub fn block(&self, reason: impl Into<String>) {
        let mut worker = self.worker();
        worker.ticked = Instant::now();
        worker.blocked = Some(reason.into());
    }

    /// The worker works again.
    pub fn unblock(&self) {
        let mut worker = self.worker();
        worker.ticked = Instant::now();
        worker.blocked = None;
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.worker().finished = true;
    }
}

impl Health {
    /// A process that has not started.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, HealthState> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a dependency; `check` answers with a sentence when it does not.
    pub fn depend<F>(&self, name: &'static str, check: F)
    where
        F: Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync + 'static,
    {
        self.state().dependencies.push((name, Arc::new(check)));
    }

    /// Adds a worker that must come round within `limit`.
    pub fn progress(&self, name: impl Into<String>, limit: Duration) -> Progress {
        let worker = Worker { name: name.into(), limit, ticked: Instant::now(), blocked: None, finished: false };
        let worker = Arc::new(Mutex::new(worker));
        self.state().workers.push(worker.clone());
        Progress(worker)
    }

    /// The service has built its parts; from now on it may be ready.
    pub fn started(&self) {
        self.state().started = true;
    }

    /// The service is stopping: not ready, so that nobody sends it more.
    pub fn draining(&self) {
        self.state().draining = true;
    }

    /// What keeps the process from being ready; empty when it is.
    pub async fn obstacles(&self) -> Vec<String> {
        let (mut obstacles, dependencies) = {
            let mut state = self.state();
            let mut obstacles = Vec::new();
            if !state.started {
                obstacles.push("the service is starting".to_owned());
            }
            if state.draining {
                obstacles.push("the service is stopping".to_owned());
            }
            state.workers.retain(|worker| !lock(worker).finished);
            obstacles.extend(state.workers.iter().filter_map(|worker| lock(worker).obstacle()));
            (obstacles, state.dependencies.clone())
        };
        let mut checked = self.inner.checking.lock().await;
        let answers = match checked.take() {
            Some((at, answers)) if at.elapsed() < CHECK_AGE => (at, answers),
            Some(_) | None => (Instant::now(), check_all(dependencies).await),
        };
        obstacles.extend(answers.1.iter().cloned());
        *checked = Some(answers);
        obstacles
    }
}

fn lock(worker: &Mutex<Worker>) -> MutexGuard<'_, Worker> {
    worker.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Worker {
    fn obstacle(&self) -> Option<String> {
        let idle = self.ticked.elapsed();
        match &self.blocked {
            Some(reason) => Some(format!("{} is blocked: {reason}", self.name)),
            None if idle > self.limit => {
                let (name, idle, limit) = (&self.name, idle.as_secs(), self.limit.as_secs());
                Some(format!("{name} has not moved for {idle} s (limit {limit} s)"))
            }
            None => None,
        }
    }
}

async fn check_all(dependencies: Vec<(&'static str, Check)>) -> Vec<String> {
    let checks = dependencies.into_iter().map(|(name, check)| async move {
        match tokio::time::timeout(CHECK_TIMEOUT, check()).await {
            Ok(Ok(())) => None,
            Ok(Err(reason)) => Some(format!("{name} does not answer: {reason}")),
            Err(_) => Some(format!("{name} does not answer within {} s", CHECK_TIMEOUT.as_secs())),
        }
    });
    futures::future::join_all(checks).await.into_iter().flatten().collect()
}

/// Where a service hangs its own routes. Until it has, they answer 503.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    own: Arc<OnceLock<Router>>,
}

impl Routes {
    /// Serves these routes beside health and metrics. A second call is a mistake in the service's `start`.
    ///
    /// # Panics
    /// When called twice.
    pub fn mount(&self, router: Router) {
        assert!(self.own.set(router).is_ok(), "a service mounts its routes once");
    }
}

/// Serves until `stop`, then finishes requests under way.
pub async fn serve(
    listener: TcpListener,
    service: &'static str,
    health: Health,
    routes: Routes,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let app = router(service, health, routes).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await
}

/// Health, metrics and the service's own routes as one router.
pub fn router(service: &'static str, health: Health, routes: Routes) -> Router {
    Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(readyz).with_state(health))
        .route("/metrics", get(async move || metrics(service)))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This address takes GET only")
        })
        .fallback(async move |request: Request| match routes.own.get() {
            Some(router) => router.clone().oneshot(request).await.into_response(),
            None => not_ready(vec!["the service is starting".to_owned()]),
        })
}

async fn readyz(State(health): State<Health>) -> Response {
    match health.obstacles().await {
        none if none.is_empty() => "ready\n".into_response(),
        obstacles => not_ready(obstacles),
    }
}

fn not_ready(obstacles: Vec<String>) -> Response {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", "The service is not ready")
        .detail(obstacles.join("; "))
        .with("errors", obstacles)
        .retry_after(2)
        .into_response()
}

fn metrics(service: &'static str) -> Response {
    let text = telemetry::metrics_text(service);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ready_needs_a_start_moving_workers_and_answering_dependencies() {
        let health = Health::new();
        assert_eq!(health.obstacles().await, ["the service is starting"]);
        health.started();
        let progress = health.progress("intake", Duration::from_secs(30));
        assert!(health.obstacles().await.is_empty());
        progress.block("the database is away");
        assert_eq!(health.obstacles().await, ["intake is blocked: the database is away"]);
        progress.unblock();
        assert!(health.obstacles().await.is_empty());
        health.draining();
        assert_eq!(health.obstacles().await, ["the service is stopping"]);
    }

    #[tokio::test]
    async fn a_worker_that_does_not_come_round_is_named_and_one_that_ended_is_not() {
        let health = Health::new();
        health.started();
        let stuck = health.progress("writer", Duration::ZERO);
        while stuck.worker().ticked.elapsed().is_zero() {
            std::hint::spin_loop();
        }
        assert_eq!(health.obstacles().await, ["writer has not moved for 0 s (limit 0 s)"]);
        drop(stuck);
        assert!(health.obstacles().await.is_empty());
    }

    #[tokio::test]
    async fn dependencies_are_named_and_asked_at_most_once_a_second() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let (health, asked) = (Health::new(), Arc::new(AtomicUsize::new(0)));
        health.started();
        let count = asked.clone();
        health.depend("the bus", move || {
            count.fetch_add(1, Ordering::Relaxed);
            Box::pin(async { Err("refused".to_owned()) })
        });
        for _ in 0..5 {
            assert_eq!(health.obstacles().await, ["the bus does not answer: refused"]);
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    async fn answer(router: &Router, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(axum::body::Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn the_service_s_routes_stand_beside_health_and_metrics() {
        let (health, routes) = (Health::new(), Routes::default());
        let router = router("test", health.clone(), routes.clone());
        assert_eq!(answer(&router, "/livez").await.0, StatusCode::OK);
        let (status, body) = answer(&router, "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains("\"code\":\"not_ready\"") && body.contains("the service is starting"), "{body}");
        assert_eq!(answer(&router, "/own").await.0, StatusCode::SERVICE_UNAVAILABLE);
        routes.mount(Router::new().route("/own", get(async || "mine")));
        health.started();
        assert_eq!(answer(&router, "/readyz").await, (StatusCode::OK, "ready\n".into()));
        assert_eq!(answer(&router, "/own").await, (StatusCode::OK, "mine".into()));
        assert_eq!(answer(&router, "/nothing").await.0, StatusCode::NOT_FOUND);
        assert!(answer(&router, "/metrics").await.1.contains("# TYPE concord_build_info gauge"));
    }
}

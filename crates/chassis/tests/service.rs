//! What hosting promises: ready when work can move, drained when told to stop, one sentence when a setting is wrong.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

#[path = "support/parts.rs"]
mod parts;

use std::process::{Command, Stdio};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use chassis::service;
use chassis::settings::{SettingError, Settings};
use chassis::{Parts, worker};
use parts::world;
use tokio::net::TcpListener;

const PATIENCE: Duration = Duration::from_secs(30);

async fn status(url: &str) -> Option<u16> {
    Some(reqwest::get(url).await.ok()?.status().as_u16())
}

async fn until_status(url: &str, wanted: u16) {
    let reached = async {
        while status(url).await != Some(wanted) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("{url} never answered {wanted}"));
}

/// What a service is hosted with, its health not told yet; and where it will answer.
async fn to_host(parts: &Parts) -> (Parts, TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    (Parts { health: chassis::health::Health::new(), ..parts.clone() }, listener, base)
}

#[tokio::test]
async fn a_hosted_service_is_ready_while_it_works_and_drains_when_told() {
    let world = world().await;
    let (parts, listener, base) = to_host(&world.parts).await;
    let shutdown = parts.shutdown.clone();
    let (finish, finished) = tokio::sync::oneshot::channel::<()>();
    let hosted = tokio::spawn(service::host(parts, listener, |parts: Parts| async move {
        parts.routes.mount(Router::new().route("/own", get(async || "mine")));
        parts.shutdown.cancelled().await;
        finished.await.unwrap();
        Ok(())
    }));
    until_status(&format!("{base}/readyz"), 200).await;
    assert_eq!(status(&format!("{base}/livez")).await, Some(200));
    assert_eq!(reqwest::get(format!("{base}/own")).await.unwrap().text().await.unwrap(), "mine");
    let metrics = reqwest::get(format!("{base}/metrics")).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("concord_build_info{"), "{metrics}");

    shutdown.cancel();
    until_status(&format!("{base}/readyz"), 503).await;
    assert_eq!(status(&format!("{base}/livez")).await, Some(200), "alive until it has finished");
    assert!(!hosted.is_finished());
    finish.send(()).unwrap();
    tokio::time::timeout(PATIENCE, hosted).await.expect("it ends").unwrap().unwrap();
    assert_eq!(status(&format!("{base}/livez")).await, None);
}

#[tokio::test]
async fn a_service_that_is_not_built_yet_is_not_ready() {
    let world = world().await;
    let (parts, listener, base) = to_host(&world.parts).await;
    let shutdown = parts.shutdown.clone();
    let (build, built) = tokio::sync::oneshot::channel::<()>();
    let hosted = tokio::spawn(service::host(parts, listener, |parts: Parts| {
        let building = parts.health.progress("its routes", Duration::from_secs(60));
        building.block("not there yet");
        async move {
            built.await.unwrap();
            parts.routes.mount(Router::new().route("/own", get(async || "mine")));
            drop(building);
            parts.shutdown.cancelled().await;
            Ok(())
        }
    }));
    until_status(&format!("{base}/readyz"), 503).await;
    // Until nothing else keeps it: then its routes alone do.
    loop {
        let body = reqwest::get(format!("{base}/readyz")).await.unwrap().text().await.unwrap();
        assert!(body.contains("503"), "ready without its routes: {body}");
        if !body.contains("the service is starting") {
            assert!(body.contains("not there yet"), "{body}");
            break;
        }
    }
    build.send(()).unwrap();
    until_status(&format!("{base}/readyz"), 200).await;
    assert_eq!(status(&format!("{base}/own")).await, Some(200));
    shutdown.cancel();
    hosted.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_service_that_ends_by_itself_ends_its_process_with_its_outcome() {
    let world = world().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let outcome =
        service::host(world.parts.clone(), listener, async |_: Parts| Err(anyhow::anyhow!("the reason"))).await;
    assert_eq!(outcome.unwrap_err().to_string(), "the reason");
    assert!(world.parts.shutdown.is_cancelled(), "whatever it started is told to stop");
}

#[tokio::test]
async fn without_its_database_a_process_is_alive_and_not_ready() {
    let world = world().await;
    let mut parts = world.parts.clone();
    // Nobody listens there.
    parts.pool = sqlx::postgres::PgPoolOptions::new()
        .acquire_timeout(Duration::from_millis(200))
        .connect_lazy("postgres://127.0.0.1:1/none")
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let shutdown = parts.shutdown.clone();
    let hosted = tokio::spawn(service::host(parts, listener, async |parts: Parts| {
        parts.shutdown.cancelled().await;
        Ok(())
    }));
    until_status(&format!("{base}/livez"), 200).await;
    let answer = reqwest::get(format!("{base}/readyz")).await.unwrap();
    assert_eq!(answer.status().as_u16(), 503);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let body = answer.text().await.unwrap();
    assert!(body.contains("the database does not answer"), "{body}");
    shutdown.cancel();
    hosted.await.unwrap().unwrap();
}

struct NoConfig;

impl NoConfig {
    fn read(settings: &Settings) -> Result<Self, SettingError> {
        settings.number("EXAMPLE_LIMIT", 1u32, 1..=10).map(|_| Self)
    }
}

/// Not a test by itself: the process that the tests below start (this very binary, told to run only this).
#[test]
#[ignore = "started by the other tests as a process of its own"]
fn child() {
    let code = service::main("example", NoConfig::read, async |parts: Parts, _: NoConfig| {
        let spec = parts.core.topics.merge_service();
        parts.work(spec, std::sync::Arc::new(Nothing), worker::WorkerLimits::default()).await
    });
    // The test harness would turn any code into its own.
    std::process::exit(if code == std::process::ExitCode::SUCCESS { 0 } else { 3 });
}

struct Nothing;

#[async_trait::async_trait]
impl worker::Handler for Nothing {
    type Event = ();

    fn decode(&self, _: &chassis::bus::Message) -> Result<(), model::Failure> {
        Ok(())
    }

    async fn handle(&self, batch: &[worker::Decoded<()>]) -> Vec<Result<(), model::Failure>> {
        batch.iter().map(|_| Ok(())).collect()
    }
}

fn child_command(settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--ignored", "--nocapture"]).env_clear();
    command.envs(settings.iter().copied()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// An account, since a service without one has nothing to do.
const ACCOUNT: [(&str, &str); 5] = [
    ("NETSUITE_ACCOUNT", "TSTDRV100001"),
    ("NETSUITE_CONSUMER_KEY", "ck"),
    ("NETSUITE_CONSUMER_SECRET", "cs"),
    ("NETSUITE_TOKEN_ID", "ti"),
    ("NETSUITE_TOKEN_SECRET", "ts"),
];

#[test]
fn a_wrong_setting_ends_the_process_at_once_with_one_sentence() {
    let base = [("DATABASE_URL", "postgres://127.0.0.1:1/x"), ("CONCORD_HTTP", "127.0.0.1:0")];
    let cases = [
        (("DATABASE_URL", ""), "example: DATABASE_URL is not set; accepted is a Postgres URL such as"),
        (("EXAMPLE_LIMIT", "11"), "example: EXAMPLE_LIMIT was read as \"11\"; accepted is a number from 1 to 10"),
        (("CONCORD_ACCOUNTS", "/nowhere"), "example: CONCORD_ACCOUNTS names the file /nowhere"),
        (("CONCORD_TYPES", "/nowhere"), "example: CONCORD_TYPES was read as \"/nowhere ("),
        (("NETSUITE_ACCOUNT", ""), "example: CONCORD_ACCOUNTS is not set; accepted is the path of a TOML file"),
    ];
    for (wrong, sentence) in cases {
        let settings: Vec<_> = base.into_iter().chain(ACCOUNT).chain([wrong]).collect();
        let output = child_command(&settings).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{errors}");
        assert!(errors.starts_with(sentence) && errors.trim_end().lines().count() == 1, "{errors}");
    }
}

#[tokio::test]
async fn a_signalled_process_drains_and_ends_well() {
    let db = pgtest::database().await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let own = [("DATABASE_URL", db.url.as_str()), ("CONCORD_HTTP", address.as_str()), ("CONCORD_LOG", "text")];
    let settings: Vec<_> = own.into_iter().chain(ACCOUNT).collect();
    for signal in ["-TERM", "-INT"] {
        let mut child = child_command(&settings).spawn().unwrap();
        until_status(&format!("http://{address}/readyz"), 200).await;
        let killed = Command::new("kill").arg(signal).arg(child.id().to_string()).status().unwrap();
        assert!(killed.success());
        let status = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
        assert_eq!(status.code(), Some(0));
    }
}

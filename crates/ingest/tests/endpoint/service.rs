//! The service as the chassis hosts it: over TCP, stopping in order, stopped at once by a wrong secret.

use std::sync::Arc;

use chassis::Parts;
use chassis::accounts::Accounts;
use chassis::bus::Bus;
use chassis::bus::memory::MemoryBus;
use chassis::health::{Health, Routes};
use chassis::service::host;
use chassis::settings::{CoreSettings, Settings};
use ingest::{IngestSettings, MAX_BODY_BYTES};
use model::{ManualClock, RandomIds};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::world::{NOW, Signed, accounts, accounts_file, envelope, signed};

fn parts(bus: Arc<MemoryBus>, shutdown: CancellationToken) -> Parts {
    let settings =
        Settings::from_pairs([("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none"), ("CONCORD_HTTP", "127.0.0.1:0")]);
    let pool = sqlx::postgres::PgPoolOptions::new().connect_lazy("postgres://nobody@127.0.0.1:1/none").unwrap();
    Parts {
        name: "ingest",
        core: Arc::new(CoreSettings::from_settings(&settings).unwrap()),
        accounts: Arc::new(accounts()),
        pool,
        bus,
        clock: Arc::new(ManualClock::at(NOW.parse().unwrap())),
        ids: Arc::new(RandomIds),
        health: Health::new(),
        routes: Routes::default(),
        shutdown,
    }
}

/// What one connection gets back for these bytes.
async fn exchange(address: std::net::SocketAddr, chunks: Vec<Vec<u8>>) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    for chunk in chunks {
        stream.write_all(&chunk).await.unwrap();
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

fn head(request: &Signed, framing: &str) -> Vec<u8> {
    let built = request.builder().body(()).unwrap();
    let mut head = format!("POST {} HTTP/1.1\r\nhost: ingest\r\nconnection: close\r\n{framing}\r\n", built.uri());
    for (name, value) in built.headers() {
        head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    head.push_str("\r\n");
    head.into_bytes()
}

#[tokio::test]
async fn over_tcp_events_are_taken_and_a_large_body_gets_to_read_its_answer() {
    let bus = Arc::new(MemoryBus::new());
    let shutdown = CancellationToken::new();
    let parts = parts(bus.clone(), shutdown.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let health = parts.health.clone();
    let routes = parts.routes.clone();
    let service = tokio::spawn(host(parts, listener, |parts| ingest::start(parts, IngestSettings::default())));

    let request = signed(envelope("1").to_string().as_bytes());
    let framing = format!("content-length: {}", request.body.len());
    // Until the route is mounted the chassis answers "starting" with Retry-After, as to any sender.
    let taken = loop {
        let answer = exchange(address, vec![head(&request, &framing), request.body.clone()]).await;
        if !answer.starts_with("HTTP/1.1 503") {
            break answer;
        }
        tokio::task::yield_now().await;
    };
    assert!(taken.starts_with("HTTP/1.1 202"), "{taken}");
    assert_eq!(bus.backlog("merge-service"), 1);

    let large = signed(&vec![b' '; 10_000_000]);
    let chunked = head(&large, "transfer-encoding: chunked");
    let chunk =
        [format!("{:x}\r\n", large.body.len()).into_bytes(), large.body.clone(), b"\r\n0\r\n\r\n".to_vec()].concat();
    for answer in [
        exchange(address, vec![head(&large, &format!("content-length: {}", large.body.len())), large.body.clone()])
            .await,
        exchange(address, vec![chunked, chunk]).await,
    ] {
        assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("body_too_large"), "{answer}");
    }
    assert!(large.body.len() > MAX_BODY_BYTES);
    assert_eq!(bus.backlog("merge-service"), 1);

    shutdown.cancel();
    service.await.unwrap().unwrap();
    drop((health, routes));
    assert!(bus.publish("events.raw", Vec::new()).await.is_empty());
}

#[test]
fn a_wrong_signing_secret_stops_the_start_and_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.toml");
    std::fs::write(&path, accounts_file("{ value = \"hunter2\" }")).unwrap();
    let settings = Settings::from_pairs([("CONCORD_ACCOUNTS", path.to_str().unwrap())]);
    assert_eq!(Accounts::from_settings(&settings).unwrap().len(), 3);
    let error = IngestSettings::from_settings(&settings).unwrap_err().to_string();
    assert!(error.starts_with("CONCORD_ACCOUNTS account TSTDRV100001 ingest.signing_secrets"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

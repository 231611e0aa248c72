//! What the relay answers while its broker is away or silent, while bodies do not come, and while it stops.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use chassis::bus::{Bus, BusError, Message, MessageId, PublishError, Subscription, SubscriptionSpec, Topology, lane};
use http::StatusCode;
use ingest::IngestSettings;
use model::ManualClock;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::world::{NOW, World, envelope, relay, signed};

#[tokio::test]
async fn a_broker_that_is_away_is_503_and_the_same_request_is_good_later() {
    let world = World::new().await;
    world.bus.set_broken(true);
    let request = || signed(envelope("1").to_string().as_bytes()).into_request();
    let answer = world.refuses(request(), StatusCode::SERVICE_UNAVAILABLE, "broker_unavailable").await;
    assert!(answer.retry_after() >= 1);
    assert!(answer.body.get("accepted").is_none());
    world.bus.set_broken(false);
    assert_eq!(world.send(request()).await.status, StatusCode::ACCEPTED);
    assert_eq!(world.published().await.len(), 1);
}

#[tokio::test]
async fn when_the_broker_takes_some_of_a_request_none_is_accepted_and_ids_repeat() {
    let world = World::new().await;
    let body = json!([envelope("1"), envelope("2"), envelope("3")]);
    world.bus.fail_key(&lane("TSTDRV100001|customer|2", 64), 1);
    let answer = world.post(&body).await;
    answer.is_problem(StatusCode::SERVICE_UNAVAILABLE, "broker_unavailable");
    assert!(answer.retry_after() >= 1);
    let answer = world.post(&body).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    let published = world.published().await;
    let mut ids: Vec<_> = published.iter().map(|delivery| &delivery.message.attributes["event_id"]).collect();
    assert_eq!(ids.len(), 5, "two of the first request and three of the second");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3, "what stands twice has the same event id");
}

/// A broker that never answers.
#[derive(Debug)]
struct SilentBus;

#[async_trait]
impl Bus for SilentBus {
    async fn publish(&self, _topic: &str, _messages: Vec<Message>) -> Vec<Result<MessageId, PublishError>> {
        std::future::pending().await
    }
    async fn subscribe(&self, _spec: SubscriptionSpec) -> Result<Box<dyn Subscription>, BusError> {
        Err(BusError::Closed)
    }
    async fn ensure(&self, _topology: &Topology) -> Result<(), BusError> {
        Ok(())
    }
    async fn ping(&self) -> Result<(), BusError> {
        Ok(())
    }
    async fn close(&self) {}
}

fn silent_relay(settings: IngestSettings) -> Arc<ingest::Relay> {
    relay(settings, Arc::new(SilentBus), Arc::new(ManualClock::at(NOW.parse().unwrap())))
}

fn silent_router(settings: IngestSettings) -> axum::Router {
    ingest::router(silent_relay(settings))
}

#[tokio::test]
async fn a_broker_that_never_answers_is_503_within_the_timeout() {
    let publish_timeout = Duration::from_millis(50);
    let router = silent_router(IngestSettings { publish_timeout, ..IngestSettings::default() });
    let request = signed(envelope("1").to_string().as_bytes()).into_request();
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn a_body_that_never_ends_is_refused_within_the_timeout() {
    let body_timeout = Duration::from_millis(50);
    let world = World::with(IngestSettings { body_timeout, ..IngestSettings::default() }).await;
    let body = Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let request = signed(b"").builder().body(body).unwrap();
    world.refuses(request, StatusCode::REQUEST_TIMEOUT, "request_timeout").await;
}

#[tokio::test]
async fn a_body_that_breaks_off_is_400() {
    let world = World::new().await;
    let broken = futures::stream::iter([Ok(bytes::Bytes::from_static(b"{")), Err(std::io::Error::other("gone"))]);
    let request = signed(b"{").builder().body(Body::from_stream(broken)).unwrap();
    world.refuses(request, StatusCode::BAD_REQUEST, "malformed").await;
}

#[tokio::test]
async fn requests_beyond_the_limit_are_503_at_once() {
    let router = silent_router(IngestSettings {
        max_requests: 1,
        publish_timeout: Duration::from_millis(50),
        ..IngestSettings::default()
    });
    let request = || signed(envelope("1").to_string().as_bytes()).into_request();
    let mut first = std::pin::pin!(router.clone().oneshot(request()));
    assert!(futures::poll!(&mut first).is_pending(), "the first waits for the broker");
    let second = router.clone().oneshot(request()).await.unwrap();
    assert_eq!(second.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(second.headers().contains_key("retry-after"));
    assert_eq!(first.await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn while_the_service_stops_requests_under_way_are_finished_and_new_ones_are_503() {
    let publish_timeout = Duration::from_millis(50);
    let relay = silent_relay(IngestSettings { publish_timeout, ..IngestSettings::default() });
    let router = ingest::router(relay.clone());
    let request = || signed(envelope("1").to_string().as_bytes()).into_request();
    let mut first = std::pin::pin!(router.clone().oneshot(request()));
    assert!(futures::poll!(&mut first).is_pending(), "the first waits for the broker");
    let mut drain = std::pin::pin!(relay.drain());
    assert!(futures::poll!(&mut drain).is_pending(), "the service waits for the first");
    let problem = |response: http::Response<Body>| async move {
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        serde_json::from_slice::<Value>(&body).unwrap()["code"].clone()
    };
    assert_eq!(problem(router.clone().oneshot(request()).await.unwrap()).await, "busy");
    assert_eq!(problem(first.await.unwrap()).await, "broker_unavailable");
    drain.await;
    assert_eq!(problem(router.oneshot(request()).await.unwrap()).await, "busy");
}

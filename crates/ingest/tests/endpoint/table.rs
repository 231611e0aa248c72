//! Every row of the table in contracts §4, and that nothing of a refused request reaches the bus.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use chassis::bus::{Bus, BusError, Message, MessageId, PublishError, Subscription, SubscriptionSpec, Topology, lane};
use http::{Request, StatusCode};
use ingest::{IngestSettings, MAX_BODY_BYTES};
use model::wire::{decode_change_message, encode_change};
use model::{ManualClock, Operation, Source, TypedValue};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::world::{
    ACCOUNT, Answer, NEW, NOW, OLD, OTHERS, Signed, World, envelope, now, relay, signed, with, without,
};

fn array(count: usize) -> Value {
    Value::Array((0..count).map(|n| envelope(&n.to_string())).collect())
}

#[tokio::test]
async fn an_accepted_event_is_on_the_bus_as_protobuf_with_its_attributes() {
    let world = World::new().await;
    let answer = world.post(&envelope("12345")).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    let published = world.published().await;
    assert_eq!(published.len(), 1);
    let message = &published[0].message;
    let accepted = json!([{"eventId": envelope("12345")["eventId"], "messageId": published[0].message_id.as_str()}]);
    assert_eq!(answer.body, json!({ "accepted": accepted }));
    let event = decode_change_message(&message.data, &message.attributes).unwrap();
    assert_eq!(encode_change(&event), message.data);
    assert_eq!((event.operation, event.source), (Operation::Update, Source::NetsuiteUe));
    assert_eq!(event.base_version, Some(123));
    assert_eq!(event.changes["email"], TypedValue::Text("a@b.example".to_owned()));
    assert_eq!(message.ordering_key, Some(lane("TSTDRV100001|customer|12345", 64)));
    for (name, value) in [
        ("account_id", ACCOUNT),
        ("record_type", "customer"),
        ("record_id", "12345"),
        ("source", "netsuite-ue"),
        ("record_key", "TSTDRV100001|customer|12345"),
        ("content-type", "application/protobuf"),
        ("ce-specversion", "1.0"),
        ("event_id", envelope("12345")["eventId"].as_str().unwrap()),
    ] {
        assert_eq!(message.attributes.get(name).map(String::as_str), Some(value), "{name}");
    }
}

#[tokio::test]
async fn accepted_events_keep_the_order_of_the_request() {
    let world = World::new().await;
    let body = array(100);
    let answer = world.post(&body).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    let ids = |list: &Value| list.as_array().unwrap().iter().map(|e| e["eventId"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&answer.body["accepted"]), ids(&body));
    let mut published: Vec<(String, String)> = Vec::new();
    for delivery in world.published().await {
        published.push((delivery.message_id.to_string(), delivery.message.attributes["event_id"].clone()));
    }
    let told: Vec<(String, String)> = answer.body["accepted"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["messageId"].as_str().unwrap().to_owned(), entry["eventId"].as_str().unwrap().to_owned()))
        .collect();
    published.sort();
    let mut sorted = told.clone();
    sorted.sort();
    assert_eq!(published, sorted);
}

#[tokio::test]
async fn repeating_a_request_repeats_its_ids() {
    let world = World::new().await;
    let body = json!([without(envelope("1"), "eventId"), without(envelope("2"), "eventId")]);
    let first = world.post(&body).await;
    let second = world.post(&body).await;
    let ids = |answer: &Answer| {
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
        answer.body["accepted"].as_array().unwrap().iter().map(|e| e["eventId"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&first), ids(&second));
    assert_ne!(ids(&first)[0], ids(&first)[1]);
}

#[tokio::test]
async fn the_trace_of_the_sender_rides_along() {
    let world = World::new().await;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let body = envelope("1").to_string();
    for (value, carried) in [(parent, true), ("nonsense", false)] {
        let request = signed(body.as_bytes());
        let request = request.builder().header("traceparent", value).body(Body::from(request.body)).unwrap();
        assert_eq!(world.send(request).await.status, StatusCode::ACCEPTED);
        let published = world.published().await;
        for name in ["traceparent", "googclient_traceparent"] {
            let seen = published[0].message.attributes.get(name).map(String::as_str);
            assert_eq!(seen, carried.then_some(parent), "{name}");
        }
    }
}

#[tokio::test]
async fn both_secrets_are_good_while_one_is_being_replaced() {
    let world = World::new().await;
    let body = envelope("1").to_string();
    for secret in [OLD, NEW] {
        let answer = world.send(Signed { secret, ..signed(body.as_bytes()) }.into_request()).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    }
}

#[tokio::test]
async fn what_is_not_signed_for_the_account_is_401_and_all_of_it_looks_alike() {
    let world = World::new().await;
    let body = envelope("1").to_string();
    let good = || signed(body.as_bytes());
    let mut requests = vec![
        Signed { secret: OTHERS, ..good() }.into_request(),
        Signed { account: "OTHER".into(), ..good() }.into_request(),
        Signed { account: "UNKNOWN".into(), ..good() }.into_request(),
        Signed { account: "SILENT".into(), ..good() }.into_request(),
        Signed { account: "a.b".into(), ..good() }.into_request(),
        Signed { account: "%ff".into(), ..good() }.into_request(),
        Signed { at: now() - 301, ..good() }.into_request(),
        Signed { at: now() + 301, ..good() }.into_request(),
        good().builder().body(Body::from(body.replace("a@b", "c@d"))).unwrap(),
    ];
    for header in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let mut missing = good().into_request();
        missing.headers_mut().remove(header);
        let mut other = good().into_request();
        other.headers_mut().insert(header, "1763125925".parse().unwrap());
        requests.extend([missing, other]);
    }
    let mut bodies = Vec::new();
    for request in requests {
        bodies.push(world.refuses(request, StatusCode::UNAUTHORIZED, "unauthorized").await.body);
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "{bodies:?}");
}

#[tokio::test]
async fn five_minutes_either_way_are_accepted() {
    let world = World::new().await;
    let body = envelope("1").to_string();
    for at in [now() - 300, now() + 300] {
        let answer = world.send(Signed { at, ..signed(body.as_bytes()) }.into_request()).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    }
    world.clock.advance_micros(301_000_000);
    let late = signed(body.as_bytes()).into_request();
    world.send(late).await.is_problem(StatusCode::UNAUTHORIZED, "unauthorized");
}

#[tokio::test]
async fn a_malformed_event_refuses_the_whole_request_and_every_fault_is_named() {
    let world = World::new().await;
    let whole = |body: Value| body.to_string();
    let good = || envelope("1");
    let cases: Vec<(String, Vec<&str>)> = vec![
        ("{".into(), vec![""]),
        ("\"text\"".into(), vec![""]),
        ("[]".into(), vec![""]),
        (whole(array(101)), vec![""]),
        (whole(with(good(), "eventId", json!("not-a-uuid"))), vec!["/eventId"]),
        (whole(with(good(), "accountId", json!("OTHER"))), vec!["/accountId"]),
        (whole(with(good(), "source", json!("carrier-pigeon"))), vec!["/source"]),
        (whole(with(good(), "baseVersion", json!("latest"))), vec!["/baseVersion"]),
        (whole(with(good(), "changes", json!(["email"]))), vec!["/changes"]),
        (
            whole(with(good(), "changes", json!({"tags": ["a", {"b": 1}], "memo": "a\u{0}b"}))),
            vec!["/changes/tags/1", "/changes/memo"],
        ),
        (
            whole(with(good(), "changes", json!({"lines": [{"line": 1, "rate": [null]}]}))),
            vec!["/changes/lines/0/rate/0"],
        ),
        (whole(with(good(), "timestamp", json!("yesterday"))), vec!["/timestamp"]),
        (whole(good()).replace("a@b.example", "\\ud800"), vec!["/changes/email"]),
        (whole(good()).replace("\"a@b.example\"", "1e999"), vec!["/changes/email"]),
        (
            whole(json!([
                good(),
                without(good(), "recordId"),
                good(),
                with(without(good(), "recordType"), "source", json!(1))
            ])),
            vec!["/1/recordId", "/3/recordType", "/3/source"],
        ),
    ];
    for (body, pointers) in cases {
        let request = signed(body.as_bytes()).into_request();
        let answer = world.refuses(request, StatusCode::BAD_REQUEST, "malformed").await;
        assert_eq!(answer.pointers(), pointers, "{answer:?}");
        assert!(!answer.body.to_string().contains("b.example"), "no answer repeats a value");
    }
    assert_eq!(world.post(&good()).await.status, StatusCode::ACCEPTED, "the next good event is taken");
}

#[tokio::test]
async fn bodies_over_a_mebibyte_are_413_declared_or_streamed() {
    let world = World::new().await;
    let exact = with(envelope("1"), "padding", json!(""));
    let pad = MAX_BODY_BYTES - exact.to_string().len();
    let largest = with(exact, "padding", json!("x".repeat(pad))).to_string();
    assert_eq!(largest.len(), MAX_BODY_BYTES);
    assert_eq!(world.send(signed(largest.as_bytes()).into_request()).await.status, StatusCode::ACCEPTED);
    assert_eq!(world.published().await.len(), 1);

    let world = World::new().await;
    let larger = format!("{largest} ");
    let declared = signed(larger.as_bytes());
    let declared = declared.builder().header("content-length", larger.len()).body(Body::from(larger.clone())).unwrap();
    world.refuses(declared, StatusCode::PAYLOAD_TOO_LARGE, "body_too_large").await;
    let chunks = |total: usize| {
        let chunk = bytes::Bytes::from(vec![b' '; 64 * 1024]);
        let count = total.div_ceil(chunk.len());
        Body::from_stream(futures::stream::iter((0..count).map(move |_| Ok::<_, std::io::Error>(chunk.clone()))))
    };
    for total in [MAX_BODY_BYTES + 1, 10_000_000, 100_000_000] {
        let request = signed(b"").builder().body(chunks(total)).unwrap();
        world.refuses(request, StatusCode::PAYLOAD_TOO_LARGE, "body_too_large").await;
    }
    let waiting = signed(b"").builder().header("expect", "100-continue").header("content-length", 2 << 20);
    let request =
        waiting.body(Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>())).unwrap();
    world.refuses(request, StatusCode::PAYLOAD_TOO_LARGE, "body_too_large").await;
}

#[tokio::test]
async fn only_plain_json_is_taken() {
    let world = World::new().await;
    let body = envelope("1").to_string();
    for content_type in [None, Some("text/plain"), Some("application/protobuf"), Some("application/jsonx")] {
        let request = Signed { content_type, ..signed(body.as_bytes()) }.into_request();
        world.refuses(request, StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type").await;
    }
    let mut encoded = signed(body.as_bytes()).into_request();
    encoded.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
    world.refuses(encoded, StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type").await;
    let answer = world
        .send(
            Signed { content_type: Some("Application/JSON; charset=utf-8"), ..signed(body.as_bytes()) }.into_request(),
        )
        .await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
}

#[tokio::test]
async fn the_first_fault_in_the_contract_s_order_is_the_answer() {
    let world = World::with(IngestSettings { burst: NonZeroU32::new(100).unwrap(), ..IngestSettings::default() }).await;
    // The share is used up, so that a request with no other fault would be over it.
    assert_eq!(world.post(&array(100)).await.status, StatusCode::ACCEPTED);
    let huge = vec![b' '; MAX_BODY_BYTES + 1];
    let everything = Signed { content_type: None, secret: OTHERS, ..signed(&huge) };
    world.send(everything.into_request()).await.is_problem(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large");
    let small = Signed { content_type: None, secret: OTHERS, ..signed(b"{") };
    world.send(small.into_request()).await.is_problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type");
    let typed = Signed { secret: OTHERS, ..signed(b"{") };
    world.send(typed.into_request()).await.is_problem(StatusCode::UNAUTHORIZED, "unauthorized");
    world.send(signed(b"{").into_request()).await.is_problem(StatusCode::BAD_REQUEST, "malformed");
    world.post(&envelope("1")).await.is_problem(StatusCode::TOO_MANY_REQUESTS, "over_share");
}

#[tokio::test]
async fn over_its_share_an_account_is_429_and_others_are_not() {
    let world = World::new().await;
    for _ in 0..20 {
        assert_eq!(world.post(&array(100)).await.status, StatusCode::ACCEPTED);
        assert_eq!(world.published().await.len(), 100);
    }
    let answer = world.post(&array(100)).await;
    answer.is_problem(StatusCode::TOO_MANY_REQUESTS, "over_share");
    assert_eq!(answer.retry_after(), 1);
    assert_eq!(world.bus.backlog("merge-service"), 0, "nothing of a refused request is published");
    let other = without(envelope("1"), "accountId").to_string();
    let other = Signed { account: "OTHER".into(), secret: OTHERS, ..signed(other.as_bytes()) };
    assert_eq!(world.send(other.into_request()).await.status, StatusCode::ACCEPTED);
    world.clock.advance_micros(1_000_000);
    for _ in 0..5 {
        assert_eq!(world.post(&array(100)).await.status, StatusCode::ACCEPTED, "500 a second are its share");
    }
    world.post(&array(1)).await.is_problem(StatusCode::TOO_MANY_REQUESTS, "over_share");
}

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

#[tokio::test]
async fn other_paths_and_methods_are_problems_too() {
    let world = World::new().await;
    let get = Request::get(format!("/v1/accounts/{ACCOUNT}/events")).body(Body::empty()).unwrap();
    world.refuses(get, StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed").await;
    let elsewhere = Request::post("/v1/events").body(Body::empty()).unwrap();
    world.refuses(elsewhere, StatusCode::NOT_FOUND, "not_found").await;
}

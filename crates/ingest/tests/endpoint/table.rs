//! Every row of the table in contracts §4, and that nothing of a refused request reaches the bus.

use std::num::NonZeroU32;

use axum::body::Body;
use chassis::bus::lane;
use http::{Request, StatusCode};
use ingest::{IngestSettings, MAX_BODY_BYTES};
use model::wire::{decode_change_message, encode_change};
use model::{Operation, Source, TypedValue};
use serde_json::{Value, json};

use crate::world::{ACCOUNT, Answer, NEW, OLD, OTHERS, Signed, World, envelope, now, signed, with, without};

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
async fn other_paths_and_methods_are_problems_too() {
    let world = World::new().await;
    let get = Request::get(format!("/v1/accounts/{ACCOUNT}/events")).body(Body::empty()).unwrap();
    world.refuses(get, StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed").await;
    let elsewhere = Request::post("/v1/events").body(Body::empty()).unwrap();
    world.refuses(elsewhere, StatusCode::NOT_FOUND, "not_found").await;
}

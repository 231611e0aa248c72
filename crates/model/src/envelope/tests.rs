use serde_json::{Value as Json, json};

use super::*;
use crate::ErrorClass;
use crate::wire::{decode_change_message, encode_change};

fn account() -> AccountId {
    AccountId::parse("TSTDRV100001").unwrap()
}

fn envelope() -> Json {
    json!({
        "eventId": "01890000-0000-7000-8000-000000000001", "accountId": "TSTDRV100001", "recordType": "customer",
        "recordId": "12345", "eventType": "update", "source": "UE", "timestamp": "2026-11-14T13:12:05Z",
        "baseVersion": "v123", "changes": {"email": "a@b.example"}, "fullSnapshotRef": "gs://bucket/snapshots/1"
    })
}

/// The envelope with one member replaced.
fn with(name: &str, value: Json) -> Json {
    let mut envelope = envelope();
    envelope[name] = value;
    envelope
}

fn without(name: &str) -> Json {
    let mut envelope = envelope();
    envelope.as_object_mut().unwrap().remove(name);
    envelope
}

fn parse(body: &Json) -> Result<Vec<ChangeEvent>, Vec<Pointed>> {
    parse_envelopes(body.to_string().as_bytes(), &account(), "msg_1")
}

fn parse_one(body: &Json) -> ChangeEvent {
    let mut events = parse(body).unwrap_or_else(|found| panic!("{body}: {found:?}"));
    assert_eq!(events.len(), 1);
    events.remove(0)
}

/// The typed value of one member of `changes`, written as JSON text.
fn typed(text: &str) -> TypedValue {
    let body = without("changes").to_string();
    let body = format!("{},\"changes\":{{\"f\":{text}}}}}", body.strip_suffix('}').unwrap());
    let mut events =
        parse_envelopes(body.as_bytes(), &account(), "m").unwrap_or_else(|found| panic!("{text}: {found:?}"));
    events.remove(0).changes.remove("f").unwrap()
}

fn pointers(body: &[u8]) -> Vec<String> {
    let found = parse_envelopes(body, &account(), "m").expect_err("it is refused");
    found.into_iter().map(|p| p.pointer).collect()
}

#[test]
fn both_seed_spellings_mean_the_same() {
    let second = json!({
        "recordType": "customer", "recordId": "12345", "operation": "update", "source": "netsuite-ue",
        "timestamp": "2026-11-14T13:12:05Z", "orderingKey": "customer:12345", "authContext": null,
        "payload": {"email": "a@b.example"}, "eventId": "01890000-0000-7000-8000-000000000001", "baseVersion": 123,
        "fullSnapshotRef": "gs://bucket/snapshots/1", "somethingNew": [1, {"x": "\u{0}"}]
    });
    assert_eq!(parse_one(&second), parse_one(&envelope()));
    let event = parse_one(&envelope());
    assert_eq!((event.operation, event.source, event.side), (Operation::Update, Source::NetsuiteUe, Side::Netsuite));
    assert_eq!(event.base_version, Some(123));
}

#[test]
fn sources_come_in_three_words_and_two_spellings() {
    for (word, source) in [
        ("UE", Source::NetsuiteUe),
        ("netsuite-ue", Source::NetsuiteUe),
        ("Poller", Source::NetsuitePoll),
        ("netsuite-poll", Source::NetsuitePoll),
        ("SuiteX", Source::Suitex),
        ("suitex", Source::Suitex),
    ] {
        assert_eq!(parse_one(&with("source", json!(word))).source, source, "{word}");
    }
}

#[test]
fn base_versions_come_in_three_spellings() {
    for spelled in [json!("v123"), json!("123"), json!(123)] {
        assert_eq!(parse_one(&with("baseVersion", spelled.clone())).base_version, Some(123), "{spelled}");
    }
    assert_eq!(parse_one(&with("baseVersion", Json::Null)).base_version, None);
}

#[test]
fn a_missing_event_id_repeats_with_the_request() {
    let twice = json!([without("eventId"), without("eventId")]);
    let ids = |webhook_id: &str, account: &str| -> Vec<EventId> {
        let mut twice = twice.clone();
        for event in twice.as_array_mut().unwrap() {
            event.as_object_mut().unwrap().remove("accountId");
        }
        let account = AccountId::parse(account).unwrap();
        let events = parse_envelopes(twice.to_string().as_bytes(), &account, webhook_id).unwrap();
        events.into_iter().map(|event| event.event_id).collect()
    };
    let first = ids("msg_1", "A");
    assert_eq!(first, ids("msg_1", "A"));
    assert_ne!(first[0], first[1]);
    assert!(ids("msg_2", "A").iter().all(|id| !first.contains(id)));
    assert!(ids("msg_1", "B").iter().all(|id| !first.contains(id)));
    assert_eq!(first[0].get_version_num(), 5);
}

#[test]
fn the_account_comes_from_the_path() {
    assert_eq!(parse_one(&without("accountId")).account, account());
    assert_eq!(pointers(with("accountId", json!("OTHER")).to_string().as_bytes()), ["/accountId"]);
}

#[test]
fn values_keep_what_was_written() {
    let text = |text: &str| TypedValue::Text(text.to_owned());
    for (json, expected) in [
        ("null", TypedValue::Null),
        ("true", TypedValue::Bool(true)),
        ("false", TypedValue::Bool(false)),
        ("\"\\u00fc\\ud83d\\ude00\"", text("ü😀")),
        ("12", TypedValue::Integer(12)),
        ("-9223372036854775808", TypedValue::Integer(i64::MIN)),
        ("10.00", TypedValue::Decimal("10.00".into())),
        ("0.30000000000000004", TypedValue::Decimal("0.30000000000000004".into())),
        ("1e3", TypedValue::Decimal("1e3".into())),
        ("12345678901234567890", TypedValue::Decimal("12345678901234567890".into())),
        ("[]", TypedValue::Set(Vec::new())),
        ("[\"a\", 2]", TypedValue::Set(vec!["a".into(), "2".into()])),
        ("{\"id\":\"7\",\"name\":\"Net 30\"}", TypedValue::Reference { id: "7".into(), name: "Net 30".into() }),
        (
            "{\"id\":7,\"refName\":\"Net 30\",\"links\":[]}",
            TypedValue::Reference { id: "7".into(), name: "Net 30".into() },
        ),
        ("{\"id\":null}", TypedValue::Null),
        ("{}", TypedValue::Lines(BTreeMap::new())),
    ] {
        assert_eq!(typed(json), expected, "{json}");
    }
}

#[test]
fn sublists_come_as_lists_or_by_key() {
    let line = |rate: i64| BTreeMap::from([("rate".to_owned(), TypedValue::Integer(rate))]);
    let expected = TypedValue::Lines([("1".to_owned(), line(5)), ("2".to_owned(), line(6))].into());
    for json in [
        "[{\"line\":1,\"rate\":5},{\"line\":2,\"rate\":6}]",
        "[{\"id\":\"1\",\"rate\":5},{\"id\":\"2\",\"rate\":6}]",
        "{\"1\":{\"rate\":5},\"2\":{\"rate\":6}}",
    ] {
        assert_eq!(typed(json), expected, "{json}");
    }
}

#[test]
fn every_refused_member_has_its_pointer() {
    let secret = "sëcret";
    for (pointer, body) in [
        ("/eventId", with("eventId", json!(secret))),
        ("/eventId", with("eventId", json!(7))),
        ("/eventId", with("eventId", json!("00000000-0000-0000-0000-000000000000"))),
        ("/accountId", with("accountId", json!([secret]))),
        ("/recordType", without("recordType")),
        ("/recordType", with("recordType", json!(secret))),
        ("/recordId", without("recordId")),
        ("/recordId", with("recordId", json!(12345))),
        ("/recordId", with("recordId", json!("a|b"))),
        ("/eventType", without("eventType")),
        ("/eventType", with("eventType", json!(secret))),
        ("/operation", with("operation", json!("delete"))),
        ("/source", without("source")),
        ("/source", with("source", json!("reconcile"))),
        ("/source", with("source", json!(secret))),
        ("/timestamp", without("timestamp")),
        ("/timestamp", with("timestamp", json!("2026-11-14T13:12:05"))),
        ("/timestamp", with("timestamp", json!("9999-11-14T13:12:05Z"))),
        ("/timestamp", with("timestamp", json!(1_763_125_925))),
        ("/baseVersion", with("baseVersion", json!("vv1"))),
        ("/baseVersion", with("baseVersion", json!("v"))),
        ("/baseVersion", with("baseVersion", json!("+1"))),
        ("/baseVersion", with("baseVersion", json!(-1))),
        ("/baseVersion", with("baseVersion", json!(1.5))),
        ("/baseVersion", with("baseVersion", json!({}))),
        ("/remoteVersion", with("remoteVersion", json!("x"))),
        ("/writeId", with("writeId", json!(secret))),
        ("/fullSnapshotRef", with("fullSnapshotRef", json!({}))),
        ("/correlationId", with("correlationId", json!("a\u{0}"))),
        ("/authContext", with("authContext", json!({"a": ["\u{0}"]}))),
        ("/payload", with("payload", json!({}))),
        ("/changes", with("changes", json!([secret]))),
        ("/changes", with("changes", json!(secret))),
        ("/changes", with("changes", Json::Null)),
        ("/changes/a~1b", with("changes", json!({"a/b": format!("{secret}\u{0}")}))),
        ("/changes/", with("changes", json!({"": 1}))),
        ("/changes/f", with("changes", json!({"f": "x".repeat(1_048_577)}))),
        ("/changes/f/1", with("changes", json!({"f": ["a", true]}))),
        ("/changes/f/0", with("changes", json!({"f": [1.5]}))),
        ("/changes/f/0", with("changes", json!({"f": [{"id": 1}, 2]}))),
        ("/changes/f/0/id", with("changes", json!({"f": [{"rate": 1}]}))),
        ("/changes/f/1/line", with("changes", json!({"f": [{"line": 1}, {"line": 1}]}))),
        ("/changes/f/0/g", with("changes", json!({"f": [{"id": 1, "g": [{"id": 2}]}]}))),
        ("/changes/f/0/g/x", with("changes", json!({"f": [{"id": 1, "g": {"x": 1, "id": 2}}]}))),
        ("/changes/f/x", with("changes", json!({"f": {"x": secret}}))),
        ("/changes/f/id", with("changes", json!({"f": {"id": true}}))),
        ("/changes/f/name", with("changes", json!({"f": {"id": 1, "name": 2}}))),
    ] {
        let found = parse(&body).expect_err(pointer);
        assert_eq!(found.iter().map(|p| p.pointer.as_str()).collect::<Vec<_>>(), [pointer], "{found:?}");
        assert!(!found[0].message.contains(secret) && !found[0].message.is_empty(), "{found:?}");
        let in_array = parse(&json!([envelope(), body])).expect_err(pointer);
        assert_eq!(in_array[0].pointer, format!("/1{pointer}"));
    }
}

#[test]
fn mixed_arrays_and_odd_numbers_are_refused_where_they_stand() {
    let body = |value: &str| {
        let rest = without("changes").to_string();
        format!("{},\"changes\":{{\"f\":{value}}}}}", rest.strip_suffix('}').unwrap())
    };
    for (value, pointer) in [
        ("1e400", "/changes/f"),
        ("99999999999999999999999999999", "/changes/f"),
        ("0.12345678901234567890123456789", "/changes/f"),
        ("\"\\ud800\"", "/changes/f"),
        ("\"\\udc00x\"", "/changes/f"),
        ("{\"\\ud800\":{}}", "/changes/f"),
        ("[\"\\ud800\"]", "/changes/f/0"),
        ("[{\"id\":1,\"memo\":\"\\ud800\"}]", "/changes/f/0/memo"),
        ("\"a\\u0000b\"", "/changes/f"),
    ] {
        assert_eq!(pointers(body(value).as_bytes()), [pointer], "{value}");
    }
}

#[test]
fn all_that_is_wrong_is_named_at_once() {
    let body = json!([
        {"recordType": 1, "source": "x"},
        envelope(),
        {"recordType": "customer", "recordId": "1", "operation": "update", "source": "suitex",
         "timestamp": "2026-11-14T13:12:05Z", "payload": {"a": [null], "b": "\u{0}"}}
    ]);
    assert_eq!(
        pointers(body.to_string().as_bytes()),
        ["/0/recordType", "/0/recordId", "/0/eventType", "/0/source", "/0/timestamp", "/2/payload/a/0", "/2/payload/b"]
    );
}

#[test]
fn findings_have_a_limit() {
    let body = Json::Array((0..100).map(|_| json!({})).collect());
    assert_eq!(parse(&body).unwrap_err().len(), crate::wire::MAX_FINDINGS);
}

#[test]
fn a_body_that_is_no_envelope_is_refused_as_a_whole() {
    let deep = "[".repeat(100_000);
    for body in [&b""[..], b"{", b"nonsense", b"\xff", b"7", b"null", b"\"x\"", b"[]", b"{} {}", deep.as_bytes()] {
        assert_eq!(pointers(body), [""], "{} bytes", body.len());
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(pointers(deep.as_bytes()), ["/0"]);
    assert_eq!(pointers(b"[1]"), ["/0"]);
}

#[test]
fn a_request_holds_at_most_a_hundred_events() {
    let many = |count: usize| Json::Array((0..count).map(|_| envelope()).collect());
    assert_eq!(parse(&many(100)).unwrap().len(), 100);
    assert_eq!(pointers(many(101).to_string().as_bytes()), [""]);
}

#[test]
fn a_json_message_needs_no_attribute_but_its_content_type() {
    let attributes = BTreeMap::from([("content-type".to_owned(), "application/json".to_owned())]);
    let event = decode_change_message(envelope().to_string().as_bytes(), &attributes).unwrap();
    assert_eq!(event, parse_one(&envelope()));
    assert_eq!(decode_change_message(&encode_change(&event), &BTreeMap::new()).unwrap(), event);
}

#[test]
fn a_json_message_may_take_its_ids_from_the_attributes() {
    let mut body = without("eventId");
    body.as_object_mut().unwrap().remove("accountId");
    let body = body.to_string();
    let mut attributes = BTreeMap::from([
        ("content-type".to_owned(), "application/json".to_owned()),
        ("account_id".to_owned(), "TSTDRV100001".to_owned()),
        ("event_id".to_owned(), "01890000-0000-7000-8000-000000000001".to_owned()),
    ]);
    assert_eq!(decode_change_message(body.as_bytes(), &attributes).unwrap(), parse_one(&envelope()));
    attributes.retain(|name, _| name == "content-type");
    let failure = decode_change_message(body.as_bytes(), &attributes).unwrap_err();
    assert_eq!(failure.class, ErrorClass::Validation);
    assert!(failure.reason.contains("/eventId") && failure.reason.contains("/accountId"), "{}", failure.reason);
}

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::{AccountId, Fields, NativeId, Operation, RecordType, Rid, Timestamp, TypedValue, Value};

fn text(text: &str) -> TypedValue {
    TypedValue::Text(text.to_owned())
}

fn full_event() -> ChangeEvent {
    let line: BTreeMap<String, TypedValue> = [
        ("item".to_owned(), TypedValue::Reference { id: "7".into(), name: "Bolt".into() }),
        ("quantity".to_owned(), TypedValue::Decimal("2.5000".into())),
    ]
    .into();
    let changes = [
        ("email", text("a@b.example")),
        ("phone", TypedValue::Null),
        ("isinactive", TypedValue::Bool(true)),
        ("points", TypedValue::Integer(-5)),
        ("creditlimit", TypedValue::Decimal("10.00".into())),
        ("trandate", TypedValue::Date("2026-11-14".into())),
        ("at", TypedValue::DateTime("2026-11-14T13:12:05.5Z".into())),
        ("tags", TypedValue::Set(vec!["2".into(), "1".into()])),
        ("lines", TypedValue::Lines([("1".to_owned(), line)].into())),
    ];
    ChangeEvent {
        event_id: Uuid::from_u128(1),
        account: AccountId::parse("TSTDRV100001").unwrap(),
        record_type: RecordType::parse("customer").unwrap(),
        record_id: NativeId::parse("12345").unwrap(),
        operation: Operation::Update,
        source: Source::NetsuiteUe,
        side: Side::Netsuite,
        occurred_at: "2026-11-14T13:12:05.25Z".parse().unwrap(),
        base_version: Some(123),
        changes: changes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        full_snapshot_ref: Some("gs://bucket/snapshots/1".into()),
        remote_version: Some(-9),
        write_id: Some(Uuid::from_u128(2)),
        auth_context: Some(serde_json::json!({"user": 7, "role": null})),
        correlation_id: Some("trace-1".into()),
    }
}

fn doorbell() -> MergedEvent {
    let line: Fields = [("rate".to_owned(), Value::text("1.50"))].into();
    let changes = [
        ("lines", Value::Lines([("a".to_owned(), Some(line)), ("b".to_owned(), None)].into())),
        ("tags", Value::Set(["1".to_owned()].into())),
        ("points", Value::Int(3)),
        ("memo", Value::Null),
        ("isinactive", Value::Bool(false)),
    ];
    MergedEvent {
        event_id: Uuid::from_u128(3),
        account: AccountId::parse("TSTDRV100001").unwrap(),
        record_type: RecordType::parse("salesorder").unwrap(),
        rid: Rid(Uuid::from_u128(4)),
        target: Side::Suitex,
        version: 9,
        changes: changes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        source_event_ids: vec![Uuid::from_u128(5), Uuid::from_u128(6)],
        decisions: [("memo".to_owned(), ("newest_wins".to_owned(), "netsuite".to_owned()))].into(),
        occurred_at: Some("2026-11-14T13:12:05Z".parse().unwrap()),
    }
}

fn attributes(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn an_event_survives_the_wire_byte_for_byte() {
    let event = full_event();
    let bytes = encode_change(&event);
    assert_eq!(decode_change(&bytes).unwrap(), event);
    assert_eq!(encode_change(&event), bytes);
    assert_eq!(decode_change_message(&bytes, &change_attributes(&event)).unwrap(), event);
}

#[test]
fn a_doorbell_survives_the_wire() {
    assert_eq!(decode_merged(&encode_merged(&doorbell())).unwrap(), doorbell());
}

#[test]
fn change_attributes_are_those_of_the_contract() {
    let event = full_event();
    let expected = attributes(&[
        ("event_id", "00000000-0000-0000-0000-000000000001"),
        ("account_id", "TSTDRV100001"),
        ("record_type", "customer"),
        ("record_id", "12345"),
        ("record_key", "TSTDRV100001|customer|12345"),
        ("source", "netsuite-ue"),
        ("content-type", "application/protobuf"),
        ("ce-id", "00000000-0000-0000-0000-000000000001"),
        ("ce-source", "/accounts/TSTDRV100001/netsuite-ue"),
        ("ce-specversion", "1.0"),
        ("ce-type", "concord.events.v1.ChangeEvent"),
        ("ce-time", "2026-11-14T13:12:05.25Z"),
    ]);
    assert_eq!(change_attributes(&event), expected);
    let from_reconciler = ChangeEvent { source: Source::Reconcile, side: Side::Suitex, ..event };
    assert_eq!(change_attributes(&from_reconciler).get("side").map(String::as_str), Some("suitex"));
}

#[test]
fn merged_attributes_let_subscriptions_filter_on_the_target() {
    let seen = merged_attributes(&doorbell());
    for (name, value) in [
        ("target", "suitex"),
        ("event_id", "00000000-0000-0000-0000-000000000003"),
        ("record_id", "00000000-0000-0000-0000-000000000004"),
        ("record_key", "TSTDRV100001|salesorder|00000000-0000-0000-0000-000000000004"),
        ("ce-id", "00000000-0000-0000-0000-000000000003"),
        ("ce-type", "concord.events.v1.MergedEvent"),
        ("ce-specversion", "1.0"),
        ("content-type", "application/protobuf"),
    ] {
        assert_eq!(seen.get(name).map(String::as_str), Some(value), "{name}");
    }
}

#[test]
fn ids_may_stand_in_the_attributes() {
    let event = full_event();
    let bare = proto::ChangeEvent {
        event_id: String::new(),
        account_id: String::new(),
        record_type: String::new(),
        record_id: String::new(),
        source: 0,
        ..encode::change(&event)
    };
    let attributes = change_attributes(&event);
    assert_eq!(decode_change_message(&bare.encode_to_vec(), &attributes).unwrap(), event);
    let failure = decode_change_message(&bare.encode_to_vec(), &BTreeMap::new()).unwrap_err();
    assert_eq!(failure.class, ErrorClass::Validation);
}

#[test]
fn two_accounts_for_one_event_are_refused() {
    let bytes = encode_change(&full_event());
    let failure = decode_change_message(&bytes, &attributes(&[("account_id", "OTHER")])).unwrap_err();
    assert_eq!((failure.class, failure.code), (ErrorClass::Validation, "bad_member"));
    assert!(failure.reason.contains("/account_id"), "{}", failure.reason);
}

#[test]
fn the_side_of_a_resolution_is_what_it_says_and_of_a_poll_what_it_is() {
    let side_of = |source, side| {
        let event = ChangeEvent { source, side, ..full_event() };
        decode_change(&encode_change(&event)).unwrap().side
    };
    assert_eq!(side_of(Source::Resolution, Side::Suitex), Side::Suitex);
    assert_eq!(side_of(Source::NetsuitePoll, Side::Suitex), Side::Netsuite);
}

#[test]
fn other_content_types_and_unreadable_bytes_are_poison() {
    let good = encode_change(&full_event());
    for (data, content_type, code) in [
        (&good[..], "application/xml", "unknown_content_type"),
        (&good[..], "", "unknown_content_type"),
        (&b"\xff\xff\xff\xff"[..], "application/protobuf", "unreadable_payload"),
        (&b"{\"a\":"[..], "application/json", "unreadable_payload"),
        (&b"\xff"[..], "application/json; charset=utf-8", "unreadable_payload"),
    ] {
        let failure = decode_change_message(data, &attributes(&[("content-type", content_type)])).unwrap_err();
        assert_eq!((failure.class, failure.code), (ErrorClass::Irrecoverable, code), "{content_type}");
    }
}

#[test]
fn half_a_surrogate_pair_is_no_text_on_the_wire() {
    // Field 4 (record_id) with U+D800 as three bytes, which UTF-8 does not allow.
    let failure = decode_change_message(b"\x22\x03\xed\xa0\x80", &BTreeMap::new()).unwrap_err();
    assert_eq!(failure.class, ErrorClass::Irrecoverable);
}

/// What spoils the event, and the pointer that must name it.
fn spoiled() -> Vec<(&'static str, proto::ChangeEvent)> {
    use proto::typed_value::Value as Wire;
    let whole = || encode::change(&full_event());
    let with = |name: &str, value: Option<Wire>| {
        let mut event = whole();
        event.changes.insert(name.to_owned(), proto::TypedValue { value });
        event
    };
    let line = proto::Line { fields: [("f".to_owned(), proto::TypedValue::default())].into(), removed: false };
    let sublists = Wire::LinesValue(proto::Lines {
        lines: [(
            "1".to_owned(),
            proto::Line {
                fields: [(
                    "deep".to_owned(),
                    proto::TypedValue { value: Some(Wire::LinesValue(proto::Lines::default())) },
                )]
                .into(),
                removed: false,
            },
        )]
        .into(),
    });
    vec![
        ("/event_id", proto::ChangeEvent { event_id: "7".into(), ..whole() }),
        ("/event_id", proto::ChangeEvent { event_id: Uuid::nil().to_string(), ..whole() }),
        ("/account_id", proto::ChangeEvent { account_id: "a.b".into(), ..whole() }),
        ("/record_type", proto::ChangeEvent { record_type: "Customer".into(), ..whole() }),
        ("/record_id", proto::ChangeEvent { record_id: "a|b".into(), ..whole() }),
        ("/record_id", proto::ChangeEvent { record_id: "a\0b".into(), ..whole() }),
        ("/operation", proto::ChangeEvent { operation: 0, ..whole() }),
        ("/operation", proto::ChangeEvent { operation: 77, ..whole() }),
        ("/source", proto::ChangeEvent { source: -1, ..whole() }),
        ("/side", proto::ChangeEvent { side: 9, ..whole() }),
        ("/occurred_at", proto::ChangeEvent { occurred_at: None, ..whole() }),
        (
            "/occurred_at",
            proto::ChangeEvent { occurred_at: Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }), ..whole() },
        ),
        (
            "/occurred_at",
            proto::ChangeEvent { occurred_at: Some(prost_types::Timestamp { seconds: 0, nanos: -1 }), ..whole() },
        ),
        (
            "/occurred_at",
            proto::ChangeEvent { occurred_at: Some(prost_types::Timestamp { seconds: -1, nanos: 0 }), ..whole() },
        ),
        ("/write_id", proto::ChangeEvent { write_id: Some("x".into()), ..whole() }),
        ("/auth_context", proto::ChangeEvent { auth_context: Some("{".into()), ..whole() }),
        ("/auth_context", proto::ChangeEvent { auth_context: Some("{\"a\":\"\\u0000\"}".into()), ..whole() }),
        ("/auth_context", proto::ChangeEvent { auth_context: Some(format!("\"{}\"", "x".repeat(70_000))), ..whole() }),
        ("/correlation_id", proto::ChangeEvent { correlation_id: Some("a\0".into()), ..whole() }),
        ("/full_snapshot_ref", proto::ChangeEvent { full_snapshot_ref: Some("x".repeat(3_000)), ..whole() }),
        ("/changes/a", with("a", None)),
        ("/changes/a", with("a", Some(Wire::TextValue("secret\0secret".into())))),
        ("/changes/a", with("a", Some(Wire::TextValue("x".repeat(MAX_TEXT_BYTES + 1))))),
        ("/changes/a", with("a", Some(Wire::DecimalValue("secret".into())))),
        ("/changes/a", with("a", Some(Wire::DecimalValue("1e400".into())))),
        ("/changes/a", with("a", Some(Wire::DecimalValue("9".repeat(29))))),
        ("/changes/a", with("a", Some(Wire::DateValue("2023-02-29".into())))),
        ("/changes/a", with("a", Some(Wire::DatetimeValue("2026-11-14T13:12:05".into())))),
        ("/changes/a/1", with("a", Some(Wire::SetValue(proto::Set { values: vec!["1".into(), "\0".into()] })))),
        ("/changes/a/id", with("a", Some(Wire::ReferenceValue(proto::Reference { id: "\0".into(), name: "".into() })))),
        ("/changes/a/1/f", with("a", Some(Wire::LinesValue(proto::Lines { lines: [("1".to_owned(), line)].into() })))),
        ("/changes/a/1/deep", with("a", Some(sublists))),
        ("/changes/a~1b~0", with("a/b~", None)),
        ("/changes/\u{fffd}", with("\0", Some(Wire::BoolValue(true)))),
        ("/changes/", with("", Some(Wire::BoolValue(true)))),
    ]
}

#[test]
fn every_refused_member_is_named_and_its_value_is_not() {
    for (pointer, event) in spoiled() {
        let error = decode_change(&event.encode_to_vec()).expect_err(pointer);
        let WireError::Members(found) = &error else { panic!("{pointer}: {error}") };
        assert_eq!(found.iter().map(|p| p.pointer.as_str()).collect::<Vec<_>>(), [pointer]);
        let failure = Failure::from(error);
        assert_eq!((failure.class, failure.code), (ErrorClass::Validation, "bad_member"), "{pointer}");
        assert!(!failure.reason.contains("secret") && !failure.reason.contains('\0'), "{}", failure.reason);
        assert!(failure.reason.len() <= 1024, "the reason travels in an attribute");
    }
}

#[test]
fn every_count_and_name_has_its_limit() {
    let with = |value: TypedValue| ChangeEvent { changes: [("a".to_owned(), value)].into(), ..full_event() };
    let many_lines = |count: usize| (0..count).map(|n| (n.to_string(), BTreeMap::new())).collect();
    let many_fields = |count: usize| -> BTreeMap<String, TypedValue> {
        (0..count).map(|n| (n.to_string(), TypedValue::Null)).collect()
    };
    let long = "x".repeat(MAX_NAME_BYTES + 1);
    for (pointer, event) in [
        ("/changes", ChangeEvent { changes: many_fields(MAX_FIELDS + 1), ..full_event() }),
        ("/changes/a", with(TypedValue::Set(vec!["1".into(); MAX_MEMBERS + 1]))),
        ("/changes/a", with(TypedValue::Lines(many_lines(MAX_MEMBERS + 1)))),
        ("/changes/a/1", with(TypedValue::Lines([("1".to_owned(), many_fields(MAX_FIELDS + 1))].into()))),
        ("/changes/a/", with(TypedValue::Lines([(String::new(), BTreeMap::new())].into()))),
        ("/changes/a/0", with(TypedValue::Set(vec![long.clone()]))),
        ("/changes/a/id", with(TypedValue::Reference { id: long.clone(), name: String::new() })),
        (
            "/changes/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            ChangeEvent { changes: [(long.clone(), TypedValue::Null)].into(), ..full_event() },
        ),
    ] {
        let Err(WireError::Members(found)) = decode_change(&encode_change(&event)) else { panic!("{pointer}") };
        assert_eq!(found.iter().map(|p| p.pointer.as_str()).collect::<Vec<_>>(), [pointer]);
    }
    let largest = ChangeEvent { changes: many_fields(MAX_FIELDS), ..full_event() };
    assert_eq!(decode_change(&encode_change(&largest)).unwrap(), largest);
    let members = (0..MAX_MEMBERS).map(|n| n.to_string()).collect();
    let largest = with(TypedValue::Set(members));
    assert_eq!(decode_change(&encode_change(&largest)).unwrap(), largest);
}

#[test]
fn all_refused_members_are_named_at_once() {
    let event =
        proto::ChangeEvent { account_id: "a.b".into(), operation: 0, source: 0, ..encode::change(&full_event()) };
    let Err(WireError::Members(found)) = decode_change(&event.encode_to_vec()) else { panic!("it is spoiled") };
    let pointers: Vec<_> = found.iter().map(|p| p.pointer.as_str()).collect();
    assert_eq!(pointers, ["/account_id", "/operation", "/source"]);
}

#[test]
fn a_sentence_about_many_long_names_fits_an_attribute() {
    let mut event = encode::change(&full_event());
    event.changes = (0..500).map(|n| (format!("{n}{}", "ü".repeat(250)), proto::TypedValue::default())).collect();
    let failure = decode_change_message(&event.encode_to_vec(), &BTreeMap::new()).unwrap_err();
    assert!(failure.reason.len() <= 1024, "{} bytes", failure.reason.len());
    assert!(failure.reason.ends_with("and 97 more"), "{}", failure.reason);
}

fn any_text() -> impl Strategy<Value = String> {
    "\\PC{0,12}"
}

fn any_scalar() -> impl Strategy<Value = TypedValue> {
    prop_oneof![
        Just(TypedValue::Null),
        any::<bool>().prop_map(TypedValue::Bool),
        any::<i64>().prop_map(TypedValue::Integer),
        (any::<i64>(), 0_u32..9).prop_map(|(n, e)| TypedValue::Decimal(format!("{n}e-{e}"))),
        any_text().prop_map(TypedValue::Text),
        (1_i16..=9999, 1_i8..=12, 1_i8..=28).prop_map(|(y, m, d)| TypedValue::Date(format!("{y:04}-{m:02}-{d:02}"))),
        (0_i64..4_000_000_000)
            .prop_map(|s| TypedValue::DateTime(Timestamp::from_second(s).expect("in range").to_string())),
        (any_text(), any_text()).prop_map(|(id, name)| TypedValue::Reference { id, name }),
        proptest::collection::vec(any_text(), 0..4).prop_map(TypedValue::Set),
    ]
}

fn any_fields<V: Strategy<Value = TypedValue>>(value: V) -> impl Strategy<Value = BTreeMap<String, TypedValue>> {
    proptest::collection::btree_map("[a-z_/~]{1,8}", value, 0..5)
}

fn any_changes() -> impl Strategy<Value = BTreeMap<String, TypedValue>> {
    let lines =
        proptest::collection::btree_map("[0-9]{1,4}", any_fields(any_scalar()), 0..4).prop_map(TypedValue::Lines);
    any_fields(prop_oneof![4 => any_scalar(), 1 => lines])
}

proptest! {
    #[test]
    fn any_event_survives_the_wire(changes in any_changes(), version in any::<Option<u64>>(), nanos in 0_i64..9_999_999) {
        let occurred_at = Timestamp::from_microsecond(nanos * 1_000_003).expect("in range");
        let event = ChangeEvent { changes, base_version: version, occurred_at, ..full_event() };
        prop_assert_eq!(decode_change(&encode_change(&event)).unwrap(), event);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(data in proptest::collection::vec(any::<u8>(), 0..300), json in any::<bool>()) {
        let content_type = if json { JSON } else { PROTOBUF };
        let _ = decode_change_message(&data, &attributes(&[(CONTENT_TYPE, content_type)]));
        let _ = decode_merged(&data);
    }

    #[test]
    fn no_damage_makes_the_reader_panic(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut data = encode_change(&full_event()).to_vec();
        let position = at.index(data.len());
        data[position] = byte;
        data.truncate(cut.index(data.len()) + 1);
        let _ = decode_change(&data);
    }
}

//! Guarded writes: what is sent, and what every ending means.

use std::time::Duration;

use model::{Clock, Fields, Lines, NativeId, Remote, SystemClock, Value, WriteKind, WriteOutcome, WriteRequest};
use netsuite::{NetsuiteConfig, Pace};
use serde_json::{Value as Json, json};

use crate::account::{account, native, remote, rid, spec, tba, update};
use crate::mock::{Act, Mock, Seen, hangs_up, nobody, status, text, truncated, with_header};

const DEPENDENTS: &str = "THIS_RECORD_CANNOT_BE_DELETED_BECAUSE_IT_HAS_DEPENDENT_RECORDS";

fn fields(pairs: &[(&str, Value)]) -> Fields {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

fn email(n: u128) -> WriteRequest {
    update(n, fields(&[("email", Value::text("a@b.example"))]), fields(&[("email", Value::Null)]))
}

/// Answers every write of a request with this status and further members.
fn answer(seen: &Seen, status_word: &str, more: &Json) -> Act {
    let results: Vec<Json> = seen.json()["writes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|write| {
            let mut result = json!({ "writeId": write["writeId"], "status": status_word, "id": write["id"], "stamp": 7,
                "lastModified": "2026-11-20T10:00:00Z" });
            result.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            result
        })
        .collect();
    status(200, &json!({ "results": results, "remainingUsage": 4800 }))
}

fn ok(n: i64) -> WriteOutcome {
    WriteOutcome::landed(native(n), Some(1_795_168_800), model::LineIds::new())
}

async fn sent(type_name: &str, request: WriteRequest) -> Json {
    let mock = Mock::start(|seen, _| answer(seen, "ok", &json!({}))).await;
    let outcomes = remote(&tba(&mock.base)).write(&account(), &spec(type_name), &[request]).await;
    assert!(matches!(outcomes[0], WriteOutcome::Ok { .. } | WriteOutcome::Unknown), "{outcomes:?}");
    let seen = &mock.requests("restlet.nl")[0];
    assert_eq!(seen.uri.query(), Some("script=customscript_concord_write&deploy=customdeploy_concord_write"));
    seen.json()["writes"][0].clone()
}

/// The outcome of one write under this script.
async fn outcome(script: impl Fn(&Seen, usize) -> Act + Send + Sync + 'static) -> WriteOutcome {
    outcome_with(1, script, |_| {}).await
}

/// The same, where the write may be sent this many times.
async fn outcome_of(sent: usize, script: impl Fn(&Seen, usize) -> Act + Send + Sync + 'static) -> WriteOutcome {
    outcome_with(sent, script, |_| {}).await
}

async fn outcome_with(
    sent: usize,
    script: impl Fn(&Seen, usize) -> Act + Send + Sync + 'static,
    set: impl Fn(&mut NetsuiteConfig),
) -> WriteOutcome {
    let mock = Mock::start(script).await;
    let mut config = tba(&mock.base);
    set(&mut config);
    let outcomes = remote(&config).write(&account(), &spec("customer"), &[email(1)]).await;
    assert_eq!(mock.requests("restlet.nl").len(), sent);
    outcomes.into_iter().next().unwrap()
}

#[tokio::test]
async fn an_update_says_what_to_set_what_must_still_be_there_and_who_may_have_written_last() {
    let changes = fields(&[
        ("email", Value::Null),
        ("creditlimit", Value::text("10.00")),
        ("custentity_tags", Value::Set(["2".to_owned(), "10".to_owned()].into())),
        ("custentity_loyalty_points", Value::Int(-3)),
        ("isinactive", Value::Bool(true)),
    ]);
    let pre = fields(&[("email", Value::text("x")), ("custentity_tags", Value::Null)]);
    let body = sent("customer", update(1, changes, pre)).await;
    assert_eq!(
        body,
        json!({ "writeId": "00000000-0000-0000-0000-0000000003e9", "kind": "update", "type": "customer", "id": "1",
            "rid": rid(1).to_string(), "stamp": 7, "expect": 3,
            "changes": { "email": null, "creditlimit": "10.00", "custentity_tags": ["10", "2"],
                "custentity_loyalty_points": -3, "isinactive": true },
            "pre": { "email": "x", "custentity_tags": null } })
    );
}

#[tokio::test]
async fn a_create_carries_our_external_id_and_no_line_ids_of_an_earlier_life() {
    let lines: Lines = [("s1".to_owned(), Some(fields(&[("item", Value::text("9"))])))].into();
    let mut request =
        update(1, fields(&[("entity", Value::text("42")), ("lines", Value::Lines(lines))]), Fields::new());
    request.kind = WriteKind::Create;
    request.native_id = None;
    request.line_ids = [("lines".to_owned(), [("s1".to_owned(), "5".to_owned())].into())].into();
    let body = sent("salesorder", request).await;
    assert_eq!(body["externalId"], format!("sx_{}", rid(1)));
    assert_eq!(body["id"], Json::Null);
    assert_eq!(body["changes"], json!({ "entity": "42" }));
    let upsert = json!([{ "key": "s1", "line": null, "changes": { "item": "9" }, "pre": null }]);
    assert_eq!(body["lines"], json!({ "upsert": upsert, "remove": [] }));
}

#[tokio::test]
async fn lines_go_by_their_netsuite_ids_with_what_they_must_still_hold() {
    let quantity = |n: &str| fields(&[("quantity", Value::text(n))]);
    let changes: Lines = [
        ("n5".to_owned(), Some(quantity("3.0000"))),
        ("s2".to_owned(), Some(quantity("1.0000"))),
        ("n6".to_owned(), None),
    ]
    .into();
    let pre: Lines = [
        ("n5".to_owned(), Some(quantity("2.0000"))),
        ("s2".to_owned(), None),
        ("n6".to_owned(), Some(quantity("9.0000"))),
    ]
    .into();
    let of = |lines: Lines| fields(&[("lines", Value::Lines(lines))]);
    let mut request = update(1, of(changes), of(pre));
    request.line_ids =
        [("lines".to_owned(), [("n5".to_owned(), "5".to_owned()), ("n6".to_owned(), "6".to_owned())].into())].into();
    let body = sent("salesorder", request).await;
    assert_eq!(body["changes"], json!({}));
    assert_eq!(body["pre"], json!({}));
    assert_eq!(
        body["lines"],
        json!({
            "upsert": [
                { "key": "n5", "line": "5", "changes": { "quantity": "3.0000" }, "pre": { "quantity": "2.0000" } },
                { "key": "s2", "line": null, "changes": { "quantity": "1.0000" }, "pre": null },
            ],
            "remove": [{ "line": "6", "pre": { "quantity": "9.0000" } }],
        })
    );
}

#[tokio::test]
async fn a_deletes_pre_is_the_whole_shadow_with_the_empty_fields_said_aloud_and_every_line() {
    let shadow = fields(&[("companyname", Value::text("A")), ("isinactive", Value::Bool(false))]);
    let mut request = update(1, Fields::new(), shadow);
    request.kind = WriteKind::Delete;
    let body = sent("customer", request).await;
    assert_eq!(
        body["pre"],
        json!({ "companyname": "A", "isinactive": false, "email": null, "phone": null, "creditlimit": null,
            "comments": null, "custentity_tags": null, "custentity_loyalty_points": null, "terms": null,
            "currency": null, "datecreated": null })
    );
    let lines: Lines = [("n5".to_owned(), Some(fields(&[("item", Value::text("9"))])))].into();
    let mut request =
        update(1, Fields::new(), fields(&[("entity", Value::text("42")), ("lines", Value::Lines(lines))]));
    request.kind = WriteKind::Delete;
    request.line_ids = [("lines".to_owned(), [("n5".to_owned(), "5".to_owned())].into())].into();
    let body = sent("salesorder", request).await;
    assert_eq!(body["pre"]["lines"], json!({ "5": { "item": "9" } }));
    assert_eq!(body.get("lines"), None);
}

#[tokio::test]
async fn every_status_of_an_item_has_its_outcome() {
    let lines = json!({ "lines": { "s1": "5" } });
    let landed = outcome(move |seen, _| answer(seen, "ok", &lines)).await;
    assert_eq!(landed, ok(1), "a customer has no sublist to file line ids under");
    for (word, expected) in [
        ("stale", WriteOutcome::Stale),
        ("fenced", WriteOutcome::Fenced),
        ("gone", WriteOutcome::Gone),
        ("duplicate", WriteOutcome::Duplicate),
    ] {
        assert_eq!(outcome(move |seen, _| answer(seen, word, &json!({}))).await, expected);
    }
    let throttled = WriteOutcome::Throttled { retry_after: None };
    let refused = WriteOutcome::Refused { code: "INSUFFICIENT_PERMISSION".into() };
    for (code, expected) in [
        ("SSS_USAGE_LIMIT_EXCEEDED", throttled.clone()),
        ("SSS_TIME_LIMIT_EXCEEDED", throttled),
        ("RCRD_HAS_BEEN_CHANGED", WriteOutcome::Stale),
        ("INSUFFICIENT_PERMISSION", refused),
    ] {
        let more = json!({ "code": code, "message": "m" });
        assert_eq!(outcome(move |seen, _| answer(seen, "invalid", &more)).await, expected, "{code}");
    }
}

#[tokio::test]
async fn a_business_refusal_names_code_and_field_and_no_value() {
    for (code, message, told_code, says) in [
        (
            "USER_ERROR",
            "Please enter value(s) for: Company Name",
            "USER_ERROR",
            "requires a value for Company Name (field companyname)",
        ),
        (
            "USER_ERROR",
            "You have entered an Invalid Field Value secret for the following field: terms",
            "USER_ERROR",
            "value for terms",
        ),
        (
            "UNIQUE_CUST_ID_REQD",
            "A customer record with the name secret already exists.",
            "UNIQUE_CUST_ID_REQD",
            "already exists",
        ),
        (DEPENDENTS, "secret", DEPENDENTS, "other records depend"),
        ("a b secret", "secret", "UNNAMED", "refused the record"),
    ] {
        let more = json!({ "code": code, "message": message });
        let WriteOutcome::Invalid { code: told, message } =
            outcome(move |seen, _| answer(seen, "invalid", &more)).await
        else {
            panic!("{code}")
        };
        assert_eq!(told, told_code);
        assert!(message.contains(says) && !message.contains("secret"), "{message}");
    }
}

#[tokio::test]
async fn line_ids_are_filed_under_the_sublists_field() {
    let mock = Mock::start(|seen, _| answer(seen, "ok", &json!({ "lines": { "s1": "5" } }))).await;
    let outcomes = remote(&tba(&mock.base))
        .write(&account(), &spec("salesorder"), &[update(1, Fields::new(), Fields::new())])
        .await;
    let WriteOutcome::Ok { line_ids, .. } = &outcomes[0] else { panic!("{outcomes:?}") };
    assert_eq!(*line_ids, [("lines".to_owned(), [("s1".to_owned(), "5".to_owned())].into())].into());
}

#[tokio::test]
async fn ten_writes_go_in_one_call_and_outcomes_keep_the_order() {
    let mock = Mock::start(|seen, _| answer(seen, "ok", &json!({}))).await;
    let writes: Vec<WriteRequest> = (1..=23).map(email).collect();
    let outcomes = remote(&tba(&mock.base)).write(&account(), &spec("customer"), &writes).await;
    assert_eq!(outcomes, (1..=23).map(ok).collect::<Vec<_>>());
    let mut sizes: Vec<usize> =
        mock.requests("restlet.nl").iter().map(|seen| seen.json()["writes"].as_array().unwrap().len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [3, 10, 10]);
}

#[tokio::test]
async fn what_left_and_gave_no_answer_to_trust_is_unknown() {
    assert_eq!(outcome(|_, _| status(500, &json!({}))).await, WriteOutcome::Unknown);
    assert_eq!(outcome(|_, _| status(503, &json!({}))).await, WriteOutcome::Unknown);
    assert_eq!(outcome(|_, _| text(200, "<html>")).await, WriteOutcome::Unknown);
    assert_eq!(outcome(|_, _| text(200, r#"{"results":[]}"#)).await, WriteOutcome::Unknown);
    assert_eq!(outcome(|_, _| truncated(&json!({ "results": [] }))).await, WriteOutcome::Unknown);
    let other = json!({ "writeId": "00000000-0000-0000-0000-000000000001" });
    assert_eq!(outcome(move |seen, _| answer(seen, "ok", &other)).await, WriteOutcome::Unknown);
    assert_eq!(outcome(|seen, _| answer(seen, "whatever", &json!({}))).await, WriteOutcome::Unknown);
    let thrown = json!({ "error": { "code": "SSS_TIME_LIMIT_EXCEEDED", "message": "m" } });
    assert_eq!(outcome(move |_, _| status(400, &thrown)).await, WriteOutcome::Unknown);
    let out_of_units = json!({ "error": { "code": "SSS_USAGE_LIMIT_EXCEEDED", "message": "m" } });
    assert_eq!(outcome(move |_, _| status(400, &out_of_units)).await, WriteOutcome::Unknown);
    let quickly = |config: &mut NetsuiteConfig| config.timeout = Duration::from_millis(50);
    assert_eq!(outcome_with(1, |_, _| Act::Hang, quickly).await, WriteOutcome::Unknown);

    let outcomes = remote(&tba(&hangs_up().await)).write(&account(), &spec("customer"), &[email(1), email(2)]).await;
    assert_eq!(outcomes, [WriteOutcome::Unknown, WriteOutcome::Unknown]);
}

#[tokio::test]
async fn what_never_left_is_not_sent() {
    let outcomes = remote(&tba(&nobody().await)).write(&account(), &spec("customer"), &[email(1)]).await;
    assert_eq!(outcomes, [WriteOutcome::NotSent]);

    let mock = Mock::start(|seen, _| answer(seen, "ok", &json!({}))).await;
    let mut late = email(1);
    late.deadline = SystemClock.now();
    let mut too_late = email(2);
    too_late.deadline = SystemClock.now().checked_sub(Duration::from_secs(60)).unwrap();
    let outcomes = remote(&tba(&mock.base)).write(&account(), &spec("customer"), &[late, email(3), too_late]).await;
    assert_eq!(outcomes, [WriteOutcome::NotSent, ok(3), WriteOutcome::NotSent]);
    assert_eq!(mock.requests("restlet.nl")[0].json()["writes"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_was_turned_away_at_the_door_says_why() {
    let throttled = WriteOutcome::Throttled { retry_after: None };
    assert_eq!(outcome_of(3, |_, _| status(429, &json!({}))).await, throttled);
    let over = json!({ "error": { "code": "SSS_REQUEST_LIMIT_EXCEEDED", "message": "Request Limit Exceeded." } });
    assert_eq!(outcome_of(3, move |_, _| status(400, &over)).await, throttled);
    let asked = WriteOutcome::Throttled { retry_after: Some(Duration::from_secs(7)) };
    assert_eq!(outcome(|_, _| with_header(429, "retry-after", "7", &json!({}))).await, asked);
    let refused = |code: &str| WriteOutcome::Refused { code: code.to_owned() };
    assert_eq!(outcome(|_, _| status(401, &json!({}))).await, refused("http_401"));
    assert_eq!(outcome(|_, _| status(403, &json!({}))).await, refused("http_403"));
    let no_script = json!({ "error": { "code": "SSS_INVALID_SCRIPTLET_ID", "message": "m" } });
    assert_eq!(outcome(move |_, _| status(404, &no_script)).await, refused("SSS_INVALID_SCRIPTLET_ID"));
}

#[tokio::test]
async fn a_write_turned_away_at_the_door_is_tried_again_after_a_short_pause() {
    let once = |seen: &Seen, n| if n == 0 { status(429, &json!({})) } else { answer(seen, "ok", &json!({})) };
    assert_eq!(outcome_of(2, once).await, ok(1));
}

#[tokio::test]
async fn a_refusal_for_load_halves_the_pace() {
    let mock = Mock::start(|_, _| with_header(429, "retry-after", "7", &json!({}))).await;
    let mut config = tba(&mock.base);
    config.concurrency_limit = 20;
    let remote = remote(&config);
    let pace = || remote.connection(&account()).unwrap().pace();
    assert_eq!(pace(), Pace { limit: 10, in_flight: 0 });
    remote.write(&account(), &spec("customer"), &[email(1)]).await;
    assert_eq!(pace(), Pace { limit: 5, in_flight: 0 });
}

#[tokio::test]
async fn no_more_calls_are_under_way_than_the_pace_allows() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let app = axum::Router::new().fallback({
        let (running, most) = (Arc::clone(&running), Arc::clone(&most));
        move |body: axum::body::Bytes| async move {
            let now = running.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(10)).await;
            running.fetch_sub(1, Ordering::SeqCst);
            let _ = body;
            "not an answer"
        }
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    let mut config = tba(&base);
    config.concurrency_limit = 5;
    let writes: Vec<WriteRequest> = (1..=80).map(email).collect();
    remote(&config).write(&account(), &spec("customer"), &writes).await;
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_write_that_cannot_be_put_into_the_protocols_words_is_refused_and_the_others_go() {
    let mock = Mock::start(|seen, _| answer(seen, "ok", &json!({}))).await;
    let mut nameless = email(1);
    nameless.native_id = None;
    let removal: Lines = [("n6".to_owned(), None)].into();
    let lost_line = update(2, fields(&[("lines", Value::Lines(removal))]), Fields::new());
    let outcomes = remote(&tba(&mock.base))
        .write(&account(), &spec("salesorder"), &[nameless, lost_line, update(3, Fields::new(), Fields::new())])
        .await;
    let code = |outcome: &WriteOutcome| match outcome {
        WriteOutcome::Invalid { code, .. } => code.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!((code(&outcomes[0]).as_str(), code(&outcomes[1]).as_str()), ("id_missing", "line_without_id"));
    assert_eq!(outcomes[2], ok(3));
}

#[tokio::test]
async fn an_answer_without_an_id_keeps_the_one_we_know_and_a_create_without_one_is_unknown() {
    let nameless = json!({ "id": null });
    let mock = Mock::start(move |seen, _| answer(seen, "ok", &nameless)).await;
    let mut create = email(2);
    (create.kind, create.native_id) = (WriteKind::Create, None::<NativeId>);
    let outcomes = remote(&tba(&mock.base)).write(&account(), &spec("customer"), &[email(1), create]).await;
    assert_eq!(outcomes, [ok(1), WriteOutcome::Unknown]);
}

//! Direct reads: what is there, what is not, and what we may not see.

use std::time::Duration;

use model::{
    Fields, NativeId, Observed, ReadRequest, RecordRef, Remote, RemoteError, Side, Timestamp, Value, write_id,
};
use netsuite::QueryVia;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::account::{account, native, remote, rid, spec, tba, want};
use crate::mock::{Act, Mock, Seen, page, status, text};

const MODIFIED: &str = "2026-11-20T09:59:30Z";
const NOW: &str = "2026-11-20T10:00:00Z";

pub(crate) fn customer(id: i64) -> Json {
    json!({ "concord_id": id.to_string(), "concord_modified": MODIFIED, "concord_now": NOW,
        "companyname": format!("Company {id}"), "isinactive": "F" })
}

fn order(id: i64, stamp: &str) -> Json {
    json!({ "concord_id": id.to_string(), "concord_modified": MODIFIED, "concord_now": NOW, "concord_stamp": stamp,
        "entity": "42", "trandate": "2026-11-01" })
}

fn line(order: i64, line: i64, stamp: &str) -> Json {
    let main = if line == 0 { "T" } else { "F" };
    json!({ "concord_parent": order.to_string(), "concord_id": line.to_string(), "concord_mainline": main,
        "concord_stamp": stamp, "concord_modified": MODIFIED, "item": "9", "quantity": "-2", "rate": "1.5" })
}

fn not_there() -> Act {
    status(
        404,
        &json!({ "title": "Not Found", "status": 404, "o:errorDetails": [
        { "detail": "The record instance does not exist. Provide a valid record instance ID.", "o:errorCode": "NONEXISTENT_ID" } ] }),
    )
}

fn forbidden() -> Act {
    status(403, &json!({ "o:errorDetails": [{ "detail": "x", "o:errorCode": "INSUFFICIENT_PERMISSION" }] }))
}

fn is_query(seen: &Seen) -> bool {
    seen.path().ends_with("suiteql")
}

/// The ids of the statement's `in` list.
fn asked_ids(statement: &str) -> Vec<i64> {
    let list = statement.split(" IN (").nth(1).unwrap().split(')').next().unwrap();
    list.split(',').map(|id| id.parse().unwrap()).collect()
}

pub(crate) fn unavailable(code: &str) -> Result<Observed, RemoteError> {
    Err(RemoteError::Unavailable { side: Side::Netsuite, code: code.to_owned(), retry_after: None })
}

fn shut_out(code: &str) -> Result<Observed, RemoteError> {
    Err(RemoteError::Forbidden { side: Side::Netsuite, code: code.to_owned() })
}

#[tokio::test]
async fn a_customer_comes_in_canonical_form_with_age_and_token() {
    let row = json!({ "concord_id": "647", "concord_externalid": format!("sx_{}", rid(5)),
        "concord_stamp": format!("{}:12", rid(5)), "concord_modified": MODIFIED, "concord_now": NOW,
        "companyname": "Acme  ", "email": "a@b.example", "creditlimit": "1e3", "custentity_tags": "10, 2",
        "custentity_loyalty_points": "7", "isinactive": "T", "datecreated": "2026-01-02", "terms": "2" });
    let mock = Mock::start(move |_, _| page(std::slice::from_ref(&row))).await;
    let answers = remote(&tba(&mock.base)).read(&account(), &spec("customer"), &[want(5, Some(647))]).await;
    let text = |text: &str| Value::text(text);
    let fields: Fields = [
        ("companyname", text("Acme")),
        ("email", text("a@b.example")),
        ("phone", Value::Null),
        ("creditlimit", text("1000.00")),
        ("comments", Value::Null),
        ("custentity_tags", Value::Set(["10".to_owned(), "2".to_owned()].into())),
        ("custentity_loyalty_points", Value::Int(7)),
        ("isinactive", Value::Bool(true)),
        ("terms", text("2")),
        ("currency", Value::Null),
        ("datecreated", text("2026-01-02")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    let now: Timestamp = NOW.parse().unwrap();
    let expected = Observed {
        exists: true,
        native_id: Some(native(647)),
        fields,
        token: Some(now.as_second() - 30),
        stamp: Some((rid(5), 12)),
        external_rid: Some(rid(5)),
        landed: Vec::new(),
        note: None,
        before: None,
        unproven: Vec::new(),
        age: Some(Duration::from_secs(30)),
        clock: Some(now),
    };
    assert_eq!(answers, [Ok(expected)]);
}

#[tokio::test]
async fn the_query_restlet_gives_the_same_record() {
    let rest = json!({ "concord_id": "1", "concord_modified": MODIFIED, "concord_now": NOW, "creditlimit": "10.5", "isinactive": "T" });
    let script = json!({ "rows": [{ "concord_id": 1, "concord_modified": MODIFIED, "concord_now": NOW, "creditlimit": 10.5,
        "isinactive": true, "email": null }] });
    let over_rest = Mock::start(move |_, _| page(std::slice::from_ref(&rest))).await;
    let over_restlet = Mock::start(move |_, _| status(200, &script)).await;
    let mut config = tba(&over_restlet.base);
    config.query_via = QueryVia::Restlet;
    let wants = [want(1, Some(1))];
    let first = remote(&tba(&over_rest.base)).read(&account(), &spec("customer"), &wants).await;
    let second = remote(&config).read(&account(), &spec("customer"), &wants).await;
    assert!(first[0].is_ok());
    assert_eq!(first, second);
    let seen = &over_restlet.requests("restlet.nl")[0];
    assert_eq!(seen.uri.query(), Some("script=customscript_concord_query&deploy=customdeploy_concord_query"));
    assert_eq!(seen.json()["limit"], 1000);
}

#[tokio::test]
async fn a_thousand_ids_make_one_query_and_answers_keep_the_order_of_the_questions() {
    let mock =
        Mock::start(|seen, _| page(&asked_ids(&seen.statement()).into_iter().rev().map(customer).collect::<Vec<_>>()))
            .await;
    let mut wants: Vec<ReadRequest> = (1..=1001_i64).rev().map(|id| want(id.unsigned_abs().into(), Some(id))).collect();
    wants.push(want(1, Some(1)));
    let answers = remote(&tba(&mock.base)).read(&account(), &spec("customer"), &wants).await;
    assert_eq!(mock.statements().len(), 2);
    for (answer, want) in answers.iter().zip(&wants) {
        assert_eq!(answer.as_ref().unwrap().native_id, want.native_id);
    }
}

#[tokio::test]
async fn a_write_has_landed_when_its_stamp_is_there_and_it_was_asked_for() {
    let record = RecordRef { account: account(), record_type: spec("customer").name, rid: rid(1) };
    let write = |n| write_id(&record, Side::Netsuite, n);
    let stamps = [format!("{}:4", rid(1)), format!("{}:4", rid(2)), "x".to_owned()];
    for (stamp, landed) in stamps.into_iter().zip([vec![write(4)], vec![], vec![]]) {
        let mock = Mock::start(move |_, _| {
            let mut row = customer(1);
            row["concord_stamp"] = json!(stamp);
            page(&[row])
        })
        .await;
        let mut want = want(1, Some(1));
        want.unresolved = vec![write(3), write(4), Uuid::from_u128(1)];
        let answers = remote(&tba(&mock.base)).read(&account(), &spec("customer"), &[want]).await;
        assert_eq!(answers[0].as_ref().unwrap().landed, landed);
    }
}

#[tokio::test]
async fn a_create_of_unknown_fate_is_looked_for_by_its_external_id() {
    let mock = Mock::start(|seen, _| {
        if !is_query(seen) {
            return not_there();
        }
        let mut row = customer(70);
        row["concord_externalid"] = json!(format!("sx_{}", rid(7)));
        page(&[row])
    })
    .await;
    let wants = [want(7, None), want(8, None)];
    let answers = remote(&tba(&mock.base)).read(&account(), &spec("customer"), &wants).await;
    assert_eq!(answers[0].as_ref().unwrap().native_id, Some(native(70)));
    assert_eq!(answers[1], Ok(Observed::default()));
    let statement = &mock.statements()[0];
    assert!(statement.contains(&format!("t.externalid IN ('sx_{}','sx_{}')", rid(7), rid(8))), "{statement}");
    let probes = mock.requests(&format!("/customer/eid:sx_{}", rid(8)));
    assert_eq!(probes.iter().map(|seen| seen.method.as_str()).collect::<Vec<_>>(), ["GET"]);
}

#[tokio::test]
async fn only_the_direct_answer_that_a_record_does_not_exist_is_absence() {
    let mock = Mock::start(|seen, _| match seen.path().rsplit('/').next().unwrap() {
        "suiteql" => page(&[customer(1)]),
        "2" => not_there(),
        "3" => forbidden(),
        "4" => status(200, &json!({ "id": "4" })),
        "5" => text(404, "<html>no such page</html>"),
        _ => status(
            404,
            &json!({ "o:errorDetails": [{ "detail": "Record type 'customer' does not exist", "o:errorCode": "X" }] }),
        ),
    })
    .await;
    let wants: Vec<ReadRequest> = (1..=6).map(|id| want(id, Some(i64::try_from(id).unwrap()))).collect();
    let answers = remote(&tba(&mock.base)).read(&account(), &spec("customer"), &wants).await;
    assert!(answers[0].as_ref().unwrap().exists);
    assert_eq!(answers[1], Ok(Observed::default()));
    assert_eq!(answers[2], shut_out("INSUFFICIENT_PERMISSION"));
    assert_eq!(answers[3], unavailable("not_in_query"));
    for answer in &answers[4..] {
        assert!(
            matches!(answer, Err(RemoteError::Unreadable { failure, .. }) if failure.code == "http_404"),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn a_role_that_sees_nothing_any_more_is_shut_out_and_asked_only_once() {
    let mock = Mock::start(|seen, _| if is_query(seen) { page(&[]) } else { forbidden() }).await;
    let wants: Vec<ReadRequest> = (1..=50).map(|id| want(id, Some(i64::try_from(id).unwrap()))).collect();
    let answers = remote(&tba(&mock.base)).read(&account(), &spec("customer"), &wants).await;
    assert!(answers.iter().all(|answer| *answer == shut_out("INSUFFICIENT_PERMISSION")));
    assert_eq!(mock.requests("").len(), 2);
}

#[tokio::test]
async fn a_hidden_table_is_no_absence_of_records() {
    let detail = "Invalid search query. Detailed unprocessed description follows. Search error occurred: Record 'customer' was not found.";
    let body = json!({ "o:errorDetails": [{ "detail": detail, "o:errorQueryParam": "q", "o:errorCode": "INVALID_PARAMETER" }] });
    let mock = Mock::start(move |_, _| status(400, &body)).await;
    let wants = [want(1, Some(1)), want(2, None)];
    let answers = remote(&tba(&mock.base)).read(&account(), &spec("customer"), &wants).await;
    assert_eq!(answers, [shut_out("table_not_visible"), shut_out("table_not_visible")]);
    assert_eq!(mock.requests("/customer/1").len(), 0);
}

#[tokio::test]
async fn an_id_that_netsuite_cannot_have_given_names_no_record() {
    let mock = Mock::start(|_, _| page(&[])).await;
    for id in ["abc", "007", "1e3", "9223372036854775808"] {
        let mut want = want(1, None);
        want.native_id = Some(NativeId::parse(id).unwrap());
        let answers = remote(&tba(&mock.base)).read(&account(), &spec("customer"), &[want]).await;
        assert_eq!(answers, [Ok(Observed::default())]);
    }
    assert_eq!(mock.requests("").len(), 0);
}

#[tokio::test]
async fn a_value_that_cannot_be_read_spoils_its_record_only() {
    let mock = Mock::start(|_, _| {
        let mut bad = customer(1);
        bad["creditlimit"] = json!("secret-value");
        page(&[bad, customer(2)])
    })
    .await;
    let wants = [want(1, Some(1)), want(2, Some(2))];
    let answers = remote(&tba(&mock.base)).read(&account(), &spec("customer"), &wants).await;
    let Err(RemoteError::Unreadable { failure, .. }) = &answers[0] else { panic!("{answers:?}") };
    assert_eq!(failure.code, "bad_value");
    assert!(failure.reason.contains("creditlimit") && !failure.reason.contains("secret-value"), "{}", failure.reason);
    assert!(answers[1].is_ok());
}

#[tokio::test]
async fn lines_come_in_one_further_query_with_the_sign_turned_back_and_without_the_main_line() {
    let mock = Mock::start(|seen, _| {
        if seen.statement().contains("transactionline") {
            page(&[line(1, 0, "s"), line(1, 5, "s"), line(1, 12, "s"), line(2, 0, "s")])
        } else {
            page(&[order(1, "s"), order(2, "s")])
        }
    })
    .await;
    let wants = [want(1, Some(1)), want(2, Some(2))];
    let answers = remote(&tba(&mock.base)).read(&account(), &spec("salesorder"), &wants).await;
    let fields: Fields =
        [("item", "9"), ("quantity", "2.0000"), ("rate", "1.50")].map(|(n, v)| (n.to_owned(), Value::text(v))).into();
    let lines = [("5".to_owned(), Some(fields.clone())), ("12".to_owned(), Some(fields))].into();
    assert_eq!(answers[0].as_ref().unwrap().fields["lines"], Value::Lines(lines));
    assert_eq!(answers[1].as_ref().unwrap().fields["lines"], Value::Null);
    assert_eq!(mock.statements().len(), 2);
}

#[tokio::test]
async fn more_lines_than_a_page_are_read_to_the_end() {
    let mock = Mock::start(|seen, _| {
        let statement = seen.statement();
        if !statement.contains("transactionline") {
            page(&[order(1, "s")])
        } else if statement.contains("tl.transaction > 1 OR (tl.transaction = 1 AND tl.id > 999)") {
            page(&(1000..1200).map(|n| line(1, n, "s")).collect::<Vec<_>>())
        } else {
            page(&(0..1000).map(|n| line(1, n, "s")).collect::<Vec<_>>())
        }
    })
    .await;
    let answers = remote(&tba(&mock.base)).read(&account(), &spec("salesorder"), &[want(1, Some(1))]).await;
    assert_eq!(answers[0].as_ref().unwrap().fields["lines"].as_lines().unwrap().len(), 1199);
}

#[tokio::test]
async fn an_order_that_changes_between_body_and_lines_is_read_again() {
    // Our own write lands after the body was read: its stamp is in the lines' query only.
    let mock = Mock::start(|seen, n| {
        let stamp = if n == 0 { "old" } else { "new" };
        if seen.statement().contains("transactionline") {
            page(&[line(1, 0, "new"), line(1, 5, "new")])
        } else if asked_ids(&seen.statement()) == [1, 2] {
            page(&[order(1, stamp), order(2, "new")])
        } else {
            page(&[order(1, stamp)])
        }
    })
    .await;
    let answers = remote(&tba(&mock.base)).read(&account(), &spec("salesorder"), &[want(1, Some(1))]).await;
    assert!(answers[0].as_ref().unwrap().fields["lines"].as_lines().is_some());
    assert_eq!(mock.statements().len(), 4);
}

#[tokio::test]
async fn an_order_that_never_stands_still_is_left_for_later_and_the_others_are_not() {
    let mock = Mock::start(|seen, _| {
        let ids = asked_ids(&seen.statement());
        if seen.statement().contains("transactionline") {
            page(&ids.iter().flat_map(|id| [line(*id, 0, "new")]).collect::<Vec<_>>())
        } else {
            page(&ids.iter().map(|id| order(*id, if *id == 1 { "old" } else { "new" })).collect::<Vec<_>>())
        }
    })
    .await;
    let wants = [want(1, Some(1)), want(2, Some(2))];
    let answers = remote(&tba(&mock.base)).read(&account(), &spec("salesorder"), &wants).await;
    assert_eq!(answers[0], unavailable("changed_while_reading"));
    assert!(answers[1].is_ok());
    assert_eq!(mock.requests("/salesOrder/1").len(), 0);
}

#[tokio::test]
async fn ids_are_listed_in_numeric_order_page_by_page() {
    let mock = Mock::start(|seen, _| {
        let statement = seen.statement();
        assert!(statement.contains("(type = 'SalesOrd') ORDER BY t.id ASC"), "{statement}");
        let after: i64 = statement.split("t.id > ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        let limit: i64 =
            seen.uri.query().unwrap().split("limit=").nth(1).unwrap().split('&').next().unwrap().parse().unwrap();
        let ids = (after.max(0) + 1..=2500).take(usize::try_from(limit).unwrap());
        page(&ids.map(|id| json!({ "concord_id": id.to_string() })).collect::<Vec<_>>())
    })
    .await;
    let remote = remote(&tba(&mock.base));
    let all = remote.list(&account(), &spec("salesorder"), None, 10_000).await.unwrap();
    assert_eq!(all, (1..=2500).map(native).collect::<Vec<_>>());
    let some = remote.list(&account(), &spec("salesorder"), Some(&native(9)), 3).await.unwrap();
    assert_eq!(some, [native(10), native(11), native(12)]);
}

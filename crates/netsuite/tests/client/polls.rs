//! What changed since a cursor.

use model::{RemoteError, Timestamp, Value};
use netsuite::Cursor;
use serde_json::{Value as Json, json};

use crate::account::{account, native, remote, rid, spec, tba};
use crate::mock::{Mock, page};

const NOW: &str = "2026-11-20T10:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn row(id: i64, modified: &str) -> Json {
    json!({ "concord_id": id.to_string(), "concord_modified": modified, "concord_now": NOW, "isinactive": "F",
        "companyname": "A", "concord_stamp": format!("{}:3", rid(1)) })
}

#[tokio::test]
async fn the_first_page_begins_with_the_second_and_the_next_one_inside_it() {
    let rows = [row(9, "2026-11-20T09:00:00Z"), row(10, "2026-11-20T09:00:00Z")];
    let mock = Mock::start(move |_, n| if n == 0 { page(&rows) } else { page(&[]) }).await;
    let remote = remote(&tba(&mock.base));
    let from = Cursor::at(at("2026-11-20T08:59:00Z"));
    let first = remote.modified_since(&account(), &spec("customer"), from, 2).await.unwrap();
    assert_eq!(first.next, Cursor { second: at("2026-11-20T09:00:00Z"), id: Some(10) });
    assert_eq!(first.ns_now, Some(at(NOW)));
    assert_eq!(first.rows[1].native_id, native(10));
    assert_eq!(first.rows[1].stamp, Some((rid(1), 3)));
    assert_eq!(first.rows[1].lastmodified, at("2026-11-20T09:00:00Z"));
    assert_eq!(first.rows[1].fields["companyname"], Value::text("A"));
    assert!(first.rows.iter().all(|row| row.complete));
    let second = remote.modified_since(&account(), &spec("customer"), first.next, 2).await.unwrap();
    assert_eq!((second.rows.len(), second.next, second.ns_now), (0, first.next, None));

    let statements = mock.statements();
    let exact = "SYS_EXTRACT_UTC(t.lastmodifieddate)";
    let mask = "'YYYY-MM-DD HH24:MI:SS'";
    let order = format!(" ORDER BY {exact} ASC, t.id ASC");
    assert!(statements[0].contains(&format!(
        "t.lastmodifieddate >= TO_DATE('2026-11-19 08:59:00',{mask}) AND {exact} >= TO_TIMESTAMP('2026-11-20 08:59:00',{mask})"
    )), "{}", statements[0]);
    let second = format!("TO_TIMESTAMP('2026-11-20 09:00:00',{mask})");
    assert!(
        statements[1].contains(&format!("({exact} > {second} OR ({exact} = {second} AND t.id > 10))")),
        "{}",
        statements[1]
    );
    assert!(statements.iter().all(|statement| statement.ends_with(&order)));
    assert!(mock.requests("suiteql")[0].uri.query().unwrap().contains("limit=2"));
}

#[tokio::test]
async fn rows_out_of_order_are_refused_since_the_cursor_would_pass_over_others() {
    let second = "2026-11-20T09:00:00Z";
    let disorders = [
        vec![row(10, second), row(9, second)],
        vec![row(9, second), row(9, second)],
        vec![row(9, second), row(10, "2026-11-20T08:59:59Z")],
        vec![row(5, second)],
    ];
    for rows in disorders {
        let mock = Mock::start(move |_, _| page(&rows)).await;
        let from = Cursor { second: at(second), id: Some(5) };
        let answer = remote(&tba(&mock.base)).modified_since(&account(), &spec("customer"), from, 10).await;
        assert!(matches!(answer, Err(RemoteError::Unreadable { .. })), "{answer:?}");
    }
}

#[tokio::test]
async fn a_row_with_a_bad_value_is_a_hint_all_the_same() {
    let mut bad = row(9, "2026-11-20T09:00:00Z");
    bad["creditlimit"] = json!("x");
    let mock = Mock::start(move |_, _| page(std::slice::from_ref(&bad))).await;
    let from = Cursor::at(at("2026-11-20T09:00:00Z"));
    let answer = remote(&tba(&mock.base)).modified_since(&account(), &spec("customer"), from, 10).await.unwrap();
    assert_eq!((answer.rows[0].native_id.clone(), answer.rows[0].complete), (native(9), false));
    assert!(answer.rows[0].fields.is_empty());
}

#[tokio::test]
async fn an_order_comes_with_its_lines_unless_they_are_of_another_instant() {
    let second = "2026-11-20T09:00:00Z";
    let order = move |id: i64| json!({ "concord_id": id.to_string(), "concord_modified": second, "concord_now": NOW, "entity": "4" });
    let line = |order: i64, line: i64, modified: &str| {
        json!({ "concord_parent": order.to_string(), "concord_id": line.to_string(), "concord_modified": modified,
            "concord_mainline": if line == 0 { "T" } else { "F" }, "item": "1", "quantity": "-1" })
    };
    let mock = Mock::start(move |seen, _| {
        if seen.statement().contains("FROM transactionline") {
            page(&[line(1, 0, second), line(1, 1, second), line(2, 0, "2026-11-20T09:00:01Z")])
        } else {
            page(&[order(1), order(2)])
        }
    })
    .await;
    let from = Cursor::at(at(second));
    let answer = remote(&tba(&mock.base)).modified_since(&account(), &spec("salesorder"), from, 10).await.unwrap();
    let told: Vec<_> = answer.rows.iter().map(|row| (row.complete, row.fields.contains_key("lines"))).collect();
    assert_eq!(told, [(true, true), (false, false)]);
}

#[tokio::test]
async fn deletions_are_paged_by_time_and_id_within_their_type() {
    let row = json!({ "concord_id": "7", "concord_modified": "2026-11-20T09:00:00Z", "concord_now": NOW });
    let mock = Mock::start(move |_, _| page(std::slice::from_ref(&row))).await;
    let from = Cursor::at(at("2026-11-20T08:00:00Z"));
    let answer = remote(&tba(&mock.base)).deleted_since(&account(), &spec("salesorder"), from, 10).await.unwrap();
    assert_eq!((answer.rows[0].native_id.clone(), answer.rows[0].deleted), (native(7), at("2026-11-20T09:00:00Z")));
    assert_eq!(answer.next.id, Some(7));
    let statement = &mock.statements()[0];
    assert!(
        statement.contains("FROM deletedrecord d WHERE d.type = 'Sales Order' AND d.deleteddate >= "),
        "{statement}"
    );
    assert!(statement.ends_with("ORDER BY SYS_EXTRACT_UTC(d.deleteddate) ASC, d.recordid ASC"), "{statement}");
}

#[tokio::test]
async fn changed_lines_name_their_order_once_with_what_it_holds_and_page_by_the_lines_own_key() {
    let changed = |key: i64, order: i64, modified: &str| json!({ "concord_id": key.to_string(), "concord_parent": order.to_string(), "concord_modified": modified, "concord_now": NOW });
    let (early, late) = ("2026-11-20T09:00:00Z", "2026-11-20T09:00:07Z");
    let order = move |id: i64| json!({ "concord_id": id.to_string(), "concord_modified": early, "concord_now": NOW, "entity": "4" });
    let line = move |order: i64, modified: &str| {
        json!({ "concord_parent": order.to_string(), "concord_id": "1", "concord_modified": modified, "concord_mainline": "F",
            "item": "1", "quantity": "-1" })
    };
    let main = move |order: i64, modified: &str| {
        let mut main = line(order, modified);
        (main["concord_id"], main["concord_mainline"]) = (json!("0"), json!("T"));
        main
    };
    let mock = Mock::start(move |seen, _| {
        let statement = seen.statement();
        if statement.contains("tl.uniquekey") {
            page(&[changed(900, 8, early), changed(901, 7, early), changed(902, 7, late)])
        } else if statement.contains("FROM transactionline") {
            // The lines of the eighth are of another instant than its body, however often they are read.
            page(&[main(7, early), line(7, early), main(8, late), line(8, late)])
        } else {
            page(&[order(7), order(8)])
        }
    })
    .await;
    let remote = remote(&tba(&mock.base));
    let from = Cursor { second: at("2026-11-20T08:00:00Z"), id: Some(5) };
    let answer = remote.lines_modified_since(&account(), &spec("salesorder"), from, 3).await.unwrap();
    let told: Vec<_> = answer.rows.iter().map(|row| (row.native_id.clone(), row.lastmodified)).collect();
    assert_eq!(told, [(native(8), at(early)), (native(7), at(late))]);
    assert!(answer.rows[0].fields.is_none(), "{:?}", answer.rows[0]);
    let whole = answer.rows[1].fields.as_ref().unwrap();
    assert!(whole.contains_key("entity") && whole.contains_key("lines"), "{whole:?}");
    assert_eq!((answer.full, answer.next.id), (true, Some(902)), "three lines were asked for");
    let statement = &mock.statements()[0];
    assert!(statement.contains("AND tl.uniquekey > 5"), "{statement}");
    assert!(statement.contains("(SELECT id FROM transaction WHERE type = 'SalesOrd')"), "{statement}");
    let asked = mock.statements().len();
    let none = remote.lines_modified_since(&account(), &spec("customer"), from, 10).await.unwrap();
    assert_eq!((none.rows.len(), none.full, none.next, mock.statements().len()), (0, false, from, asked));
}

#[tokio::test]
async fn netsuites_clock_is_asked_for_in_utc() {
    let mock = Mock::start(|_, _| page(&[json!({ "concord_now": NOW })])).await;
    assert_eq!(remote(&tba(&mock.base)).now(&account()).await, Ok(at(NOW)));
    assert_eq!(
        mock.statements(),
        [
            "SELECT TO_CHAR(SYS_EXTRACT_UTC(CURRENT_TIMESTAMP),'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS concord_now FROM DUAL"
        ]
    );
}

//! A record is written with its lines, under one guard.
#![allow(clippy::unwrap_used, reason = "tests")]

#[allow(dead_code)]
mod support;

use std::collections::BTreeSet;

use model::{WriteKind, WriteOutcome, WriteRequest};
use support::{bare_tenant, fields, landed, line_ids, lines, rid, text, update, with_order, write};

#[tokio::test]
async fn an_orders_lines_are_changed_added_and_removed_with_it() {
    let tenant = with_order().await;
    let request = WriteRequest {
        changes: fields([
            ("memo", text("new")),
            (
                "lines",
                lines([
                    ("n1", Some(fields([("quantity", text("7.0000"))]))),
                    ("n2", None),
                    ("s9", Some(fields([("item", text("2")), ("quantity", text("4.5000")), ("rate", text("1.25"))]))),
                    ("never", None),
                ]),
            ),
        ]),
        line_ids: line_ids([("n1", "1"), ("n2", "2"), ("n3", "3")]),
        ..update(1, 2)
    };
    let done = landed(tenant.write("salesorder", &request).await);
    assert_eq!(done.line_ids, line_ids([("n1", "1"), ("s9", "4")]));
    let line = |item: &str, quantity: &str, rate: &str| {
        Some(fields([("item", text(item)), ("quantity", text(quantity)), ("rate", text(rate))]))
    };
    let expected = lines([
        ("1", line("1", "7.0000", "9.50")),
        ("3", line("1", "3.0000", "9.50")),
        ("4", line("2", "4.5000", "1.25")),
    ]);
    assert_eq!(done.observed.fields["lines"], expected);
    assert_eq!(done.token, Some(tenant.one("select row_version from app.sales_orders").await));
    let versions: Vec<i64> = sqlx::query_scalar(
        "select row_version from concord.outbox_events where record_type = 'salesorder' and write_id is not null order by 1",
    )
    .fetch_all(&tenant.pool)
    .await
    .unwrap();
    assert_eq!(versions.first(), Some(&3));
    assert_eq!(versions.last().copied(), done.token);
    assert_eq!(i64::try_from(versions.len()).unwrap(), done.token.unwrap() - 2, "every version is marked as ours");
}

#[tokio::test]
async fn lines_alone_are_guarded_by_their_parents_version() {
    let tenant = with_order().await;
    let change = fields([("lines", lines([("n1", Some(fields([("quantity", text("7.0000"))])))]))]);
    let request = WriteRequest { changes: change, line_ids: line_ids([("n1", "1")]), ..update(1, 2) };
    tenant.sql("update app.sales_order_lines set rate = 1 where id = 3").await;
    assert_eq!(tenant.write("salesorder", &request).await, WriteOutcome::Stale);
    let done = landed(tenant.write("salesorder", &WriteRequest { token: Some(3), ..request.clone() }).await);
    assert_eq!(done.token, Some(4));
    let gone = WriteRequest { line_ids: line_ids([("n1", "99")]), write_id: rid(5).0, token: Some(4), ..request };
    assert_eq!(tenant.write("salesorder", &gone).await, WriteOutcome::Stale);
}

#[tokio::test]
async fn an_order_is_created_with_its_lines_and_deleted_with_them() {
    let tenant = with_order().await;
    let line =
        |quantity: &str| Some(fields([("item", text("1")), ("quantity", text(quantity)), ("rate", text("2.00"))]));
    let request = WriteRequest {
        changes: fields([
            ("entity", text("1")),
            ("memo", text("n")),
            ("lines", lines([("a", line("1.0000")), ("b", line("2.0000"))])),
        ]),
        ..write(1, WriteKind::Create)
    };
    let made = landed(tenant.write("salesorder", &request).await);
    assert_eq!(made.line_ids["lines"].len(), 2);
    assert_eq!(made.observed.fields["lines"].as_lines().unwrap().len(), 2);
    let unmarked: i64 = tenant
        .one("select count(*) from concord.outbox_events where record_type = 'salesorder' and record_id = '2' and write_id is null")
        .await;
    assert_eq!(unmarked, 0);
    let delete = WriteRequest {
        native_id: Some(made.id.clone()),
        token: made.token,
        write_id: rid(50).0,
        ..write(1, WriteKind::Delete)
    };
    let gone = landed(tenant.write("salesorder", &delete).await);
    assert!(!gone.observed.exists);
    assert_eq!(gone.token, None);
    assert_eq!(tenant.one::<i64>("select count(*) from app.sales_order_lines where sales_order_id = 2").await, 0);
    let last: (String, Option<uuid::Uuid>) =
        sqlx::query_as("select operation, write_id from concord.outbox_events order by id desc limit 1")
            .fetch_one(&tenant.pool)
            .await
            .unwrap();
    assert_eq!(last, ("delete".to_owned(), Some(delete.write_id)));
    assert_eq!(landed(tenant.write("salesorder", &delete).await).observed.landed, [delete.write_id]);
}

#[tokio::test]
async fn changes_to_other_records_by_the_applications_triggers_do_not_pass_for_ours() {
    let tenant = with_order().await;
    tenant
        .sql(
            "create function app.note() returns trigger language plpgsql as $$
             begin update app.customers set comments = 'ordered' where id = new.customer_id; return null; end $$;
             create trigger note after update on app.sales_orders for each row execute function app.note();",
        )
        .await;
    landed(tenant.write("salesorder", &WriteRequest { changes: fields([("memo", text("x"))]), ..update(1, 2) }).await);
    let marks: Vec<(String, bool)> =
        sqlx::query_as("select record_type, write_id is not null from concord.outbox_events order by id desc limit 2")
            .fetch_all(&tenant.pool)
            .await
            .unwrap();
    let marks: BTreeSet<_> = marks.into_iter().collect();
    assert_eq!(marks, [("customer".to_owned(), false), ("salesorder".to_owned(), true)].into());
}

#[tokio::test]
async fn an_application_without_triggers_is_written_under_the_same_guard() {
    let tenant = bare_tenant().await;
    tenant.sql("insert into app.sales_orders (memo) values ('m')").await;
    tenant.sql("insert into app.sales_order_lines (sales_order_id, quantity) values (1, 1)").await;
    let memo = WriteRequest { changes: fields([("memo", text("x"))]), ..update(1, 1) };
    assert_eq!(landed(tenant.write("salesorder", &memo).await).token, Some(2));
    let line = fields([("lines", lines([("n1", Some(fields([("quantity", text("7.0000"))])))]))]);
    let request = WriteRequest { changes: line, line_ids: line_ids([("n1", "1")]), ..update(2, 2) };
    assert_eq!(landed(tenant.write("salesorder", &request).await).token, Some(3));
    assert_eq!(tenant.write("salesorder", &WriteRequest { write_id: rid(9).0, ..request }).await, WriteOutcome::Stale);
}

//! The triggers tell everything that happened, each version of a record exactly once.
#![allow(clippy::unwrap_used, reason = "tests")]

#[allow(dead_code)]
mod support;

use std::time::Duration;

use serde_json::{Value as Json, json};
use suitex::capture;
use support::replay::{assert_gap_free, rows};
use support::{Tenant, tenant};

/// (operation, version, changes) of a record, in order of version.
async fn story(tenant: &Tenant, record_type: &str, id: &str) -> Vec<(&'static str, Option<i64>, Json)> {
    let mut rows = rows(&tenant.pool).await;
    rows.retain(|row| row.record_type == record_type && row.record_id == id);
    rows.sort_by_key(|row| row.row_version);
    rows.into_iter()
        .map(|row| (row.operation.as_str(), row.row_version, serde_json::from_str(&row.changes).unwrap()))
        .collect()
}

#[tokio::test]
async fn plain_sql_is_captured_with_the_smallest_delta() {
    let tenant = tenant().await;
    tenant.sql("insert into app.customers (company_name, credit_limit) values ('Acme', 10.5)").await;
    tenant.sql("update app.customers set email = 'a@b.example', phone = null, company_name = 'Acme'").await;
    tenant.sql("update app.customers set tags = '{x}', row_version = 77 where id = 1").await;
    tenant.sql("delete from app.customers").await;
    let story = story(&tenant, "customer", "1").await;
    let today: String = tenant.one("select current_date::text").await;
    let born = json!({"id": 1, "company_name": "Acme", "credit_limit": 10.50, "tags": [], "loyalty_points": 0,
                      "is_inactive": false, "created_on": today});
    assert_eq!(
        story,
        [
            ("create", Some(1), born),
            ("update", Some(2), json!({"email": "a@b.example"})),
            ("update", Some(3), json!({"tags": ["x"]})),
            ("delete", Some(4), json!({})),
        ]
    );
    let row = &rows(&tenant.pool).await[0];
    assert_eq!(row.write_id, None);
    assert!(row.actor.is_some());
}

#[tokio::test]
async fn an_update_that_changes_nothing_leaves_no_row_and_no_version() {
    let tenant = tenant().await;
    tenant.sql("insert into app.items (item_id) values ('A')").await;
    let before: String = tenant.one("select updated_at::text from app.items").await;
    tenant.sql("update app.items set item_id = 'A'").await;
    tenant.sql("update app.items set item_id = 'A', row_version = 9").await;
    tenant.sql("update app.items set row_version = row_version + 1").await;
    assert_eq!(tenant.one::<i64>("select row_version from app.items").await, 1);
    assert_eq!(tenant.one::<String>("select updated_at::text from app.items").await, before);
    assert_eq!(rows(&tenant.pool).await.len(), 1);
    tenant.sql("update app.items set item_id = 'B'").await;
    assert_eq!(tenant.one::<i64>("select row_version from app.items").await, 2);
    assert_ne!(tenant.one::<String>("select updated_at::text from app.items").await, before);
}

#[tokio::test]
async fn lines_are_told_under_their_parent_once_per_statement() {
    let tenant = tenant().await;
    tenant.sql("insert into app.sales_orders (memo) values ('one'), ('two')").await;
    tenant.sql("insert into app.sales_order_lines (sales_order_id, quantity) values (1, 1), (1, 2), (2, 3)").await;
    tenant.sql("update app.sales_order_lines set quantity = quantity").await;
    tenant.sql("update app.sales_order_lines set rate = 5 where sales_order_id = 1").await;
    tenant.sql("update app.sales_order_lines set sales_order_id = 2 where id = 2").await;
    tenant.sql("delete from app.sales_order_lines where id = 3").await;
    let lines = |lines: Json| json!({ "app.sales_order_lines": lines });
    let one: Vec<_> = story(&tenant, "salesorder", "1").await.into_iter().skip(1).collect();
    assert_eq!(
        one,
        [
            ("update", Some(2), lines(json!({"1": {"quantity": 1}, "2": {"quantity": 2}}))),
            ("update", Some(3), lines(json!({"1": {"rate": 5}, "2": {"rate": 5}}))),
            ("update", Some(4), lines(json!({"2": null}))),
        ]
    );
    let two: Vec<_> = story(&tenant, "salesorder", "2").await.into_iter().skip(1).collect();
    assert_eq!(
        two,
        [
            ("update", Some(2), lines(json!({"3": {"quantity": 3}}))),
            ("update", Some(3), lines(json!({"2": {"quantity": 2, "rate": 5}}))),
            ("update", Some(4), lines(json!({"3": null}))),
        ]
    );
    assert_eq!(assert_gap_free(&tenant).await, 2);
}

#[tokio::test]
async fn a_deleted_parent_has_one_row_and_none_for_its_lines() {
    let tenant = tenant().await;
    tenant.sql("insert into app.sales_orders (memo) values ('one')").await;
    tenant.sql("insert into app.sales_order_lines (sales_order_id, quantity) values (1, 1), (1, 2)").await;
    tenant.sql("delete from app.sales_orders").await;
    let operations: Vec<_> = story(&tenant, "salesorder", "1").await.into_iter().map(|row| (row.0, row.1)).collect();
    assert_eq!(operations, [("create", Some(1)), ("update", Some(2)), ("delete", Some(3))]);
}

#[tokio::test]
async fn an_id_that_is_used_again_goes_on_counting_even_after_pruning() {
    let tenant = tenant().await;
    tenant.sql("insert into app.items (id, item_id) values (5, 'A'); update app.items set item_id = 'B'").await;
    tenant.sql("delete from app.items; insert into app.items (id, item_id) values (5, 'C')").await;
    assert_eq!(tenant.one::<i64>("select row_version from app.items").await, 4);
    assert_eq!(assert_gap_free(&tenant).await, 1);
    tenant.sql("delete from app.items").await;
    let ids: Vec<i64> = rows(&tenant.pool).await.iter().map(|row| row.id).collect();
    capture::mark_published(&tenant.pool, &ids).await.unwrap();
    capture::confirm(&tenant.pool, &ids).await.unwrap();
    assert_eq!(capture::prune(&tenant.pool, Duration::ZERO, 100).await.unwrap(), 4);
    tenant.sql("insert into app.items (id, item_id) values (5, 'D')").await;
    assert_eq!(tenant.one::<i64>("select row_version from app.items").await, 6);
}

#[tokio::test]
async fn a_changed_id_is_the_end_of_one_record_and_the_start_of_another() {
    let tenant = tenant().await;
    tenant.sql("insert into app.items (id, item_id) values (5, 'A'); update app.items set id = 6").await;
    let old: Vec<_> = story(&tenant, "item", "5").await.into_iter().map(|row| (row.0, row.1)).collect();
    assert_eq!(old, [("create", Some(1)), ("delete", Some(2))]);
    let new = story(&tenant, "item", "6").await;
    assert_eq!(new[0].0, "create");
    assert_eq!(new[0].2["item_id"], "A");
    assert_eq!(assert_gap_free(&tenant).await, 1);
}

#[tokio::test]
async fn truncate_is_the_deletion_of_every_row_in_any_order_of_tables() {
    for statement in [
        "truncate app.sales_orders cascade",
        "truncate app.sales_order_lines, app.sales_orders",
        "truncate app.sales_orders, app.sales_order_lines restart identity",
    ] {
        let tenant = tenant().await;
        tenant.sql("insert into app.sales_orders (memo) values ('one'), ('two')").await;
        tenant.sql("insert into app.sales_order_lines (sales_order_id, quantity) values (1, 1), (1, 2)").await;
        sqlx::raw_sql(statement).execute(&tenant.pool).await.unwrap();
        tenant.sql("insert into app.sales_orders (id, memo) values (1, 'again')").await;
        assert_eq!(assert_gap_free(&tenant).await, 1, "{statement}");
        assert_eq!(story(&tenant, "salesorder", "2").await.last().unwrap().0, "delete", "{statement}");
    }
    let tenant = tenant().await;
    tenant.sql("insert into app.sales_orders (memo) values ('one')").await;
    tenant.sql("insert into app.sales_order_lines (sales_order_id, quantity) values (1, 1), (1, 2)").await;
    tenant.sql("truncate app.sales_order_lines").await;
    assert_eq!(assert_gap_free(&tenant).await, 1);
}

#[tokio::test]
async fn what_the_applications_own_triggers_do_is_captured_too() {
    let tenant = tenant().await;
    // One normalises the row itself, one keeps a sum on the parent, one touches another record when a parent changes.
    tenant
        .sql(
            "create function app.shout() returns trigger language plpgsql as $$
             begin new.memo := upper(new.memo); return new; end $$;
             create trigger shout before insert or update on app.sales_orders
                 for each row execute function app.shout();
             create function app.note() returns trigger language plpgsql as $$
             begin update app.customers set comments = new.row_version::text where id = new.customer_id;
                   update app.sales_orders set status = 'seen' where id = new.id and status is distinct from 'seen';
                   return null; end $$;
             create trigger note after update on app.sales_orders for each row execute function app.note();",
        )
        .await;
    tenant.sql("insert into app.customers (company_name) values ('a')").await;
    tenant.sql("insert into app.sales_orders (customer_id, memo) values (1, 'x')").await;
    tenant.sql("insert into app.sales_order_lines (sales_order_id, quantity) values (1, 1)").await;
    tenant.sql("update app.sales_orders set memo = 'y'").await;
    tenant.sql("update app.sales_order_lines set quantity = 2").await;
    assert_eq!(assert_gap_free(&tenant).await, 2);
    assert_eq!(tenant.one::<String>("select memo from app.sales_orders").await, "Y");
}

#[tokio::test]
async fn a_computed_column_is_no_change() {
    let tenant = support::bare_tenant().await;
    tenant.sql("alter table app.items add column label text generated always as (item_id || '!') stored").await;
    suitex::install_capture(&tenant.pool, &tenant.world).await.unwrap();
    tenant.sql("insert into app.items (item_id) values ('A'); update app.items set item_id = 'A'").await;
    assert_eq!(rows(&tenant.pool).await.len(), 1);
    tenant.sql("update app.items set item_id = 'B'").await;
    assert_eq!(story(&tenant, "item", "1").await[1], ("update", Some(2), json!({"item_id": "B"})));
}

#[tokio::test]
async fn an_application_role_needs_no_rights_in_our_schema() {
    let tenant = tenant().await;
    // Roles belong to the whole cluster, which other test processes use as well.
    let role = format!("suitex_app_{}", std::process::id());
    let mut conn = tenant.pool.acquire().await.unwrap();
    for statement in [
        &format!("create role {role}"),
        &format!("grant usage on schema app to {role}"),
        &format!("grant all on all tables in schema app to {role}"),
        &format!("set role {role}"),
        "insert into app.sales_orders (memo) values ('x')",
        "insert into app.sales_order_lines (sales_order_id) values (1)",
        "reset role",
        &format!("drop owned by {role}"),
        &format!("drop role {role}"),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut *conn).await.unwrap();
    }
    assert_eq!(assert_gap_free(&tenant).await, 1);
}

//! The outbox says everything that happened, each version of a record exactly once.
#![allow(clippy::unwrap_used, reason = "tests")]

#[allow(dead_code)]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{Operation, TypedValue};
use serde_json::{Value as Json, json};
use sqlx::PgPool;
use suitex::capture::{self, Bell, OutboxRow};
use support::{Tenant, native, tenant};

async fn rows(pool: &PgPool) -> Vec<OutboxRow> {
    capture::unpublished(pool, 100_000).await.unwrap()
}

/// (operation, version, changes) of a record, in order of version.
async fn story(tenant: &Tenant, record_type: &str, id: &str) -> Vec<(&'static str, Option<i64>, Json)> {
    let mut rows = rows(&tenant.pool).await;
    rows.retain(|row| row.record_type == record_type && row.record_id == id);
    rows.sort_by_key(|row| row.row_version);
    rows.into_iter()
        .map(|row| (row.operation.as_str(), row.row_version, serde_json::from_str(&row.changes).unwrap()))
        .collect()
}

/// Every record's versions run from 1 without gap or repeat, the last is the row's own, and the deltas in order of
/// version rebuild the row (with its lines) as it stands.
async fn assert_gap_free(tenant: &Tenant) -> usize {
    let mut by_record: BTreeMap<(String, String), Vec<OutboxRow>> = BTreeMap::new();
    for row in rows(&tenant.pool).await {
        by_record.entry((row.record_type.clone(), row.record_id.clone())).or_default().push(row);
    }
    let mut rebuilt = 0;
    for ((record_type, id), mut rows) in by_record {
        let table = match record_type.as_str() {
            "salesorder" => "sales_orders",
            "customer" => "customers",
            "item" => "items",
            _ => continue,
        };
        rows.sort_by_key(|row| row.row_version);
        let versions: Vec<_> = rows.iter().map(|row| row.row_version.unwrap()).collect();
        let expected: Vec<_> = (1..=i64::try_from(rows.len()).unwrap()).collect();
        assert_eq!(versions, expected, "{record_type} {id}");
        let present: Option<Json> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "select to_jsonb(t) - 'updated_at' from app.{table} t where id = $1::bigint"
        )))
        .bind(id.parse::<i64>().unwrap())
        .fetch_optional(&tenant.pool)
        .await
        .unwrap();
        let (state, lines, version) = replay(&rows);
        let Some(mut present) = present else {
            assert_eq!(rows.last().unwrap().operation, Operation::Delete, "{record_type} {id}");
            continue;
        };
        let row_version = present.as_object_mut().unwrap().remove("row_version").unwrap();
        assert_eq!(row_version.as_i64(), Some(version), "{record_type} {id}");
        present.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        assert_eq!(Json::Object(state), present, "{record_type} {id}");
        if record_type == "salesorder" {
            assert_eq!(json!(lines), present_lines(tenant, &id).await, "lines of {id}");
        }
        rebuilt += 1;
    }
    rebuilt
}

type Object = serde_json::Map<String, Json>;

fn apply(state: &mut Object, changes: &Object) {
    for (column, value) in changes {
        if value.is_null() {
            state.remove(column);
        } else {
            state.insert(column.clone(), value.clone());
        }
    }
}

fn replay(rows: &[OutboxRow]) -> (Object, BTreeMap<String, Object>, i64) {
    let mut state = Object::new();
    let mut lines: BTreeMap<String, Object> = BTreeMap::new();
    for row in rows {
        if row.operation != Operation::Update {
            state.clear();
            lines.clear();
        }
        let mut changes: Object = serde_json::from_str(&row.changes).unwrap();
        if let Some(Json::Object(changed)) = changes.remove("app.sales_order_lines") {
            for (line, change) in changed {
                match change {
                    Json::Object(change) => apply(lines.entry(line).or_default(), &change),
                    _ => drop(lines.remove(&line)),
                }
            }
        }
        apply(&mut state, &changes);
    }
    (state, lines, rows.last().unwrap().row_version.unwrap())
}

async fn present_lines(tenant: &Tenant, order: &str) -> Json {
    let lines: Vec<(i64, Json)> = sqlx::query_as(
        "select id, jsonb_strip_nulls(to_jsonb(l) - 'id' - 'sales_order_id') from app.sales_order_lines l
          where sales_order_id = $1::bigint",
    )
    .bind(order.parse::<i64>().unwrap())
    .fetch_all(&tenant.pool)
    .await
    .unwrap();
    Json::Object(lines.into_iter().map(|(id, line)| (id.to_string(), line)).collect())
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
    tenant
        .sql("alter table app.items add column label text generated always as (item_id || '!') stored")
        .await;
    suitex::install_capture(&tenant.pool, &tenant.world).await.unwrap();
    tenant.sql("insert into app.items (item_id) values ('A'); update app.items set item_id = 'A'").await;
    assert_eq!(rows(&tenant.pool).await.len(), 1);
    tenant.sql("update app.items set item_id = 'B'").await;
    assert_eq!(story(&tenant, "item", "1").await[1], ("update", Some(2), json!({"item_id": "B"})));
}

#[tokio::test]
async fn an_application_role_needs_no_rights_in_our_schema() {
    let tenant = tenant().await;
    tenant
        .sql(
            "create role suitex_app_role; grant usage on schema app to suitex_app_role;
             grant all on all tables in schema app to suitex_app_role",
        )
        .await;
    let mut conn = tenant.pool.acquire().await.unwrap();
    for statement in [
        "set role suitex_app_role",
        "insert into app.sales_orders (memo) values ('x')",
        "insert into app.sales_order_lines (sales_order_id) values (1)",
        "reset role",
        "drop owned by suitex_app_role",
        "drop role suitex_app_role",
    ] {
        sqlx::query(statement).execute(&mut *conn).await.unwrap();
    }
    assert_eq!(assert_gap_free(&tenant).await, 1);
}

/// One user's transaction: a handful of statements on parents and lines, some rolled back to a savepoint.
async fn edit(pool: &PgPool, rng: &mut fastrand::Rng) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    // Meeting crosswise is what these users are for; nobody needs to wait a second each time.
    sqlx::query("set local deadlock_timeout = '5ms'").execute(&mut *tx).await?;
    for _ in 0..rng.u32(1..5) {
        let savepoint = rng.u32(0..5) == 0;
        if savepoint {
            sqlx::query("savepoint s").execute(&mut *tx).await?;
        }
        let order = rng.i64(1..6);
        let number = rng.i64(0..4);
        let statement = match rng.u32(0..9) {
            0 => "update app.sales_orders set memo = $2::text where id = $1",
            1 => "update app.sales_orders set memo = memo where id = $1 and $2 is not null",
            2 => "insert into app.sales_order_lines (sales_order_id, quantity) select $1, g from generate_series(0, $2) g",
            3 => "update app.sales_order_lines set quantity = $2 where sales_order_id = $1",
            4 => "update app.sales_order_lines set quantity = $2 where id % 7 = $1",
            5 => "delete from app.sales_order_lines where sales_order_id = $1 and id % 4 = $2",
            6 => "update app.sales_order_lines set sales_order_id = 1 + $2 where sales_order_id = $1 and id % 3 = 0",
            7 => "with p as (update app.sales_orders set status = $2::text where id = $1 returning id)
                  update app.sales_order_lines set rate = $2 where sales_order_id in (select id from p)",
            _ => "insert into app.sales_orders (id, memo) values ($1, 'up')
                  on conflict (id) do update set memo = excluded.memo || $2::text, row_version = excluded.row_version",
        };
        sqlx::query(statement).bind(order).bind(number).execute(&mut *tx).await?;
        if savepoint {
            sqlx::query("rollback to savepoint s").execute(&mut *tx).await?;
        }
    }
    if rng.u32(0..6) == 0 { tx.rollback().await } else { tx.commit().await }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_have_no_gaps_under_concurrent_mixed_edits_and_short_batches_lose_nothing() {
    let seed = 20_261_121;
    let tenant = tenant().await;
    tenant.sql("insert into app.sales_orders (id, memo) select g, 'x' from generate_series(1, 5) g").await;
    let writers: Vec<_> = (0..8)
        .map(|n| {
            let pool = tenant.pool.clone();
            tokio::spawn(async move {
                let mut rng = fastrand::Rng::with_seed(seed + n);
                let mut done = 0;
                while done < 40 {
                    match edit(&pool, &mut rng).await {
                        Ok(()) => done += 1,
                        // Users who meet crosswise try again; anything else is a bug.
                        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("40P01") => {}
                        Err(error) => panic!("seed {seed}, writer {n}: {error}"),
                    }
                }
            })
        })
        .collect();
    let relay = tokio::spawn(drain_in_short_batches(tenant.pool.clone(), writers));
    let relayed = relay.await.unwrap();
    let total: i64 = tenant.one("select count(*) from concord.outbox_events").await;
    assert!(total > 300, "only {total} changes: nothing was tested");
    assert_eq!(i64::try_from(relayed.len()).unwrap(), total);
    tenant.sql("update concord.outbox_events set published_at = null").await;
    assert_eq!(assert_gap_free(&tenant).await, 5);
}

/// Reads and marks batches of seven while the writers run, and until nothing is left.
async fn drain_in_short_batches(pool: PgPool, writers: Vec<tokio::task::JoinHandle<()>>) -> BTreeSet<i64> {
    let mut seen = BTreeSet::new();
    let mut running = futures::future::join_all(writers);
    let mut finished = false;
    loop {
        let batch: Vec<i64> = capture::unpublished(&pool, 7).await.unwrap().iter().map(|row| row.id).collect();
        capture::mark_published(&pool, &batch).await.unwrap();
        for id in &batch {
            assert!(seen.insert(*id), "row {id} came twice");
        }
        if finished && batch.is_empty() {
            return seen;
        }
        if !finished && batch.is_empty() {
            finished = tokio::time::timeout(Duration::from_millis(5), &mut running)
                .await
                .map(|writers| writers.into_iter().for_each(Result::unwrap))
                .is_ok();
        }
    }
}

#[tokio::test]
async fn a_row_becomes_an_event_in_canonical_words() {
    let tenant = tenant().await;
    tenant
        .sql("insert into app.customers (company_name, credit_limit, is_inactive) values ('Acme ', 12345678901.25, true)")
        .await;
    tenant.sql("update app.customers set updated_at = now(), terms = '5', tags = '{b,a}', email = ''").await;
    let rows = rows(&tenant.pool).await;
    let event = capture::to_change_event(&tenant.account, tenant.spec("customer"), &rows[0]).unwrap();
    assert_eq!((event.record_id, event.operation), (native(1), Operation::Create));
    assert_eq!(event.remote_version, Some(1));
    assert_eq!(event.changes["creditlimit"], TypedValue::Decimal("12345678901.25".to_owned()));
    assert_eq!(event.changes["companyname"], TypedValue::Text("Acme".to_owned()));
    assert_eq!(event.changes["isinactive"], TypedValue::Bool(true));
    assert_eq!(event.changes["custentity_loyalty_points"], TypedValue::Integer(0));
    let event = capture::to_change_event(&tenant.account, tenant.spec("customer"), &rows[1]).unwrap();
    let expected = [
        ("custentity_tags", TypedValue::Set(vec!["a".to_owned(), "b".to_owned()])),
        ("email", TypedValue::Null),
        ("terms", TypedValue::Text("5".to_owned())),
    ];
    assert_eq!(event.changes, expected.map(|(name, value)| (name.to_owned(), value)).into());
    tenant.sql("update app.customers set created_on = 'infinity'").await;
    let bad = &capture::unpublished(&tenant.pool, 10).await.unwrap()[2];
    let failure = capture::to_change_event(&tenant.account, tenant.spec("customer"), bad).unwrap_err();
    assert!(failure.reason.contains("field datecreated: column created_on"), "{failure}");
}

#[tokio::test]
async fn contacts_are_captured_and_can_be_set_aside() {
    let tenant = tenant().await;
    tenant.sql("insert into app.customers (company_name) values ('a')").await;
    tenant.sql("insert into app.contacts (customer_id, name) values (1, 'Ann'); update app.contacts set name = 'Bo'").await;
    let contacts: Vec<_> = rows(&tenant.pool).await.into_iter().filter(|row| row.record_type == "contact").collect();
    assert_eq!(contacts.iter().map(|row| row.row_version).collect::<Vec<_>>(), [Some(1), Some(2)]);
    let aside: Vec<_> = contacts.iter().map(|row| (row.id, "type contact is not synced".to_owned())).collect();
    capture::set_aside(&tenant.pool, &aside).await.unwrap();
    assert_eq!(rows(&tenant.pool).await.len(), 1);
    assert!(capture::unconfirmed(&tenant.pool, Duration::ZERO, 10).await.unwrap().is_empty());
    let noted: i64 = tenant.one("select count(*) from concord.outbox_events where note like '%not synced'").await;
    assert_eq!(noted, 2);
}

#[tokio::test]
async fn rows_the_broker_lost_are_published_again_and_confirmed_ones_never() {
    let tenant = tenant().await;
    tenant.sql("insert into app.items (item_id) values ('A'), ('B'), ('C')").await;
    let ids: Vec<_> = rows(&tenant.pool).await.iter().map(|row| row.id).collect();
    capture::mark_published(&tenant.pool, &ids).await.unwrap();
    assert!(capture::unconfirmed(&tenant.pool, Duration::from_secs(60), 10).await.unwrap().is_empty());
    let waiting = capture::unconfirmed(&tenant.pool, Duration::ZERO, 10).await.unwrap();
    assert_eq!(waiting.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ids);
    capture::confirm(&tenant.pool, &ids[..1]).await.unwrap();
    assert_eq!(capture::unmark(&tenant.pool, &ids[..2]).await.unwrap(), 1);
    assert_eq!(rows(&tenant.pool).await.iter().map(|row| row.id).collect::<Vec<_>>(), ids[1..2]);
    let backlog = capture::backlog(&tenant.pool).await.unwrap();
    assert_eq!(backlog.rows, 1);
    assert!(backlog.oldest.is_some());
    assert_eq!(capture::prune(&tenant.pool, Duration::ZERO, 10).await.unwrap(), 1);
}

#[tokio::test]
async fn the_bell_rings_for_triggers_and_for_an_application_that_writes_its_own_outbox() {
    let tenant = tenant().await;
    let mut bell = Bell::listen(&tenant.pool).await.unwrap();
    tenant.sql("insert into app.items (item_id) values ('A')").await;
    tokio::time::timeout(Duration::from_secs(30), bell.rung()).await.unwrap().unwrap();
    tenant
        .sql(
            "insert into concord.outbox_events (record_type, record_id, operation, changes)
             values ('item', '9', 'update', '{\"displayname\": \"x\"}')",
        )
        .await;
    tokio::time::timeout(Duration::from_secs(30), bell.rung()).await.unwrap().unwrap();
    let own = rows(&tenant.pool).await.pop().unwrap();
    let event = capture::to_change_event(&tenant.account, tenant.spec("item"), &own).unwrap();
    assert_eq!(event.remote_version, None);
    assert_eq!(event.changes["displayname"], TypedValue::Text("x".to_owned()));
}

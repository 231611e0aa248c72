//! The port: what is read is one snapshot in canonical form; what is written is exact.
#![allow(clippy::unwrap_used, reason = "tests")]

#[allow(dead_code)]
mod support;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use model::{
    Clock, Line, LineIds, Lines, Remote, RemoteError, SystemClock, Value, WriteKind, WriteOutcome, WriteRequest,
};
use sqlx::AssertSqlSafe;
use support::{Tenant, bare_tenant, fields, landed, native, remote_on, rid, tenant, text, want, write};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn lines<const N: usize>(lines: [(&str, Line); N]) -> Value {
    Value::Lines(lines.map(|(key, line)| (key.to_owned(), line)).into_iter().collect::<Lines>())
}

fn line_ids<const N: usize>(ids: [(&str, &str); N]) -> LineIds {
    let ids = ids.map(|(key, id)| (key.to_owned(), id.to_owned())).into();
    [("lines".to_owned(), ids)].into()
}

async fn outbox_count(tenant: &Tenant) -> i64 {
    tenant.one("select count(*) from concord.outbox_events").await
}

/// A customer that exists: its id is 1, its version 1.
async fn with_customer() -> Tenant {
    let tenant = tenant().await;
    tenant.sql("insert into app.customers (company_name, email) values ('Acme', 'a@b.example')").await;
    tenant
}

/// An order that exists, with three lines: its id is 1, its version 2, the lines' ids are 1 to 3.
async fn with_order() -> Tenant {
    let tenant = with_customer().await;
    tenant.sql("insert into app.items (item_id) values ('A'), ('B')").await;
    tenant.sql("insert into app.sales_orders (customer_id, memo) values (1, 'm')").await;
    tenant
        .sql("insert into app.sales_order_lines (sales_order_id, item_id, quantity, rate) select 1, 1, g, 9.5 from generate_series(1, 3) g")
        .await;
    tenant
}

fn update(n: u128, token: i64) -> WriteRequest {
    WriteRequest { native_id: Some(native(1)), token: Some(token), ..write(n, WriteKind::Update) }
}

#[tokio::test]
async fn a_row_is_read_in_canonical_form() {
    let tenant = tenant().await;
    tenant
        .sql(
            "insert into app.customers (company_name, email, credit_limit, comments, tags, loyalty_points, is_inactive, created_on)
             values (E'Caf\\u0065\\u0301  ', '', 1000, E'a\\r\\nb', '{b,a,b}', 7, true, '2026-02-03')",
        )
        .await;
    let read = tenant.read("customer", &want(1, Some(native(1)), vec![])).await;
    assert!(read.exists);
    assert_eq!((read.native_id, read.token, read.external_rid, read.landed), (Some(native(1)), Some(1), None, vec![]));
    assert!(read.age.unwrap() < Duration::from_secs(60));
    assert!(read.clock.is_some());
    let expected = fields([
        ("companyname", text("Caf\u{e9}")),
        ("email", Value::Null),
        ("phone", Value::Null),
        ("creditlimit", text("1000.00")),
        ("comments", text("a\nb")),
        ("custentity_tags", Value::Set(["a", "b"].map(str::to_owned).into())),
        ("custentity_loyalty_points", Value::Int(7)),
        ("isinactive", Value::Bool(true)),
        ("terms", Value::Null),
        ("currency", Value::Null),
        ("datecreated", text("2026-02-03")),
    ]);
    assert_eq!(read.fields, expected);
}

#[tokio::test]
async fn lines_and_references_are_the_tenants_own_ids() {
    let tenant = with_order().await;
    tenant.sql("insert into app.sales_orders (memo) values ('empty')").await;
    let wants = [want(1, Some(native(1)), vec![]), want(2, Some(native(2)), vec![])];
    let read = tenant.remote.read(&tenant.account, tenant.spec("salesorder"), &wants).await;
    let first = read[0].as_ref().unwrap();
    assert_eq!(first.fields["entity"], text("1"));
    let line = |quantity: &str| Some(fields([("item", text("1")), ("quantity", text(quantity)), ("rate", text("9.50"))]));
    assert_eq!(
        first.fields["lines"],
        lines([("1", line("1.0000")), ("2", line("2.0000")), ("3", line("3.0000"))])
    );
    assert_eq!(first.token, Some(2));
    assert_eq!(read[1].as_ref().unwrap().fields["lines"], Value::Null);
}

#[tokio::test]
async fn one_malformed_or_absent_record_does_not_spoil_the_batch() {
    let tenant = with_customer().await;
    tenant.sql("insert into app.customers (company_name, created_on) values ('bad', 'infinity')").await;
    let wants: Vec<_> = ["7", "abc", "01", "1", "2"].map(|id| want(1, Some(native(id)), vec![])).into();
    let read = tenant.remote.read(&tenant.account, tenant.spec("customer"), &wants).await;
    for absent in &read[..3] {
        let absent = absent.as_ref().unwrap();
        assert!(!absent.exists && absent.fields.is_empty() && absent.clock.is_some(), "{absent:?}");
    }
    assert!(read[3].as_ref().unwrap().exists);
    let Err(RemoteError::Unreadable { failure, .. }) = &read[4] else { panic!("{:?}", read[4]) };
    assert!(failure.reason.contains("field datecreated: column created_on"), "{failure}");
}

#[tokio::test]
async fn an_unreachable_or_unknown_tenant_is_not_a_deletion() {
    let tenant = with_customer().await;
    tenant.remote.validate(&tenant.account, &tenant.world).await.unwrap();
    tenant.pool.close().await;
    let spec = tenant.spec("customer");
    let read = tenant.remote.read(&tenant.account, spec, &[want(1, Some(native(1)), vec![])]).await;
    assert!(matches!(read[0], Err(RemoteError::Unavailable { .. })), "{read:?}");
    let written = tenant.remote.write(&tenant.account, spec, &[update(1, 1)]).await;
    assert_eq!(written, [WriteOutcome::NotSent]);
    let stranger = model::AccountId::parse("NOBODY").unwrap();
    let read = tenant.remote.read(&stranger, spec, &[want(1, Some(native(1)), vec![])]).await;
    assert!(matches!(read[0], Err(RemoteError::Forbidden { .. })), "{read:?}");
    let written = tenant.remote.write(&stranger, spec, &[update(1, 1)]).await;
    assert!(matches!(written[0], WriteOutcome::Refused { .. }));
}

#[tokio::test]
async fn an_update_lands_once_under_its_guard_and_leaves_its_mark() {
    let tenant = with_customer().await;
    let changes = fields([
        ("phone", text("555")),
        ("creditlimit", text("12.30")),
        ("custentity_tags", Value::Set(["t".to_owned()].into())),
        ("email", Value::Null),
        ("isinactive", Value::Bool(true)),
        ("custentity_loyalty_points", Value::Int(-3)),
        ("datecreated", text("2020-02-29")),
    ]);
    let request = WriteRequest { changes: changes.clone(), ..update(1, 1) };
    let first = landed(tenant.write("customer", &request).await);
    assert_eq!((first.id, first.token), (native(1), Some(2)));
    for (name, value) in &changes {
        assert_eq!(&first.observed.fields[name], value, "{name}");
    }
    assert_eq!(first.observed.fields["companyname"], text("Acme"));
    assert_eq!(first.observed.landed, [request.write_id]);
    let marked: i64 = tenant.one("select count(*) from concord.outbox_events where write_id is not null").await;
    assert_eq!(marked, 1);

    // The same request again, as after a lost answer: it landed, nothing more happens.
    tenant.sql("update app.customers set phone = '556'").await;
    let count = outbox_count(&tenant).await;
    let second = landed(tenant.write("customer", &request).await);
    assert_eq!(second.token, Some(3));
    assert_eq!(second.observed.fields["phone"], text("556"));
    assert_eq!(outbox_count(&tenant).await, count);
    let read = tenant.read("customer", &want(1, Some(native(1)), vec![request.write_id, rid(9).0])).await;
    assert_eq!(read.landed, [request.write_id]);
}

#[tokio::test]
async fn the_guard_tells_stale_from_gone_and_leaves_no_trace() {
    let tenant = with_customer().await;
    let phone = fields([("phone", text("555"))]);
    tenant.sql("update app.customers set email = 'user@b.example'").await;
    let count = outbox_count(&tenant).await;
    for token in [Some(1), Some(3), None] {
        let request = WriteRequest { token, changes: phone.clone(), ..update(1, 1) };
        assert_eq!(tenant.write("customer", &request).await, WriteOutcome::Stale, "{token:?}");
        let delete = WriteRequest { kind: WriteKind::Delete, ..request };
        assert_eq!(tenant.write("customer", &delete).await, WriteOutcome::Stale, "{token:?}");
    }
    for id in ["7", "abc"] {
        let request = WriteRequest { native_id: Some(native(id)), changes: phone.clone(), ..update(1, 1) };
        assert_eq!(tenant.write("customer", &request).await, WriteOutcome::Gone, "{id}");
        let delete = WriteRequest { kind: WriteKind::Delete, ..request };
        assert_eq!(tenant.write("customer", &delete).await, WriteOutcome::Gone, "{id}");
    }
    assert_eq!(tenant.one::<i64>("select count(*) from concord.sync_inbox").await, 0);
    assert_eq!(outbox_count(&tenant).await, count);
    let landed = landed(tenant.write("customer", &WriteRequest { changes: phone, ..update(1, 2) }).await);
    assert_eq!(landed.observed.fields["email"], text("user@b.example"));
}

#[tokio::test]
async fn a_create_is_found_again_by_rid_and_generation_and_never_repeated() {
    let tenant = tenant().await;
    let request =
        WriteRequest { changes: fields([("companyname", text("New")), ("email", Value::Null)]), ..write(1, WriteKind::Create) };
    let absent = tenant.read("customer", &want(1, None, vec![request.write_id])).await;
    assert!(!absent.exists && absent.landed.is_empty() && absent.native_id.is_none());
    let first = landed(tenant.write("customer", &request).await);
    assert_eq!(first.token, Some(1));
    assert_eq!(first.observed.external_rid, Some(rid(1)));
    // What the application filled in is seen at once.
    assert_eq!(first.observed.fields["custentity_loyalty_points"], Value::Int(0));
    assert!(first.observed.fields["datecreated"].as_text().is_some());

    let again = landed(tenant.write("customer", &request).await);
    assert_eq!(again.id, first.id);
    let other = WriteRequest { write_id: rid(77).0, ..request.clone() };
    assert_eq!(tenant.write("customer", &other).await, WriteOutcome::Duplicate);
    assert_eq!(tenant.one::<i64>("select count(*) from app.customers").await, 1);

    let found = tenant.read("customer", &want(1, None, vec![request.write_id])).await;
    assert_eq!((found.native_id, found.external_rid), (Some(first.id.clone()), Some(rid(1))));
    assert_eq!(found.landed, [request.write_id]);
    let by_id = tenant.read("customer", &want(9, Some(first.id.clone()), vec![])).await;
    assert_eq!(by_id.external_rid, Some(rid(1)));

    // A later generation is another row of the same rid.
    let next = WriteRequest { write_id: rid(78).0, generation: 2, ..request };
    assert_ne!(landed(tenant.write("customer", &next).await).id, first.id);
    let deleted = native(&first.id);
    tenant.sql("delete from app.customers where id = 1").await;
    let gone = tenant.read("customer", &want(1, None, vec![])).await;
    assert_eq!((gone.exists, gone.native_id), (false, Some(deleted)));
}

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
    let line = |quantity: &str| Some(fields([("item", text("1")), ("quantity", text(quantity)), ("rate", text("2.00"))]));
    let request = WriteRequest {
        changes: fields([("entity", text("1")), ("memo", text("n")), ("lines", lines([("a", line("1.0000")), ("b", line("2.0000"))]))]),
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

#[tokio::test]
async fn refusals_name_code_table_and_constraint_but_never_a_value() {
    let tenant = with_order().await;
    tenant
        .sql(
            "alter table app.items add constraint short check (length(description) < 5);
             create unique index items_item_id on app.items (item_id);
             alter table app.items alter display_name type varchar(6);
             create function app.no() returns trigger language plpgsql as $$
             begin if new.description = 'no' then raise exception 'secret %', new.description; end if; return new; end $$;
             create trigger no before update on app.items for each row execute function app.no();",
        )
        .await;
    let cases = [
        ("item", fields([("description", text("secret"))]), "23514", "constraint short"),
        ("item", fields([("itemid", text("B"))]), "23505", "constraint items_item_id"),
        ("item", fields([("displayname", text("secret!"))]), "22001", "too long"),
        ("item", fields([("description", text("no"))]), "P0001", "trigger of the application"),
        ("item", fields([("baseprice", text("secret"))]), "22P02", "form"),
        ("item", fields([("nothing", text("secret"))]), "bad_value", "field nothing is not mapped"),
        ("item", fields([("description", Value::Int(5))]), "bad_value", "field description is integer"),
        ("salesorder", fields([("entity", text("99"))]), "23503", "sales_orders_customer_id_fkey"),
        ("salesorder", fields([("entity", text("secret"))]), "bad_value", "no id of a customer"),
    ];
    for (n, (name, changes, expected, part)) in (100_u128..).zip(cases) {
        let token = if name == "salesorder" { 2 } else { 1 };
        let outcome = tenant.write(name, &WriteRequest { changes, ..update(n, token) }).await;
        let WriteOutcome::Invalid { code, message } = outcome else { panic!("{name} {expected}: {outcome:?}") };
        assert_eq!(code, expected, "{message}");
        assert!(message.contains(part) && !message.contains("secret"), "{message}");
    }
    let customer = WriteRequest { kind: WriteKind::Delete, ..update(200, 1) };
    let outcome = tenant.write("customer", &customer).await;
    assert!(matches!(&outcome, WriteOutcome::Invalid { code, .. } if code == "23503"), "{outcome:?}");
    assert_eq!(tenant.one::<i64>("select count(*) from concord.sync_inbox").await, 0);
}

#[tokio::test]
async fn missing_rights_and_altered_tables_concern_the_account_not_the_record() {
    let tenant = with_customer().await;
    let request = WriteRequest { changes: fields([("phone", text("1"))]), ..update(1, 1) };
    tenant.remote.validate(&tenant.account, &tenant.world).await.unwrap();
    tenant.sql("alter table app.customers rename phone to telephone").await;
    assert!(matches!(tenant.write("customer", &request).await, WriteOutcome::Refused { .. }));
    let spec = tenant.spec("customer");
    let read = tenant.remote.read(&tenant.account, spec, &[want(1, Some(native(1)), vec![])]).await;
    let Err(RemoteError::Unreadable { failure, .. }) = &read[0] else { panic!("{read:?}") };
    assert!(failure.reason.contains("field phone"), "{failure}");
    // Mended, it works again without a restart.
    tenant.sql("alter table app.customers rename telephone to phone").await;
    landed(tenant.write("customer", &request).await);
}

#[tokio::test]
async fn a_write_that_cannot_finish_before_its_deadline_cannot_land() {
    let tenant = with_customer().await;
    let changes = fields([("phone", text("late"))]);
    let past = WriteRequest { deadline: SystemClock.now() - Duration::from_secs(1), changes: changes.clone(), ..update(1, 1) };
    assert_eq!(tenant.write("customer", &past).await, WriteOutcome::NotSent);
    let mut user = tenant.pool.begin().await.unwrap();
    sqlx::query("select from app.customers for update").execute(&mut *user).await.unwrap();
    let short = WriteRequest { deadline: SystemClock.now() + Duration::from_millis(200), changes, ..update(2, 1) };
    assert_eq!(tenant.write("customer", &short).await, WriteOutcome::NotSent);
    user.rollback().await.unwrap();
    let read = tenant.read("customer", &want(2, Some(native(1)), vec![short.write_id])).await;
    assert_eq!((read.landed, &read.fields["phone"]), (vec![], &Value::Null));
}

#[tokio::test]
async fn serialisation_failures_and_deadlocks_have_not_landed() {
    let tenant = with_customer().await;
    for state in ["40001", "40P01", "55P03"] {
        sqlx::raw_sql(AssertSqlSafe(format!(
            "create or replace function app.fail() returns trigger language plpgsql as $$
             begin raise exception 'x' using errcode = '{state}'; end $$;
             create or replace trigger fail before update on app.customers for each row execute function app.fail();"
        )))
        .execute(&tenant.pool)
        .await
        .unwrap();
        let request = WriteRequest { changes: fields([("phone", text(state))]), ..update(1, 1) };
        assert_eq!(tenant.write("customer", &request).await, WriteOutcome::NotSent, "{state}");
    }
}

#[tokio::test]
async fn a_connection_lost_before_commit_has_not_landed_and_one_lost_at_commit_is_unknown() {
    let tenant = with_customer().await;
    let request = WriteRequest { changes: fields([("phone", text("1"))]), ..update(1, 1) };
    tenant
        .sql(
            "create function app.die() returns trigger language plpgsql as $$
             begin perform pg_terminate_backend(pg_backend_pid()); return new; end $$;
             create trigger die before update on app.customers for each row execute function app.die();",
        )
        .await;
    assert_eq!(tenant.write("customer", &request).await, WriteOutcome::NotSent);
    tenant
        .sql(
            "drop trigger die on app.customers;
             create constraint trigger die after update on app.customers deferrable initially deferred
                 for each row execute function app.die();",
        )
        .await;
    assert_eq!(tenant.write("customer", &request).await, WriteOutcome::Unknown);
    tenant.sql("drop trigger die on app.customers").await;
    let read = tenant.read("customer", &want(1, Some(native(1)), vec![request.write_id])).await;
    assert!(read.landed.is_empty());
    landed(tenant.write("customer", &request).await);
}

/// Passes bytes to Postgres and back; while armed, the answer to a COMMIT is swallowed and the connection cut.
async fn answer_eating_proxy(upstream: String, armed: Arc<AtomicBool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut server = TcpStream::connect(&upstream).await.unwrap();
            let armed = Arc::clone(&armed);
            tokio::spawn(async move {
                let (mut asked, mut answered) = ([0; 65536], [0; 65536]);
                let mut committing = false;
                loop {
                    tokio::select! {
                        read = client.read(&mut asked) => match read {
                            Ok(n) if n > 0 => {
                                committing = armed.load(Relaxed) && asked[..n].windows(6).any(|word| word == b"COMMIT");
                                server.write_all(&asked[..n]).await.unwrap();
                            }
                            _ => return,
                        },
                        read = server.read(&mut answered) => match read {
                            Ok(n) if n > 0 && !committing => client.write_all(&answered[..n]).await.unwrap(),
                            _ => return,
                        },
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_write_whose_commit_landed_and_whose_answer_was_lost_is_unknown_then_found() {
    let tenant = with_customer().await;
    let server = tenant.db.url.split(['@', '/']).nth(3).unwrap().to_owned();
    let armed = Arc::new(AtomicBool::new(true));
    let proxy = answer_eating_proxy(server.clone(), Arc::clone(&armed)).await;
    let pool = suitex::connect(&tenant.db.url.replace(&server, &proxy.to_string()), 2).unwrap();
    let remote = remote_on(&tenant.account, pool);
    let spec = tenant.spec("customer");
    let request = WriteRequest { changes: fields([("phone", text("1"))]), ..update(1, 1) };
    let outcome = remote.write(&tenant.account, spec, std::slice::from_ref(&request)).await;
    assert_eq!(outcome, [WriteOutcome::Unknown]);
    armed.store(false, Relaxed);
    let read = remote.read(&tenant.account, spec, &[want(1, Some(native(1)), vec![request.write_id])]).await;
    let read = read[0].as_ref().unwrap();
    assert_eq!((&read.landed, read.token), (&vec![request.write_id], Some(2)));
    let again = remote.write(&tenant.account, spec, &[request]).await.remove(0);
    assert_eq!(landed(again).token, Some(2));
}

/// Adds one to the customer's points through the port until it has landed `times` times.
async fn add_points(tenant: &Tenant, worker: u128, times: usize) {
    let spec = tenant.spec("customer");
    let mut added = 0;
    let mut attempt = worker << 32;
    while added < times {
        attempt += 1;
        let now = tenant.read("customer", &want(1, Some(native(1)), vec![])).await;
        let Value::Int(points) = now.fields["custentity_loyalty_points"] else { panic!("points are a number") };
        let changes = fields([("custentity_loyalty_points", Value::Int(points + 1))]);
        let request = WriteRequest { write_id: rid(attempt).0, token: now.token, changes, ..update(1, 0) };
        match tenant.remote.write(&tenant.account, spec, &[request]).await.remove(0) {
            WriteOutcome::Ok { token, .. } => {
                assert_eq!(token, now.token.map(|token| token + 1));
                added += 1;
            }
            WriteOutcome::Stale => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_writes_and_users_edits_at_once_lose_nothing() {
    let tenant = with_customer().await;
    let user = async {
        for _ in 0..60 {
            tenant.sql("update app.customers set loyalty_points = loyalty_points + 1").await;
        }
    };
    tokio::join!(user, add_points(&tenant, 1, 20), add_points(&tenant, 2, 20));
    assert_eq!(tenant.one::<i64>("select loyalty_points from app.customers").await, 100);
    assert_eq!(tenant.one::<i64>("select count(*) from concord.outbox_events where write_id is not null").await, 40);
    assert_eq!(tenant.one::<i64>("select count(*) from concord.sync_inbox").await, 40);
    assert_eq!(tenant.one::<i64>("select row_version from app.customers").await, 101);
}

#[tokio::test]
async fn a_refusal_at_commit_is_a_refusal() {
    let tenant = with_customer().await;
    tenant
        .sql(
            "create table app.region (id text primary key);
             alter table app.customers add constraint region foreign key (phone) references app.region deferrable initially deferred",
        )
        .await;
    let request = WriteRequest { changes: fields([("phone", text("nowhere"))]), ..update(1, 1) };
    let outcome = tenant.write("customer", &request).await;
    assert!(matches!(&outcome, WriteOutcome::Invalid { code, .. } if code == "23503"), "{outcome:?}");
}

#[tokio::test]
async fn many_writes_keep_their_order_of_answers() {
    let tenant = tenant().await;
    tenant.sql("insert into app.items (item_id) select g::text from generate_series(1, 40) g").await;
    let writes: Vec<_> = (1..=40_u128)
        .map(|n| WriteRequest {
            native_id: Some(native(n)),
            token: Some(if n % 5 == 0 { 9 } else { 1 }),
            changes: fields([("description", text(&n.to_string()))]),
            ..write(n, WriteKind::Update)
        })
        .collect();
    let outcomes = tenant.remote.write(&tenant.account, tenant.spec("item"), &writes).await;
    assert_eq!(outcomes.len(), 40);
    for (n, outcome) in (1..=40_u128).zip(outcomes) {
        if n % 5 == 0 {
            assert_eq!(outcome, WriteOutcome::Stale, "{n}");
        } else {
            assert_eq!(landed(outcome).id, native(n));
        }
    }
}

#[tokio::test]
async fn ids_are_listed_page_by_page_in_numeric_order() {
    let tenant = tenant().await;
    tenant.sql("insert into app.items (item_id) select 'x' from generate_series(1, 25) g; delete from app.items where id = 7").await;
    let spec = tenant.spec("item");
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = tenant.remote.list(&tenant.account, spec, after.as_ref(), 10).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.clone());
        all.extend(page);
    }
    let expected: Vec<_> = (1..=25).filter(|n| *n != 7).map(native).collect();
    assert_eq!(all, expected);
}

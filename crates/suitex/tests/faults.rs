//! Whatever goes wrong, the answer to a write is exact or says that it is not.
#![allow(clippy::unwrap_used, reason = "tests")]

#[allow(dead_code)]
mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use model::{Clock, Remote, RemoteError, SystemClock, Value, WriteKind, WriteOutcome, WriteRequest};
use sqlx::AssertSqlSafe;
use support::{Tenant, fields, landed, native, remote_on, rid, text, update, want, with_customer, with_order};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

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
    let past =
        WriteRequest { deadline: SystemClock.now() - Duration::from_secs(1), changes: changes.clone(), ..update(1, 1) };
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
async fn a_paused_process_gives_the_tenants_rows_free_soon_after_its_deadline() {
    let tenant = with_customer().await;
    let mut user = tenant.pool.begin().await.unwrap();
    sqlx::query("select from app.customers for update").execute(&mut *user).await.unwrap();
    let deadline = SystemClock.now() + Duration::from_secs(1);
    let request = WriteRequest { deadline, changes: fields([("phone", text("ours"))]), ..update(1, 1) };
    let writes = [request];
    let mut writing = tenant.remote.write(&tenant.account, tenant.spec("customer"), &writes);
    loop {
        let waiting = tenant.one::<i64>(
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
        );
        tokio::select! {
            outcome = &mut writing => panic!("the row is locked, and yet: {outcome:?}"),
            waiting = waiting => if waiting == 1 { break },
        }
    }
    // From here on nobody drives the write: its update goes through and its transaction stays open.
    user.rollback().await.unwrap();
    let open = "select count(*) from pg_stat_activity
                 where datname = current_database() and state = 'idle in transaction' and query like 'update %'";
    while tenant.one::<i64>(open).await == 0 {}
    tenant.sql("update app.customers set phone = 'user'").await;
    assert_eq!(writing.await, [WriteOutcome::NotSent]);
    assert_eq!(tenant.one::<String>("select phone from app.customers").await, "user");
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

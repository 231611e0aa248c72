//! The outbox as the relay and the reconciler use it.
#![allow(clippy::unwrap_used, reason = "tests")]

#[allow(dead_code)]
mod support;

use std::time::Duration;

use model::{Operation, TypedValue};
use suitex::capture::{self, Bell};
use support::replay::rows;
use support::{native, tenant};

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
    tenant
        .sql("insert into app.contacts (customer_id, name) values (1, 'Ann'); update app.contacts set name = 'Bo'")
        .await;
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

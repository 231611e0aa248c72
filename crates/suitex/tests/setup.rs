//! Setting up a tenant: idempotent, and loud about tables that do not fit.
#![allow(clippy::unwrap_used, reason = "tests")]

#[allow(dead_code)]
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use model::spec::World;
use model::{AccountId, ManualClock, Timestamp};
use suitex::SuitexRemote;
use support::{bare_tenant, tenant};

#[tokio::test]
async fn everything_may_be_installed_again_and_by_several_at_once() {
    let tenant = tenant().await;
    tenant.sql("insert into app.customers (company_name) values ('a')").await;
    let (first, second) = tokio::join!(suitex::install_sample(&tenant.pool), suitex::install_sample(&tenant.pool));
    first.unwrap();
    second.unwrap();
    let (first, second) = tokio::join!(
        suitex::install_capture(&tenant.pool, &tenant.world),
        suitex::install_capture(&tenant.pool, &tenant.world)
    );
    first.unwrap();
    second.unwrap();
    tenant.sql("insert into app.customers (company_name) values ('b')").await;
    assert_eq!(tenant.one::<i64>("select count(*) from concord.outbox_events").await, 2);
}

#[tokio::test]
async fn installing_what_is_installed_takes_no_lock_on_the_tenants_tables() {
    let tenant = tenant().await;
    let mut user = tenant.pool.begin().await.unwrap();
    sqlx::query("insert into app.customers (company_name) values ('open')").execute(&mut *user).await.unwrap();
    // Creating a trigger would wait for the user's transaction, which is still open.
    suitex::install_capture(&tenant.pool, &tenant.world).await.unwrap();
    user.commit().await.unwrap();
}

#[tokio::test]
async fn the_migration_leaves_nothing_outside_its_own_schema() {
    let db = pgtest::empty().await;
    let pool = db.pool(2).await;
    suitex::migrate(&pool).await.unwrap();
    let outside: i64 = sqlx::query_scalar(
        "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where n.nspname not in ('concord', 'pg_catalog', 'information_schema', 'pg_toast')",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(outside, 0);
}

#[tokio::test]
async fn a_table_that_does_not_fit_is_named_with_field_column_found_and_accepted() {
    let cases = [
        ("alter table app.customers drop column email", "field email, column email of app.customers", "no such column"),
        (
            "alter table app.customers alter loyalty_points type text",
            "field custentity_loyalty_points, column loyalty_points",
            "found text; accepted: bigint",
        ),
        (
            "alter table app.customers alter credit_limit type numeric(15,1)",
            "field creditlimit",
            "with 1 digits after the point; accepted: numeric with at least 2",
        ),
        (
            "alter table app.customers alter created_on type timestamp",
            "field datecreated",
            "found timestamp without time zone; accepted: date",
        ),
        ("alter table app.customers rename row_version to v", "its version, column row_version", "no such column"),
        (
            "alter table app.sales_order_lines drop column rate",
            "field rate, column rate of app.sales_order_lines",
            "no such column",
        ),
        ("drop table app.sales_order_lines", "table app.sales_order_lines", "no such table"),
    ];
    for (change, place, found) in cases {
        let tenant = bare_tenant().await;
        tenant.sql(change).await;
        let message = tenant.remote.validate(&tenant.account, &tenant.world).await.unwrap_err().to_string();
        assert!(message.contains(place) && message.contains(found), "{change}: {message}");
        let message = suitex::install_capture(&tenant.pool, &tenant.world).await.unwrap_err().to_string();
        assert!(message.contains(place), "{change}: {message}");
    }
}

#[tokio::test]
async fn names_from_the_configuration_cannot_become_statements() {
    let tenant = bare_tenant().await;
    let sample = include_str!("../../model/src/sample.toml");
    let evil = sample.replacen("column = \"email\"", "column = 'email\"::text; drop table app.items; --'", 1);
    let world = World::parse(&evil).unwrap();
    let message = tenant.remote.validate(&tenant.account, &world).await.unwrap_err().to_string();
    assert!(message.contains("no such column"), "{message}");
    assert!(tenant.one::<bool>("select to_regclass('app.items') is not null").await);
}

#[tokio::test]
async fn a_tenant_that_is_down_is_told_at_use_not_at_start() {
    let account = AccountId::parse("A").unwrap();
    let pool = suitex::connect("postgres://nobody@127.0.0.1:1/none", 2).unwrap();
    let clock = Arc::new(ManualClock::at(Timestamp::UNIX_EPOCH));
    let remote = SuitexRemote::new(BTreeMap::from([(account.clone(), pool)]), clock);
    assert!(remote.validate(&account, &World::sample()).await.is_err());
    let message = suitex::connect("mysql://user:secret@host/db", 2).unwrap_err().to_string();
    assert!(!message.contains("secret"), "{message}");
}

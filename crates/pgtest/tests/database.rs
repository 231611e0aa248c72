//! What the README promises.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

use sqlx::{Connection, PgConnection};

#[tokio::test]
async fn each_database_is_fresh_and_migrated() {
    let (one, two) = (pgtest::database().await, pgtest::database().await);
    assert_ne!(one.name(), two.name());
    for db in [&one, &two] {
        let pool = db.pool(1).await;
        let lanes: i64 = sqlx::query_scalar("select count(*) from bus.lanes").fetch_one(&pool).await.unwrap();
        assert_eq!(lanes, 0);
        sqlx::query("insert into bus.lanes (subscription_id, lane) values (1, 'x')").execute(&pool).await.unwrap();
    }
}

#[tokio::test]
async fn a_database_is_gone_with_its_value() {
    let db = pgtest::empty().await;
    let (name, url) = (db.name().to_owned(), db.url.clone());
    let other = pgtest::empty().await;
    let mut held = PgConnection::connect(&url).await.unwrap();
    let tables: i64 = sqlx::query_scalar("select count(*) from pg_tables where schemaname = 'bus'")
        .fetch_one(&mut held)
        .await
        .unwrap();
    assert_eq!(tables, 0, "an empty database has no schema of ours");
    drop(db);
    let mut looking = PgConnection::connect(&other.url).await.unwrap();
    let there: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
        .bind(name)
        .fetch_one(&mut looking)
        .await
        .unwrap();
    assert!(!there);
}

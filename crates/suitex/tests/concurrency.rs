//! Many users at once: versions without gaps, and an outbox that loses nothing.
#![allow(clippy::unwrap_used, reason = "tests")]

#[allow(dead_code)]
mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::PgPool;
use suitex::capture;
use support::replay::assert_gap_free;
use support::tenant;

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
            2 => {
                "insert into app.sales_order_lines (sales_order_id, quantity) select $1, g from generate_series(0, $2) g"
            }
            3 => "update app.sales_order_lines set quantity = $2 where sales_order_id = $1",
            4 => "update app.sales_order_lines set quantity = $2 where id % 7 = $1",
            5 => "delete from app.sales_order_lines where sales_order_id = $1 and id % 4 = $2",
            6 => "update app.sales_order_lines set sales_order_id = 1 + $2 where sales_order_id = $1 and id % 3 = 0",
            7 => {
                "with p as (update app.sales_orders set status = $2::text where id = $1 returning id)
                  update app.sales_order_lines set rate = $2 where sales_order_id in (select id from p)"
            }
            _ => {
                "insert into app.sales_orders (id, memo) values ($1, 'up')
                  on conflict (id) do update set memo = excluded.memo || $2::text, row_version = excluded.row_version"
            }
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

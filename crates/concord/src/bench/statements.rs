//! Where Postgres' time goes, by statement (`pg_stat_statements`).

use anyhow::{Context, Result};
use serde_json::Value;
use sqlx::PgPool;

use super::report::Rows;

/// Statements shown.
const SHOWN: i64 = 25;

/// Begins to count from zero.
///
/// # Errors
/// When Postgres has no such extension.
pub async fn reset(pool: &PgPool) -> Result<()> {
    sqlx::raw_sql("create extension if not exists pg_stat_statements; select pg_stat_statements_reset()")
        .execute(pool)
        .await
        .context("pg_stat_statements is not installed with this Postgres")?;
    Ok(())
}

/// The statements that took most time since, with what each costs per event.
///
/// # Errors
/// When the database does not answer.
pub async fn top(pool: &PgPool, events: u64) -> Result<Rows> {
    let rows: Vec<Value> = sqlx::query_scalar(
        "select to_jsonb(s) from (
            select round(total_exec_time::numeric, 0) as total_ms,
                   round((total_exec_time * 1000 / greatest($2, 1))::numeric, 1) as us_per_event,
                   calls, rows, round(mean_exec_time::numeric, 2) as mean_ms,
                   round((wal_bytes / greatest($2, 1))::numeric, 0) as wal_bytes_per_event,
                   left(regexp_replace(query, '\\s+', ' ', 'g'), 160) as statement
            from pg_stat_statements where dbid = (select oid from pg_database where datname = current_database())
            order by total_exec_time desc limit $1) s order by s.total_ms desc",
    )
    .bind(SHOWN)
    .bind(i64::try_from(events).unwrap_or(i64::MAX))
    .fetch_all(pool)
    .await
    .context("statement counts")?;
    let columns = &["total_ms", "us_per_event", "calls", "rows", "mean_ms", "wal_bytes_per_event", "statement"];
    Ok(Rows { title: "statements", columns, rows })
}

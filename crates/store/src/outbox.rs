//! `sync.outbox`: everything that leaves Postgres, written in the transaction that made it necessary.
//!
//! `topic` is the logical topic (`events.merged`), not the broker's name for it; `ordering_key` is the record key (or a
//! lane, when a dead letter keeps the one it came with). The relay in chassis turns both into the broker's terms.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::types::Json;
use sqlx::{PgConnection, PgPool, Row};

use crate::StoreError;
use crate::error::expect_rows;
use crate::instant::interval;
use crate::records::Outgoing;

/// The channel on which inserting rings.
pub const CHANNEL: &str = "concord_outbox";
/// Key of the advisory lock that makes one relay the leading one.
const LEADER_LOCK: i64 = 0x6f75_7462_6f78;

/// A message to leave with the transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRow {
    /// Logical topic: `events.raw`, `events.merged`, `events.error` or `events.dlq`.
    pub topic: String,
    /// Record key or lane; `None` asks for no order.
    pub ordering_key: Option<String>,
    /// The payload.
    pub payload: Vec<u8>,
    /// Attributes, without NUL.
    pub attributes: BTreeMap<String, String>,
}

/// A row that has not been acknowledged by the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The row.
    pub id: i64,
    /// Logical topic.
    pub topic: String,
    /// Record key or lane.
    pub ordering_key: Option<String>,
    /// The payload.
    pub payload: Vec<u8>,
    /// Attributes.
    pub attributes: BTreeMap<String, String>,
}

/// Inserts rows in order and rings [`CHANNEL`] (heard when the caller's transaction commits); returns their ids.
pub async fn insert(conn: &mut PgConnection, rows: &[NewRow]) -> Result<Vec<i64>, StoreError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    insert_columns(
        conn,
        rows.iter().map(|r| r.topic.as_str()).collect(),
        rows.iter().map(|r| r.ordering_key.as_deref()).collect(),
        rows.iter().map(|r| r.payload.as_slice()).collect(),
        rows.iter().map(|r| Json(&r.attributes)).collect(),
        Duration::ZERO,
    )
    .await
}

/// Inserts messages of the core, in order; returns their ids. With `patience` a sweep leaves them that long to whoever
/// committed them; without, the relay is rung.
pub(crate) async fn insert_outgoing(
    conn: &mut PgConnection,
    rows: &[&Outgoing],
    patience: Duration,
) -> Result<Vec<i64>, StoreError> {
    insert_columns(
        conn,
        rows.iter().map(|r| r.topic).collect(),
        rows.iter().map(|r| Some(r.record_key.as_str())).collect(),
        rows.iter().map(|r| &*r.payload).collect(),
        rows.iter().map(|r| Json(&*r.attributes)).collect(),
        patience,
    )
    .await
}

async fn insert_columns(
    conn: &mut PgConnection,
    topics: Vec<&str>,
    keys: Vec<Option<&str>>,
    payloads: Vec<&[u8]>,
    attributes: Vec<Json<&BTreeMap<String, String>>>,
    patience: Duration,
) -> Result<Vec<i64>, StoreError> {
    let count = topics.len();
    let mut ids: Vec<i64> = sqlx::query_scalar(
        "with inserted as (
            insert into sync.outbox (topic, ordering_key, payload, attributes, sweep_at)
            select topic, key, payload, attributes, now() + $5
            from unnest($1::text[], $2::text[], $3::bytea[], $4::json[]) with ordinality
                as r (topic, key, payload, attributes, place)
            order by place
            returning id
         ), rung as materialized (
            select case when $5 = interval '0' then pg_notify('concord_outbox', '') is null end as silent
         )
         select id from inserted, rung where rung.silent is not true",
    )
    .bind(topics)
    .bind(keys)
    .bind(payloads)
    .bind(attributes)
    .bind(interval(patience))
    .fetch_all(conn)
    .await
    .map_err(StoreError::database("insert outbox rows"))?;
    ids.sort_unstable();
    expect_rows("insert outbox rows", count, ids.len() as u64)?;
    Ok(ids)
}

/// Locks up to `limit` unpublished rows, lowest id first, that are a sweep's to take, that no other relay holds and that
/// are at least `min_age` old. The locks live as long as the caller's transaction.
pub async fn claim(conn: &mut PgConnection, limit: i64, min_age: Duration) -> Result<Vec<Pending>, StoreError> {
    let rows = sqlx::query(
        "select id, topic, ordering_key, payload, attributes from sync.outbox
         where published_at is null and sweep_at <= now() and ($2 = interval '0' or created_at <= now() - $2)
         order by id limit $1 for update skip locked",
    )
    .bind(limit)
    .bind(interval(min_age))
    .fetch_all(conn)
    .await
    .map_err(StoreError::database("claim outbox rows"))?;
    rows.iter()
        .map(|row| {
            Ok(Pending {
                id: row.try_get(0)?,
                topic: row.try_get(1)?,
                ordering_key: row.try_get(2)?,
                payload: row.try_get(3)?,
                attributes: row.try_get::<Json<BTreeMap<String, String>>, _>(4)?.0,
            })
        })
        .collect::<Result<_, sqlx::Error>>()
        .map_err(StoreError::database("read outbox row"))
}

/// Removes rows that the broker has acknowledged: nobody needs them any more, and rewriting a row to say so costs more
/// than to take it away. Every id must be there and unpublished.
pub async fn remove_published(conn: &mut PgConnection, ids: &[i64]) -> Result<(), StoreError> {
    const WHAT: &str = "remove published outbox rows";
    finish(conn, WHAT, "delete from sync.outbox where id = any($1) and published_at is null", ids).await
}

/// Removes rows that whoever committed them has published; a sweep may have been faster with some.
pub async fn remove_committed(pool: &PgPool, ids: &[i64]) -> Result<(), StoreError> {
    sqlx::query("delete from sync.outbox where id = any($1) and published_at is null")
        .bind(ids)
        .execute(pool)
        .await
        .map(drop)
        .map_err(StoreError::database("remove published outbox rows"))
}

/// Marks rows as done with that can never be published; they stay to be looked at until [`delete_refused`]. Every id
/// must be there and unpublished.
pub async fn mark_refused(conn: &mut PgConnection, ids: &[i64]) -> Result<(), StoreError> {
    const WHAT: &str = "mark outbox rows as refused";
    finish(conn, WHAT, "update sync.outbox set published_at = now() where id = any($1) and published_at is null", ids)
        .await
}

async fn finish(conn: &mut PgConnection, what: &'static str, sql: &'static str, ids: &[i64]) -> Result<(), StoreError> {
    if ids.is_empty() {
        return Ok(());
    }
    let done = sqlx::query(sql).bind(ids).execute(conn).await.map_err(StoreError::database(what))?.rows_affected();
    expect_rows(what, ids.len(), done)
}

/// Deletes up to `limit` refused rows that were marked longer than `keep` ago; returns how many.
pub async fn delete_refused(pool: &PgPool, keep: Duration, limit: i64) -> Result<u64, StoreError> {
    let done = sqlx::query(
        // Materialized: a sub-select could be run once for every row, and each time find others.
        "with old as materialized (
            select id from sync.outbox where published_at < now() - $1 order by id limit $2 for update skip locked
         )
         delete from sync.outbox where id in (select id from old)",
    )
    .bind(interval(keep))
    .bind(limit)
    .execute(pool)
    .await
    .map_err(StoreError::database("delete refused outbox rows"))?;
    Ok(done.rows_affected())
}

/// Ends the caller's transaction from the server's side when the relay stops answering for `limit` while it holds rows,
/// so that a stopped process does not keep them from the others.
pub async fn limit_idle(conn: &mut PgConnection, limit: Duration) -> Result<(), StoreError> {
    sqlx::query("select set_config('idle_in_transaction_session_timeout', $1, true)")
        .bind(limit.as_millis().to_string())
        .execute(conn)
        .await
        .map_err(StoreError::database("limit the relay's transaction"))?;
    Ok(())
}

/// Tries to become the leading relay on this connection, for as long as the connection lives.
pub async fn try_lead(conn: impl sqlx::PgExecutor<'_>) -> Result<bool, StoreError> {
    sqlx::query_scalar("select pg_try_advisory_lock($1)")
        .bind(LEADER_LOCK)
        .fetch_one(conn)
        .await
        .map_err(StoreError::database("become the leading relay"))
}

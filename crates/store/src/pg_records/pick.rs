//! Which heads a transaction takes, and the locks on them.
//!
//! One statement each, over the partial indexes of `record_head`. Every condition is on the head itself: a row that
//! changed while we waited for it is judged again by its new columns.

use std::sync::LazyLock;

use model::{RecordRef, Side, Timestamp};
use sqlx::PgConnection;
use sqlx::postgres::PgRow;

use super::columns::{HeadRow, head_columns, prefix, read_head};
use crate::StoreError;
use crate::instant::Instant;
use crate::records::Pick;

static THESE: LazyLock<String> = LazyLock::new(|| format!("{} for update of h", these()));
static THESE_UNLOCKED: LazyLock<String> = LazyLock::new(these);
static DUE_MERGE: LazyLock<String> =
    LazyLock::new(|| due("merge_at", "and (h.lease_until is null or h.lease_until <= $2)"));
static DUE_WRITE: [LazyLock<String>; 2] = [
    LazyLock::new(|| due("sx_act_at", "and h.sx_inflight_write_id is null")),
    LazyLock::new(|| due("ns_act_at", "and h.ns_inflight_write_id is null")),
];
static OVERDUE: [LazyLock<String>; 2] = [
    LazyLock::new(|| due("sx_act_at", "and h.sx_inflight_write_id is not null")),
    LazyLock::new(|| due("ns_act_at", "and h.ns_inflight_write_id is not null")),
];

/// Postgres locks rows in the order they are sorted in, so whoever waits, waits in the same order.
fn these() -> String {
    format!(
        "select {} from unnest($1::text[], $2::text[], $3::uuid[]) as k (account_id, record_type, rid)
         join sync.record_head h using (account_id, record_type, rid)
         order by h.account_id, h.record_type, h.rid",
        head_columns()
    )
}

/// Heads of which `column` has come, per account the oldest first; locked ones are somebody else's.
fn due(column: &str, condition: &str) -> String {
    format!(
        "select {} from unnest($1::text[]) as a (account_id)
         cross join lateral (
            select * from sync.record_head h
            where h.account_id = a.account_id and h.{column} <= $2 {condition}
            order by h.{column} limit $3 for update of h skip locked
         ) h",
        head_columns()
    )
}

/// Locks the heads of a pick and reads them, in lock order.
pub(super) async fn lock_heads(conn: &mut PgConnection, pick: &Pick) -> Result<Vec<HeadRow>, StoreError> {
    let (sql, accounts, limit, now) = match pick {
        Pick::These(records) => return fetch_these(conn, THESE.as_str(), records).await,
        Pick::DueMerge { accounts, per_account, now } => (DUE_MERGE.as_str(), accounts, per_account, now),
        Pick::DueWrite { accounts, side, per_account, now } => (of(&DUE_WRITE, *side), accounts, per_account, now),
        Pick::Overdue { accounts, side, per_account, now } => (of(&OVERDUE, *side), accounts, per_account, now),
    };
    let mut accounts: Vec<&str> = accounts.iter().map(model::AccountId::as_str).collect();
    accounts.sort_unstable();
    accounts.dedup();
    let rows = sqlx::query(sql)
        .bind(accounts)
        .bind(Instant(*now))
        .bind(i64::try_from(*limit).unwrap_or(i64::MAX))
        .fetch_all(conn)
        .await
        .map_err(StoreError::database("pick records"))?;
    let mut heads = read_all(&rows)?;
    heads.sort_unstable_by(|a, b| a.record.key.cmp(&b.record.key));
    Ok(heads)
}

/// Reads heads without locking them, in lock order.
pub(super) async fn read_heads(conn: &mut PgConnection, records: &[RecordRef]) -> Result<Vec<HeadRow>, StoreError> {
    fetch_these(conn, THESE_UNLOCKED.as_str(), records).await
}

fn of(statements: &'static [LazyLock<String>; 2], side: Side) -> &'static str {
    match side {
        Side::Suitex => statements[0].as_str(),
        Side::Netsuite => statements[1].as_str(),
    }
}

async fn fetch_these(
    conn: &mut PgConnection,
    sql: &'static str,
    records: &[RecordRef],
) -> Result<Vec<HeadRow>, StoreError> {
    let mut records: Vec<&RecordRef> = records.iter().collect();
    records.sort_unstable();
    records.dedup();
    let rows = sqlx::query(sql)
        .bind(records.iter().map(|r| r.account.as_str()).collect::<Vec<_>>())
        .bind(records.iter().map(|r| r.record_type.as_str()).collect::<Vec<_>>())
        .bind(records.iter().map(|r| r.rid.0).collect::<Vec<_>>())
        .fetch_all(conn)
        .await
        .map_err(StoreError::database("lock records"))?;
    read_all(&rows)
}

fn read_all(rows: &[PgRow]) -> Result<Vec<HeadRow>, StoreError> {
    rows.iter().map(|row| read_head(row).map(|(head, _)| head)).collect()
}

/// How many due records of an account are looked at to find the first whose lease is free.
const LOOK_AHEAD: i64 = 1_000;

/// The earliest instant at which a pick may find work.
pub(super) async fn next_due(
    conn: &mut PgConnection,
    accounts: &[&str],
    side: Option<Side>,
) -> Result<Option<Timestamp>, StoreError> {
    let sql = match side {
        None => NEXT_MERGE,
        Some(Side::Suitex) => NEXT_WRITE[0].as_str(),
        Some(Side::Netsuite) => NEXT_WRITE[1].as_str(),
    };
    let query = sqlx::query_scalar::<_, Option<Instant>>(sql).bind(accounts);
    let query = if side.is_none() { query.bind(LOOK_AHEAD) } else { query };
    let due = query.fetch_one(conn).await.map_err(StoreError::database("find the next due record"))?;
    Ok(due.map(|at| at.0))
}

/// A leased record is due when its lease ends. With more than [`LOOK_AHEAD`] leased ones in front the answer may come
/// late by at most the length of a lease.
const NEXT_MERGE: &str = "
    select min(greatest(h.merge_at, h.lease_until)) from unnest($1::text[]) as a (account_id)
    cross join lateral (
        select h.merge_at, h.lease_until from sync.record_head h
        where h.account_id = a.account_id and h.merge_at is not null order by h.merge_at limit $2
    ) h";

static NEXT_WRITE: [LazyLock<String>; 2] =
    [LazyLock::new(|| next_write(Side::Suitex)), LazyLock::new(|| next_write(Side::Netsuite))];

fn next_write(side: Side) -> String {
    format!(
        "select min(h.act_at) from unnest($1::text[]) as a (account_id)
         cross join lateral (
            select h.{0}_act_at as act_at from sync.record_head h
            where h.account_id = a.account_id and h.{0}_act_at is not null order by h.{0}_act_at limit 1
         ) h",
        prefix(side)
    )
}

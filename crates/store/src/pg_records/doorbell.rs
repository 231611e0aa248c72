//! Storing rung doorbells: only the columns a hint moves, so that intake rewrites narrow rows.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use model::record::Windows;
use model::{RecordRef, Side, Timestamp};
use sqlx::PgConnection;

use super::WORK_CHANNEL;
use super::columns::prefix;
use super::intake::Bell;
use super::load::signed;
use crate::StoreError;
use crate::error::expect_rows;
use crate::instant::{Instant, maybe};

/// SQL for a word of the work channel: for whom, and when the first of it falls due in milliseconds since 1970. Null when
/// nothing does.
pub(super) fn due_word(word: &str, at: &str) -> String {
    format!("'{word}=' || floor(extract(epoch from {at}) * 1000)::bigint")
}

/// A rung side must not be written to before it was looked at (R7): only a write in flight keeps its time.
fn ring_sql(side: Side) -> String {
    let p = prefix(side);
    format!(
        "with rung as (
            update sync.record_head h
            set {p}_hint_seq = k.seq, {p}_dirty_seq = k.seq, {p}_dirty_since = k.dirty_since,
                {p}_last_hint_at = k.last_hint_at, {p}_hints = k.hints, {p}_urgent = k.urgent,
                {p}_must_read = k.must_read, {p}_ready_at = k.ready_at, merge_at = k.merge_at,
                {p}_act_at = case when {p}_inflight_write_id is not null then {p}_act_at end
            from unnest($1::text[], $2::text[], $3::uuid[], $4::bigint[], $5::timestamptz[], $6::timestamptz[],
                        $7::integer[], $8::boolean[], $9::boolean[], $10::timestamptz[], $11::timestamptz[])
                as k (account_id, record_type, rid, seq, dirty_since, last_hint_at, hints, urgent, must_read, ready_at,
                      merge_at)
            where h.account_id = k.account_id and h.record_type = k.record_type and h.rid = k.rid
            returning h.merge_at
         )
         select count(*), case when count(merge_at) > 0 then pg_notify('{WORK_CHANNEL}', {})::text end from rung",
        due_word("merge", "min(merge_at)")
    )
}

static RING: [LazyLock<String>; 2] =
    [LazyLock::new(|| ring_sql(Side::Suitex)), LazyLock::new(|| ring_sql(Side::Netsuite))];

/// Stores the doorbells of a batch and makes its new records.
pub(super) async fn save(
    conn: &mut PgConnection,
    bells: &BTreeMap<RecordRef, Bell>,
    windows: &Windows,
) -> Result<(), StoreError> {
    let all: Vec<Due<'_>> = bells.iter().map(|(record, bell)| Due::of(record, bell, windows)).collect();
    let new: Vec<&Due<'_>> = all.iter().filter(|due| due.bell.new).collect();
    insert_heads(conn, &new).await?;
    for (side, sql) in Side::BOTH.into_iter().zip(&RING) {
        let rung: Vec<&Due<'_>> = all.iter().filter(|due| due.bell.rung[side]).collect();
        update_side(conn, side, sql.as_str(), &rung).await?;
    }
    Ok(())
}

/// A record with the times at which its sides are to be looked at.
struct Due<'a> {
    record: &'a RecordRef,
    bell: &'a Bell,
    ready_at: model::PerSide<Option<Timestamp>>,
    merge_at: Option<Timestamp>,
}

impl<'a> Due<'a> {
    fn of(record: &'a RecordRef, bell: &'a Bell, windows: &Windows) -> Self {
        let mut ready_at = model::PerSide::default();
        for side in Side::BOTH {
            let shadow = &bell.head.record.shadows[side];
            ready_at[side] = match (bell.rung[side], bell.locked || shadow.inflight.is_some()) {
                (true, false) => shadow.due_at(windows),
                (true, true) => None,
                (false, _) => shadow.ready_at.filter(|_| shadow.dirty()),
            };
        }
        let due = Side::BOTH.into_iter().filter_map(|side| ready_at[side]).min();
        Self { record, bell, ready_at, merge_at: due.filter(|_| !bell.locked) }
    }
}

/// New records stand with their native id; the doorbell is rung by the statement that follows.
async fn insert_heads(conn: &mut PgConnection, new: &[&Due<'_>]) -> Result<(), StoreError> {
    if new.is_empty() {
        return Ok(());
    }
    let native_id = |due: &&Due<'_>, side: Side| due.bell.head.record.shadows[side].native_id.clone().map(String::from);
    let inserted = sqlx::query(
        "insert into sync.record_head (account_id, record_type, rid, sx_native_id, ns_native_id)
         select * from unnest($1::text[], $2::text[], $3::uuid[], $4::text[], $5::text[])",
    )
    .bind(new.iter().map(|due| due.record.account.as_str()).collect::<Vec<_>>())
    .bind(new.iter().map(|due| due.record.record_type.as_str()).collect::<Vec<_>>())
    .bind(new.iter().map(|due| due.record.rid.0).collect::<Vec<_>>())
    .bind(new.iter().map(|due| native_id(due, Side::Suitex)).collect::<Vec<_>>())
    .bind(new.iter().map(|due| native_id(due, Side::Netsuite)).collect::<Vec<_>>())
    .execute(conn)
    .await
    .map_err(StoreError::database("insert new records"))?
    .rows_affected();
    expect_rows("insert new records", new.len(), inserted)
}

async fn update_side(
    conn: &mut PgConnection,
    side: Side,
    sql: &'static str,
    rung: &[&Due<'_>],
) -> Result<(), StoreError> {
    if rung.is_empty() {
        return Ok(());
    }
    let (updated, _): (i64, Option<String>) = sqlx::query_as(sql)
        .bind(rung.iter().map(|due| due.record.account.as_str()).collect::<Vec<_>>())
        .bind(rung.iter().map(|due| due.record.record_type.as_str()).collect::<Vec<_>>())
        .bind(rung.iter().map(|due| due.record.rid.0).collect::<Vec<_>>())
        .bind(rung.iter().map(|due| signed(due.bell.head.record.shadows[side].hint_seq)).collect::<Vec<_>>())
        .bind(
            rung.iter()
                .map(|due| maybe(due.bell.head.record.shadows[side].dirty_since))
                .collect::<Vec<Option<Instant>>>(),
        )
        .bind(rung.iter().map(|due| maybe(due.bell.head.record.shadows[side].last_hint_at)).collect::<Vec<_>>())
        .bind(rung.iter().map(|due| due.bell.head.record.shadows[side].hints.cast_signed()).collect::<Vec<_>>())
        .bind(rung.iter().map(|due| due.bell.head.record.shadows[side].urgent).collect::<Vec<_>>())
        .bind(rung.iter().map(|due| due.bell.head.record.shadows[side].must_read).collect::<Vec<_>>())
        .bind(rung.iter().map(|due| maybe(due.ready_at[side])).collect::<Vec<_>>())
        .bind(rung.iter().map(|due| maybe(due.merge_at)).collect::<Vec<_>>())
        .fetch_one(conn)
        .await
        .map_err(StoreError::database("ring doorbells"))?;
    expect_rows("ring doorbells", rung.len(), u64::try_from(updated).unwrap_or(0))
}

//! Reading without locks: who is who, and the log of a record.

use std::collections::HashMap;
use std::sync::LazyLock;

use model::record::Entry;
use model::{AccountId, NativeId, RecordRef, RecordType, Rid, RulesId, Side};
use sqlx::PgPool;

use super::columns::prefix;
use super::load::read_hint;
use crate::StoreError;
use crate::cells::{Cells, corrupt};
use crate::records::{Link, LogRow};

/// Records that answer a natural key at most.
const MAX_CANDIDATES: i64 = 10;

/// The records native ids belong to. Links never name a record that became another: they were handed over with it.
pub(super) async fn links(
    pool: &PgPool,
    account: &AccountId,
    side: Side,
    ids: &[(RecordType, NativeId)],
) -> Result<HashMap<(RecordType, NativeId), Link>, StoreError> {
    let rows = sqlx::query(
        "select k.place, l.rid, h.formerly
         from unnest($3::text[], $4::text[]) with ordinality as k (record_type, native_id, place)
         join sync.links l
           on l.account_id = $1 and l.record_type = k.record_type and l.side = $2 and l.native_id = k.native_id
         join sync.record_head h on h.account_id = $1 and h.record_type = k.record_type and h.rid = l.rid",
    )
    .bind(account.as_str())
    .bind(side.as_str())
    .bind(ids.iter().map(|(record_type, _)| record_type.as_str()).collect::<Vec<_>>())
    .bind(ids.iter().map(|(_, id)| id.as_str()).collect::<Vec<_>>())
    .fetch_all(pool)
    .await
    .map_err(StoreError::database("look up native ids"))?;
    rows.iter()
        .map(|row| {
            let mut cells = Cells::of(row);
            let id = ids[ordinal(&mut cells, ids.len())?].clone();
            let rid = Rid(cells.next()?);
            let formerly = cells.next::<Option<Vec<uuid::Uuid>>>()?.unwrap_or_default();
            Ok((id, Link { rid, formerly: formerly.into_iter().map(Rid).collect() }))
        })
        .collect()
}

/// Current native ids of records.
pub(super) async fn native_ids(
    pool: &PgPool,
    account: &AccountId,
    side: Side,
    rids: &[(RecordType, Rid)],
) -> Result<HashMap<(RecordType, Rid), NativeId>, StoreError> {
    let sql = match side {
        Side::Suitex => SUITEX_IDS.as_str(),
        Side::Netsuite => NETSUITE_IDS.as_str(),
    };
    let rows = sqlx::query(sql)
        .bind(account.as_str())
        .bind(rids.iter().map(|(record_type, _)| record_type.as_str()).collect::<Vec<_>>())
        .bind(rids.iter().map(|(_, rid)| rid.0).collect::<Vec<_>>())
        .fetch_all(pool)
        .await
        .map_err(StoreError::database("look up records' native ids"))?;
    rows.iter()
        .map(|row| {
            let mut cells = Cells::of(row);
            let key = rids[ordinal(&mut cells, rids.len())?].clone();
            let id: &str = cells.next()?;
            Ok((key, NativeId::parse(id).map_err(|bad| corrupt("native_id", id, bad.accepted))?))
        })
        .collect()
}

static SUITEX_IDS: LazyLock<String> = LazyLock::new(|| native_ids_sql(Side::Suitex));
static NETSUITE_IDS: LazyLock<String> = LazyLock::new(|| native_ids_sql(Side::Netsuite));

fn native_ids_sql(side: Side) -> String {
    let p = prefix(side);
    // A record that became another may have become it by way of a third.
    format!(
        "with recursive heirs as (
             select k.place, k.record_type, h.merged_into, h.{p}_native_id as native_id
             from unnest($2::text[], $3::uuid[]) with ordinality as k (record_type, rid, place)
             join sync.record_head h on h.account_id = $1 and h.record_type = k.record_type and h.rid = k.rid
             union all
             select k.place, k.record_type, h.merged_into, h.{p}_native_id
             from heirs k
             join sync.record_head h on h.account_id = $1 and h.record_type = k.record_type and h.rid = k.merged_into
         )
         select place, native_id from heirs where merged_into is null and native_id is not null"
    )
}

fn ordinal(cells: &mut Cells<'_>, len: usize) -> Result<usize, StoreError> {
    let place: i64 = cells.next()?;
    usize::try_from(place - 1).ok().filter(|at| *at < len).ok_or_else(|| corrupt("place", "?", "no such row"))
}

/// Living records with a natural key, in rid order.
pub(super) async fn candidates(
    pool: &PgPool,
    account: &AccountId,
    record_type: &RecordType,
    natural_key: &str,
) -> Result<Vec<Rid>, StoreError> {
    let rids: Vec<uuid::Uuid> = sqlx::query_scalar(
        "select rid from sync.record_head
         where account_id = $1 and record_type = $2 and natural_key = $3 and natural_key is not null
           and alive and merged_into is null
         order by rid limit $4",
    )
    .bind(account.as_str())
    .bind(record_type.as_str())
    .bind(natural_key)
    .bind(MAX_CANDIDATES)
    .fetch_all(pool)
    .await
    .map_err(StoreError::database("find candidates"))?;
    Ok(rids.into_iter().map(Rid).collect())
}

/// What [`read_log_row`] reads of `sync.event_log`.
pub(crate) const LOG_COLUMNS: &str = "event_id, record_seq, received_at, rules, entry, record_id, side, coalesce(seq, 0), \
     operation, source, changes, remote_version, write_id, occurred_at";

static LOG: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select {LOG_COLUMNS} from sync.event_log
         where account_id = $1 and rid = $2 and record_seq is not null and record_type = $3
         order by record_seq"
    )
});

/// The entries of a record in the order they were folded.
pub(super) async fn log(pool: &PgPool, record: &RecordRef) -> Result<Vec<LogRow>, StoreError> {
    let rows = sqlx::query(LOG.as_str())
        .bind(record.account.as_str())
        .bind(record.rid.0)
        .bind(record.record_type.as_str())
        .fetch_all(pool)
        .await
        .map_err(StoreError::database("read the log"))?;
    rows.iter().map(|row| read_log_row(&mut Cells::of(row), record.rid)).collect()
}

/// Reads [`LOG_COLUMNS`].
pub(crate) fn read_log_row(cells: &mut Cells<'_>, rid: Rid) -> Result<LogRow, StoreError> {
    let (event_id, record_seq) = (cells.next()?, cells.count()?);
    let at = cells.instant()?.ok_or_else(|| corrupt("received_at", &rid.to_string(), "an entry has a time"))?;
    let rules = cells.next::<Option<i32>>()?.map(RulesId);
    let entry = match cells.maybe_json()? {
        Some(entry) => entry,
        // The hint is its own entry.
        None => Entry::Observation(read_hint(cells, event_id, at)?.observation()),
    };
    Ok(LogRow { event_id, record_seq, entry, at, rules })
}

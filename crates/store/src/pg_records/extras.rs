//! What few records have: write intents, conflicts, locks, overrides.

use model::Side;
use model::record::{Conflict, Intent, Lock, Resolution};
use sqlx::PgConnection;

use super::load::signed;
use super::save::Change;
use crate::StoreError;
use crate::instant::{Instant, maybe};
use crate::json_text::{self, JsonText};

const NUL: &str = "a value holds a NUL, which Postgres has no text for";

/// Stores claims and what became of them.
pub(super) async fn save_intents(conn: &mut PgConnection, changes: &[Change<'_>]) -> Result<(), StoreError> {
    let mut rows = Vec::new();
    for change in changes {
        let known = &change.before().unresolved;
        // What ended goes first: only one write may be in flight, and the next may have been claimed in the same patch.
        let touched = change.patch.resolved.iter().chain(&change.after().unresolved);
        for intent in touched.filter(|intent| !known.contains(intent)) {
            rows.push(IntentRow::of(change, intent)?);
        }
    }
    rows.sort_by_key(|row| row.intent.status.unresolved());
    let (ended, standing) = rows.split_at(rows.partition_point(|row| !row.intent.status.unresolved()));
    upsert_intents(conn, ended).await?;
    upsert_intents(conn, standing).await?;
    let renamed = |row: &IntentRow<'_>| {
        let before = row.change.before().unresolved.iter().find(|known| known.write_id == row.intent.write_id);
        before.is_some_and(|known| known.changes != row.intent.changes || known.pre != row.intent.pre)
    };
    rename_intents(conn, rows.iter().filter(|row| renamed(row)).collect()).await
}

/// Stores what writes say where a reference in them turned out to name another record, which is rare.
async fn rename_intents(conn: &mut PgConnection, rows: Vec<&IntentRow<'_>>) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "update sync.idempotency_keys i set changes = w.changes, pre = w.pre
         from unnest($1::text[], $2::uuid[], $3::json[], $4::json[]) as w (account_id, write_id, changes, pre)
         where i.account_id = w.account_id and i.write_id = w.write_id",
    )
    .bind(rows.iter().map(|r| r.change.key().account.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.intent.write_id).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| JsonText(&r.changes)).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| JsonText(&r.pre)).collect::<Vec<_>>())
    .execute(conn)
    .await
    .map(drop)
    .map_err(StoreError::database("rename references in write intents"))
}

struct IntentRow<'a> {
    change: Change<'a>,
    intent: &'a Intent,
    changes: String,
    pre: String,
}

impl<'a> IntentRow<'a> {
    fn of(change: &Change<'a>, intent: &'a Intent) -> Result<Self, StoreError> {
        let clean = |fields| json_text::write_clean(fields).ok_or_else(|| change.refused(NUL));
        Ok(Self { change: *change, intent, changes: clean(&intent.changes)?, pre: clean(&intent.pre)? })
    }
}

async fn upsert_intents(conn: &mut PgConnection, rows: &[IntentRow<'_>]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into sync.idempotency_keys as i (account_id, record_type, rid, write_id, side, kind, stamp, expect,
             changes, pre, version, status, deadline, native_id, generation, occurred_at, settled_at)
         select account_id, record_type, rid, write_id, side, kind, stamp, expect, changes, pre, version,
                status, deadline, native_id, generation, occurred_at,
                case when status not in ('in_flight', 'unknown') then now() end
         from unnest($1::text[], $2::text[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::bigint[], $8::bigint[],
                     $9::json[], $10::json[], $11::bigint[], $12::text[], $13::timestamptz[], $14::text[],
                     $15::integer[], $16::timestamptz[])
            as w (account_id, record_type, rid, write_id, side, kind, stamp, expect, changes, pre, version, status,
                  deadline, native_id, generation, occurred_at)
         on conflict (account_id, write_id) do update
            set status = excluded.status, deadline = excluded.deadline, native_id = excluded.native_id,
                settled_at = excluded.settled_at
            where i.rid = excluded.rid",
    )
    .bind(rows.iter().map(|r| r.change.key().account.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.change.key().record_type.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.change.key().rid.0).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.intent.write_id).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.intent.side.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.intent.kind.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| signed(r.intent.stamp)).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| signed(r.intent.expect)).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| JsonText(&r.changes)).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| JsonText(&r.pre)).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| signed(r.intent.version)).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.intent.status.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| Instant(r.intent.deadline)).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.intent.native_id.as_ref().map(model::NativeId::as_str)).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.intent.generation.cast_signed()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| maybe(r.intent.occurred_at)).collect::<Vec<_>>())
    .execute(conn)
    .await
    .map(drop)
    .map_err(StoreError::database("store write intents"))
}

/// Stores conflicts: closed ones first, since one conflict per field may be open.
pub(super) async fn save_conflicts(conn: &mut PgConnection, changes: &[Change<'_>]) -> Result<(), StoreError> {
    let closed = changes.iter().flat_map(|change| {
        change.patch.closed.iter().map(move |(conflict, resolution)| (change, conflict, resolution.as_ref()))
    });
    upsert_conflicts(conn, &closed.collect::<Vec<_>>()).await?;
    let open = changes.iter().flat_map(|change| {
        let known = &change.before().conflicts;
        let changed = change.after().conflicts.iter().filter(|conflict| !known.contains(conflict));
        changed.map(move |conflict| (change, conflict, None))
    });
    upsert_conflicts(conn, &open.collect::<Vec<_>>()).await
}

type ConflictRow<'a> = (&'a Change<'a>, &'a Conflict, Option<&'a Resolution>);

async fn upsert_conflicts(conn: &mut PgConnection, rows: &[ConflictRow<'_>]) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut texts = Vec::with_capacity(rows.len());
    for (change, conflict, resolution) in rows {
        let clean = |text: Option<String>| text.ok_or_else(|| change.refused(NUL));
        texts.push((
            clean(json_text::write_clean(&conflict.base))?,
            conflict.suitex.as_ref().map(|values| clean(json_text::write_clean(values))).transpose()?,
            conflict.netsuite.as_ref().map(|values| clean(json_text::write_clean(values))).transpose()?,
            resolution.map(|resolution| clean(json_text::write_clean(resolution))).transpose()?,
        ));
    }
    sqlx::query(
        "insert into sync.conflicts as c (account_id, record_type, rid, conflict_id, field, reason, base_version, base,
             our_changes, remote_snapshot, remote_version, rev, our_event_id, status, resolution, created_ts, closed_at)
         select account_id, record_type, rid, conflict_id, field, reason, base_version, base::jsonb, our_changes::jsonb,
                remote_snapshot::jsonb, remote_version, rev, our_event_id, status, resolution::jsonb, created_ts,
                case when status <> 'open' then now() end
         from unnest($1::text[], $2::text[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::bigint[], $8::text[],
                     $9::text[], $10::text[], $11::bigint[], $12::integer[], $13::uuid[], $14::text[], $15::text[],
                     $16::timestamptz[])
            as k (account_id, record_type, rid, conflict_id, field, reason, base_version, base, our_changes,
                  remote_snapshot, remote_version, rev, our_event_id, status, resolution, created_ts)
         on conflict (account_id, conflict_id) do update
            set base = excluded.base, our_changes = excluded.our_changes, remote_snapshot = excluded.remote_snapshot,
                remote_version = excluded.remote_version, rev = excluded.rev, status = excluded.status,
                reason = excluded.reason, resolution = excluded.resolution, closed_at = excluded.closed_at
            where c.rid = excluded.rid and c.status = 'open'",
    )
    .bind(rows.iter().map(|(change, ..)| change.key().account.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(change, ..)| change.key().record_type.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(change, ..)| change.key().rid.0).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, conflict, _)| conflict.conflict_id).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, conflict, _)| conflict.field.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, conflict, _)| conflict.reason.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, conflict, _)| signed(conflict.base_version)).collect::<Vec<_>>())
    .bind(texts.iter().map(|(base, ..)| base.as_str()).collect::<Vec<_>>())
    .bind(texts.iter().map(|(_, suitex, ..)| suitex.as_deref()).collect::<Vec<_>>())
    .bind(texts.iter().map(|(_, _, netsuite, _)| netsuite.as_deref()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(change, ..)| change.after().shadows[Side::Netsuite].token).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, conflict, _)| conflict.rev.cast_signed()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, conflict, _)| conflict.event_id).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, conflict, _)| conflict.status.as_str()).collect::<Vec<_>>())
    .bind(texts.iter().map(|(.., resolution)| resolution.as_deref()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, conflict, _)| Instant(conflict.created_at)).collect::<Vec<_>>())
    .execute(conn)
    .await
    .map(drop)
    .map_err(StoreError::database("store conflicts"))
}

/// Stores locks: those that left the record are released, others set.
pub(super) async fn save_locks(conn: &mut PgConnection, changes: &[Change<'_>]) -> Result<(), StoreError> {
    let stands = |locks: &[Lock], lock: &Lock| locks.iter().any(|other| other.lock_id == lock.lock_id);
    let released: Vec<_> = changes
        .iter()
        .flat_map(|change| change.before().locks.iter().map(move |lock| (change, lock)))
        .filter(|(change, lock)| !stands(&change.after().locks, lock))
        .collect();
    if !released.is_empty() {
        sqlx::query(
            "update sync.record_lock l set released_at = now()
             from unnest($1::text[], $2::uuid[]) as k (account_id, lock_id)
             where l.account_id = k.account_id and l.lock_id = k.lock_id and l.released_at is null",
        )
        .bind(released.iter().map(|(change, _)| change.key().account.as_str()).collect::<Vec<_>>())
        .bind(released.iter().map(|(_, lock)| lock.lock_id).collect::<Vec<_>>())
        .execute(&mut *conn)
        .await
        .map_err(StoreError::database("release locks"))?;
    }
    let set: Vec<_> = changes
        .iter()
        .flat_map(|change| change.after().locks.iter().map(move |lock| (change, lock)))
        .filter(|(change, lock)| !change.before().locks.contains(lock))
        .collect();
    insert_locks(conn, &set).await
}

async fn insert_locks(conn: &mut PgConnection, set: &[(&Change<'_>, &Lock)]) -> Result<(), StoreError> {
    if set.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into sync.record_lock as l
            (account_id, record_type, rid, lock_id, field, reason, conflict_id, note, locked_at)
         select * from unnest($1::text[], $2::text[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::uuid[],
                              $8::text[], $9::timestamptz[])
         on conflict (account_id, lock_id) do update
            set field = excluded.field, reason = excluded.reason, conflict_id = excluded.conflict_id,
                note = excluded.note, locked_at = excluded.locked_at, released_at = null, released_by = null
            where l.rid = excluded.rid",
    )
    .bind(set.iter().map(|(change, _)| change.key().account.as_str()).collect::<Vec<_>>())
    .bind(set.iter().map(|(change, _)| change.key().record_type.as_str()).collect::<Vec<_>>())
    .bind(set.iter().map(|(change, _)| change.key().rid.0).collect::<Vec<_>>())
    .bind(set.iter().map(|(_, lock)| lock.lock_id).collect::<Vec<_>>())
    .bind(set.iter().map(|(_, lock)| lock.field.as_deref()).collect::<Vec<_>>())
    .bind(set.iter().map(|(_, lock)| lock.reason.as_str()).collect::<Vec<_>>())
    .bind(set.iter().map(|(_, lock)| lock.conflict_id).collect::<Vec<_>>())
    .bind(set.iter().map(|(_, lock)| lock.note.as_str()).collect::<Vec<_>>())
    .bind(set.iter().map(|(_, lock)| Instant(lock.locked_at)).collect::<Vec<_>>())
    .execute(conn)
    .await
    .map(drop)
    .map_err(StoreError::database("set locks"))
}

/// Stores values that were lost.
pub(super) async fn insert_overrides(conn: &mut PgConnection, changes: &[Change<'_>]) -> Result<(), StoreError> {
    let mut rows = Vec::new();
    for change in changes {
        for lost in &change.patch.overrides {
            let clean = |value| json_text::write_clean(value).ok_or_else(|| change.refused(NUL));
            rows.push((change, lost, clean(&lost.losing_value)?, clean(&lost.winning_value)?));
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    let told_at = |change: &Change<'_>| maybe(change.patch.log.last().map(|row| row.at));
    sqlx::query(
        "insert into sync.overrides (account_id, record_type, rid, version, field, losing_value, losing_side,
             winning_value, policy, event_id, created_at)
         select account_id, record_type, rid, version, field, losing_value::jsonb, losing_side, winning_value::jsonb,
                policy, event_id, coalesce(created_at, now())
         from unnest($1::text[], $2::text[], $3::uuid[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[],
                     $9::text[], $10::uuid[], $11::timestamptz[])
            as o (account_id, record_type, rid, version, field, losing_value, losing_side, winning_value, policy,
                  event_id, created_at)",
    )
    .bind(rows.iter().map(|(change, ..)| change.key().account.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(change, ..)| change.key().record_type.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(change, ..)| change.key().rid.0).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, lost, ..)| signed(lost.version)).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, lost, ..)| lost.field.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, _, losing, _)| losing.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, lost, ..)| lost.losing_side.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(.., winning)| winning.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, lost, ..)| lost.policy.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, lost, ..)| lost.event_id).collect::<Vec<_>>())
    .bind(rows.iter().map(|(change, ..)| told_at(change)).collect::<Vec<_>>())
    .execute(conn)
    .await
    .map(drop)
    .map_err(StoreError::database("record lost values"))
}

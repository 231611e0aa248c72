//! From locked heads to views. Each statement begins after the locks are held, so it sees what the last holder of the
//! lock committed; reading the body in the statement that locks the head would show a body older than the head.

use std::collections::HashMap;

use model::record::{Conflict, ConflictReason, ConflictStatus, FieldMeta, Intent, IntentStatus, Lock, LockReason};
use model::{Fields, LineIds, Operation, PerSide, Side, Source, WriteKind};
use sqlx::PgConnection;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::columns::HeadRow;
use super::kept;
use crate::StoreError;
use crate::cells::{Cells, corrupt, read_native_id};
use crate::records::{MAX_PENDING, Pending, View};

/// What the store remembers of a view until the patch comes back.
#[derive(Debug)]
pub(super) struct Remembered {
    /// `record_body` has a row.
    pub(super) has_body: bool,
    /// Every hint up to here is settled.
    pub(super) settled_seq: PerSide<u64>,
    /// The pending hints were loaded.
    pub(super) pending_loaded: bool,
}

/// Completes heads to views, in the order given.
pub(super) async fn load(
    conn: &mut PgConnection,
    mut heads: Vec<HeadRow>,
    pending: bool,
) -> Result<(Vec<View>, Vec<Remembered>), StoreError> {
    let bodies = load_bodies(conn, &mut heads).await?;
    load_unresolved(conn, &mut heads).await?;
    load_conflicts(conn, &mut heads).await?;
    load_locks(conn, &mut heads).await?;
    let mut hints = if pending { load_pending(conn, &heads).await? } else { HashMap::new() };
    let complete = |(at, (head, has_body)): (usize, (HeadRow, bool))| {
        let view = View { record: head.record, pending: hints.remove(&at).unwrap_or_default() };
        (view, Remembered { has_body, settled_seq: head.settled_seq, pending_loaded: pending })
    };
    Ok(heads.into_iter().zip(bodies).enumerate().map(complete).unzip())
}

/// Rows of a table by `(account_id, rid)`, for the heads that satisfy `wanted`; column 0 of each row is the place of
/// its head, counted from one.
async fn rows_of(
    conn: &mut PgConnection,
    sql: &'static str,
    heads: &[HeadRow],
    wanted: impl Fn(&HeadRow) -> bool,
) -> Result<Vec<PgRow>, StoreError> {
    let picked: Vec<(usize, &HeadRow)> = heads.iter().enumerate().filter(|(_, head)| wanted(head)).collect();
    if picked.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query(sql)
        .bind(picked.iter().map(|(at, _)| place(*at)).collect::<Vec<_>>())
        .bind(picked.iter().map(|(_, head)| head.record.key.account.as_str()).collect::<Vec<_>>())
        .bind(picked.iter().map(|(_, head)| head.record.key.rid.0).collect::<Vec<_>>())
        .fetch_all(conn)
        .await
        .map_err(StoreError::database("load records"))
}

/// A place in a batch as Postgres holds it.
pub(super) fn place(at: usize) -> i32 {
    i32::try_from(at).expect("a batch has fewer records than an i32 counts")
}

/// The head a row belongs to.
fn index(cells: &mut Cells<'_>, heads: &[HeadRow]) -> Result<usize, StoreError> {
    let at: i32 = cells.next()?;
    usize::try_from(at).ok().filter(|at| *at < heads.len()).ok_or_else(|| corrupt("place", "?", "no such head"))
}

async fn load_bodies(conn: &mut PgConnection, heads: &mut [HeadRow]) -> Result<Vec<bool>, StoreError> {
    let rows = rows_of(
        conn,
        "select k.place, b.state, b.field_meta, b.sx_state, b.ns_state, b.sx_line_ids, b.ns_line_ids
         from unnest($1::integer[], $2::text[], $3::uuid[]) as k (place, account_id, rid)
         join sync.record_body b using (account_id, rid)",
        heads,
        |_| true,
    )
    .await?;
    let mut has_body = vec![false; heads.len()];
    for row in &rows {
        let mut cells = Cells::of(row);
        let at = index(&mut cells, heads)?;
        has_body[at] = true;
        let record = &mut heads[at].record;
        record.head.state = cells.json::<Fields>()?.into();
        record.head.meta = kept::restore_meta(cells.json::<Vec<(FieldMeta, Vec<String>)>>()?).into();
        for side in Side::BOTH {
            let kept: Option<&sqlx::types::JsonRawValue> = cells.next()?;
            record.shadows[side].state = kept::restore(&record.head.state, kept.map(|json| json.get().as_bytes()))
                .map_err(|e| corrupt("record_body", &record.key.to_string(), &e.to_string()))?;
        }
        for side in Side::BOTH {
            record.shadows[side].line_ids = cells.maybe_json::<LineIds>()?.unwrap_or_default();
        }
    }
    Ok(has_body)
}

/// The columns of an intent as [`read_intent`] reads them.
const UNRESOLVED: &str = "
    select k.place, i.write_id, i.side, i.kind, i.stamp, i.expect, i.changes, i.pre, i.version, i.status, i.deadline,
           i.native_id, i.generation, i.occurred_at
    from unnest($1::integer[], $2::text[], $3::uuid[]) as k (place, account_id, rid)
    join sync.idempotency_keys i using (account_id, rid)
    where i.status in ('in_flight', 'unknown')
    order by k.place, i.stamp";

async fn load_unresolved(conn: &mut PgConnection, heads: &mut [HeadRow]) -> Result<(), StoreError> {
    let rows = rows_of(conn, UNRESOLVED, heads, |head| head.has_unresolved).await?;
    for row in &rows {
        let mut cells = Cells::of(row);
        let at = index(&mut cells, heads)?;
        heads[at].record.unresolved.push(read_intent(&mut cells)?);
    }
    Ok(())
}

fn read_intent(cells: &mut Cells<'_>) -> Result<Intent, StoreError> {
    Ok(Intent {
        write_id: cells.next()?,
        side: cells.word("side", Side::parse)?,
        kind: cells.word("kind", WriteKind::parse)?,
        stamp: cells.count()?,
        expect: cells.count()?,
        changes: cells.json()?,
        pre: cells.json()?,
        version: cells.count()?,
        status: cells.word("status", IntentStatus::parse)?,
        deadline: cells
            .instant()?
            .ok_or_else(|| corrupt("deadline", "idempotency_keys", "an intent has a deadline"))?,
        native_id: read_native_id(cells)?,
        generation: cells.small_count()?,
        occurred_at: cells.instant()?,
    })
}

async fn load_conflicts(conn: &mut PgConnection, heads: &mut [HeadRow]) -> Result<(), StoreError> {
    let rows = rows_of(
        conn,
        "select k.place, c.conflict_id, c.field, c.reason, c.base, c.our_changes, c.remote_snapshot, c.rev, c.status,
                c.our_event_id, c.base_version, c.created_ts
         from unnest($1::integer[], $2::text[], $3::uuid[]) as k (place, account_id, rid)
         join sync.conflicts c using (account_id, rid)
         where c.status = 'open'
         order by k.place, c.created_ts, c.field",
        heads,
        |head| head.has_conflicts,
    )
    .await?;
    for row in &rows {
        let mut cells = Cells::of(row);
        let at = index(&mut cells, heads)?;
        heads[at].record.conflicts.push(read_conflict(&mut cells)?);
    }
    Ok(())
}

/// Reads a conflict: id, field, reason, base, both values, rev, status, event, base version, time.
fn read_conflict(cells: &mut Cells<'_>) -> Result<Conflict, StoreError> {
    Ok(Conflict {
        conflict_id: cells.next()?,
        field: cells.next()?,
        reason: cells.word("reason", ConflictReason::parse)?,
        base: cells.json()?,
        suitex: cells.maybe_json()?,
        netsuite: cells.maybe_json()?,
        rev: cells.small_count()?,
        status: cells.word("status", ConflictStatus::parse)?,
        event_id: cells.next()?,
        base_version: cells.count()?,
        created_at: cells.instant()?.ok_or_else(|| corrupt("created_ts", "conflicts", "a conflict has a time"))?,
    })
}

async fn load_locks(conn: &mut PgConnection, heads: &mut [HeadRow]) -> Result<(), StoreError> {
    let rows = rows_of(
        conn,
        "select k.place, l.lock_id, l.field, l.reason, l.conflict_id, l.locked_at, l.note
         from unnest($1::integer[], $2::text[], $3::uuid[]) as k (place, account_id, rid)
         join sync.record_lock l using (account_id, rid)
         where l.released_at is null
         order by k.place, l.locked_at, l.lock_id",
        heads,
        |head| head.has_locks,
    )
    .await?;
    for row in &rows {
        let mut cells = Cells::of(row);
        let at = index(&mut cells, heads)?;
        heads[at].record.locks.push(read_lock(&mut cells)?);
    }
    Ok(())
}

/// Reads a lock: id, field, reason, conflict, time, note.
fn read_lock(cells: &mut Cells<'_>) -> Result<Lock, StoreError> {
    Ok(Lock {
        lock_id: cells.next()?,
        field: cells.next()?,
        reason: cells.word("reason", LockReason::parse)?,
        conflict_id: cells.next()?,
        locked_at: cells.instant()?.ok_or_else(|| corrupt("locked_at", "record_lock", "a lock has a time"))?,
        note: cells.next()?,
    })
}

/// Unsettled hints of a side, from where the settled ones end. The outcome is asked for hint by hint, never joined.
const PENDING: &str = "
    select k.place, e.event_id, e.received_at, e.record_id, e.side, e.seq, e.operation, e.source, e.changes,
           e.remote_version, e.write_id, e.occurred_at
    from unnest($1::integer[], $2::text[], $3::uuid[], $4::text[], $5::bigint[])
        as k (place, account_id, rid, side, settled_seq)
    cross join lateral (
        select * from sync.event_log e
        where e.account_id = k.account_id and e.rid = k.rid and e.side = k.side and e.seq > k.settled_seq
          and e.record_seq is null
          and (select true from sync.event_outcome o where o.account_id = e.account_id and o.event_id = e.event_id) is null
        order by e.seq limit $6
    ) e";

/// Hints by the place of their head, in `seq` order (SuiteX's before NetSuite's where they are equal).
async fn load_pending(conn: &mut PgConnection, heads: &[HeadRow]) -> Result<HashMap<usize, Vec<Pending>>, StoreError> {
    let mut keys: Vec<(usize, &HeadRow, Side)> = Vec::with_capacity(heads.len());
    for (at, head) in heads.iter().enumerate() {
        let waiting = |side: &Side| head.record.shadows[*side].hint_seq > head.settled_seq[*side];
        keys.extend(Side::BOTH.into_iter().filter(waiting).map(|side| (at, head, side)));
    }
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query(PENDING)
        .bind(keys.iter().map(|(at, ..)| place(*at)).collect::<Vec<_>>())
        .bind(keys.iter().map(|(_, head, _)| head.record.key.account.as_str()).collect::<Vec<_>>())
        .bind(keys.iter().map(|(_, head, _)| head.record.key.rid.0).collect::<Vec<Uuid>>())
        .bind(keys.iter().map(|(.., side)| side.as_str()).collect::<Vec<_>>())
        .bind(keys.iter().map(|(_, head, side)| signed(head.settled_seq[*side])).collect::<Vec<_>>())
        .bind(i64::try_from(MAX_PENDING).unwrap_or(i64::MAX))
        .fetch_all(conn)
        .await
        .map_err(StoreError::database("load pending hints"))?;
    let mut hints: HashMap<usize, Vec<Pending>> = HashMap::new();
    for row in &rows {
        let mut cells = Cells::of(row);
        hints.entry(index(&mut cells, heads)?).or_default().push(read_pending(&mut cells)?);
    }
    for pending in hints.values_mut() {
        pending.sort_by_key(|hint| (hint.seq, hint.side));
    }
    Ok(hints)
}

fn read_pending(cells: &mut Cells<'_>) -> Result<Pending, StoreError> {
    let event_id = cells.next()?;
    let missing = || corrupt("received_at", "event_log", "a hint has it");
    let received_at = cells.instant()?.ok_or_else(missing)?;
    read_hint(cells, event_id, received_at)
}

/// Reads a hint from its side's id on.
pub(super) fn read_hint(
    cells: &mut Cells<'_>,
    event_id: Uuid,
    received_at: model::Timestamp,
) -> Result<Pending, StoreError> {
    let missing = |column| move || corrupt(column, "event_log", "a hint has it");
    Ok(Pending {
        event_id,
        native_id: read_native_id(cells)?.ok_or_else(missing("record_id"))?,
        side: cells.word("side", Side::parse)?,
        seq: cells.count()?,
        operation: cells.word("operation", Operation::parse)?,
        source: cells.word("source", Source::parse)?,
        changes: cells.json()?,
        remote_version: cells.next()?,
        write_id: cells.next()?,
        occurred_at: cells.instant()?.ok_or_else(missing("occurred_at"))?,
        received_at,
    })
}

/// A count as Postgres holds it.
pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

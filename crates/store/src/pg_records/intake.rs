//! Hints on their way in (semantics §2.2): three statements a batch, five when it brings unknown ids.
//!
//! Order of locks, here and in every transaction of the core: heads (sorted), links (sorted), the rest. So nobody who
//! holds a link waits for a head.

use std::collections::{BTreeMap, HashMap, HashSet};

use model::record::{Shadow, Windows};
use model::{AccountId, NativeId, PerSide, RecordRef, RecordType, Rid, Side, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use super::doorbell;
use super::load::{place, signed};
use crate::StoreError;
use crate::cells::{Cells, read_key};
use crate::instant::Instant;
use crate::json_text::{self, JsonText};
use crate::records::{Hint, Intake};

/// A side's id, as links know it.
type NativeKey<'a> = (&'a AccountId, &'a RecordType, Side, &'a NativeId);

/// How an attempt ended.
pub(super) enum Attempt {
    /// The answers, in the order of the hints.
    Done(Vec<Intake>),
    /// A record turned out to be another one while we waited for its lock, or somebody else linked an unknown id first:
    /// nothing may be kept, begin again.
    Again,
}

/// A record that hints of the batch may ring.
pub(super) struct Bell {
    /// A lock on the whole record is in force.
    pub(super) locked: bool,
    /// Made by this batch.
    pub(super) new: bool,
    /// Only the doorbell's columns (and a new record's native id) are filled.
    pub(super) shadows: PerSide<Shadow>,
    /// Sides that were rung.
    pub(super) rung: PerSide<bool>,
}

/// Stores a batch within the caller's transaction. No event id may be in it twice.
pub(super) async fn store(
    conn: &mut PgConnection,
    hints: &[&Hint],
    now: Timestamp,
    windows: &Windows,
) -> Result<Attempt, StoreError> {
    let first: BTreeMap<NativeKey<'_>, Rid> = hints.iter().rev().map(|h| (native_key(h), h.new_rid)).collect();
    let keys: Vec<NativeKey<'_>> = first.keys().copied().collect();
    let mut bells = BTreeMap::new();
    let Some(linked) = lock_linked(conn, &keys, &mut bells).await? else { return Ok(Attempt::Again) };
    let unknown: Vec<(NativeKey<'_>, Rid)> =
        first.iter().filter(|(key, _)| !linked.contains_key(*key)).map(|(key, rid)| (*key, *rid)).collect();
    if !insert_links(conn, &unknown).await? {
        return Ok(Attempt::Again);
    }
    for (key, rid) in &unknown {
        bells.insert(record(key, *rid), Bell::of_new(key));
    }
    let rows: Vec<Row<'_>> = number(
        hints,
        |hint| {
            let key = native_key(hint);
            record(&key, linked.get(&key).or(first.get(&key)).copied().unwrap_or(hint.new_rid))
        },
        &bells,
    );
    let stored = insert_hints(conn, &rows, now).await?;
    let mut answers = Vec::with_capacity(rows.len());
    for row in rows {
        let hint = row.hint;
        if !stored.contains(&(hint.account.as_str().to_owned(), hint.event_id)) {
            answers.push(Intake::Known);
            continue;
        }
        let bell = bells.get_mut(&row.record).expect("the record of every hint was locked or made above");
        // The numbers of hints that were known are left out and never given again.
        bell.shadows[hint.side].hint_seq = row.seq - 1;
        bell.shadows[hint.side].ring(now, hint.urgent, row.mended || hint.must_read());
        bell.rung[hint.side] = true;
        answers.push(Intake::Stored(row.record));
    }
    doorbell::save(conn, &bells, windows).await?;
    Ok(Attempt::Done(answers))
}

fn native_key(hint: &Hint) -> NativeKey<'_> {
    (&hint.account, &hint.record_type, hint.side, &hint.native_id)
}

fn record(key: &NativeKey<'_>, rid: Rid) -> RecordRef {
    RecordRef { account: key.0.clone(), record_type: key.1.clone(), rid }
}

impl Bell {
    fn of_new(key: &NativeKey<'_>) -> Self {
        let mut shadows = PerSide::<Shadow>::default();
        shadows[key.2].native_id = Some(key.3.clone());
        Self { locked: false, new: true, shadows, rung: PerSide::default() }
    }
}

/// Locks the records that links name, in order. `None` when one of them has become another record meanwhile.
async fn lock_linked<'a>(
    conn: &mut PgConnection,
    keys: &[NativeKey<'a>],
    bells: &mut BTreeMap<RecordRef, Bell>,
) -> Result<Option<HashMap<NativeKey<'a>, Rid>>, StoreError> {
    let rows = sqlx::query(
        "select h.account_id, h.record_type, h.rid, k.place, h.merged_into is not null, h.locked,
                h.sx_hint_seq, h.sx_dirty_seq, h.sx_dirty_since, h.sx_hints, h.sx_urgent, h.sx_must_read,
                h.sx_inflight_write_id, h.sx_ready_at,
                h.ns_hint_seq, h.ns_dirty_seq, h.ns_dirty_since, h.ns_hints, h.ns_urgent, h.ns_must_read,
                h.ns_inflight_write_id, h.ns_ready_at
         from unnest($1::integer[], $2::text[], $3::text[], $4::text[], $5::text[])
            as k (place, account_id, record_type, side, native_id)
         join sync.links l using (account_id, record_type, side, native_id)
         join sync.record_head h on h.account_id = l.account_id and h.record_type = l.record_type and h.rid = l.rid
         order by h.account_id, h.record_type, h.rid
         for update of h",
    )
    .bind((0..keys.len()).map(place).collect::<Vec<_>>())
    .bind(keys.iter().map(|k| k.0.as_str()).collect::<Vec<_>>())
    .bind(keys.iter().map(|k| k.1.as_str()).collect::<Vec<_>>())
    .bind(keys.iter().map(|k| k.2.as_str()).collect::<Vec<_>>())
    .bind(keys.iter().map(|k| k.3.as_str()).collect::<Vec<_>>())
    .fetch_all(conn)
    .await
    .map_err(StoreError::database("lock hinted records"))?;
    let mut linked = HashMap::with_capacity(rows.len());
    for row in &rows {
        let mut cells = Cells::of(row);
        let key = read_key(&mut cells)?;
        let at = usize::try_from(cells.next::<i32>()?).unwrap_or(usize::MAX);
        if cells.next()? {
            return Ok(None);
        }
        linked.insert(keys[at], key.rid);
        let mut bell =
            Bell { locked: cells.next()?, new: false, shadows: PerSide::default(), rung: PerSide::default() };
        for side in Side::BOTH {
            bell.shadows[side] = read_doorbell(&mut cells)?;
        }
        bells.insert(key, bell);
    }
    Ok(Some(linked))
}

fn read_doorbell(cells: &mut Cells<'_>) -> Result<Shadow, StoreError> {
    Ok(Shadow {
        hint_seq: cells.count()?,
        dirty_seq: cells.count()?,
        dirty_since: cells.instant()?,
        hints: cells.small_count()?,
        urgent: cells.next()?,
        must_read: cells.next()?,
        inflight: cells.next()?,
        ready_at: cells.instant()?,
        ..Shadow::default()
    })
}

/// Links ids nobody knew; false when somebody else was faster with one of them.
async fn insert_links(conn: &mut PgConnection, unknown: &[(NativeKey<'_>, Rid)]) -> Result<bool, StoreError> {
    if unknown.is_empty() {
        return Ok(true);
    }
    let inserted = sqlx::query(
        "insert into sync.links (account_id, record_type, side, native_id, rid)
         select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::uuid[])
         on conflict (account_id, record_type, side, native_id) do nothing",
    )
    .bind(unknown.iter().map(|(k, _)| k.0.as_str()).collect::<Vec<_>>())
    .bind(unknown.iter().map(|(k, _)| k.1.as_str()).collect::<Vec<_>>())
    .bind(unknown.iter().map(|(k, _)| k.2.as_str()).collect::<Vec<_>>())
    .bind(unknown.iter().map(|(k, _)| k.3.as_str()).collect::<Vec<_>>())
    .bind(unknown.iter().map(|(_, rid)| rid.0).collect::<Vec<_>>())
    .execute(conn)
    .await
    .map_err(StoreError::database("link new ids"))?
    .rows_affected();
    Ok(inserted == unknown.len() as u64)
}

/// A hint with its record and its number among the side's doorbells.
struct Row<'a> {
    hint: &'a Hint,
    record: RecordRef,
    seq: u64,
    changes: String,
    auth_context: Option<String>,
    /// The payload held a NUL, which Postgres has no text for: it is shown as U+FFFD, and only a read will do.
    mended: bool,
}

fn number<'a>(
    hints: &[&'a Hint],
    record_of: impl Fn(&Hint) -> RecordRef,
    bells: &BTreeMap<RecordRef, Bell>,
) -> Vec<Row<'a>> {
    let mut last: HashMap<(RecordRef, Side), u64> = HashMap::new();
    hints
        .iter()
        .map(|hint| {
            let record = record_of(hint);
            let known = bells.get(&record).map_or(0, |bell| bell.shadows[hint.side].hint_seq);
            let seq = last.entry((record.clone(), hint.side)).or_insert(known);
            *seq += 1;
            let seq = *seq;
            let (changes, mended) = json_text::write_mended(&hint.changes);
            let auth_context = hint.auth_context.as_ref().map(|auth| json_text::write_mended(auth).0);
            Row { hint, record, seq, changes, auth_context, mended }
        })
        .collect()
}

/// Appends hints to the log; answers those that were not there.
async fn insert_hints(
    conn: &mut PgConnection,
    rows: &[Row<'_>],
    now: Timestamp,
) -> Result<HashSet<(String, Uuid)>, StoreError> {
    let inserted: Vec<(String, Uuid)> = sqlx::query_as(
        "insert into sync.event_log (kind, received_at, account_id, event_id, record_type, record_id, rid, side, source,
             seq, operation, occurred_at, base_version, changes, full_snapshot_ref, remote_version, write_id,
             auth_context, correlation_id)
         select 'hint', $1, account_id, event_id, record_type, record_id, rid, side, source, seq, operation, occurred_at,
                base_version, changes, full_snapshot_ref, remote_version, write_id, auth_context,
                correlation_id
         from unnest($2::text[], $3::uuid[], $4::text[], $5::text[], $6::uuid[], $7::text[], $8::text[], $9::bigint[],
                     $10::text[], $11::timestamptz[], $12::bigint[], $13::json[], $14::text[], $15::bigint[],
                     $16::uuid[], $17::json[], $18::text[])
            as e (account_id, event_id, record_type, record_id, rid, side, source, seq, operation, occurred_at,
                  base_version, changes, full_snapshot_ref, remote_version, write_id, auth_context, correlation_id)
         on conflict (account_id, event_id) do nothing
         returning account_id, event_id",
    )
    .bind(Instant(now))
    .bind(rows.iter().map(|r| r.hint.account.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.hint.event_id).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.hint.record_type.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.hint.native_id.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.record.rid.0).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.hint.side.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.hint.source.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| signed(r.seq)).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.hint.operation.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| Instant(r.hint.occurred_at)).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.hint.base_version.map(signed)).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| JsonText(&r.changes)).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.hint.full_snapshot_ref.as_deref().map(json_text::without_nul)).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.hint.remote_version).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.hint.write_id).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.auth_context.as_deref().map(JsonText)).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.hint.correlation_id.as_deref().map(json_text::without_nul)).collect::<Vec<_>>())
    .fetch_all(conn)
    .await
    .map_err(StoreError::database("insert hints"))?;
    Ok(inserted.into_iter().collect())
}

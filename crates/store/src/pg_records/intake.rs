//! Hints on their way in (semantics §2.2): three statements a batch, five when it brings unknown ids; and what follows
//! from counted deltas alone is folded in the same transaction.
//!
//! Order of locks, here and in every transaction of the core: heads (sorted), links (sorted), the rest. So nobody who
//! holds a link waits for a head.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::LazyLock;
use std::time::Duration;

use model::record::{Record, Windows};
use model::{AccountId, NativeId, RecordRef, RecordType, Rid, Side, Timestamp};
use sqlx::PgConnection;

use super::columns::{HeadRow, head_columns, read_head};
use super::doorbell;
use super::folded::{self, Folded, OwnEntry};
use super::load::{place, signed};
use crate::StoreError;
use crate::handoff::Committed;
use crate::instant::Instant;
use crate::json_text::{self, JsonText};
use crate::records::{Hint, Intake, Plan};

/// A side's id, as links know it.
type NativeKey<'a> = (&'a AccountId, &'a RecordType, Side, &'a NativeId);

/// How an attempt is made. The first one hopes for the usual: no event came twice, and everything can be stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// Ask first which events are known.
    pub(super) ask: bool,
    /// Fold what follows from deltas alone.
    pub(super) fold: bool,
}

/// How an attempt ended.
pub(super) enum Attempt {
    /// The answers, in the order of the hints; and the messages that leave.
    Done(Vec<Intake>, Vec<Committed>),
    /// A record turned out to be another one while we waited for its lock, or somebody else linked an unknown id first:
    /// nothing may be kept, begin again.
    Again,
    /// Events of the batch were known: nothing may be kept, ask first.
    Known,
    /// What was folded cannot be stored: nothing may be kept. The merge step knows how to set a record aside.
    Unfoldable,
}

/// A record that hints of the batch may ring.
pub(super) struct Bell {
    /// Everything but the body and what lies behind the flags. Of a new record: its native id.
    pub(super) head: HeadRow,
    /// A lock on the whole record is in force.
    pub(super) locked: bool,
    /// Made by this batch.
    pub(super) new: bool,
    /// Sides that were rung.
    pub(super) rung: model::PerSide<bool>,
    /// What rang may be folded at once: see [`crate::records::Records::take_in`].
    pub(super) foldable: bool,
}

/// Stores a batch within the caller's transaction. No event id may be in it twice.
pub(super) async fn store(
    conn: &mut PgConnection,
    hints: &[&Hint],
    now: Timestamp,
    windows: &Windows,
    manner: Manner,
    patience: Duration,
    plan: &mut Plan<'_>,
) -> Result<Attempt, StoreError> {
    let mut bells = BTreeMap::new();
    let Some(linked) = link(conn, hints, &mut bells).await? else { return Ok(Attempt::Again) };
    let known = if manner.ask { known_events(conn, hints).await? } else { HashSet::new() };
    let mut rows = Vec::with_capacity(hints.len());
    for (_, hint) in hints.iter().enumerate().filter(|(at, _)| !known.contains(at)) {
        let record = linked[&native_key(hint)].clone();
        let bell = bells.get_mut(&record).expect("the record of every hint was locked or made above");
        rows.push(Row::ring(hint, record, bell, now, windows));
    }
    let folded = folded::fold(conn, &mut bells, &rows, manner.fold, now, plan).await?;
    if insert_hints(conn, &rows, &folded, now).await? != rows.len() as u64 {
        return Ok(Attempt::Known);
    }
    doorbell::save(conn, &bells, windows).await?;
    let committed = match folded.save(conn, patience).await {
        Err(refusal) if refusal.is_about_content() => {
            tracing::warn!(
                reason = refusal.content_reason(),
                "a batch is not folded as it comes: something in it cannot be stored"
            );
            return Ok(Attempt::Unfoldable);
        }
        saved => saved?,
    };
    let mut stored = rows.into_iter();
    let answer = |at: usize| match known.contains(&at) {
        true => Intake::Known,
        false => Intake::Stored(stored.next().expect("a row was made of every fresh hint").record),
    };
    Ok(Attempt::Done((0..hints.len()).map(answer).collect(), committed))
}

/// Locks the records the hints speak of, and makes those nobody knows. `None`: begin again.
async fn link<'a>(
    conn: &mut PgConnection,
    hints: &[&'a Hint],
    bells: &mut BTreeMap<RecordRef, Bell>,
) -> Result<Option<HashMap<NativeKey<'a>, RecordRef>>, StoreError> {
    let first: BTreeMap<NativeKey<'_>, Rid> = hints.iter().rev().map(|h| (native_key(h), h.new_rid)).collect();
    let keys: Vec<NativeKey<'_>> = first.keys().copied().collect();
    let Some(mut linked) = lock_linked(conn, &keys, bells).await? else { return Ok(None) };
    let unknown: Vec<(NativeKey<'_>, Rid)> = first.into_iter().filter(|(key, _)| !linked.contains_key(key)).collect();
    if !insert_links(conn, &unknown).await? {
        return Ok(None);
    }
    for (key, rid) in unknown {
        let record = RecordRef { account: key.0.clone(), record_type: key.1.clone(), rid };
        bells.insert(record.clone(), Bell::of_new(record.clone(), &key));
        linked.insert(key, record);
    }
    Ok(Some(linked))
}

fn native_key(hint: &Hint) -> NativeKey<'_> {
    (&hint.account, &hint.record_type, hint.side, &hint.native_id)
}

impl Bell {
    fn of_new(record: RecordRef, key: &NativeKey<'_>) -> Self {
        let mut record = Record::new(record);
        record.shadows[key.2].native_id = Some(key.3.clone());
        let rung = model::PerSide::default();
        Self { head: HeadRow::of(record), locked: false, new: true, rung, foldable: false }
    }
}

/// Locks the records that links name, in order. `None` when one of them has become another record meanwhile.
async fn lock_linked<'a>(
    conn: &mut PgConnection,
    keys: &[NativeKey<'a>],
    bells: &mut BTreeMap<RecordRef, Bell>,
) -> Result<Option<HashMap<NativeKey<'a>, RecordRef>>, StoreError> {
    let rows = sqlx::query(LOCK_LINKED.as_str())
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
        let (head, mut rest) = read_head(row)?;
        let (locked, at) = (rest.next()?, usize::try_from(rest.next::<i32>()?).unwrap_or(usize::MAX));
        if head.record.head.merged_into.is_some() {
            return Ok(None);
        }
        let record = head.record.key.clone();
        linked.insert(keys[at], record.clone());
        // A record known by both its ids comes once for each.
        bells.entry(record).or_insert_with(|| Bell {
            foldable: head.at_rest(),
            head,
            locked,
            new: false,
            rung: model::PerSide::default(),
        });
    }
    Ok(Some(linked))
}

static LOCK_LINKED: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select {}, h.locked, k.place
         from unnest($1::integer[], $2::text[], $3::text[], $4::text[], $5::text[])
            as k (place, account_id, record_type, side, native_id)
         join sync.links l using (account_id, record_type, side, native_id)
         join sync.record_head h on h.account_id = l.account_id and h.record_type = l.record_type and h.rid = l.rid
         order by h.account_id, h.record_type, h.rid
         for update of h",
        head_columns()
    )
});

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

/// The places of those hints whose events are in the log.
async fn known_events(conn: &mut PgConnection, hints: &[&Hint]) -> Result<HashSet<usize>, StoreError> {
    let known: Vec<i32> = sqlx::query_scalar(
        "select k.place from unnest($1::integer[], $2::text[], $3::uuid[]) as k (place, account_id, event_id)
         join sync.event_log e using (account_id, event_id)",
    )
    .bind((0..hints.len()).map(place).collect::<Vec<_>>())
    .bind(hints.iter().map(|h| h.account.as_str()).collect::<Vec<_>>())
    .bind(hints.iter().map(|h| h.event_id).collect::<Vec<_>>())
    .fetch_all(conn)
    .await
    .map_err(StoreError::database("find known events"))?;
    Ok(known.into_iter().filter_map(|at| usize::try_from(at).ok()).collect())
}

/// A hint with its record and its number among the side's doorbells.
pub(super) struct Row<'a> {
    pub(super) hint: &'a Hint,
    pub(super) record: RecordRef,
    pub(super) seq: u64,
    changes: String,
    auth_context: Option<String>,
}

impl<'a> Row<'a> {
    fn ring(hint: &'a Hint, record: RecordRef, bell: &mut Bell, now: Timestamp, windows: &Windows) -> Self {
        // A NUL, which Postgres has no text for, is shown as U+FFFD, and only a read will do.
        let (changes, mended) = json_text::write_mended(&hint.changes);
        let auth_context = hint.auth_context.as_ref().map(|auth| json_text::write_mended(auth).0);
        let must_read = mended || hint.must_read();
        let seq = bell.head.record.shadows[hint.side].hear(now, windows, hint.urgent, must_read);
        bell.rung[hint.side] = true;
        bell.foldable &= !must_read;
        Self { hint, record, seq, changes, auth_context }
    }
}

/// Appends hints to the log; answers how many were not there. One that was folded alone is its own entry.
async fn insert_hints(
    conn: &mut PgConnection,
    rows: &[Row<'_>],
    folded: &Folded,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let entries: Vec<Option<OwnEntry>> = rows.iter().map(|row| folded.entry(&row.record, row.hint.event_id)).collect();
    let inserted = sqlx::query(
        "insert into sync.event_log (kind, received_at, account_id, event_id, record_type, record_id, rid, side, source,
             seq, operation, occurred_at, base_version, changes, full_snapshot_ref, remote_version, write_id,
             auth_context, correlation_id, record_seq, applied_version, rules)
         select 'hint', $1, account_id, event_id, record_type, record_id, rid, side, source, seq, operation, occurred_at,
                base_version, changes, full_snapshot_ref, remote_version, write_id, auth_context,
                correlation_id, record_seq, applied_version, rules
         from unnest($2::text[], $3::uuid[], $4::text[], $5::text[], $6::uuid[], $7::text[], $8::text[], $9::bigint[],
                     $10::text[], $11::timestamptz[], $12::bigint[], $13::json[], $14::text[], $15::bigint[],
                     $16::uuid[], $17::json[], $18::text[], $19::bigint[], $20::bigint[], $21::integer[])
            as e (account_id, event_id, record_type, record_id, rid, side, source, seq, operation, occurred_at,
                  base_version, changes, full_snapshot_ref, remote_version, write_id, auth_context, correlation_id,
                  record_seq, applied_version, rules)
         on conflict (account_id, event_id) do nothing",
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
    .bind(entries.iter().map(|e| e.map(|entry| signed(entry.record_seq))).collect::<Vec<_>>())
    .bind(entries.iter().map(|e| e.map(|entry| signed(entry.version))).collect::<Vec<_>>())
    .bind(entries.iter().map(|e| e.and_then(|entry| entry.rules).map(|rules| rules.0)).collect::<Vec<_>>())
    .execute(conn)
    .await
    .map_err(StoreError::database("insert hints"))?
    .rows_affected();
    Ok(inserted)
}

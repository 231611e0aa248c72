//! Storing what happened: log entries, outcomes of hints, versions, audit.

use model::record::{Disposition, Entry};
use model::{NativeId, RecordRef, Side, Source, WriteId};
use sqlx::PgConnection;

use super::load::signed;
use super::save::Change;
use crate::StoreError;
use crate::error::expect_rows;
use crate::instant::{Instant, maybe};
use crate::json_text::{self, JsonText};
use crate::records::{AuditRow, LogRow};

const NUL: &str = "a value holds a NUL, which Postgres has no text for";

/// A row of the log with the columns people look for.
struct EntryRow<'a> {
    key: &'a RecordRef,
    row: &'a LogRow,
    side: Option<Side>,
    source: Option<Source>,
    record_id: Option<&'a NativeId>,
    operation: Option<&'static str>,
    occurred_at: Option<model::Timestamp>,
    remote_version: Option<i64>,
    write_id: Option<WriteId>,
    entry: String,
}

impl<'a> EntryRow<'a> {
    fn of(change: &Change<'a>, row: &'a LogRow) -> Result<Self, StoreError> {
        let side = side_of(&row.entry);
        let mut told = Self {
            key: change.key(),
            row,
            side,
            source: None,
            record_id: side.and_then(|side| change.after().shadows[side].native_id.as_ref()),
            operation: None,
            occurred_at: None,
            remote_version: None,
            write_id: None,
            entry: json_text::write_clean(&row.entry).ok_or_else(|| change.refused(NUL))?,
        };
        match &row.entry {
            Entry::Observation(seen) => {
                told.source = Some(noticed_by(change, seen));
                told.record_id = seen.native_id.as_ref().or(told.record_id);
                told.occurred_at = seen.occurred_at;
                told.remote_version = seen.token;
            }
            Entry::Claim(write) => {
                told.operation = Some(write.kind.as_str());
                told.record_id = write.native_id.as_ref();
                told.occurred_at = write.occurred_at;
                told.write_id = Some(write.write_id);
            }
            Entry::Ack(ack) => {
                told.record_id = ack.native_id.as_ref().or(told.record_id);
                told.remote_version = ack.token;
                told.write_id = Some(ack.write_id);
            }
            Entry::Release(release) => told.write_id = Some(release.write_id),
            Entry::Resolution(_) | Entry::Undo(_) => told.source = Some(Source::Resolution),
            Entry::Renormalisation(_) => told.source = Some(Source::Reconcile),
        }
        Ok(told)
    }
}

fn side_of(entry: &Entry) -> Option<Side> {
    match entry {
        Entry::Observation(seen) => Some(seen.side),
        Entry::Claim(write) => Some(write.side),
        Entry::Ack(ack) => Some(ack.side),
        Entry::Release(release) => Some(release.side),
        Entry::Resolution(_) | Entry::Undo(_) | Entry::Renormalisation(_) => None,
    }
}

/// Who rang for this observation: the first of its hints, else whoever usually looks at that side.
fn noticed_by(change: &Change<'_>, seen: &model::record::Observation) -> Source {
    let hint = change.view.pending.iter().find(|hint| seen.causes.contains(&hint.event_id));
    hint.map_or(if seen.side == Side::Suitex { Source::Suitex } else { Source::NetsuitePoll }, |hint| hint.source)
}

/// Appends entries to the log.
pub(super) async fn append_entries(conn: &mut PgConnection, changes: &[Change<'_>]) -> Result<(), StoreError> {
    let rows = changes
        .iter()
        .filter(|change| !change.in_hint)
        .flat_map(|change| change.patch.log.iter().map(move |row| EntryRow::of(change, row)))
        .collect::<Result<Vec<_>, _>>()?;
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into sync.event_log (account_id, event_id, record_type, record_id, rid, side, source, kind, record_seq,
             operation, occurred_at, received_at, remote_version, write_id, entry, rules)
         select account_id, event_id, record_type, record_id, rid, side, source, kind, record_seq, operation, occurred_at,
                received_at, remote_version, write_id, entry, rules
         from unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::uuid[], $6::text[], $7::text[], $8::text[],
                     $9::bigint[], $10::text[], $11::timestamptz[], $12::timestamptz[], $13::bigint[], $14::uuid[],
                     $15::json[], $16::integer[])
            as e (account_id, event_id, record_type, record_id, rid, side, source, kind, record_seq, operation,
                  occurred_at, received_at, remote_version, write_id, entry, rules)",
    )
    .bind(rows.iter().map(|r| r.key.account.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.row.event_id).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.key.record_type.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.record_id.map(NativeId::as_str)).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.key.rid.0).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.side.map(Side::as_str)).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.source.map(Source::as_str)).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.row.entry.kind()).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| signed(r.row.record_seq)).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.operation).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| maybe(r.occurred_at)).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| Instant(r.row.at)).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.remote_version).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.write_id).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| JsonText(&r.entry)).collect::<Vec<_>>())
    .bind(rows.iter().map(|r| r.row.rules.map(|rules| rules.0)).collect::<Vec<_>>())
    .execute(conn)
    .await
    .map(drop)
    .map_err(StoreError::database("append to the log"))
}

/// Stores what became of hints. A hint that is settled already is refused: its end is told once.
pub(super) async fn settle_hints(conn: &mut PgConnection, changes: &[Change<'_>]) -> Result<(), StoreError> {
    let rows: Vec<_> = changes
        .iter()
        .filter(|change| !change.in_hint)
        .flat_map(|change| change.patch.settled.iter().map(move |settled| (change.key(), settled)))
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let version = |disposition: &Disposition| match disposition {
        Disposition::Applied(version) => Some(signed(*version)),
        Disposition::Superseded
        | Disposition::NoopEcho
        | Disposition::Conflict
        | Disposition::Error
        | Disposition::Dlq => None,
    };
    sqlx::query(
        "insert into sync.event_outcome (account_id, event_id, disposition, applied_version)
         select * from unnest($1::text[], $2::uuid[], $3::text[], $4::bigint[])",
    )
    .bind(rows.iter().map(|(key, _)| key.account.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, (id, _))| *id).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, (_, disposition))| disposition.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, (_, disposition))| version(disposition)).collect::<Vec<_>>())
    .execute(conn)
    .await
    .map(drop)
    .map_err(StoreError::database("settle hints"))
}

/// Stores new canonical versions.
pub(super) async fn insert_versions(conn: &mut PgConnection, changes: &[Change<'_>]) -> Result<(), StoreError> {
    let mut rows = Vec::new();
    for change in changes {
        for version in &change.patch.versions {
            let clean = |text: Option<String>| text.ok_or_else(|| change.refused(NUL));
            let full = version.full.as_ref().map(|full| clean(json_text::write_clean(full))).transpose()?;
            // What the hint's own row says is not said again.
            let told = change.in_hint && change.view.pending.first().is_some_and(|h| h.changes == version.delta);
            let delta = if told { None } else { Some(clean(json_text::write_clean(&version.delta))?) };
            rows.push((change.key(), version, delta, full, clean(json_text::write_clean(&version.decisions))?));
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into sync.versions
            (account_id, record_type, rid, version, delta, full_state, alive, event_id, decisions, created_at)
         select * from unnest($1::text[], $2::text[], $3::uuid[], $4::bigint[], $5::json[], $6::json[], $7::boolean[],
                              $8::uuid[], $9::json[], $10::timestamptz[])
            as v (account_id, record_type, rid, version, delta, full_state, alive, event_id, decisions, created_at)",
    )
    .bind(rows.iter().map(|(key, ..)| key.account.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(key, ..)| key.record_type.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(key, ..)| key.rid.0).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, version, ..)| signed(version.version)).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, _, delta, ..)| delta.as_deref().map(JsonText)).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, _, _, full, _)| full.as_deref().map(JsonText)).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, version, ..)| version.alive).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, version, ..)| version.event_id).collect::<Vec<_>>())
    .bind(rows.iter().map(|(.., decisions)| JsonText(decisions)).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, version, ..)| Instant(version.created_at)).collect::<Vec<_>>())
    .execute(conn)
    .await
    .map(drop)
    .map_err(StoreError::database("insert versions"))
}

/// Stores one row per remote write.
pub(super) async fn insert_audit(conn: &mut PgConnection, changes: &[Change<'_>]) -> Result<(), StoreError> {
    let rows: Vec<(&RecordRef, &AuditRow)> =
        changes.iter().flat_map(|change| change.patch.audit.iter().map(move |row| (change.key(), row))).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let payload =
        |row: &AuditRow| json_text::write_mended(&serde_json::json!({ "fields": row.fields, "code": row.code })).0;
    let writer = |side: Side| match side {
        Side::Suitex => "suitex-writer",
        Side::Netsuite => "netsuite-writer",
    };
    let inserted = sqlx::query(
        "insert into sync.event_audit_log
            (account_id, event_id, record_type, rid, record_id, side, source, outcome, payload, created_at)
         select account_id, event_id, record_type, rid, record_id, side, source, outcome, payload::jsonb, created_at
         from unnest($1::text[], $2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[],
                     $9::text[], $10::timestamptz[])
            as a (account_id, event_id, record_type, rid, record_id, side, source, outcome, payload, created_at)",
    )
    .bind(rows.iter().map(|(key, _)| key.account.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, row)| row.write_id).collect::<Vec<_>>())
    .bind(rows.iter().map(|(key, _)| key.record_type.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(key, _)| key.rid.0).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, row)| row.native_id.as_ref().map(NativeId::as_str)).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, row)| row.side.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, row)| writer(row.side)).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, row)| row.outcome).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, row)| payload(row)).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, row)| Instant(row.at)).collect::<Vec<_>>())
    .execute(conn)
    .await
    .map_err(StoreError::database("audit writes"))?
    .rows_affected();
    expect_rows("audit writes", rows.len(), inserted)
}

//! The outbox of a tenant: what its users changed, waiting to be published.

use std::time::Duration;

use jiff_sqlx::Timestamp as SqlTimestamp;
use model::spec::TypeSpec;
use model::{
    AccountId, ChangeEvent, ErrorClass, EventId, Failure, NativeId, Operation, Side, Source, Timestamp, WriteId,
};
use sqlx::postgres::{PgListener, PgRow};
use sqlx::{PgPool, Row};

use crate::SuitexError;
use crate::canonical::{RawObject, typed_changes};

/// The channel that rings when the outbox gets rows.
const CHANNEL: &str = "concord_outbox_events";
/// Longest note kept with a row that was set aside, in characters.
const NOTE_LIMIT: usize = 500;

/// One row of `concord.outbox_events`.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxRow {
    /// Its place in the outbox; ids follow the order of the statements, not of the commits.
    pub id: i64,
    /// The event's id on the bus.
    pub event_id: EventId,
    /// The type as the application names it; not every one is synced.
    pub record_type: String,
    /// The application's id of the record.
    pub record_id: String,
    /// What happened.
    pub operation: Operation,
    /// Column → new value, as JSON text.
    pub changes: String,
    /// The record's version after the change.
    pub row_version: Option<i64>,
    /// The write of Concord's that caused it.
    pub write_id: Option<WriteId>,
    /// Who did it.
    pub actor: Option<String>,
    /// When, by the tenant's clock.
    pub occurred_at: Timestamp,
}

/// Rows to be published, oldest first, at most `limit`. Several readers may see the same rows: a row that is published
/// twice is one event.
///
/// # Errors
/// [`SuitexError::Database`]; [`SuitexError::Outbox`] for a row that contradicts the table's own rules.
pub async fn unpublished(pool: &PgPool, limit: u32) -> Result<Vec<OutboxRow>, SuitexError> {
    let rows = sqlx::query(
        "select o.id, o.event_id, o.record_type, o.record_id, o.operation, o.changes::text as changes, o.row_version,
                o.write_id, o.actor, o.occurred_at
           from concord.outbox_events o where o.published_at is null order by o.id limit $1",
    )
    .bind(i64::from(limit))
    .fetch_all(pool)
    .await?;
    rows.iter().map(outbox_row).collect()
}

fn outbox_row(row: &PgRow) -> Result<OutboxRow, SuitexError> {
    let id = row.try_get("id")?;
    let operation: &str = row.try_get("operation")?;
    let operation = Operation::parse(operation)
        .ok_or_else(|| SuitexError::Outbox { id, reason: "operation is none of create, update, delete".to_owned() })?;
    Ok(OutboxRow {
        id,
        event_id: row.try_get("event_id")?,
        record_type: row.try_get("record_type")?,
        record_id: row.try_get("record_id")?,
        operation,
        changes: row.try_get("changes")?,
        row_version: row.try_get("row_version")?,
        write_id: row.try_get("write_id")?,
        actor: row.try_get("actor")?,
        occurred_at: row.try_get::<SqlTimestamp, _>("occurred_at")?.to_jiff(),
    })
}

/// The event of a row of this type: columns under their canonical names, values by the fields' kinds. Columns that are
/// not mapped are left out; an event without changes still counts, its version closes the gap.
///
/// # Errors
/// Class validation: the record id or a field's value cannot be represented; the sentence names it, without the value.
pub fn to_change_event(account: &AccountId, spec: &TypeSpec, row: &OutboxRow) -> Result<ChangeEvent, Failure> {
    let record_id = NativeId::parse(&row.record_id)
        .map_err(|bad| Failure::new(ErrorClass::Validation, "bad_record_id", bad.to_string()))?;
    let changes: RawObject = serde_json::from_str(&row.changes).map_err(|_| {
        Failure::new(ErrorClass::Validation, "bad_changes", "changes of an outbox row must be a JSON object")
    })?;
    Ok(ChangeEvent {
        event_id: row.event_id,
        account: account.clone(),
        record_type: spec.name.clone(),
        record_id,
        operation: row.operation,
        source: Source::Suitex,
        side: Side::Suitex,
        occurred_at: row.occurred_at,
        base_version: None,
        changes: typed_changes(spec, &changes)?,
        full_snapshot_ref: None,
        remote_version: row.row_version,
        write_id: row.write_id,
        auth_context: row.actor.as_ref().map(|actor| serde_json::json!({ "actor": actor })),
        correlation_id: None,
    })
}

/// The broker has these rows.
///
/// # Errors
/// [`SuitexError::Database`].
pub async fn mark_published(pool: &PgPool, ids: &[i64]) -> Result<(), SuitexError> {
    sqlx::query(
        "update concord.outbox_events set published_at = clock_timestamp() where id = any($1) and published_at is null",
    )
    .bind(ids)
    .execute(pool)
    .await?;
    Ok(())
}

/// These rows will never be published (a type that is not synced, a value that cannot be represented); the notes say
/// why.
///
/// # Errors
/// [`SuitexError::Database`].
pub async fn set_aside(pool: &PgPool, rows: &[(i64, String)]) -> Result<(), SuitexError> {
    let ids: Vec<i64> = rows.iter().map(|(id, _)| *id).collect();
    let notes: Vec<String> = rows.iter().map(|(_, note)| note.chars().take(NOTE_LIMIT).collect()).collect();
    sqlx::query(
        "update concord.outbox_events o
            set published_at = clock_timestamp(), confirmed_at = clock_timestamp(), note = aside.note
           from unnest($1::bigint[], $2::text[]) as aside(id, note)
          where o.id = aside.id and o.published_at is null",
    )
    .bind(ids)
    .bind(notes)
    .execute(pool)
    .await?;
    Ok(())
}

/// Rows published at least `age` ago of which nobody has said yet that they arrived, oldest publication first: their
/// outbox id and event id.
///
/// # Errors
/// [`SuitexError::Database`].
pub async fn unconfirmed(pool: &PgPool, age: Duration, limit: u32) -> Result<Vec<(i64, EventId)>, SuitexError> {
    Ok(sqlx::query_as(
        "select o.id, o.event_id from concord.outbox_events o
          where o.published_at is not null and o.confirmed_at is null
            and o.published_at <= clock_timestamp() - make_interval(secs => $1)
          order by o.published_at limit $2",
    )
    .bind(age.as_secs_f64())
    .bind(i64::from(limit))
    .fetch_all(pool)
    .await?)
}

/// These rows arrived: their events stand in Concord's log.
///
/// # Errors
/// [`SuitexError::Database`].
pub async fn confirm(pool: &PgPool, ids: &[i64]) -> Result<(), SuitexError> {
    sqlx::query(
        "update concord.outbox_events set confirmed_at = clock_timestamp() where id = any($1) and confirmed_at is null",
    )
    .bind(ids)
    .execute(pool)
    .await?;
    Ok(())
}

/// These rows did not arrive: they will be published again. This is how a lost broker is survived. Returns how many.
///
/// # Errors
/// [`SuitexError::Database`].
pub async fn unmark(pool: &PgPool, ids: &[i64]) -> Result<u64, SuitexError> {
    let mut tx = pool.begin().await?;
    let done = sqlx::query(
        "update concord.outbox_events set published_at = null
          where id = any($1) and published_at is not null and confirmed_at is null",
    )
    .bind(ids)
    .execute(&mut *tx)
    .await?;
    sqlx::query("select pg_notify($1, '')").bind(CHANNEL).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(done.rows_affected())
}

/// Deletes rows confirmed more than `keep` ago, at most `limit`; returns how many. The last row of a deleted record
/// stays: the versions of a record that takes its id again continue there.
///
/// # Errors
/// [`SuitexError::Database`].
pub async fn prune(pool: &PgPool, keep: Duration, limit: u32) -> Result<u64, SuitexError> {
    let done = sqlx::query(
        "delete from concord.outbox_events where id in (
            select o.id from concord.outbox_events o
             where o.confirmed_at < clock_timestamp() - make_interval(secs => $1)
               and (o.operation <> 'delete' or exists (
                    select from concord.outbox_events later where later.record_type = o.record_type
                       and later.record_id = o.record_id and later.row_version > o.row_version))
             order by o.id limit $2)",
    )
    .bind(keep.as_secs_f64())
    .bind(i64::from(limit))
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}

/// Deletes inbox rows of updates and deletes that landed more than `keep` ago, at most `limit`; returns how many. Rows
/// of creates name identities and are kept for ever. `keep` must outlive the broker's redelivery and the replay horizon.
///
/// # Errors
/// [`SuitexError::Database`].
pub async fn prune_inbox(pool: &PgPool, keep: Duration, limit: u32) -> Result<u64, SuitexError> {
    let done = sqlx::query(
        "delete from concord.sync_inbox where write_id in (
            select i.write_id from concord.sync_inbox i
             where i.kind <> 'create' and i.applied_at < clock_timestamp() - make_interval(secs => $1) limit $2)",
    )
    .bind(keep.as_secs_f64())
    .bind(i64::from(limit))
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}

/// What waits to be published.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backlog {
    /// Rows.
    pub rows: u64,
    /// Age of the oldest, by the tenant's clock.
    pub oldest: Option<Duration>,
}

/// Counts what waits, for metrics.
///
/// # Errors
/// [`SuitexError::Database`].
pub async fn backlog(pool: &PgPool) -> Result<Backlog, SuitexError> {
    let (rows, seconds): (i64, Option<f64>) = sqlx::query_as(
        "select count(*), extract(epoch from clock_timestamp() - min(o.occurred_at))::float8
           from concord.outbox_events o where o.published_at is null",
    )
    .fetch_one(pool)
    .await?;
    let oldest = seconds.map(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::ZERO));
    Ok(Backlog { rows: rows.unsigned_abs(), oldest })
}

/// Rings when the outbox gets rows, or gets them back. It holds one connection of the pool.
#[derive(Debug)]
pub struct Bell(PgListener);

impl Bell {
    /// Listens.
    ///
    /// # Errors
    /// [`SuitexError::Database`].
    pub async fn listen(pool: &PgPool) -> Result<Self, SuitexError> {
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen(CHANNEL).await?;
        Ok(Self(listener))
    }

    /// Waits for the next ring. Rings may be lost with the connection (it is opened again): whoever waits also sweeps
    /// now and then.
    ///
    /// # Errors
    /// [`SuitexError::Database`] when the connection cannot be opened again.
    pub async fn rung(&mut self) -> Result<(), SuitexError> {
        // None = the connection was lost meanwhile, and a ring may be too.
        self.0.try_recv().await?;
        Ok(())
    }
}

//! `sync.sync_watermark`: how far the poller has read each stream, by the remote's clock.

use model::{AccountId, RecordType, Timestamp};
use sqlx::{PgExecutor, Row};

use crate::StoreError;
use crate::instant::Instant;

/// A stream of changes (semantics §2.13).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// Records by last modification.
    Modified,
    /// Lines by last modification: their record's own stamp may not move.
    Lines,
    /// Deletions.
    Deleted,
    /// System notes.
    SystemNotes,
}

impl Stream {
    /// The word in `stream`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Modified => "modified",
            Self::Lines => "lines",
            Self::Deleted => "deleted",
            Self::SystemNotes => "system_notes",
        }
    }
}

/// How far the stream has been read; `None` before the first sweep.
pub async fn get(
    executor: impl PgExecutor<'_>,
    account: &AccountId,
    record_type: &RecordType,
    stream: Stream,
) -> Result<Option<Timestamp>, StoreError> {
    let row = sqlx::query(
        "select last_modified from sync.sync_watermark where account_id = $1 and record_type = $2 and stream = $3",
    )
    .bind(account.as_str())
    .bind(record_type.as_str())
    .bind(stream.as_str())
    .fetch_optional(executor)
    .await
    .map_err(StoreError::database("read a watermark"))?;
    row.map(|row| row.try_get::<Instant, _>("last_modified").map(|at| at.0))
        .transpose()
        .map_err(StoreError::database("read a watermark"))
}

/// Moves the watermark forward, never back: a second poller that is behind changes nothing.
pub async fn set(
    executor: impl PgExecutor<'_>,
    account: &AccountId,
    record_type: &RecordType,
    stream: Stream,
    last_modified: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into sync.sync_watermark as w (account_id, record_type, stream, last_modified, last_polled)
         values ($1, $2, $3, $4, $5)
         on conflict (account_id, record_type, stream) do update
            set last_modified = greatest(w.last_modified, excluded.last_modified),
                last_polled = greatest(w.last_polled, excluded.last_polled),
                last_event_seen = case when excluded.last_modified > w.last_modified then excluded.last_polled
                                       else w.last_event_seen end",
    )
    .bind(account.as_str())
    .bind(record_type.as_str())
    .bind(stream.as_str())
    .bind(Instant(last_modified))
    .bind(Instant(now))
    .execute(executor)
    .await
    .map_err(StoreError::database("move a watermark"))?;
    Ok(())
}

//! What was decided about a record before: what a version took from whom, and the entry an event became.

use model::record::{Entry, Override};
use model::{EventId, RecordRef, Side};
use sqlx::{PgPool, Row};

use crate::StoreError;
use crate::cells::{Cells, corrupt};

/// What a version recorded as lost, oldest first. An override that moved no version bears the number of the one that
/// stood.
///
/// # Errors
/// The database.
pub async fn lost(pool: &PgPool, record: &RecordRef, version: u64) -> Result<Vec<Override>, StoreError> {
    let rows = sqlx::query(
        "select field, losing_value, losing_side, winning_value, policy, event_id from sync.overrides
          where account_id = $1 and rid = $2 and record_type = $3 and version = $4 order by id",
    )
    .bind(record.account.as_str())
    .bind(record.rid.0)
    .bind(record.record_type.as_str())
    .bind(i64::try_from(version).unwrap_or(i64::MAX))
    .fetch_all(pool)
    .await
    .map_err(StoreError::database("read what a version took"))?;
    rows.iter()
        .map(|row| {
            let mut cells = Cells::of(row);
            Ok(Override {
                field: cells.next()?,
                losing_value: cells.json()?,
                losing_side: cells.word("losing_side", Side::parse)?,
                winning_value: cells.json()?,
                policy: cells.next()?,
                version,
                event_id: cells.next()?,
            })
        })
        .collect()
}

/// An entry by its event id, and where it led.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    /// The entry.
    pub entry: Entry,
    /// The version it led to, if to any.
    pub version: Option<u64>,
}

/// The entry of this event id in a record's log; `None` when there is none, or it is a hint.
///
/// # Errors
/// The database.
pub async fn made(pool: &PgPool, record: &RecordRef, event_id: EventId) -> Result<Option<Made>, StoreError> {
    let what = "read an entry";
    let row = sqlx::query(
        "select e.entry, (select v.version from sync.versions v
                           where v.account_id = e.account_id and v.rid = e.rid and v.event_id = e.event_id)
           from sync.event_log e
          where e.account_id = $1 and e.event_id = $2 and e.rid = $3 and e.entry is not null",
    )
    .bind(record.account.as_str())
    .bind(event_id)
    .bind(record.rid.0)
    .fetch_optional(pool)
    .await
    .map_err(StoreError::database(what))?;
    let Some(row) = row else { return Ok(None) };
    let mut cells = Cells::of(&row);
    let entry = cells.json()?;
    let version: Option<i64> = row.try_get(1).map_err(StoreError::database(what))?;
    let negative = |_| corrupt("version", &event_id.to_string(), "a version is not negative");
    Ok(Some(Made { entry, version: version.map(u64::try_from).transpose().map_err(negative)? }))
}

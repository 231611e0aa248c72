//! `sync.sync_error_queue`: what failed and waits for a person.

use std::collections::BTreeMap;

use model::{ErrorClass, EventId, Rid, Timestamp};
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgExecutor};

use crate::StoreError;
use crate::cells::{Cells, corrupt};
use crate::instant::maybe;
use crate::json_text;

/// Something that failed, on its way into the queue.
#[derive(Debug, Clone, PartialEq)]
pub struct NewError {
    /// The tenant; empty when the message did not say or nobody could read it.
    pub account_id: String,
    /// The type, if known.
    pub record_type: Option<String>,
    /// The side's id of the record, if known.
    pub record_id: Option<String>,
    /// The record, if known.
    pub rid: Option<Rid>,
    /// The event, if the message named one.
    pub event_id: Option<EventId>,
    /// Where it came from: a logical topic, or the part of Concord that refused. With `message_id` the identity.
    pub topic: String,
    /// The broker's id of the message, or another name the same failure always has.
    pub message_id: String,
    /// The class.
    pub class: ErrorClass,
    /// A stable short code.
    pub code: String,
    /// One sentence; never a value.
    pub reason: String,
    /// More, as JSON; never a value.
    pub details: serde_json::Value,
    /// The message as it came; `None` when the row is not about a message.
    pub payload: Option<Vec<u8>>,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
    /// Deliveries so far.
    pub attempts: u32,
    /// When it failed first.
    pub first_failed_at: Option<Timestamp>,
}

impl Default for NewError {
    fn default() -> Self {
        Self {
            account_id: String::new(),
            record_type: None,
            record_id: None,
            rid: None,
            event_id: None,
            topic: String::new(),
            message_id: String::new(),
            class: ErrorClass::Irrecoverable,
            code: String::new(),
            reason: String::new(),
            details: serde_json::Value::Object(serde_json::Map::new()),
            payload: None,
            attributes: BTreeMap::new(),
            attempts: 0,
            first_failed_at: None,
        }
    }
}

impl NewError {
    /// Failures that look alike have one fingerprint: account, type, class and code.
    pub fn fingerprint(&self) -> String {
        let record_type = self.record_type.as_deref().unwrap_or_default();
        let mut hash = Sha256::new();
        for part in [self.account_id.as_str(), record_type, self.class.as_str(), self.code.as_str()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Inserts failures; one that is known by topic and message id keeps its row. Answers how many were new.
pub async fn insert(conn: &mut PgConnection, rows: &[NewError]) -> Result<u64, StoreError> {
    let mut inserted = 0;
    for row in rows {
        inserted += insert_one(conn, row).await?;
    }
    Ok(inserted)
}

async fn insert_one(conn: &mut PgConnection, row: &NewError) -> Result<u64, StoreError> {
    let clean = |text: &str| json_text::without_nul(text);
    let done = sqlx::query(
        "insert into sync.sync_error_queue (account_id, record_type, record_id, rid, event_id, topic, message_id, class,
             code, reason, details, fingerprint, payload, attributes, attempts, first_failed_at, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::jsonb, $12, $13, $14::jsonb, $15, $16, now())
         on conflict (topic, message_id) do nothing",
    )
    .bind(clean(&row.account_id))
    .bind(row.record_type.as_deref().map(clean))
    .bind(row.record_id.as_deref().map(clean))
    .bind(row.rid.map(|rid| rid.0))
    .bind(row.event_id)
    .bind(clean(&row.topic))
    .bind(clean(&row.message_id))
    .bind(row.class.as_str())
    .bind(clean(&row.code))
    .bind(clean(&row.reason))
    .bind(json_text::write_mended(&row.details).0)
    .bind(row.fingerprint())
    .bind(row.payload.as_deref())
    .bind(json_text::write_mended(&row.attributes).0)
    .bind(i32::try_from(row.attempts).unwrap_or(i32::MAX))
    .bind(maybe(row.first_failed_at))
    .execute(conn)
    .await
    .map_err(StoreError::database("insert an error"))?;
    Ok(done.rows_affected())
}

/// Failures that look alike.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// What they have in common.
    pub fingerprint: String,
    /// The tenant.
    pub account_id: String,
    /// The type, if known.
    pub record_type: Option<String>,
    /// The class.
    pub class: ErrorClass,
    /// The code.
    pub code: String,
    /// The newest one's sentence.
    pub reason: String,
    /// How many.
    pub count: u64,
    /// When the oldest came in.
    pub first: Timestamp,
    /// When the newest came in.
    pub last: Timestamp,
}

/// Groups of failures at most.
const MAX_GROUPS: i64 = 500;

/// Open failures by fingerprint, largest group first.
pub async fn groups(executor: impl PgExecutor<'_>, accounts: &[String]) -> Result<Vec<Group>, StoreError> {
    let rows = sqlx::query(
        "select fingerprint, account_id, min(record_type), min(class), min(code),
                (array_agg(reason order by id desc))[1], count(*), min(created_at), max(created_at)
         from sync.sync_error_queue where account_id = any($1) and status = 'open'
         group by account_id, fingerprint order by count(*) desc, fingerprint limit $2",
    )
    .bind(accounts)
    .bind(MAX_GROUPS)
    .fetch_all(executor)
    .await
    .map_err(StoreError::database("group errors"))?;
    let time = |at: Option<Timestamp>| at.ok_or_else(|| corrupt("created_at", "sync_error_queue", "it has a time"));
    rows.iter()
        .map(|row| {
            let mut cells = Cells::of(row);
            Ok(Group {
                fingerprint: cells.next()?,
                account_id: cells.next()?,
                record_type: cells.next()?,
                class: cells.word("class", ErrorClass::parse)?,
                code: cells.next()?,
                reason: cells.next()?,
                count: cells.count()?,
                first: time(cells.instant()?)?,
                last: time(cells.instant()?)?,
            })
        })
        .collect()
}

/// Numbers of a group's open failures, oldest first, at most `limit`.
pub async fn of_group(
    executor: impl PgExecutor<'_>,
    accounts: &[String],
    fingerprint: &str,
    limit: i64,
) -> Result<Vec<i64>, StoreError> {
    sqlx::query_scalar(
        "select id from sync.sync_error_queue
         where account_id = any($1) and fingerprint = $2 and status = 'open' order by id limit $3",
    )
    .bind(accounts)
    .bind(fingerprint)
    .bind(limit)
    .fetch_all(executor)
    .await
    .map_err(StoreError::database("list a group of errors"))
}

//! One bad record never stops a batch (semantics §6).
//!
//! A batch is stored behind a savepoint. If Postgres or the store refuses it for its content, it is rolled back to there
//! and stored record by record, each behind a savepoint of its own, all under the locks taken before. A record that is
//! refused alone is left as it was, locked with reason `error`, and put into `sync_error_queue`: nothing is dropped, and
//! nobody works on it until a person releases it. Outages are not refusals: they end the transaction.

use std::time::Duration;

use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::save::{self, Change};
use crate::StoreError;
use crate::errors::{self, NewError};
use crate::handoff::Committed;

/// Stores changes; those that are refused end in the error queue. Answers the messages that leave with the transaction.
pub(super) async fn apply(
    conn: &mut PgConnection,
    changes: &[Change<'_>],
    patience: Duration,
) -> Result<Vec<Committed>, StoreError> {
    if !changes.iter().any(Change::has_more_than_head) {
        return save::apply(conn, changes, patience).await;
    }
    control(conn, "savepoint batch").await?;
    match save::apply(conn, changes, patience).await {
        Err(refusal) if refusal.is_about_content() => {}
        stored => return stored,
    }
    control(conn, "rollback to savepoint batch").await?;
    let mut leaving = Vec::new();
    for change in changes {
        control(conn, "savepoint one").await?;
        match save::apply(conn, std::slice::from_ref(change), patience).await {
            Err(refusal) if refusal.is_about_content() => {
                control(conn, "rollback to savepoint one").await?;
                set_aside(conn, change, &refusal).await?;
            }
            stored => leaving.extend(stored?),
        }
        control(conn, "release savepoint one").await?;
    }
    Ok(leaving)
}

async fn control(conn: &mut PgConnection, statement: &'static str) -> Result<(), StoreError> {
    sqlx::raw_sql(statement).execute(conn).await.map(drop).map_err(StoreError::database("set a savepoint"))
}

/// Locks the record and tells why, in one row each; the same refusal of the same state leaves the same rows.
async fn set_aside(conn: &mut PgConnection, change: &Change<'_>, refusal: &StoreError) -> Result<(), StoreError> {
    let key = change.key();
    let identity = format!("{key}|{}", change.before().head.record_seq);
    let reason = refusal.content_reason();
    tracing::error!(record = %key, reason, "a record could not be stored, it is locked until a person has looked at it");
    let entry = NewError {
        account_id: key.account.as_str().to_owned(),
        record_type: Some(key.record_type.as_str().to_owned()),
        rid: Some(key.rid),
        topic: "store".to_owned(),
        message_id: identity.clone(),
        class: model::ErrorClass::Irrecoverable,
        code: "store_refused".to_owned(),
        reason: reason.clone(),
        details: json!({
            "entries": change.patch.log.iter().map(|row| row.entry.kind()).collect::<Vec<_>>(),
            "version": change.after().head.version,
        }),
        ..NewError::default()
    };
    errors::insert(conn, &[entry]).await?;
    sqlx::query(
        "with locked as (
            insert into sync.record_lock (account_id, lock_id, record_type, rid, reason, note, locked_at)
            values ($1, $4, $2, $3, 'error', $5, now())
            on conflict (account_id, lock_id) do update set released_at = null, released_by = null
         )
         update sync.record_head
         set has_locks = true, locked = true, merge_at = null, lease_owner = null, lease_until = null,
             sx_ready_at = null, sx_act_at = case when sx_inflight_write_id is not null then sx_act_at end,
             ns_ready_at = null, ns_act_at = case when ns_inflight_write_id is not null then ns_act_at end
         where account_id = $1 and record_type = $2 and rid = $3",
    )
    .bind(key.account.as_str())
    .bind(key.record_type.as_str())
    .bind(key.rid.0)
    .bind(Uuid::new_v5(&Uuid::NAMESPACE_OID, identity.as_bytes()))
    .bind(reason)
    .execute(conn)
    .await
    .map(drop)
    .map_err(StoreError::database("set a record aside"))
}

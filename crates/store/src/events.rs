//! `sync.events`: the immutable log as it is asked.

use std::collections::HashSet;

use model::{AccountId, EventId};
use sqlx::PgExecutor;

use crate::StoreError;

/// Which of these event ids have arrived: they are in the account's log, or in the error queue because their message
/// was refused. Sending a refused one again would only be refused again.
pub async fn known(
    executor: impl PgExecutor<'_>,
    account: &AccountId,
    ids: &[EventId],
) -> Result<HashSet<EventId>, StoreError> {
    let found: Vec<EventId> = sqlx::query_scalar(
        "select event_id from sync.event_log where account_id = $1 and event_id = any($2)
             union
             select event_id from sync.sync_error_queue where account_id = $1 and event_id = any($2)",
    )
    .bind(account.as_str())
    .bind(ids)
    .fetch_all(executor)
    .await
    .map_err(StoreError::database("look for event ids"))?;
    Ok(found.into_iter().collect())
}

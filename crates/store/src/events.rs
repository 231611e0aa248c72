//! `sync.events`: the immutable log as it is asked.

use std::collections::HashSet;

use model::{AccountId, EventId};
use sqlx::PgExecutor;

use crate::StoreError;

/// Which of these event ids are in the account's log.
pub async fn known(
    executor: impl PgExecutor<'_>,
    account: &AccountId,
    ids: &[EventId],
) -> Result<HashSet<EventId>, StoreError> {
    let found: Vec<EventId> =
        sqlx::query_scalar("select event_id from sync.event_log where account_id = $1 and event_id = any($2)")
            .bind(account.as_str())
            .bind(ids)
            .fetch_all(executor)
            .await
            .map_err(StoreError::database("look for event ids"))?;
    Ok(found.into_iter().collect())
}

//! `sync.account`: tenants as operated.

use model::AccountId;
use sqlx::{PgExecutor, Row};

use crate::StoreError;

/// Accounts that nothing may be written for at present.
pub async fn suspended(executor: impl PgExecutor<'_>) -> Result<Vec<AccountId>, StoreError> {
    let rows = sqlx::query("select account_id from sync.account where suspended")
        .fetch_all(executor)
        .await
        .map_err(StoreError::database("list suspended accounts"))?;
    rows.iter()
        .map(|row| {
            let id: String = row.try_get("account_id").map_err(StoreError::database("list suspended accounts"))?;
            AccountId::parse(&id).map_err(|bad| StoreError::Corrupt {
                table: "sync.account",
                column: "account_id",
                row: id.clone(),
                reason: bad.to_string(),
            })
        })
        .collect()
}

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

/// Makes the accounts of the accounts file known. What people set since (suspension, limits) stands; an account that
/// the file suspends is suspended when it is new.
pub async fn introduce(executor: impl PgExecutor<'_>, accounts: &[(AccountId, bool, u32)]) -> Result<(), StoreError> {
    let ids: Vec<&str> = accounts.iter().map(|(id, _, _)| id.as_str()).collect();
    let suspended: Vec<bool> = accounts.iter().map(|(_, suspended, _)| *suspended).collect();
    let ceilings: Vec<i32> = accounts.iter().map(|(_, _, n)| i32::try_from(*n).unwrap_or(i32::MAX).max(1)).collect();
    sqlx::query(
        "with introduced as (
            insert into sync.account (account_id, suspended, slot_ceiling, slot_limit)
            select * from unnest($1::text[], $2::boolean[], $3::integer[], $3::integer[])
            on conflict (account_id) do nothing
         )
         insert into sync.account_slot (account_id, n)
         select account_id, n from unnest($1::text[], $3::integer[]) as a (account_id, ceiling),
             generate_series(1, ceiling) as n
         on conflict do nothing",
    )
    .bind(ids)
    .bind(suspended)
    .bind(ceilings)
    .execute(executor)
    .await
    .map_err(StoreError::database("introduce accounts"))?;
    Ok(())
}

/// Suspends or resumes writes. Answers false when the account is unknown.
pub async fn set_suspended(
    executor: impl PgExecutor<'_>,
    account: &AccountId,
    suspended: bool,
) -> Result<bool, StoreError> {
    let done = sqlx::query("update sync.account set suspended = $2, updated_at = now() where account_id = $1")
        .bind(account.as_str())
        .bind(suspended)
        .execute(executor)
        .await
        .map_err(StoreError::database("suspend an account"))?;
    Ok(done.rows_affected() == 1)
}

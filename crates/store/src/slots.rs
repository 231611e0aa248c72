//! `sync.account_slot`: how many requests at once an account's NetSuite gets from all of us together (semantics §6).
//!
//! A slot lease bounds load only; correctness never depends on it. The limit adapts: one more per clean minute, half
//! on a refusal for concurrency, between one and the account's ceiling.

use std::time::Duration;

use model::{AccountId, Timestamp};
use sqlx::PgExecutor;

use crate::StoreError;
use crate::instant::Instant;

/// The right to one request at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// The account.
    pub account: AccountId,
    /// Which of its slots.
    pub n: i32,
    /// Tells this lease from the next.
    pub token: i64,
}

/// How long the limit stays before it may grow by one.
pub const CLEAN: Duration = Duration::from_secs(60);

/// Takes a free slot until `now + lease`; `None` when the account has none left.
pub async fn acquire(
    executor: impl PgExecutor<'_>,
    account: &AccountId,
    owner: &str,
    lease: Duration,
    now: Timestamp,
) -> Result<Option<Slot>, StoreError> {
    let until = now.checked_add(lease).unwrap_or(now);
    let taken: Option<(i32, i64)> = sqlx::query_as(
        // Materialized: a sub-select could be run once for every row, and each time find another.
        "with free as materialized (
            select f.n from sync.account_slot f join sync.account a using (account_id)
            where f.account_id = $1 and f.n <= a.slot_limit and f.lease_until <= $4
            order by f.n limit 1 for update of f skip locked
         )
         update sync.account_slot s set owner = $2, lease_until = $3, token = s.token + 1
         from free
         where s.account_id = $1 and s.n = free.n
         returning s.n, s.token",
    )
    .bind(account.as_str())
    .bind(owner)
    .bind(Instant(until))
    .bind(Instant(now))
    .fetch_optional(executor)
    .await
    .map_err(StoreError::database("take a slot"))?;
    Ok(taken.map(|(n, token)| Slot { account: account.clone(), n, token }))
}

/// Gives a slot back. One whose lease ran out and went to another stays the other's.
pub async fn release(executor: impl PgExecutor<'_>, slot: &Slot) -> Result<(), StoreError> {
    sqlx::query(
        "update sync.account_slot set owner = null, lease_until = '-infinity'
         where account_id = $1 and n = $2 and token = $3",
    )
    .bind(slot.account.as_str())
    .bind(slot.n)
    .bind(slot.token)
    .execute(executor)
    .await
    .map(drop)
    .map_err(StoreError::database("give a slot back"))
}

/// The account was refused for concurrency: half as many requests from now on, at least one. Refusals of requests that
/// were sent before the limit last moved say nothing new: `sent_at` tells. Answers the limit.
pub async fn halve(
    executor: impl PgExecutor<'_>,
    account: &AccountId,
    sent_at: Timestamp,
    now: Timestamp,
) -> Result<u32, StoreError> {
    limit_after(
        executor,
        "update sync.account
         set slot_limit = case when slot_moved_at is null or slot_moved_at < $2 then greatest(1, slot_limit / 2)
                               else slot_limit end,
             slot_moved_at = case when slot_moved_at is null or slot_moved_at < $2 then $3 else slot_moved_at end
         where account_id = $1 returning slot_limit",
        account,
        sent_at,
        now,
    )
    .await
}

/// A request was answered: one more at once when the limit has stood for [`CLEAN`]. Answers the limit.
pub async fn grow(executor: impl PgExecutor<'_>, account: &AccountId, now: Timestamp) -> Result<u32, StoreError> {
    let stood_since = now.checked_sub(CLEAN).unwrap_or(now);
    limit_after(
        executor,
        "update sync.account
         set slot_limit = case when slot_moved_at <= $2 then least(slot_ceiling, slot_limit + 1) else slot_limit end,
             slot_moved_at = case when slot_moved_at <= $2 or slot_moved_at is null then $3 else slot_moved_at end
         where account_id = $1 returning slot_limit",
        account,
        stood_since,
        now,
    )
    .await
}

async fn limit_after(
    executor: impl PgExecutor<'_>,
    sql: &'static str,
    account: &AccountId,
    instant: Timestamp,
    now: Timestamp,
) -> Result<u32, StoreError> {
    let limit: Option<i32> = sqlx::query_scalar(sql)
        .bind(account.as_str())
        .bind(Instant(instant))
        .bind(Instant(now))
        .fetch_optional(executor)
        .await
        .map_err(StoreError::database("move a slot limit"))?;
    Ok(limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(1))
}

/// Slots in use per account, for the gauge.
pub async fn in_use(executor: impl PgExecutor<'_>, account: &AccountId, now: Timestamp) -> Result<u64, StoreError> {
    let count: i64 =
        sqlx::query_scalar("select count(*) from sync.account_slot where account_id = $1 and lease_until > $2")
            .bind(account.as_str())
            .bind(Instant(now))
            .fetch_one(executor)
            .await
            .map_err(StoreError::database("count slots"))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

#[cfg(test)]
mod tests;

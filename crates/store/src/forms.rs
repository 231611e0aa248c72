//! `sync.form_rollout`: how far a type's records have been brought into the form of its rules (semantics §2.1). A net with a
//! memory: each record is brought there anyway by whoever folds it first.

use model::{AccountId, RecordType, Rid, Timestamp};
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::StoreError;
use crate::instant::Instant;

/// Where the rollout of this form stands: `Some(None)` at its beginning, `Some(rid)` behind that record, `None` when it is
/// through. Another form than the one before begins anew.
///
/// # Errors
/// The database.
pub async fn place(
    executor: impl PgExecutor<'_>,
    account: &AccountId,
    record_type: &RecordType,
    form: &str,
    now: Timestamp,
) -> Result<Option<Option<Rid>>, StoreError> {
    let (position, through): (Option<Uuid>, bool) = sqlx::query_as(
        "insert into sync.form_rollout as f (account_id, record_type, form, started_at) values ($1, $2, $3, $4)
         on conflict (account_id, record_type) do update
            set form = $3,
                position = case when f.form = $3 then f.position end,
                records = case when f.form = $3 then f.records else 0 end,
                changed = case when f.form = $3 then f.changed else 0 end,
                started_at = case when f.form = $3 then f.started_at else $4 end,
                finished_at = case when f.form = $3 then f.finished_at end
         returning position, finished_at is not null",
    )
    .bind(account.as_str())
    .bind(record_type.as_str())
    .bind(form)
    .bind(Instant(now))
    .fetch_one(executor)
    .await
    .map_err(StoreError::database("begin a rollout of a form"))?;
    Ok((!through).then_some(position.map(Rid)))
}

/// A page of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page<'a> {
    /// The tenant.
    pub account: &'a AccountId,
    /// The type.
    pub record_type: &'a RecordType,
    /// The form.
    pub form: &'a str,
    /// Where it began.
    pub from: Option<Rid>,
    /// Its last record.
    pub last: Option<Rid>,
    /// Records looked at.
    pub records: u64,
    /// Those of them whose form changed.
    pub changed: u64,
    /// It was the last.
    pub ends: bool,
}

/// Stores a page's progress. False: another process was there first, and nothing is stored.
///
/// # Errors
/// The database.
pub async fn advance(executor: impl PgExecutor<'_>, page: &Page<'_>, now: Timestamp) -> Result<bool, StoreError> {
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let done = sqlx::query(
        "update sync.form_rollout
            set position = coalesce($5, position), records = records + $6, changed = changed + $7,
                finished_at = case when $8 then $9 end
          where account_id = $1 and record_type = $2 and form = $3 and position is not distinct from $4
            and finished_at is null",
    )
    .bind(page.account.as_str())
    .bind(page.record_type.as_str())
    .bind(page.form)
    .bind(page.from.map(|rid| rid.0))
    .bind(page.last.map(|rid| rid.0))
    .bind(count(page.records))
    .bind(count(page.changed))
    .bind(page.ends)
    .bind(Instant(now))
    .execute(executor)
    .await
    .map_err(StoreError::database("store a rollout's progress"))?;
    Ok(done.rows_affected() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_rollout_goes_on_where_it_was_ends_once_and_begins_anew_with_another_form() {
        let db = pgtest::database().await;
        let pool = db.pool(2).await;
        let (account, record_type) = (AccountId::parse("A").unwrap(), RecordType::parse("customer").unwrap());
        let now = Timestamp::from_second(1_790_000_000).unwrap();
        let rid = |n: u128| Some(Rid(Uuid::from_u128(n)));
        let begun = async |form: &str| place(&pool, &account, &record_type, form, now).await.unwrap();
        assert_eq!(begun("one").await, Some(None));
        let page = Page {
            account: &account,
            record_type: &record_type,
            form: "one",
            from: None,
            last: rid(5),
            records: 10,
            changed: 3,
            ends: false,
        };
        assert!(advance(&pool, &page, now).await.unwrap());
        assert!(!advance(&pool, &page, now).await.unwrap(), "a second process was on the same page");
        assert_eq!(begun("one").await, Some(rid(5)));
        let last = Page { from: rid(5), last: None, records: 0, changed: 0, ends: true, ..page };
        assert!(advance(&pool, &last, now).await.unwrap());
        assert_eq!(begun("one").await, None);
        let counted: (i64, i64) =
            sqlx::query_as("select records, changed from sync.form_rollout").fetch_one(&pool).await.unwrap();
        assert_eq!(counted, (10, 3));
        assert_eq!(begun("two").await, Some(None));
        assert!(!advance(&pool, &last, now).await.unwrap(), "a page of the form before");
    }
}

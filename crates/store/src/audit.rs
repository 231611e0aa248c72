//! `console.audit`: what people do. A row is written before the deed and told its end after it, so that nothing is done
//! without a row; one whose end is missing was interrupted.

use model::{AccountId, RecordRef};
use sqlx::PgExecutor;

use crate::StoreError;
use crate::error::expect_rows;

/// A human action: names, never values of fields.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Action<'a> {
    /// Who.
    pub actor: &'a str,
    /// The verb.
    pub action: &'static str,
    /// The tenant, where the action is about one.
    pub account: Option<&'a AccountId>,
    /// The record, where it is about one.
    pub record: Option<&'a RecordRef>,
    /// What it is done to where that is no record, or is a part of one.
    pub subject: &'a str,
    /// What the person wrote about it.
    pub note: &'a str,
}

/// Writes that a person is about to do something; answers the row's id.
///
/// # Errors
/// The database.
pub async fn begin(executor: impl PgExecutor<'_>, action: &Action<'_>) -> Result<i64, StoreError> {
    let account = action.account.or(action.record.map(|record| &record.account));
    // Postgres has no text for a NUL, and a note is nobody's proof of anything but itself.
    let (subject, note) = (action.subject.replace('\0', "\u{fffd}"), action.note.replace('\0', "\u{fffd}"));
    sqlx::query_scalar(
        "insert into console.audit (actor, action, account_id, record_type, rid, subject, note)
         values ($1, $2, $3, $4, $5, $6, $7) returning id",
    )
    .bind(action.actor)
    .bind(action.action)
    .bind(account.map(AccountId::as_str))
    .bind(action.record.map(|record| record.record_type.as_str()))
    .bind(action.record.map(|record| record.rid.0))
    .bind(subject)
    .bind(note)
    .fetch_one(executor)
    .await
    .map_err(StoreError::database("note an action"))
}

/// Notes how it ended: `done`, or the code of the refusal.
///
/// # Errors
/// The database, or no such row without an end.
pub async fn end(executor: impl PgExecutor<'_>, id: i64, outcome: &str) -> Result<(), StoreError> {
    let what = "note the end of an action";
    let done = sqlx::query("update console.audit set outcome = $2 where id = $1 and outcome is null")
        .bind(id)
        .bind(outcome)
        .execute(executor)
        .await
        .map_err(StoreError::database(what))?;
    expect_rows(what, 1, done.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{RecordType, Rid};
    use uuid::Uuid;

    #[tokio::test]
    async fn an_action_is_begun_and_ended_once() {
        let db = pgtest::database().await;
        let pool = db.pool(2).await;
        let record = RecordRef {
            account: AccountId::parse("A").unwrap(),
            record_type: RecordType::parse("customer").unwrap(),
            rid: Rid(Uuid::from_u128(7)),
        };
        let action = Action {
            actor: "jo",
            action: "undo",
            record: Some(&record),
            subject: "phone",
            note: "a\0b",
            ..Action::default()
        };
        let id = begin(&pool, &action).await.unwrap();
        let open: Option<String> =
            sqlx::query_scalar("select outcome from console.audit").fetch_one(&pool).await.unwrap();
        assert_eq!(open, None);
        end(&pool, id, "done").await.unwrap();
        let told = end(&pool, id, "failed").await;
        assert!(matches!(told, Err(StoreError::RowCount { actual: 0, .. })), "{told:?}");
        let row: (String, String, String, Uuid, String, String) = sqlx::query_as(
            "select actor, action, account_id, rid, note, outcome from console.audit where record_type = 'customer'",
        )
        .fetch_one(&pool)
        .await
        .unwrap();
        let text = str::to_owned;
        assert_eq!(row, (text("jo"), text("undo"), text("A"), record.rid.0, text("a\u{fffd}b"), text("done")));
    }
}

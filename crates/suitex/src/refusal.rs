//! What the database's errors mean for a read and for a write. Its messages may quote values, so only codes and names
//! of tables, columns and constraints are passed on.

use std::time::Duration;

use model::{ErrorClass, Failure, RemoteError, Side, WriteOutcome};
use sqlx::postgres::PgDatabaseError;

use crate::SuitexError;

/// How long an account whose database has no connection to spare is left alone.
const NO_CONNECTION_WAIT: Duration = Duration::from_secs(5);

/// When in its life a write failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Before COMMIT was sent: whatever happened, it cannot land.
    BeforeCommit,
    /// While COMMIT was under way: without an answer nobody knows.
    AtCommit,
}

fn postgres(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    match error {
        sqlx::Error::Database(database) => database.try_downcast_ref::<PgDatabaseError>(),
        _ => None,
    }
}

/// Does the error say that a record was created for this rid and generation before?
pub(crate) fn created_before(error: &sqlx::Error) -> bool {
    postgres(error).is_some_and(|e| e.code() == "23505" && e.constraint() == Some("sync_inbox_create"))
}

/// Does the error say that tables are not as they were when the layout was read?
pub(crate) fn layout_changed(error: &sqlx::Error) -> bool {
    postgres(error).is_some_and(|e| matches!(e.code(), "42P01" | "42703" | "42804" | "42846" | "42704" | "0A000"))
}

/// What a failed write came to.
pub(crate) fn outcome(error: &sqlx::Error, moment: Moment) -> WriteOutcome {
    let Some(database) = postgres(error) else {
        return match moment {
            Moment::BeforeCommit => WriteOutcome::NotSent,
            Moment::AtCommit => WriteOutcome::Unknown,
        };
    };
    let code = database.code();
    if created_before(error) {
        return WriteOutcome::Duplicate;
    }
    match &code[..code.len().min(2)] {
        // Deferred constraints speak at COMMIT: a plain refusal too, the server has rolled back.
        "22" | "23" | "44" | "P0" => WriteOutcome::Invalid { code: code.to_owned(), message: sentence(database) },
        // Serialisation, deadlock: rolled back, whenever it is said.
        "40" => WriteOutcome::NotSent,
        // Connection lost, shut down, crashed: said at COMMIT, it may have been too late.
        "08" | "57" if moment == Moment::AtCommit && code != "57014" => WriteOutcome::Unknown,
        "53" => WriteOutcome::Throttled { retry_after: Some(NO_CONNECTION_WAIT) },
        "28" => WriteOutcome::Refused { code: code.to_owned() },
        // Rights, and tables that are not what the record types say: the account needs a person, not the record.
        "42" | "3F" | "3D" => WriteOutcome::Refused { code: code.to_owned() },
        _ if moment == Moment::AtCommit => WriteOutcome::Unknown,
        _ => WriteOutcome::NotSent,
    }
}

fn sentence(error: &PgDatabaseError) -> String {
    let what = match error.code() {
        "23502" => "a column that must be filled would be empty",
        "23503" => "it points to a row that is not there, or rows that point to it are in the way",
        "23505" => "a value that must be unique is taken",
        "23514" => "a check of the application forbids the value",
        "23P01" => "an exclusion rule of the application forbids the value",
        "22001" => "the text is too long for its column",
        "22003" => "the number is out of its column's range",
        "22P02" | "22007" | "22008" => "a value does not have its column's form",
        "P0001" => "a trigger of the application refused it",
        _ => "the database refused it",
    };
    let places = [("table", error.table()), ("column", error.column()), ("constraint", error.constraint())];
    let places: Vec<_> = places.iter().filter_map(|(word, name)| name.map(|name| format!("{word} {name}"))).collect();
    if places.is_empty() {
        format!("SuiteX did not take the write: {what}")
    } else {
        format!("SuiteX did not take the write: {what} ({})", places.join(", "))
    }
}

/// What a failed read came to.
pub(crate) fn read_error(error: &SuitexError) -> RemoteError {
    let side = Side::Suitex;
    let unreadable = || RemoteError::Unreadable {
        side,
        failure: Failure::new(ErrorClass::Operational, "suitex_layout", error.to_string()),
    };
    match error {
        SuitexError::Database(database) => database_read_error(database),
        SuitexError::Layout { .. } | SuitexError::Name { .. } | SuitexError::Outbox { .. } => unreadable(),
        SuitexError::Account(_) => RemoteError::Forbidden { side, code: "unknown_account".to_owned() },
        SuitexError::Migrate(_) | SuitexError::Url(_) => unreadable(),
    }
}

fn database_read_error(error: &sqlx::Error) -> RemoteError {
    let side = Side::Suitex;
    let Some(database) = postgres(error) else {
        let code = match error {
            sqlx::Error::PoolTimedOut => "no_connection",
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) => "connection",
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnIndexOutOfBounds { .. } => {
                let reason = "a row of the tenant's database has another shape than was asked for";
                let failure = Failure::new(ErrorClass::Operational, "suitex_shape", reason);
                return RemoteError::Unreadable { side, failure };
            }
            _ => "client",
        };
        return RemoteError::Unavailable { side, code: code.to_owned(), retry_after: None };
    };
    let code = database.code().to_owned();
    match &code[..code.len().min(2)] {
        "28" => RemoteError::Forbidden { side, code },
        _ if code == "42501" => RemoteError::Forbidden { side, code },
        "42" | "3F" | "3D" | "22" => {
            let reason = format!("the tenant's tables are not as the record types say ({code})");
            RemoteError::Unreadable { side, failure: Failure::new(ErrorClass::Operational, "suitex_layout", reason) }
        }
        "53" => RemoteError::Unavailable { side, code, retry_after: Some(NO_CONNECTION_WAIT) },
        _ => RemoteError::Unavailable { side, code, retry_after: None },
    }
}

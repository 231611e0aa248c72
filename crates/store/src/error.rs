//! What can go wrong between Concord and its Postgres.

/// A failure of the store. Kept whole (with its source) so that the error policy can tell an outage from a bug.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Postgres did not answer, refused, or broke off: operational, worth trying again.
    #[error("the database did not carry out {what}")]
    Database {
        /// The verb and noun of the statement.
        what: &'static str,
        /// Postgres' or the driver's own error.
        #[source]
        source: sqlx::Error,
    },
    /// The schema could not be brought up to date.
    #[error("the schema could not be brought up to date")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// A plan asked for something the model does not allow: a bug in the plan.
    #[error("what the plan asks for {record} cannot be stored: {reason}")]
    Refused {
        /// The record.
        record: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Others were faster each time: worth trying again.
    #[error("others were faster in {what}, {attempts} times in a row")]
    Contended {
        /// The verb and noun of the transaction.
        what: &'static str,
        /// How often it was tried.
        attempts: usize,
    },
    /// A statement touched another number of rows than the model allows.
    #[error("{what} touched {actual} rows where {expected} were expected")]
    RowCount {
        /// The verb and noun of the statement.
        what: &'static str,
        /// Rows the model allows.
        expected: u64,
        /// Rows touched.
        actual: u64,
    },
    /// A stored value contradicts the model.
    #[error("{table}.{column} of {row} cannot be read: {reason}")]
    Corrupt {
        /// Schema-qualified table.
        table: &'static str,
        /// Column.
        column: &'static str,
        /// The row's key.
        row: String,
        /// What was expected.
        reason: String,
    },
}

impl StoreError {
    /// Wraps a driver error with the verb and noun of the statement.
    pub fn database(what: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Database { what, source }
    }

    /// True when the statement may succeed unchanged when tried again (serialization failure, deadlock, lost connection).
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Database { source, .. } => match source {
                sqlx::Error::Database(db) => db.code().is_some_and(|c| {
                    c.starts_with("40") || c.starts_with("08") || c.starts_with("53") || c.starts_with("57")
                }),
                // What was answered cannot be read: it will be answered again.
                sqlx::Error::ColumnDecode { .. }
                | sqlx::Error::Decode(_)
                | sqlx::Error::ColumnIndexOutOfBounds { .. } => false,
                _ => true,
            },
            Self::Contended { .. } => true,
            Self::Migration(_) | Self::Refused { .. } | Self::RowCount { .. } | Self::Corrupt { .. } => false,
        }
    }

    /// True when the statement was refused for what it carried, not for the state of the database: the same content will
    /// be refused again, other content will not.
    pub fn is_about_content(&self) -> bool {
        match self {
            Self::Database { source: sqlx::Error::Database(db), .. } => {
                // 22 data exception, 23 constraint violation, 54 limit exceeded
                db.code().is_some_and(|code| ["22", "23", "54"].iter().any(|class| code.starts_with(class)))
            }
            Self::Refused { .. } | Self::RowCount { .. } => true,
            Self::Database { .. } | Self::Migration(_) | Self::Contended { .. } | Self::Corrupt { .. } => false,
        }
    }

    /// One sentence for a person about a refusal; names constraints and codes, never values.
    pub(crate) fn content_reason(&self) -> String {
        match self {
            Self::Database { what, source: sqlx::Error::Database(db) } => {
                let code = db.code().unwrap_or_default();
                let constraint = db.constraint().unwrap_or("none named");
                format!("Postgres refused to {what} (code {code}, constraint {constraint})")
            }
            other => other.to_string(),
        }
    }
}

/// A statement that touched another number of rows than it was given met rows nobody may have changed.
pub(crate) fn expect_rows(what: &'static str, expected: usize, actual: u64) -> Result<(), StoreError> {
    match actual == expected as u64 {
        true => Ok(()),
        false => Err(StoreError::RowCount { what, expected: expected as u64, actual }),
    }
}

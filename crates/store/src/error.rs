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
                sqlx::Error::Database(db) => {
                    db.code().is_some_and(|c| c.starts_with("40") || c.starts_with("08") || c.starts_with("53") || c.starts_with("57"))
                }
                _ => true,
            },
            Self::RowCount { .. } | Self::Corrupt { .. } => false,
        }
    }
}

//! What can go wrong outside the port: set-up, capture and configuration.

use model::{AccountId, ErrorClass, Failure};

/// A tenant database that cannot be used as asked.
#[derive(Debug, thiserror::Error)]
pub enum SuitexError {
    /// The database did not answer, or refused.
    #[error("the tenant's database failed")]
    Database(#[from] sqlx::Error),
    /// Schema `concord` could not be brought up to date.
    #[error("the tenant's schema concord could not be migrated")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A table or column is not as the record types say.
    #[error("record type {record_type}, {place}: found {found}; accepted: {accepted}")]
    Layout {
        /// The type.
        record_type: String,
        /// Which field and column, or which table.
        place: String,
        /// What the database has.
        found: String,
        /// What it should have.
        accepted: String,
    },
    /// A name from the configuration is no name of a table or column.
    #[error("{what} must be a name, optionally with a schema and one dot before it; found {found:?}")]
    Name {
        /// Which setting.
        what: &'static str,
        /// What was read.
        found: String,
    },
    /// A connection string that cannot be read (it is not shown: it may hold a password).
    #[error("the tenant's database_url cannot be read; accepted: postgres://user:password@host:port/database")]
    Url(#[source] Option<sqlx::Error>),
    /// No database is configured for the account.
    #[error("account {0} has no SuiteX database")]
    Account(AccountId),
    /// A row of the outbox that contradicts its own table.
    #[error("concord.outbox_events row {id}: {reason}")]
    Outbox {
        /// Its id.
        id: i64,
        /// What is wrong, without values.
        reason: String,
    },
}

impl SuitexError {
    /// The class that decides what becomes of the work: all of these are ours or the tenant's to mend, none says
    /// anything about a message.
    pub fn class(&self) -> ErrorClass {
        ErrorClass::Operational
    }

    /// The error as a failure on its way to a queue. Database text stays out, it may hold values.
    pub fn failure(&self) -> Failure {
        Failure::new(self.class(), "suitex_database", self.to_string())
    }
}

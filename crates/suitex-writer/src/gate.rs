//! Which accounts may be written to now: not those a person has suspended.

use std::collections::HashSet;
use std::sync::RwLock;

use async_trait::async_trait;
use chassis::duty::{Duty, Turn};
use model::AccountId;
use sqlx::PgPool;

/// Suspended accounts, refreshed from the database so that a suspension reaches every replica within seconds.
pub(crate) struct Gate {
    pool: PgPool,
    suspended: RwLock<HashSet<AccountId>>,
}

impl Gate {
    /// A gate that holds back what the accounts file suspends until the database has been asked.
    pub(crate) fn new(pool: PgPool, suspended: HashSet<AccountId>) -> Self {
        Self { pool, suspended: RwLock::new(suspended) }
    }

    /// May this account be written to?
    pub(crate) fn open(&self, account: &AccountId) -> bool {
        // A poisoned lock means a panic while a set was swapped: hold back rather than write where a person said no.
        self.suspended.read().is_ok_and(|suspended| !suspended.contains(account))
    }
}

#[async_trait]
impl Duty for Gate {
    async fn turn(&self) -> anyhow::Result<Turn> {
        let now = store::accounts::suspended(&self.pool).await?.into_iter().collect();
        if let Ok(mut suspended) = self.suspended.write() {
            *suspended = now;
        }
        Ok(Turn::default())
    }
}

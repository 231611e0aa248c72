//! Which accounts may be written to now: not those a person has suspended.

use std::collections::HashSet;
use std::sync::{Arc, RwLock};

use async_trait::async_trait;
use model::AccountId;
use sqlx::PgPool;
use store::StoreError;

use crate::duty::{Duty, Turn};
use crate::patience;
use crate::service::Parts;

/// Suspended accounts, refreshed from the database every few seconds so that a suspension reaches every replica.
#[derive(Debug)]
pub struct Gate {
    pool: PgPool,
    suspended: RwLock<HashSet<AccountId>>,
}

impl Gate {
    /// Introduces the accounts and asks which are suspended, as long as it takes: nobody writes before that is known.
    /// `None` when told to stop meanwhile.
    pub async fn open(parts: &Parts) -> Option<Arc<Self>> {
        let meanwhile = "nothing is written before it is known which accounts are suspended";
        let suspended = patience::ask(parts, "suspended accounts", meanwhile, || Box::pin(ask(parts))).await?;
        Some(Arc::new(Self { pool: parts.pool.clone(), suspended: RwLock::new(suspended) }))
    }

    /// May this account be written to?
    pub fn may_write(&self, account: &AccountId) -> bool {
        // A poisoned lock means a panic while a set was swapped: hold back rather than write where a person said no.
        self.suspended.read().is_ok_and(|suspended| !suspended.contains(account))
    }
}

/// Makes the accounts of the accounts file known to the database: there they can be suspended, and an account the file
/// suspends begins suspended.
///
/// # Errors
/// The database.
pub async fn introduce(parts: &Parts) -> Result<(), StoreError> {
    let accounts: Vec<_> =
        parts.accounts.iter().map(|a| (a.id.clone(), a.suspended, a.netsuite.concurrency_limit)).collect();
    store::accounts::introduce(&parts.pool, &accounts).await
}

async fn ask(parts: &Parts) -> Result<HashSet<AccountId>, StoreError> {
    introduce(parts).await?;
    Ok(store::accounts::suspended(&parts.pool).await?.into_iter().collect())
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

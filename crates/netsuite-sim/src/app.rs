//! All accounts of the process, found by id or realm.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::account::Account;
use crate::auth::TokenKey;
use crate::clock::Clock;

/// What every request handler shares.
pub(crate) struct App {
    pub(crate) clock: Arc<Clock>,
    pub(crate) tokens: TokenKey,
    /// By realm.
    accounts: BTreeMap<String, Arc<Account>>,
    serial: AtomicU64,
}

impl App {
    pub(crate) fn new(clock: Arc<Clock>, tokens: TokenKey, accounts: Vec<Account>) -> Self {
        let accounts = accounts.into_iter().map(|account| (account.config.realm(), Arc::new(account))).collect();
        Self { clock, tokens, accounts, serial: AtomicU64::new(0) }
    }

    /// The account of that id, in either spelling.
    pub(crate) fn account(&self, id: &str) -> Option<&Arc<Account>> {
        self.accounts.get(&id.to_uppercase().replace('-', "_"))
    }

    /// The account of exactly that realm: a wrong case fails the login, as it does in NetSuite.
    pub(crate) fn realm(&self, realm: &str) -> Option<&Arc<Account>> {
        self.accounts.get(realm)
    }

    pub(crate) fn accounts(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.accounts.values()
    }

    /// A number that no other token of this process has.
    pub(crate) fn next_serial(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }
}

//! The account's concurrency pool: REST and RESTlets share it, and so does load that is only pretended.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

/// Slots of one account. Requests over the limit are refused, never queued.
#[derive(Debug)]
pub(crate) struct Pool {
    limit: AtomicU32,
    running: AtomicU32,
    phantom: AtomicU32,
    integrations: Mutex<Vec<Integration>>,
}

/// Another integration of the account, which is only pretended.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Integration {
    pub(crate) name: String,
    /// Slots it uses all the time.
    pub(crate) concurrency: u32,
}

/// A slot, held while a request runs.
pub(crate) struct Slot<'a> {
    pool: &'a Pool,
    /// Requests running when this one began, itself included; phantom load too.
    pub(crate) running: u32,
}

impl Pool {
    pub(crate) fn new(limit: u32) -> Self {
        Self {
            limit: AtomicU32::new(limit),
            running: AtomicU32::new(0),
            phantom: AtomicU32::new(0),
            integrations: Mutex::default(),
        }
    }

    /// Takes a slot, unless none is left.
    pub(crate) fn enter(&self) -> Option<Slot<'_>> {
        let free = self.limit().saturating_sub(self.phantom.load(Ordering::Acquire));
        let taken = self
            .running
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |running| (running < free).then_some(running + 1));
        taken.ok().map(|before| Slot { pool: self, running: before + 1 })
    }

    /// Pretends that others use slots: so many, and those of the integrations named.
    pub(crate) fn pretend(&self, concurrency: u32, integrations: Vec<Integration>) {
        let named = integrations.iter().fold(0_u32, |sum, own| sum.saturating_add(own.concurrency));
        self.phantom.store(concurrency.saturating_add(named), Ordering::Release);
        *self.integrations.lock().unwrap_or_else(PoisonError::into_inner) = integrations;
    }

    /// The pretended load as the control API shows it.
    pub(crate) fn phantoms(&self) -> Json {
        let integrations = self.integrations.lock().unwrap_or_else(PoisonError::into_inner);
        let concurrency = self.phantom.load(Ordering::Acquire);
        json!({ "concurrency": concurrency, "limit": self.limit(), "integrations": *integrations })
    }

    pub(crate) fn limit(&self) -> u32 {
        self.limit.load(Ordering::Acquire)
    }

    /// Changes how many requests may run at once; those that run go on.
    pub(crate) fn resize(&self, limit: u32) {
        self.limit.store(limit, Ordering::Release);
    }

    /// Slots that no other integration holds for itself.
    pub(crate) fn unallocated(&self) -> u32 {
        self.limit().saturating_sub(self.phantom.load(Ordering::Acquire))
    }

    /// Slots that nobody uses.
    pub(crate) fn free(&self) -> u32 {
        let used = self.running.load(Ordering::Acquire) + self.phantom.load(Ordering::Acquire);
        self.limit().saturating_sub(used)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.pool.running.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phantom_load_takes_slots() {
        let pool = Pool::new(2);
        let first = pool.enter();
        assert!(first.is_some());
        pool.pretend(0, vec![Integration { name: "EDI".to_owned(), concurrency: 1 }]);
        assert!(pool.enter().is_none());
        pool.pretend(0, Vec::new());
        let second = pool.enter();
        assert!(second.is_some());
        assert!(pool.enter().is_none());
        drop(first);
        assert_eq!(pool.enter().map(|slot| slot.running), Some(2));
    }
}

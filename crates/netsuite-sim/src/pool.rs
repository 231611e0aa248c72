//! The account's concurrency pool: REST and RESTlets share it, and so does load that is only pretended.

use std::sync::atomic::{AtomicU32, Ordering};

/// Slots of one account. Requests over the limit are refused, never queued.
#[derive(Debug)]
pub(crate) struct Pool {
    limit: AtomicU32,
    running: AtomicU32,
    phantom: AtomicU32,
}

/// A slot, held while a request runs.
pub(crate) struct Slot<'a> {
    pool: &'a Pool,
    /// Requests running when this one began, itself included; phantom load too.
    pub(crate) running: u32,
}

impl Pool {
    pub(crate) fn new(limit: u32) -> Self {
        Self { limit: AtomicU32::new(limit), running: AtomicU32::new(0), phantom: AtomicU32::new(0) }
    }

    /// Takes a slot, unless none is left.
    pub(crate) fn enter(&self) -> Option<Slot<'_>> {
        let free = self.limit().saturating_sub(self.phantom.load(Ordering::Acquire));
        let taken = self
            .running
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |running| (running < free).then_some(running + 1));
        taken.ok().map(|before| Slot { pool: self, running: before + 1 })
    }

    /// Pretends that others use that many slots.
    pub(crate) fn pretend(&self, phantom: u32) {
        self.phantom.store(phantom, Ordering::Release);
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
        pool.pretend(1);
        assert!(pool.enter().is_none());
        pool.pretend(0);
        let second = pool.enter();
        assert!(second.is_some());
        assert!(pool.enter().is_none());
        drop(first);
        assert_eq!(pool.enter().map(|slot| slot.running), Some(2));
    }
}

//! What this process knows about messages that failed before.
//!
//! The broker's own count is not enough: Pub/Sub counts on its best effort, counts innocent messages that were given back
//! behind a failed one, and counts outages. So failures are counted here, and the broker's number only seeds the count
//! when a message is met for the first time, one short of the last attempt at most: nothing is given up on without having
//! failed here twice.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::Timestamp;

use crate::bus::MessageId;

/// Most failed messages remembered; beyond it the oldest is forgotten, which costs it a few attempts more.
const REMEMBERED: usize = 20_000;

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    first: Timestamp,
    place: u64,
}

#[derive(Debug, Default)]
struct State {
    by_id: HashMap<MessageId, Failures>,
    order: BTreeMap<u64, MessageId>,
    next: u64,
}

#[derive(Debug, Default)]
pub(super) struct Retries(Mutex<State>);

impl Retries {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a failure; returns how many attempts have failed and when the first did.
    pub(super) fn failed(&self, id: &MessageId, broker_attempt: u32, max: u32, now: Timestamp) -> (u32, Timestamp) {
        let mut state = self.lock();
        if let Some(known) = state.by_id.get_mut(id) {
            known.count = known.count.saturating_add(1);
            return (known.count, known.first);
        }
        let count = broker_attempt.min(max.saturating_sub(1)).max(1);
        let place = state.next;
        state.next += 1;
        state.by_id.insert(id.clone(), Failures { count, first: now, place });
        state.order.insert(place, id.clone());
        while state.order.len() > REMEMBERED {
            if let Some((_, oldest)) = state.order.pop_first() {
                state.by_id.remove(&oldest);
            }
        }
        (count, now)
    }

    /// The message is done with.
    pub(super) fn forget(&self, id: &MessageId) {
        let mut state = self.lock();
        if let Some(known) = state.by_id.remove(id) {
            state.order.remove(&known.place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn failures_are_counted_from_the_first() {
        let (retries, id) = (Retries::default(), MessageId::new("m"));
        assert_eq!(retries.failed(&id, 1, 5, at(10)), (1, at(10)));
        assert_eq!(retries.failed(&id, 9, 5, at(20)), (2, at(10)), "the broker's number is not asked twice");
        retries.forget(&id);
        assert_eq!(retries.failed(&id, 1, 5, at(30)), (1, at(30)));
    }

    #[test]
    fn a_message_met_late_gets_one_more_attempt_at_least() {
        let retries = Retries::default();
        assert_eq!(retries.failed(&MessageId::new("a"), 3, 5, at(0)).0, 3);
        assert_eq!(retries.failed(&MessageId::new("b"), 40, 5, at(0)).0, 4);
        assert_eq!(retries.failed(&MessageId::new("c"), 0, 5, at(0)).0, 1);
        assert_eq!(retries.failed(&MessageId::new("d"), 7, 1, at(0)).0, 1);
    }

    #[test]
    fn memory_is_bounded() {
        let retries = Retries::default();
        for n in 0..REMEMBERED + 100 {
            retries.failed(&MessageId::new(n.to_string()), 1, 5, at(0));
        }
        assert_eq!(retries.lock().by_id.len(), REMEMBERED);
        assert_eq!(retries.lock().order.len(), REMEMBERED);
    }
}

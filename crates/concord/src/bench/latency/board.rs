//! Which edits have not been seen on the other side yet, and how long those took that have.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Edits in one direction. Every edit writes a number no other has; numbers of one record rise.
#[derive(Debug, Default)]
pub struct Board {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// By the id of the record on the side that is watched.
    pending: HashMap<String, VecDeque<Pending>>,
    open: usize,
    seen: Vec<Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    number: u64,
    made_at: Instant,
}

/// An edit that arrived.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// When it was made.
    pub made_at: Instant,
    /// How long until it was seen across, in seconds.
    pub seconds: f64,
    /// A later edit of the same field was seen first: this one's value was never shown, and need not be.
    pub superseded: bool,
}

impl Board {
    /// An edit is about to be made; `watched_id` is the record's id on the side where it shall appear.
    pub fn made(&self, watched_id: &str, number: u64, made_at: Instant) {
        let mut inner = self.inner();
        inner.open += 1;
        inner.pending.entry(watched_id.to_owned()).or_default().push_back(Pending { number, made_at });
    }

    /// The record shows this number now: it and all before it have arrived.
    pub fn shows(&self, watched_id: &str, number: u64, at: Instant) {
        let mut inner = self.inner();
        let Inner { pending, open, seen } = &mut *inner;
        let Some(waiting) = pending.get_mut(watched_id) else { return };
        while let Some(first) = waiting.front().copied().filter(|first| first.number <= number) {
            waiting.pop_front();
            *open -= 1;
            let seconds = at.saturating_duration_since(first.made_at).as_secs_f64();
            seen.push(Seen { made_at: first.made_at, seconds, superseded: first.number < number });
        }
    }

    /// Edits not seen yet.
    pub fn open(&self) -> usize {
        self.inner().open
    }

    /// Everything that arrived.
    pub fn seen(&self) -> Vec<Seen> {
        self.inner().seen.clone()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_later_value_answers_for_the_earlier_ones_of_its_record_alone() {
        let board = Board::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        board.made("7", 1, at(0));
        board.made("8", 2, at(1));
        board.made("7", 3, at(2));
        board.shows("7", 0, at(3));
        assert_eq!(board.open(), 3, "an older value answers nothing");
        board.shows("7", 3, at(5));
        board.shows("9", 3, at(5));
        let seen: Vec<_> = board.seen().iter().map(|s| (s.seconds, s.superseded)).collect();
        assert_eq!((seen, board.open()), (vec![(5.0, true), (3.0, false)], 1));
        board.shows("7", 3, at(9));
        assert_eq!(board.seen().len(), 2, "seen once");
    }
}

//! Lanes in this process: what waits, what is handed out, and which lane may be touched.
//!
//! Used where the broker does not do it for us: by the in-memory bus, and in front of Pub/Sub, whose streams hand out
//! later messages of a key while earlier ones are unacknowledged.

use std::collections::{BTreeMap, HashMap};

/// A lane, or a message that wants no order (its own lane of one).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum LaneKey {
    Keyed(String),
    Free(u64),
}

impl LaneKey {
    pub(crate) fn of(ordering_key: Option<&str>, seq: u64) -> Self {
        ordering_key.map_or(Self::Free(seq), |key| Self::Keyed(key.to_owned()))
    }
}

/// One message taken out of the book.
#[derive(Debug)]
pub(crate) struct Taken<T> {
    pub(crate) lane: LaneKey,
    pub(crate) seq: u64,
    pub(crate) item: T,
}

#[derive(Debug)]
struct Lane<T> {
    waiting: BTreeMap<u64, T>,
    out: usize,
}

/// Messages by lane, in `seq` order within a lane. A lane with something handed out gives nothing more until all of it
/// is settled.
#[derive(Debug)]
pub(crate) struct LaneBook<T> {
    lanes: HashMap<LaneKey, Lane<T>>,
    /// Lanes with waiting messages and none handed out, oldest head first.
    ready: BTreeMap<u64, LaneKey>,
    waiting: usize,
}

impl<T> LaneBook<T> {
    pub(crate) fn new() -> Self {
        Self { lanes: HashMap::new(), ready: BTreeMap::new(), waiting: 0 }
    }

    /// Messages not handed out.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Adds a message, or puts one back at its old place.
    pub(crate) fn push(&mut self, key: LaneKey, seq: u64, item: T) {
        self.mark_unready(&key);
        let lane = self.lanes.entry(key.clone()).or_insert_with(|| Lane { waiting: BTreeMap::new(), out: 0 });
        if lane.waiting.insert(seq, item).is_none() {
            self.waiting += 1;
        }
        self.mark_ready(key);
    }

    /// Hands out up to `max` messages: whole lanes, the lane with the oldest head first.
    pub(crate) fn take(&mut self, max: usize) -> Vec<Taken<T>> {
        let mut taken = Vec::new();
        while taken.len() < max {
            let Some((_, key)) = self.ready.pop_first() else { break };
            let lane = self.lanes.get_mut(&key).expect("a ready lane is in the book");
            while taken.len() < max {
                let Some((seq, item)) = lane.waiting.pop_first() else { break };
                lane.out += 1;
                self.waiting -= 1;
                taken.push(Taken { lane: key.clone(), seq, item });
            }
        }
        taken
    }

    /// One handed-out message of the lane is done with.
    pub(crate) fn settle(&mut self, key: &LaneKey) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        lane.out = lane.out.saturating_sub(1);
        if lane.out > 0 {
            return;
        }
        if lane.waiting.is_empty() {
            self.lanes.remove(key);
        } else {
            self.mark_ready(key.clone());
        }
    }

    /// Takes away what waits in a lane, in order: it is given back to the broker with the message before it.
    pub(crate) fn drain_lane(&mut self, key: &LaneKey) -> Vec<T> {
        self.mark_unready(key);
        let Some(lane) = self.lanes.get_mut(key) else { return Vec::new() };
        let drained: Vec<T> = std::mem::take(&mut lane.waiting).into_values().collect();
        if lane.out == 0 {
            self.lanes.remove(key);
        }
        self.waiting -= drained.len();
        drained
    }

    /// Takes away everything that waits, oldest first.
    pub(crate) fn drain(&mut self) -> Vec<T> {
        self.ready.clear();
        self.waiting = 0;
        let mut all = BTreeMap::new();
        for lane in self.lanes.values_mut() {
            all.append(&mut lane.waiting);
        }
        self.lanes.retain(|_, lane| lane.out > 0);
        all.into_values().collect()
    }

    fn mark_unready(&mut self, key: &LaneKey) {
        if let Some(head) = self.lanes.get(key).and_then(|lane| lane.waiting.keys().next()) {
            self.ready.remove(head);
        }
    }

    fn mark_ready(&mut self, key: LaneKey) {
        let Some(lane) = self.lanes.get(&key) else { return };
        if lane.out == 0
            && let Some(head) = lane.waiting.keys().next()
        {
            self.ready.insert(*head, key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(entries: &[(&str, u64)]) -> LaneBook<u64> {
        let mut book = LaneBook::new();
        for (key, seq) in entries {
            book.push(LaneKey::Keyed((*key).into()), *seq, *seq);
        }
        book
    }

    fn items(taken: &[Taken<u64>]) -> Vec<u64> {
        taken.iter().map(|t| t.item).collect()
    }

    #[test]
    fn whole_lanes_come_first_and_a_busy_lane_waits() {
        let mut book = book(&[("a", 1), ("b", 2), ("a", 3), ("b", 4), ("a", 5)]);
        let first = book.take(2);
        assert_eq!(items(&first), [1, 3]);
        let second = book.take(10);
        assert_eq!(items(&second), [2, 4], "lane a is busy, its 5 waits");
        book.settle(&first[0].lane);
        assert!(book.take(10).is_empty());
        book.settle(&first[1].lane);
        assert_eq!(items(&book.take(10)), [5]);
    }

    #[test]
    fn what_is_put_back_comes_before_what_waited_behind_it() {
        let mut book = book(&[("a", 1), ("a", 2)]);
        let first = book.take(1);
        book.push(first[0].lane.clone(), 1, 1);
        book.settle(&first[0].lane);
        assert_eq!(items(&book.take(10)), [1, 2]);
    }

    #[test]
    fn messages_without_a_key_never_wait_for_one_another() {
        let mut book = LaneBook::new();
        for seq in 0..3u64 {
            book.push(LaneKey::of(None, seq), seq, seq);
        }
        assert_eq!(items(&book.take(1)), [0]);
        assert_eq!(items(&book.take(2)), [1, 2]);
    }

    #[test]
    fn draining_a_lane_takes_only_what_waits() {
        let mut book = book(&[("a", 1), ("a", 2), ("b", 3)]);
        let first = book.take(1);
        assert_eq!(book.drain_lane(&first[0].lane), [2]);
        assert_eq!(book.waiting(), 1);
        book.settle(&first[0].lane);
        assert_eq!(book.drain(), [3]);
        assert_eq!(book.waiting(), 0);
    }
}

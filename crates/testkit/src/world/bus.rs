//! The bus in memory: at least once, in order per record or in none, and it keeps all it ever carried.

use model::{ChangeEvent, RecordRef, Side};

/// A message that waits or is being worked on.
#[derive(Debug, Clone)]
pub struct Message<T> {
    /// Its number.
    pub id: u64,
    /// Messages of one key are kept in order, where the run keeps order.
    pub key: String,
    /// The content.
    pub body: T,
    /// Somebody works on it.
    pub taken: bool,
}

/// "Look at this record: this side may be owed something."
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Doorbell {
    /// The side that may be owed something.
    pub target: Side,
    /// The record.
    pub record: RecordRef,
}

/// One topic.
#[derive(Debug)]
pub struct Topic<T> {
    waiting: Vec<Message<T>>,
    /// Everything ever published.
    pub ever: Vec<(String, T)>,
    next: u64,
}

/// The topics the core uses.
#[derive(Debug, Default)]
pub struct Bus {
    /// `events.raw`.
    pub raw: Topic<ChangeEvent>,
    /// `events.merged`.
    pub merged: Topic<Doorbell>,
    /// `events.error`: attributes of every message.
    pub errors: Vec<std::collections::BTreeMap<String, String>>,
}

impl<T> Default for Topic<T> {
    fn default() -> Self {
        Self { waiting: Vec::new(), ever: Vec::new(), next: 0 }
    }
}

impl<T: Clone> Topic<T> {
    /// Publishes; the broker has it when this returns.
    pub fn publish(&mut self, key: String, body: T) {
        self.ever.push((key.clone(), body.clone()));
        self.push(key, body);
    }

    /// Delivers everything ever published once more (I4).
    pub fn redeliver_all(&mut self) {
        for (key, body) in self.ever.clone() {
            self.push(key, body);
        }
    }

    fn push(&mut self, key: String, body: T) {
        self.next += 1;
        self.waiting.push(Message { id: self.next, key, body, taken: false });
    }

    /// Messages that may be delivered now: any that nobody works on; in an ordered run only the first of each key.
    pub fn ready(&self, ordered: bool) -> Vec<&Message<T>> {
        let first = |at: usize| !self.waiting[..at].iter().any(|earlier| earlier.key == self.waiting[at].key);
        let free = |(at, message): &(usize, &Message<T>)| !message.taken && (!ordered || first(*at));
        self.waiting.iter().enumerate().filter(free).map(|(_, message)| message).collect()
    }

    /// True when nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Marks a message as being worked on, or free again.
    pub fn set_taken(&mut self, id: u64, taken: bool) {
        for message in self.waiting.iter_mut().filter(|message| message.id == id) {
            message.taken = taken;
        }
    }

    /// Acknowledges: the message is delivered no more.
    pub fn acknowledge(&mut self, id: u64) {
        self.waiting.retain(|message| message.id != id);
    }
}

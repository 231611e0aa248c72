//! The bus of a world: at least once, in order per record or in none, and it keeps all it ever carried. In memory, unless a
//! [`Carrier`] takes the messages out to a broker and brings them back; who is delivered what and when the world decides.

use std::fmt::Debug;

use model::{ChangeEvent, RecordRef, Side};
use store::records::Outgoing;

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

/// What a message says.
pub trait Body: Clone + PartialEq + Debug {
    /// Reads it from what travelled.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn open(letter: &Outgoing) -> Result<Self, String>;
}

impl Body for ChangeEvent {
    fn open(letter: &Outgoing) -> Result<Self, String> {
        model::wire::decode_change_message(&letter.payload, &letter.attributes).map_err(|failure| failure.to_string())
    }
}

impl Body for Doorbell {
    fn open(letter: &Outgoing) -> Result<Self, String> {
        let event = model::wire::decode_merged(&letter.payload).map_err(|error| error.to_string())?;
        let record = RecordRef { account: event.account, record_type: event.record_type, rid: event.rid };
        Ok(Self { target: event.target, record })
    }
}

/// Carries a topic's messages outside the world, each under the number the world knows it by.
///
/// A carrier waits for facts as long as it must and panics when they do not come: the world cannot go on without them.
pub trait Carrier: Debug + Send {
    /// Publishes a message.
    fn publish(&mut self, id: u64, letter: &Outgoing);
    /// Waits until these have arrived and hands them out, in this order.
    fn take(&mut self, ids: &[u64]) -> Vec<Outgoing>;
    /// Gives one back that was handed out: it will be taken again.
    fn give_back(&mut self, id: u64);
    /// Acknowledges one that was handed out.
    fn acknowledge(&mut self, id: u64);
}

/// A message that was published.
#[derive(Debug, Clone)]
pub struct Published<T> {
    /// Messages of one key are kept in order, where the run keeps order.
    pub key: String,
    /// The content.
    pub body: T,
    /// As it travels; only where something carries it.
    letter: Option<Outgoing>,
}

/// One topic.
#[derive(Debug)]
pub struct Topic<T> {
    waiting: Vec<Message<T>>,
    /// Everything ever published.
    pub ever: Vec<Published<T>>,
    next: u64,
    carrier: Option<Box<dyn Carrier>>,
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
        Self { waiting: Vec::new(), ever: Vec::new(), next: 0, carrier: None }
    }
}

impl Bus {
    /// A bus whose topics are carried outside.
    pub fn carried(raw: Box<dyn Carrier>, merged: Box<dyn Carrier>) -> Self {
        Self {
            raw: Topic { carrier: Some(raw), ..Topic::default() },
            merged: Topic { carrier: Some(merged), ..Topic::default() },
            errors: Vec::new(),
        }
    }
}

impl<T: Body> Topic<T> {
    /// Publishes; the broker has it when this returns. `letter` is how it travels, where it does.
    pub fn publish(&mut self, key: String, body: T, letter: impl FnOnce() -> Outgoing) {
        let letter = self.carrier.is_some().then(letter);
        let published = Published { key, body, letter };
        self.ever.push(published.clone());
        self.push(published);
    }

    /// Delivers everything ever published once more (I4).
    pub fn redeliver_all(&mut self) {
        for published in self.ever.clone() {
            self.push(published);
        }
    }

    fn push(&mut self, Published { key, body, letter }: Published<T>) {
        self.next += 1;
        if let (Some(carrier), Some(letter)) = (&mut self.carrier, &letter) {
            carrier.publish(self.next, letter);
        }
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

    /// Does a message of this number wait, or is it being worked on?
    pub fn has(&self, id: u64) -> bool {
        self.waiting.iter().any(|message| message.id == id)
    }

    /// Takes messages to work on them: what they say, as it arrived.
    ///
    /// # Errors
    /// A message arrived otherwise than it was published.
    pub fn take(&mut self, ids: &[u64]) -> Result<Vec<T>, String> {
        let mut bodies = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(message) = self.waiting.iter_mut().find(|message| message.id == *id) else {
                return Err(format!("message {id} does not wait"));
            };
            message.taken = true;
            bodies.push(message.body.clone());
        }
        let Some(carrier) = &mut self.carrier else { return Ok(bodies) };
        let arrived: Vec<T> = carrier.take(ids).iter().map(T::open).collect::<Result<_, _>>()?;
        if arrived != bodies {
            return Err(format!("{bodies:?} arrived as {arrived:?}"));
        }
        Ok(arrived)
    }

    /// Gives a message back that was taken: it is delivered again.
    pub fn give_back(&mut self, id: u64) {
        if let Some(message) = self.waiting.iter_mut().find(|message| message.id == id) {
            message.taken = false;
        }
        if let Some(carrier) = &mut self.carrier {
            carrier.give_back(id);
        }
    }

    /// Acknowledges: the message is delivered no more.
    pub fn acknowledge(&mut self, id: u64) {
        self.waiting.retain(|message| message.id != id);
        if let Some(carrier) = &mut self.carrier {
            carrier.acknowledge(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::{AccountId, MergedEvent, RecordType, Rid};
    use uuid::Uuid;

    use super::*;

    /// Hands out the first letter for every message.
    #[derive(Debug, Default)]
    struct Careless(Vec<Outgoing>);

    impl Carrier for Careless {
        fn publish(&mut self, _: u64, letter: &Outgoing) {
            self.0.push(letter.clone());
        }

        fn take(&mut self, ids: &[u64]) -> Vec<Outgoing> {
            ids.iter().map(|_| self.0[0].clone()).collect()
        }

        fn give_back(&mut self, _: u64) {}

        fn acknowledge(&mut self, _: u64) {}
    }

    fn letter(target: Side) -> Outgoing {
        let event = MergedEvent {
            event_id: Uuid::from_u128(1),
            account: AccountId::parse("ACCT1").unwrap(),
            record_type: RecordType::parse("thing").unwrap(),
            rid: Rid(Uuid::from_u128(1)),
            target,
            version: 1,
            changes: model::Fields::new(),
            source_event_ids: Vec::new(),
            decisions: BTreeMap::new(),
            occurred_at: None,
        };
        Outgoing {
            topic: "events.merged",
            record_key: "key".to_owned(),
            payload: model::wire::encode_merged(&event),
            attributes: model::wire::merged_attributes(&event).into(),
        }
    }

    #[test]
    fn a_message_that_arrives_as_another_is_found_out() {
        let mut bus = Bus::carried(Box::<Careless>::default(), Box::<Careless>::default());
        for side in Side::BOTH {
            let letter = letter(side);
            let bell = Doorbell::open(&letter).unwrap();
            bus.merged.publish("key".to_owned(), bell, || letter);
        }
        assert_eq!(bus.merged.take(&[1]).unwrap()[0].target, Side::BOTH[0]);
        assert!(bus.merged.take(&[2]).unwrap_err().contains("arrived as"));
        assert!(bus.merged.take(&[3]).unwrap_err().contains("does not wait"));
    }
}

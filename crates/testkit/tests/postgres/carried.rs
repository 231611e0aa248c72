//! Messages of a world on a real bus: published there, received there, and settled there when the world settles them. Whom
//! the world delivers to next is the seed's; a message it wants is waited for, one that came before it was wanted is held.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chassis::bus::{Bus, Delivery, Message, MessageId, Subscription, SubscriptionSpec, Token};
use chassis::settings::{Topics, topic};
use store::records::Outgoing;
use testkit::world::bus::{Bus as WorldBus, Carrier};
use tokio::runtime::{Handle, Runtime};

use crate::brokers::Broker;

/// Longest wait for a message; the emulator takes its time over one that was given back.
const WITHIN: Duration = Duration::from_secs(30);
/// Most messages received at once.
const BATCH: usize = 100;

/// What buses did.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Messages published.
    pub(crate) published: AtomicU64,
    /// Messages handed to the world, each time it took one.
    pub(crate) taken: AtomicU64,
    /// Deliveries of messages that had been given back.
    pub(crate) again: AtomicU64,
}

impl Tally {
    pub(crate) fn of(count: &AtomicU64) -> u64 {
        count.load(Ordering::Relaxed)
    }
}

/// Both topics of one world on a bus of its own.
pub(crate) struct Carried {
    bus: Arc<dyn Bus>,
    topics: Vec<Arc<Mutex<Line>>>,
}

impl Carried {
    /// Opens the subscriptions of merge-service and of both writers. `ordered`: a record's messages keep their order.
    pub(crate) fn open(runtime: &Runtime, bus: Arc<dyn Bus>, lanes: Lanes, tally: &Arc<Tally>) -> Self {
        let topics = Topics::default();
        let line = |topic, specs: Vec<SubscriptionSpec>| {
            let open = |spec: SubscriptionSpec| {
                // One stream is enough for one world.
                let spec = SubscriptionSpec { streams: 1, ..spec };
                let subscription = runtime.block_on(bus.subscribe(spec.clone())).unwrap();
                Subscriber { spec, subscription }
            };
            Arc::new(Mutex::new(Line {
                runtime: runtime.handle().clone(),
                bus: Arc::clone(&bus),
                topic,
                lanes,
                subscribers: specs.into_iter().map(open).collect(),
                unsent: Vec::new(),
                ids: HashMap::new(),
                sent: HashMap::new(),
                tally: Arc::clone(tally),
            }))
        };
        let raw = line(topic::RAW, vec![topics.merge_service()]);
        let merged = line(topic::MERGED, vec![topics.netsuite_writer(), topics.suitex_writer()]);
        Self { bus, topics: vec![raw, merged] }
    }

    /// The world's bus.
    pub(crate) fn for_world(&self) -> WorldBus {
        let [raw, merged] = [0, 1].map(|at| Box::new(Ends(Arc::clone(&self.topics[at]))));
        WorldBus::carried(raw, merged)
    }

    /// Everything was acknowledged and nothing is left; then the bus is closed.
    pub(crate) fn end(self, runtime: &Runtime, broker: &Broker) {
        for line in &self.topics {
            line.lock().unwrap().ended(broker.never_repeats());
        }
        runtime.block_on(self.bus.close());
    }
}

/// Which messages keep their order.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lanes {
    /// Those of one record.
    Record,
    /// None, by a lane for each.
    Message,
    /// None: no lane is asked for.
    No,
}

/// The world's hold on a line.
#[derive(Debug)]
struct Ends(Arc<Mutex<Line>>);

impl Carrier for Ends {
    fn publish(&mut self, id: u64, letter: &Outgoing) {
        self.0.lock().unwrap().publish(id, letter);
    }

    fn take(&mut self, ids: &[u64]) -> Vec<Outgoing> {
        self.0.lock().unwrap().take(ids)
    }

    fn give_back(&mut self, id: u64) {
        self.0.lock().unwrap().give_back(id);
    }

    fn acknowledge(&mut self, id: u64) {
        self.0.lock().unwrap().acknowledge(id);
    }
}

#[derive(Debug)]
struct Subscriber {
    spec: SubscriptionSpec,
    subscription: Box<dyn Subscription>,
}

/// A message the broker has.
#[derive(Debug)]
struct Sent {
    /// Whose filter lets it through.
    subscriber: usize,
    lane: Option<String>,
    /// Deliveries not settled yet: a broker may deliver anew what it already has delivered.
    held: Vec<Token>,
    message: Option<Message>,
    done: bool,
}

/// One topic on the bus.
#[derive(Debug)]
struct Line {
    runtime: Handle,
    bus: Arc<dyn Bus>,
    topic: &'static str,
    lanes: Lanes,
    subscribers: Vec<Subscriber>,
    /// Published by the world since it last took something: they go in one call, as a relay's do.
    unsent: Vec<(u64, Message)>,
    /// The broker's ids of the world's messages.
    ids: HashMap<u64, MessageId>,
    sent: HashMap<MessageId, Sent>,
    tally: Arc<Tally>,
}

impl Line {
    fn publish(&mut self, id: u64, letter: &Outgoing) {
        let ordering_key = match self.lanes {
            Lanes::Record => Some(letter.record_key.clone()),
            Lanes::Message => Some(format!("{}-{id}", letter.topic)),
            Lanes::No => None,
        };
        let attributes = letter.attributes.clone().into_inner();
        self.unsent.push((id, Message { data: letter.payload.clone(), attributes, ordering_key }));
    }

    fn send(&mut self) {
        if self.unsent.is_empty() {
            return;
        }
        let (ids, messages): (Vec<u64>, Vec<Message>) = std::mem::take(&mut self.unsent).into_iter().unzip();
        let outcomes = self.runtime.block_on(self.bus.publish(self.topic, messages.clone()));
        for ((id, message), outcome) in ids.into_iter().zip(messages).zip(outcomes) {
            let admits = |subscriber: &Subscriber| subscriber.spec.admits(&message);
            let subscriber = self.subscribers.iter().position(admits).expect("somebody subscribes to every message");
            let lane = message.ordering_key;
            let name = outcome.unwrap_or_else(|error| panic!("message {id} of {}: {error}", self.topic));
            self.ids.insert(id, name.clone());
            let sent = Sent { subscriber, lane, held: Vec::new(), message: None, done: false };
            assert!(self.sent.insert(name.clone(), sent).is_none(), "two messages are called {name}");
            self.tally.published.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn take(&mut self, ids: &[u64]) -> Vec<Outgoing> {
        self.send();
        ids.iter().map(|id| self.await_one(*id)).collect()
    }

    fn await_one(&mut self, id: u64) -> Outgoing {
        let name = self.ids[&id].clone();
        while self.sent[&name].held.is_empty() {
            let subscriber = self.sent[&name].subscriber;
            let arrived = self.receive(subscriber, WITHIN);
            assert!(arrived > 0, "message {id} of {} has not arrived in {WITHIN:?}", self.topic);
        }
        self.tally.taken.fetch_add(1, Ordering::Relaxed);
        let message = self.sent[&name].message.clone().expect("a held message was delivered");
        let record_key = message.attributes["record_key"].clone();
        Outgoing { topic: self.topic, record_key, payload: message.data, attributes: message.attributes.into() }
    }

    /// Receives what waits, at least one message if one comes in time; how many came.
    fn receive(&mut self, subscriber: usize, wait: Duration) -> usize {
        let subscription = &self.subscribers[subscriber].subscription;
        let batch = self.runtime.block_on(subscription.next_batch(BATCH, wait)).unwrap();
        let count = batch.len();
        let mut settled = Vec::new();
        for Delivery { message, message_id, attempt, token } in batch {
            let sent = self.sent.get_mut(&message_id);
            let sent = sent.unwrap_or_else(|| panic!("{} delivers what nobody published: {message_id}", self.topic));
            assert_eq!(sent.subscriber, subscriber, "{} delivers {message_id} to another", self.topic);
            if sent.done {
                settled.push(token);
                continue;
            }
            self.tally.again.fetch_add(u64::from(attempt > 1), Ordering::Relaxed);
            sent.held.push(token);
            sent.message = Some(message);
        }
        self.runtime.block_on(self.subscribers[subscriber].subscription.ack(settled)).unwrap();
        count
    }

    /// The lane goes back as a whole: what is behind a message that was refused would keep it from coming again.
    fn give_back(&mut self, id: u64) {
        let name = &self.ids[&id];
        let (subscriber, lane) = (self.sent[name].subscriber, self.sent[name].lane.clone());
        let together = |(other, sent): &(&MessageId, &mut Sent)| {
            *other == name || (lane.is_some() && sent.lane == lane && sent.subscriber == subscriber)
        };
        let lane = self.sent.iter_mut().filter(together);
        let tokens: Vec<Token> = lane.flat_map(|(_, sent)| std::mem::take(&mut sent.held)).collect();
        self.runtime.block_on(self.subscribers[subscriber].subscription.nack(tokens)).unwrap();
    }

    fn acknowledge(&mut self, id: u64) {
        let sent = self.sent.get_mut(&self.ids[&id]).expect("what is acknowledged was published");
        sent.done = true;
        let (subscriber, tokens) = (sent.subscriber, std::mem::take(&mut sent.held));
        assert!(!tokens.is_empty(), "message {id} of {} is acknowledged and was not delivered", self.topic);
        self.runtime.block_on(self.subscribers[subscriber].subscription.ack(tokens)).unwrap();
    }

    /// A world at rest has acknowledged everything; a broker that never repeats has nothing left.
    fn ended(&mut self, never_repeats: bool) {
        assert!(self.unsent.is_empty(), "{} messages of {} were published and wait", self.unsent.len(), self.topic);
        let open = self.sent.values().filter(|sent| !sent.done).count();
        assert_eq!(open, 0, "messages of {} that nobody acknowledged", self.topic);
        for subscriber in 0..self.subscribers.len() {
            let left = self.receive(subscriber, Duration::ZERO);
            assert!(left == 0 || !never_repeats, "{left} acknowledged messages of {} came again", self.topic);
        }
    }
}

//! The in-memory bus: for simulation and unit tests.
//!
//! Deterministic: it spawns nothing, reads no clock and draws no random number. `next_batch` with `Duration::ZERO` never
//! touches a timer; with a longer wait it uses the runtime's (which a test may pause). Leases do not expire by
//! themselves: [`MemoryBus::expire_leases`] is the clock's hand.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use super::book::{LaneBook, LaneKey};
use super::{
    Bus, BusError, Delivery, Message, MessageId, PublishError, Subscription, SubscriptionSpec, Token, Topology,
};

#[derive(Debug)]
struct Queued {
    message: Message,
    id: MessageId,
    attempt: u32,
}

#[derive(Debug)]
struct Out {
    lane: LaneKey,
    seq: u64,
    owner: u64,
    message: Message,
    id: MessageId,
    attempt: u32,
}

#[derive(Debug)]
struct Queue {
    spec: SubscriptionSpec,
    book: LaneBook<Queued>,
    out: BTreeMap<u64, Out>,
    arrived: Arc<Notify>,
}

impl Queue {
    fn give_back(&mut self, token: u64) {
        let Some(out) = self.out.remove(&token) else { return };
        let queued = Queued { message: out.message, id: out.id, attempt: out.attempt + 1 };
        self.book.push(out.lane.clone(), out.seq, queued);
        self.book.settle(&out.lane);
        self.arrived.notify_waiters();
    }

    fn give_back_where(&mut self, which: impl Fn(&Out) -> bool) {
        let tokens: Vec<u64> = self.out.iter().filter(|(_, out)| which(out)).map(|(token, _)| *token).collect();
        for token in tokens {
            self.give_back(token);
        }
    }
}

#[derive(Debug, Default)]
struct State {
    queues: BTreeMap<String, Queue>,
    next: u64,
    closed: bool,
    broken: bool,
    failing: HashMap<String, usize>,
}

impl State {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// A bus in this process. Clones share one broker.
#[derive(Debug, Clone, Default)]
pub struct MemoryBus {
    state: Arc<Mutex<State>>,
}

impl MemoryBus {
    /// An empty broker.
    pub fn new() -> Self {
        Self::default()
    }

    /// While true, every publish fails as if the broker were away.
    pub fn set_broken(&self, broken: bool) {
        self.lock().broken = broken;
    }

    /// Lets the next `times` messages of an ordering key fail as if the broker had not acknowledged them.
    pub fn fail_key(&self, ordering_key: &str, times: usize) {
        self.lock().failing.insert(ordering_key.to_owned(), times);
    }

    /// Gives every unsettled delivery back, as when all leases ran out.
    pub fn expire_leases(&self) {
        for queue in self.lock().queues.values_mut() {
            queue.give_back_where(|_| true);
        }
    }

    /// Messages of a subscription that are waiting or unsettled; zero for an unknown one.
    pub fn backlog(&self, subscription: &str) -> usize {
        self.lock().queues.get(subscription).map_or(0, |queue| queue.book.waiting() + queue.out.len())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while holding the lock cannot leave the maps half changed in a way that matters more than going on.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn publish_one(state: &mut State, topic: &str, message: &Message) -> Result<MessageId, PublishError> {
        if let Some(key) = &message.ordering_key
            && let Some(left) = state.failing.get_mut(key)
            && *left > 0
        {
            *left -= 1;
            return Err(outage());
        }
        let seq = state.number();
        let id = MessageId::new(seq.to_string());
        for queue in state.queues.values_mut() {
            if queue.spec.topic != topic || !queue.spec.admits(message) {
                continue;
            }
            let key = LaneKey::of(message.ordering_key.as_deref(), seq);
            queue.book.push(key, seq, Queued { message: message.clone(), id: id.clone(), attempt: 1 });
            queue.arrived.notify_waiters();
        }
        Ok(id)
    }
}

fn outage() -> PublishError {
    PublishError::Unavailable(Arc::new(std::io::Error::other("the in-memory broker was told to fail")))
}

#[async_trait]
impl Bus for MemoryBus {
    async fn publish(&self, topic: &str, messages: Vec<Message>) -> Vec<Result<MessageId, PublishError>> {
        let mut state = self.lock();
        let mut paused = super::PausedKeys::default();
        messages
            .iter()
            .map(|message| {
                if state.closed {
                    return Err(PublishError::Closed);
                }
                paused.guard(message, || {
                    message.check()?;
                    if state.broken { Err(outage()) } else { Self::publish_one(&mut state, topic, message) }
                })
            })
            .collect()
    }

    async fn subscribe(&self, spec: SubscriptionSpec) -> Result<Box<dyn Subscription>, BusError> {
        let mut state = self.lock();
        if state.closed {
            return Err(BusError::Closed);
        }
        let owner = state.number();
        let Some(queue) = state.queues.get(&spec.name) else {
            return Err(BusError::NoSubscription { name: spec.name });
        };
        let arrived = queue.arrived.clone();
        Ok(Box::new(MemorySubscription { bus: self.clone(), spec, owner, arrived, closed: AtomicBool::new(false) }))
    }

    async fn ensure(&self, topology: &Topology) -> Result<(), BusError> {
        let mut state = self.lock();
        for spec in &topology.subscriptions {
            state.queues.entry(spec.name.clone()).or_insert_with(|| Queue {
                spec: spec.clone(),
                book: LaneBook::new(),
                out: BTreeMap::new(),
                arrived: Arc::new(Notify::new()),
            });
        }
        Ok(())
    }

    async fn ping(&self) -> Result<(), BusError> {
        let state = self.lock();
        match (state.closed, state.broken) {
            (true, _) => Err(BusError::Closed),
            (false, true) => Err(BusError::unavailable("answer")("the in-memory broker was told to fail")),
            (false, false) => Ok(()),
        }
    }

    async fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        for queue in state.queues.values() {
            queue.arrived.notify_waiters();
        }
    }
}

#[derive(Debug)]
struct MemorySubscription {
    bus: MemoryBus,
    spec: SubscriptionSpec,
    owner: u64,
    arrived: Arc<Notify>,
    closed: AtomicBool,
}

impl MemorySubscription {
    fn take(&self, max: usize) -> Result<Vec<Delivery>, BusError> {
        let mut state = self.bus.lock();
        if state.closed || self.closed.load(Ordering::Acquire) {
            return Err(BusError::Closed);
        }
        let mut next = state.next;
        let queue = state.queues.get_mut(&self.spec.name).ok_or(BusError::Closed)?;
        let held = queue.out.values().filter(|out| out.owner == self.owner).count();
        let room = self.spec.max_outstanding.saturating_sub(held);
        let mut deliveries = Vec::new();
        for taken in queue.book.take(max.min(room)) {
            next += 1;
            let Queued { message, id, attempt } = taken.item;
            let out = Out {
                lane: taken.lane,
                seq: taken.seq,
                owner: self.owner,
                message: message.clone(),
                id: id.clone(),
                attempt,
            };
            queue.out.insert(next, out);
            deliveries.push(Delivery { message, message_id: id, attempt, token: Token(next) });
        }
        state.next = next;
        Ok(deliveries)
    }

    fn give_everything_back(&self) {
        self.closed.store(true, Ordering::Release);
        if let Some(queue) = self.bus.lock().queues.get_mut(&self.spec.name) {
            queue.give_back_where(|out| out.owner == self.owner);
            queue.arrived.notify_waiters();
        }
    }
}

#[async_trait]
impl Subscription for MemorySubscription {
    async fn next_batch(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, BusError> {
        let arrivals = async {
            loop {
                let mut notified = std::pin::pin!(self.arrived.notified());
                notified.as_mut().enable();
                let batch = self.take(max)?;
                if !batch.is_empty() {
                    return Ok(batch);
                }
                notified.await;
            }
        };
        if wait.is_zero() {
            return self.take(max);
        }
        tokio::time::timeout(wait, arrivals).await.unwrap_or_else(|_| Ok(Vec::new()))
    }

    async fn ack(&self, tokens: Vec<Token>) -> Result<(), BusError> {
        let mut state = self.bus.lock();
        let queue = state.queues.get_mut(&self.spec.name).ok_or(BusError::Closed)?;
        for token in tokens {
            if let Some(out) = queue.out.remove(&token.0) {
                queue.book.settle(&out.lane);
            }
        }
        queue.arrived.notify_waiters();
        Ok(())
    }

    async fn nack(&self, tokens: Vec<Token>) -> Result<(), BusError> {
        let mut state = self.bus.lock();
        let queue = state.queues.get_mut(&self.spec.name).ok_or(BusError::Closed)?;
        for token in tokens {
            queue.give_back(token.0);
        }
        Ok(())
    }

    async fn close(&self) {
        self.give_everything_back();
    }
}

impl Drop for MemorySubscription {
    fn drop(&mut self) {
        self.give_everything_back();
    }
}

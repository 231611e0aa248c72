//! One subscriber: streams that fill a bounded book of lanes, and the handles that settle messages.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use google_cloud_pubsub::subscriber::MessageStream;
use google_cloud_pubsub::subscriber::handler::Handler;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{ACK_DEADLINE_SECONDS, Inner, is_not_found};
use crate::bus::book::{LaneBook, LaneKey};
use crate::bus::{BusError, Delivery, Message, MessageId, Subscription, SubscriptionSpec, Token};

/// Wait before a stream that ended is opened again.
const REOPEN: Duration = Duration::from_millis(500);
/// How often the broker is asked whether it is there.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// Longest wait at closing for the client to hand its last acknowledgements over.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Most refused messages whose attempts are remembered.
const REMEMBERED: usize = 20_000;

#[derive(Debug)]
pub(super) struct PubSubSubscription {
    shared: Arc<Shared>,
    streams: TaskTracker,
}

#[derive(Debug)]
struct Shared {
    bus: Arc<Inner>,
    spec: SubscriptionSpec,
    state: Mutex<State>,
    arrived: Notify,
    /// Rings when the broker answers again after it did not.
    back: Notify,
    room: Arc<Semaphore>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct State {
    book: LaneBook<Received>,
    out: HashMap<u64, Out>,
    next: u64,
    attempts: Attempts,
}

/// A message in this process; dropping it gives it back to the broker.
#[derive(Debug)]
struct Received {
    message: Message,
    id: MessageId,
    attempt: u32,
    handler: Handler,
    room: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct Out {
    lane: LaneKey,
    id: MessageId,
    attempt: u32,
    handler: Handler,
    _room: OwnedSemaphorePermit,
}

/// Attempts of messages this process has given back.
#[derive(Debug, Default)]
struct Attempts {
    by_id: HashMap<MessageId, u32>,
    order: VecDeque<MessageId>,
}

impl Attempts {
    fn gave_back(&mut self, id: &MessageId, attempt: u32) {
        if self.by_id.insert(id.clone(), attempt).is_none() {
            self.order.push_back(id.clone());
        }
        while self.order.len() > REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.by_id.remove(&oldest);
            }
        }
    }

    fn of(&self, id: &MessageId, broker: Option<i32>) -> u32 {
        let broker = broker.and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
        broker.max(self.by_id.get(id).map_or(1, |attempt| attempt + 1))
    }
}

impl PubSubSubscription {
    pub(super) fn open(bus: Arc<Inner>, spec: SubscriptionSpec) -> Self {
        let state = State { book: LaneBook::new(), out: HashMap::new(), next: 0, attempts: Attempts::default() };
        let shared = Arc::new(Shared {
            stop: bus.closed.child_token(),
            room: Arc::new(Semaphore::new(spec.max_outstanding.max(1))),
            state: Mutex::new(state),
            arrived: Notify::new(),
            back: Notify::new(),
            bus,
            spec,
        });
        let streams = TaskTracker::new();
        for _ in 0..shared.spec.streams.max(1) {
            streams.spawn(shared.clone().stream());
        }
        streams.spawn(shared.clone().watch());
        streams.close();
        Self { shared, streams }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(&self) -> MessageStream {
        let outstanding = i64::try_from(self.spec.max_outstanding / self.spec.streams.max(1)).unwrap_or(i64::MAX);
        self.bus
            .subscriber
            .subscribe(self.bus.subscription_path(&self.spec.name))
            .set_max_lease_extension(Duration::from_secs(ACK_DEADLINE_SECONDS.unsigned_abs().into()))
            .set_max_outstanding_messages(outstanding.max(1))
            .build()
    }

    /// Keeps one stream open until closed; reopens it when it ends, rebuilding what the broker forgot.
    async fn stream(self: Arc<Self>) {
        while !self.stop.is_cancelled() {
            let mut stream = self.connect();
            let closing = stream.shutdown_token();
            let received = async {
                tokio::select! {
                    ended = self.receive(&mut stream) => ended,
                    () = self.back.notified() => None,
                }
            };
            let ended = self.stop.run_until_cancelled(received).await;
            // Before anything is given back: the emulator would hand it to this very stream again and then wait for ever.
            drop(stream);
            let Some(ended) = ended else {
                self.give_everything_back();
                // Acknowledgements given just before are still on their way to the broker.
                let _ = tokio::time::timeout(CLOSE_TIMEOUT, closing.shutdown()).await;
                return;
            };
            let name = &self.spec.name;
            match ended {
                Some(error) if is_not_found(&error) => match self.bus.rebuild().await {
                    Ok(()) => tracing::warn!(subscription = %name, "the broker had forgotten {name}; it is rebuilt"),
                    Err(error) => {
                        tracing::warn!(subscription = %name, %error, "the broker has forgotten {name}: {error}")
                    }
                },
                Some(error) => tracing::warn!(subscription = %name, %error, "a stream of {name} broke and is reopened"),
                None => {}
            }
            self.stop.run_until_cancelled(tokio::time::sleep(REOPEN)).await;
        }
    }

    /// The client tries a broken stream again after ever longer waits, up to a minute, which cannot be set. So the broker
    /// is asked here, and streams are opened anew as soon as it answers.
    async fn watch(self: Arc<Self>) {
        let mut away = false;
        while !self.stop.is_cancelled() {
            let Some(answers) = self.stop.run_until_cancelled(self.bus.answers()).await else { return };
            if away && answers == Some(true) {
                self.back.notify_waiters();
            }
            away = answers.map_or(away, |answers| !answers);
            self.stop.run_until_cancelled(tokio::time::sleep(ASK_EVERY)).await;
        }
    }

    /// Moves messages from a stream into the book, no faster than there is room. Returns when the stream ends.
    async fn receive(&self, stream: &mut MessageStream) -> Option<google_cloud_gax::error::Error> {
        loop {
            let room = self.room.clone().acquire_owned().await.ok()?;
            match stream.next().await? {
                Ok((message, handler)) => self.admit(message, handler, room),
                Err(error) => return Some(error),
            }
        }
    }

    fn admit(&self, incoming: google_cloud_pubsub::model::Message, handler: Handler, room: OwnedSemaphorePermit) {
        let ordering_key = Some(incoming.ordering_key).filter(|key| !key.is_empty());
        let attributes = incoming.attributes.into_iter().collect();
        let message = Message { data: incoming.data, attributes, ordering_key };
        if !self.spec.admits(&message) {
            handler.ack(); // not ours: the emulator does not filter
            return;
        }
        let id = MessageId::new(incoming.message_id);
        let mut state = self.state();
        state.next += 1;
        let seq = state.next;
        let attempt = state.attempts.of(&id, handler.delivery_attempt());
        let lane = LaneKey::of(message.ordering_key.as_deref(), seq);
        state.book.push(lane, seq, Received { message, id, attempt, handler, room });
        drop(state);
        self.arrived.notify_waiters();
    }

    fn take(&self, max: usize) -> Vec<Delivery> {
        let mut state = self.state();
        let taken = state.book.take(max);
        let mut deliveries = Vec::with_capacity(taken.len());
        for one in taken {
            state.next += 1;
            let token = Token(state.next);
            let Received { message, id, attempt, handler, room } = one.item;
            state.out.insert(token.0, Out { lane: one.lane, id: id.clone(), attempt, handler, _room: room });
            deliveries.push(Delivery { message, message_id: id, attempt, token });
        }
        deliveries
    }

    fn give_everything_back(&self) {
        let mut state = self.state();
        let waiting = state.book.drain();
        let out: Vec<Out> = state.out.drain().map(|(_, out)| out).collect();
        for one in waiting {
            one.handler.nack();
        }
        for one in out {
            state.book.settle(&one.lane);
            state.attempts.gave_back(&one.id, one.attempt);
            one.handler.nack();
        }
    }
}

#[async_trait]
impl Subscription for PubSubSubscription {
    async fn next_batch(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, BusError> {
        let shared = &self.shared;
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            if shared.stop.is_cancelled() {
                return Err(BusError::Closed);
            }
            let mut arrived = std::pin::pin!(shared.arrived.notified());
            arrived.as_mut().enable();
            let batch = shared.take(max);
            if !batch.is_empty() || wait.is_zero() {
                return Ok(batch);
            }
            tokio::select! {
                () = arrived => {}
                () = shared.stop.cancelled() => {}
                () = tokio::time::sleep_until(deadline) => return Ok(Vec::new()),
            }
        }
    }

    async fn ack(&self, tokens: Vec<Token>) -> Result<(), BusError> {
        let mut state = self.shared.state();
        for token in tokens {
            if let Some(out) = state.out.remove(&token.0) {
                out.handler.ack();
                state.book.settle(&out.lane);
            }
        }
        drop(state);
        self.shared.arrived.notify_waiters();
        Ok(())
    }

    /// The broker brings back a refused message after those behind it unless they are refused as well: so whatever waits
    /// here in its lane goes back with it.
    async fn nack(&self, tokens: Vec<Token>) -> Result<(), BusError> {
        let mut state = self.shared.state();
        for token in tokens {
            let Some(out) = state.out.remove(&token.0) else { continue };
            state.attempts.gave_back(&out.id, out.attempt);
            out.handler.nack();
            for behind in state.book.drain_lane(&out.lane) {
                behind.handler.nack();
            }
            state.book.settle(&out.lane);
        }
        drop(state);
        self.shared.arrived.notify_waiters();
        Ok(())
    }

    async fn close(&self) {
        self.shared.stop.cancel();
        self.streams.wait().await;
        self.shared.give_everything_back();
    }
}

impl Drop for PubSubSubscription {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

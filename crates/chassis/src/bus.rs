//! The bus: topics, subscriptions, and the promises every implementation keeps.
//!
//! Three living implementations stand behind [`Bus`]: [`pubsub::PubSubBus`] (production), [`postgres::PostgresBus`]
//! (embedded default) and [`memory::MemoryBus`] (simulation). One conformance suite, `tests/bus_conformance.rs`, holds
//! all of them to what is written here.
//!
//! What a consumer may rely on: every message of a topic reaches every subscription whose filter it passes, at least
//! once; messages of one ordering key (a *lane*) arrive in publishing order, and no later one arrives while an earlier
//! one is unsettled in another batch; what is neither acknowledged nor refused comes back. What it may not rely on:
//! exactly one delivery, order between lanes, order after a redelivery.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

pub mod lanes;
pub mod memory;
pub mod postgres;
pub mod pubsub;

mod book;

pub use lanes::{DEFAULT_LANES, lane};

/// Largest payload of one message, in bytes (Google's limit, kept by every implementation).
pub const MAX_DATA_BYTES: usize = 10_000_000;
/// Most attributes one message may carry.
pub const MAX_ATTRIBUTES: usize = 100;
/// Longest attribute name, in bytes.
pub const MAX_ATTRIBUTE_NAME_BYTES: usize = 256;
/// Longest attribute value, in bytes.
pub const MAX_ATTRIBUTE_VALUE_BYTES: usize = 1024;
/// Longest ordering key, in bytes.
pub const MAX_ORDERING_KEY_BYTES: usize = 1024;

/// What is published: bytes, attributes and, when order matters, an ordering key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// The payload as the producer encoded it.
    pub data: Bytes,
    /// Attributes; subscriptions filter on them and the trace context rides along in them.
    pub attributes: BTreeMap<String, String>,
    /// The lane. Messages of one lane keep their order; `None` asks for none.
    pub ordering_key: Option<String>,
}

impl Message {
    /// Says what keeps this message from being published: sizes beyond Google's limits, an empty message, or a NUL in
    /// an attribute (Postgres cannot hold it). The same on every implementation, so that a change of bus refuses
    /// nothing new.
    pub fn check(&self) -> Result<(), PublishError> {
        let refuse = |reason: String| Err(PublishError::Refused { reason });
        if self.data.is_empty() && self.attributes.is_empty() {
            return refuse("it has neither data nor attributes".into());
        }
        if self.data.len() > MAX_DATA_BYTES {
            return refuse(format!("its data has {} bytes, the limit is {MAX_DATA_BYTES}", self.data.len()));
        }
        if self.attributes.len() > MAX_ATTRIBUTES {
            return refuse(format!("it has {} attributes, the limit is {MAX_ATTRIBUTES}", self.attributes.len()));
        }
        for (name, value) in &self.attributes {
            if name.is_empty() || name.len() > MAX_ATTRIBUTE_NAME_BYTES {
                return refuse(format!("an attribute name has {} bytes", name.len()));
            }
            if value.len() > MAX_ATTRIBUTE_VALUE_BYTES {
                return refuse(format!("attribute {name} has {} bytes", value.len()));
            }
            if name.contains('\0') || value.contains('\0') {
                return refuse("an attribute contains NUL".into());
            }
        }
        match &self.ordering_key {
            Some(key) if key.is_empty() || key.len() > MAX_ORDERING_KEY_BYTES || key.contains('\0') => {
                refuse(format!("its ordering key has {} bytes or contains NUL", key.len()))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// The broker's name for a published message.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(String);

impl MessageId {
    /// Wraps the broker's id.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for MessageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// One delivery of a message to one subscriber. Used up by [`Subscription::ack`] or [`Subscription::nack`].
#[derive(Debug)]
pub struct Delivery {
    /// The message as published.
    pub message: Message,
    /// The broker's id; equal for redeliveries of the same message.
    pub message_id: MessageId,
    /// 1 for the first delivery; counts up. On Pub/Sub a lower bound (the broker counts on its best effort).
    pub attempt: u32,
    /// What settles this delivery.
    pub token: Token,
}

/// Names one delivery to the subscription that made it. Meaningless to any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub(crate) u64);

/// A subscription: its name, topic, filter and how much it may hold at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionSpec {
    /// The service's name (contract: folder, binary, subscription share one word).
    pub name: String,
    /// The topic it reads.
    pub topic: String,
    /// Only messages whose attribute (first) equals the value (second).
    pub filter: Option<(String, String)>,
    /// Most deliveries unsettled at once in this process: the bound on memory.
    pub max_outstanding: usize,
    /// Streams opened at once (Pub/Sub only; each gives about 1,900 messages a second on Google's emulator).
    pub streams: usize,
}

impl SubscriptionSpec {
    /// A subscription without filter, 1,000 outstanding deliveries and 4 streams.
    pub fn new(name: impl Into<String>, topic: impl Into<String>) -> Self {
        Self { name: name.into(), topic: topic.into(), filter: None, max_outstanding: 1000, streams: 4 }
    }

    /// The same with a filter on one attribute.
    pub fn filtered(mut self, attribute: impl Into<String>, value: impl Into<String>) -> Self {
        self.filter = Some((attribute.into(), value.into()));
        self
    }

    /// True when the filter lets the message through. Checked in code too: Google's emulator stores filters and never
    /// applies them.
    pub fn admits(&self, message: &Message) -> bool {
        self.filter.as_ref().is_none_or(|(name, value)| message.attributes.get(name) == Some(value))
    }
}

/// Topics and subscriptions that must exist before anything is published.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topology {
    /// Topic names.
    pub topics: Vec<String>,
    /// Subscriptions on them.
    pub subscriptions: Vec<SubscriptionSpec>,
}

/// Why one message was not published.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PublishError {
    /// The message itself cannot be published; sending it again will not help.
    #[error("the message was refused: {reason}")]
    Refused {
        /// What is wrong with it; never contains its values.
        reason: String,
    },
    /// An earlier message of the same ordering key failed in this call; order is kept by holding this one back.
    #[error("held back behind a failed message of the same ordering key")]
    Paused,
    /// The broker did not acknowledge; the message may or may not be there. Send it again.
    #[error("the broker did not acknowledge the message")]
    Unavailable(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The bus is closed.
    #[error("the bus is closed")]
    Closed,
}

impl PublishError {
    /// True when sending the same message again can succeed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused { .. } => false,
            Self::Paused | Self::Unavailable(_) | Self::Closed => true,
        }
    }
}

/// Why the bus did not do what it was asked (publishing has its own, per message).
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The broker did not answer or refused.
    #[error("the broker did not carry out {what}")]
    Unavailable {
        /// The verb and noun.
        what: &'static str,
        /// The client's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The subscription was never ensured.
    #[error("subscription {name} does not exist on the bus")]
    NoSubscription {
        /// Its name.
        name: String,
    },
    /// The bus or the subscription is closed.
    #[error("the bus is closed")]
    Closed,
}

impl BusError {
    /// Wraps a client's error with the verb and noun.
    pub fn unavailable<E>(what: &'static str) -> impl FnOnce(E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        move |source| Self::Unavailable { what, source: source.into() }
    }
}

/// A broker. Cheap to share; every method may be called from many tasks at once.
#[async_trait]
pub trait Bus: Send + Sync + std::fmt::Debug {
    /// Publishes in the order given and returns one result per message, in the same order, after the broker has
    /// acknowledged (or refused) each. Order is kept per ordering key; when a message fails, later messages of its key
    /// in this call are [`PublishError::Paused`], and the key is free again at the next call.
    async fn publish(&self, topic: &str, messages: Vec<Message>) -> Vec<Result<MessageId, PublishError>>;

    /// Opens a subscription that [`Bus::ensure`] has created. Several subscribers of one name share its messages.
    async fn subscribe(&self, spec: SubscriptionSpec) -> Result<Box<dyn Subscription>, BusError>;

    /// Creates what is missing of the topology, and remembers it: an implementation whose broker forgets (Google's
    /// emulator at a restart) rebuilds it on the first sign of absence. Leaves what exists, and messages in it, alone.
    async fn ensure(&self, topology: &Topology) -> Result<(), BusError>;

    /// Says whether the broker answers: for readiness.
    async fn ping(&self) -> Result<(), BusError>;

    /// Lets go of the broker. Publishing afterwards gives [`PublishError::Closed`].
    async fn close(&self);
}

/// One subscriber of a subscription.
#[async_trait]
pub trait Subscription: Send + Sync + std::fmt::Debug {
    /// Returns as soon as at least one message can be handed out, with up to `max` of them, or empty after `wait`
    /// (`Duration::ZERO` never waits). Whole lanes are handed out first, so that several batches in work at once
    /// exclude one another as little as possible. Dropping the future loses no message.
    async fn next_batch(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, BusError>;

    /// Settles deliveries: they never come again (Pub/Sub: as far as the broker promises). Unknown or expired tokens are
    /// ignored; such messages come again.
    async fn ack(&self, tokens: Vec<Token>) -> Result<(), BusError>;

    /// Gives deliveries back for another attempt, soon and in order.
    async fn nack(&self, tokens: Vec<Token>) -> Result<(), BusError>;

    /// Stops receiving and gives everything unsettled back. Later calls of `next_batch` give [`BusError::Closed`].
    async fn close(&self);
}

/// Ordering keys that failed earlier in one publish call.
#[derive(Debug, Default)]
pub(crate) struct PausedKeys(std::collections::HashSet<String>);

impl PausedKeys {
    /// Runs `publish` for the message unless its key is paused, and pauses the key when it fails.
    pub(crate) fn guard<T>(
        &mut self,
        message: &Message,
        publish: impl FnOnce() -> Result<T, PublishError>,
    ) -> Result<T, PublishError> {
        let Some(key) = &message.ordering_key else { return publish() };
        if self.0.contains(key) {
            return Err(PublishError::Paused);
        }
        publish().inspect_err(|_| {
            self.0.insert(key.clone());
        })
    }

    /// Pauses the key of a message that failed after it was handed over.
    pub(crate) fn pause(&mut self, message: &Message) {
        self.0.extend(message.ordering_key.clone());
    }

    /// The keys that failed.
    pub(crate) fn into_keys(self) -> impl Iterator<Item = String> {
        self.0.into_iter()
    }
}

//! The embedded bus on Postgres (schema `bus`): the default where no Pub/Sub is configured.
//!
//! Publishing is one statement per thousand messages; receiving is one short transaction per batch, acknowledging one
//! statement. Lanes are leased, so several processes share a subscription without ever holding the same lane; a lease
//! is prolonged while its batch is in work and runs out when the process is gone. `NOTIFY` wakes subscribers; a poll
//! once a second is the net below it (a lost notification, a lease that ran out elsewhere).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::PgPool;
use store::bus::NewMessage;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Bus, BusError, Message, MessageId, PausedKeys, PublishError, Subscription, SubscriptionSpec, Topology};

mod subscription;
mod upkeep;

use subscription::PostgresSubscription;

/// Limits of the embedded bus, each with its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostgresBusLimits {
    /// How long a lane stays leased without being prolonged: the wait after a process was killed.
    pub lease: Duration,
    /// How often an idle subscriber looks without having been woken.
    pub poll: Duration,
    /// Most messages in one publishing statement.
    pub publish_messages: usize,
    /// Most payload bytes in one publishing statement.
    pub publish_bytes: usize,
    /// Age at which an unread message is deleted.
    pub retention: Duration,
    /// Acknowledged messages after which their space is taken back.
    pub vacuum_after: u64,
}

impl Default for PostgresBusLimits {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            poll: Duration::from_secs(1),
            publish_messages: 1000,
            publish_bytes: 8 << 20,
            retention: Duration::from_secs(7 * 24 * 60 * 60),
            vacuum_after: 50_000,
        }
    }
}

/// The bus on Postgres. Clones share one listener.
#[derive(Debug, Clone)]
pub struct PostgresBus {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    pool: PgPool,
    limits: PostgresBusLimits,
    arrivals: Mutex<HashMap<i32, Arc<Arrivals>>>,
    acked: AtomicU64,
    closed: CancellationToken,
    upkeep: OnceLock<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}

/// What rings when a subscription may have something to claim.
#[derive(Debug, Default)]
struct Arrivals {
    ring: Notify,
    /// True when something may be waiting that an earlier claim did not take.
    more: AtomicBool,
}

impl Arrivals {
    fn ring(&self) {
        self.more.store(true, Ordering::Release);
        self.ring.notify_waiters();
    }
}

impl PostgresBus {
    /// A bus on this pool's database. The schema must be migrated. Connects when first used.
    pub fn new(pool: PgPool, limits: PostgresBusLimits) -> Self {
        let inner = Inner {
            pool,
            limits,
            arrivals: Mutex::default(),
            acked: AtomicU64::new(0),
            closed: CancellationToken::new(),
            upkeep: OnceLock::new(),
        };
        Self { inner: Arc::new(inner) }
    }
}

impl Inner {
    fn arrivals(&self) -> MutexGuard<'_, HashMap<i32, Arc<Arrivals>>> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes one statement's worth; every message of it shares its fate.
    async fn publish_chunk(&self, topic: &str, chunk: &[(usize, Message)]) -> Vec<Result<MessageId, PublishError>> {
        let rows: Vec<NewMessage<'_>> = chunk
            .iter()
            .map(|(_, m)| NewMessage {
                data: &m.data,
                attributes: &m.attributes,
                ordering_key: m.ordering_key.as_deref(),
            })
            .collect();
        match store::bus::publish(&self.pool, topic, &rows).await {
            Ok(ids) => ids.into_iter().map(|id| Ok(MessageId::new(id.to_string()))).collect(),
            Err(error) => {
                let error = PublishError::Unavailable(Arc::new(error));
                chunk.iter().map(|_| Err(error.clone())).collect()
            }
        }
    }

    /// Cuts messages into statements within the limits, keeping their order.
    fn chunks(&self, messages: Vec<(usize, Message)>) -> Vec<Vec<(usize, Message)>> {
        let mut chunks: Vec<Vec<(usize, Message)>> = Vec::new();
        let mut bytes = 0;
        for entry in messages {
            let size = entry.1.data.len();
            match chunks.last_mut() {
                Some(last)
                    if last.len() < self.limits.publish_messages && bytes + size <= self.limits.publish_bytes =>
                {
                    bytes += size;
                    last.push(entry);
                }
                Some(_) | None => {
                    bytes = size;
                    chunks.push(vec![entry]);
                }
            }
        }
        chunks
    }
}

#[async_trait]
impl Bus for PostgresBus {
    async fn publish(&self, topic: &str, messages: Vec<Message>) -> Vec<Result<MessageId, PublishError>> {
        let mut results: Vec<Result<MessageId, PublishError>> = Vec::with_capacity(messages.len());
        let mut paused = PausedKeys::default();
        let mut sendable = Vec::with_capacity(messages.len());
        for (place, message) in messages.into_iter().enumerate() {
            results.push(Err(PublishError::Closed)); // stands until the broker has answered for this place
            match paused.guard(&message, || message.check()) {
                Ok(()) => sendable.push((place, message)),
                Err(error) => results[place] = Err(error),
            }
        }
        if self.inner.closed.is_cancelled() {
            return results.into_iter().map(|_| Err(PublishError::Closed)).collect();
        }
        let mut failed = false;
        for chunk in self.inner.chunks(sendable) {
            // After a failed statement nothing later is sent: any key in it may be one that failed.
            let outcomes = match failed {
                true => chunk.iter().map(|_| Err(PublishError::Paused)).collect(),
                false => self.inner.publish_chunk(topic, &chunk).await,
            };
            for ((place, _), outcome) in chunk.iter().zip(outcomes) {
                failed |= outcome.is_err();
                results[*place] = outcome;
            }
        }
        results
    }

    async fn subscribe(&self, spec: SubscriptionSpec) -> Result<Box<dyn Subscription>, BusError> {
        if self.inner.closed.is_cancelled() {
            return Err(BusError::Closed);
        }
        let found = store::bus::find_subscription(&self.inner.pool, &spec.name).await;
        let id = found
            .map_err(BusError::unavailable("find the subscription"))?
            .ok_or_else(|| BusError::NoSubscription { name: spec.name.clone() })?;
        let arrivals = self.inner.arrivals().entry(id).or_default().clone();
        self.inner.upkeep.get_or_init(|| upkeep::spawn(&self.inner));
        Ok(Box::new(PostgresSubscription::open(self.inner.clone(), spec, id, arrivals)))
    }

    async fn ensure(&self, topology: &Topology) -> Result<(), BusError> {
        for spec in &topology.subscriptions {
            let filter = spec.filter.as_ref().map(|(name, value)| (name.as_str(), value.as_str()));
            store::bus::ensure_subscription(&self.inner.pool, &spec.name, &spec.topic, filter)
                .await
                .map_err(BusError::unavailable("ensure the subscription"))?;
        }
        Ok(())
    }

    async fn ping(&self) -> Result<(), BusError> {
        // Reading a subscription nobody has proves connection and schema, which a bare ping would not.
        let answer = store::bus::find_subscription(&self.inner.pool, "").await;
        answer.map(|_| ()).map_err(BusError::unavailable("answer"))
    }

    async fn close(&self) {
        self.inner.closed.cancel();
    }
}

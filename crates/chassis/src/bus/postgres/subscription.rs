//! One subscriber: what it holds, and how it lets go.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use store::bus::{Claimed, Settlement};
use tokio_util::sync::CancellationToken;

use super::{Arrivals, Inner};
use crate::bus::{BusError, Delivery, Message, MessageId, Subscription, SubscriptionSpec, Token};

/// Lanes, each with a number: of a message, or of a lease.
type Numbered = Vec<(String, i64)>;

#[derive(Debug)]
pub(super) struct PostgresSubscription {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    inner: Arc<Inner>,
    spec: SubscriptionSpec,
    id: i32,
    arrivals: Arc<Arrivals>,
    held: Mutex<Held>,
    /// One claim at a time in this process: the others would only queue for the same lock in Postgres.
    claiming: tokio::sync::Mutex<()>,
    /// One statement on our lanes at a time: two that touch the same lanes in different orders would deadlock.
    writing: tokio::sync::Mutex<()>,
    closed: CancellationToken,
}

#[derive(Debug, Default)]
struct Held {
    next: u64,
    deliveries: HashMap<u64, (String, i64)>,
    lanes: HashMap<String, HeldLane>,
}

#[derive(Debug)]
struct HeldLane {
    lease: i64,
    open: usize,
}

impl Held {
    fn take(&mut self, claimed: Claimed) -> Delivery {
        self.next += 1;
        let token = Token(self.next);
        let lane = self.lanes.entry(claimed.lane.clone()).or_insert(HeldLane { lease: claimed.lease, open: 0 });
        // A lane claimed anew while deliveries of a lease that ran out are still open belongs to the new lease.
        lane.lease = claimed.lease;
        lane.open += 1;
        let ordering_key = claimed.ordering_key().map(str::to_owned);
        self.deliveries.insert(token.0, (claimed.lane, claimed.id));
        Delivery {
            message: Message { data: Bytes::from(claimed.data), attributes: claimed.attributes, ordering_key },
            message_id: MessageId::new(claimed.id.to_string()),
            attempt: u32::try_from(claimed.failed_attempts).unwrap_or(0).saturating_add(1),
            token,
        }
    }

    /// Takes the deliveries out and says which lanes have nothing open any more; those stay held until [`Held::free`].
    fn release(&mut self, tokens: &[Token]) -> (Numbered, Numbered) {
        let mut messages = Vec::with_capacity(tokens.len());
        let mut lanes = Vec::new();
        for token in tokens {
            let Some((lane, id)) = self.deliveries.remove(&token.0) else { continue };
            if let Some(held) = self.lanes.get_mut(&lane) {
                held.open = held.open.saturating_sub(1);
                if held.open == 0 {
                    lanes.push((lane.clone(), held.lease));
                }
            }
            messages.push((lane, id));
        }
        lanes.sort();
        (messages, lanes)
    }

    /// Lets go of lanes that were given back.
    fn free(&mut self, released: &[(String, i64)]) {
        for (lane, lease) in released {
            if self.lanes.get(lane).is_some_and(|held| held.lease == *lease) {
                self.lanes.remove(lane);
            }
        }
    }

    fn leases(&self) -> Vec<(String, i64)> {
        let mut leases: Vec<(String, i64)> = self.lanes.iter().map(|(lane, held)| (lane.clone(), held.lease)).collect();
        leases.sort();
        leases
    }
}

impl PostgresSubscription {
    pub(super) fn open(inner: Arc<Inner>, spec: SubscriptionSpec, id: i32, arrivals: Arc<Arrivals>) -> Self {
        let closed = inner.closed.child_token();
        let shared = Arc::new(Shared {
            inner,
            spec,
            id,
            arrivals,
            held: Mutex::default(),
            claiming: tokio::sync::Mutex::default(),
            writing: tokio::sync::Mutex::default(),
            closed,
        });
        tokio::spawn(prolong(shared.clone()));
        Self { shared }
    }
}

/// Prolongs the leases of everything in work, three times per lease, until the subscriber closes.
async fn prolong(shared: Arc<Shared>) {
    let period = shared.inner.limits.lease / 3;
    while shared.closed.run_until_cancelled(tokio::time::sleep(period)).await.is_some() {
        let _writing = shared.writing.lock().await;
        let leases = shared.held().leases();
        if leases.is_empty() {
            continue;
        }
        let lease = shared.inner.limits.lease;
        match store::bus::extend(&shared.inner.pool, shared.id, &leases, lease).await {
            Ok(kept) if kept < leases.len() as u64 => {
                let lost = leases.len() as u64 - kept;
                tracing::warn!(subscription = %shared.spec.name, lost, "{lost} lane leases ran out; their messages will come again");
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(subscription = %shared.spec.name, %error, "leases of {} not prolonged", shared.spec.name);
            }
        }
    }
}

impl Shared {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn claim(&self, max: usize) -> Result<Vec<Delivery>, BusError> {
        let _claiming = self.claiming.lock().await;
        if self.closed.is_cancelled() {
            return Err(BusError::Closed);
        }
        let room = {
            let held = self.held();
            if held.lanes.is_empty() {
                self.arrivals.more.store(false, Ordering::Release);
            }
            max.min(self.spec.max_outstanding.saturating_sub(held.deliveries.len()))
        };
        if room == 0 {
            return Ok(Vec::new());
        }
        let claimed = store::bus::claim(&self.inner.pool, self.id, room, self.inner.limits.lease)
            .await
            .map_err(BusError::unavailable("claim messages"))?;
        if claimed.len() == room {
            self.arrivals.more.store(true, Ordering::Release);
        }
        let mut held = self.held();
        Ok(claimed.into_iter().map(|message| held.take(message)).collect())
    }

    async fn settle(&self, tokens: &[Token], done: bool) -> Result<(), BusError> {
        let _writing = self.writing.lock().await;
        let (messages, released) = self.held().release(tokens);
        if messages.is_empty() {
            return Ok(());
        }
        let (count, freed) = (messages.len() as u64, released.clone());
        let settlement = match done {
            true => Settlement { done: messages, failed: Vec::new(), released },
            false => Settlement { done: Vec::new(), failed: messages, released },
        };
        let outcome = store::bus::settle(&self.inner.pool, self.id, &settlement).await;
        // Only now: a claim that comes before the lanes are free must not believe that there was nothing to find.
        self.held().free(&freed);
        if done {
            self.inner.acked.fetch_add(count, Ordering::Relaxed);
        } else {
            self.arrivals.more.store(true, Ordering::Release);
        }
        if self.arrivals.more.load(Ordering::Acquire) {
            self.arrivals.ring.notify_waiters();
        }
        // On failure the leases are no longer prolonged: they run out, and the messages come again.
        outcome.map_err(BusError::unavailable("settle messages"))
    }
}

/// Claims in a task of its own: a caller that stops waiting half-way must not leave lanes leased that nobody works on.
async fn claim_undropped(shared: Arc<Shared>, max: usize) -> Result<Vec<Delivery>, BusError> {
    let (answer, answered) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let claimed = shared.claim(max).await;
        if let Err(Ok(unwanted)) = answer.send(claimed) {
            let tokens: Vec<Token> = unwanted.into_iter().map(|delivery| delivery.token).collect();
            // When this fails too the leases run out: the same messages, later.
            let _ = shared.settle(&tokens, false).await;
        }
    });
    answered.await.unwrap_or(Err(BusError::Closed))
}

#[async_trait]
impl Subscription for PostgresSubscription {
    async fn next_batch(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, BusError> {
        let shared = &self.shared;
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            let mut rung = std::pin::pin!(shared.arrivals.ring.notified());
            rung.as_mut().enable();
            let batch = claim_undropped(shared.clone(), max).await?;
            if !batch.is_empty() || tokio::time::Instant::now() >= deadline {
                return Ok(batch);
            }
            tokio::select! {
                () = rung => {}
                () = tokio::time::sleep(shared.inner.limits.poll) => {}
                () = shared.closed.cancelled() => {}
                () = tokio::time::sleep_until(deadline) => return Ok(Vec::new()),
            }
        }
    }

    async fn ack(&self, tokens: Vec<Token>) -> Result<(), BusError> {
        self.shared.settle(&tokens, true).await
    }

    async fn nack(&self, tokens: Vec<Token>) -> Result<(), BusError> {
        self.shared.settle(&tokens, false).await
    }

    async fn close(&self) {
        self.shared.closed.cancel();
        let _claiming = self.shared.claiming.lock().await;
        let open: Vec<Token> = self.shared.held().deliveries.keys().map(|token| Token(*token)).collect();
        if let Err(error) = self.shared.settle(&open, false).await {
            tracing::warn!(subscription = %self.shared.spec.name, %error, "unfinished messages of {} come back when their leases run out", self.shared.spec.name);
        }
    }
}

impl Drop for PostgresSubscription {
    fn drop(&mut self) {
        self.shared.closed.cancel();
    }
}

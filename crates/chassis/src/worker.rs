//! The loop around a handler.
//!
//! In this order: receive a batch; decode each message, or send it away; open the span; call the handler, catching
//! panics; turn each failure into a disposition by [`crate::policy`]; store what must be stored in one transaction; then
//! acknowledge, or give back. A handler is just its decision: it never sees a token.
//!
//! - A message is acknowledged after its outcome is in Postgres, never before.
//! - A panic costs the batch nothing but time: its messages are handled one by one, and the one that panics alone is a
//!   dead letter.
//! - A transient failure holds back its own lane until its wait is over; other lanes go on.
//! - When our own parts fail, nothing is lost and nothing counts as an attempt: the loop gives everything back, waits,
//!   and the process is not ready.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use model::{ErrorClass, Failure, Timestamp};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::bus::{Delivery, Message, MessageId, Subscription, SubscriptionSpec, Token};
use crate::health::Progress;
use crate::policy;
use crate::service::Parts;
use crate::trace;

mod letter;
mod retries;

pub use letter::letter;
use retries::Retries;

/// Limits of one worker, each with its name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WorkerLimits {
    /// Most messages given to the handler at once.
    pub batch: usize,
    /// Batches in work at once.
    pub concurrency: usize,
    /// How long an idle loop waits for a message before it comes round.
    pub wait: Duration,
    /// How long one turn may take before the process is unready.
    pub stale_after: Duration,
    /// Share of the policy's waits (retries, outages) that is really waited: 1 in production, little in a test.
    pub pace: f64,
}

impl Default for WorkerLimits {
    fn default() -> Self {
        Self {
            batch: 500,
            concurrency: 2,
            wait: Duration::from_secs(1),
            stale_after: Duration::from_secs(120),
            pace: 1.0,
        }
    }
}

/// Waits of a loop whose own parts fail: a second at first, half a minute at most.
const OUTAGE_WAITS: [u64; 6] = [1, 2, 5, 10, 20, 30];

/// A decoded message on its way to the handler.
#[derive(Debug)]
pub struct Decoded<E> {
    /// What the handler's `decode` made of it.
    pub event: E,
    /// The message as it came.
    pub message: Message,
    /// The broker's id; equal for redeliveries.
    pub message_id: MessageId,
    /// 1 for the first delivery, as far as the broker counts.
    pub attempt: u32,
    /// When this process received it.
    pub received_at: Timestamp,
}

/// A service's decision about a batch of messages.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// What a message is decoded into.
    type Event: Send + Sync;

    /// Reads one message. A failure here goes through the policy like any other: `Irrecoverable` for what is unreadable,
    /// `Validation` for what a person could mend.
    fn decode(&self, message: &Message) -> Result<Self::Event, Failure>;

    /// Handles a batch; one result per message, in order. `Ok` means that the outcome is in Postgres: the message is
    /// acknowledged and never comes again. Messages of one lane are in order. May be called with messages it has seen.
    async fn handle(&self, batch: &[Decoded<Self::Event>]) -> Vec<Result<(), Failure>>;
}

/// Runs `limits.concurrency` loops on a subscription until shutdown; returns when each has finished its batch and
/// everything unfinished is given back. Errors only when the subscription cannot be opened before shutdown.
pub async fn run<H: Handler>(
    parts: &Parts,
    spec: SubscriptionSpec,
    handler: Arc<H>,
    limits: WorkerLimits,
) -> anyhow::Result<()> {
    let Some(subscription) = open(parts, &spec).await? else { return Ok(()) };
    let worker = Arc::new(Worker {
        parts: parts.clone(),
        spec,
        handler,
        limits,
        subscription: Arc::from(subscription),
        retries: Retries::default(),
        held: TaskTracker::new(),
        stop: parts.shutdown.child_token(),
    });
    let loops: Vec<_> =
        (0..limits.concurrency.max(1)).map(|number| tokio::spawn(worker.clone().turn_until_stopped(number))).collect();
    let ended = futures::future::join_all(loops).await;
    worker.stop.cancel();
    worker.subscription.close().await;
    worker.held.close();
    worker.held.wait().await;
    for outcome in ended {
        outcome.map_err(|error| anyhow::anyhow!("a loop of {} ended abnormally: {error}", worker.spec.name))?;
    }
    Ok(())
}

/// Opens the subscription, waiting for the broker. None when told to stop meanwhile.
async fn open(parts: &Parts, spec: &SubscriptionSpec) -> anyhow::Result<Option<Box<dyn Subscription>>> {
    let progress = parts.health.progress(format!("{} (opening)", spec.name), Duration::from_secs(60));
    loop {
        match parts.shutdown.run_until_cancelled(parts.bus.subscribe(spec.clone())).await {
            None => return Ok(None),
            Some(Ok(subscription)) => return Ok(Some(subscription)),
            Some(Err(error)) => {
                tracing::warn!(subscription = %spec.name, %error, "{} is not open yet: {error}", spec.name);
                progress.block("its subscription cannot be opened");
            }
        }
        parts.shutdown.run_until_cancelled(tokio::time::sleep(Duration::from_secs(1))).await;
    }
}

struct Worker<H: Handler> {
    parts: Parts,
    spec: SubscriptionSpec,
    handler: Arc<H>,
    limits: WorkerLimits,
    subscription: Arc<dyn Subscription>,
    retries: Retries,
    held: TaskTracker,
    stop: CancellationToken,
}

/// A message with what settles it.
struct Open<E> {
    token: Token,
    decoded: Decoded<E>,
}

/// A message whose handling failed.
struct Failed {
    token: Token,
    message: Message,
    message_id: MessageId,
    attempt: u32,
    failure: Failure,
}

impl<H: Handler> Worker<H> {
    async fn turn_until_stopped(self: Arc<Self>, number: usize) {
        let name = format!("{} loop {number}", self.spec.name);
        let progress = self.parts.health.progress(name, self.limits.stale_after);
        let mut outage = 0;
        while !self.stop.is_cancelled() {
            progress.tick();
            match self.turn().await {
                Ok(()) if outage > 0 => {
                    outage = 0;
                    tracing::info!(subscription = %self.spec.name, "{} works again", self.spec.name);
                    progress.unblock();
                }
                Ok(()) => {}
                Err(_) if self.stop.is_cancelled() => return,
                Err(failure) => {
                    self.wait_out(&progress, outage, &failure).await;
                    outage += 1;
                }
            }
        }
    }

    async fn wait_out(&self, progress: &Progress, outage: usize, failure: &Failure) {
        let seconds = OUTAGE_WAITS[outage.min(OUTAGE_WAITS.len() - 1)];
        let wait = Duration::from_secs(seconds).mul_f64(self.limits.pace);
        let (subscription, reason) = (&self.spec.name, &failure.reason);
        tracing::error!(%subscription, code = failure.code, wait_seconds = seconds, "{subscription} holds its messages for {seconds} s: {reason}");
        progress.block(reason.clone());
        self.stop.run_until_cancelled(tokio::time::sleep(wait)).await;
    }

    /// One batch from the bus to its dispositions. An error means that our own parts fail.
    async fn turn(&self) -> Result<(), Failure> {
        let received = self.stop.run_until_cancelled(self.subscription.next_batch(self.limits.batch, self.limits.wait));
        let deliveries = match received.await {
            None => return Ok(()),
            Some(batch) => batch.map_err(|error| operational("bus", format!("{error}")))?,
        };
        if deliveries.is_empty() {
            return Ok(());
        }
        let span = tracing::info_span!("handle", subscription = %self.spec.name, messages = deliveries.len());
        trace::adopt(&span, deliveries.iter().map(|delivery| &delivery.message.attributes));
        self.process(deliveries).instrument(span).await
    }

    async fn process(&self, deliveries: Vec<Delivery>) -> Result<(), Failure> {
        let received_at = self.parts.clock.now();
        let mut open = Vec::with_capacity(deliveries.len());
        let mut failed = Vec::new();
        for Delivery { message, message_id, attempt, token } in deliveries {
            match std::panic::catch_unwind(AssertUnwindSafe(|| self.handler.decode(&message))) {
                Ok(Ok(event)) => {
                    let decoded = Decoded { event, message, message_id, attempt, received_at };
                    open.push(Open { token, decoded });
                }
                Ok(Err(failure)) => failed.push(Failed { token, message, message_id, attempt, failure }),
                Err(panic) => {
                    failed.push(Failed { token, message, message_id, attempt, failure: panicked(panic.as_ref()) })
                }
            }
        }
        let mut done = Vec::with_capacity(open.len());
        for (Open { token, decoded }, outcome) in self.handle(open).await {
            let Decoded { message, message_id, attempt, .. } = decoded;
            match outcome {
                Ok(()) => {
                    self.retries.forget(&message_id);
                    done.push(token);
                }
                Err(failure) => failed.push(Failed { token, message, message_id, attempt, failure }),
            }
        }
        self.settle(done, failed).await
    }

    /// Calls the handler; when it panics, once per message, so that only the guilty one suffers.
    async fn handle(&self, open: Vec<Open<H::Event>>) -> Vec<(Open<H::Event>, Result<(), Failure>)> {
        let (tokens, batch): (Vec<Token>, Vec<Decoded<H::Event>>) =
            open.into_iter().map(|open| (open.token, open.decoded)).unzip();
        let outcomes = match self.call(&batch).await {
            Ok(outcomes) => outcomes,
            Err(failure) if batch.len() == 1 => vec![Err(failure)],
            Err(failure) => {
                tracing::warn!(subscription = %self.spec.name, reason = failure.reason, "a batch of {} is handled one by one: {}", batch.len(), failure.reason);
                let mut outcomes = Vec::with_capacity(batch.len());
                for one in &batch {
                    outcomes.push(match self.call(std::slice::from_ref(one)).await {
                        Ok(mut single) => single.pop().unwrap_or(Ok(())),
                        Err(failure) => Err(failure),
                    });
                }
                outcomes
            }
        };
        let open = tokens.into_iter().zip(batch).map(|(token, decoded)| Open { token, decoded });
        open.zip(outcomes).collect()
    }

    async fn call(&self, batch: &[Decoded<H::Event>]) -> Result<Vec<Result<(), Failure>>, Failure> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        match AssertUnwindSafe(self.handler.handle(batch)).catch_unwind().await {
            Ok(outcomes) if outcomes.len() == batch.len() => Ok(outcomes),
            Ok(outcomes) => Err(Failure::new(
                ErrorClass::Irrecoverable,
                "handler_fault",
                format!("the handler answered {} results for {} messages", outcomes.len(), batch.len()),
            )),
            Err(panic) => Err(panicked(panic.as_ref())),
        }
    }

    /// Carries out the dispositions: first what is stored, then what is acknowledged, then what goes back.
    async fn settle(&self, mut done: Vec<Token>, failed: Vec<Failed>) -> Result<(), Failure> {
        let mut rows = Vec::new();
        let mut stored = Vec::new();
        let mut back = Vec::new();
        let mut outage = None;
        for one in failed {
            if one.failure.class == ErrorClass::Operational {
                // Ours, not the message's: it is not even counted.
                back.push(one.token);
                outage = Some(one.failure);
                continue;
            }
            let (now, max) = (self.parts.clock.now(), self.parts.core.max_retry_attempts);
            let (attempts, first_failed_at) = self.retries.failed(&one.message_id, one.attempt, max, now);
            let decision = policy::decide(&one.failure, attempts, max, fastrand::f64());
            let topic = match letter::destination(decision.disposition, &self.spec.topic, &self.parts.core.topics) {
                Ok(topic) => topic,
                Err(letter::NoLetter::Retry(wait)) => {
                    metrics::counter!("concord_retries_total", "class" => one.failure.class.as_str()).increment(1);
                    tracing::info!(subscription = %self.spec.name, message_id = %one.message_id, attempts, code = one.failure.code, "message {} waits {} s: {}", one.message_id, wait.as_secs(), decision.sentence);
                    self.hold(one.token, wait.mul_f64(self.limits.pace));
                    continue;
                }
                Err(letter::NoLetter::Hold) => {
                    back.push(one.token);
                    outage = Some(one.failure);
                    continue;
                }
            };
            metrics::counter!("concord_dead_letters_total", "reason" => one.failure.code).increment(1);
            tracing::warn!(subscription = %self.spec.name, message_id = %one.message_id, attempts, topic, class = %one.failure.class, code = one.failure.code, "message {} goes to {topic}: {}", one.message_id, decision.sentence);
            rows.push(letter(topic, &one.message, &one.failure, attempts, first_failed_at));
            stored.push((one.token, one.message_id));
        }
        match self.store(&rows).await {
            Ok(()) => {
                for (token, message_id) in stored {
                    self.retries.forget(&message_id);
                    done.push(token);
                }
            }
            Err(failure) => {
                back.extend(stored.into_iter().map(|(token, _)| token));
                outage = Some(failure);
            }
        }
        self.give_back(done, back).await?;
        outage.map_or(Ok(()), Err)
    }

    async fn give_back(&self, done: Vec<Token>, back: Vec<Token>) -> Result<(), Failure> {
        let bus = |error: crate::bus::BusError| operational("bus", error.to_string());
        if !done.is_empty() {
            self.subscription.ack(done).await.map_err(bus)?;
        }
        if !back.is_empty() {
            self.subscription.nack(back).await.map_err(bus)?;
        }
        Ok(())
    }

    async fn store(&self, rows: &[store::outbox::NewRow]) -> Result<(), Failure> {
        if rows.is_empty() {
            return Ok(());
        }
        let storing = async {
            let mut tx = self.parts.pool.begin().await.map_err(store::StoreError::database("begin dead-lettering"))?;
            store::outbox::insert(&mut tx, rows).await?;
            tx.commit().await.map_err(store::StoreError::database("commit dead letters"))
        };
        storing.await.map_err(|error: store::StoreError| operational("database", error.to_string()))
    }

    /// Keeps a delivery (and so its lane) for `wait`, then gives it back; at shutdown at once, by the closing.
    fn hold(&self, token: Token, wait: Duration) {
        let (subscription, stop, name) = (self.subscription.clone(), self.stop.clone(), self.spec.name.clone());
        self.held.spawn(async move {
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return;
            }
            if let Err(error) = subscription.nack(vec![token]).await {
                tracing::warn!(subscription = %name, %error, "a retry of {name} comes when its lease runs out");
            }
        });
    }
}

fn operational(code: &'static str, reason: String) -> Failure {
    Failure::new(ErrorClass::Operational, code, reason)
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Failure {
    // The panic's text may hold a value; the log has it already, through the panic hook. The place does not matter here.
    let _ = panic;
    Failure::new(ErrorClass::Irrecoverable, "panic", "the handler panicked on this message")
}

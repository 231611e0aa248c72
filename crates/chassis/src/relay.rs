//! The outbox relay: publishes what transactions left in `sync.outbox`.
//!
//! A process that commits messages publishes them itself, from memory ([`run_committed`]); the sweep takes what is older
//! than [`store::handoff::PATIENCE`], and at once what nobody handed over.
//!
//! Any number of processes may run it. One leads (an advisory lock held by its listening connection): it is woken by
//! `NOTIFY` and publishes in id order, so the order per ordering key is kept. The others publish only rows that have
//! waited longer than [`RelayLimits::sweep_age`], which is how a leader that hangs is survived; then a row may be
//! published twice or out of order, which costs a doorbell and nothing else.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use store::StoreError;
use store::handoff::{Committed, Handed};
use store::outbox::Pending;
use tokio_util::sync::CancellationToken;

use crate::bus::{Bus, Message, PublishError, lane};
use crate::settings::Topics;

/// Limits of the relay, each with its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayLimits {
    /// Most rows published in one pass.
    pub batch: i64,
    /// Age from which a relay that does not lead publishes a row all the same.
    pub sweep_age: Duration,
    /// How often it looks without having been woken.
    pub poll: Duration,
    /// How long rows that can never be published are kept.
    pub keep_refused: Duration,
    /// Most of them deleted at once.
    pub delete_batch: i64,
    /// Longest the broker may take before Postgres ends the pass and frees its rows.
    pub pass_timeout: Duration,
}

impl Default for RelayLimits {
    fn default() -> Self {
        Self {
            batch: 1000,
            sweep_age: Duration::from_secs(2),
            poll: Duration::from_secs(2),
            keep_refused: Duration::from_secs(15 * 60),
            delete_batch: 5000,
            pass_timeout: Duration::from_secs(30),
        }
    }
}

/// How often the leading relay looks for refused rows to delete.
const CLEAN_EVERY: Duration = Duration::from_secs(10);

/// Messages of this process published in one round, at most about.
const ROUND: usize = 1000;
/// A round of so many is followed by a pause in which the next one gathers.
const BUSY: usize = 200;
/// That pause.
const GATHER: Duration = Duration::from_millis(25);

/// What one pass did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Relayed {
    /// Rows claimed.
    pub claimed: usize,
    /// Rows the broker acknowledged.
    pub published: usize,
    /// Rows that can never be published (beyond the bus's limits): marked as done, with an error in the log and a
    /// count under `concord_dead_letters_total{reason="unpublishable"}`; the row itself stays for `keep_refused`.
    pub refused: usize,
}

/// Publishes up to `limit` rows that nobody else is publishing, lowest id first, and removes those the broker acknowledged.
/// Rows the broker did not acknowledge stay for the next pass, and later rows of their key with them.
pub async fn relay_once(pool: &PgPool, bus: &dyn Bus, topics: &Topics, limit: i64) -> Result<Relayed, StoreError> {
    let limits = RelayLimits { batch: limit, ..RelayLimits::default() };
    pass(pool, bus, topics, &limits, Duration::ZERO).await
}

async fn pass(
    pool: &PgPool,
    bus: &dyn Bus,
    topics: &Topics,
    limits: &RelayLimits,
    min_age: Duration,
) -> Result<Relayed, StoreError> {
    let mut tx = pool.begin().await.map_err(StoreError::database("begin relaying"))?;
    store::outbox::limit_idle(&mut tx, limits.pass_timeout).await?;
    let rows = store::outbox::claim(&mut tx, limits.batch, min_age).await?;
    let mut done = Relayed { claimed: rows.len(), ..Relayed::default() };
    let (mut published, mut refused) = (Vec::with_capacity(rows.len()), Vec::new());
    let mut stuck: HashSet<(String, String)> = HashSet::new();
    for (topic, rows) in runs(rows) {
        // A key that failed earlier in this pass must not be overtaken in a later run of the same topic.
        let (rows, _held): (Vec<Pending>, Vec<Pending>) =
            rows.into_iter().partition(|row| !row.key().is_some_and(|key| stuck.contains(&key)));
        let messages = rows.iter().map(|row| row.message(topics.lanes)).collect();
        let outcomes = bus.publish(topics.name_of(&topic), messages).await;
        for (row, outcome) in rows.iter().zip(outcomes) {
            match outcome {
                Ok(_) => {
                    done.published += 1;
                    published.push(row.id);
                }
                Err(PublishError::Refused { reason }) => {
                    tracing::error!(outbox_id = row.id, topic = %row.topic, reason, "outbox row {} can never be published: {reason}", row.id);
                    metrics::counter!("concord_dead_letters_total", "reason" => "unpublishable").increment(1);
                    done.refused += 1;
                    refused.push(row.id);
                }
                Err(error) => {
                    if !matches!(error, PublishError::Paused) {
                        tracing::warn!(outbox_id = row.id, topic = %row.topic, %error, "outbox row {} waits for the broker", row.id);
                    }
                    stuck.extend(row.key());
                }
            }
        }
    }
    store::outbox::remove_published(&mut tx, &published).await?;
    store::outbox::mark_refused(&mut tx, &refused).await?;
    tx.commit().await.map_err(StoreError::database("commit relaying"))?;
    Ok(done)
}

/// Cuts rows into runs of one topic, keeping their order.
fn runs(rows: Vec<Pending>) -> Vec<(String, Vec<Pending>)> {
    let mut runs: Vec<(String, Vec<Pending>)> = Vec::new();
    for row in rows {
        match runs.last_mut() {
            Some((topic, run)) if *topic == row.topic => run.push(row),
            Some(_) | None => runs.push((row.topic.clone(), vec![row])),
        }
    }
    runs
}

/// Relays what transactions of this process committed, until `stop`: published from memory and removed. What cannot be
/// published now stays in the outbox for the sweep.
pub async fn run_committed(
    pool: PgPool,
    bus: Arc<dyn Bus>,
    topics: Topics,
    mut handed: Handed,
    stop: CancellationToken,
) {
    let mut busy = false;
    loop {
        if busy {
            // Much comes: one request with many messages of a lane costs the broker what one with few does.
            stop.run_until_cancelled(tokio::time::sleep(GATHER)).await;
        }
        let Some(Some(committed)) = stop.run_until_cancelled(handed.next(ROUND)).await else { break };
        busy = committed.len() >= BUSY;
        publish_committed(&pool, bus.as_ref(), &topics, committed).await;
    }
    // At shutdown what was handed over is still published: it costs a round or two.
    while let Some(committed) = handed.try_next(ROUND) {
        publish_committed(&pool, bus.as_ref(), &topics, committed).await;
    }
}

async fn publish_committed(pool: &PgPool, bus: &dyn Bus, topics: &Topics, committed: Vec<Committed>) {
    let mut by_topic: BTreeMap<&'static str, (Vec<i64>, Vec<Message>)> = BTreeMap::new();
    for Committed { id, message } in committed {
        let (ids, messages) = by_topic.entry(message.topic).or_default();
        ids.push(id);
        messages.push(Message {
            data: message.payload,
            attributes: message.attributes.into_inner(),
            ordering_key: Some(lane(&message.record_key, topics.lanes)),
        });
    }
    let mut published = Vec::new();
    for (topic, (ids, messages)) in by_topic {
        let outcomes = bus.publish(topics.name_of(topic), messages).await;
        published.extend(ids.into_iter().zip(outcomes).filter(|(_, outcome)| outcome.is_ok()).map(|(id, _)| id));
    }
    if !published.is_empty()
        && let Err(error) = store::outbox::remove_committed(pool, &published).await
    {
        tracing::warn!(%error, "{} published outbox rows stay, and will be published again by the sweep", published.len());
    }
}

trait PendingExt {
    fn key(&self) -> Option<(String, String)>;
    fn message(&self, lanes: u16) -> Message;
}

impl PendingExt for Pending {
    fn key(&self) -> Option<(String, String)> {
        self.ordering_key.as_ref().map(|key| (self.topic.clone(), key.clone()))
    }

    fn message(&self, lanes: u16) -> Message {
        Message {
            data: Bytes::from(self.payload.clone()),
            attributes: self.attributes.clone(),
            ordering_key: self.ordering_key.as_deref().map(|key| lane(key, lanes)),
        }
    }
}

/// Relays until `stop`: woken by the outbox when leading, sweeping old rows when not. Survives the loss of Postgres and
/// of the broker; the rows wait.
pub async fn run(pool: PgPool, bus: Arc<dyn Bus>, topics: Topics, limits: RelayLimits, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = lead_or_sweep(&pool, bus.as_ref(), &topics, &limits, &stop).await {
            tracing::warn!(%error, "the outbox relay lost Postgres and tries again");
        }
        stop.run_until_cancelled(tokio::time::sleep(limits.poll)).await;
    }
}

/// Leads until the listening connection is lost, or does one sweep when somebody else leads.
async fn lead_or_sweep(
    pool: &PgPool,
    bus: &dyn Bus,
    topics: &Topics,
    limits: &RelayLimits,
    stop: &CancellationToken,
) -> Result<(), StoreError> {
    let mut listener = PgListener::connect_with(pool).await.map_err(StoreError::database("listen for outbox rows"))?;
    while !stop.is_cancelled() {
        if store::outbox::try_lead(&mut listener).await? {
            listener.listen(store::outbox::CHANNEL).await.map_err(StoreError::database("listen for outbox rows"))?;
            return lead(pool, bus, topics, limits, listener, stop).await;
        }
        pass(pool, bus, topics, limits, limits.sweep_age).await?;
        stop.run_until_cancelled(tokio::time::sleep(limits.poll)).await;
    }
    Ok(())
}

async fn lead(
    pool: &PgPool,
    bus: &dyn Bus,
    topics: &Topics,
    limits: &RelayLimits,
    mut listener: PgListener,
    stop: &CancellationToken,
) -> Result<(), StoreError> {
    let mut cleaned: Option<Instant> = None;
    while !stop.is_cancelled() {
        let relayed = pass(pool, bus, topics, limits, Duration::ZERO).await?;
        if cleaned.is_none_or(|at| at.elapsed() >= CLEAN_EVERY) {
            let deleted = store::outbox::delete_refused(pool, limits.keep_refused, limits.delete_batch).await?;
            // A full batch was deleted: there is more, and it must not pile up faster than it goes.
            cleaned = (deleted < limits.delete_batch.unsigned_abs()).then(Instant::now);
        }
        let full = i64::try_from(relayed.claimed).unwrap_or(i64::MAX) == limits.batch;
        if full && relayed.published > 0 {
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            heard = listener.try_recv() => match heard.map_err(StoreError::database("listen for outbox rows"))? {
                Some(_) => while listener.next_buffered().is_some() {},
                // The connection was lost, and the lead with it.
                None => return Ok(()),
            },
            () = tokio::time::sleep(limits.poll) => {}
        }
    }
    Ok(())
}

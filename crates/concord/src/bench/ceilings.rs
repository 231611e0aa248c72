//! What could not be exceeded: the bus with nobody who does anything, and the one batch transaction every such service
//! needs, with nobody around it. Both with the same events, on the same machine, in the same run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use chassis::bus::{SubscriptionSpec, Topology};
use futures::future::try_join_all;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::feed::Feed;
use super::pace::Pace;
use super::report::rounded;
use super::stand::{Tools, ensure};

/// Topics and subscriptions of the bus's own measurement begin like this.
const TOPIC: &str = "bench.raw";
const SUBSCRIPTION: &str = "bench-reader";
/// Messages that a consumer takes at once: as merge-service does.
const BATCH: usize = 500;
/// Before counting begins.
const WARM_UP: Duration = Duration::from_secs(2);
/// How long each variant counts.
const COUNTED: Duration = Duration::from_secs(5);
const WAIT: Duration = Duration::from_millis(200);

/// Producers and consumers at once; the best variant is the ceiling.
const BUS_VARIANTS: [(usize, usize); 3] = [(1, 2), (2, 2), (2, 4)];
/// Writers at once; the best variant is the ceiling.
const WRITERS: [usize; 3] = [1, 2, 4];

/// A ceiling: the best variant, and all of them for the record.
#[derive(Debug)]
pub struct Ceiling {
    /// Events per second of the best variant.
    pub per_second: f64,
    /// Every variant.
    pub variants: Vec<Value>,
}

impl Ceiling {
    fn best(measured: Vec<(String, f64)>) -> Self {
        Self {
            per_second: measured.iter().map(|(_, rate)| *rate).fold(0.0, f64::max),
            variants: measured
                .iter()
                .map(|(what, rate)| json!({ "variant": what, "events_per_s": rounded(*rate, 0) }))
                .collect(),
        }
    }
}

fn told(variant: String, rate: f64) -> (String, f64) {
    eprintln!("  {variant}: {rate:.0} events a second");
    (variant, rate)
}

/// The bus alone: the same messages, and a consumer that only acknowledges.
///
/// # Errors
/// When the bus fails.
pub async fn bus(tools: &Tools, feed: &Feed, in_flight: u32) -> Result<Ceiling> {
    let mut measured = Vec::new();
    for (number, (producers, consumers)) in BUS_VARIANTS.into_iter().enumerate() {
        // A topic of its own for each: nothing of the one before is left in its way.
        let (name, topic) = (format!("{SUBSCRIPTION}-{number}"), format!("{TOPIC}-{number}"));
        let spec = SubscriptionSpec { name, topic: topic.clone(), ..tools.core.topics.merge_service() };
        let topology = Topology { topics: vec![topic], subscriptions: vec![spec.clone()] };
        ensure(tools.bus.as_ref(), &topology).await?;
        let rate = bus_variant(tools, feed, &spec, in_flight, producers, consumers).await?;
        measured.push(told(format!("bus: {producers} producers, {consumers} consumers"), rate));
    }
    Ok(Ceiling::best(measured))
}

async fn bus_variant(
    tools: &Tools,
    feed: &Feed,
    spec: &SubscriptionSpec,
    in_flight: u32,
    producers: usize,
    consumers: usize,
) -> Result<f64> {
    let pace = Arc::new(Pace::new(u64::from(in_flight)));
    let (stop_producing, stop_consuming) = (CancellationToken::new(), CancellationToken::new());
    let subscription = tools.bus.subscribe(spec.clone()).await?;
    let subscription = Arc::from(subscription);
    let producing: Vec<_> = (0..producers)
        .map(|_| {
            let (tools, feed, pace, stop) = (tools.clone(), feed.clone(), pace.clone(), stop_producing.clone());
            let topic = spec.topic.clone();
            tokio::spawn(async move { feed.publish(tools.bus.as_ref(), &topic, &pace, &stop).await })
        })
        .collect();
    let consuming: Vec<_> = (0..consumers)
        .map(|_| tokio::spawn(acknowledge(Arc::clone(&subscription), pace.clone(), stop_consuming.clone())))
        .collect();
    tokio::time::sleep(WARM_UP).await;
    let (before, start) = (pace.settled(), Instant::now());
    tokio::time::sleep(COUNTED).await;
    let rate = (pace.settled() - before) as f64 / start.elapsed().as_secs_f64();
    stop_producing.cancel();
    for producer in try_join_all(producing).await? {
        producer?;
    }
    pace.reached(pace.published()).await?;
    stop_consuming.cancel();
    for consumer in try_join_all(consuming).await? {
        consumer?;
    }
    subscription.close().await;
    Ok(rate)
}

async fn acknowledge(
    subscription: Arc<dyn chassis::bus::Subscription>,
    pace: Arc<Pace>,
    stop: CancellationToken,
) -> Result<()> {
    while !stop.is_cancelled() {
        let deliveries = subscription.next_batch(BATCH, WAIT).await?;
        if deliveries.is_empty() {
            continue;
        }
        let tokens: Vec<_> = deliveries.iter().map(|delivery| delivery.token).collect();
        let count = tokens.len() as u64;
        subscription.ack(tokens).await?;
        pace.settle(count);
    }
    Ok(())
}

/// The bare batch transaction: 500 events, 500 upserts, 500 outbox rows, each as one statement over arrays.
///
/// # Errors
/// When the database fails.
pub async fn transaction(pool: &PgPool, feed: &Feed) -> Result<Ceiling> {
    sqlx::raw_sql(TABLES).execute(pool).await.context("the tables of the bare transaction")?;
    let mut measured = Vec::new();
    for writers in WRITERS {
        let rate = transaction_variant(pool, feed, writers).await?;
        measured.push(told(format!("transaction: {writers} writers"), rate));
    }
    sqlx::raw_sql("drop schema bench cascade; checkpoint").execute(pool).await?;
    Ok(Ceiling::best(measured))
}

/// As in the fact the ceiling goes back to: an immutable log, the newest state, the way out.
const TABLES: &str = "
    drop schema if exists bench cascade;
    create schema bench;
    create table bench.events (account_id text not null, event_id uuid not null, record_key text not null,
        received_at timestamptz not null default now(), changes jsonb not null, primary key (account_id, event_id));
    create table bench.current_state (account_id text not null, record_type text not null, record_id text not null,
        version bigint not null, state jsonb not null, primary key (account_id, record_type, record_id))
        with (fillfactor = 70);
    create table bench.outbox (id bigint generated always as identity primary key, topic text not null,
        ordering_key text not null, payload bytea not null, created_at timestamptz not null default now(),
        published_at timestamptz);
    create index on bench.outbox (id) where published_at is null";

async fn transaction_variant(pool: &PgPool, feed: &Feed, writers: usize) -> Result<f64> {
    let stop = CancellationToken::new();
    let done = Arc::new(Pace::new(u64::MAX / 2));
    let writing: Vec<_> = (0..writers)
        .map(|writer| tokio::spawn(write(pool.clone(), feed.clone(), writer, writers, done.clone(), stop.clone())))
        .collect();
    tokio::time::sleep(WARM_UP).await;
    let (before, start) = (done.settled(), Instant::now());
    tokio::time::sleep(COUNTED).await;
    let rate = (done.settled() - before) as f64 / start.elapsed().as_secs_f64();
    stop.cancel();
    for writer in try_join_all(writing).await? {
        writer?;
    }
    Ok(rate)
}

/// One writer over its own share of the records, round after round.
async fn write(
    pool: PgPool,
    feed: Feed,
    writer: usize,
    writers: usize,
    done: Arc<Pace>,
    stop: CancellationToken,
) -> Result<()> {
    let own: Vec<u32> = (0..feed.records()).filter(|record| *record as usize % writers == writer).collect();
    let account = feed.account().as_str().to_owned();
    for version in 2.. {
        for records in own.chunks(BATCH) {
            if stop.is_cancelled() {
                return Ok(());
            }
            let batch = Batch::of(&feed, records, version)?;
            batch.store(&pool, &account, version).await?;
            done.settle(records.len() as u64);
        }
    }
    Ok(())
}

/// The rows of one transaction by column.
#[derive(Default)]
struct Batch {
    ids: Vec<Uuid>,
    keys: Vec<String>,
    natives: Vec<String>,
    changes: Vec<String>,
    payloads: Vec<Vec<u8>>,
}

impl Batch {
    fn of(feed: &Feed, records: &[u32], version: u32) -> Result<Self> {
        let mut batch = Self::default();
        for record in records {
            let event = feed.event(*record, version, &model::RandomIds, &model::SystemClock)?;
            let changes: serde_json::Map<String, Value> = event
                .changes
                .iter()
                .map(|(name, value)| match value {
                    model::TypedValue::Text(text) => (name.clone(), json!(text)),
                    other => (name.clone(), json!(format!("{other:?}"))),
                })
                .collect();
            batch.ids.push(event.event_id);
            batch.natives.push(event.record_id.to_string());
            batch.keys.push(model::record_key(&event.account, &event.record_type, event.record_id.as_str()));
            batch.changes.push(Value::Object(changes).to_string());
            batch.payloads.push(model::wire::encode_change(&event).to_vec());
        }
        Ok(batch)
    }

    async fn store(&self, pool: &PgPool, account: &str, version: u32) -> Result<()> {
        let mut tx = pool.begin().await?;
        sqlx::query(
            "insert into bench.events (account_id, event_id, record_key, changes)
             select $1, e.id, e.key, e.changes::jsonb from unnest($2::uuid[], $3::text[], $4::text[]) as e (id, key, changes)
             on conflict do nothing",
        )
        .bind(account)
        .bind(&self.ids)
        .bind(&self.keys)
        .bind(&self.changes)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "insert into bench.current_state as c (account_id, record_type, record_id, version, state)
             select $1, 'customer', s.id, $2, s.state::jsonb from unnest($3::text[], $4::text[]) as s (id, state) order by s.id
             on conflict (account_id, record_type, record_id) do update
                set version = excluded.version, state = excluded.state where c.version < excluded.version",
        )
        .bind(account)
        .bind(i64::from(version))
        .bind(&self.natives)
        .bind(&self.changes)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "insert into bench.outbox (topic, ordering_key, payload)
             select 'events.merged', o.key, o.payload from unnest($1::text[], $2::bytea[]) as o (key, payload)",
        )
        .bind(&self.keys)
        .bind(&self.payloads)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }
}

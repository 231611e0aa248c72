//! Measures the embedded bus alone: one publisher, one subscriber, 1 KB messages over 64 lanes, on a private Postgres.
//!
//! `cargo run -p chassis --example bus_throughput -- [messages] [publish batch] [receive batch]`

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chassis::bus::postgres::{PostgresBus, PostgresBusLimits};
use chassis::bus::{Bus, Message, SubscriptionSpec, Topology, lane};

const TOPIC: &str = "measured";

fn messages(range: std::ops::Range<usize>) -> Vec<Message> {
    let data = Bytes::from(vec![b'x'; 1000]);
    let attributes: BTreeMap<String, String> = [
        ("account_id", "TSTDRV100001"),
        ("content-type", "application/protobuf"),
        ("event_id", "0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000"),
        ("record_id", "12345"),
        ("record_key", "TSTDRV100001|customer|12345"),
        ("record_type", "customer"),
        ("source", "suitex"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    range
        .map(|n| Message {
            data: data.clone(),
            attributes: attributes.clone(),
            ordering_key: Some(lane(&format!("TSTDRV100001|customer|{}", n % 10_000), 64)),
        })
        .collect()
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let mut next = |default| arguments.next().transpose().map(|number| number.unwrap_or(default));
    let (total, publish_batch, receive_batch) = (next(100_000)?, next(500)?, next(1000)?);
    let db = pgtest::database().await;
    let bus = Arc::new(PostgresBus::new(db.pool(8).await, PostgresBusLimits::default()));
    let spec = SubscriptionSpec { max_outstanding: 10_000, ..SubscriptionSpec::new("reader", TOPIC) };
    bus.ensure(&Topology { topics: vec![TOPIC.into()], subscriptions: vec![spec.clone()] }).await?;
    let subscription = bus.subscribe(spec).await?;

    let started = Instant::now();
    let publisher = tokio::spawn({
        let bus = bus.clone();
        async move {
            let mut at = 0;
            while at < total {
                let end = (at + publish_batch).min(total);
                for outcome in bus.publish(TOPIC, messages(at..end)).await {
                    outcome?;
                }
                at = end;
            }
            anyhow::Ok(started.elapsed())
        }
    });
    let (mut received, mut batches, mut reported) = (0, 0, Instant::now());
    while received < total {
        let batch = subscription.next_batch(receive_batch, Duration::from_secs(10)).await?;
        anyhow::ensure!(!batch.is_empty(), "nothing came for ten seconds after {received}");
        received += batch.len();
        batches += 1;
        subscription.ack(batch.iter().map(|delivery| delivery.token).collect()).await?;
        if reported.elapsed() > Duration::from_secs(5) {
            reported = Instant::now();
            println!("{received} received after {:.1} s", started.elapsed().as_secs_f64());
        }
    }
    let (took, published) = (started.elapsed(), publisher.await??);
    let rate = |time: Duration| total as f64 / time.as_secs_f64();
    println!("published {total} in {published:.2?}: {:.0}/s", rate(published));
    println!("received and acknowledged in {took:.2?}: {:.0}/s, {} a batch", rate(took), total / batches.max(1));
    subscription.close().await;
    bus.close().await;
    Ok(())
}

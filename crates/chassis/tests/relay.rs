//! What the outbox relay promises.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

#[path = "support/parts.rs"]
mod parts;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chassis::bus::{Bus, Delivery, MAX_DATA_BYTES, Subscription};
use chassis::relay::{self, RelayLimits, relay_once};
use chassis::settings::{Topics, topic};
use model::{AccountId, RecordRef, RecordType, Rid};
use parts::{World, world};
use store::PgRecords;
use store::handoff::Handed;
use store::outbox::NewRow;
use store::records::{Outgoing, Patch, Pick, Records, View};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(30);

fn row(key: Option<&str>, text: &str) -> NewRow {
    NewRow {
        topic: topic::RAW.into(),
        ordering_key: key.map(str::to_owned),
        payload: text.as_bytes().to_vec(),
        attributes: [("event_id".to_owned(), text.to_owned())].into(),
    }
}

async fn insert(world: &World, rows: &[NewRow]) {
    let mut tx = world.parts.pool.begin().await.unwrap();
    store::outbox::insert(&mut tx, rows).await.unwrap();
    tx.commit().await.unwrap();
}

async fn subscribe(world: &World) -> Box<dyn Subscription> {
    world.bus.subscribe(world.parts.core.topics.merge_service()).await.unwrap()
}

async fn take(subscription: &dyn Subscription, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    let all = async {
        while taken.len() < count {
            let batch = subscription.next_batch(100, Duration::from_secs(1)).await.unwrap();
            subscription.ack(batch.iter().map(|delivery| delivery.token).collect()).await.unwrap();
            taken.extend(batch);
        }
    };
    let done = tokio::time::timeout(PATIENCE, all).await;
    assert!(done.is_ok(), "{} of {count} messages came", taken.len());
    taken
}

fn texts(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|d| String::from_utf8(d.message.data.to_vec()).unwrap()).collect()
}

async fn unpublished(world: &World) -> i64 {
    sqlx::query_scalar("select count(*) from sync.outbox where published_at is null")
        .fetch_one(&world.parts.pool)
        .await
        .unwrap()
}

async fn once(world: &World, limit: i64) -> relay::Relayed {
    relay_once(&world.parts.pool, &world.bus, &world.parts.core.topics, limit).await.unwrap()
}

#[tokio::test]
async fn rows_leave_in_order_under_the_lane_of_their_record() {
    let world = world().await;
    let subscription = subscribe(&world).await;
    let rows: Vec<NewRow> = (0..25).map(|n| row(Some("A1|customer|1"), &n.to_string())).collect();
    insert(&world, &rows).await;
    let done = once(&world, 10).await;
    assert_eq!((done.claimed, done.published, unpublished(&world).await), (10, 10, 15));
    once(&world, 100).await;
    assert_eq!(once(&world, 100).await, relay::Relayed::default());
    let came = take(&*subscription, 25).await;
    assert_eq!(texts(&came), (0..25).map(|n| n.to_string()).collect::<Vec<_>>());
    assert!(came.iter().all(|delivery| delivery.message.ordering_key.as_deref() == Some("lane-31")));
    assert_eq!(came[3].message.attributes, BTreeMap::from([("event_id".to_owned(), "3".to_owned())]));
}

#[tokio::test]
async fn nothing_leaves_before_its_transaction_commits() {
    let world = world().await;
    let mut tx = world.parts.pool.begin().await.unwrap();
    store::outbox::insert(&mut tx, &[row(None, "never")]).await.unwrap();
    assert_eq!(once(&world, 10).await.claimed, 0);
    tx.rollback().await.unwrap();
    assert_eq!(once(&world, 10).await.claimed, 0);
}

#[tokio::test]
async fn what_the_broker_did_not_acknowledge_stays_with_what_is_behind_it() {
    let world = world().await;
    let subscription = subscribe(&world).await;
    let rows = [row(Some("lane-00"), "a0"), row(Some("lane-01"), "b0"), row(Some("lane-00"), "a1"), row(None, "free")];
    insert(&world, &rows).await;
    world.bus.fail_key("lane-00", 1);
    let done = once(&world, 10).await;
    assert_eq!((done.claimed, done.published), (4, 2));
    assert_eq!(unpublished(&world).await, 2);
    assert_eq!(texts(&take(&*subscription, 2).await), ["b0", "free"]);
    world.bus.set_broken(true);
    assert_eq!(once(&world, 10).await.published, 0);
    world.bus.set_broken(false);
    assert_eq!(once(&world, 10).await.published, 2);
    assert_eq!(texts(&take(&*subscription, 2).await), ["a0", "a1"]);
    assert_eq!(unpublished(&world).await, 0);
}

#[tokio::test]
async fn topics_have_the_broker_s_names() {
    let world = world().await;
    let topics = Topics { merged: "prod.merged".into(), lanes: 0, ..Topics::default() };
    world.bus.ensure(&topics.topology()).await.unwrap();
    let mut merged = row(Some("A1|customer|1"), "x");
    merged.topic = topic::MERGED.into();
    merged.attributes.insert("target".into(), "suitex".into());
    // The world's own topology reads the default name: only a subscription of another name sees the configured one.
    let spec = chassis::bus::SubscriptionSpec { name: "other".into(), ..topics.suitex_writer() };
    let topology = chassis::bus::Topology { topics: vec![], subscriptions: vec![spec.clone()] };
    world.bus.ensure(&topology).await.unwrap();
    let subscription = world.bus.subscribe(spec).await.unwrap();
    insert(&world, &[merged]).await;
    relay_once(&world.parts.pool, &world.bus, &topics, 10).await.unwrap();
    let came = take(&*subscription, 1).await;
    assert_eq!(came[0].message.ordering_key.as_deref(), Some("A1|customer|1"), "no lanes were wanted");
}

#[tokio::test]
async fn a_row_that_can_never_be_published_does_not_block_the_others() {
    let world = world().await;
    let subscription = subscribe(&world).await;
    let mut huge = row(Some("lane-00"), "huge");
    huge.payload = vec![0; MAX_DATA_BYTES + 1];
    insert(&world, &[huge, row(Some("lane-00"), "next")]).await;
    let done = once(&world, 10).await;
    assert_eq!(done.refused, 1);
    while unpublished(&world).await > 0 {
        once(&world, 10).await;
    }
    assert_eq!(texts(&take(&*subscription, 1).await), ["next"]);
}

struct Running {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

fn run(world: &World, limits: RelayLimits) -> Running {
    let stop = CancellationToken::new();
    let bus: Arc<dyn Bus> = Arc::new(world.bus.clone());
    let task = relay::run(world.parts.pool.clone(), bus, world.parts.core.topics.clone(), limits, stop.clone());
    Running { stop, task: tokio::spawn(task) }
}

impl Running {
    async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.expect("the relay ends").unwrap();
    }
}

#[tokio::test]
async fn the_leading_relay_is_woken_by_a_commit() {
    let world = world().await;
    let subscription = subscribe(&world).await;
    // It would not look by itself within the test's patience.
    let limits = RelayLimits { poll: Duration::from_secs(3600), ..RelayLimits::default() };
    insert(&world, &[row(None, "before")]).await;
    let relay = run(&world, limits);
    assert_eq!(texts(&take(&*subscription, 1).await), ["before"]);
    for n in 0..20 {
        insert(&world, &[row(Some("lane-00"), &n.to_string())]).await;
        assert_eq!(texts(&take(&*subscription, 1).await), [n.to_string()]);
    }
    relay.end().await;
}

#[tokio::test]
async fn several_relays_publish_every_row_once_and_in_order() {
    let world = world().await;
    let subscription = subscribe(&world).await;
    let limits = RelayLimits { batch: 7, poll: Duration::from_millis(50), ..RelayLimits::default() };
    let relays = [run(&world, limits), run(&world, limits), run(&world, limits)];
    for batch in 0..20 {
        let rows: Vec<NewRow> =
            (0..10).map(|n| row(Some(&format!("lane-{:02}", n % 3)), &format!("{}", batch * 10 + n))).collect();
        insert(&world, &rows).await;
    }
    let came = take(&*subscription, 200).await;
    let mut by_lane: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for delivery in &came {
        let lane = delivery.message.ordering_key.clone().unwrap();
        by_lane.entry(lane).or_default().push(texts(std::slice::from_ref(delivery))[0].parse().unwrap());
    }
    assert_eq!(came.len(), 200);
    for (lane, numbers) in by_lane {
        assert!(numbers.is_sorted(), "{lane}: {numbers:?}");
    }
    for relay in relays {
        relay.end().await;
    }
    assert_eq!(unpublished(&world).await, 0);
}

#[tokio::test]
async fn rows_a_hanging_leader_leaves_are_swept_by_another() {
    let world = world().await;
    let subscription = subscribe(&world).await;
    // Somebody leads and does nothing.
    let mut leader = world.parts.pool.acquire().await.unwrap();
    assert!(store::outbox::try_lead(&mut *leader).await.unwrap());
    let limits = RelayLimits {
        poll: Duration::from_millis(100),
        sweep_age: Duration::from_millis(300),
        ..RelayLimits::default()
    };
    let relay = run(&world, limits);
    let inserted = std::time::Instant::now();
    insert(&world, &[row(None, "left")]).await;
    assert_eq!(texts(&take(&*subscription, 1).await), ["left"]);
    assert!(inserted.elapsed() >= Duration::from_millis(300), "it waited for the leader first");
    relay.end().await;
    let left: i64 = sqlx::query_scalar("select count(*) from sync.outbox").fetch_one(&world.parts.pool).await.unwrap();
    assert_eq!(left, 0, "what the broker has is not kept");
}

#[tokio::test]
async fn rows_that_are_done_with_are_deleted_after_their_time_and_others_never() {
    let world = world().await;
    insert(&world, &[row(None, "old"), row(None, "new"), row(None, "waiting")]).await;
    sqlx::raw_sql(
        "update sync.outbox set published_at = now() - interval '1 hour' where payload = 'old';
         update sync.outbox set published_at = now() where payload = 'new';
         update sync.outbox set created_at = now() - interval '1 year' where payload = 'waiting'",
    )
    .execute(&world.parts.pool)
    .await
    .unwrap();
    let keep = Duration::from_secs(900);
    assert_eq!(store::outbox::delete_refused(&world.parts.pool, keep, 100).await.unwrap(), 1);
    let left: Vec<Vec<u8>> =
        sqlx::query_scalar("select payload from sync.outbox order by id").fetch_all(&world.parts.pool).await.unwrap();
    assert_eq!(left, [b"new".to_vec(), b"waiting".to_vec()]);
}

/// A store that hands what it commits to its own relay, and a record to commit about.
async fn handing(world: &World) -> (PgRecords, Handed, RecordRef) {
    let (handoff, handed) = store::handoff::handoff();
    let records = PgRecords::new(world.parts.pool.clone()).handing_to(handoff);
    let (account, record_type) = (AccountId::parse("A1").unwrap(), RecordType::parse("customer").unwrap());
    let record = RecordRef { account, record_type, rid: Rid(uuid::Uuid::from_u128(1)) };
    sqlx::query("insert into sync.record_head (account_id, record_type, rid) values ($1, $2, $3)")
        .bind(record.account.as_str())
        .bind(record.record_type.as_str())
        .bind(record.rid.0)
        .execute(&world.parts.pool)
        .await
        .unwrap();
    (records, handed, record)
}

/// Commits messages in one transaction.
async fn commit(records: &PgRecords, record: &RecordRef, texts: &[&'static str]) {
    let message = |text: &&'static str| Outgoing {
        topic: topic::RAW,
        record_key: "A1|customer|1".to_owned(),
        payload: text.as_bytes().into(),
        attributes: [("event_id".to_owned(), (*text).to_owned())].into_iter().collect(),
    };
    let mut plan = |views: &[View]| {
        let mut patch = Patch::of(views[0].record.clone());
        patch.outbox = texts.iter().map(message).collect();
        vec![patch]
    };
    let these = Pick::These(vec![record.clone()]);
    assert_eq!(records.transact(&these, false, &mut plan).await.unwrap(), 1);
}

#[tokio::test]
async fn a_process_relays_what_it_committed_itself() {
    let world = world().await;
    let subscription = subscribe(&world).await;
    let (records, handed, record) = handing(&world).await;
    commit(&records, &record, &["1", "2"]).await;
    assert_eq!(once(&world, 10).await.claimed, 0, "the sweep leaves them to their process");
    let stop = CancellationToken::new();
    let (pool, bus, topics) = (world.parts.pool.clone(), world.parts.bus.clone(), world.parts.core.topics.clone());
    let relaying = tokio::spawn(relay::run_committed(pool, bus, topics, handed, stop.clone()));
    let came = take(&*subscription, 2).await;
    assert_eq!(texts(&came), ["1", "2"]);
    assert!(came.iter().all(|delivery| delivery.message.ordering_key.as_deref() == Some("lane-31")));
    commit(&records, &record, &["3"]).await;
    // What was committed before the end leaves before it.
    stop.cancel();
    relaying.await.unwrap();
    assert_eq!(texts(&take(&*subscription, 1).await), ["3"]);
    assert_eq!(unpublished(&world).await, 0);
}

#[tokio::test]
async fn what_its_process_did_not_publish_is_swept_up() {
    let world = world().await;
    let subscription = subscribe(&world).await;
    let (records, handed, record) = handing(&world).await;
    commit(&records, &record, &["refused"]).await;
    world.bus.set_broken(true);
    let (pool, bus, topics) = (world.parts.pool.clone(), world.parts.bus.clone(), world.parts.core.topics.clone());
    let stop = CancellationToken::new();
    stop.cancel();
    relay::run_committed(pool, bus, topics, handed, stop).await;
    commit(&records, &record, &["never handed over"]).await;
    assert_eq!(unpublished(&world).await, 2);
    world.bus.set_broken(false);
    sqlx::query("update sync.outbox set sweep_at = sweep_at - make_interval(secs => $1)")
        .bind(store::handoff::PATIENCE.as_secs_f64())
        .execute(&world.parts.pool)
        .await
        .unwrap();
    assert_eq!(once(&world, 10).await.published, 2);
    assert_eq!(texts(&take(&*subscription, 2).await), ["refused", "never handed over"]);
}

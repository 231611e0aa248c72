//! What the worker loop promises a handler and everybody else.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

#[path = "support/parts.rs"]
mod parts;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chassis::bus::{Bus, Message, SubscriptionSpec};
use chassis::settings::topic;
use chassis::worker::{Decoded, Handler, WorkerLimits};
use model::{ErrorClass, Failure};
use parts::{World, world};
use store::outbox::Pending;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(30);

/// Does what the message says: `ok`, `transient N` (fails N times), `validation`, `panic`, …
struct Scripted {
    calls: Mutex<BTreeMap<String, u32>>,
    handled: Mutex<Vec<String>>,
    log: Mutex<Vec<String>>,
    changed: Notify,
    gate: Semaphore,
}

impl Scripted {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            calls: Mutex::default(),
            handled: Mutex::default(),
            log: Mutex::default(),
            changed: Notify::new(),
            gate: Semaphore::new(0),
        })
    }

    fn decide(&self, event: &str, calls: u32) -> Result<(), Failure> {
        let fail = |class| Err(Failure::new(class, "scripted", "the script says so"));
        let (verb, rest) = event.split_once(' ').unwrap_or((event, ""));
        match verb {
            "transient" if calls <= rest.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(u32::MAX) => {
                fail(ErrorClass::Transient)
            }
            "operational" if calls <= 2 => fail(ErrorClass::Operational),
            "validation" => fail(ErrorClass::Validation),
            "conflict" => fail(ErrorClass::Conflict),
            "irrecoverable" => fail(ErrorClass::Irrecoverable),
            "panic" => panic!("the script says so"),
            _ => Ok(()),
        }
    }

    fn handled(&self) -> Vec<String> {
        self.handled.lock().unwrap().clone()
    }

    fn calls(&self, event: &str) -> u32 {
        self.calls.lock().unwrap().get(event).copied().unwrap_or(0)
    }

    async fn until(&self, reached: impl Fn(&Self) -> bool) {
        let waiting = async {
            loop {
                let changed = self.changed.notified();
                if reached(self) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| {
            panic!("not reached; handled {:?}, calls {:?}", self.handled(), self.calls.lock().unwrap())
        });
    }
}

#[async_trait]
impl Handler for Scripted {
    type Event = String;

    fn decode(&self, message: &Message) -> Result<String, Failure> {
        let text = std::str::from_utf8(&message.data)
            .map_err(|_| Failure::new(ErrorClass::Irrecoverable, "unreadable", "the payload is not text"))?;
        assert_ne!(text, "panic in decode");
        Ok(text.to_owned())
    }

    async fn handle(&self, batch: &[Decoded<String>]) -> Vec<Result<(), Failure>> {
        if batch.iter().any(|one| one.event == "gated") {
            self.calls.lock().unwrap().insert("gated".into(), 1);
            self.changed.notify_waiters();
            self.gate.acquire().await.unwrap().forget();
        }
        let mut outcomes = Vec::new();
        for one in batch {
            let calls = {
                let mut calls = self.calls.lock().unwrap();
                let calls = calls.entry(one.event.clone()).or_default();
                *calls += 1;
                *calls
            };
            self.log.lock().unwrap().push(one.event.clone());
            let outcome = self.decide(&one.event, calls);
            if outcome.is_ok() {
                self.handled.lock().unwrap().push(one.event.clone());
            }
            outcomes.push(outcome);
        }
        self.changed.notify_waiters();
        if batch.iter().any(|one| one.event == "miscount") {
            outcomes.pop();
        }
        outcomes
    }
}

fn message(lane: &str, data: &[u8]) -> Message {
    Message {
        data: Bytes::copy_from_slice(data),
        attributes: [("event_id".to_owned(), "e-1".to_owned())].into(),
        ordering_key: Some(lane.into()),
    }
}

fn texts(lane: &str, texts: &[&str]) -> Vec<Message> {
    texts.iter().map(|text| message(lane, text.as_bytes())).collect()
}

async fn publish(world: &World, topic: &str, messages: Vec<Message>) {
    for outcome in world.bus.publish(topic, messages).await {
        outcome.unwrap();
    }
}

fn limits() -> WorkerLimits {
    WorkerLimits { wait: Duration::from_millis(50), pace: 0.002, ..WorkerLimits::default() }
}

fn start(world: &World, handler: &Arc<Scripted>, spec: SubscriptionSpec) -> JoinHandle<anyhow::Result<()>> {
    let (parts, handler) = (world.parts.clone(), handler.clone());
    tokio::spawn(async move { parts.work(spec, handler, limits()).await })
}

fn raw(world: &World) -> SubscriptionSpec {
    world.parts.core.topics.merge_service()
}

async fn stop(world: &World, worker: JoinHandle<anyhow::Result<()>>) {
    world.parts.shutdown.cancel();
    tokio::time::timeout(PATIENCE, worker).await.expect("the worker drains").unwrap().unwrap();
}

async fn settled(world: &World) {
    let empty = async {
        while world.bus.backlog("merge-service") > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, empty).await.expect("every message is settled");
}

async fn letters(world: &World) -> Vec<Pending> {
    let mut connection = world.parts.pool.acquire().await.unwrap();
    store::outbox::claim(&mut connection, 1000, Duration::ZERO).await.unwrap()
}

#[tokio::test]
async fn handled_messages_are_acknowledged_in_lane_order() {
    let (world, handler) = (world().await, Scripted::new());
    publish(&world, topic::RAW, texts("lane-00", &["a", "b", "c"])).await;
    let worker = start(&world, &handler, raw(&world));
    settled(&world).await;
    stop(&world, worker).await;
    assert_eq!(handler.handled(), ["a", "b", "c"]);
    assert!(letters(&world).await.is_empty());
}

#[tokio::test]
async fn each_failure_goes_where_its_class_says_with_its_bytes_and_its_reason() {
    let (world, handler) = (world().await, Scripted::new());
    let mut messages = texts("lane-00", &["validation", "ok", "conflict", "irrecoverable", "panic in decode"]);
    messages.push(message("lane-00", b"\xff\xfe\x00"));
    publish(&world, topic::RAW, messages).await;
    let worker = start(&world, &handler, raw(&world));
    settled(&world).await;
    stop(&world, worker).await;
    assert_eq!(handler.handled(), ["ok"]);
    let mut seen: Vec<(String, String, String, Vec<u8>)> = letters(&world)
        .await
        .into_iter()
        .map(|row| {
            assert_eq!(row.ordering_key.as_deref(), Some("lane-00"));
            assert_eq!(row.attributes["event_id"], "e-1");
            assert_eq!(row.attributes["attempts"], "1");
            row.attributes["first_failed_at"].parse::<model::Timestamp>().unwrap();
            let attribute = |name: &str| row.attributes[name].clone();
            (row.topic.clone(), attribute("error_class"), attribute("reason_code"), row.payload)
        })
        .collect();
    seen.sort();
    let expected: [(&str, &str, &str, &[u8]); 5] = [
        (topic::DLQ, "irrecoverable", "panic", b"panic in decode"),
        (topic::DLQ, "irrecoverable", "scripted", b"irrecoverable"),
        (topic::DLQ, "irrecoverable", "unreadable", b"\xff\xfe\x00"),
        (topic::ERROR, "conflict", "scripted", b"conflict"),
        (topic::ERROR, "validation", "scripted", b"validation"),
    ];
    let expected =
        expected.map(|(t, class, code, data)| (t.to_owned(), class.to_owned(), code.to_owned(), data.to_vec()));
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_panic_costs_only_the_message_that_panics() {
    let (world, handler) = (world().await, Scripted::new());
    publish(&world, topic::RAW, texts("lane-00", &["a", "panic", "b"])).await;
    let worker = start(&world, &handler, raw(&world));
    settled(&world).await;
    stop(&world, worker).await;
    // Once in the batch that broke, once alone.
    assert_eq!(handler.handled(), ["a", "a", "b"]);
    let letters = letters(&world).await;
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].topic.as_str(), letters[0].payload.as_slice()), (topic::DLQ, b"panic".as_slice()));
    assert_eq!(letters[0].attributes["reason_code"], "panic");
}

#[tokio::test]
async fn a_handler_that_miscounts_loses_nothing() {
    let (world, handler) = (world().await, Scripted::new());
    publish(&world, topic::RAW, texts("lane-00", &["a", "miscount"])).await;
    let worker = start(&world, &handler, raw(&world));
    settled(&world).await;
    stop(&world, worker).await;
    let letters = letters(&world).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].attributes["reason_code"], "handler_fault");
    assert_eq!(letters[0].payload, b"miscount");
}

#[tokio::test]
async fn a_transient_failure_is_repeated_and_holds_back_its_own_lane_only() {
    let (world, handler) = (world().await, Scripted::new());
    publish(&world, topic::RAW, texts("lane-00", &["transient 3"])).await;
    let worker = start(&world, &handler, raw(&world));
    handler.until(|handler| handler.calls("transient 3") == 1).await;
    publish(&world, topic::RAW, texts("lane-00", &["behind"])).await;
    publish(&world, topic::RAW, texts("lane-01", &["beside"])).await;
    settled(&world).await;
    stop(&world, worker).await;
    let log = handler.log.lock().unwrap().clone();
    let retried = log.iter().enumerate().filter(|(_, event)| *event == "transient 3").nth(1).expect("a retry").0;
    let behind = log.iter().position(|event| event == "behind").expect("it came");
    assert!(behind > retried, "nothing of the lane is handed out while the failed message waits: {log:?}");
    let last = log.iter().rposition(|event| event == "transient 3").expect("it came");
    assert!(log.iter().position(|event| event == "beside").expect("it came") < last, "{log:?}");
    assert_eq!(handler.calls("transient 3"), 4);
    assert!(letters(&world).await.is_empty());
}

#[tokio::test]
async fn after_the_last_attempt_a_transient_failure_waits_for_a_person() {
    let (world, handler) = (world().await, Scripted::new());
    publish(&world, topic::RAW, texts("lane-00", &["transient 99", "behind"])).await;
    let worker = start(&world, &handler, raw(&world));
    settled(&world).await;
    stop(&world, worker).await;
    assert_eq!(handler.calls("transient 99"), 5);
    let letters = letters(&world).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].topic, topic::ERROR);
    assert_eq!(
        (letters[0].attributes["attempts"].as_str(), letters[0].attributes["error_class"].as_str()),
        ("5", "transient")
    );
}

#[tokio::test]
async fn when_our_own_parts_fail_nothing_is_lost_and_the_process_is_not_ready() {
    let (world, handler) = (world().await, Scripted::new());
    publish(&world, topic::RAW, texts("lane-00", &["operational", "ok"])).await;
    let worker = start(&world, &handler, raw(&world));
    handler.until(|handler| handler.calls("operational") >= 1).await;
    let blocked = async {
        while !world.parts.health.obstacles().await.iter().any(|obstacle| obstacle.contains("is blocked")) {
            assert!(handler.calls("operational") <= 2, "it worked again before it was seen blocked");
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, blocked).await.expect("the process says that it is blocked");
    settled(&world).await;
    let ready = async {
        while !world.parts.health.obstacles().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ready).await.expect("the process is ready again");
    stop(&world, worker).await;
    assert_eq!(handler.calls("operational"), 3);
    assert!(letters(&world).await.is_empty(), "an outage is nobody's dead letter");
}

#[tokio::test]
async fn a_message_is_not_acknowledged_before_its_letter_is_stored() {
    let (world, handler) = (world().await, Scripted::new());
    let sql = async |statement: &'static str| sqlx::raw_sql(statement).execute(&world.parts.pool).await.unwrap();
    sql("alter table sync.outbox rename to outbox_away").await;
    publish(&world, topic::RAW, texts("lane-00", &["validation"])).await;
    let worker = start(&world, &handler, raw(&world));
    handler.until(|handler| handler.calls("validation") >= 3).await;
    assert_eq!(world.bus.backlog("merge-service"), 1);
    sql("alter table sync.outbox_away rename to outbox").await;
    settled(&world).await;
    stop(&world, worker).await;
    let letters = letters(&world).await;
    assert_eq!(letters.len(), 1, "stored once, however often it was tried");
    assert_eq!(letters[0].payload, b"validation");
}

#[tokio::test]
async fn stopping_finishes_the_batch_in_work_and_gives_back_the_rest() {
    let (world, handler) = (world().await, Scripted::new());
    publish(&world, topic::RAW, texts("lane-00", &["gated"])).await;
    let worker = start(&world, &handler, raw(&world));
    handler.until(|handler| handler.calls("gated") >= 1).await;
    publish(&world, topic::RAW, texts("lane-00", &["later"])).await;
    world.parts.shutdown.cancel();
    assert!(!worker.is_finished());
    handler.gate.add_permits(1);
    stop(&world, worker).await;
    assert_eq!(handler.handled(), ["gated"]);
    assert_eq!(world.bus.backlog("merge-service"), 1, "the later message waits for the next process");
}

#[tokio::test]
async fn a_retry_that_is_waiting_does_not_delay_the_end() {
    let (world, handler) = (world().await, Scripted::new());
    publish(&world, topic::RAW, texts("lane-00", &["transient 99"])).await;
    let (parts, own) = (world.parts.clone(), handler.clone());
    let spec = raw(&world);
    let limits = WorkerLimits { pace: 1.0, ..limits() };
    let worker = tokio::spawn(async move { parts.work(spec, own, limits).await });
    handler.until(|handler| handler.calls("transient 99") == 1).await;
    let started = std::time::Instant::now();
    stop(&world, worker).await;
    assert!(started.elapsed() < Duration::from_secs(3), "the first retry would come after four seconds at least");
    assert_eq!(world.bus.backlog("merge-service"), 1);
}

#[tokio::test]
async fn what_fails_among_the_dead_letters_stays_there() {
    let (world, handler) = (world().await, Scripted::new());
    publish(&world, topic::DLQ, texts("lane-00", &["validation"])).await;
    publish(&world, topic::ERROR, texts("lane-00", &["validation"])).await;
    let dead = start(&world, &handler, world.parts.core.topics.dlq_handler_dead_letters());
    let errors = start(&world, &handler, world.parts.core.topics.dlq_handler_errors());
    handler.until(|handler| handler.calls("validation") >= 4).await;
    stop(&world, dead).await;
    errors.await.unwrap().unwrap();
    assert_eq!(world.bus.backlog("dlq-handler-dlq"), 1, "there is no deeper place");
    let letters = letters(&world).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].topic, topic::DLQ, "from the error topic it goes deeper");
}

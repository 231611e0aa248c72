//! What the cases are made of: messages, subscriptions opened on a fresh broker, and waiting for what must come.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use chassis::bus::{Delivery, Message, Subscription, SubscriptionSpec, Token, Topology};

use crate::worlds::World;

pub(crate) const TOPIC: &str = "events.raw";
/// Longest wait for a fact that must come about.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);
/// How long nothing must happen for "nothing happens".
pub(crate) const QUIET: Duration = Duration::from_millis(700);

pub(crate) fn message(lane: &str, text: &str) -> Message {
    Message {
        data: Bytes::copy_from_slice(text.as_bytes()),
        attributes: [("event_id".to_owned(), text.to_owned())].into(),
        ordering_key: (!lane.is_empty()).then(|| lane.to_owned()),
    }
}

pub(crate) fn numbered(lane: &str, numbers: std::ops::Range<u32>) -> Vec<Message> {
    numbers.map(|n| message(lane, &format!("{lane}/{n}"))).collect()
}

pub(crate) fn text(delivery: &Delivery) -> String {
    String::from_utf8(delivery.message.data.to_vec()).unwrap()
}

pub(crate) fn texts(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(text).collect()
}

pub(crate) fn tokens(deliveries: &[Delivery]) -> Vec<Token> {
    deliveries.iter().map(|delivery| delivery.token).collect()
}

pub(crate) fn lane(delivery: &Delivery) -> String {
    delivery.message.ordering_key.clone().unwrap_or_default()
}

pub(crate) async fn ensure(world: &dyn World, specs: &[SubscriptionSpec]) {
    let topology = Topology { topics: vec![TOPIC.into()], subscriptions: specs.to_vec() };
    world.bus().ensure(&topology).await.unwrap();
}

pub(crate) async fn open(world: &dyn World, spec: &SubscriptionSpec) -> Box<dyn Subscription> {
    ensure(world, std::slice::from_ref(spec)).await;
    world.bus().subscribe(spec.clone()).await.unwrap()
}

pub(crate) fn reader() -> SubscriptionSpec {
    SubscriptionSpec { streams: 1, ..SubscriptionSpec::new("reader", TOPIC) }
}

pub(crate) fn reader_named(name: &str) -> SubscriptionSpec {
    SubscriptionSpec { name: name.into(), ..reader() }
}

pub(crate) async fn publish(world: &dyn World, messages: Vec<Message>) {
    for outcome in world.bus().publish(TOPIC, messages).await {
        outcome.unwrap();
    }
}

/// Waits until `count` messages were handed out; none is settled.
pub(crate) async fn take(subscription: &dyn Subscription, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    let all = async {
        while taken.len() < count {
            let wanted = count - taken.len();
            taken.extend(subscription.next_batch(wanted, Duration::from_secs(5)).await.unwrap());
        }
    };
    let outcome = tokio::time::timeout(PATIENCE, all).await;
    assert!(outcome.is_ok(), "only {} of {count} messages came: {:?}", taken.len(), texts(&taken));
    taken
}

/// Takes and acknowledges until every expected text was seen; returns them in the order of their coming.
pub(crate) async fn drain(subscription: &dyn Subscription, count: usize) -> Vec<String> {
    let mut seen = Vec::new();
    let mut distinct = BTreeSet::new();
    let all = async {
        while distinct.len() < count {
            let batch = subscription.next_batch(50, Duration::from_secs(5)).await.unwrap();
            distinct.extend(texts(&batch));
            seen.extend(texts(&batch));
            subscription.ack(tokens(&batch)).await.unwrap();
        }
    };
    let outcome = tokio::time::timeout(PATIENCE, all).await;
    assert!(outcome.is_ok(), "only {} of {count} messages came: {seen:?}", distinct.len());
    seen
}

pub(crate) async fn assert_quiet(subscription: &dyn Subscription) {
    let batch = subscription.next_batch(10, QUIET).await.unwrap();
    assert!(batch.is_empty(), "nothing was expected, {:?} came", texts(&batch));
}

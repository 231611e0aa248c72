//! The cases. Each opens its own topics on a fresh broker.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use chassis::bus::{BusError, Delivery, MAX_DATA_BYTES, Message, PublishError, SubscriptionSpec};

use crate::acts::{
    PATIENCE, TOPIC, assert_quiet, drain, ensure, lane, message, numbered, open, publish, reader, reader_named, take,
    text, texts, tokens,
};
use crate::worlds::World;

pub(crate) async fn messages_arrive_as_they_were_published(world: &dyn World) {
    let subscription = open(world, &reader()).await;
    let attributes: BTreeMap<String, String> = [("event_id", "e-1"), ("ce-type", "Änderung \"1\" | {}\\")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let sent = vec![
        Message { data: Bytes::from_static(&[0, 255, 1, 128]), attributes, ordering_key: Some("lane-07".into()) },
        Message { data: Bytes::from_static(b"bare"), attributes: BTreeMap::new(), ordering_key: None },
    ];
    let ids = world.bus().publish(TOPIC, sent.clone()).await;
    let ids: BTreeSet<String> = ids.into_iter().map(|id| id.unwrap().as_str().to_owned()).collect();
    let mut received = take(&*subscription, 2).await;
    received.sort_by_key(|delivery| delivery.message.ordering_key.is_none());
    let got: Vec<Message> = received.iter().map(|delivery| delivery.message.clone()).collect();
    assert_eq!(got, sent);
    assert_eq!(received.iter().map(|d| d.message_id.as_str().to_owned()).collect::<BTreeSet<_>>(), ids);
    assert!(received.iter().all(|delivery| delivery.attempt == 1));
}

pub(crate) async fn a_lane_keeps_its_order_over_batches_in_work(world: &dyn World) {
    let subscription = open(world, &reader()).await;
    let lanes = ["lane-00", "lane-01", "lane-02", "lane-03", "lane-04"];
    for round in 0..6 {
        let batch = lanes.iter().flat_map(|lane| numbered(lane, round * 10..(round + 1) * 10)).collect();
        publish(world, batch).await;
    }
    // Two batches are always in work; the older is settled when the next comes.
    let mut in_work: Vec<Vec<Delivery>> = Vec::new();
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let all = async {
        while seen.values().map(Vec::len).sum::<usize>() < 300 {
            let wait = if in_work.is_empty() { Duration::from_secs(5) } else { Duration::from_millis(200) };
            let batch = subscription.next_batch(7, wait).await.unwrap();
            let held: BTreeSet<String> = in_work.iter().flatten().map(lane).collect();
            for delivery in &batch {
                let lane = lane(delivery);
                assert!(!held.contains(&lane), "{lane} was handed out while in work");
                seen.entry(lane).or_default().push(text(delivery));
            }
            if in_work.len() == 2 || batch.is_empty() {
                let oldest = if in_work.is_empty() { Vec::new() } else { in_work.remove(0) };
                subscription.ack(tokens(&oldest)).await.unwrap();
            }
            if !batch.is_empty() {
                in_work.push(batch);
            }
        }
    };
    let outcome = tokio::time::timeout(PATIENCE, all).await;
    assert!(outcome.is_ok(), "not all messages came: {seen:?}");
    for lane in lanes {
        let expected: Vec<String> = (0..60).map(|n| format!("{lane}/{n}")).collect();
        assert_eq!(seen[lane], expected);
    }
}

pub(crate) async fn what_a_closed_subscriber_left_comes_again_in_order(world: &dyn World) {
    let first = open(world, &reader()).await;
    publish(world, numbered("lane-00", 0..1)).await;
    take(&*first, 1).await;
    publish(world, numbered("lane-00", 1..4)).await;
    first.close().await;
    assert!(matches!(first.next_batch(1, Duration::ZERO).await, Err(BusError::Closed)));
    let second = open(world, &reader()).await;
    let again = take(&*second, 1).await;
    assert_eq!(texts(&again), ["lane-00/0"]);
    assert!(again[0].attempt >= 2, "{again:?}");
    second.ack(tokens(&again)).await.unwrap();
    assert_eq!(drain(&*second, 3).await, ["lane-00/1", "lane-00/2", "lane-00/3"]);
    assert_quiet(&*second).await;
}

pub(crate) async fn what_a_vanished_subscriber_held_comes_again(world: &dyn World) {
    let first = open(world, &reader()).await;
    publish(world, numbered("lane-00", 0..1)).await;
    publish(world, numbered("lane-01", 0..1)).await;
    take(&*first, 2).await;
    drop(first);
    world.expire_leases().await;
    let second = open(world, &reader()).await;
    let again = take(&*second, 2).await;
    assert_eq!(
        texts(&again).into_iter().collect::<BTreeSet<_>>(),
        BTreeSet::from(["lane-00/0".into(), "lane-01/0".into()])
    );
    assert!(again.iter().all(|delivery| delivery.attempt >= 2), "{again:?}");
    second.ack(tokens(&again)).await.unwrap();
    assert_quiet(&*second).await;
}

pub(crate) async fn what_is_given_back_comes_again_before_what_is_behind_it(world: &dyn World) {
    let subscription = open(world, &reader()).await;
    publish(world, numbered("lane-00", 0..20)).await;
    // Of every batch the first is acknowledged and the rest given back; what is acknowledged must be in order.
    let mut acknowledged = Vec::new();
    let all = async {
        while acknowledged.len() < 20 {
            let batch = subscription.next_batch(10, Duration::from_secs(5)).await.unwrap();
            let Some((first, rest)) = batch.split_first() else { continue };
            acknowledged.push(text(first));
            subscription.ack(vec![first.token]).await.unwrap();
            subscription.nack(tokens(rest)).await.unwrap();
        }
    };
    let outcome = tokio::time::timeout(PATIENCE, all).await;
    assert!(outcome.is_ok(), "only these came: {acknowledged:?}");
    assert_eq!(acknowledged, (0..20).map(|n| format!("lane-00/{n}")).collect::<Vec<_>>());
    assert_quiet(&*subscription).await;
}

pub(crate) async fn attempts_are_counted(world: &dyn World) {
    let subscription = open(world, &reader()).await;
    publish(world, vec![message("lane-00", "keyed"), message("", "free")]).await;
    let mut attempts: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    while attempts.values().map(Vec::len).sum::<usize>() < 6 {
        for delivery in take(&*subscription, 1).await {
            let seen = attempts.entry(text(&delivery)).or_default();
            seen.push(delivery.attempt);
            match seen.len() < 3 {
                true => subscription.nack(vec![delivery.token]).await.unwrap(),
                false => subscription.ack(vec![delivery.token]).await.unwrap(),
            }
        }
    }
    assert_eq!(attempts, [("free".to_owned(), vec![1, 2, 3]), ("keyed".to_owned(), vec![1, 2, 3])].into());
}

pub(crate) async fn filters_admit_only_their_value(world: &dyn World) {
    let target = |name: &str| reader_named(name).filtered("target", name);
    let specs = [target("netsuite"), target("suitex")];
    ensure(world, &specs).await;
    let netsuite = world.bus().subscribe(specs[0].clone()).await.unwrap();
    let suitex = world.bus().subscribe(specs[1].clone()).await.unwrap();
    let mut messages = numbered("lane-00", 0..20);
    for (place, message) in messages.iter_mut().enumerate() {
        let target = ["netsuite", "suitex", "elsewhere"][place % 3];
        message.attributes.insert("target".into(), target.into());
    }
    messages.push(message("lane-00", "without target"));
    publish(world, messages).await;
    let expected =
        |rest: usize| -> Vec<String> { (0..20).filter(|n| n % 3 == rest).map(|n| format!("lane-00/{n}")).collect() };
    assert_eq!(drain(&*netsuite, 7).await, expected(0));
    assert_eq!(drain(&*suitex, 7).await, expected(1));
    assert_quiet(&*netsuite).await;
    assert_quiet(&*suitex).await;
}

pub(crate) async fn closing_in_the_middle_of_a_batch_returns_only_the_unfinished_half(world: &dyn World) {
    let first = open(world, &reader()).await;
    for number in 0..20 {
        publish(world, numbered(&format!("lane-{number:02}"), 0..1)).await;
    }
    let batch = take(&*first, 20).await;
    let (done, unfinished): (Vec<Delivery>, Vec<Delivery>) =
        batch.into_iter().partition(|delivery| text(delivery).as_str() < "lane-10");
    assert_eq!((done.len(), unfinished.len()), (10, 10));
    first.ack(tokens(&done)).await.unwrap();
    first.close().await;
    let second = open(world, &reader()).await;
    let again = drain(&*second, 10).await;
    let expected: BTreeSet<String> = texts(&unfinished).into_iter().collect();
    assert_eq!(again.iter().cloned().collect::<BTreeSet<_>>(), expected);
    assert_eq!(again.len(), 10, "each once: {again:?}");
    assert_quiet(&*second).await;
}

pub(crate) async fn a_refused_message_pauses_its_lane_for_the_call_only(world: &dyn World) {
    let subscription = open(world, &reader()).await;
    let mut huge = message("lane-00", "huge");
    huge.data = Bytes::from(vec![7; MAX_DATA_BYTES + 1]);
    let mut nul = message("lane-02", "nul");
    nul.attributes.insert("name".into(), "a\0b".into());
    let messages = vec![
        message("lane-00", "before"),
        huge,
        message("lane-00", "behind"),
        message("lane-01", "beside"),
        nul,
        message("", "free"),
    ];
    let outcomes = world.bus().publish(TOPIC, messages).await;
    assert_eq!(outcomes.len(), 6);
    assert!(matches!(outcomes[1], Err(PublishError::Refused { .. })), "{outcomes:?}");
    assert!(matches!(outcomes[2], Err(PublishError::Paused)), "{outcomes:?}");
    assert!(matches!(outcomes[4], Err(PublishError::Refused { .. })), "{outcomes:?}");
    assert!([0, 3, 5].iter().all(|place| outcomes[*place].is_ok()), "{outcomes:?}");
    publish(world, vec![message("lane-00", "behind"), message("lane-02", "mended")]).await;
    let seen = drain(&*subscription, 5).await;
    let place = |text: &str| seen.iter().position(|other| other == text).unwrap();
    assert!(place("before") < place("behind"), "{seen:?}");
    assert_quiet(&*subscription).await;
}

pub(crate) async fn publishing_fails_while_the_broker_is_away_and_resumes_in_order(world: &dyn World) {
    let subscription = open(world, &reader()).await;
    publish(world, numbered("lane-00", 0..2)).await;
    assert_eq!(drain(&*subscription, 2).await.len(), 2);
    world.break_broker().await;
    let outcomes = world.bus().publish(TOPIC, numbered("lane-00", 2..5)).await;
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().is_err_and(PublishError::is_retryable)), "{outcomes:?}");
    assert!(world.bus().ping().await.is_err() || world.survives_absence());
    world.mend_broker().await;
    // Whoever publishes repeats what was not acknowledged; the broker may have forgotten its topics meanwhile.
    publish(world, numbered("lane-00", 2..5)).await;
    publish(world, numbered("lane-00", 5..7)).await;
    let seen = drain(&*subscription, 5).await;
    let mut in_order = seen.clone();
    in_order.dedup();
    assert_eq!(in_order, (2..7).map(|n| format!("lane-00/{n}")).collect::<Vec<_>>());
    world.bus().ping().await.unwrap();
}

pub(crate) async fn two_subscribers_share_and_never_hold_one_lane_together(world: &dyn World) {
    let (one, two) = (open(world, &reader()).await, open(world, &reader()).await);
    let lanes: Vec<String> = (0..16).map(|n| format!("lane-{n:02}")).collect();
    for round in 0..5 {
        publish(world, lanes.iter().flat_map(|lane| numbered(lane, round * 5..(round + 1) * 5)).collect()).await;
    }
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut by_one, mut by_two) = (0, 0);
    let all = async {
        while seen.values().flatten().collect::<BTreeSet<_>>().len() < 400 {
            let first = one.next_batch(20, Duration::from_millis(100)).await.unwrap();
            let second = two.next_batch(20, Duration::from_millis(100)).await.unwrap();
            let held: BTreeSet<String> = first.iter().map(lane).collect();
            assert!(second.iter().all(|delivery| !held.contains(&lane(delivery))), "one lane at two subscribers");
            by_one += first.len();
            by_two += second.len();
            for delivery in first.iter().chain(&second) {
                seen.entry(lane(delivery)).or_default().push(text(delivery));
            }
            one.ack(tokens(&first)).await.unwrap();
            two.ack(tokens(&second)).await.unwrap();
        }
    };
    let outcome = tokio::time::timeout(PATIENCE, all).await;
    assert!(outcome.is_ok(), "not all messages came: {seen:?}");
    assert!(by_one > 0 && by_two > 0, "{by_one} and {by_two}: they did not share");
    if world.exactly_once_when_calm() {
        assert_eq!(by_one + by_two, 400);
        for lane in &lanes {
            assert_eq!(seen[lane], (0..25).map(|n| format!("{lane}/{n}")).collect::<Vec<_>>());
        }
    }
}

pub(crate) async fn every_subscription_of_a_topic_gets_every_message(world: &dyn World) {
    let specs = [reader_named("first"), reader_named("second")];
    ensure(world, &specs).await;
    publish(world, numbered("lane-00", 0..10)).await;
    for spec in specs {
        let subscription = world.bus().subscribe(spec).await.unwrap();
        let expected: Vec<String> = (0..10).map(|n| format!("lane-00/{n}")).collect();
        assert_eq!(drain(&*subscription, 10).await, expected);
        assert_quiet(&*subscription).await;
    }
}

pub(crate) async fn no_more_is_handed_out_than_may_be_outstanding(world: &dyn World) {
    let spec = SubscriptionSpec { max_outstanding: 10, ..reader() };
    let subscription = open(world, &spec).await;
    for number in 0..6 {
        publish(world, numbered(&format!("lane-{number:02}"), 0..5)).await;
    }
    let held = take(&*subscription, 10).await;
    assert_quiet(&*subscription).await;
    subscription.ack(tokens(&held)).await.unwrap();
    assert_eq!(drain(&*subscription, 20).await.len(), 20);
}

pub(crate) async fn messages_without_a_key_pass_one_another(world: &dyn World) {
    let subscription = open(world, &reader()).await;
    publish(world, (0..64).map(|n| message("", &format!("free {n}"))).collect()).await;
    let held = take(&*subscription, 1).await;
    // At least those that share nothing with the held one come.
    let passed = drain(&*subscription, 60).await.into_iter().collect::<BTreeSet<_>>();
    assert!(!passed.contains(&text(&held[0])));
    subscription.nack(tokens(&held)).await.unwrap();
    assert!(drain(&*subscription, 64 - passed.len()).await.contains(&text(&held[0])));
}

pub(crate) async fn an_idle_subscriber_is_woken(world: &dyn World) {
    let subscription = open(world, &reader()).await;
    assert!(subscription.next_batch(1, Duration::ZERO).await.unwrap().is_empty());
    assert_quiet(&*subscription).await;
    let (waiting, ()) = tokio::join!(subscription.next_batch(10, PATIENCE), async {
        tokio::task::yield_now().await;
        publish(world, numbered("lane-00", 0..1)).await;
    });
    let waiting = waiting.unwrap();
    assert_eq!(texts(&waiting), ["lane-00/0"]);
    // What comes while the lane is in work waits for the acknowledgement, and for nothing else.
    publish(world, numbered("lane-00", 1..2)).await;
    assert_quiet(&*subscription).await;
    let started = tokio::time::Instant::now();
    let (next, acked) = tokio::join!(subscription.next_batch(10, PATIENCE), subscription.ack(tokens(&waiting)));
    acked.unwrap();
    assert_eq!(texts(&next.unwrap()), ["lane-00/1"]);
    assert!(started.elapsed() < PATIENCE / 2, "it was polled, not woken");
}

pub(crate) async fn a_dropped_wait_loses_nothing(world: &dyn World) {
    let subscription = open(world, &reader()).await;
    for round in 0..30 {
        publish(world, numbered(&format!("lane-{:02}", round % 4), round..round + 1)).await;
        // Given up at another moment each time: before, during and after the claim.
        let patience = Duration::from_micros(u64::from(round) * 150);
        if let Ok(batch) = tokio::time::timeout(patience, subscription.next_batch(5, PATIENCE)).await {
            subscription.nack(tokens(&batch.unwrap())).await.unwrap();
        }
    }
    let seen = drain(&*subscription, 30).await;
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 30, "{seen:?}");
}

pub(crate) async fn absent_and_closed_are_errors(world: &dyn World) {
    let missing = world.bus().subscribe(reader_named("nobody")).await;
    assert!(matches!(&missing, Err(BusError::NoSubscription { name }) if name == "nobody"), "{missing:?}");
    let subscription = open(world, &reader()).await;
    world.bus().close().await;
    let outcomes = world.bus().publish(TOPIC, numbered("lane-00", 0..2)).await;
    assert_eq!(outcomes.len(), 2);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Err(PublishError::Closed))), "{outcomes:?}");
    assert!(matches!(subscription.next_batch(1, PATIENCE).await, Err(BusError::Closed)));
    assert!(world.bus().subscribe(reader()).await.is_err());
}

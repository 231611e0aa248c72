//! Whatever ingest does, a user's save is done, costs what it may, and its change arrives in the end.

use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::{Value as Json, json};

use crate::harness::{Sim, ingest};
use crate::relay::{Mood, Relay};

/// What the SuiteScripts promise of a save: a row; a request; a request, the breaker and a row.
const ROW: u64 = 6;
const ROW_BEHIND_BREAKER: u64 = 7;
const FAILED_REQUEST_AND_ROW: u64 = 18;

async fn sim(relay: &Relay, mode: &str, request_timeout_ms: u64) -> Sim {
    Sim::with(|account| {
        account.ingest = Some(ingest(&relay.url));
        account.scripts.mode = Some(mode.to_owned());
        account.scripts.request_timeout_ms = request_timeout_ms;
    })
    .await
}

/// Saves a customer as a user does; the id, how long it took, and what its scripts cost.
async fn save(sim: &Sim, name: &str) -> (String, Duration, u64) {
    let before = sim.ask("ledger").await["saves"]["units"].as_u64().unwrap();
    let start = Instant::now();
    let id = sim.scripted("create", None, json!({ "companyname": name })).await;
    let took = start.elapsed();
    assert_eq!(sim.fields("customer", &id).await["companyname"], name, "the save is done");
    (id, took, sim.ask("ledger").await["saves"]["units"].as_u64().unwrap() - before)
}

/// What waits in the outbox: records and last answers.
async fn waiting(sim: &Sim) -> Vec<Json> {
    let sql = "SELECT custrecord_concord_ob_record AS record, custrecord_concord_ob_attempts AS attempts, \
               custrecord_concord_ob_code AS code FROM customrecord_concord_outbox ORDER BY id ASC";
    sim.rows(sql).await
}

/// The flush delivers what waits, once the pause after a failure is over.
async fn arrives(sim: &Sim, relay: &mut Relay, ids: &[&str]) {
    sim.http.delete(sim.control("script-cache")).send().await.unwrap();
    let done = sim.flush().await;
    assert_eq!(done["output"], json!([{ "key": "delivered", "value": ids.len().to_string() }]), "{done}");
    for id in ids {
        assert_eq!(relay.next().await["recordId"], *id);
    }
    assert_eq!(sim.ask("ledger").await["outbox"], 0);
}

#[tokio::test]
async fn in_mode_outbox_no_save_asks_the_network_and_each_change_arrives_with_the_flush() {
    let mut relay = Relay::closed().await;
    let sim = sim(&relay, "outbox", 45_000).await;
    let (first, _, units) = save(&sim, "A").await;
    assert_eq!(units, ROW);
    let (second, ..) = save(&sim, "B").await;
    let ledger = sim.ask("ledger").await;
    assert_eq!(ledger["posts"], json!({ "accepted": 0, "refused": 0, "failed": 0 }));
    assert_eq!(ledger["outbox"], 2);
    relay.open().await;
    arrives(&sim, &mut relay, &[&first, &second]).await;
}

#[tokio::test]
async fn with_ingest_down_a_save_is_done_and_arrives_later() {
    let mut relay = Relay::closed().await;
    let sim = sim(&relay, "direct", 45_000).await;
    let (first, _, units) = save(&sim, "A").await;
    assert_eq!(units, FAILED_REQUEST_AND_ROW);
    let (second, _, units) = save(&sim, "B").await;
    assert_eq!(units, ROW_BEHIND_BREAKER, "after one failure nothing is sent directly");
    let ledger = sim.ask("ledger").await;
    assert_eq!(ledger["posts"], json!({ "accepted": 0, "refused": 0, "failed": 1 }));
    assert_eq!(ledger["scripts"]["customscript_concord_ue"]["failures"], 0);
    let kept = sim.flush().await;
    assert_eq!(kept["output"], json!([{ "key": "kept", "value": "2" }]));
    let row = |id: &str| json!({ "record": id, "attempts": "1", "code": "SSS_UNKNOWN_HOST" });
    assert_eq!(waiting(&sim).await, [row(&first), row(&second)]);
    relay.open().await;
    assert_eq!(sim.flush().await["output"], json!([]), "after a failure the flush rests");
    arrives(&sim, &mut relay, &[&first, &second]).await;
    // One event was tried directly, two with the flush, then both again.
    assert_eq!(sim.ask("ledger").await["ue"], json!({ "queued": 0, "sent": 2, "failed": 3 }));
}

#[tokio::test]
async fn with_ingest_failing_a_save_is_done_and_arrives_later() {
    let mut relay = Relay::start().await;
    relay.mood(Mood::Says(StatusCode::INTERNAL_SERVER_ERROR));
    let sim = sim(&relay, "direct", 45_000).await;
    let (first, _, units) = save(&sim, "A").await;
    assert_eq!(units, FAILED_REQUEST_AND_ROW);
    let (second, _, units) = save(&sim, "B").await;
    assert_eq!(units, ROW_BEHIND_BREAKER);
    sim.flush().await;
    assert_eq!(waiting(&sim).await[0]["code"], "http_500");
    relay.mood(Mood::Accepts);
    arrives(&sim, &mut relay, &[&first, &second]).await;
}

#[tokio::test]
async fn with_ingest_slow_one_save_waits_as_long_as_a_request_may_and_no_other_does() {
    let limit = Duration::from_secs(3);
    let mut relay = Relay::start().await;
    relay.mood(Mood::Stalls);
    let sim = sim(&relay, "direct", 3_000).await;
    let (first, took, units) = save(&sim, "A").await;
    assert_eq!(units, FAILED_REQUEST_AND_ROW);
    assert!(took >= limit, "NetSuite gives a request its time: {took:?}");
    let (second, took, units) = save(&sim, "B").await;
    assert_eq!(units, ROW_BEHIND_BREAKER);
    assert!(took < limit, "the second save waited: {took:?}");
    relay.mood(Mood::Accepts);
    arrives(&sim, &mut relay, &[&first, &second]).await;
}

#[tokio::test]
async fn a_save_that_waits_for_ingest_keeps_nobody_else_waiting() {
    let relay = Relay::start().await;
    relay.mood(Mood::Stalls);
    let sim = sim(&relay, "direct", 20_000).await;
    let slow = sim.scripted("create", None, json!({ "companyname": "Slow" }));
    let others = async {
        // The slow one is at it: its record is saved, and its request is on its way.
        while sim.ask("records/customer").await["ids"] == json!([]) {
            tokio::task::yield_now().await;
        }
        let start = Instant::now();
        for _ in 0..5 {
            sim.customer(json!({})).await;
        }
        start.elapsed()
    };
    tokio::select! {
        _ = slow => panic!("the request was answered"),
        took = others => assert!(took < Duration::from_secs(10), "{took:?}"),
    }
}

/// Begins a save whose script waits for ingest; comes back when its request is on its way.
async fn waiting_save(sim: &Sim) -> tokio::task::JoinHandle<()> {
    let (http, url) = (sim.http.clone(), sim.control("edit"));
    let body = json!({ "operation": "create", "type": "customer", "changes": { "companyname": "Slow" } });
    let save = tokio::spawn(async move {
        assert_eq!(http.post(url).json(&body).send().await.unwrap().status(), StatusCode::OK);
    });
    while sim.ask("ledger").await["ue"]["queued"] == 0 {
        tokio::task::yield_now().await;
    }
    save
}

#[tokio::test]
async fn a_simulator_that_stops_waits_for_no_ingest_and_loses_no_change() {
    let mut relay = Relay::start().await;
    relay.mood(Mood::Stalls);
    let sim = sim(&relay, "direct", 45_000).await;
    let save = waiting_save(&sim).await;
    let start = Instant::now();
    let folder = sim.stop().await;
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    save.await.unwrap();
    relay.mood(Mood::Accepts);
    let mut config = crate::harness::account(folder.path());
    config.ingest = Some(ingest(&relay.url));
    let sim = Sim::of(folder, vec![config]).await;
    assert_eq!(sim.flush().await["output"], json!([{ "key": "delivered", "value": "1" }]));
    assert_eq!(relay.next().await["changes"]["companyname"], "Slow");
}

#[tokio::test]
async fn a_deployment_of_the_flush_runs_once_at_a_time() {
    let relay = Relay::start().await;
    let sim = sim(&relay, "outbox", 20_000).await;
    save(&sim, "A").await;
    relay.mood(Mood::Stalls);
    let now = json!({ "script": "customscript_concord_flush", "deployment": "customdeploy_concord_flush_now" });
    let second = async {
        while sim.ask("ledger").await["ue"]["queued"] == 0 {
            tokio::task::yield_now().await;
        }
        sim.try_tell("tasks", now.clone()).await
    };
    tokio::select! {
        _ = sim.try_tell("tasks", now.clone()) => panic!("the first run ended before its request was answered"),
        second = second => {
            assert_eq!(second.status(), StatusCode::CONFLICT);
            assert_eq!(second.json::<Json>().await.unwrap()["code"], "MAP_REDUCE_ALREADY_RUNNING");
        }
    }
}

#[tokio::test]
async fn the_flush_runs_on_its_schedule() {
    let mut relay = Relay::start().await;
    let url = relay.url.clone();
    let sim = Sim::with(|account| {
        account.ingest = Some(ingest(&url));
        account.scripts.mode = Some("outbox".to_owned());
        account.scripts.flush_every_seconds = Some(1);
    })
    .await;
    let (id, ..) = save(&sim, "A").await;
    assert_eq!(relay.next().await["recordId"], id);
}

#[tokio::test]
async fn rows_outlive_a_restart() {
    let mut relay = Relay::start().await;
    let sim = sim(&relay, "outbox", 45_000).await;
    let (id, ..) = save(&sim, "A").await;
    let folder = sim.stop().await;
    let mut config = crate::harness::account(folder.path());
    config.ingest = Some(ingest(&relay.url));
    let sim = Sim::of(folder, vec![config]).await;
    arrives(&sim, &mut relay, &[&id]).await;
}

#[tokio::test]
async fn rows_that_ingest_finds_fault_with_are_set_aside() {
    let relay = Relay::start().await;
    let sim = sim(&relay, "outbox", 45_000).await;
    save(&sim, "A").await;
    relay.mood(Mood::Says(StatusCode::BAD_REQUEST));
    assert_eq!(sim.flush().await["output"], json!([{ "key": "kept", "value": "1" }]));
    assert_eq!(waiting(&sim).await[0]["code"], "http_400", "no event was named, so none is set aside");
}

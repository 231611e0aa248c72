//! What the poller promises of NetSuite's changes.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

#[path = "../../../tests/support/given.rs"]
#[allow(dead_code)]
mod given;
#[path = "../../../tests/support/simulator.rs"]
#[allow(dead_code)]
mod simulator;
#[path = "../../../tests/support/stage.rs"]
#[allow(dead_code)] // every service's tests use a part of it
mod stage;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use given::{Core, account_id, customer_type};
use model::wire::decode_change;
use model::{ChangeEvent, Operation, RandomIds, RecordRef, Side, Source, SystemClock};
use netsuite::{NetsuiteConfig, NetsuiteRemote};
use poller::{Config, start};
use serde_json::json;
use simulator::Simulator;
use stage::{ACCOUNT, Running, Stage, account, until};
use store::watermark::{self, Stream};

async fn world() -> (Stage, Simulator) {
    let simulator = Simulator::start().await;
    let stage = Stage::new([account(ACCOUNT, &simulator.url(), None)]).await;
    (stage, simulator)
}

fn run_with(stage: &Stage, change: impl FnOnce(&mut Config)) -> Running {
    let mut config = Config::from_settings(&stage.settings).unwrap();
    change(&mut config);
    stage.run("poller", |parts| start(parts, config))
}

/// What is published up to the wanted record's event. Sweeps repeat: nobody takes the hints here.
async fn until_told(stage: &Stage, record_id: &str) -> Vec<ChangeEvent> {
    let mut told = Vec::new();
    loop {
        for message in stage.take(stage.topics.merge_service(), 1).await {
            let event = decode_change(&message.data).unwrap();
            let wanted = event.record_id.as_str() == record_id;
            told.push(event);
            if wanted {
                return told;
            }
        }
    }
}

/// A core that reads NetSuite for real, so that its shadows hold just what a sweep sees.
fn core(stage: &Stage, simulator: &Simulator) -> Core {
    let mut core = Core::on(stage);
    let config = NetsuiteConfig::from(&account(ACCOUNT, &simulator.url(), None));
    core.engine.remotes.netsuite =
        Arc::new(NetsuiteRemote::open(&[config], Arc::new(SystemClock), Arc::new(RandomIds)).unwrap());
    core
}

async fn known(core: &Core, id: &str) -> RecordRef {
    let record = core.intake(&[core.hint(Side::Netsuite, id)]).await;
    core.merge(&record).await;
    record
}

#[tokio::test]
async fn a_change_is_told_and_only_then_the_watermark_moves() {
    let (stage, simulator) = world().await;
    let id = simulator.edit("create", None, json!({ "companyname": "Acme" })).await;
    stage.bus.set_broken(true);
    let poller = run_with(&stage, |_| {});
    until("the sweep is blocked", async || {
        poller.parts.health.obstacles().await.iter().any(|obstacle| obstacle.contains("sweep of"))
    })
    .await;
    let mark = async || watermark::get(&stage.pool, &account_id(), &customer_type(), Stream::Modified).await.unwrap();
    assert_eq!(mark().await, None, "nothing was acknowledged by the broker");
    stage.bus.set_broken(false);
    let event = until_told(&stage, &id).await.pop().unwrap();
    assert_eq!((event.source, event.operation), (Source::NetsuitePoll, Operation::Update));
    until("the watermark stands at the change", async || mark().await.is_some_and(|at| at >= event.occurred_at)).await;
    poller.end().await;
}

#[tokio::test]
async fn what_the_shadow_knows_is_no_news_and_an_edit_of_it_is() {
    let (stage, simulator) = world().await;
    let old = simulator.edit("create", None, json!({ "companyname": "Known", "creditlimit": 10 })).await;
    let core = core(&stage, &simulator);
    known(&core, &old).await;
    let poller = run_with(&stage, |_| {});
    let new = simulator.edit("create", None, json!({ "companyname": "New" })).await;
    let told = until_told(&stage, &new).await;
    assert!(told.iter().all(|event| event.record_id.as_str() == new), "{told:?}");
    simulator.edit("update", Some(&old), json!({ "phone": "123" })).await;
    let event = until_told(&stage, &old).await.pop().unwrap();
    assert_eq!(event.changes.keys().collect::<Vec<_>>(), ["phone"], "the hint names what was edited");
    poller.end().await;
}

#[tokio::test]
async fn a_record_that_is_dirty_already_has_its_bell_bumped_and_nothing_is_published() {
    let (stage, simulator) = world().await;
    let dirty = simulator.edit("create", None, json!({ "companyname": "Dirty" })).await;
    let core = core(&stage, &simulator);
    core.intake(&[core.hint(Side::Netsuite, &dirty)]).await;
    let poller = run_with(&stage, |_| {});
    stage.until("select ns_dirty_seq >= 3 from sync.record_head").await;
    let new = simulator.edit("create", None, json!({ "companyname": "New" })).await;
    let told = until_told(&stage, &new).await;
    assert!(told.iter().all(|event| event.record_id.as_str() == new), "{told:?}");
    poller.end().await;
}

#[tokio::test]
async fn records_that_share_a_second_are_all_found_across_pages() {
    let (stage, simulator) = world().await;
    let rows: Vec<_> = (0..7).map(|n| json!({ "companyname": format!("Customer {n}") })).collect();
    simulator.tell("import", json!({ "type": "customer", "rows": rows })).await;
    let wanted: BTreeSet<String> = simulator.customers().await.into_iter().collect();
    assert_eq!(wanted.len(), 7);
    let poller = run_with(&stage, |config| (config.page, config.interval) = (3, Duration::from_secs(600)));
    let came = stage.take(stage.topics.merge_service(), 7).await;
    let told: BTreeSet<String> = came.iter().map(|message| message.attributes["record_id"].clone()).collect();
    assert_eq!(told, wanted, "one sweep found them all");
    poller.end().await;
}

#[tokio::test]
async fn a_deletion_is_news_only_of_a_record_somebody_knows() {
    let (stage, simulator) = world().await;
    let stranger = simulator.edit("create", None, json!({ "companyname": "Stranger" })).await;
    let friend = simulator.edit("create", None, json!({ "companyname": "Friend" })).await;
    let core = core(&stage, &simulator);
    known(&core, &friend).await;
    simulator.edit("delete", Some(&stranger), json!({})).await;
    simulator.edit("delete", Some(&friend), json!({})).await;
    let poller = run_with(&stage, |_| {});
    let told = until_told(&stage, &friend).await;
    assert!(told.iter().all(|event| event.record_id.as_str() != stranger), "{told:?}");
    assert_eq!(told.last().unwrap().operation, Operation::Delete);
    poller.end().await;
}

#[tokio::test]
async fn the_first_sweep_reads_back_and_later_ones_the_overlap() {
    let (stage, simulator) = world().await;
    let old = simulator.edit("create", None, json!({ "companyname": "Missed while down" })).await;
    // The watermark claims an hour that nobody read.
    let later = model::Clock::now(&SystemClock) + Duration::from_secs(600);
    for stream in [Stream::Modified, Stream::Deleted] {
        watermark::set(&stage.pool, &account_id(), &customer_type(), stream, later, later).await.unwrap();
    }
    let blind = run_with(&stage, |config| config.read_back = Duration::ZERO);
    stage.until("select count(*) filter (where stream = 'modified') >= 3 from sync.sync_watermark").await;
    assert_eq!(stage.bus.backlog(&stage.topics.merge_service().name), 0, "two minutes back do not reach it");
    blind.end().await;
    let poller = run_with(&stage, |_| {});
    until_told(&stage, &old).await;
    poller.end().await;
}

#[test]
fn a_wrong_setting_names_itself() {
    let settings = chassis::settings::Settings::from_pairs([("POLL_INTERVAL_SECONDS", "often")]);
    assert!(Config::from_settings(&settings).unwrap_err().to_string().contains("POLL_INTERVAL_SECONDS"));
}

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

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chassis::snapshots::{Expected, Snapshots};
use given::{Core, account_id, customer_type};
use model::wire::decode_change;
use model::{ChangeEvent, Operation, RandomIds, RecordRef, RecordType, Side, Source, SystemClock, TypedValue};
use netsuite::{NetsuiteConfig, NetsuiteRemote};
use poller::{Config, start};
use serde_json::json;
use simulator::Simulator;
use stage::{ACCOUNT, Running, Stage, account, until};
use store::watermark::{self, Stream};

async fn world() -> (Stage, Simulator) {
    world_with(&[]).await
}

/// With these settings beside the quick ones.
async fn world_with(settings: &[(&str, &str)]) -> (Stage, Simulator) {
    let simulator = Simulator::start().await;
    let stage = Stage::with([account(ACCOUNT, &simulator.url(), None)], settings).await;
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

/// What the ledger of NetSuite counts of our queries.
async fn counted(simulator: &Simulator, what: &str) -> u64 {
    simulator.ask("ledger").await[what].as_u64().unwrap()
}

/// Lets several sweeps go by: each asks seven questions at least.
async fn several_sweeps(simulator: &Simulator) {
    let before = counted(simulator, "calls").await;
    until("several sweeps went by", async || counted(simulator, "calls").await >= before + 7 * 6).await;
}

#[tokio::test]
async fn of_an_account_at_rest_nothing_is_told_and_behind_the_overlap_no_row_is_read() {
    let (stage, simulator) = world().await;
    let customer = simulator.edit("create", None, json!({ "companyname": "Acme" })).await;
    let item = simulator.edit_of("item", "create", None, json!({ "itemid": "W-1", "baseprice": "2.50" })).await;
    let lines = json!({ "a": { "item": item, "quantity": 2 }, "b": { "item": item, "quantity": 1, "rate": 9 } });
    let order = json!({ "entity": customer, "lines": lines });
    let order = simulator.edit_of("salesorder", "create", None, order).await;
    let core = core(&stage, &simulator);
    for (kind, id) in [("customer", &customer), ("item", &item), ("salesorder", &order)] {
        let event = ChangeEvent { record_type: RecordType::parse(kind).unwrap(), ..core.event(Side::Netsuite, id) };
        let record = core.intake(&[steps::to_hint(&core.engine.core(), &event).unwrap()]).await;
        core.merge(&record).await;
    }
    let (rows, told) = (counted(&simulator, "rows").await, stage.topics.merge_service().name);
    let poller = run_with(&stage, |config| config.overlap = Duration::from_secs(3));
    several_sweeps(&simulator).await;
    assert!(counted(&simulator, "rows").await > rows, "they were read");
    until("sweeps read no row any more", async || {
        let rows = counted(&simulator, "rows").await;
        several_sweeps(&simulator).await;
        rows == counted(&simulator, "rows").await
    })
    .await;
    assert_eq!(stage.bus.backlog(&told), 0, "what the shadows know is no news, lines or not");
    let change = json!({ "lines": { "1": { "quantity": 4 } } });
    simulator.edit_of("salesorder", "update", Some(&order), change).await;
    until_told(&stage, &order).await;
    poller.end().await;
}

#[tokio::test]
async fn what_becomes_visible_late_is_found_though_sweeps_went_beyond_its_stamp() {
    let (stage, simulator) = world().await;
    let late = simulator.edit("create", None, json!({ "companyname": "Late" })).await;
    let next = simulator.edit("create", None, json!({ "companyname": "Next" })).await;
    let core = core(&stage, &simulator);
    known(&core, &late).await;
    known(&core, &next).await;
    let overlap = Duration::from_secs(5);
    let poller = run_with(&stage, |config| (config.overlap, config.read_back) = (overlap, overlap));
    let edit = json!({ "operation": "update", "type": "customer", "id": late, "changes": { "phone": "1" },
        "scripts": false, "visible_after_seconds": 3 });
    simulator.tell("edit", edit).await;
    simulator.edit("update", Some(&next), json!({ "phone": "2" })).await;
    let told = until_told(&stage, &next).await;
    assert!(told.iter().all(|event| event.record_id.as_str() == next), "{told:?}");
    let event = until_told(&stage, &late).await.pop().unwrap();
    assert_eq!(event.changes.keys().collect::<Vec<_>>(), ["phone"]);
    poller.end().await;
}

/// Longer than `SNAPSHOT_THRESHOLD_BYTES` of these tests.
fn essay() -> String {
    "x".repeat(3_000)
}

#[tokio::test]
async fn a_hint_too_large_for_the_bus_says_where_its_values_lie_in_the_tenants_own_folder() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}", folder.path().display());
    let (stage, simulator) = world_with(&[("SNAPSHOT_URL", &url), ("SNAPSHOT_THRESHOLD_BYTES", "1500")]).await;
    let small = simulator.edit("create", None, json!({ "companyname": "Small" })).await;
    let large = simulator.edit("create", None, json!({ "companyname": "Large", "comments": essay() })).await;
    let poller = run_with(&stage, |_| {});
    let told = until_told(&stage, &large).await;
    poller.end().await;
    let travelled = told.iter().find(|event| event.record_id.as_str() == small).unwrap();
    assert!(travelled.full_snapshot_ref.is_none() && travelled.changes.contains_key("companyname"), "{travelled:?}");

    let event = told.last().unwrap();
    assert!(event.changes.is_empty() && model::wire::encode_change(event).len() < 1_500, "{event:?}");
    let reference = event.full_snapshot_ref.as_deref().unwrap();
    assert!(reference.starts_with(&format!("{url}/{ACCOUNT}/customer/{large}/{}.", event.event_id)), "{reference}");
    let snapshots = Snapshots::from_settings(&stage.settings).unwrap().unwrap();
    let ChangeEvent { account, record_type, record_id, event_id, .. } = event;
    let of = Expected { account, record_type, record_id, event_id: *event_id };
    let whole = snapshots.read(reference, &of).await.unwrap().unwrap();
    assert_eq!(whole.changes["comments"], TypedValue::Text(essay()));
    assert_eq!(
        ChangeEvent { changes: BTreeMap::new(), full_snapshot_ref: Some(reference.to_owned()), ..whole },
        *event
    );
    let hint = steps::to_hint(&Core::on(&stage).engine.core(), event).unwrap();
    assert_eq!((hint.full_snapshot_ref.as_deref(), hint.must_read()), (Some(reference), true));
}

#[tokio::test]
async fn a_storage_that_fails_loses_no_hint() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("snapshots");
    std::fs::create_dir(&place).unwrap();
    let url = format!("file://{}", place.display());
    let (stage, simulator) = world_with(&[("SNAPSHOT_URL", &url), ("SNAPSHOT_THRESHOLD_BYTES", "1500")]).await;
    let large = simulator.edit("create", None, json!({ "companyname": "Large", "comments": essay() })).await;
    let poller = run_with(&stage, |_| {
        std::fs::remove_dir(&place).unwrap();
        std::fs::write(&place, "no folder any more").unwrap();
    });
    let event = until_told(&stage, &large).await.pop().unwrap();
    assert_eq!((&event.changes["comments"], event.full_snapshot_ref), (&TypedValue::Text(essay()), None));
    stage
        .until("select count(*) > 0 from sync.sync_watermark where stream = 'modified' and record_type = 'customer'")
        .await;
    poller.end().await;
}

#[test]
fn a_wrong_setting_names_itself() {
    let settings = chassis::settings::Settings::from_pairs([("POLL_INTERVAL_SECONDS", "often")]);
    assert!(Config::from_settings(&settings).unwrap_err().to_string().contains("POLL_INTERVAL_SECONDS"));
}

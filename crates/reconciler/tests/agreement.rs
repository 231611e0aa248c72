//! What the reconciler promises about both sides: what was lost is found and rung, a certificate says only what was seen, a
//! plan writes nothing and is carried out only on the state it was made from.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

mod both;
#[path = "../../../tests/support/given.rs"]
#[allow(dead_code)]
mod given;
#[path = "../../../tests/support/simulator.rs"]
#[allow(dead_code)]
mod simulator;
#[path = "../../../tests/support/stage.rs"]
#[allow(dead_code)] // every service's tests use a part of it
mod stage;
#[path = "../../../tests/support/tenant.rs"]
#[allow(dead_code)]
mod tenant;

use std::time::Duration;

use both::World;
use given::{account_id, customer_type};
use model::{Clock, Ids, RandomIds, RecordRef, Rid, Side, SystemClock, Timestamp};
use serde_json::{Value, json};
use stage::until;
use steps::{Tally, write_step};
use store::records::Pick;
use store::resyncs;
use store::sweeps::{self, Lease, Phase};
use uuid::Uuid;

impl World {
    async fn new() -> Self {
        Self::with(&[("RECONCILE_GRACE_SECONDS", "0")]).await
    }

    /// A customer of NetSuite that SuiteX has too; both ids are known.
    async fn agreed(&self, name: &str) -> (RecordRef, String) {
        let id = self.simulator.edit("create", None, json!({ "companyname": name })).await;
        let record = self.core.intake(&[self.core.hint(Side::Netsuite, &id)]).await;
        self.settle(&record).await;
        (record, id)
    }

    /// Reads, folds and writes until nothing of the record is owed or dirty.
    async fn settle(&self, record: &RecordRef) {
        let (core, pick) = (self.core.engine.core(), Pick::These(vec![record.clone()]));
        loop {
            self.core.merge(record).await;
            let mut claimed = 0;
            for side in Side::BOTH {
                claimed += write_step(&core, side, &pick, &|_| true).await.unwrap().claimed;
            }
            let rests = "select coalesce(sum(dirty_seq), 0) = 0 and not bool_or(owed) from sync.shadow where rid = $1";
            if claimed == 0 && sqlx::query_scalar(rests).bind(record.rid.0).fetch_one(&self.stage.pool).await.unwrap() {
                return;
            }
        }
    }

    /// Asks for a sweep of customers and waits for its certificate.
    async fn certificate(&self) -> Value {
        let now = Timestamp::from_microsecond(SystemClock.now().as_microsecond()).unwrap();
        sweeps::request(&self.stage.pool, &account_id(), &customer_type(), now).await.unwrap();
        let mut found = Value::Null;
        until("the sweep asked for ends", async || {
            let newest = sweeps::certificate(&self.stage.pool, &account_id(), &customer_type()).await.unwrap();
            found = newest.unwrap_or_default();
            found["answers"].as_str().is_some_and(|at| at.parse::<Timestamp>().unwrap() >= now)
        })
        .await;
        found
    }

    /// Asks for these customers to be looked at again (or for a plan) and waits for the end.
    async fn resync(&self, plan: bool, rids: Option<Vec<Rid>>) -> (Uuid, Value) {
        self.ask(&customer_type(), plan, rids).await
    }

    async fn dirty_sides(&self) -> i64 {
        self.stage.one("select count(*) from sync.shadow where dirty_seq > 0").await
    }

    async fn reconcile_hints(&self) -> i64 {
        self.stage.one("select count(*) from sync.events where source = 'reconcile'").await
    }
}

#[tokio::test]
async fn two_sides_that_agree_are_certified_complete_through_a_moment_before_the_sweep() {
    let world = World::new().await;
    for name in ["Acme", "Bolt"] {
        world.agreed(name).await;
    }
    let before = SystemClock.now();
    let reconciler = world.run();
    let certificate = world.certificate().await;
    assert_eq!((&certificate["complete"], &certificate["shortfalls"]), (&json!(true), &json!([])), "{certificate}");
    assert_eq!(certificate["counts"], json!({ "canonical": 2, "suitex": 2, "netsuite": 2 }));
    let hashes = &certificate["hashes"];
    assert_eq!((&hashes["suitex"], &hashes["netsuite"]), (&hashes["canonical"], &hashes["canonical"]));
    assert_eq!((certificate["hash"].as_str().unwrap().len(), &certificate["algorithm"]), (32, &json!(model::SUM_HASH)));
    let through: Timestamp = certificate["verified_through"].as_str().unwrap().parse().unwrap();
    let seconds = (through.as_second() - before.as_second()).abs();
    assert!(seconds <= 5, "by NetSuite's clock, which is this machine's: {seconds} s away");
    assert_eq!((world.dirty_sides().await, world.reconcile_hints().await), (0, 0));
    reconciler.end().await;
}

#[tokio::test]
async fn every_lost_hint_is_found_and_rung_and_nothing_is_written() {
    let world = World::new().await;
    let (in_suitex, _) = world.agreed("Acme").await;
    let (in_netsuite, id) = world.agreed("Bolt").await;
    world.tenant.sql("update app.customers set phone = '555' where company_name = 'Acme'").await;
    world.simulator.edit("update", Some(&id), json!({ "email": "b@bolt.example" })).await;
    world.tenant.sql("insert into app.customers (company_name) values ('New in SuiteX')").await;
    world.simulator.edit("create", None, json!({ "companyname": "New in NetSuite" })).await;
    let writes = world.simulator.writes().await;

    let reconciler = world.run();
    let certificate = world.certificate().await;
    let names: Vec<String> = serde_json::from_value(certificate["shortfalls"].clone()).unwrap();
    assert_eq!(certificate["complete"], false, "{certificate}");
    assert_eq!((&certificate["drift"], &certificate["unknown"]), (&json!(2), &json!({ "suitex": 1, "netsuite": 1 })));
    assert!(names.iter().any(|name| name.contains("drifted")), "{names:?}");
    let drifted = |record: &RecordRef, side: &str| {
        certificate["examples"].as_array().unwrap().iter().any(|example| {
            example["record_id"] == record.rid.to_string() && example["side"] == side && example["why"] == "drift"
        })
    };
    assert!(drifted(&in_suitex, "suitex") && drifted(&in_netsuite, "netsuite"), "{certificate}");
    reconciler.end().await;

    assert_eq!((world.reconcile_hints().await, world.dirty_sides().await), (4, 4));
    assert_eq!(world.simulator.writes().await, writes);
    let touched: i64 = world.tenant.one("select count(*) from app.customers where email is not null").await;
    assert_eq!(touched, 0, "the reconciler writes no values");
    world.core.merge(&in_netsuite).await;
    let email: String =
        world.stage.one("select state->>'email' from sync.current_state where state->>'companyname' = 'Bolt'").await;
    assert_eq!(email, "b@bolt.example", "the merge step it rang for brings it home");
}

#[tokio::test]
async fn what_is_gone_from_a_side_is_rung_and_what_is_under_way_is_no_drift() {
    let world = World::new().await;
    let (gone, id) = world.agreed("Gone").await;
    let (busy, _) = world.agreed("Busy").await;
    world.simulator.edit("delete", Some(&id), json!({})).await;
    let suitex: String =
        world.stage.one("select suitex_id from sync.current_state where state->>'companyname' = 'Busy'").await;
    world.tenant.sql("update app.customers set phone = '1' where company_name = 'Busy'").await;
    world.core.intake(&[world.core.hint(Side::Suitex, &suitex)]).await;

    let reconciler = world.run();
    let certificate = world.certificate().await;
    reconciler.end().await;
    assert_eq!((&certificate["drift"], &certificate["pending"]), (&json!(1), &json!(1)), "{certificate}");
    let example = |why: &str| {
        let examples = certificate["examples"].as_array().unwrap();
        examples.iter().find(|example| example["why"] == why).unwrap()["record_id"].clone()
    };
    assert_eq!((example("drift"), example("pending")), (json!(gone.rid), json!(busy.rid)));
    assert_eq!(certificate["counts"], json!({ "canonical": 2, "suitex": 2, "netsuite": 1 }));
    assert_eq!(world.reconcile_hints().await, 1, "nobody rings for what was rung");
    world.core.merge(&gone).await;
    let deleted: i64 = world.stage.one("select count(*) from sync.shadow where \"exists\" = 'deleted'").await;
    assert_eq!(deleted, 1, "the direct read decided it");
}

#[tokio::test]
async fn a_young_difference_is_rung_and_is_not_drift_yet() {
    let world = World::with(&[("RECONCILE_GRACE_SECONDS", "3600")]).await;
    world.agreed("Acme").await;
    world.tenant.sql("update app.customers set phone = '555'").await;
    world.tenant.sql("insert into app.customers (company_name) values ('Young')").await;
    let reconciler = world.run();
    let certificate = world.certificate().await;
    reconciler.end().await;
    assert_eq!((&certificate["drift"], &certificate["unknown"]["suitex"]), (&json!(0), &json!(0)), "{certificate}");
    assert_eq!((&certificate["complete"], &certificate["pending"]), (&json!(false), &json!(3)), "{certificate}");
    assert_eq!(world.reconcile_hints().await, 2);
}

#[tokio::test]
async fn a_sweep_goes_on_where_it_was_and_two_replicas_count_every_record_once() {
    let world = World::with(&[("RECONCILE_PAGE", "1"), ("RECONCILE_GRACE_SECONDS", "0")]).await;
    let mut rids = Vec::new();
    for name in ["A", "B", "C", "D"] {
        rids.push(world.agreed(name).await.0.rid);
    }
    let replicas = [world.run(), world.run()];
    let certificate = world.certificate().await;
    assert_eq!(certificate["counts"], json!({ "canonical": 4, "suitex": 4, "netsuite": 4 }), "{certificate}");
    assert_eq!(certificate["listed"], json!({ "suitex": 4, "netsuite": 4 }));
    for replica in replicas {
        replica.end().await;
    }
    let certificates: i64 = world.stage.one("select count(*) from sync.certificate").await;
    assert_eq!(certificates, 1);

    // One that was broken off before its last record.
    rids.sort_unstable();
    let now = SystemClock.now();
    sweeps::request(&world.stage.pool, &account_id(), &customer_type(), now).await.unwrap();
    let lease = Lease { owner: "gone", now, length: Duration::ZERO };
    let taken =
        sweeps::take::<Tally>(&world.stage.pool, &account_id(), &[customer_type()], lease, RandomIds.uuid(), None)
            .await;
    let mut broken_off = taken.unwrap().unwrap();
    (broken_off.phase, broken_off.position) = (Phase::Records, Some(rids[2].to_string()));
    (broken_off.tally.drift, broken_off.verified_through) = (40, Some(now));
    assert!(sweeps::advance(&world.stage.pool, &broken_off).await.unwrap());
    let reconciler = world.run();
    world.stage.until("select count(*) = 2 from sync.certificate").await;
    reconciler.end().await;
    let body = sweeps::certificate(&world.stage.pool, &account_id(), &customer_type()).await.unwrap().unwrap();
    assert_eq!((&body["drift"], &body["counts"]["canonical"]), (&json!(40), &json!(1)), "{body}");
}

#[tokio::test]
async fn a_side_that_does_not_answer_holds_a_sweep_up_and_nothing_more() {
    let world = World::new().await;
    world.agreed("Acme").await;
    // As often as one call is tried.
    world.simulator.faults(json!([{ "match": {}, "fault": "status", "status": 503, "times": 3 }])).await;
    let reconciler = world.run();
    let now = SystemClock.now();
    sweeps::request(&world.stage.pool, &account_id(), &customer_type(), now).await.unwrap();
    world.stage.until("select bool_or(attempts > 0 and lease_until is null) from sync.sweep").await;
    assert_eq!(reconciler.parts.health.obstacles().await, Vec::<String>::new());
    world.stage.until("select bool_or(complete) from sync.certificate").await;
    reconciler.end().await;
}

#[tokio::test]
async fn a_resync_rings_both_sides_of_what_was_asked_for() {
    let world = World::with(&[("RECONCILE_PAGE", "1")]).await;
    let (one, _) = world.agreed("Acme").await;
    world.agreed("Bolt").await;
    let reconciler = world.run();
    let (_, done) = world.resync(false, Some(vec![one.rid])).await;
    assert_eq!((&done["status"], &done["records"]), (&json!("done"), &json!(1)), "{done}");
    assert_eq!((world.dirty_sides().await, world.reconcile_hints().await), (2, 2));
    let (_, done) = world.resync(false, None).await;
    assert_eq!((&done["status"], &done["records"]), (&json!("done"), &json!(2)), "{done}");
    assert_eq!(world.dirty_sides().await, 4);
    reconciler.end().await;
}

#[tokio::test]
async fn a_plan_shows_every_write_and_makes_none_and_is_carried_out_only_where_nothing_moved() {
    let world = World::new().await;
    let (record, id) = world.agreed("Acme").await;
    world.agreed("Bolt").await;
    world.tenant.sql("update app.customers set phone = '555' where company_name = 'Acme'").await;
    world.simulator.edit("update", Some(&id), json!({ "email": "a@acme.example" })).await;
    let log: i64 = world.stage.one("select count(*) from sync.event_log").await;
    let reconciler = world.run();

    let (plan, ready) = world.resync(true, None).await;
    assert_eq!((&ready["status"], &ready["records"], &ready["differences"]), (&json!("ready"), &json!(2), &json!(1)));
    let items = resyncs::items(&world.stage.pool, plan, None, true, 10).await.unwrap();
    let body = items[0].body.clone().unwrap();
    assert_eq!(body["record_id"], json!(record.rid));
    let writes = body["writes"].as_array().unwrap();
    assert_eq!(writes.len(), 2, "{body}");
    let of = |side: &str| writes.iter().find(|write| write["side"] == side).unwrap();
    assert_eq!(of("netsuite")["fields"], json!({ "phone": { "from": null, "to": "555" } }), "{body}");
    assert_eq!(of("suitex")["fields"], json!({ "email": { "from": null, "to": "a@acme.example" } }), "{body}");
    assert_eq!(of("netsuite")["native_id"], json!(id));
    assert_eq!(world.dirty_sides().await, 0);
    assert_eq!(world.stage.one::<i64>("select count(*) from sync.event_log").await, log, "no trace is left");

    world.tenant.sql("update app.customers set phone = '777' where company_name = 'Acme'").await;
    assert!(resyncs::apply(&world.stage.pool, plan, "bo").await.unwrap());
    let refused = world.ended(plan, &["moved", "applied", "failed"]).await;
    assert_eq!((&refused["status"], &refused["moved"]), (&json!("moved"), &json!([record.rid])), "{refused}");
    assert_eq!(world.dirty_sides().await, 0, "nothing was rung");

    let (again, _) = world.resync(true, Some(vec![record.rid])).await;
    assert!(resyncs::apply(&world.stage.pool, again, "bo").await.unwrap());
    let applied = world.ended(again, &["moved", "applied", "failed"]).await;
    assert_eq!((&applied["status"], &applied["applied_by"]), (&json!("applied"), &json!("bo")), "{applied}");
    assert_eq!(world.dirty_sides().await, 2);
    reconciler.end().await;
    world.core.merge(&record).await;
    let phone: String =
        world.stage.one("select state->>'phone' from sync.current_state where state->>'companyname' = 'Acme'").await;
    assert_eq!(phone, "777");
}

#[test]
fn a_wrong_schedule_stops_the_service_by_name() {
    let settings = chassis::settings::Settings::from_pairs([("RECONCILE_SWEEP_CRON", "at night")]);
    let sentence = reconciler::Config::from_settings(&settings).unwrap_err().to_string();
    assert!(sentence.contains("RECONCILE_SWEEP_CRON") && sentence.contains("at night"), "{sentence}");
}

//! A change of normalisation rules: what is known is brought into the new form, and no record looks edited.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

#[path = "../../../tests/support/given.rs"]
#[allow(dead_code)]
mod given;
#[path = "../../../tests/support/stage.rs"]
#[allow(dead_code)] // every service's tests use a part of it
mod stage;

use std::sync::Arc;

use given::{Core, customer_type};
use merge::replay::{Projection, Replay};
use model::spec::World;
use model::{RecordRef, RulesId, Side, Value};
use reconciler::{Config, start};
use stage::{ACCOUNT, NOBODY, Running, Stage, account};

/// Of the sample types: two digits of `creditlimit` before, three after.
const BEFORE: &str = r#"{ name = "creditlimit", column = "credit_limit", kind = "decimal", scale = 2"#;
const AFTER: &str = r#"{ name = "creditlimit", column = "credit_limit", kind = "decimal", scale = 3"#;

struct Rollout {
    stage: Stage,
    /// Folds under the rules of before.
    core: Core,
    _types: tempfile::NamedTempFile,
    other: World,
}

impl Rollout {
    /// Three customers on both sides, folded under the old rules; the reconciler's are the new ones.
    async fn new() -> (Self, Vec<RecordRef>) {
        assert!(World::SAMPLE.contains(BEFORE), "the sample types are not what this test thinks");
        let text = World::SAMPLE.replace(BEFORE, AFTER);
        let types = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(types.path(), &text).unwrap();
        let path = types.path().display().to_string();
        let settings = [("CONCORD_TYPES", path.as_str()), ("RECONCILE_PAGE", "2")];
        let stage = Stage::with([account(ACCOUNT, NOBODY, None)], &settings).await;
        let core = Core::on(&stage);
        let mut records = Vec::new();
        for id in ["1", "2", "3"] {
            let record = core.customer(Side::Suitex, id, &[("companyname", "Acme"), ("creditlimit", "10.50")]).await;
            core.write(&record, Side::Netsuite).await;
            records.push(record);
        }
        let other = World::parse(&text).unwrap();
        (Self { stage, core, _types: types, other }, records)
    }

    fn run(&self) -> Running {
        let config = Config::from_settings(&self.stage.settings).unwrap();
        self.stage.run("reconciler", |parts| start(parts, config))
    }

    async fn through(&self) {
        let reconciler = self.run();
        self.stage.until("select count(*) = 3 and bool_and(finished_at is not null) from sync.form_rollout").await;
        reconciler.end().await;
    }

    async fn stored(&self, record: &RecordRef) -> model::record::Record {
        let views = self.core.engine.records.views(std::slice::from_ref(record), false).await.unwrap();
        views[0].record.clone()
    }

    /// A core that folds under the new rules, over the same sides.
    fn new_rules(&mut self) {
        self.core.engine.world = Arc::new(self.other.clone());
        self.core.engine.settings.rules = Some(RulesId(9));
    }

    async fn limit(&self, record: &RecordRef) -> Value {
        self.stored(record).await.head.state["creditlimit"].clone()
    }
}

#[tokio::test]
async fn every_record_is_brought_into_the_new_form_and_nothing_is_owed_and_the_log_folds_to_it() {
    let (mut world, records) = Rollout::new().await;
    let mut before = Vec::new();
    for record in &records {
        before.push(world.stored(record).await);
    }
    let count = async |sql: &'static str| world.stage.one::<i64>(sql).await;
    // The bells of before, which nobody relayed.
    sqlx::query("delete from sync.outbox").execute(&world.stage.pool).await.unwrap();
    world.through().await;
    let told: i64 = world.stage.one("select sum(changed)::bigint from sync.form_rollout").await;
    assert_eq!(told, 3);
    assert_eq!(count("select count(*) from sync.outbox").await, 0, "nobody is told of a form");
    let topics = &world.stage.topics;
    let heard = [topics.netsuite_writer(), topics.suitex_writer()].map(|spec| world.stage.bus.backlog(&spec.name));
    assert_eq!(heard, [0, 0], "nor was");
    assert_eq!(count("select count(*) from sync.shadow where owed or dirty_seq > 0").await, 0);
    let spec_before = World::sample().get(&customer_type()).unwrap().clone();
    let spec_after = world.other.get(&customer_type()).unwrap().clone();
    for (record, before) in records.iter().zip(&before) {
        let now = world.stored(record).await;
        let moved = Projection::of(&now).differences(&Projection::of(before));
        assert_eq!(moved, ["state", "record_seq", "suitex.state", "netsuite.state"]);
        for state in [&now.head.state, &now.shadows.suitex.state, &now.shadows.netsuite.state] {
            assert_eq!(state["creditlimit"], Value::text("10.500"));
        }
        let log = world.core.engine.records.log(record).await.unwrap();
        let mut replay = Replay::new(record.clone(), &spec_before);
        for row in &log {
            if row.record_seq == now.head.record_seq {
                assert!(row.rules.is_some(), "under which rules stands in the entry");
                replay.under(&spec_after);
            }
            replay.take(row.record_seq, &row.entry, row.event_id, row.at).unwrap();
        }
        assert_eq!(Projection::of(replay.record()), Projection::of(&now), "byte for byte");
    }
    // What is read in the new form from now on is no edit.
    world.new_rules();
    world.core.edit(Side::Netsuite, &native(&world, &records[0]).await, &[("creditlimit", "10.500")]);
    let id = native(&world, &records[0]).await;
    world.core.intake(&[world.core.hint(Side::Netsuite, &id)]).await;
    world.core.merge(&records[0]).await;
    assert_eq!(world.stored(&records[0]).await.head.version, before[0].head.version);
    // Nor is there anything left to do for a second start.
    let log = world.stage.one::<i64>("select count(*) from sync.event_log").await;
    world.through().await;
    assert_eq!(world.stage.one::<i64>("select count(*) from sync.event_log").await, log);
}

async fn native(world: &Rollout, record: &RecordRef) -> String {
    world.stored(record).await.shadows.netsuite.native_id.unwrap().to_string()
}

#[tokio::test]
async fn an_edit_that_comes_while_rules_change_is_merged_as_the_edit_it_is() {
    let (mut world, records) = Rollout::new().await;
    let mut versions = Vec::new();
    for record in &records {
        versions.push(world.stored(record).await.head.version);
    }
    // Heard of before, read after the rollout.
    world.core.edit(Side::Suitex, "1", &[("creditlimit", "20.250")]);
    world.core.intake(&[world.core.hint(Side::Suitex, "1")]).await;
    // Folded by a process with the new rules before the rollout comes to it.
    let old_rules = world.core.engine.world.clone();
    world.new_rules();
    world.core.customer(Side::Suitex, "2", &[("creditlimit", "30.250")]).await;
    assert_eq!(world.limit(&records[1]).await, Value::text("30.250"));
    world.core.engine.world = old_rules;
    world.through().await;
    world.new_rules();
    world.core.merge(&records[0]).await;
    assert_eq!(world.limit(&records[0]).await, Value::text("20.250"));
    for (n, edited) in [(0, true), (1, true), (2, false)] {
        let now = world.stored(&records[n]).await;
        assert_eq!(now.head.version, versions[n] + u64::from(edited), "record {n}");
        assert_eq!(now.shadows.netsuite.owed, edited, "record {n}");
        assert_eq!(now.shadows.suitex.state["creditlimit"], now.head.state["creditlimit"]);
    }
}

//! What a plan for a whole type says about ids only one side knows, and what comes of it (semantics §2.8). Items are told
//! by their `itemid`.
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

use std::collections::BTreeMap;

use both::World;
use given::{account_id, native};
use model::{ChangeEvent, Clock, RecordRef, RecordType, Side, SystemClock};
use serde_json::{Value, json};
use steps::{merge_step, to_hint, write_step};
use store::records::Pick;
use store::resyncs::{self, Item};
use uuid::Uuid;

fn item_type() -> RecordType {
    RecordType::parse("item").unwrap()
}

impl World {
    /// Pages of one, so that nothing is together by chance.
    async fn new() -> Self {
        Self::with(&[("RECONCILE_PAGE", "1")]).await
    }

    async fn in_netsuite(&self, itemid: &str, name: &str) -> String {
        let fields = json!({ "itemid": itemid, "displayname": name });
        self.simulator.edit_of("item", "create", None, fields).await
    }

    /// A hint at SuiteX's item of this id, folded: it is known, and NetSuite is owed it.
    async fn known(&self, suitex_id: &str) -> RecordRef {
        let event = ChangeEvent { record_type: item_type(), ..self.core.event(Side::Suitex, suitex_id) };
        let record = self.core.intake(&[to_hint(&self.core.engine.core(), &event).unwrap()]).await;
        self.core.merge(&record).await;
        record
    }

    /// Merges and writes until there is nothing to do.
    async fn settle(&self) {
        let (core, accounts) = (self.core.engine.core(), vec![account_id()]);
        loop {
            let pick = Pick::DueMerge { accounts: accounts.clone(), per_account: 100, now: SystemClock.now() };
            let mut done = merge_step(&core, &pick).await.unwrap().records;
            let rids = store::sweeps::rids(&self.stage.pool, &account_id(), &item_type(), None, 100).await.unwrap();
            let key = |rid| RecordRef { account: account_id(), record_type: item_type(), rid };
            let all = Pick::These(rids.into_iter().map(key).collect());
            for side in Side::BOTH {
                done += write_step(&core, side, &all, &|_| true).await.unwrap().claimed;
            }
            if done == 0 {
                return;
            }
        }
    }

    async fn plan(&self) -> (Uuid, Value, Vec<Item>) {
        let (resync_id, ended) = self.ask(&item_type(), true, None).await;
        (resync_id, ended, resyncs::items(&self.stage.pool, resync_id, None, true, 100).await.unwrap())
    }

    async fn apply(&self, plan: Uuid) -> Value {
        assert!(resyncs::apply(&self.stage.pool, plan, "bo").await.unwrap());
        self.ended(plan, &["applied", "moved", "failed"]).await
    }

    /// How many items of each name NetSuite has.
    async fn names(&self) -> BTreeMap<String, usize> {
        let ids: Vec<String> = serde_json::from_value(self.simulator.ask("records/item").await["ids"].clone()).unwrap();
        let mut names = BTreeMap::new();
        for id in ids {
            let fields = self.simulator.ask(&format!("records/item/{id}")).await["fields"].clone();
            *names.entry(fields["itemid"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        names
    }
}

/// The body of the plan about this id.
fn about<'i>(items: &'i [Item], side: Side, id: &str) -> &'i Value {
    let found = items.iter().find(|item| item.met.ids[side] == Some(native(id)));
    found.and_then(|item| item.body.as_ref()).unwrap_or_else(|| panic!("{side} {id} is not in {items:?}"))
}

fn words(count: &[(&str, usize)]) -> BTreeMap<String, usize> {
    count.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

#[tokio::test]
async fn a_plan_says_what_would_be_made_what_adopted_and_what_asked_and_carried_out_that_is_what_comes() {
    let world = World::new().await;
    world
        .tenant
        .sql("insert into app.items (id, item_id, display_name) values (1, 'KNOWN', 'of SuiteX'), (2, 'PAIR', 'of SuiteX'), (3, 'NEW', 'of SuiteX'), (4, 'TWIN', 'one'), (5, 'TWIN', 'two')")
        .await;
    let known = world.known("1").await;
    let adopted = world.in_netsuite("KNOWN", "of NetSuite").await;
    let pair = world.in_netsuite("PAIR", "of NetSuite").await;
    let log: i64 = world.stage.one("select count(*) from sync.event_log").await;
    let heads: i64 = world.stage.one("select count(*) from sync.record_head").await;
    let reconciler = world.run();

    let (plan, ready, items) = world.plan().await;
    assert_eq!((&ready["status"], &ready["differences"]), (&json!("ready"), &json!(5)), "{ready} {items:?}");
    let of_known = about(&items, Side::Netsuite, &adopted);
    assert_eq!((&of_known["becomes"], &of_known["record_id"]), (&json!("adopted"), &json!(known.rid)));
    let kinds = |body: &Value| -> Vec<String> {
        let writes = body["writes"].as_array().unwrap();
        writes
            .iter()
            .map(|write| format!("{} {}", write["kind"].as_str().unwrap(), write["side"].as_str().unwrap()))
            .collect()
    };
    assert!(kinds(of_known).iter().all(|kind| kind.starts_with("update ")), "nothing is made: {of_known}");
    let of_pair = about(&items, Side::Netsuite, &pair);
    assert_eq!(of_pair, about(&items, Side::Suitex, "2"), "it is one record");
    assert_eq!((&of_pair["becomes"], &of_pair["record_id"]), (&json!("new"), &json!(null)));
    assert!(kinds(of_pair).iter().all(|kind| kind.starts_with("update ")), "nothing is made: {of_pair}");
    let of_new = about(&items, Side::Suitex, "3");
    assert_eq!((&of_new["becomes"], kinds(of_new)), (&json!("new"), vec!["create netsuite".to_owned()]), "{of_new}");
    assert_eq!(about(&items, Side::Suitex, "4")["becomes"], "new");
    let of_twin = about(&items, Side::Suitex, "5");
    assert_eq!((&of_twin["becomes"], &of_twin["conflicts"]), (&json!("duplicate"), &json!(["*"])), "{of_twin}");
    assert_eq!(kinds(of_twin), Vec::<String>::new());
    assert_eq!(world.stage.one::<i64>("select count(*) from sync.event_log").await, log, "no trace is left");
    assert_eq!(world.stage.one::<i64>("select count(*) from sync.record_head").await, heads, "nobody was met");

    let applied = world.apply(plan).await;
    assert_eq!(applied["status"], "applied", "{applied}");
    reconciler.end().await;
    world.settle().await;
    assert_eq!(world.names().await, words(&[("KNOWN", 1), ("NEW", 1), ("PAIR", 1), ("TWIN", 1)]));
    let linked: i64 = world
        .stage
        .one("select count(*) from sync.current_state where suitex_id is not null and netsuite_id is not null")
        .await;
    assert_eq!(linked, 4);
    let asked: Vec<String> = sqlx::query_scalar("select field from sync.conflicts where status = 'open' order by 1")
        .fetch_all(&world.stage.pool)
        .await
        .unwrap();
    assert_eq!(asked, ["*"], "one question, about the second of the twins");
}

#[tokio::test]
async fn a_plan_of_strangers_is_refused_when_one_of_them_has_moved_or_was_met() {
    let world = World::new().await;
    let id = world.in_netsuite("NEW", "as planned").await;
    let reconciler = world.run();
    let (plan, _, items) = world.plan().await;
    assert_eq!(about(&items, Side::Netsuite, &id)["writes"][0]["kind"], "create");
    world.simulator.edit_of("item", "update", Some(&id), json!({ "displayname": "edited" })).await;
    let refused = world.apply(plan).await;
    assert_eq!((&refused["status"], &refused["moved"]), (&json!("moved"), &json!([items[0].rid])), "{refused}");
    assert_eq!(world.stage.one::<i64>("select count(*) from sync.record_head").await, 0, "nothing was rung");

    let (plan, ..) = world.plan().await;
    let event = ChangeEvent { record_type: item_type(), ..world.core.event(Side::Netsuite, &id) };
    world.core.intake(&[to_hint(&world.core.engine.core(), &event).unwrap()]).await;
    assert_eq!(world.apply(plan).await["status"], "moved", "somebody met it meanwhile");

    let (plan, ready, _) = world.plan().await;
    assert_eq!(ready["status"], "ready", "it is planned as the record it is");
    assert_eq!(world.apply(plan).await["status"], "applied");
    reconciler.end().await;
}

//! What the account's own SuiteScripts do when records are saved.

use serde_json::{Value as Json, json};

use crate::harness::{ACCOUNT, Sim, ingest};
use crate::relay::Relay;

#[tokio::test]
async fn each_save_tells_ingest_what_it_changed() {
    let mut relay = Relay::start().await;
    let url = relay.url.clone();
    let sim = Sim::with(|account| account.ingest = Some(ingest(&url))).await;
    let fields = json!({ "companyname": "Acme", "creditlimit": 10.5, "custentity_tags": ["2", "1"] });
    let id = sim.scripted("create", None, fields).await;
    sim.scripted("update", Some(&id), json!({ "phone": "1", "companyname": "Acme" })).await;
    sim.edit("update", "customer", Some(&id), json!({ "phone": "silent" })).await;
    sim.scripted("delete", Some(&id), json!({})).await;
    let created = relay.next().await;
    assert_eq!(created["eventType"], "create");
    assert_eq!((&created["accountId"], &created["recordType"]), (&json!(ACCOUNT), &json!("customer")));
    assert_eq!((&created["recordId"], &created["source"]), (&json!(id), &json!("UE")));
    assert_eq!(created["changes"]["creditlimit"], 10.5);
    assert_eq!(created["changes"]["custentity_tags"], json!(["1", "2"]));
    let jane = sim.rows("SELECT id FROM employee WHERE entityid = 'jane'").await[0]["id"].clone();
    assert_eq!(created["authContext"], json!({ "user": jane, "role": "3", "executionContext": "USERINTERFACE" }));
    let updated = relay.next().await;
    assert_eq!(updated["changes"], json!({ "phone": "1" }), "only what changed");
    assert_eq!(updated["previous"], json!({ "phone": null }));
    assert_ne!(updated["eventId"], created["eventId"]);
    let deleted = relay.next().await;
    assert_eq!(deleted["eventType"], "delete");
    assert!(deleted.get("changes").is_none());
    assert!(relay.is_empty(), "a save without scripts tells nobody");
}

#[tokio::test]
async fn an_order_s_envelope_names_the_lines_that_are_there() {
    let mut relay = Relay::start().await;
    let url = relay.url.clone();
    let sim = Sim::with(|account| account.ingest = Some(ingest(&url))).await;
    let customer = sim.customer(json!({})).await;
    let item = sim.edit("create", "item", None, json!({ "itemid": "W-1", "baseprice": 2 })).await;
    let lines = json!({ "a": { "item": item }, "b": { "item": item } });
    let order = sim.edit("create", "salesorder", None, json!({ "entity": customer, "lines": lines })).await;
    let body = json!({
        "operation": "update", "type": "salesorder", "id": order,
        "changes": { "lines": { "1": { "quantity": 2 }, "2": null } },
    });
    sim.tell("edit", body).await;
    let told = relay.next().await;
    assert_eq!(told["changes"]["lines"], json!({ "1": { "item": item, "quantity": 2, "rate": 2 } }));
    assert_eq!(told["previous"]["lines"]["2"], json!({ "item": item, "quantity": 1, "rate": 2 }));
}

#[tokio::test]
async fn an_item_tells_its_price_and_its_description() {
    let mut relay = Relay::start().await;
    let url = relay.url.clone();
    let sim = Sim::with(|account| account.ingest = Some(ingest(&url))).await;
    let changes = json!({ "itemid": "W-1", "baseprice": 2.5, "description": "d" });
    let item = sim.tell("edit", json!({ "operation": "create", "type": "item", "changes": changes })).await;
    assert_eq!(relay.next().await["changes"], json!({ "itemid": "W-1", "baseprice": 2.5, "description": "d" }));
    let changes = json!({ "baseprice": 3 });
    sim.tell("edit", json!({ "operation": "update", "type": "item", "id": item["id"], "changes": changes })).await;
    let told = relay.next().await;
    assert_eq!((&told["recordType"], &told["changes"]), (&json!("item"), &json!({ "baseprice": 3 })));
}

#[tokio::test]
async fn every_item_record_is_an_item_to_those_who_hear_and_write() {
    let mut relay = Relay::start().await;
    let url = relay.url.clone();
    let sim = Sim::with(|account| account.ingest = Some(ingest(&url))).await;
    for kind in ["item", "assemblyitem", "noninventorysaleitem", "servicesaleitem", "kititem"] {
        let changes = json!({ "itemid": kind });
        let made = sim.tell("edit", json!({ "operation": "create", "type": kind, "changes": changes })).await;
        let told = relay.next().await;
        assert_eq!((&told["recordType"], &told["recordId"]), (&json!("item"), &made["id"]), "{kind}");
        let written = sim
            .write_one(json!({
                "writeId": "w", "kind": "update", "type": "item", "id": made["id"], "rid": "r", "stamp": 1, "expect": 0,
                "changes": { "baseprice": "2.50" }, "pre": { "itemid": kind, "baseprice": null },
            }))
            .await;
        assert_eq!(written["status"], "ok", "{kind}: {written}");
        assert_eq!(relay.next().await["changes"], json!({ "baseprice": 2.5 }), "{kind}");
    }
}

#[tokio::test]
async fn api_writes_run_scripts_in_their_context() {
    let mut relay = Relay::start().await;
    let url = relay.url.clone();
    let sim = Sim::with(|account| account.ingest = Some(ingest(&url))).await;
    sim.write_one(json!({
        "writeId": "w", "kind": "create", "type": "customer", "id": null, "rid": "r", "stamp": 1, "expect": 0,
        "externalId": "sx_r", "changes": { "companyname": "New" }, "pre": {},
    }))
    .await;
    let path = "/services/rest/record/v1/customer/eid:sx_r";
    sim.tba(reqwest::Method::PATCH, path).json(&json!({ "phone": "1" })).send().await.unwrap();
    let told = relay.next().await;
    assert_eq!(told["authContext"]["executionContext"], "RESTLET");
    assert!(told["changes"].get("custentity_concord_stamp").is_none(), "our own stamp is news to nobody");
    assert_eq!(relay.next().await["authContext"]["executionContext"], "RESTWEBSERVICES");
}

#[tokio::test]
async fn a_late_change_is_told_when_it_shows() {
    let mut relay = Relay::start().await;
    let url = relay.url.clone();
    let sim = Sim::with(|account| account.ingest = Some(ingest(&url))).await;
    sim.clock(json!({ "mode": "virtual", "now": "2026-03-02T10:00:00Z" })).await;
    let id = sim.customer(json!({})).await;
    let edit = json!({
        "operation": "update", "type": "customer", "id": id, "changes": { "phone": "1" }, "visible_after_seconds": 5,
    });
    sim.tell("edit", edit).await;
    sim.scripted("create", None, json!({ "companyname": "Other" })).await;
    assert_eq!(relay.next().await["eventType"], "create", "what does not show yet is not told");
    sim.clock(json!({ "advance_seconds": 5 })).await;
    let told = relay.next().await;
    assert_eq!((&told["recordId"], &told["changes"]), (&json!(id), &json!({ "phone": "1" })));
}

#[tokio::test]
async fn an_import_runs_scripts_when_told_to() {
    let mut relay = Relay::start().await;
    let url = relay.url.clone();
    let sim = Sim::with(|account| account.ingest = Some(ingest(&url))).await;
    let rows = json!([{ "companyname": "One" }, { "companyname": "Two" }]);
    sim.tell("import", json!({ "type": "customer", "rows": rows, "scripts": true })).await;
    for name in ["One", "Two"] {
        let told = relay.next().await;
        assert_eq!(told["changes"]["companyname"], name);
        assert_eq!(told["authContext"]["executionContext"], "CSVIMPORT");
    }
}

/// From NetSuite 2026.2 on the event subscriber can take the user event's place, and a line of deploy.xml opens it.
#[tokio::test]
async fn the_event_subscriber_leaves_a_hint_and_wakes_the_flush() {
    let project = tempfile::tempdir().unwrap();
    let source = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/netsuite/src"));
    copy(source, project.path());
    let manifest = project.path().join("deploy.xml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let (head, rest) = text.split_once("<!--").unwrap();
    let (note, tail) = rest.split_once("-->").unwrap();
    let line = note.lines().find(|line| line.contains("<path>")).unwrap();
    std::fs::write(&manifest, format!("{head}{line}{tail}")).unwrap();
    let mut relay = Relay::start().await;
    let url = relay.url.clone();
    let sim = Sim::with(|account| {
        account.ingest = Some(ingest(&url));
        account.scripts.mode = Some("off".to_owned());
        account.scripts.folder = Some(project.path().to_owned());
    })
    .await;
    let id = sim.scripted("create", None, json!({ "companyname": "Acme" })).await;
    let told = relay.next().await;
    assert_eq!((&told["recordId"], &told["recordType"]), (&json!(id), &json!("customer")));
    assert_eq!((&told["eventType"], told.get("changes")), (&json!("update"), None), "a bare hint");
    assert_eq!(sim.ask("ledger").await["scripts"]["custevsub_concord"]["worst"], 26);
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The README of the SuiteScripts says what each of them costs; the ledger says what it cost here.
#[tokio::test]
async fn the_ledger_tells_the_units_of_saves_and_writes() {
    let relay = Relay::start().await;
    let url = relay.url.clone();
    let sim = Sim::with(|account| account.ingest = Some(ingest(&url))).await;
    let id = sim.scripted("create", None, json!({ "companyname": "Acme" })).await;
    let ledger = sim.ask("ledger").await;
    assert_eq!(ledger["saves"], json!({ "runs": 1, "units": 12, "worst": 12, "failures": 0 }));
    assert_eq!(ledger["scripts"]["customscript_concord_ue"], ledger["saves"]);
    assert_eq!(ledger["posts"], json!({ "accepted": 1, "refused": 0, "failed": 0 }));
    let write = |stamp: u64, changes: Json| {
        json!({
            "writeId": "w", "kind": "update", "type": "customer", "id": id, "rid": "r", "stamp": stamp,
            "expect": stamp - 1, "changes": changes, "pre": {},
        })
    };
    let reply = sim.write(json!([write(1, json!({ "phone": "1" })), write(2, json!({ "phone": "2" }))])).await;
    assert_eq!(reply["remainingUsage"], 5_000 - 2 * 25);
    let ledger = sim.ask("ledger").await;
    assert_eq!(ledger["guarded_writes"], json!({ "runs": 2, "units": 50, "worst": 25, "failures": 0 }));
    assert_eq!(
        ledger["scripts"]["customscript_concord_write"],
        json!({ "runs": 1, "units": 50, "worst": 50, "failures": 0 })
    );
    assert_eq!(ledger["scripts"]["customscript_concord_ue"]["runs"], 3);
    assert_eq!(ledger["units"], 50, "units of RESTlets");
}

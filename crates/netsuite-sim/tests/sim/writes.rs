//! The guarded write, outcome by outcome.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::clients::WRITE;
use crate::harness::Sim;

const RID: &str = "0190a1b2-0000-7000-8000-000000000001";

fn update(id: &str, stamp: u64, expect: u64, pre: Json, changes: Json) -> Json {
    json!({
        "writeId": format!("w{stamp}"), "kind": "update", "type": "customer", "id": id, "rid": RID, "stamp": stamp,
        "expect": expect, "changes": changes, "pre": pre,
    })
}

fn create(external_id: &str, changes: Json) -> Json {
    json!({
        "writeId": "w1", "kind": "create", "type": "customer", "id": null, "rid": RID, "stamp": 1, "expect": 0,
        "externalId": external_id, "changes": changes, "pre": {},
    })
}

#[tokio::test]
async fn a_write_that_finds_what_it_expects_lands_with_its_stamp() {
    let sim = Sim::start().await;
    let id = sim.customer(json!({ "phone": "1" })).await;
    let result = sim.write_one(update(&id, 7, 0, json!({ "phone": "1" }), json!({ "phone": "2" }))).await;
    assert_eq!((&result["status"], &result["writeId"], &result["id"]), (&json!("ok"), &json!("w7"), &json!(id)));
    assert_eq!(result["stamp"], 7);
    let fields = sim.fields("customer", &id).await;
    assert_eq!(fields["phone"], "2");
    assert_eq!(fields["custentity_concord_stamp"], format!("{RID}:7"));
    assert_eq!(result["lastModified"], fields["lastmodifieddate"]);
    assert_eq!(sim.ask("ledger").await["writes"], 1);
    let by = "SELECT BUILTIN.DF(lastmodifiedby) AS by FROM customer";
    assert_eq!(sim.rows(by).await, [json!({ "by": "Concord Integration" })]);
}

#[tokio::test]
async fn an_earlier_or_equal_stamp_is_fenced() {
    let sim = Sim::start().await;
    let id = sim.customer(json!({})).await;
    sim.write_one(update(&id, 7, 0, json!({}), json!({ "phone": "2" }))).await;
    for stamp in [7, 6] {
        let result = sim.write_one(update(&id, stamp, 7, json!({}), json!({ "phone": "3" }))).await;
        assert_eq!((&result["status"], &result["stamp"]), (&json!("fenced"), &json!(7)));
    }
    assert_eq!(sim.fields("customer", &id).await["phone"], "2");
}

#[tokio::test]
async fn a_write_that_came_back_late_is_stale_for_the_next_one() {
    let sim = Sim::start().await;
    let id = sim.customer(json!({ "custentity_tags": [] })).await;
    // Write 1 was given up; it lands after its value was taken back by hand, then write 2 arrives (C11).
    let first = update(&id, 1, 0, json!({ "custentity_tags": [] }), json!({ "custentity_tags": ["4"] }));
    assert_eq!(sim.write_one(first).await["status"], "ok");
    let second = update(&id, 2, 0, json!({ "phone": null }), json!({ "phone": "9" }));
    let result = sim.write_one(second).await;
    assert_eq!((&result["status"], &result["stamp"]), (&json!("stale"), &json!(1)));
    assert_eq!(sim.fields("customer", &id).await["phone"], Json::Null);
}

#[tokio::test]
async fn a_value_that_went_and_came_back_does_not_let_an_old_write_in() {
    let sim = Sim::start().await;
    let id = sim.customer(json!({ "phone": "A" })).await;
    // Write 1 (A→B) is lost on the way; write 2 (A→C) lands, then write 3 (C→A): phone is A again.
    assert_eq!(
        sim.write_one(update(&id, 2, 0, json!({ "phone": "A" }), json!({ "phone": "C" }))).await["status"],
        "ok"
    );
    assert_eq!(
        sim.write_one(update(&id, 3, 2, json!({ "phone": "C" }), json!({ "phone": "A" }))).await["status"],
        "ok"
    );
    let late = sim.write_one(update(&id, 1, 0, json!({ "phone": "A" }), json!({ "phone": "B" }))).await;
    assert_eq!(late["status"], "fenced");
    assert_eq!(sim.fields("customer", &id).await["phone"], "A");
}

#[tokio::test]
async fn a_user_s_edit_makes_a_write_stale_only_where_it_looks() {
    let sim = Sim::start().await;
    let id = sim.customer(json!({ "phone": "1", "email": "a@b.example" })).await;
    sim.edit("update", "customer", Some(&id), json!({ "phone": "2" })).await;
    let stale = sim.write_one(update(&id, 1, 0, json!({ "phone": "1" }), json!({ "phone": "3" }))).await;
    assert_eq!(stale["status"], "stale");
    let other = sim.write_one(update(&id, 2, 0, json!({ "email": "a@b.example" }), json!({ "email": null }))).await;
    assert_eq!(other["status"], "ok");
    assert_eq!(sim.fields("customer", &id).await["email"], Json::Null);
}

#[tokio::test]
async fn pre_values_are_compared_by_what_they_mean() {
    let sim = Sim::start().await;
    let id = sim
        .customer(json!({
            "creditlimit": 10, "custentity_tags": ["2", "10"], "comments": "cafe\u{301}\r\nx", "terms": 2,
        }))
        .await;
    let pre = json!({
        "creditlimit": "10.00", "custentity_tags": ["10", "2"], "comments": "caf\u{e9}\nx", "email": null,
        "isinactive": false, "terms": "2", "custentity_loyalty_points": null,
    });
    assert_eq!(sim.write_one(update(&id, 1, 0, pre, json!({ "creditlimit": "11.50" }))).await["status"], "ok");
    assert_eq!(sim.fields("customer", &id).await["creditlimit"], 11.5);
    for pre in [
        json!({ "creditlimit": "10.00" }),
        json!({ "custentity_tags": ["2"] }),
        json!({ "isinactive": true }),
        json!({ "email": "x" }),
        json!({ "nofield": 1 }),
    ] {
        let result = sim.write_one(update(&id, 2, 1, pre.clone(), json!({ "phone": "1" }))).await;
        assert_eq!(result["status"], "stale", "{pre}");
    }
}

#[tokio::test]
async fn a_record_of_another_rid_counts_as_never_written() {
    let sim = Sim::start().await;
    // A copy made by hand carries the stamp of its original.
    let id = sim.customer(json!({ "custentity_concord_stamp": "0190a1b2-0000-7000-8000-00000000ffff:99" })).await;
    assert_eq!(sim.write_one(update(&id, 1, 0, json!({}), json!({ "phone": "1" }))).await["status"], "ok");
    assert_eq!(sim.fields("customer", &id).await["custentity_concord_stamp"], format!("{RID}:1"));
}

#[tokio::test]
async fn what_is_gone_is_gone_and_what_was_created_is_a_duplicate() {
    let sim = Sim::start().await;
    let made = sim.write_one(create("sx_1", json!({ "companyname": "New", "creditlimit": "5.00" }))).await;
    assert_eq!((&made["status"], &made["stamp"]), (&json!("ok"), &json!(1)));
    let id = made["id"].as_str().unwrap().to_owned();
    assert_eq!(sim.fields("customer", &id).await["externalid"], "sx_1");
    let again = sim.write_one(create("sx_1", json!({ "companyname": "New" }))).await;
    assert_eq!((&again["status"], &again["id"], &again["stamp"]), (&json!("duplicate"), &json!(id), &json!(1)));
    let shadow = json!({ "companyname": "New", "creditlimit": "5.00", "phone": "changed" });
    let mut delete = update(&id, 2, 1, shadow, json!({}));
    delete["kind"] = json!("delete");
    assert_eq!(sim.write_one(delete.clone()).await["status"], "stale");
    delete["pre"]["phone"] = Json::Null;
    assert_eq!(sim.write_one(delete.clone()).await["status"], "ok");
    assert_eq!(sim.write_one(delete).await["status"], "gone");
    assert_eq!(sim.write_one(update("999999", 1, 0, json!({}), json!({}))).await["status"], "gone");
    let deleted = sim.rows("SELECT recordid, type, context FROM deletedrecord").await;
    assert_eq!(deleted, [json!({ "recordid": id, "type": "Customer", "context": "RESTLET" })]);
}

#[tokio::test]
async fn business_refusals_are_invalid_and_leave_no_trace() {
    let sim = Sim::start().await;
    let id = sim.customer(json!({})).await;
    sim.edit("create", "item", None, json!({ "itemid": "W-1" })).await;
    sim.edit("create", "salesorder", None, json!({ "entity": id })).await;
    let cases = [
        (json!({ "companyname": null }), "USER_ERROR"),
        (json!({ "terms": "99" }), "INVALID_KEY_OR_REF"),
        (json!({ "nofield": "x" }), "NONEXISTENT_FIELD"),
        (json!({ "comments": "x".repeat(100_001) }), "EXCEEDED_MAX_FIELD_LENGTH"),
        (json!({ "custentity_loyalty_points": 1e300 }), "USER_ERROR"),
    ];
    for (changes, code) in cases {
        let result = sim.write_one(update(&id, 1, 0, json!({}), changes)).await;
        assert_eq!((&result["status"], &result["code"]), (&json!("invalid"), &json!(code)));
        assert!(!result["message"].as_str().unwrap().is_empty());
    }
    let mut delete = update(&id, 1, 0, json!({}), json!({}));
    delete["kind"] = json!("delete");
    let result = sim.write_one(delete).await;
    assert_eq!(result["code"], "THIS_RECORD_CANNOT_BE_DELETED_BECAUSE_IT_HAS_DEPENDENT_RECORDS");
    assert_eq!(sim.fields("customer", &id).await["custentity_concord_stamp"], Json::Null);
    let mut item = create("sx_2", json!({ "itemid": "W-1" }));
    item["type"] = json!("item");
    assert_eq!(sim.write_one(item).await["code"], "DUP_ITEM");
    assert_eq!(sim.ask("ledger").await["writes"], 0);
}

#[tokio::test]
async fn a_moment_is_on_a_day_of_the_account_s_own_calendar() {
    for date_format in ["M/D/YYYY", "D-Mon-YYYY"] {
        let sim = Sim::with(|account| account.date_format = date_format.to_owned()).await;
        // Nine in the evening before, in Los Angeles.
        sim.clock(json!({ "mode": "virtual", "now": "2026-03-02T05:00:00Z" })).await;
        let id = sim.customer(json!({})).await;
        let on = |day: &str, stamp| update(&id, stamp, 0, json!({ "datecreated": day }), json!({ "phone": "1" }));
        assert_eq!(sim.write_one(on("2026-03-02", 1)).await["status"], "stale");
        assert_eq!(sim.write_one(on("2026-03-01", 2)).await["status"], "ok");
    }
}

#[tokio::test]
async fn a_field_that_netsuite_keeps_by_itself_is_set_without_effect() {
    let sim = Sim::start().await;
    let id = sim.customer(json!({})).await;
    let created = sim.fields("customer", &id).await["datecreated"].clone();
    let changes = json!({ "datecreated": "2020-01-01T00:00:00Z", "phone": "1" });
    assert_eq!(sim.write_one(update(&id, 1, 0, json!({ "datecreated": created }), changes)).await["status"], "ok");
    let fields = sim.fields("customer", &id).await;
    assert_eq!((&fields["datecreated"], &fields["phone"]), (&created, &json!("1")));
}

#[tokio::test]
async fn a_record_in_an_open_transaction_is_stale_as_changed() {
    let sim = Sim::start().await;
    sim.clock(json!({ "mode": "virtual", "now": "2026-03-02T10:00:00Z" })).await;
    let id = sim.customer(json!({})).await;
    let edit = json!({
        "operation": "update", "type": "customer", "id": id, "changes": { "phone": "1" }, "visible_after_seconds": 5,
    });
    sim.tell("edit", edit).await;
    let result = sim.write_one(update(&id, 1, 0, json!({}), json!({ "email": "a@b.example" }))).await;
    assert_eq!((&result["status"], &result["code"]), (&json!("stale"), &json!("RCRD_HAS_BEEN_CHANGED")));
}

#[tokio::test]
async fn order_lines_are_added_changed_and_removed_under_guard() {
    let sim = Sim::start().await;
    let customer = sim.customer(json!({})).await;
    let item = sim.edit("create", "item", None, json!({ "itemid": "W-1", "baseprice": 2 })).await;
    let mut order = json!({
        "writeId": "o1", "kind": "create", "type": "salesorder", "id": null, "rid": RID, "stamp": 1, "expect": 0,
        "externalId": "sx_o", "changes": { "entity": customer, "trandate": "2026-03-02", "memo": "m" }, "pre": {},
        "lines": { "upsert": [
            { "key": "s1", "line": null, "changes": { "item": item, "quantity": "3.0000", "rate": "2.00" }, "pre": null },
            { "key": "s2", "line": null, "changes": { "item": item, "quantity": "1" }, "pre": null },
        ], "remove": [] },
    });
    let made = sim.write_one(order.clone()).await;
    assert_eq!(made["lines"], json!({ "s1": "1", "s2": "2" }));
    let id = made["id"].as_str().unwrap().to_owned();
    order["kind"] = json!("update");
    order["id"] = json!(id);
    order["stamp"] = json!(2);
    order["expect"] = json!(1);
    order["changes"] = json!({});
    order["pre"] = json!({ "trandate": "2026-03-02", "entity": customer });
    order["lines"] = json!({
        "upsert": [
            { "key": "s1", "line": "1", "changes": { "quantity": "5" }, "pre": { "quantity": "3" } },
            { "key": "s3", "line": null, "changes": { "item": item }, "pre": null },
        ],
        "remove": [{ "line": "2", "pre": { "quantity": "1", "rate": "2.00", "item": item } }],
    });
    let changed = sim.write_one(order.clone()).await;
    assert_eq!((&changed["status"], &changed["lines"]), (&json!("ok"), &json!({ "s1": "1", "s3": "3" })));
    let fields = sim.fields("salesorder", &id).await;
    assert_eq!(
        fields["lines"],
        json!({
            "1": { "item": item, "quantity": 5, "rate": 2 },
            "3": { "item": item, "quantity": 1, "rate": 2 },
        })
    );
    assert_eq!((&fields["foreigntotal"], &fields["status"]), (&json!(12), &json!("B")));
    // The same again: line 2 is absent now, and line 1 is not what it was.
    order["stamp"] = json!(3);
    order["expect"] = json!(2);
    assert_eq!(sim.write_one(order.clone()).await["status"], "stale");
    // A delete names every line.
    order["kind"] = json!("delete");
    order.as_object_mut().unwrap().remove("lines");
    order["pre"] = json!({ "memo": "m", "lines": { "1": { "quantity": "5" } } });
    assert_eq!(sim.write_one(order.clone()).await["status"], "stale");
    order["pre"]["lines"]["3"] = json!({ "quantity": "1" });
    assert_eq!(sim.write_one(order).await["status"], "ok");
    assert_eq!(sim.rows("SELECT id FROM transactionline").await, Vec::<Json>::new());
}

#[tokio::test]
async fn a_batch_answers_in_order_and_counts_units() {
    let sim = Sim::start().await;
    let id = sim.customer(json!({})).await;
    let good = update(&id, 1, 0, json!({}), json!({ "phone": "1" }));
    let reply = sim.write(json!([good, { "writeId": "odd" }, update("0", 1, 0, json!({}), json!({}))])).await;
    let statuses: Vec<&str> =
        reply["results"].as_array().unwrap().iter().map(|result| result["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["ok", "invalid", "gone"]);
    assert_eq!(reply["results"][1]["writeId"], "odd");
    assert_eq!(reply["remainingUsage"], 5_000 - 2 * 15);
    let many: Vec<Json> = (0..11).map(|n| update(&id, n, 0, json!({}), json!({}))).collect();
    let refused = sim.tba(Method::POST, WRITE).json(&json!({ "writes": many })).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    let ledger = sim.ask("ledger").await;
    assert_eq!((&ledger["units"], &ledger["writes"], &ledger["update_requests"]), (&json!(30), &json!(1), &json!(2)));
}

#[tokio::test]
async fn a_restlet_minds_script_method_and_content_type() {
    let sim = Sim::start().await;
    let path = "/app/site/hosting/restlet.nl?script=nope&deploy=1";
    let unknown = sim.tba(Method::POST, path).json(&json!({})).send().await.unwrap();
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    assert_eq!(unknown.json::<Json>().await.unwrap()["error"]["code"], "SSS_INVALID_SCRIPTLET_ID");
    assert_eq!(sim.tba(Method::GET, WRITE).send().await.unwrap().status(), StatusCode::METHOD_NOT_ALLOWED);
    let untyped = sim.tba(Method::POST, WRITE).body("{}").send().await.unwrap();
    assert_eq!(untyped.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let broken =
        sim.tba(Method::POST, WRITE).header("content-type", "application/json").body("{").send().await.unwrap();
    assert_eq!(broken.status(), StatusCode::BAD_REQUEST);
}

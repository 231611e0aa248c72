//! The control API and the rules of the world behind it.

use reqwest::StatusCode;
use serde_json::{Value as Json, json};

use crate::harness::Sim;

#[tokio::test]
async fn a_customer_needs_only_its_name() {
    let sim = Sim::start().await;
    let id = sim.customer(json!({})).await;
    let fields = sim.fields("customer", &id).await;
    assert_eq!(fields["companyname"], "Acme");
    assert_eq!(
        (&fields["isinactive"], &fields["currency"], &fields["terms"]),
        (&json!(false), &json!("1"), &Json::Null)
    );
    assert_eq!(fields["custentity_tags"], json!([]));
    assert_eq!(fields["datecreated"], fields["lastmodifieddate"]);
    assert_eq!(sim.ask("records/customer").await, json!({ "ids": [id] }));
    assert_eq!(sim.ask("dump/customer").await, json!({ "records": [{ "id": id, "fields": fields }] }));
    sim.edit("delete", "customer", Some(&id), json!({})).await;
    let gone = sim.http.get(sim.control(&format!("records/customer/{id}"))).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_refused_edit_names_the_field() {
    let sim = Sim::start().await;
    let id = sim.customer(json!({})).await;
    let cases = [
        (json!({ "creditlimit": "much" }), "creditlimit"),
        (json!({ "creditlimit": 1e16 }), "creditlimit"),
        (json!({ "isinactive": 3 }), "isinactive"),
        (json!({ "custentity_tags": "1,2" }), "custentity_tags"),
        (json!({ "custentity_loyalty_points": 1.5 }), "custentity_loyalty_points"),
        (json!({ "companyname": "" }), "companyname"),
        (json!({ "phone": "a\u{1}b" }), "phone"),
        (json!({ "terms": 77 }), "terms"),
        (json!({ "datecreated": "2026-01-01T00:00:00Z" }), "datecreated"),
        (json!({ "shoesize": 1 }), "shoesize"),
    ];
    for (changes, field) in cases {
        let body = json!({ "operation": "update", "type": "customer", "id": id, "changes": changes });
        let reply = sim.try_tell("edit", body).await;
        assert_eq!(reply.status(), StatusCode::BAD_REQUEST, "{field}");
        assert_eq!(reply.headers()["content-type"], "application/problem+json");
        let problem: Json = reply.json().await.unwrap();
        assert_eq!(problem["field"], field);
        assert_eq!(problem["errors"][0]["pointer"], format!("/changes/{field}"));
        for member in ["type", "title", "status", "code"] {
            assert!(problem.get(member).is_some(), "{member}");
        }
    }
    let absent =
        sim.try_tell("edit", json!({ "operation": "update", "type": "customer", "id": "9", "changes": {} })).await;
    assert_eq!(absent.status(), StatusCode::NOT_FOUND);
    let odd = sim.try_tell("edit", json!({ "operation": "update", "type": "ship", "id": "9" })).await;
    assert_eq!(odd.json::<Json>().await.unwrap()["field"], "type");
    let stranger = sim.http.get(sim.url("/_sim/v1/accounts/NOBODY/ledger")).send().await.unwrap();
    assert_eq!(stranger.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn values_come_back_as_netsuite_keeps_them() {
    let sim = Sim::start().await;
    let id = sim
        .customer(json!({
            "phone": "  555  ", "creditlimit": "10.005", "custentity_tags": [10, "2", "2"], "comments": "",
            "isinactive": "T", "custentity_loyalty_points": "42",
        }))
        .await;
    let fields = sim.fields("customer", &id).await;
    assert_eq!(fields["phone"], "555");
    assert_eq!(fields["creditlimit"], 10.01);
    assert_eq!(fields["custentity_tags"], json!(["2", "10"]));
    assert_eq!(fields["comments"], Json::Null);
    assert_eq!((&fields["isinactive"], &fields["custentity_loyalty_points"]), (&json!(true), &json!(42)));
}

#[tokio::test]
async fn every_changed_field_leaves_a_note_with_its_author() {
    let sim = Sim::start().await;
    let id = sim.customer(json!({ "phone": "1" })).await;
    sim.edit("update", "customer", Some(&id), json!({ "phone": "2", "companyname": "Acme" })).await;
    let notes = sim
        .rows(&format!(
            "SELECT field, oldvalue, newvalue, BUILTIN.DF(s.name) AS name, e.entityid AS author, context, s.type \
             FROM systemnote s JOIN employee e ON e.id = s.name WHERE recordid = {id} AND recordtypeid = -2 \
             AND oldvalue IS NOT NULL"
        ))
        .await;
    assert_eq!(notes.len(), 1, "an unchanged field leaves none: {notes:?}");
    assert_eq!(
        (&notes[0]["field"], &notes[0]["oldvalue"], &notes[0]["newvalue"]),
        (&json!("PHONE"), &json!("1"), &json!("2"))
    );
    assert_eq!((&notes[0]["author"], &notes[0]["context"]), (&json!("jane"), &json!("USERINTERFACE")));
}

#[tokio::test]
async fn an_order_derives_its_total_and_moves_when_a_line_does() {
    let sim = Sim::start().await;
    sim.clock(json!({ "mode": "virtual", "now": "2026-03-02T10:00:00Z" })).await;
    let customer = sim.customer(json!({ "currency": 2 })).await;
    let item = sim.edit("create", "item", None, json!({ "itemid": "W-1", "baseprice": "2.50" })).await;
    let body = json!({ "operation": "create", "type": "salesorder", "changes": {
        "entity": customer, "lines": { "a": { "item": item, "quantity": 2 }, "b": { "item": item, "quantity": 1, "rate": 9 } },
    } });
    let made = sim.tell("edit", body).await;
    assert_eq!(made["lines"], json!({ "a": "1", "b": "2" }));
    let id = made["id"].as_str().unwrap();
    let fields = sim.fields("salesorder", id).await;
    assert_eq!(
        (&fields["foreigntotal"], &fields["status"], &fields["currency"]),
        (&json!(14), &json!("B"), &json!("2"))
    );
    assert_eq!(fields["tranid"], format!("SO{id}"));
    assert_eq!(fields["trandate"], "2026-03-02");
    sim.clock(json!({ "advance_seconds": 7 })).await;
    sim.edit(
        "update",
        "salesorder",
        Some(id),
        json!({ "lines": { "1": { "quantity": 4 }, "2": null, "new": { "item": item } } }),
    )
    .await;
    let fields = sim.fields("salesorder", id).await;
    assert_eq!(fields["lastmodifieddate"], "2026-03-02T10:00:07Z");
    assert_eq!(
        fields["lines"],
        json!({
            "1": { "item": item, "quantity": 4, "rate": 2.5 }, "3": { "item": item, "quantity": 1, "rate": 2.5 },
        })
    );
    let absent = json!({ "operation": "update", "type": "salesorder", "id": id, "changes": { "lines": { "2": { "quantity": 1 } } } });
    let refused: Json = sim.try_tell("edit", absent).await.json().await.unwrap();
    assert_eq!(refused["field"], "lines/2");
    for (kind, id) in [("customer", &customer), ("item", &item)] {
        let body = json!({ "operation": "delete", "type": kind, "id": id });
        assert_eq!(sim.try_tell("edit", body).await.status(), StatusCode::BAD_REQUEST);
    }
    sim.edit("delete", "salesorder", Some(id), json!({})).await;
    sim.edit("delete", "customer", Some(&customer), json!({})).await;
}

#[tokio::test]
async fn an_import_lands_in_one_second_and_lists_its_refusals() {
    let sim = Sim::start().await;
    let csv = "companyname,email,custentity_tags,externalid\nOne,a@b.example,1|2,E1\n\"Two, Ltd\",,,E2\n,,,E3\n";
    let done = sim.tell("import", json!({ "type": "customer", "csv": csv })).await;
    assert_eq!((&done["created"], &done["updated"]), (&json!(2), &json!(0)));
    assert_eq!((&done["errors"][0]["row"], &done["errors"][0]["field"]), (&json!(3), &json!("companyname")));
    let done = sim.tell("import", json!({ "type": "customer", "rows": [{ "externalid": "E1", "phone": "7" }] })).await;
    assert_eq!(done["updated"], 1);
    let rows = sim.rows("SELECT companyname, phone FROM customer ORDER BY id").await;
    assert_eq!(rows, [json!({ "companyname": "One", "phone": "7" }), json!({ "companyname": "Two, Ltd" })]);
    assert_eq!(sim.ask("ledger").await["scripts"], json!({}), "an import runs no scripts unless told to");
}

#[tokio::test]
async fn the_same_seed_makes_the_same_world_and_reset_empties_it() {
    let one = Sim::start().await;
    let two = Sim::start().await;
    for sim in [&one, &two] {
        sim.clock(json!({ "mode": "virtual", "now": "2026-03-02T10:00:00Z" })).await;
        sim.tell("generate", json!({ "customers": 20, "items": 5, "orders": 10, "seed": 9 })).await;
    }
    for kind in ["customer", "item", "salesorder"] {
        let (a, b) = (one.ask(&format!("dump/{kind}")).await, two.ask(&format!("dump/{kind}")).await);
        assert!(!a["records"].as_array().unwrap().is_empty());
        assert_eq!(a, b);
    }
    one.tell("reset", json!({})).await;
    assert_eq!(one.ask("records/salesorder").await, json!({ "ids": [] }));
    let first = one.customer(json!({})).await;
    assert!(first.parse::<u64>().unwrap() > 1_020, "numbering goes on");
}

#[tokio::test]
async fn health_and_metrics_are_there() {
    let sim = Sim::start().await;
    for path in ["/livez", "/readyz"] {
        assert_eq!(sim.http.get(sim.url(path)).send().await.unwrap().status(), StatusCode::OK);
    }
    sim.customer(json!({})).await;
    sim.scripted("create", None, json!({ "companyname": "Acme" })).await;
    let text = sim.http.get(sim.url("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(text.contains("concord_build_info{service=\"netsuite-sim\""), "{text}");
    assert!(text.contains("netsuite_sim_user_edits_total{account=\"TSTDRV100001\"} 2"), "{text}");
    assert!(text.contains("netsuite_sim_script_runs_total{account=\"TSTDRV100001\"} 1"), "{text}");
}

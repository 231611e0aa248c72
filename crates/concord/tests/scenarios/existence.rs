//! S11, S12, S21: creates, deletes, copies.

use concord::sides::Side;
use reqwest::Method;
use serde_json::json;

use crate::play::{Pair, Play};

pub(crate) async fn s11_create_killed_before_link(play: &Play) {
    killed_before_link(play, false).await;
}

pub(crate) async fn s11_edited_before_recovery(play: &Play) {
    killed_before_link(play, true).await;
}

async fn killed_before_link(play: &Play, edited: bool) {
    let before = play.writes(0).await;
    let name = format!("S11 {}", play.next());
    let armed = play.arm("netsuite-writer", "K7");
    let query = "insert into app.customers (company_name) values ($1) returning id";
    let ours: i64 = sqlx::query_scalar(query).bind(&name).fetch_one(&play.sides[0].suitex).await.unwrap();
    play.died(&armed).await;
    play.stop("netsuite-writer");
    let theirs = called(play, &name).await;
    assert_eq!(theirs.len(), 1, "the create landed");
    // The new record is noticed before the write's fate is known.
    play.fact("an event about the new record", || async {
        let query =
            "select exists(select from sync.events where account_id = $1 and record_type = 'customer' and record_id = $2
             and side = 'netsuite' and kind = 'hint')";
        let seen: bool = sqlx::query_scalar(query)
            .bind(&play.sides[0].account)
            .bind(&theirs[0])
            .fetch_one(&play.sides[0].concord)
            .await
            .unwrap();
        seen.then_some(())
    })
    .await;
    if edited {
        let edit = concord::sides::Edit::update("customer", &theirs[0], json!({ "email": "e@example.test" }));
        play.sides[0].netsuite.edit(&edit).await.unwrap();
    }
    play.go("netsuite-writer");
    let pair = play.pair(0, "customer", Side::Suitex, &ours.to_string()).await;
    assert_eq!(pair.netsuite, theirs[0]);
    let email = if edited { "e@example.test" } else { "" };
    play.suitex_reads(&pair, "email", email).await;
    play.ends(&pair, "email", email).await;
    play.ends(&pair, "companyname", &name).await;
    assert_eq!(called(play, &name).await, theirs, "one record");
    let rows: i64 = sqlx::query_scalar("select count(*) from app.customers where company_name = $1")
        .bind(&name)
        .fetch_one(&play.sides[0].suitex)
        .await
        .unwrap();
    assert_eq!(rows, 1, "no second identity");
    let written = play.writes(0).await - before;
    assert_eq!((written.creates, written.updates), (1, 0), "created once, and never written over: {written:?}");
}

/// Ids of NetSuite's customers of this name.
async fn called(play: &Play, name: &str) -> Vec<String> {
    let all = play.sides[0].netsuite.dump("customer").await.unwrap();
    all.into_iter().filter(|(_, fields)| fields["companyname"] == name).map(|(id, _)| id).collect()
}

pub(crate) async fn s12_delete_wins(play: &Play) {
    let (customer, item) = (play.customer(json!({})).await, play.item(json!({})).await);
    let line = json!({ "item": item.netsuite, "quantity": 1, "rate": 10 });
    let order = json!({ "entity": customer.netsuite, "memo": "A", "lines": { "x": line } });
    let pair = play.create(0, "salesorder", order).await;
    edited_here_deleted_there(play, &pair, "memo = 'B'").await;
    play.go("netsuite-writer");
    play.rest().await;
    assert!(!play.in_netsuite(&pair).await && !play.in_suitex(&pair).await);
    let lost = play.overrides(&pair).await;
    assert_eq!(lost, [("memo".to_owned(), json!("B"), "suitex".to_owned())]);
}

pub(crate) async fn s12_update_wins(play: &Play) {
    let pair = play.item(json!({ "displayname": "A" })).await;
    edited_here_deleted_there(play, &pair, "display_name = 'B'").await;
    play.go("netsuite-writer");
    let again = again(play, &pair).await;
    assert_eq!(again.rid, pair.rid, "the same record under a new id");
    play.ends(&again, "displayname", "B").await;
    let lost = play.overrides(&pair).await;
    assert_eq!(lost, [("*".to_owned(), json!("deleted"), "netsuite".to_owned())]);
}

pub(crate) async fn s12_manual_accept_netsuite(play: &Play) {
    let pair = undecided(play).await;
    let seen = play.conflict(&pair, 1).await;
    assert_eq!(play.decide(&seen, json!({ "action": "accept_netsuite" })).await.0, 200);
    play.rest().await;
    assert!(!play.in_netsuite(&pair).await && !play.in_suitex(&pair).await);
    assert!(play.overrides(&pair).await.iter().any(|(_, value, _)| *value == json!("B")));
}

pub(crate) async fn s12_manual_accept_suitex(play: &Play) {
    let pair = undecided(play).await;
    let seen = play.conflict(&pair, 1).await;
    assert_eq!(play.decide(&seen, json!({ "action": "accept_suitex" })).await.0, 200);
    let again = again(play, &pair).await;
    assert_eq!(again.rid, pair.rid, "the same record under a new id");
    play.ends(&again, "phone", "B").await;
    assert!(play.overrides(&pair).await.iter().any(|(field, ..)| field == "*"));
}

/// A delete against an edit, before a person.
async fn undecided(play: &Play) -> Pair {
    let pair = play.customer(json!({ "phone": "A" })).await;
    edited_here_deleted_there(play, &pair, "phone = 'B'").await;
    let before = play.writes(0).await;
    play.go("netsuite-writer");
    assert_eq!(play.conflict(&pair, 1).await["field"], "*");
    play.rest().await;
    assert_eq!(play.values(&pair, "phone").await[1], "B", "SuiteX keeps it");
    assert_eq!(play.writes(0).await, before, "nothing is written until it is decided");
    pair
}

/// An edit of SuiteX that is not written yet, and a delete in NetSuite; Concord knows of both, and the writer stands still.
async fn edited_here_deleted_there(play: &Play, pair: &Pair, set: &str) {
    play.rest().await;
    let version = play.version(pair).await;
    play.stop("netsuite-writer");
    play.sx(pair, set).await;
    play.reaches(pair, version + 1).await;
    play.ns_deletes(pair).await;
    play.fact("the deletion is folded", || async {
        let query =
            "select exists(select from sync.shadow where rid = $1 and side = 'netsuite' and \"exists\" <> 'yes')";
        let seen: bool = sqlx::query_scalar(query).bind(pair.rid).fetch_one(&play.sides[0].concord).await.unwrap();
        seen.then_some(())
    })
    .await;
}

/// The record, once NetSuite has it under another id.
async fn again(play: &Play, pair: &Pair) -> Pair {
    play.fact("a new id in NetSuite", || async {
        let there = play.sides[0].counterpart(pair.kind, Side::Suitex, &pair.suitex).await.unwrap()?;
        (there != pair.netsuite).then_some(())
    })
    .await;
    play.pair(0, pair.kind, Side::Suitex, &pair.suitex).await
}

pub(crate) async fn s21_make_copy(play: &Play) {
    let pair = play.customer(json!({ "phone": "A" })).await;
    // The original carries a stamp of ours.
    play.sx(&pair, "phone = 'B'").await;
    play.netsuite_reads(&pair, "phone", "B").await;
    play.rest().await;
    let (version, log) = (play.version(&pair).await, play.audit(&pair, Side::Netsuite).await);
    let copied = json!({ "type": "customer", "id": pair.netsuite });
    let copied = play.control(0, Method::POST, "copy", copied).await;
    let id = copied["id"].as_str().expect("a copy has an id");
    let copy = play.pair(0, "customer", Side::Netsuite, id).await;
    play.rest().await;
    assert_ne!(copy.rid, pair.rid, "a record of its own");
    assert_ne!(copy.suitex, pair.suitex, "a SuiteX record of its own");
    assert_eq!(play.values(&copy, "phone").await, ["B", "B"]);
    assert_eq!((play.version(&pair).await, play.audit(&pair, Side::Netsuite).await), (version, log), "the original");
    // It is written to like any other record, whatever stamp it came with.
    play.sx(&copy, "phone = 'C'").await;
    play.netsuite_reads(&copy, "phone", "C").await;
    play.ends(&copy, "phone", "C").await;
    play.ends(&pair, "phone", "B").await;
}

//! What user-event scripts post.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use serde_json::{Value as Json, json};
use standardwebhooks::Webhook;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::harness::{ACCOUNT, SIGNING_SECRET, Sim, ingest};

/// A relay that checks signatures and hands out the envelopes; it first answers with the listed statuses.
struct Relay {
    url: String,
    envelopes: mpsc::UnboundedReceiver<Json>,
}

#[derive(Clone)]
struct Desk {
    sender: mpsc::UnboundedSender<Json>,
    refusals: Arc<Mutex<Vec<StatusCode>>>,
}

impl Relay {
    async fn start(refusals: Vec<StatusCode>) -> Self {
        let (sender, envelopes) = mpsc::unbounded_channel();
        let desk = Desk { sender, refusals: Arc::new(Mutex::new(refusals)) };
        let router = Router::new().route("/events", post(receive)).with_state(desk);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/events", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, envelopes }
    }

    async fn next(&mut self) -> Json {
        let wait = std::time::Duration::from_secs(20);
        tokio::time::timeout(wait, self.envelopes.recv()).await.expect("an envelope").unwrap()
    }
}

async fn receive(State(desk): State<Desk>, headers: HeaderMap, body: Bytes) -> StatusCode {
    Webhook::new(SIGNING_SECRET).unwrap().verify(&body, &headers).unwrap();
    assert_eq!(headers["content-type"], "application/json");
    if let Some(refusal) = desk.refusals.lock().unwrap().pop() {
        return refusal;
    }
    desk.sender.send(serde_json::from_slice(&body).unwrap()).unwrap();
    StatusCode::ACCEPTED
}

async fn scripted(sim: &Sim, operation: &str, id: Option<&str>, changes: Json) -> String {
    let body = json!({ "user": "jane", "operation": operation, "type": "customer", "id": id, "changes": changes, "scripts": true });
    sim.tell("edit", body).await["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn each_save_posts_one_signed_envelope_in_order() {
    let mut relay = Relay::start(vec![]).await;
    let url = relay.url.clone();
    let sim = Sim::with(|account| account.ingest = Some(ingest(&url))).await;
    let id = scripted(&sim, "create", None, json!({ "companyname": "Acme", "creditlimit": 10.5 })).await;
    scripted(&sim, "update", Some(&id), json!({ "phone": "1", "companyname": "Acme" })).await;
    sim.edit("update", "customer", Some(&id), json!({ "phone": "silent" })).await;
    scripted(&sim, "delete", Some(&id), json!({})).await;
    let created = relay.next().await;
    assert_eq!(created["eventType"], "create");
    assert_eq!((&created["accountId"], &created["recordType"]), (&json!(ACCOUNT), &json!("customer")));
    assert_eq!((&created["recordId"], &created["source"]), (&json!(id), &json!("UE")));
    assert_eq!(created["changes"]["creditlimit"], 10.5);
    assert_eq!(created["authContext"], json!({ "user": "jane", "executionContext": "USERINTERFACE" }));
    let updated = relay.next().await;
    assert_eq!(updated["changes"], json!({ "phone": "1" }), "only what changed");
    assert_ne!(updated["eventId"], created["eventId"]);
    let deleted = relay.next().await;
    assert_eq!(deleted["eventType"], "delete");
    assert!(deleted.get("changes").is_none());
}

#[tokio::test]
async fn an_order_s_envelope_names_the_lines_that_are_there() {
    let mut relay = Relay::start(vec![]).await;
    let url = relay.url.clone();
    let sim = Sim::with(|account| account.ingest = Some(ingest(&url))).await;
    let customer = sim.customer(json!({})).await;
    let item = sim.edit("create", "item", None, json!({ "itemid": "W-1", "baseprice": 2 })).await;
    let lines = json!({ "a": { "item": item }, "b": { "item": item } });
    let order = sim.edit("create", "salesorder", None, json!({ "entity": customer, "lines": lines })).await;
    let body = json!({
        "operation": "update", "type": "salesorder", "id": order, "scripts": true,
        "changes": { "lines": { "1": { "quantity": 2 }, "2": null } },
    });
    sim.tell("edit", body).await;
    let lines = relay.next().await["changes"]["lines"].clone();
    assert_eq!(lines, json!({ "1": { "item": item, "quantity": 2, "rate": 2 } }));
}

#[tokio::test]
async fn api_writes_fire_scripts_in_their_context() {
    let mut relay = Relay::start(vec![]).await;
    let url = relay.url.clone();
    let sim = Sim::with(|account| account.ingest = Some(ingest(&url))).await;
    sim.write_one(json!({
        "writeId": "w", "kind": "create", "type": "customer", "id": null, "rid": "r", "stamp": 1, "expect": 0,
        "externalId": "sx_r", "changes": { "companyname": "New" }, "pre": {},
    }))
    .await;
    let path = "/services/rest/record/v1/customer/eid:sx_r";
    sim.tba(reqwest::Method::PATCH, path).json(&json!({ "phone": "1" })).send().await.unwrap();
    assert_eq!(relay.next().await["authContext"]["executionContext"], "RESTLET");
    assert_eq!(relay.next().await["authContext"]["executionContext"], "RESTWEBSERVICES");
}

#[tokio::test]
async fn a_busy_relay_is_tried_again_and_a_refusing_one_is_not() {
    let refusals = vec![StatusCode::BAD_REQUEST, StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS];
    let mut relay = Relay::start(refusals).await;
    let url = relay.url.clone();
    let sim = Sim::with(|account| account.ingest = Some(ingest(&url))).await;
    // 429, 503, then 400: given up. The next one goes through.
    let id = scripted(&sim, "create", None, json!({ "companyname": "Acme" })).await;
    scripted(&sim, "update", Some(&id), json!({ "phone": "1" })).await;
    assert_eq!(relay.next().await["eventType"], "update");
    let ue = loop {
        let ue = sim.ask("ledger").await["ue"].clone();
        if ue["queued"] == 0 {
            break ue;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(ue, json!({ "queued": 0, "sent": 1, "failed": 1, "dropped": 0 }));
}

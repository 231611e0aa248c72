//! The concurrency pool and what it says when it is full.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::clients::QUERY;
use crate::harness::Sim;

#[tokio::test]
async fn over_the_limit_rest_says_429_and_a_restlet_400() {
    let sim = Sim::start().await;
    sim.tell("phantom", json!({ "concurrency": 5 })).await;
    let rest = sim.suiteql("SELECT id FROM customer").await;
    assert_eq!(rest.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(rest.headers().get("retry-after").is_none());
    let body: Json = rest.json().await.unwrap();
    assert_eq!((&body["title"], &body["o:errorCode"]), (&json!("Bad Request"), &json!("USER_ERROR")));
    assert_eq!(body["o:errorDetails"][0]["o:errorCode"], "CONCURRENCY_LIMIT_EXCEEDED");
    let restlet = sim.tba(Method::POST, QUERY).json(&json!({})).send().await.unwrap();
    assert_eq!(restlet.status(), StatusCode::BAD_REQUEST);
    assert_eq!(restlet.json::<Json>().await.unwrap()["error"]["code"], "SSS_REQUEST_LIMIT_EXCEEDED");
    sim.tell("phantom", json!({ "concurrency": 0 })).await;
    assert_eq!(sim.suiteql("SELECT id FROM customer").await.status(), StatusCode::OK);
    assert_eq!(sim.ask("ledger").await["over_limit"], 2);
}

#[tokio::test]
async fn slots_are_held_while_a_call_runs() {
    let sim = Sim::with(|account| account.concurrency_limit = 2).await;
    let slow = json!({ "rules": [{ "match": { "path": "suiteql" }, "fault": "slow", "delay_seconds": 0.5 }] });
    sim.tell("faults", slow).await;
    let calls = (0..4).map(|_| sim.suiteql("SELECT id FROM customer"));
    let statuses: Vec<u16> = futures::future::join_all(calls).await.iter().map(|r| r.status().as_u16()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 2, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 2, "{statuses:?}");
    let ledger = sim.ask("ledger").await;
    assert_eq!((&ledger["peak_concurrency"], &ledger["refusals"]["429"]), (&json!(2), &json!(2)));
    assert_eq!(ledger["paths"]["POST /services/rest/query/v1/suiteql"], json!({ "calls": 4, "refused": 2 }));
}

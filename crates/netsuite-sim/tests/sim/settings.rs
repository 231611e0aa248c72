//! Settings of an account that change while it runs.

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::clients::{QUERY, SUITEQL};
use crate::harness::Sim;

impl Sim {
    /// Changes settings and returns all of them.
    pub(crate) async fn set(&self, changes: Json) -> Json {
        let reply = self.http.patch(self.control("settings")).json(&changes).send().await.unwrap();
        let status = reply.status();
        let body: Json = reply.json().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }
}

#[tokio::test]
async fn a_tier_decides_how_many_requests_may_run() {
    let sim = Sim::with(|account| account.tier = Some(netsuite_sim::Tier::Premium)).await;
    assert_eq!(sim.ask("settings").await["concurrency_limit"], 15);
    let path = "/services/rest/system/v1/governanceLimits";
    for (changes, limit) in [
        (json!({ "tier": "enterprise" }), 20),
        (json!({ "tier": "standard", "suitecloud_plus": 1 }), 15),
        (json!({ "tier": null, "suitecloud_plus": null }), 15),
    ] {
        assert_eq!(sim.set(changes).await["concurrency_limit"], limit);
        let limits: Json = sim.tba(Method::GET, path).send().await.unwrap().json().await.unwrap();
        assert_eq!(limits["accountConcurrencyLimit"], limit);
    }
}

#[tokio::test]
async fn features_come_and_go_while_the_account_runs() {
    let sim = Sim::start().await;
    assert_eq!(sim.rows("SELECT COUNT(*) AS n FROM subsidiary").await, [json!({ "n": "4" })]);
    let settings = sim.set(json!({ "features": { "oneworld": false, "suitetax": true } })).await;
    assert_eq!((&settings["features"]["oneworld"], &settings["features"]["suitetax"]), (&json!(false), &json!(true)));
    sim.complaint("SELECT id FROM subsidiary").await;
    assert_eq!(sim.rows("SELECT COUNT(*) AS n FROM taxcode").await, [json!({ "n": "2" })]);
    sim.tell("reset", json!({})).await;
    assert_eq!(sim.rows("SELECT COUNT(*) AS n FROM subsidiary").await, [json!({ "n": "4" })]);
}

#[tokio::test]
async fn a_role_limited_to_subsidiaries_sees_fewer_rows_and_no_error() {
    let sim = Sim::start().await;
    for subsidiary in ["1", "1", "2"] {
        sim.edit("create", "vendor", None, json!({ "companyname": "V", "subsidiary": subsidiary })).await;
    }
    let count = async || sim.rows("SELECT COUNT(*) AS n FROM vendor").await[0]["n"].clone();
    assert_eq!(count().await, "3");
    sim.set(json!({ "subsidiaries": [2] })).await;
    assert_eq!(count().await, "1");
    assert_eq!(sim.rows("SELECT name FROM subsidiary").await, [json!({ "name": "United Kingdom" })]);
    sim.set(json!({ "subsidiaries": null })).await;
    assert_eq!(count().await, "3");
}

#[tokio::test]
async fn a_language_must_be_named_when_it_is_not_the_company_s() {
    let sim = Sim::start().await;
    sim.set(json!({ "language": "de-DE" })).await;
    let refused = sim.suiteql("SELECT id FROM customer").await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    let detail = refused.json::<Json>().await.unwrap()["o:errorDetails"][0].clone();
    assert_eq!(
        (&detail["o:errorCode"], &detail["o:errorHeader"]),
        (&json!("INVALID_HEADER"), &json!("Accept-Language"))
    );
    let body = json!({ "q": "SELECT id FROM customer" });
    let request = sim.tba(Method::POST, SUITEQL).header("prefer", "transient").header("accept-language", "de-DE");
    assert_eq!(request.json(&body).send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn overload_may_look_like_a_failed_login() {
    let sim = Sim::start().await;
    sim.set(json!({ "overload": "invalid_login" })).await;
    sim.tell("phantom", json!({ "concurrency": 5 })).await;
    let rest = sim.suiteql("SELECT id FROM customer").await;
    assert_eq!(rest.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(rest.json::<Json>().await.unwrap()["o:errorDetails"][0]["o:errorCode"], "INVALID_LOGIN");
    let restlet = sim.tba(Method::POST, QUERY).json(&json!({})).send().await.unwrap();
    assert_eq!(restlet.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_query_that_takes_too_long_ends_with_an_error_id() {
    let sim = Sim::start().await;
    sim.tell("generate", json!({ "customers": 300, "seed": 1 })).await;
    sim.set(json!({ "query_seconds": 1 })).await;
    let heavy = sim.suiteql("SELECT COUNT(*) AS n FROM customer a, customer b, customer c, customer d").await;
    assert_eq!(heavy.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let detail = heavy.json::<Json>().await.unwrap()["o:errorDetails"][0].clone();
    assert_eq!(detail["o:errorCode"], "UNEXPECTED_ERROR");
    assert!(detail["detail"].as_str().unwrap().starts_with("An unexpected error occurred. Error ID: "));
    assert_eq!(sim.rows("SELECT COUNT(*) AS n FROM customer").await, [json!({ "n": "300" })]);
}

#[tokio::test]
async fn a_setting_that_means_nothing_is_named() {
    let sim = Sim::start().await;
    for (changes, field) in [
        (json!({ "tier": "gold" }), "tier"),
        (json!({ "features": { "magic": true } }), "features"),
        (json!({ "subsidiaries": "all" }), "subsidiaries"),
        (json!({ "shoe": 1 }), "shoe"),
    ] {
        let reply = sim.http.patch(sim.control("settings")).json(&changes).send().await.unwrap();
        assert_eq!(reply.status(), StatusCode::BAD_REQUEST);
        assert_eq!(reply.json::<Json>().await.unwrap()["field"], field);
    }
}

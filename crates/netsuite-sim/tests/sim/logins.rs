//! Both login schemes, their refusals and the audit trail.

use jsonwebtoken::Algorithm;
use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::clients::{QUERY, SUITEQL, Tba, assertion, claims, now};
use crate::harness::{Sim, ec_keys, rsa_keys};

async fn last_reason(sim: &Sim) -> Json {
    let trail = sim.ask("login-audit").await;
    trail["logins"].as_array().unwrap().last().unwrap()["detail"].clone()
}

#[tokio::test]
async fn a_p256_certificate_gets_a_token_that_works_on_rest_and_restlets() {
    let sim = Sim::start().await;
    let jwt = assertion(&claims(&sim), Algorithm::ES256, "cert-1", &ec_keys().private_pem);
    let reply = sim.grant(&jwt).await;
    assert_eq!(reply.status(), StatusCode::OK);
    let body: Json = reply.json().await.unwrap();
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], 3600);
    let token = body["access_token"].as_str().unwrap();
    let rest = sim.http.get(sim.url("/services/rest/record/v1/customer")).bearer_auth(token).send().await.unwrap();
    assert_eq!(rest.status(), StatusCode::OK);
    let body = json!({ "query": "SELECT 1 AS one FROM dual" });
    let restlet = sim.http.post(sim.url(QUERY)).bearer_auth(token).json(&body).send().await.unwrap();
    assert_eq!(restlet.json::<Json>().await.unwrap(), json!({ "rows": [{ "one": 1 }] }));
}

#[tokio::test]
async fn an_rsa_certificate_works_with_pss_and_not_with_pkcs1() {
    let sim = Sim::with(|account| {
        let path = account.oauth2.as_ref().unwrap().public_key_path.clone();
        std::fs::write(path, &rsa_keys().public_pem).unwrap();
    })
    .await;
    let mut spoken = claims(&sim);
    spoken["scope"] = json!("rest_webservices,restlets");
    let good = assertion(&spoken, Algorithm::PS256, "cert-1", &rsa_keys().private_pem);
    assert_eq!(sim.grant(&good).await.status(), StatusCode::OK);
    let old = assertion(&spoken, Algorithm::RS256, "cert-1", &rsa_keys().private_pem);
    assert_eq!(sim.grant(&old).await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(last_reason(&sim).await, "UnknownAlgorithm");
}

#[tokio::test]
async fn every_bad_grant_looks_the_same_and_only_the_trail_knows_why() {
    let sim = Sim::start().await;
    let ours = &ec_keys().private_pem;
    let cases = [
        (json!({ "aud": "http://elsewhere/token" }), "cert-1", "InvalidAudience"),
        (json!({ "exp": now() + 3_700 }), "cert-1", "InvalidLifetime"),
        (json!({ "iat": now() - 400, "exp": now() - 100 }), "cert-1", "InvalidLifetime"),
        (json!({ "scope": ["everything"] }), "cert-1", "InvalidScope"),
        (json!({}), "cert-2", "CertificateUnknown"),
    ];
    for (changes, kid, reason) in cases {
        let mut spoken = claims(&sim);
        for (name, value) in changes.as_object().unwrap() {
            spoken[name] = value.clone();
        }
        let reply = sim.grant(&assertion(&spoken, Algorithm::ES256, kid, ours)).await;
        assert_eq!(reply.status(), StatusCode::BAD_REQUEST, "{reason}");
        assert_eq!(reply.json::<Json>().await.unwrap(), json!({ "error": "invalid_grant" }));
        assert_eq!(last_reason(&sim).await, reason);
    }
    let mut foreign = claims(&sim);
    foreign["iss"] = json!("nobody");
    let unknown = sim.grant(&assertion(&foreign, Algorithm::ES256, "cert-1", ours)).await;
    assert_eq!(unknown.json::<Json>().await.unwrap(), json!({ "error": "invalid_grant" }));
    assert_eq!(sim.grant("rubbish").await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_token_without_the_scope_is_forbidden() {
    let sim = Sim::start().await;
    let mut spoken = claims(&sim);
    spoken["scope"] = json!(["rest_webservices"]);
    let jwt = assertion(&spoken, Algorithm::ES256, "cert-1", &ec_keys().private_pem);
    let body: Json = sim.grant(&jwt).await.json().await.unwrap();
    let token = body["access_token"].as_str().unwrap();
    let reply = sim.http.post(sim.url(QUERY)).bearer_auth(token).json(&json!({})).send().await.unwrap();
    assert_eq!(reply.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_bad_bearer_token_is_refused_on_both_surfaces() {
    let sim = Sim::start().await;
    let rest = sim.http.get(sim.url("/services/rest/record/v1/customer")).bearer_auth("x.y").send().await.unwrap();
    assert_eq!(rest.status(), StatusCode::UNAUTHORIZED);
    assert!(rest.headers()["www-authenticate"].to_str().unwrap().contains("error=\"invalid_token\""));
    let restlet = sim.http.post(sim.url(QUERY)).bearer_auth("x.y").json(&json!({})).send().await.unwrap();
    assert_eq!(restlet.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_failed_tba_login_gives_no_reason_but_the_trail_does() {
    let sim = Sim::start().await;
    let url = sim.url("/services/rest/record/v1/customer");
    let header = Tba { token_secret: "wrong", ..Tba::default() }.header("GET", &url);
    let reply = sim.http.get(&url).header("authorization", header).send().await.unwrap();
    assert_eq!(reply.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        reply.headers()["www-authenticate"],
        "OAuth realm=\"TSTDRV100001\", error=\"token_rejected\", error_description=\"Invalid login attempt.\""
    );
    let body: Json = reply.json().await.unwrap();
    assert_eq!(body["type"], "https://www.rfc-editor.org/rfc/rfc9110.html#section-15.5.2");
    assert_eq!(body["title"], "Unauthorized");
    assert_eq!(body["o:errorDetails"][0]["o:errorCode"], "INVALID_LOGIN");
    assert_eq!(last_reason(&sim).await, "InvalidSignature");
    let url = sim.url(QUERY);
    let header = Tba { timestamp: now() - 400, ..Tba::default() }.header("POST", &url);
    let reply = sim.http.post(&url).header("authorization", header).json(&json!({})).send().await.unwrap();
    assert_eq!(reply.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        reply.text().await.unwrap(),
        r#"{"error" : {"code" : "INVALID_LOGIN_ATTEMPT", "message" : "Invalid login attempt."}}"#
    );
    assert_eq!(last_reason(&sim).await, "InvalidTimestamp");
}

#[tokio::test]
async fn a_signed_request_cannot_be_replayed() {
    let sim = Sim::start().await;
    let url = sim.url("/services/rest/record/v1/customer?limit=5&offset=0");
    let header = Tba::default().header("GET", &url);
    let first = sim.http.get(&url).header("authorization", &header).send().await.unwrap();
    assert_eq!(first.status(), StatusCode::OK);
    let second = sim.http.get(&url).header("authorization", &header).send().await.unwrap();
    assert_eq!(second.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(last_reason(&sim).await, "NonceUsed");
}

#[tokio::test]
async fn five_failures_of_a_known_token_lock_it() {
    let sim = Sim::start().await;
    let url = sim.url("/services/rest/record/v1/customer");
    for attempt in 0..6 {
        let stranger = Tba { token: "stranger", ..Tba::default() };
        let wrong = Tba { token_secret: "wrong", ..Tba::default() };
        let credentials = if attempt == 0 { stranger } else { wrong };
        let header = credentials.header("GET", &url);
        sim.http.get(&url).header("authorization", header).send().await.unwrap();
    }
    let reply = sim.tba(Method::GET, "/services/rest/record/v1/customer").send().await.unwrap();
    assert_eq!(reply.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(last_reason(&sim).await, "temporary_locked");
    // The other scheme's user is not locked.
    let token = sim.token().await;
    assert_eq!(sim.http.get(&url).bearer_auth(token).send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_realm_in_the_wrong_case_and_a_missing_header_fail() {
    let sim = Sim::start().await;
    let url = sim.url("/services/rest/record/v1/customer");
    let header = Tba { realm: "tstdrv100001".to_owned(), ..Tba::default() }.header("GET", &url);
    let reply = sim.http.get(&url).header("authorization", header).send().await.unwrap();
    assert_eq!(reply.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(sim.http.get(&url).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let malformed = sim.http.post(sim.url(QUERY)).header("authorization", "OAuth nonsense").send().await.unwrap();
    assert_eq!(malformed.status(), StatusCode::BAD_REQUEST);
    assert_eq!(malformed.json::<Json>().await.unwrap()["error"]["code"], "INVALID_REQUEST");
}

#[tokio::test]
async fn options_need_no_login() {
    let sim = Sim::start().await;
    let reply = sim.http.request(Method::OPTIONS, sim.url(SUITEQL)).send().await.unwrap();
    assert_eq!(reply.status(), StatusCode::NO_CONTENT);
}

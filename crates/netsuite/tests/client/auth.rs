//! Proving who we are.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use model::{Clock, ManualClock, Remote, RemoteError, Timestamp, WriteOutcome};
use netsuite::{Auth, ConfigError, NetsuiteConfig, NetsuiteRemote};
use serde_json::{Value, json};

use crate::account::{account, remote, remote_at, spec, tba, update, want};
use crate::mock::{Act, Mock, Seen, page, status, token, with_header};

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
}

/// A private key as PEM, the public key, and the algorithm that must be chosen.
fn rsa() -> (String, DecodingKey, Algorithm) {
    let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let private: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
    (pem(private.as_ref()), DecodingKey::from_rsa_der(pair.public_key().as_ref()), Algorithm::PS256)
}

fn ec(curve: &'static signature::EcdsaSigningAlgorithm, algorithm: Algorithm) -> (String, DecodingKey, Algorithm) {
    let private = EcdsaKeyPair::generate_pkcs8(curve, &SystemRandom::new()).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(curve, private.as_ref()).unwrap();
    (pem(private.as_ref()), DecodingKey::from_ec_der(pair.public_key().as_ref()), algorithm)
}

fn p256() -> (String, DecodingKey, Algorithm) {
    ec(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, Algorithm::ES256)
}

fn oauth2(base: &str, private_key_pem: &str) -> NetsuiteConfig {
    let mut config = tba(base);
    config.auth = Auth::Oauth2 {
        client_id: "client".into(),
        certificate_id: "certificate".into(),
        private_key_pem: private_key_pem.to_owned().into(),
    };
    config
}

const CLOCK: &str = "SELECT";

/// NetSuite's clock as the answer to any query.
fn clock_page() -> Act {
    page(&[json!({ "concord_now": "2026-11-20T10:00:00Z" })])
}

fn manual() -> Arc<ManualClock> {
    Arc::new(ManualClock::at("2026-11-20T10:00:00Z".parse::<Timestamp>().unwrap()))
}

fn pass(clock: &ManualClock, seconds: i64) {
    clock.advance_micros(seconds * 1_000_000);
}

async fn ask(remote: &NetsuiteRemote) -> Result<Timestamp, RemoteError> {
    remote.now(&account()).await
}

fn refused_as(code: &str) -> Result<Timestamp, RemoteError> {
    Err(RemoteError::Forbidden { side: model::Side::Netsuite, code: code.to_owned() })
}

fn login_refused() -> Act {
    status(
        401,
        &json!({ "title": "Unauthorized", "status": 401,
        "o:errorDetails": [{ "detail": "Invalid login attempt.", "o:errorCode": "INVALID_LOGIN" }] }),
    )
}

fn is_token(seen: &Seen) -> bool {
    seen.path() == "/token"
}

#[tokio::test]
async fn an_assertion_is_signed_by_the_scheme_of_the_key_and_says_what_netsuite_asks_for() {
    let p384 = ec(&signature::ECDSA_P384_SHA384_FIXED_SIGNING, Algorithm::ES384);
    for (private, public, algorithm) in [rsa(), p256(), p384] {
        let mock = Mock::start(|seen, _| if is_token(seen) { token(1, &json!(3600)) } else { clock_page() }).await;
        let clock = manual();
        let remote = remote_at(&oauth2(&mock.base, &private), Arc::clone(&clock) as Arc<dyn Clock>);
        ask(&remote).await.unwrap();

        let request = &mock.requests("/token")[0];
        assert_eq!(request.header("content-type"), "application/x-www-form-urlencoded");
        assert_eq!(request.header("authorization"), "");
        assert_eq!(request.form("grant_type"), "client_credentials");
        assert_eq!(request.form("client_assertion_type"), "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        let mut validation = Validation::new(algorithm);
        validation.validate_exp = false;
        validation.set_audience(&[format!("{}/token", mock.base)]);
        let assertion = request.form("client_assertion");
        let checked = jsonwebtoken::decode::<Value>(&assertion, &public, &validation).unwrap();
        assert_eq!(checked.header.kid.as_deref(), Some("certificate"));
        assert_eq!(checked.header.typ.as_deref(), Some("JWT"));
        assert_eq!(checked.claims["iss"], "client");
        assert_eq!(checked.claims["scope"], json!(["restlets", "rest_webservices"]));
        let at = |claim: &str| checked.claims[claim].as_i64().unwrap();
        let now = clock.now().as_second();
        assert!(at("iat") <= now && now < at("exp") && at("exp") - at("iat") <= 3600);
        assert_eq!(mock.requests("suiteql")[0].header("authorization"), "Bearer token-1");
    }
}

#[tokio::test]
async fn a_token_is_kept_for_four_fifths_of_its_life_said_as_number_or_text() {
    for expires_in in [json!(1000), json!("1000")] {
        let mock = Mock::start(move |seen, n| if is_token(seen) { token(n, &expires_in) } else { clock_page() }).await;
        let clock = manual();
        let remote = remote_at(&oauth2(&mock.base, &p256().0), Arc::clone(&clock) as Arc<dyn Clock>);
        for (seconds, fetched) in [(0, 1), (799, 1), (1, 2), (799, 2)] {
            pass(&clock, seconds);
            ask(&remote).await.unwrap();
            assert_eq!(mock.requests("/token").len(), fetched);
        }
    }
}

#[tokio::test]
async fn many_callers_without_a_token_fetch_one() {
    let mock = Mock::start(|seen, n| if is_token(seen) { token(n, &json!(3600)) } else { clock_page() }).await;
    let mut config = oauth2(&mock.base, &p256().0);
    config.concurrency_limit = 40;
    let remote = remote(&config);
    let asked = futures::future::join_all((0..20).map(|_| ask(&remote))).await;
    assert!(asked.iter().all(Result::is_ok));
    assert_eq!(mock.requests("/token").len(), 1);
    assert_eq!(mock.requests("suiteql").len(), 20);
}

#[tokio::test]
async fn when_a_renewal_fails_the_old_token_is_used_as_long_as_it_lives() {
    let mock = Mock::start(|seen, n| match (is_token(seen), n) {
        (true, 0) => token(0, &json!(1000)),
        (true, _) => status(503, &json!({})),
        (false, _) => clock_page(),
    })
    .await;
    let clock = manual();
    let remote = remote_at(&oauth2(&mock.base, &p256().0), Arc::clone(&clock) as Arc<dyn Clock>);
    ask(&remote).await.unwrap();
    pass(&clock, 900);
    ask(&remote).await.unwrap();
    ask(&remote).await.unwrap();
    assert_eq!(mock.requests("/token").len(), 2, "the second failure is not asked for at once");
    pass(&clock, 101);
    assert!(matches!(ask(&remote).await, Err(RemoteError::Unavailable { code, .. }) if code == "http_503"));
}

#[tokio::test]
async fn a_401_after_success_forgets_the_token_and_tries_once_more() {
    let mock = Mock::start(|seen, n| match seen.path() {
        "/token" => token(n, &json!(3600)),
        _ if seen.header("authorization") == "Bearer token-0" && n > 0 => login_refused(),
        _ => clock_page(),
    })
    .await;
    let remote = remote(&oauth2(&mock.base, &p256().0));
    ask(&remote).await.unwrap();
    ask(&remote).await.unwrap();
    assert_eq!(mock.requests("/token").len(), 2);
    assert_eq!(mock.requests("suiteql").len(), 3);
}

#[tokio::test]
async fn a_login_that_stays_refused_is_tried_twice_then_nothing_is_sent_until_the_pause_is_over() {
    let mock = Mock::start(|seen, n| match seen.path() {
        "/token" => token(n, &json!(3600)),
        _ if n == 0 => clock_page(),
        _ => login_refused(),
    })
    .await;
    let clock = manual();
    let remote = remote_at(&oauth2(&mock.base, &p256().0), Arc::clone(&clock) as Arc<dyn Clock>);
    ask(&remote).await.unwrap();
    assert_eq!(ask(&remote).await, refused_as("INVALID_LOGIN"));
    assert_eq!(mock.requests("suiteql").len(), 3);
    for _ in 0..5 {
        assert_eq!(ask(&remote).await, refused_as("login_held"));
    }
    assert_eq!(mock.requests("suiteql").len(), 3);
    pass(&clock, 5);
    assert_eq!(ask(&remote).await, refused_as("INVALID_LOGIN"));
    assert_eq!(mock.requests("suiteql").len(), 4, "without a success in between there is no second try");
    pass(&clock, 29);
    assert_eq!(ask(&remote).await, refused_as("login_held"), "the second pause is longer");
}

#[tokio::test]
async fn a_user_under_tba_is_never_tried_five_times_in_half_an_hour() {
    let mock = Mock::start(|_, n| if n == 0 { clock_page() } else { login_refused() }).await;
    let clock = manual();
    let remote = remote_at(&tba(&mock.base), Arc::clone(&clock) as Arc<dyn Clock>);
    ask(&remote).await.unwrap();
    let mut failures: Vec<i64> = Vec::new();
    for second in 0..7200 {
        let before = mock.requests("suiteql").len();
        assert!(ask(&remote).await.is_err());
        failures.extend(std::iter::repeat_n(second, mock.requests("suiteql").len() - before));
        pass(&clock, 1);
    }
    assert!(failures.len() > 5, "{failures:?}");
    for window in failures.windows(5) {
        assert!(window[4] - window[0] >= 1800, "{failures:?}");
    }
}

#[tokio::test]
async fn a_first_login_that_is_refused_is_not_repeated() {
    let mock = Mock::start(|_, _| login_refused()).await;
    let remote = remote(&tba(&mock.base));
    assert_eq!(ask(&remote).await, refused_as("INVALID_LOGIN"));
    assert_eq!(mock.requests("suiteql").len(), 1);
}

#[tokio::test]
async fn a_bad_grant_is_a_refusal_and_nothing_else_is_sent() {
    let mock =
        Mock::start(
            |seen, _| {
                if is_token(seen) { status(400, &json!({ "error": "invalid_grant" })) } else { clock_page() }
            },
        )
        .await;
    let remote = remote(&oauth2(&mock.base, &p256().0));
    let changes = [("email".to_owned(), model::Value::Null)].into();
    let outcomes = remote.write(&account(), &spec("customer"), &[update(1, changes, model::Fields::new())]).await;
    assert_eq!(outcomes, [WriteOutcome::Refused { code: "invalid_grant".into() }]);
    assert_eq!(ask(&remote).await, refused_as("login_held"));
    assert_eq!(mock.requests("/token").len(), 1);
    assert_eq!(mock.requests("restlet.nl").len() + mock.requests("suiteql").len(), 0);
}

#[tokio::test]
async fn under_tba_every_attempt_has_a_signature_of_its_own() {
    let mock = Mock::start(|_, n| if n == 1 { login_refused() } else { clock_page() }).await;
    let mut config = tba(&mock.base);
    if let Auth::Tba { realm, .. } = &mut config.auth {
        *realm = "tstdrv100001-sb1".to_owned();
    }
    let remote = remote(&config);
    ask(&remote).await.unwrap();
    ask(&remote).await.unwrap();
    let headers: Vec<String> =
        mock.requests("suiteql").iter().map(|seen| seen.header("authorization").to_owned()).collect();
    assert_eq!(headers.len(), 3);
    let nonce = |header: &String| header.split("oauth_nonce=\"").nth(1).unwrap()[..32].to_owned();
    let nonces: std::collections::BTreeSet<String> = headers.iter().map(nonce).collect();
    assert_eq!(nonces.len(), 3);
    assert!(headers.iter().all(|header| header.starts_with("OAuth realm=\"TSTDRV100001_SB1\", ")));
}

#[tokio::test]
async fn credentials_are_not_carried_along_a_redirect() {
    let elsewhere = Mock::start(|_, _| clock_page()).await;
    let target = elsewhere.base.clone();
    let mock = Mock::start(move |_, _| with_header(302, "location", &target, &json!({}))).await;
    let remote = remote(&tba(&mock.base));
    assert_eq!(ask(&remote).await, refused_as("wrong_data_centre"));
    let changes = [("email".to_owned(), model::Value::Null)].into();
    let outcomes = remote.write(&account(), &spec("customer"), &[update(1, changes, model::Fields::new())]).await;
    assert_eq!(outcomes, [WriteOutcome::Refused { code: "wrong_data_centre".into() }]);
    assert_eq!(elsewhere.requests("").len(), 0);
}

#[tokio::test]
async fn every_query_has_the_headers_netsuite_insists_on() {
    let mock = Mock::start(|_, _| clock_page()).await;
    let mut config = tba(&mock.base);
    config.accept_language = Some("de-DE".into());
    ask(&remote(&config)).await.unwrap();
    let seen = &mock.requests("suiteql")[0];
    assert_eq!(seen.header("prefer"), "transient");
    assert_eq!(seen.header("content-type"), "application/json");
    assert_eq!(seen.header("accept-language"), "de-DE");
    assert!(seen.statement().starts_with(CLOCK));
}

#[test]
fn settings_that_cannot_work_stop_the_start_with_one_sentence() {
    let open = |config: NetsuiteConfig| {
        let clock: Arc<dyn Clock> = manual();
        NetsuiteRemote::open(&[config], clock, Arc::new(model::SeededIds::new(1))).err().unwrap()
    };
    let base = "http://127.0.0.1:1";
    for bad in ["", "no pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
        let error = open(oauth2(base, bad));
        assert!(matches!(&error, ConfigError::Key { .. }), "{error}");
        assert!(error.to_string().contains("TSTDRV100001") && !error.to_string().contains("AAAA"), "{error}");
    }
    let stamp = "stamp_field = \"custentity_concord_stamp\"";
    let by_patch = model::spec::World::SAMPLE.replacen(stamp, "notes = { record_type_id = -2 }", 1);
    let by_patch = model::spec::World::parse(&by_patch).unwrap();
    let error = remote(&tba(base)).serving(&by_patch).err().unwrap().to_string();
    assert!(
        error.contains("TSTDRV100001") && error.contains("integration_user") && error.contains("customer"),
        "{error}"
    );
    assert!(remote(&NetsuiteConfig { integration_user: Some(4), ..tba(base) }).serving(&by_patch).is_ok());
    assert!(matches!(open(NetsuiteConfig { concurrency_limit: 0, ..tba(base) }), ConfigError::Zero { .. }));
    assert!(matches!(open(NetsuiteConfig { timeout: Duration::ZERO, ..tba(base) }), ConfigError::Zero { .. }));
    assert!(matches!(
        open(NetsuiteConfig { token_url: "x".into(), ..oauth2(base, &p256().0) }),
        ConfigError::Url { .. }
    ));
    let language = Some("de\n".to_owned());
    assert!(matches!(open(NetsuiteConfig { accept_language: language, ..tba(base) }), ConfigError::Header { .. }));
}

#[tokio::test]
async fn an_account_that_is_not_configured_is_refused() {
    let remote = remote(&tba("http://127.0.0.1:1"));
    let other = model::AccountId::parse("OTHER").unwrap();
    let read = remote.read(&other, &spec("customer"), &[want(1, Some(1))]).await;
    assert!(matches!(&read[0], Err(RemoteError::Forbidden { code, .. }) if code == "unknown_account"));
}

//! Signed calls, written from the fact sheet and not from the simulator's own code.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value as Json, json};
use sha2::Sha256;

use crate::harness::{ACCOUNT, Sim, ec_keys};

pub(crate) const TOKEN_PATH: &str = "/services/rest/auth/oauth2/v1/token";
pub(crate) const SUITEQL: &str = "/services/rest/query/v1/suiteql";
pub(crate) const QUERY: &str =
    "/app/site/hosting/restlet.nl?script=customscript_concord_query&deploy=customdeploy_concord_query";
pub(crate) const WRITE: &str =
    "/app/site/hosting/restlet.nl?script=customscript_concord_write&deploy=customdeploy_concord_write";

/// Seconds since 1970.
#[allow(clippy::disallowed_methods, reason = "clients of the simulator run on the machine's clock")]
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The claims of a good assertion.
pub(crate) fn claims(sim: &Sim) -> Json {
    json!({
        "iss": "client-1",
        "scope": ["rest_webservices", "restlets"],
        "aud": sim.url(TOKEN_PATH),
        "iat": now(),
        "exp": now() + 300,
    })
}

/// A signed assertion.
pub(crate) fn assertion(claims: &Json, algorithm: Algorithm, kid: &str, private_pem: &str) -> String {
    let key = match algorithm {
        Algorithm::ES256 => EncodingKey::from_ec_pem(private_pem.as_bytes()).unwrap(),
        _ => EncodingKey::from_rsa_pem(private_pem.as_bytes()).unwrap(),
    };
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(algorithm) };
    jsonwebtoken::encode(&header, claims, &key).unwrap()
}

impl Sim {
    /// Asks for an access token.
    pub(crate) async fn grant(&self, jwt: &str) -> Response {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", jwt),
        ];
        self.http.post(self.url(TOKEN_PATH)).form(&form).send().await.unwrap()
    }

    /// An access token of the usual integration.
    pub(crate) async fn token(&self) -> String {
        let jwt = assertion(&claims(self), Algorithm::ES256, "cert-1", &ec_keys().private_pem);
        let reply: Json = self.grant(&jwt).await.json().await.unwrap();
        reply["access_token"].as_str().unwrap().to_owned()
    }

    /// A call signed with the usual token.
    pub(crate) fn tba(&self, method: Method, path: &str) -> RequestBuilder {
        let url = self.url(path);
        let header = Tba::default().header(method.as_str(), &url);
        self.http.request(method, url).header("authorization", header)
    }

    /// Runs SuiteQL over REST.
    pub(crate) async fn suiteql(&self, sql: &str) -> Response {
        self.suiteql_page(sql, "").await
    }

    /// Runs SuiteQL over REST with URL parameters (`?limit=…`).
    pub(crate) async fn suiteql_page(&self, sql: &str, paging: &str) -> Response {
        self.tba(Method::POST, &format!("{SUITEQL}{paging}"))
            .header("prefer", "transient")
            .json(&json!({ "q": sql }))
            .send()
            .await
            .unwrap()
    }

    /// The items of a query that succeeds, without their links.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<Json> {
        let reply = self.suiteql(sql).await;
        let status = reply.status();
        let body: Json = reply.json().await.unwrap();
        assert!(status.is_success(), "{sql}: {body}");
        let items = body["items"].as_array().unwrap().clone();
        items
            .into_iter()
            .map(|mut item| {
                assert_eq!(item.as_object_mut().unwrap().remove("links"), Some(json!([])));
                item
            })
            .collect()
    }

    /// The detail of a query that is refused.
    pub(crate) async fn complaint(&self, sql: &str) -> String {
        let reply = self.suiteql(sql).await;
        let status = reply.status();
        let body: Json = reply.json().await.unwrap();
        assert_eq!(status, 400, "{sql}: {body}");
        assert_eq!(body["o:errorDetails"][0]["o:errorCode"], "INVALID_PARAMETER");
        assert_eq!(body["o:errorDetails"][0]["o:errorQueryParam"], "q");
        let detail = body["o:errorDetails"][0]["detail"].as_str().unwrap().to_owned();
        detail.strip_prefix("Invalid search query. Detailed unprocessed description follows. ").unwrap().to_owned()
    }

    /// Runs SuiteQL through the query RESTlet.
    pub(crate) async fn query(&self, body: Json) -> Response {
        self.tba(Method::POST, QUERY).json(&body).send().await.unwrap()
    }

    /// Sends guarded writes.
    pub(crate) async fn write(&self, writes: Json) -> Json {
        let reply = self.tba(Method::POST, WRITE).json(&json!({ "writes": writes })).send().await.unwrap();
        let status = reply.status();
        let body: Json = reply.json().await.unwrap();
        assert!(status.is_success(), "{body}");
        body
    }

    /// Sends one guarded write and returns its result.
    pub(crate) async fn write_one(&self, write: Json) -> Json {
        self.write(json!([write])).await["results"][0].clone()
    }
}

/// Token based credentials, good unless changed.
pub(crate) struct Tba {
    pub(crate) realm: String,
    pub(crate) consumer_key: &'static str,
    pub(crate) token: &'static str,
    pub(crate) token_secret: &'static str,
    pub(crate) nonce: String,
    pub(crate) timestamp: u64,
    pub(crate) method: &'static str,
}

impl Default for Tba {
    fn default() -> Self {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        Self {
            realm: ACCOUNT.to_owned(),
            consumer_key: "ck",
            token: "tk",
            token_secret: "ts",
            nonce: format!("nonce{:012}", SERIAL.fetch_add(1, Ordering::Relaxed)),
            timestamp: now(),
            method: "HMAC-SHA256",
        }
    }
}

impl Tba {
    /// The Authorization header for a request.
    pub(crate) fn header(&self, method: &str, url: &str) -> String {
        const RFC3986: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
        let encode = |text: &str| utf8_percent_encode(text, &RFC3986).to_string();
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let oauth = [
            ("oauth_consumer_key", self.consumer_key.to_owned()),
            ("oauth_token", self.token.to_owned()),
            ("oauth_nonce", self.nonce.clone()),
            ("oauth_timestamp", self.timestamp.to_string()),
            ("oauth_signature_method", self.method.to_owned()),
            ("oauth_version", "1.0".to_owned()),
        ];
        let mut params: Vec<(String, String)> =
            oauth.iter().map(|(name, value)| ((*name).to_owned(), encode(value))).collect();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap();
            params.push((name.to_owned(), value.to_owned()));
        }
        params.sort();
        let list: Vec<String> = params.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let text = format!("{method}&{}&{}", encode(base), encode(&list.join("&")));
        let mut mac = Hmac::<Sha256>::new_from_slice(format!("cs&{}", self.token_secret).as_bytes()).unwrap();
        mac.update(text.as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        let shown: Vec<String> = oauth.iter().map(|(name, value)| format!("{name}=\"{}\"", encode(value))).collect();
        format!("OAuth realm=\"{}\", {}, oauth_signature=\"{}\"", self.realm, shown.join(", "), encode(&signature))
    }
}

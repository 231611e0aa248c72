//! OAuth 2.0 client credentials with a signed assertion (fact sheet §2.5).

use std::time::Duration;

use http::HeaderValue;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use model::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use url::Url;

use crate::connection::{CallError, Lost, exchange};
use crate::errors::{Surface, refusal};

/// How long an assertion is good for; NetSuite takes at most 60 minutes.
const ASSERTION_LIFE: Duration = Duration::from_secs(5 * 60);
/// An assertion is dated back by this much, for clocks that differ.
const ASSERTION_BACKDATE: Duration = Duration::from_secs(30);
/// A token is renewed when this share of its life has passed.
const RENEW_AT_PERCENT: i64 = 80;
/// When a renewal fails while the old token still works: the next attempt comes after this long.
const RENEW_PAUSE: Duration = Duration::from_secs(10);
/// Longest life that is believed, in seconds.
const LONGEST_LIFE: i64 = 24 * 60 * 60;
/// Longest wait for the token endpoint.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(20);
const SCOPES: [&str; 2] = ["restlets", "rest_webservices"];
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// One M2M mapping: integration, role, user and certificate.
pub(crate) struct Oauth2 {
    token_url: Url,
    client_id: String,
    certificate_id: String,
    key: EncodingKey,
    algorithm: Algorithm,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    token: Option<Token>,
    fetched: u64,
}

struct Token {
    header: HeaderValue,
    /// Which fetch brought it, so that a late 401 forgets only the token it was about.
    number: u64,
    renew_at: Timestamp,
    expires_at: Timestamp,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    /// Oracle's sample and clients in use send a list, whatever the prose says.
    scope: [&'static str; 2],
    aud: &'a str,
    iat: i64,
    exp: i64,
}

#[derive(Serialize)]
struct Form<'a> {
    grant_type: &'static str,
    client_assertion_type: &'static str,
    client_assertion: &'a str,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    #[serde(deserialize_with = "seconds")]
    expires_in: i64,
}

impl Oauth2 {
    /// A mapping whose key can sign; `None` where it cannot.
    pub(crate) fn new(
        token_url: Url,
        client_id: &str,
        certificate_id: &str,
        private_key_pem: &SecretString,
    ) -> Option<Self> {
        let (key, algorithm) = signing_key(private_key_pem.expose_secret().as_bytes())?;
        Some(Self {
            token_url,
            client_id: client_id.to_owned(),
            certificate_id: certificate_id.to_owned(),
            key,
            algorithm,
            cache: Mutex::default(),
        })
    }

    /// A token that works, and its number. One caller fetches, the others wait for it.
    pub(crate) async fn token(&self, http: &reqwest::Client, now: Timestamp) -> Result<(HeaderValue, u64), CallError> {
        let mut cache = self.cache.lock().await;
        if let Some(token) = cache.token.as_ref().filter(|token| now < token.renew_at) {
            return Ok((token.header.clone(), token.number));
        }
        match self.fetch(http, now).await {
            Ok(granted) => {
                cache.fetched += 1;
                let token = granted.into_token(now, cache.fetched)?;
                let answer = (token.header.clone(), token.number);
                cache.token = Some(token);
                Ok(answer)
            }
            Err(error) => match cache.token.as_mut().filter(|token| now < token.expires_at && !error.is_login()) {
                Some(token) => {
                    tracing::warn!(code = error.code(), "the token could not be renewed; the present one still works");
                    token.renew_at = now.saturating_add(RENEW_PAUSE).unwrap_or(token.expires_at);
                    Ok((token.header.clone(), token.number))
                }
                None => Err(error),
            },
        }
    }

    /// Forgets a token that was refused, unless it has been replaced already.
    pub(crate) async fn forget(&self, number: u64) {
        let mut cache = self.cache.lock().await;
        if cache.token.as_ref().is_some_and(|token| token.number == number) {
            cache.token = None;
        }
    }

    async fn fetch(&self, http: &reqwest::Client, now: Timestamp) -> Result<Granted, CallError> {
        let assertion = self.assertion(now)?;
        let form = Form {
            grant_type: "client_credentials",
            client_assertion_type: ASSERTION_TYPE,
            client_assertion: &assertion,
        };
        let request = http.post(self.token_url.clone()).timeout(TOKEN_TIMEOUT).form(&form);
        // Nothing but a token was asked for, so "lost" is as good as "not sent" to whoever waits for it.
        let reply = exchange(request).await.map_err(|lost| CallError::NotSent { code: lost.code() })?;
        if !reply.status.is_success() {
            return Err(CallError::Refused(refusal(Surface::Token, reply.status, reply.retry_after, &reply.body)));
        }
        serde_json::from_slice(&reply.body).map_err(|_| CallError::NotSent { code: "token_unreadable" })
    }

    fn assertion(&self, now: Timestamp) -> Result<String, CallError> {
        let iat = now.as_second() - seconds_of(ASSERTION_BACKDATE);
        let claims = Claims {
            iss: &self.client_id,
            scope: SCOPES,
            aud: self.token_url.as_str(),
            iat,
            exp: iat + seconds_of(ASSERTION_LIFE),
        };
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.certificate_id.clone());
        jsonwebtoken::encode(&header, &claims, &self.key)
            .map_err(|_| CallError::NotSent { code: "assertion_not_signed" })
    }
}

impl Granted {
    fn into_token(self, now: Timestamp, number: u64) -> Result<Token, CallError> {
        let unusable = || CallError::NotSent { code: "token_unreadable" };
        let mut header = HeaderValue::try_from(format!("Bearer {}", self.access_token)).map_err(|_| unusable())?;
        header.set_sensitive(true);
        let life = self.expires_in.clamp(1, LONGEST_LIFE);
        let after = |seconds: i64| now.checked_add(jiff::SignedDuration::from_secs(seconds)).map_err(|_| unusable());
        Ok(Token { header, number, renew_at: after(life * RENEW_AT_PERCENT / 100)?, expires_at: after(life)? })
    }
}

impl Lost {
    /// A bounded word for the token endpoint.
    fn code(self) -> &'static str {
        match self {
            Self::NotConnected => "token_connect",
            Self::Timeout => "token_timeout",
            Self::Broken | Self::TooLarge => "token_reset",
        }
    }
}

/// The key and the algorithm that fits it, proven by a signature: a key that cannot sign must stop the start.
fn signing_key(pem: &[u8]) -> Option<(EncodingKey, Algorithm)> {
    let candidates = [
        (EncodingKey::from_rsa_pem(pem), Algorithm::PS256),
        (EncodingKey::from_ec_pem(pem), Algorithm::ES256),
        (EncodingKey::from_ec_pem(pem), Algorithm::ES384),
    ];
    candidates.into_iter().find_map(|(key, algorithm)| {
        let key = key.ok()?;
        jsonwebtoken::encode(&Header::new(algorithm), &(), &key).ok()?;
        Some((key, algorithm))
    })
}

fn seconds_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// `expires_in` has been seen as a number and as text.
fn seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(i64),
        Text(String),
    }
    match Either::deserialize(deserializer)? {
        Either::Number(number) => Ok(number),
        Either::Text(text) => text.trim().parse().map_err(serde::de::Error::custom),
    }
}

//! Who sent this? Standard Webhooks, with the clock as a parameter and several secrets while one is being replaced.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chassis::accounts::AccountSettings;
use chassis::settings::SettingError;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use model::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// How far a request's timestamp may lie from our clock, before or after, in seconds.
pub const TOLERANCE_SECONDS: i64 = 5 * 60;
/// Fewest bytes of a secret; shorter ones can be guessed.
pub const MIN_SECRET_BYTES: usize = 16;
/// Longest `webhook-id`, in bytes.
pub const MAX_ID_BYTES: usize = 256;
/// Most signatures read from one request; each costs a comparison with every secret.
const MAX_SIGNATURES: usize = 16;

const PREFIX: &str = "whsec_";
const VERSION: &str = "v1,";

/// One signing secret.
#[derive(Clone)]
pub struct SigningKey(Hmac<Sha256>);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey")
    }
}

impl SigningKey {
    /// Reads a secret: base64, with or without the prefix `whsec_`. `None` when it is neither, or too short.
    pub fn parse(secret: &str) -> Option<Self> {
        let bytes = STANDARD.decode(secret.strip_prefix(PREFIX).unwrap_or(secret)).ok()?;
        if bytes.len() < MIN_SECRET_BYTES {
            return None;
        }
        Some(Self(Hmac::new_from_slice(&bytes).ok()?))
    }

    /// A key that nobody holds, for accounts that do not exist: their requests take the same time to refuse.
    pub fn nobody() -> Self {
        Self(Hmac::new(&Default::default()))
    }

    /// `v1,…` over id, timestamp and body: what a sender puts into `webhook-signature`.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        format!("{VERSION}{}", STANDARD.encode(self.digest(id, &timestamp.to_string(), body).finalize().into_bytes()))
    }

    fn digest(&self, id: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        mac
    }
}

/// The keys an account may sign with.
///
/// # Errors
/// A secret that is none, named by its account.
pub(crate) fn read_keys(account: &AccountSettings) -> Result<Vec<SigningKey>, SettingError> {
    let name = format!("CONCORD_ACCOUNTS account {} ingest.signing_secrets", account.id);
    let key = |secret: &SecretString| {
        SigningKey::parse(secret.expose_secret()).ok_or_else(|| {
            let accepted = "whsec_ followed by 16 bytes or more in base64";
            SettingError::wrong_secret(&name, secret.expose_secret(), accepted)
        })
    };
    account.ingest_secrets.iter().map(key).collect()
}

/// Why a request is not believed. For the log alone: the answer is the same whatever it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Distrust {
    /// A header is missing or unreadable.
    #[error("a signature header is missing or unreadable")]
    Headers,
    /// The timestamp is too far from our clock.
    #[error("the timestamp is more than five minutes away")]
    Stale,
    /// No signature matches any secret.
    #[error("no signature matches")]
    Signature,
}

/// Checks a request against the account's keys and returns its `webhook-id`.
///
/// # Errors
/// [`Distrust`], which must not show in the answer.
pub(crate) fn verify<'h>(
    keys: &[SigningKey],
    headers: &'h HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<&'h str, Distrust> {
    let id = header(headers, "webhook-id")?;
    let timestamp = header(headers, "webhook-timestamp")?;
    let signatures = header(headers, "webhook-signature")?;
    if id.is_empty() || id.len() > MAX_ID_BYTES {
        return Err(Distrust::Headers);
    }
    // Signed is the text, compared is the number: both must be the same thing, so no "+1" and no " 1".
    if timestamp.is_empty() || !timestamp.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Distrust::Headers);
    }
    let seconds: i64 = timestamp.parse().map_err(|_| Distrust::Headers)?;
    let signed = signatures.split(' ').filter_map(|one| one.strip_prefix(VERSION)).take(MAX_SIGNATURES);
    let claimed: Vec<Vec<u8>> = signed.filter_map(|text| STANDARD.decode(text).ok()).collect();
    let mut believed = false;
    for key in keys {
        let digest = key.digest(id, timestamp, body);
        for signature in &claimed {
            believed |= digest.clone().verify_slice(signature).is_ok();
        }
    }
    match (believed, (now.as_second() - seconds).abs() <= TOLERANCE_SECONDS) {
        (true, true) => Ok(id),
        (true, false) => Err(Distrust::Stale),
        (false, _) => Err(Distrust::Signature),
    }
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Result<&'h str, Distrust> {
    headers.get(name).and_then(|value| value.to_str().ok()).ok_or(Distrust::Headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const OTHER: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const AT: i64 = 1_649_367_553;

    fn key(secret: &str) -> SigningKey {
        SigningKey::parse(secret).unwrap()
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn signed(timestamp: &str, signature: &str) -> HeaderMap {
        headers(&[("webhook-id", "msg_1"), ("webhook-timestamp", timestamp), ("webhook-signature", signature)])
    }

    fn now(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn signatures_are_those_of_the_reference_implementation() {
        let body = br#"{"email":"test@example.com","username":"test_user"}"#;
        let ours = key(SECRET).sign("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", AT, body);
        assert_eq!(ours, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
        let theirs = standardwebhooks::Webhook::new(SECRET).unwrap().sign("msg_1", AT, body).unwrap();
        assert_eq!(verify(&[key(SECRET)], &signed(&AT.to_string(), &theirs), body, now(AT)), Ok("msg_1"));
    }

    #[test]
    fn either_secret_is_good_while_one_is_being_replaced() {
        let keys = [key(OTHER), key(SECRET)];
        for secret in [SECRET, OTHER] {
            let good = signed(&AT.to_string(), &key(secret).sign("msg_1", AT, b"{}"));
            assert_eq!(verify(&keys, &good, b"{}", now(AT)), Ok("msg_1"));
        }
        let several = format!("v1a,AAAA v1,nonsense! v1,AAAA {}", key(SECRET).sign("msg_1", AT, b"{}"));
        assert_eq!(verify(&keys, &signed(&AT.to_string(), &several), b"{}", now(AT)), Ok("msg_1"));
    }

    #[test]
    fn five_minutes_either_way_are_accepted_and_no_second_more() {
        let keys = [key(SECRET)];
        let good = signed(&AT.to_string(), &keys[0].sign("msg_1", AT, b"{}"));
        for (offset, expected) in
            [(-301, Err(Distrust::Stale)), (-300, Ok("msg_1")), (300, Ok("msg_1")), (301, Err(Distrust::Stale))]
        {
            assert_eq!(verify(&keys, &good, b"{}", now(AT + offset)), expected, "{offset} s");
        }
    }

    #[test]
    fn whatever_is_tampered_with_is_noticed() {
        let keys = [key(SECRET)];
        let signature = keys[0].sign("msg_1", AT, b"{}");
        let at = AT.to_string();
        let later = (AT + 1).to_string();
        let cut = &signature[..signature.len() - 4];
        for (spoiled, body) in [
            (signed(&at, &signature), &b"{ }"[..]),
            (signed(&later, &signature), b"{}"),
            (headers(&[("webhook-id", "msg_2"), ("webhook-timestamp", &at), ("webhook-signature", &signature)]), b"{}"),
            (signed(&at, cut), b"{}"),
            (signed(&at, &signature.replace("v1,", "v2,")), b"{}"),
            (signed(&at, &key(OTHER).sign("msg_1", AT, b"{}")), b"{}"),
            (signed(&at, ""), b"{}"),
        ] {
            assert_eq!(verify(&keys, &spoiled, body, now(AT)), Err(Distrust::Signature), "{spoiled:?}");
        }
        for spoiled in [
            HeaderMap::new(),
            signed("", &signature),
            signed("x", &signature),
            signed(&format!("+{at}"), &signature),
            signed("99999999999999999999", &signature),
            headers(&[("webhook-id", ""), ("webhook-timestamp", &at), ("webhook-signature", &signature)]),
            headers(&[("webhook-id", "msg_1"), ("webhook-timestamp", &at)]),
        ] {
            assert_eq!(verify(&keys, &spoiled, b"{}", now(AT)), Err(Distrust::Headers), "{spoiled:?}");
        }
        let good = signed(&at, &signature);
        assert_eq!(verify(&[], &good, b"{}", now(AT)), Err(Distrust::Signature));
        assert_eq!(verify(&[SigningKey::nobody()], &good, b"{}", now(AT)), Err(Distrust::Signature));
    }

    #[test]
    fn secrets_are_base64_of_sixteen_bytes_or_more() {
        assert!(SigningKey::parse("C2FVsBQIhrscChlQIMV+b5sSYspob7oD").is_some(), "the prefix may be missing");
        for bad in ["", "whsec_", "whsec_not base64", "whsec_AAAAAAAAAAA="] {
            assert!(SigningKey::parse(bad).is_none(), "{bad}");
        }
    }
}

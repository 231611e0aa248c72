//! Token based authentication: OAuth 1.0a with HMAC-SHA256.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::Sha256;

use super::audit::Reason;
use crate::config::TbaConfig;

/// Everything but RFC 3986's unreserved characters.
const ENCODED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const TOLERANCE_SECONDS: i64 = 300;
/// A pair of nonce and time stamp cannot come back within the tolerance once it is this old.
const NONCE_MEMORY_SECONDS: i64 = 2 * TOLERANCE_SECONDS + 60;
const MIN_NONCE_CHARS: usize = 6;
const FAILURES_TO_LOCK: usize = 5;
const LOCK_SECONDS: i64 = 1_800;

/// The parameters of an `Authorization: OAuth …` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OAuth1 {
    params: Vec<(String, String)>,
}

impl OAuth1 {
    /// How many parameters there are.
    pub(crate) fn len(&self) -> usize {
        self.params.len()
    }

    /// A parameter's value.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

/// Reads an `Authorization: OAuth …` header; nothing when it is malformed or names a parameter twice.
pub(crate) fn parse_header(header: &str) -> Option<OAuth1> {
    let (scheme, list) = header.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("OAuth") {
        return None;
    }
    let mut params: Vec<(String, String)> = Vec::new();
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=')?;
        let value = value.trim().strip_prefix('"')?.strip_suffix('"')?;
        let name = name.trim().to_owned();
        if params.iter().any(|(own, _)| *own == name) {
            return None;
        }
        params.push((name, percent_decode_str(value).decode_utf8().ok()?.into_owned()));
    }
    Some(OAuth1 { params })
}

/// The base64 signature of a request.
///
/// `base_url` is scheme, host and path as the client saw them; `query` holds the decoded URL parameters; every
/// header parameter takes part but `realm` and the signature itself.
pub(crate) fn signature(
    method: &str,
    base_url: &str,
    query: &[(String, String)],
    header: &OAuth1,
    consumer_secret: &str,
    token_secret: &str,
) -> String {
    let signed = header.params.iter().filter(|(name, _)| name != "realm" && name != "oauth_signature");
    let mut pairs: Vec<(String, String)> =
        signed.chain(query).map(|(name, value)| (encode(name), encode(value))).collect();
    pairs.sort();
    let normalised = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
    let base = format!("{}&{}&{}", method.to_uppercase(), encode(base_url), encode(&normalised));
    let key = format!("{}&{}", encode(consumer_secret), encode(token_secret));
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.as_bytes()) else { return String::new() };
    mac.update(base.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, &ENCODED).to_string()
}

/// The token based integration of an account.
#[derive(Debug)]
pub(crate) struct Tba {
    config: TbaConfig,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    /// Nonce and time stamp → second it was used.
    used: HashMap<(String, i64), i64>,
    /// Seconds of the last failed logins of the token.
    failures: VecDeque<i64>,
    locked_until: i64,
}

impl Tba {
    pub(crate) fn new(config: TbaConfig) -> Self {
        Self { config, memory: Mutex::default() }
    }

    /// Verifies a request; `now` is in Unix seconds.
    ///
    /// # Errors
    /// The reason for the audit trail.
    pub(crate) fn verify(
        &self,
        method: &str,
        base_url: &str,
        query: &[(String, String)],
        header: &OAuth1,
        now: i64,
    ) -> Result<(), Reason> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = self.examine(&mut memory, method, base_url, query, header, now);
        let knows_token = header.get("oauth_token") == Some(self.config.token_id.as_str());
        if let Err(reason) = outcome
            && knows_token
            && reason != Reason::TemporaryLocked
        {
            memory.failed(now);
        }
        outcome
    }

    fn examine(
        &self,
        memory: &mut Memory,
        method: &str,
        base_url: &str,
        query: &[(String, String)],
        header: &OAuth1,
        now: i64,
    ) -> Result<(), Reason> {
        let required = |name| header.get(name).ok_or(Reason::MissingTokenPassportRequiredFields);
        let (consumer, token) = (required("oauth_consumer_key")?, required("oauth_token")?);
        let (nonce, stamp) = (required("oauth_nonce")?, required("oauth_timestamp")?);
        let (algorithm, signed) = (required("oauth_signature_method")?, required("oauth_signature")?);
        if consumer != self.config.consumer_key {
            return Err(Reason::ConsumerKeyUnknown);
        }
        if token != self.config.token_id {
            return Err(Reason::TokenRejected);
        }
        if memory.locked_until > now {
            return Err(Reason::TemporaryLocked);
        }
        if algorithm != "HMAC-SHA256" {
            return Err(Reason::UnknownAlgorithm);
        }
        if header.get("oauth_version").is_some_and(|version| version != "1.0") {
            return Err(Reason::VersionRejected);
        }
        let stamp = stamp.parse::<i64>().map_err(|_| Reason::InvalidTimestamp)?;
        if (now - stamp).abs() > TOLERANCE_SECONDS {
            return Err(Reason::InvalidTimestamp);
        }
        if nonce.chars().count() < MIN_NONCE_CHARS || !nonce.chars().all(|c| c.is_ascii_graphic()) {
            return Err(Reason::NonceRejected);
        }
        let (consumer_secret, token_secret) = (&self.config.consumer_secret, &self.config.token_secret);
        let expected = signature(method, base_url, query, header, consumer_secret.reveal(), token_secret.reveal());
        if !same(expected.as_bytes(), signed.as_bytes()) {
            return Err(Reason::InvalidSignature);
        }
        memory.used.retain(|_, used| now - *used < NONCE_MEMORY_SECONDS);
        match memory.used.insert((nonce.to_owned(), stamp), now) {
            Some(_) => Err(Reason::NonceUsed),
            None => Ok(()),
        }
    }
}

impl Memory {
    fn failed(&mut self, now: i64) {
        self.failures.retain(|at| now - at < LOCK_SECONDS);
        self.failures.push_back(now);
        if self.failures.len() >= FAILURES_TO_LOCK {
            self.locked_until = now + LOCK_SECONDS;
            self.failures.clear();
        }
    }
}

/// Compares without telling by its duration where two texts differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (x, y)| difference | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONSUMER_KEY: &str = "ef40afdd8abaac111b13825dd5e5e2ddddb44f86d5a0dd6dcf38c20aae6b67e4";
    const CONSUMER_SECRET: &str = "d26ad321a4b2f23b0741c8d38392ce01c3e23e109df6c96eac6d099e9ab9e8b5";
    const TOKEN: &str = "2b0ce516420110bcbd36b69e99196d1b7f6de3c6234c5afb799b73d87569f5cc";
    const TOKEN_SECRET: &str = "c29a677df7d5439a458c063654187e3d678d73aca8e3c9d8bea1478a3eb0d295";
    const STAMP: i64 = 1_508_242_306;

    fn header(changes: &[(&str, &str)]) -> OAuth1 {
        let mut params = vec![
            ("realm", "123456"),
            ("oauth_consumer_key", CONSUMER_KEY),
            ("oauth_token", TOKEN),
            ("oauth_nonce", "fjaLirsIcCGVZWzBX0pg"),
            ("oauth_timestamp", "1508242306"),
            ("oauth_signature_method", "HMAC-SHA256"),
            ("oauth_version", "1.0"),
        ];
        for (name, value) in changes {
            params.retain(|(own, _)| own != name);
            params.push((name, value));
        }
        OAuth1 { params: params.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect() }
    }

    fn tba() -> Tba {
        Tba::new(TbaConfig {
            consumer_key: CONSUMER_KEY.to_owned(),
            consumer_secret: CONSUMER_SECRET.into(),
            token_id: TOKEN.to_owned(),
            token_secret: TOKEN_SECRET.into(),
        })
    }

    fn signed(changes: &[(&str, &str)]) -> OAuth1 {
        let mut header = header(changes);
        let own = signature("GET", "http://h/x", &[], &header, CONSUMER_SECRET, TOKEN_SECRET);
        header.params.push(("oauth_signature".to_owned(), own));
        header
    }

    #[test]
    fn oracles_first_vector() {
        let url = "https://123456.suitetalk.api.netsuite.com/services/rest/record/v1/employee/40";
        let own = signature("GET", url, &[], &header(&[]), CONSUMER_SECRET, TOKEN_SECRET);
        assert_eq!(own, "B5OIWznZ2YP0OB7VrJrGkYsTh+8H+5T9Hag+o92q0zY=");
    }

    #[test]
    fn oracles_second_vector() {
        let url = "https://123456.restlets.api.netsuite.com/app/site/hosting/restlet.nl";
        let query = [("script", "6"), ("deploy", "1"), ("customParam", "someValue"), ("testParam", "someOtherValue")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let own = signature("POST", url, &query, &header(&[]), CONSUMER_SECRET, TOKEN_SECRET);
        assert_eq!(own, "+KK4SKNgz4ZiILGLwOMtfYlgcXSy1eis8ldE9X90azQ=");
    }

    #[test]
    fn a_header_is_read_with_its_encoding() {
        let header = parse_header(r#"OAuth realm="1_SB1", oauth_signature="a%2Bb%3D",oauth_nonce="abcdef""#).unwrap();
        assert_eq!(header.get("oauth_signature"), Some("a+b="));
        assert_eq!(parse_header("Bearer x"), None);
        assert_eq!(parse_header("OAuth oauth_nonce=abc"), None);
    }

    #[test]
    fn each_failure_has_its_reason() {
        let verify = |header: &OAuth1| tba().verify("GET", "http://h/x", &[], header, STAMP);
        assert_eq!(verify(&signed(&[])), Ok(()));
        assert_eq!(verify(&signed(&[("oauth_consumer_key", "x")])), Err(Reason::ConsumerKeyUnknown));
        assert_eq!(verify(&signed(&[("oauth_token", "x")])), Err(Reason::TokenRejected));
        assert_eq!(verify(&signed(&[("oauth_timestamp", "1508242006")])), Ok(()));
        assert_eq!(verify(&signed(&[("oauth_timestamp", "1508242005")])), Err(Reason::InvalidTimestamp));
        assert_eq!(verify(&signed(&[("oauth_nonce", "abc")])), Err(Reason::NonceRejected));
        assert_eq!(verify(&signed(&[("oauth_version", "2.0")])), Err(Reason::VersionRejected));
        assert_eq!(verify(&signed(&[("oauth_signature_method", "HMAC-SHA1")])), Err(Reason::UnknownAlgorithm));
        assert_eq!(verify(&header(&[])), Err(Reason::MissingTokenPassportRequiredFields));
        let mut wrong = signed(&[]);
        wrong.params.last_mut().unwrap().1 = "AAAA".to_owned();
        assert_eq!(verify(&wrong), Err(Reason::InvalidSignature));
        // A client may sign more oauth parameters than it must.
        assert_eq!(verify(&signed(&[("oauth_body_hash", "abc=")])), Ok(()));
    }

    #[test]
    fn a_nonce_is_used_once() {
        let tba = tba();
        assert_eq!(tba.verify("GET", "http://h/x", &[], &signed(&[]), STAMP), Ok(()));
        assert_eq!(tba.verify("GET", "http://h/x", &[], &signed(&[]), STAMP + 200), Err(Reason::NonceUsed));
    }

    #[test]
    fn five_failures_of_the_token_lock_it_for_half_an_hour() {
        let tba = tba();
        let login = |header: &OAuth1, now| tba.verify("GET", "http://h/x", &[], header, now);
        for _ in 0..9 {
            assert_eq!(login(&signed(&[("oauth_token", "unknown")]), STAMP), Err(Reason::TokenRejected));
        }
        for _ in 0..5 {
            assert!(login(&signed(&[("oauth_nonce", "abc")]), STAMP).is_err());
        }
        assert_eq!(login(&signed(&[]), STAMP + 10), Err(Reason::TemporaryLocked));
        let later = (STAMP + LOCK_SECONDS).to_string();
        assert_eq!(login(&signed(&[("oauth_timestamp", &later)]), STAMP + LOCK_SECONDS), Ok(()));
    }
}

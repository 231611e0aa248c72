//! Token-based authentication: OAuth 1.0a with HMAC-SHA256 (fact sheet §2.1, §2.2).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use url::Url;

/// RFC 3986 unreserved characters stay, all else is escaped.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const METHOD: &str = "HMAC-SHA256";
const VERSION: &str = "1.0";

/// The two secrets and two names of a TBA user.
#[derive(Debug)]
pub(crate) struct Tba {
    pub(crate) realm: String,
    pub(crate) consumer_key: String,
    pub(crate) consumer_secret: SecretString,
    pub(crate) token_id: String,
    pub(crate) token_secret: SecretString,
}

impl Tba {
    /// The `Authorization` header of one attempt. NetSuite refuses a repeated nonce and a time more than five
    /// minutes off, so every attempt is signed anew.
    pub(crate) fn header(&self, method: &Method, url: &Url, nonce: &str, timestamp: i64) -> String {
        let signature = self.signature(method, url, nonce, timestamp);
        let quoted = |value: &str| escape(value);
        format!(
            "OAuth realm=\"{}\", oauth_consumer_key=\"{}\", oauth_token=\"{}\", oauth_nonce=\"{}\", \
             oauth_timestamp=\"{timestamp}\", oauth_signature_method=\"{METHOD}\", oauth_version=\"{VERSION}\", \
             oauth_signature=\"{}\"",
            quoted(&self.realm),
            quoted(&self.consumer_key),
            quoted(&self.token_id),
            quoted(nonce),
            quoted(&signature),
        )
    }

    fn signature(&self, method: &Method, url: &Url, nonce: &str, timestamp: i64) -> String {
        let base = self.base_string(method, url, nonce, timestamp);
        let key =
            format!("{}&{}", escape(self.consumer_secret.expose_secret()), escape(self.token_secret.expose_secret()));
        let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes a key of any length");
        mac.update(base.as_bytes());
        STANDARD.encode(mac.finalize().into_bytes())
    }

    /// Method, bare address and every parameter: those of the query (RESTlets have `script` and `deploy` there) and
    /// the `oauth_*` ones. The realm and JSON bodies take no part.
    fn base_string(&self, method: &Method, url: &Url, nonce: &str, timestamp: i64) -> String {
        let timestamp = timestamp.to_string();
        let mut parameters: Vec<(String, String)> =
            url.query_pairs().map(|(name, value)| (escape(&name), escape(&value))).collect();
        for (name, value) in [
            ("oauth_consumer_key", self.consumer_key.as_str()),
            ("oauth_token", self.token_id.as_str()),
            ("oauth_nonce", nonce),
            ("oauth_timestamp", timestamp.as_str()),
            ("oauth_signature_method", METHOD),
            ("oauth_version", VERSION),
        ] {
            parameters.push((name.to_owned(), escape(value)));
        }
        parameters.sort();
        let parameters: Vec<String> = parameters.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{}&{}&{}", method.as_str(), escape(&bare_address(url)), escape(&parameters.join("&")))
    }
}

/// Scheme, host, port unless it is the scheme's own, and path.
fn bare_address(url: &Url) -> String {
    let mut bare = url.clone();
    bare.set_query(None);
    bare.set_fragment(None);
    bare.to_string()
}

fn escape(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &str = "fjaLirsIcCGVZWzBX0pg";
    const TIMESTAMP: i64 = 1_508_242_306;

    /// The inputs of Oracle's help (fact sheet §2.1).
    fn oracle() -> Tba {
        Tba {
            realm: "123456".into(),
            consumer_key: "ef40afdd8abaac111b13825dd5e5e2ddddb44f86d5a0dd6dcf38c20aae6b67e4".into(),
            consumer_secret: "d26ad321a4b2f23b0741c8d38392ce01c3e23e109df6c96eac6d099e9ab9e8b5".to_owned().into(),
            token_id: "2b0ce516420110bcbd36b69e99196d1b7f6de3c6234c5afb799b73d87569f5cc".into(),
            token_secret: "c29a677df7d5439a458c063654187e3d678d73aca8e3c9d8bea1478a3eb0d295".to_owned().into(),
        }
    }

    #[test]
    fn oracles_rest_vector_is_met() {
        let url = Url::parse("https://123456.suitetalk.api.netsuite.com/services/rest/record/v1/employee/40").unwrap();
        let signature = oracle().signature(&Method::GET, &url, NONCE, TIMESTAMP);
        assert_eq!(signature, "B5OIWznZ2YP0OB7VrJrGkYsTh+8H+5T9Hag+o92q0zY=");
    }

    #[test]
    fn oracles_restlet_vector_is_met_with_every_query_parameter() {
        let url = Url::parse(
            "https://123456.restlets.api.netsuite.com/app/site/hosting/restlet.nl\
             ?script=6&deploy=1&customParam=someValue&testParam=someOtherValue",
        )
        .unwrap();
        let signature = oracle().signature(&Method::POST, &url, NONCE, TIMESTAMP);
        assert_eq!(signature, "+KK4SKNgz4ZiILGLwOMtfYlgcXSy1eis8ldE9X90azQ=");
    }

    #[test]
    fn a_port_of_its_own_is_signed_and_the_default_one_is_not() {
        let bare = |text: &str| bare_address(&Url::parse(text).unwrap());
        assert_eq!(bare("http://127.0.0.1:9911/a?b=c"), "http://127.0.0.1:9911/a");
        assert_eq!(bare("https://h:443/a"), "https://h/a");
    }

    #[test]
    fn the_header_carries_the_realm_and_an_escaped_signature() {
        let url = Url::parse("https://123456.suitetalk.api.netsuite.com/services/rest/record/v1/employee/40").unwrap();
        let header = oracle().header(&Method::GET, &url, NONCE, TIMESTAMP);
        assert!(header.starts_with("OAuth realm=\"123456\", "), "{header}");
        assert!(
            header.ends_with("oauth_signature=\"B5OIWznZ2YP0OB7VrJrGkYsTh%2B8H%2B5T9Hag%2Bo92q0zY%3D\""),
            "{header}"
        );
    }
}

//! NetSuite's system notes: what its users did, field by field. Asked for as any integration would ask: by the query
//! RESTlet, signed by token based authentication, with what `dev.json` says.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use concord::dev::manifest::Account;
use hmac::{Hmac, KeyInit, Mac};
use model::{Clock, SystemClock};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use sha2::Sha256;

/// RFC 3986: what OAuth leaves as it is.
const UNRESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const PAGE: usize = 1000;

/// One change of one field by a user on NetSuite's screens.
#[derive(Debug, Clone)]
pub(crate) struct Note {
    pub(crate) record_type: &'static str,
    pub(crate) id: String,
    /// In SuiteQL's spelling.
    pub(crate) field: String,
    pub(crate) old: Option<String>,
    pub(crate) new: Option<String>,
}

/// All notes of users, in order. What integrations wrote is left out.
pub(crate) async fn read(account: &Account) -> Vec<Note> {
    let mut notes = Vec::new();
    let mut last = 0;
    loop {
        let query = "select id, recordid, recordtypeid, field, oldvalue, newvalue, context from systemnote where id > ? order by id";
        let rows = ask(account, json!({ "query": query, "params": [last], "limit": PAGE, "offset": 0 })).await;
        for row in &rows {
            last = plain(&row["id"]).and_then(|id| id.parse().ok()).expect("a note has an id");
            if plain(&row["context"]).is_some_and(|context| context == "USERINTERFACE") {
                notes.push(note(row));
            }
        }
        if rows.len() < PAGE {
            return notes;
        }
    }
}

fn note(row: &Value) -> Note {
    let record_type = match plain(&row["recordtypeid"]).as_deref() {
        Some("-2") => "customer",
        Some("-10") => "item",
        Some("-30") => "salesorder",
        other => panic!("a note of record type {other:?}"),
    };
    Note {
        record_type,
        id: plain(&row["recordid"]).expect("a note has a record"),
        field: plain(&row["field"]).expect("a note has a field").to_lowercase(),
        old: plain(&row["oldvalue"]),
        new: plain(&row["newvalue"]),
    }
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

async fn ask(account: &Account, body: Value) -> Vec<Value> {
    let url = &account.netsuite.restlet_url;
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let answer = client.post(url).header("authorization", signature(account, url)).json(&body).send().await;
    let answer = answer.expect("NetSuite answers");
    let status = answer.status();
    let mut body: Value = answer.json().await.expect("NetSuite answers with JSON");
    assert!(status.is_success(), "NetSuite refuses a query: {status} {body}");
    body["rows"].as_array_mut().map(std::mem::take).expect("rows")
}

/// The Authorization header of a POST (OAuth 1.0a, HMAC-SHA256).
fn signature(account: &Account, url: &str) -> String {
    let encode = |text: &str| utf8_percent_encode(text, &UNRESERVED).to_string();
    let tba = &account.netsuite.tba;
    let (base, query) = url.split_once('?').expect("a RESTlet's address has a query");
    let oauth = [
        ("oauth_consumer_key", tba.consumer_key.clone()),
        ("oauth_nonce", format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..))),
        ("oauth_signature_method", "HMAC-SHA256".to_owned()),
        ("oauth_timestamp", SystemClock.now().as_second().to_string()),
        ("oauth_token", tba.token_id.clone()),
        ("oauth_version", "1.0".to_owned()),
    ];
    let mut parameters: Vec<(String, String)> =
        oauth.iter().map(|(name, value)| (encode(name), encode(value))).collect();
    parameters
        .extend(query.split('&').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())));
    parameters.sort();
    let joined = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
    let text = format!("POST&{}&{}", encode(base), encode(&joined));
    let key = format!("{}&{}", encode(&tba.consumer_secret), encode(&tba.token_secret));
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("a key of any length");
    mac.update(text.as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let mut header = format!("OAuth realm=\"{}\"", tba.realm);
    for (name, value) in oauth {
        header.push_str(&format!(", {name}=\"{}\"", encode(&value)));
    }
    format!("{header}, oauth_signature=\"{}\"", encode(&signature))
}

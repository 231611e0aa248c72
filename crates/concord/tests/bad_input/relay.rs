//! The HTTP relay (contracts §4): clear answers, and rows for what only the merge can judge.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::house::{HUSH, House, now};

/// Largest body (contracts §4).
const MIB: usize = 1024 * 1024;
const JSON: &str = "application/json";

/// A request as it is sent; starts out right.
struct Request {
    name: String,
    account: String,
    secret: String,
    offset: i64,
    content_type: Option<&'static str>,
    content_encoding: Option<&'static str>,
    body: Vec<u8>,
    without: Option<&'static str>,
    chunked: bool,
}

/// An answer.
struct Answer {
    status: u16,
    problem: bool,
    body: Value,
}

impl Request {
    fn new(house: &House, name: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        let account = house.account(0);
        Self {
            name: name.into(),
            account: account.account_id.clone(),
            secret: account.ingest.signing_secret.clone(),
            offset: 0,
            content_type: Some(JSON),
            content_encoding: None,
            body: body.into(),
            without: None,
            chunked: false,
        }
    }

    /// By hand over a socket, so that nothing of it is put right on the way.
    async fn send(&self, house: &House) -> Result<Answer> {
        let host = house.manifest.ingest_url.strip_prefix("http://").context("the relay's address is http")?;
        let mut head =
            format!("POST /v1/accounts/{}/events HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n", self.account);
        for (name, value) in house.signed(&self.secret, now().as_second() + self.offset, &self.body)? {
            if self.without != Some(name) {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        for (name, value) in [("content-type", self.content_type), ("content-encoding", self.content_encoding)] {
            if let Some(value) = value {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        let mut stream = TcpStream::connect(host).await?;
        if self.chunked {
            head.push_str("transfer-encoding: chunked\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            for chunk in self.body.chunks(64 * 1024) {
                stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).await?;
                stream.write_all(chunk).await?;
                stream.write_all(b"\r\n").await?;
            }
            stream.write_all(b"0\r\n\r\n").await?;
        } else {
            head.push_str(&format!("content-length: {}\r\n\r\n", self.body.len()));
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&self.body).await?;
        }
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        let answer = String::from_utf8(answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("an answer has a head and a body")?;
        let status = head.split(' ').nth(1).context("a status")?.parse()?;
        let problem = head.to_lowercase().contains("content-type: application/problem+json");
        Ok(Answer { status, problem, body: serde_json::from_str(body).unwrap_or(Value::Null) })
    }

    /// Sends and checks the answer; what is wrong with it.
    async fn refused(&self, house: &House, status: u16, code: &str, pointers: &[&str]) -> Result<Option<String>> {
        let answer = self.send(house).await.with_context(|| self.name.clone())?;
        let complaint = |why: String| Ok(Some(format!("{}: {why}: {}", self.name, answer.body)));
        if answer.status != status {
            return complaint(format!("answered {}, expected {status}", answer.status));
        }
        if !answer.problem || answer.body["code"] != code || answer.body["status"] != status {
            return complaint(format!("no problem with code {code}"));
        }
        if !answer.body["type"].is_string() || !answer.body["title"].is_string() {
            return complaint("no type or title".to_owned());
        }
        let errors = answer.body["errors"].as_array().cloned().unwrap_or_default();
        for pointer in pointers {
            if !errors.iter().any(|error| error["pointer"] == *pointer) {
                return complaint(format!("nothing points to {pointer:?}"));
            }
        }
        if answer.body.to_string().contains(HUSH) {
            return complaint("the answer shows a value".to_owned());
        }
        Ok(None)
    }
}

/// All of it; what was found.
pub(crate) async fn try_everything(house: &House) -> Result<Vec<String>> {
    let mut found = Vec::new();
    found.extend(malformed(house).await?);
    house.goes_on().await?;
    found.extend(wrong_members(house).await?);
    house.goes_on().await?;
    found.extend(untrusted(house).await?);
    found.extend(too_large_or_of_another_kind(house).await?);
    house.goes_on().await?;
    found.extend(judged_later(house).await?);
    house.goes_on().await?;
    Ok(found)
}

/// A body that is not what an envelope looks like at all.
async fn malformed(house: &House) -> Result<Vec<String>> {
    let (_, good) = house.envelope(&house.customers[0], json!({ "comments": HUSH }));
    let cut = good.to_string();
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let members = format!("{{\"changes\":{}1{}}}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    let many = Value::Array((0..101).map(|_| house.envelope(&house.customers[0], json!({})).1).collect());
    let mut not_text = cut.clone().into_bytes();
    let at = cut.find(HUSH).context("the value stands in the body")?;
    not_text[at..at + 2].copy_from_slice(&[0xc3, 0x28]);
    let bodies: [(&str, Vec<u8>); 11] = [
        ("an empty body", Vec::new()),
        ("broken JSON", cut.as_bytes()[..cut.len() - 3].to_vec()),
        ("text behind the JSON", format!("{cut} {HUSH}").into_bytes()),
        ("a text", format!("\"{HUSH}\"").into_bytes()),
        ("a number", b"1e400".to_vec()),
        ("null", b"null".to_vec()),
        ("no events", b"[]".to_vec()),
        ("101 events", many.to_string().into_bytes()),
        ("bytes that are no UTF-8", not_text),
        ("200,000 arrays deep", deep.into_bytes()),
        ("100,000 objects deep", members.into_bytes()),
    ];
    let mut found = Vec::new();
    for (name, body) in bodies {
        found.extend(Request::new(house, name, body).refused(house, 400, "malformed", &[]).await?);
    }
    Ok(found)
}

/// One member that is wrong, by its JSON pointer; nothing of the request is published.
async fn wrong_members(house: &House) -> Result<Vec<String>> {
    // Text of the body, since serde_json would not write some of these.
    let other = &house.account(1).account_id;
    let cases: Vec<(&str, String, &str)> = vec![
        ("recordType", "5".into(), "/recordType"),
        ("recordType", "\"Custom er\"".into(), "/recordType"),
        ("recordId", "{}".into(), "/recordId"),
        ("recordId", "\"\"".into(), "/recordId"),
        ("recordId", "\"1\\u00002\"".into(), "/recordId"),
        ("eventType", "true".into(), "/eventType"),
        ("eventType", format!("\"{HUSH}\""), "/eventType"),
        ("eventId", format!("\"{HUSH}\""), "/eventId"),
        ("eventId", "\"00000000-0000-0000-0000-000000000000\"".into(), "/eventId"),
        ("source", format!("\"{HUSH}\""), "/source"),
        ("accountId", format!("\"{other}\""), "/accountId"),
        ("baseVersion", "\"vv1\"".into(), "/baseVersion"),
        ("baseVersion", "-1".into(), "/baseVersion"),
        ("timestamp", "1731590000".into(), "/timestamp"),
        ("timestamp", "\"99999-01-01T00:00:00Z\"".into(), "/timestamp"),
        ("timestamp", "\"9999-01-01T00:00:00Z\"".into(), "/timestamp"),
        ("timestamp", "\"2026-02-30T00:00:00Z\"".into(), "/timestamp"),
        ("changes", "[]".into(), "/changes"),
        ("changes", format!("\"{HUSH}\""), "/changes"),
        ("changes", format!("{{\"comments\":\"{HUSH}\\u0000\"}}"), "/changes/comments"),
        ("changes", format!("{{\"comments\":\"{HUSH}\\ud800\"}}"), "/changes/comments"),
        ("changes", format!("{{\"comments\":\"\\udc00{HUSH}\"}}"), "/changes/comments"),
        ("changes", "{\"creditlimit\":1e400}".into(), "/changes/creditlimit"),
        ("changes", "{\"creditlimit\":-1e999999999}".into(), "/changes/creditlimit"),
        ("changes", format!("{{\"creditlimit\":{}}}", "9".repeat(400)), "/changes/creditlimit"),
        ("changes", "{\"custentity_tags\":[{\"id\":\"1\"},2]}".into(), "/changes/custentity_tags/0"),
        ("fullSnapshotRef", format!("\"gs://{}\"", "x".repeat(4_000)), "/fullSnapshotRef"),
        ("correlationId", "7".into(), "/correlationId"),
        ("authContext", "\"a\\u0000b\"".into(), "/authContext"),
    ];
    let mut found = Vec::new();
    let mut ids: Vec<Uuid> = Vec::new();
    for (member, value, pointer) in cases {
        let (id, mut envelope) = house.envelope(&house.customers[0], json!({}));
        envelope[member] = json!("@bad@");
        let text = envelope.to_string().replace("\"@bad@\"", &value);
        let shown: String = value.chars().take(40).collect();
        let request = Request::new(house, format!("{member}: {shown}"), text.clone());
        found.extend(request.refused(house, 400, "malformed", &[pointer]).await?);
        // One bad envelope among good ones: nothing of the request is published.
        let (beside, good) = house.envelope(&house.customers[0], json!({ "email": "never@example.test" }));
        let request = Request::new(house, format!("[good, {member}: {shown}]"), format!("[{good},{text}]"));
        found.extend(request.refused(house, 400, "malformed", &[format!("/1{pointer}").as_str()]).await?);
        ids.extend([id, beside]);
    }
    let all_at_once =
        json!({ "recordType": 5, "recordId": {}, "eventType": 7, "source": [], "timestamp": 3, "changes": [] });
    let pointers = ["/recordType", "/recordId", "/eventType", "/source", "/timestamp", "/changes"];
    let request = Request::new(house, "everything at once", all_at_once.to_string());
    found.extend(request.refused(house, 400, "malformed", &pointers).await?);
    house.goes_on().await?;
    let query = "select (select count(*) from sync.events where event_id = any($1))
                      + (select count(*) from sync.sync_error_queue where event_id = any($1))";
    let known: i64 = sqlx::query_scalar(query).bind(&ids).fetch_one(&house.sides[0].concord).await?;
    ensure!(known == 0, "{known} events of refused requests were published");
    Ok(found)
}

/// Everything that is not signed for the account looks the same.
async fn untrusted(house: &House) -> Result<Vec<String>> {
    let (id, envelope) = house.envelope(&house.customers[0], json!({ "comments": HUSH }));
    let new = |name: &str| Request::new(house, name, envelope.to_string());
    let stranger = house.account(1).ingest.signing_secret.clone();
    let requests = vec![
        Request { secret: stranger.clone(), ..new("another account's secret") },
        Request { account: "TSTDRV999999".into(), ..new("an unknown account") },
        Request { account: "%00".into(), ..new("a path that is no account") },
        Request { offset: -301, ..new("a stale signature") },
        Request { offset: 400, ..new("a signature from the future") },
        Request { without: Some("webhook-id"), ..new("no id") },
        Request { without: Some("webhook-timestamp"), ..new("no timestamp") },
        Request { without: Some("webhook-signature"), ..new("no signature") },
        // Refused for the signature, not for what is in it: content is not looked at before.
        Request { secret: stranger, body: b"{".to_vec(), ..new("broken JSON of a stranger") },
    ];
    let mut found = Vec::new();
    let mut bodies = Vec::new();
    for request in requests {
        found.extend(request.refused(house, 401, "unauthorized", &[]).await?);
        bodies.push(request.send(house).await?.body);
    }
    if bodies.iter().any(|body| *body != bodies[0]) {
        found.push("the answers to strangers differ".to_owned());
    }
    let query = "select count(*) from sync.events where event_id = $1";
    let known: i64 = sqlx::query_scalar(query).bind(id).fetch_one(&house.sides[0].concord).await?;
    ensure!(known == 0, "a stranger's event was taken");
    Ok(found)
}

async fn too_large_or_of_another_kind(house: &House) -> Result<Vec<String>> {
    let (_, envelope) = house.envelope(&house.customers[0], json!({ "comments": HUSH }));
    let new = |name: &str| Request::new(house, name, envelope.to_string());
    let large = |bytes: usize| {
        let (_, envelope) = house.envelope(&house.customers[0], json!({ "comments": "@" }));
        let text = envelope.to_string();
        text.replace('@', &"x".repeat(bytes + 1 - text.len())).into_bytes()
    };
    let mut found = Vec::new();
    for (name, bytes, chunked) in [
        ("declared", MIB + 1, false),
        ("chunked", MIB + 1, true),
        ("declared", 12 * MIB, false),
        ("chunked", 12 * MIB, true),
    ] {
        let request = Request { body: large(bytes), chunked, ..new(&format!("{bytes} bytes, {name}")) };
        found.extend(request.refused(house, 413, "body_too_large", &[]).await?);
    }
    for (name, content_type, content_encoding) in [
        ("text/plain", Some("text/plain"), None),
        ("a form", Some("application/x-www-form-urlencoded"), None),
        ("protobuf over HTTP", Some("application/protobuf"), None),
        ("no content type", None, None),
        ("gzip", Some(JSON), Some("gzip")),
    ] {
        let request = Request { content_type, content_encoding, ..new(name) };
        found.extend(request.refused(house, 415, "unsupported_media_type", &[]).await?);
    }
    for (method, path, status) in [
        ("GET", format!("/v1/accounts/{}/events", house.account(0).account_id), 405),
        ("POST", "/v2/events".into(), 404),
    ] {
        let url = format!("{}{path}", house.manifest.ingest_url);
        let answer = house.http.request(method.parse()?, url).send().await?;
        let kind = answer.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
        if answer.status() != status || kind != "application/problem+json" {
            found.push(format!("{method} {path}: {} {kind}", answer.status()));
        }
    }
    // A whole MiB is taken; that its text is longer than the field's is for later.
    let request = Request { body: large(MIB), ..new("one MiB") };
    let answer = request.send(house).await?;
    if answer.status != 202 {
        found.push(format!("one MiB is answered {}: {}", answer.status, answer.body));
    }
    Ok(found)
}

/// What the relay cannot judge is accepted and becomes a row that names the field.
async fn judged_later(house: &House) -> Result<Vec<String>> {
    let customer = &house.customers[0];
    let long = format!("{HUSH}{}", "5".repeat(80));
    let cases = [
        (
            "a type nobody syncs",
            json!({ "recordType": "unicorn" }),
            json!({ "comments": HUSH }),
            "unknown_record_type",
            "unicorn",
        ),
        ("text for a number", json!({}), json!({ "creditlimit": HUSH }), "bad_value", "creditlimit"),
        ("a number for a checkbox", json!({}), json!({ "isinactive": 7 }), "bad_value", "isinactive"),
        ("lines for a text", json!({}), json!({ "comments": { "1": { "a": HUSH } } }), "bad_value", "comments"),
        ("a set for a text", json!({}), json!({ "email": [HUSH] }), "bad_value", "email"),
        ("text beyond the field's length", json!({}), json!({ "phone": long }), "bad_value", "phone"),
        ("a year of five digits", json!({}), json!({ "datecreated": "99999-01-01" }), "bad_value", "datecreated"),
        ("a day that is none", json!({}), json!({ "datecreated": "2026-02-30" }), "bad_value", "datecreated"),
        (
            "more than is counted with",
            json!({}),
            json!({ "custentity_loyalty_points": i64::MAX }),
            "bad_value",
            "custentity_loyalty_points",
        ),
        (
            "half a point",
            json!({}),
            json!({ "custentity_loyalty_points": 0.5 }),
            "bad_value",
            "custentity_loyalty_points",
        ),
    ];
    let mut found = Vec::new();
    for (name, members, changes, code, says) in cases {
        let (id, mut envelope) = house.envelope(customer, changes);
        for (member, value) in members.as_object().into_iter().flatten() {
            envelope[member] = value.clone();
        }
        let answer = Request::new(house, name, envelope.to_string()).send(house).await?;
        if answer.status != 202 || answer.body["accepted"][0]["eventId"] != json!(id) {
            found.push(format!("{name}: answered {}: {}", answer.status, answer.body));
            continue;
        }
        let queued = house.queued_event(id).await.context(name)?;
        found.extend(queued.complaint(name, code, says));
        if (queued.class.as_str(), queued.topic.as_str()) != ("validation", "events.error") {
            found.push(format!("{name}: {} on {}", queued.class, queued.topic));
        }
    }
    Ok(found)
}

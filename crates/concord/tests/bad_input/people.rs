//! The console: who asks is settled before what is asked, and every error everywhere is a problem (RFC 9457).

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::Value;

use crate::house::{House, Queued};

/// Asks the console; status and body.
pub(crate) async fn ask(
    house: &House,
    method: Method,
    path: &str,
    token: Option<&str>,
    body: Option<String>,
) -> Result<(u16, Value)> {
    let answer = send(house, method, &house.manifest.console_url, path, token, body).await?;
    Ok((answer.status, answer.body))
}

/// Ends a row of the error queue by `retry` or `discard`.
pub(crate) async fn settle(house: &House, queued: &Queued, verb: &str) -> Result<()> {
    let path = format!("/api/v1/errors/{}/{verb}", queued.id);
    let (status, body) = ask(house, Method::POST, &path, Some(&house.manifest.tokens.operator), None).await?;
    ensure!(status == 200, "{path}: {status} {body}");
    Ok(())
}

struct Answer {
    status: u16,
    problem: bool,
    body: Value,
}

async fn send(
    house: &House,
    method: Method,
    root: &str,
    path: &str,
    token: Option<&str>,
    body: Option<String>,
) -> Result<Answer> {
    let mut request = house.http.request(method, format!("{root}{path}"));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body);
    }
    let answer = request.send().await.with_context(|| path.to_owned())?;
    let kind = answer.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let (status, problem) = (answer.status().as_u16(), kind == "application/problem+json");
    let text = answer.text().await?;
    Ok(Answer { status, problem, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) })
}

/// What is wrong with an answer that must be this problem; a code of "" is any code.
fn complaint(what: &str, answer: &Answer, status: u16, code: &str) -> Option<String> {
    let body = &answer.body;
    let complete = body["type"].is_string() && body["title"].is_string() && body["status"] == answer.status;
    let right = answer.status == status && answer.problem && complete && body["code"].is_string();
    (!right || (!code.is_empty() && body["code"] != code))
        .then(|| format!("{what}: expected a problem {status} {code}, got {} {body}", answer.status))
}

/// A call of the API, as it describes itself.
struct Call {
    method: Method,
    path: String,
    role: String,
}

async fn calls(house: &House) -> Result<Vec<Call>> {
    let (status, document) = ask(house, Method::GET, "/openapi.json", None, None).await?;
    ensure!(status == 200, "/openapi.json: {status}");
    let mut calls = Vec::new();
    for (path, methods) in document["paths"].as_object().context("paths")? {
        for (method, call) in methods.as_object().context("methods")? {
            let role =
                call["description"].as_str().and_then(|d| d.strip_prefix("Needs the role ")).context("a role")?;
            // Nothing of this name is there.
            let path = path
                .replace("{account}", "TSTDRV100001")
                .replace("{type}", "customer")
                .replace("{id}", "00000000-0000-4000-8000-000000000000");
            calls.push(Call {
                method: method.to_uppercase().parse()?,
                path,
                role: role.trim_end_matches('.').to_owned(),
            });
        }
    }
    ensure!(calls.len() >= 15, "only {} calls are described", calls.len());
    Ok(calls)
}

/// All of it; what was found.
pub(crate) async fn try_everything(house: &House) -> Result<Vec<String>> {
    let mut found = strangers_and_roles(house).await?;
    found.extend(nonsense(house).await?);
    found.extend(nothing_here(house).await?);
    Ok(found)
}

/// With a body and ids that are wrong: neither is looked at before the role is settled.
async fn strangers_and_roles(house: &House) -> Result<Vec<String>> {
    let tokens = &house.manifest.tokens;
    let mut found = Vec::new();
    for call in calls(house).await? {
        let weaker = match call.role.as_str() {
            "viewer" => None,
            "operator" => Some(&tokens.viewer),
            "admin" => Some(&tokens.operator),
            other => return Ok(vec![format!("{} needs the unknown role {other}", call.path)]),
        };
        let asked = |token: Option<&str>, path: String| {
            let body = (call.method != Method::GET).then(|| "{".to_owned());
            let (method, token) = (call.method.clone(), token.map(str::to_owned));
            async move { send(house, method, &house.manifest.console_url, &path, token.as_deref(), body).await }
        };
        let what = format!("{} {}", call.method, call.path);
        // Ids that cannot even be read tell a stranger no more.
        let unreadable = call.path.replace("00000000-0000-4000-8000-000000000000", "%20");
        for path in [call.path.clone(), unreadable, format!("{}?limit=x&account=%00", call.path)] {
            for token in [None, Some(""), Some("wrong"), Some(tokens.admin[1..].trim())] {
                let answer = asked(token, path.clone()).await?;
                found.extend(complaint(&format!("{what} of a stranger"), &answer, 401, "unauthenticated"));
            }
            if let Some(weaker) = weaker {
                let answer = asked(Some(weaker.as_str()), path).await?;
                found.extend(complaint(&format!("{what} with too weak a role"), &answer, 403, "forbidden"));
            }
        }
    }
    Ok(found)
}

/// An admin's requests that make no sense.
async fn nonsense(house: &House) -> Result<Vec<String>> {
    const NOBODY: &str = "00000000-0000-4000-8000-000000000000";
    let admin = Some(house.manifest.tokens.admin.as_str());
    let state = "/api/v1/state/TSTDRV100001/customer";
    let cases: Vec<(Method, String, Option<&str>, u16)> = vec![
        (Method::GET, format!("{state}/{NOBODY}"), None, 404),
        (Method::GET, format!("{state}/netsuite:999999999"), None, 404),
        (Method::GET, format!("{state}/marsian:1"), None, 400),
        (Method::GET, format!("{state}/%ff"), None, 400),
        (Method::GET, format!("{state}/{NOBODY}?version=first"), None, 400),
        (Method::GET, format!("{state}/{NOBODY}?version=99999999999999999999"), None, 400),
        (Method::GET, "/api/v1/events?limit=0".into(), None, 400),
        (Method::GET, "/api/v1/events?limit=many".into(), None, 400),
        (Method::GET, "/api/v1/events?cursor=x".into(), None, 400),
        (Method::GET, "/api/v1/events?account=a%2Fb".into(), None, 400),
        (Method::GET, "/api/v1/conflicts?limit=501".into(), None, 400),
        (Method::GET, "/api/v1/conflicts/7".into(), None, 400),
        (Method::GET, format!("/api/v1/conflicts/{NOBODY}"), None, 404),
        (Method::POST, format!("/api/v1/conflicts/{NOBODY}/resolve"), Some("{"), 400),
        (
            Method::POST,
            format!("/api/v1/conflicts/{NOBODY}/resolve"),
            Some("{\"rev\":0,\"action\":\"accept_suitex\"}"),
            404,
        ),
        (Method::POST, format!("/api/v1/conflicts/{NOBODY}/resolve"), Some("{\"rev\":-1,\"action\":\"guess\"}"), 400),
        (Method::POST, "/api/v1/locks".into(), Some("[]"), 400),
        (Method::POST, "/api/v1/locks".into(), Some("{\"account\":\"TSTDRV100001\"}"), 400),
        (Method::DELETE, format!("/api/v1/locks/{NOBODY}"), None, 404),
        (Method::DELETE, "/api/v1/locks/7".into(), None, 400),
        (Method::POST, "/api/v1/errors/999999999/retry".into(), None, 404),
        (Method::POST, "/api/v1/errors/first/discard".into(), None, 400),
        (Method::PATCH, "/api/v1/accounts/TSTDRV100001".into(), Some("{\"suspended\":\"yes\"}"), 400),
        (Method::PATCH, "/api/v1/accounts/NOBODY".into(), Some("{\"suspended\":true}"), 404),
        (Method::PUT, "/api/v1/accounts".into(), None, 405),
        (Method::GET, "/api/v1/nothing".into(), None, 404),
    ];
    let mut found = Vec::new();
    for (method, path, body, status) in cases {
        let what = format!("{method} {path}");
        let answer = send(house, method, &house.manifest.console_url, &path, admin, body.map(str::to_owned)).await?;
        found.extend(complaint(&what, &answer, status, ""));
    }
    Ok(found)
}

/// Every service, also those that serve nothing but their health.
async fn nothing_here(house: &House) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for process in house.manifest.processes.iter().filter(|p| p.name != "netsuite-sim") {
        let answer = send(house, Method::GET, &process.http, "/nothing", None, None).await?;
        // A service without routes of its own cannot tell "nothing" from "not yet".
        let status = if answer.status == 503 { 503 } else { 404 };
        found.extend(complaint(&format!("GET /nothing of {}", process.name), &answer, status, ""));
        let answer = send(house, Method::POST, &process.http, "/readyz", None, None).await?;
        found.extend(complaint(&format!("POST /readyz of {}", process.name), &answer, 405, "method_not_allowed"));
    }
    Ok(found)
}

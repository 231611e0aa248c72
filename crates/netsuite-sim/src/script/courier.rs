//! N/https: the requests of scripts, in NetSuite's bounds.

use std::time::Duration;

use reqwest::{Client, Method, Url};
use serde::de::IgnoredAny;
use serde_json::{Map, Value as Json, json};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::fault::Fault;
use super::run::text;
use crate::config::ScriptsConfig;
use crate::ledger::Ledger;

/// An answer in bytes; NetSuite takes ten megabytes.
const MOST_BYTES: usize = 10 * 1024 * 1024;

/// Sends what scripts send. A script waits for the answer on its own thread.
#[derive(Debug)]
pub(crate) struct Courier {
    client: Client,
    runtime: Handle,
    timeout: Duration,
    closing: watch::Sender<bool>,
}

impl Courier {
    /// # Errors
    /// The HTTP client cannot be built.
    pub(super) fn new(settings: &ScriptsConfig, runtime: Handle) -> Result<Self, reqwest::Error> {
        let timeout = Duration::from_millis(settings.request_timeout_ms);
        let client = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_millis(settings.connect_timeout_ms))
            .timeout(timeout)
            .build()?;
        Ok(Self { client, runtime, timeout, closing: watch::Sender::new(false) })
    }

    /// Where work goes that nobody waits for.
    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Ends every request under way, so that the process need not wait for them.
    pub(super) fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Sends `{method, url, headers, body}`; answers `{code, headers, body}`.
    ///
    /// # Errors
    /// An address scripts may not use, or no answer in time.
    pub(super) fn send(&self, arguments: &Json, ledger: &Ledger) -> Result<Json, Fault> {
        let url = allowed(text(arguments, "url")?)?;
        let method = Method::from_bytes(text(arguments, "method")?.as_bytes())
            .map_err(|_| Fault::new("SSS_INVALID_TYPE_ARG", "method is no HTTP method"))?;
        let body = text(arguments, "body")?;
        let mut request = self.client.request(method, url).body(body.to_owned());
        for (name, value) in arguments["headers"].as_object().into_iter().flatten() {
            request = request.header(name, value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
        // A list in a body is a list of events, anything else is one.
        let events = serde_json::from_str::<Vec<IgnoredAny>>(body).map_or(1, |events| events.len() as u64);
        let mut closing = self.closing.subscribe();
        ledger.posting(events);
        let answer = self.runtime.block_on(async {
            tokio::select! {
                answer = answered(request) => answer.map_err(|error| explained(&error, self.timeout)),
                _ = closing.wait_for(|closing| *closing) => {
                    Err(Fault::new("SSS_REQUEST_TIME_EXCEEDED", "The account is being closed."))
                }
            }
        });
        ledger.posted(answer.as_ref().ok().and_then(|answer| answer["code"].as_u64()), events);
        answer
    }
}

async fn answered(request: reqwest::RequestBuilder) -> Result<Json, reqwest::Error> {
    let response = request.send().await?;
    let code = response.status().as_u16();
    let headers: Map<String, Json> = response
        .headers()
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), Json::from(value.to_str().ok()?))))
        .collect();
    let mut body = response.text().await?;
    if let Some((end, _)) = body.char_indices().find(|(at, _)| *at >= MOST_BYTES) {
        body.truncate(end);
    }
    Ok(json!({ "code": code, "headers": headers, "body": body }))
}

/// NetSuite speaks HTTPS only. On one's own machine nobody has a certificate, so plain HTTP is let through to it.
fn allowed(text: &str) -> Result<Url, Fault> {
    let invalid = || Fault::new("SSS_INVALID_URL", "The URL must be a fully qualified HTTPS URL.");
    let url = Url::parse(text).map_err(|_| invalid())?;
    let is_local = url.host_str().is_some_and(|host| {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    });
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_local => Ok(url),
        _ => Err(invalid()),
    }
}

fn explained(error: &reqwest::Error, timeout: Duration) -> Fault {
    if error.is_timeout() {
        let seconds = timeout.as_secs_f64();
        let text =
            format!("The host you are trying to connect to has exceeded the maximum allowed time of {seconds} s.");
        return Fault::new("SSS_REQUEST_TIME_EXCEEDED", &text);
    }
    if error.is_builder() {
        return Fault::new("SSS_INVALID_HEADER", "A header or the body cannot be sent.");
    }
    Fault::new("SSS_UNKNOWN_HOST", "The host you requested is unknown or cannot be found.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_goes_no_further_than_this_machine() {
        for url in ["https://ingest.example/events", "http://127.0.0.1:8081/x", "http://localhost:1", "http://[::1]:1/"]
        {
            assert!(allowed(url).is_ok(), "{url}");
        }
        for url in ["http://ingest.example/", "http://127.0.0.1.example/", "ftp://localhost/", "events"] {
            assert_eq!(allowed(url).unwrap_err().name, "SSS_INVALID_URL", "{url}");
        }
    }
}

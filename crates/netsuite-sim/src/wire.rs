//! Requests as the simulator sees them, and the answers NetSuite gives.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde_json::{Value as Json, json};

/// A request with its body.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    /// Decoded URL parameters in order.
    pub(crate) query: Vec<(String, String)>,
    /// Path with query, as sent.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// An answer that is never sent: the connection is closed instead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HangUp;

/// An answer that breaks off in the middle.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BreakOff;

impl Call {
    /// Takes a request apart.
    pub(crate) fn new(parts: &http::request::Parts, body: Bytes) -> Self {
        let target = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
        Self {
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            query: parse_query(parts.uri.query().unwrap_or_default()),
            target,
            headers: parts.headers.clone(),
            body,
        }
    }

    /// A header's text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A URL parameter.
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Scheme and host as the client used them, default port left out.
    pub(crate) fn origin(&self) -> String {
        let host = self.header("host").unwrap_or("localhost").to_lowercase();
        format!("http://{}", host.strip_suffix(":80").unwrap_or(&host))
    }
}

/// Decodes `a=1&b=%20` (forms and URL queries alike).
pub(crate) fn parse_query(text: &str) -> Vec<(String, String)> {
    let decode = |part: &str| percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned();
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

/// An answer of JSON.
pub(crate) fn json_answer(status: StatusCode, content_type: &'static str, body: &Json) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// An answer without body.
pub(crate) fn empty_answer(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// An answer of REST services: 200 with a resource.
pub(crate) fn resource(kind: &'static str, body: &Json) -> Response {
    resource_text(kind, body.to_string())
}

/// An answer of REST services whose JSON is written already.
pub(crate) fn resource_text(kind: &'static str, body: String) -> Response {
    let content_type = match kind {
        "collection" => "application/vnd.oracle.resource+json; type=collection",
        _ => "application/vnd.oracle.resource+json; type=singular",
    };
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// One detail of a REST error.
pub(crate) struct Detail<'a> {
    pub(crate) code: &'a str,
    pub(crate) text: &'a str,
    /// `o:errorPath`, `o:errorQueryParam` or `o:errorHeader`, and what it names.
    pub(crate) about: Option<(&'static str, &'a str)>,
}

/// An error of REST services (fact sheet §5.4).
pub(crate) fn rest_error(status: StatusCode, detail: &Detail<'_>) -> Response {
    let section = match status.as_u16() {
        401 => "15.5.2",
        403 => "15.5.4",
        404 => "15.5.5",
        405 => "15.5.6",
        415 => "15.5.16",
        500 => "15.6.1",
        503 => "15.6.4",
        _ => "15.5.1",
    };
    let mut shown = json!({ "detail": detail.text });
    if let Some((member, name)) = detail.about {
        shown[member] = Json::from(name);
    }
    shown["o:errorCode"] = Json::from(detail.code);
    let body = json!({
        "type": format!("https://www.rfc-editor.org/rfc/rfc9110.html#section-{section}"),
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "o:errorDetails": [shown],
    });
    json_answer(status, "application/vnd.oracle.resource+json; type=error", &body)
}

/// A REST error without a field or parameter it is about.
pub(crate) fn plain_rest_error(status: StatusCode, code: &str, text: &str) -> Response {
    rest_error(status, &Detail { code, text, about: None })
}

/// Too many REST requests at once (fact sheet §6.2).
pub(crate) fn rest_over_limit() -> Response {
    let body = json!({
        "type": "https://www.rfc-editor.org/rfc/rfc6585.html#section-4",
        "title": "Bad Request",
        "status": 429,
        "o:errorCode": "USER_ERROR",
        "o:errorDetails": [{
            "detail": "Concurrent request limit exceeded. Request blocked.",
            "o:errorCode": "CONCURRENCY_LIMIT_EXCEEDED",
        }],
    });
    json_answer(StatusCode::TOO_MANY_REQUESTS, "application/vnd.oracle.resource+json; type=error", &body)
}

/// An error of RESTlets, spaced as NetSuite spaces it (fact sheet §3.9).
pub(crate) fn restlet_error(status: StatusCode, code: &str, message: &str) -> Response {
    let (code, message) = (Json::from(code), Json::from(message));
    let text = format!("{{\"error\" : {{\"code\" : {code}, \"message\" : {message}}}}}");
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    response
}

/// What a RESTlet answers: the text its function gave.
pub(crate) fn restlet_answer(text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    response
}

/// A failure of the simulator itself, as NetSuite shows its own.
pub(crate) fn unexpected(is_restlet: bool, error: &(dyn std::error::Error + 'static)) -> Response {
    tracing::error!(error, "a call failed inside the simulator");
    let text = "An unexpected error occurred. Error ID: simulator";
    if is_restlet {
        restlet_error(StatusCode::INTERNAL_SERVER_ERROR, "UNEXPECTED_ERROR", text)
    } else {
        plain_rest_error(StatusCode::INTERNAL_SERVER_ERROR, "UNEXPECTED_ERROR", text)
    }
}

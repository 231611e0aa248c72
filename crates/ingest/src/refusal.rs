//! What the relay says when it does not accept, and nothing else: one variant, one answer of contracts §4.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use chassis::problem::Problem;
use http::StatusCode;
use model::envelope::Pointed;
use serde_json::json;

/// Largest body, in bytes.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Why a request was not accepted. Nothing of it is relied upon; where nothing was published at all, the text says so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 413.
    #[error("the body is larger than {MAX_BODY_BYTES} bytes")]
    TooLarge,
    /// 415.
    #[error("the body is not application/json, or is encoded")]
    WrongType,
    /// 401: missing, stale or wrong signature, or an account nobody knows: all the same from outside.
    #[error("the request is not signed with a secret of the account")]
    Unsigned,
    /// 400: the body ended before it was complete.
    #[error("the body broke off")]
    BrokenOff,
    /// 408: the sender took too long over its body.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// 400: everything that is wrong with the body.
    #[error("{} members are refused", .0.len())]
    Malformed(Vec<Pointed>),
    /// 429: over the account's share.
    #[error("the account is over its share")]
    OverShare(Duration),
    /// 503: too many requests at once, or the service is stopping.
    #[error("too many requests are under way")]
    Busy,
    /// 503: the broker did not acknowledge every event.
    #[error("the broker did not acknowledge every event")]
    BrokerAway,
}

impl Refusal {
    /// The word of this refusal in bodies and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "body_too_large",
            Self::WrongType => "unsupported_media_type",
            Self::Unsigned => "unauthorized",
            Self::BrokenOff | Self::Malformed(_) => "malformed",
            Self::TooSlow => "request_timeout",
            Self::OverShare(_) => "over_share",
            Self::Busy => "busy",
            Self::BrokerAway => "broker_unavailable",
        }
    }

    fn problem(self) -> Problem {
        /// What a sender waits before it tries again, in seconds.
        const RETRY_SECONDS: u64 = 2;
        let code = self.code();
        let new = |status, title| Problem::new(status, code, title);
        match self {
            Self::TooLarge => new(StatusCode::PAYLOAD_TOO_LARGE, "The body is too large")
                .detail(format!("Accepted are at most {MAX_BODY_BYTES} bytes.")),
            Self::WrongType => new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body has the wrong type")
                .detail("Accepted is application/json without content encoding."),
            Self::Unsigned => new(StatusCode::UNAUTHORIZED, "The request is not signed for this account").detail(
                "Accepted are Standard Webhooks signatures (webhook-id, webhook-timestamp, webhook-signature) that are \
                 at most five minutes old.",
            ),
            Self::BrokenOff => new(StatusCode::BAD_REQUEST, "The body broke off").with("errors", json!([])),
            Self::TooSlow => new(StatusCode::REQUEST_TIMEOUT, "The body did not arrive in time"),
            Self::Malformed(found) => {
                let errors: Vec<_> =
                    found.iter().map(|one| json!({"pointer": one.pointer, "message": one.message})).collect();
                new(StatusCode::BAD_REQUEST, "The body is malformed; nothing of it was published")
                    .with("errors", errors)
            }
            Self::OverShare(wait) => new(StatusCode::TOO_MANY_REQUESTS, "The account is over its share of events")
                .retry_after((wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)),
            Self::Busy => new(StatusCode::SERVICE_UNAVAILABLE, "Too many requests are under way")
                .detail("Send the same request again.")
                .retry_after(RETRY_SECONDS),
            Self::BrokerAway => new(StatusCode::SERVICE_UNAVAILABLE, "The events could not be handed on")
                .detail("Send the same request again; repeating it is harmless.")
                .retry_after(RETRY_SECONDS),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let unsigned = self == Self::Unsigned;
        let mut response = self.problem().into_response();
        if unsigned {
            // A 401 names its scheme (RFC 9110).
            let scheme = http::HeaderValue::from_static("StandardWebhooks");
            response.headers_mut().insert(http::header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

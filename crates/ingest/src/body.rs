//! Reading a body: bounded while it streams, in bytes and in time.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use futures::StreamExt;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT};

use crate::refusal::{MAX_BODY_BYTES, Refusal};

/// What is read on from a body that is too large, and thrown away, so that its sender gets to read the answer: most
/// clients look for one only after they have written everything.
const MAX_DRAINED_BYTES: usize = 16 * 1024 * 1024;

/// Reads at most [`MAX_BODY_BYTES`], within `timeout`.
pub(crate) async fn read(headers: &HeaderMap, body: Body, timeout: Duration) -> Result<Vec<u8>, Refusal> {
    let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|bytes| bytes > MAX_BODY_BYTES as u64) && headers.contains_key(EXPECT) {
        return Err(Refusal::TooLarge); // it waits for our word before it sends
    }
    if declared.is_some_and(|bytes| bytes > MAX_DRAINED_BYTES as u64) {
        return Err(Refusal::TooLarge);
    }
    match tokio::time::timeout(timeout, read_stream(body.into_data_stream())).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Refusal::TooSlow),
    }
}

async fn read_stream(mut stream: BodyDataStream) -> Result<Vec<u8>, Refusal> {
    let mut body = Vec::new();
    let mut seen = 0_usize;
    while let Some(chunk) = stream.next().await {
        let Ok(chunk) = chunk else {
            return Err(if seen > MAX_BODY_BYTES { Refusal::TooLarge } else { Refusal::BrokenOff });
        };
        seen += chunk.len();
        if seen > MAX_DRAINED_BYTES {
            break;
        }
        if seen <= MAX_BODY_BYTES {
            body.extend_from_slice(&chunk);
        } else {
            body = Vec::new();
        }
    }
    if seen > MAX_BODY_BYTES { Err(Refusal::TooLarge) } else { Ok(body) }
}

/// Says whether the headers promise plain JSON.
pub(crate) fn check_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let text = |name| headers.get(name).map(|value: &http::HeaderValue| value.to_str().unwrap_or_default());
    let essence = text(CONTENT_TYPE).unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let plain = text(CONTENT_ENCODING).is_none_or(|encoding| encoding.eq_ignore_ascii_case("identity"));
    if plain && essence.eq_ignore_ascii_case(model::wire::JSON) { Ok(()) } else { Err(Refusal::WrongType) }
}

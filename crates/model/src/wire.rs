//! The wire: the two messages of the bus as bytes and attributes (contracts §3, §11).
//!
//! Protobuf stays in here; everyone else speaks the words of this crate. Reading refuses what could not be stored or
//! merged later (text with U+0000, absurd lengths, numbers and dates, missing members) and names every such member at
//! once: unreadable bytes are [`ErrorClass::Irrecoverable`], a refused member is [`ErrorClass::Validation`], which a
//! person's edit can mend.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message as _;

use crate::{ChangeEvent, ErrorClass, Failure, MergedEvent, Side, Source, record_key};

mod attributes;
mod check;
mod decode;
mod encode;
mod exact;

pub(crate) use check::Findings;
pub use check::{
    MAX_AUTH_CONTEXT_BYTES, MAX_FIELDS, MAX_FINDINGS, MAX_LABEL_BYTES, MAX_MEMBERS, MAX_NAME_BYTES, MAX_TEXT_BYTES,
    Pointed,
};
pub use exact::{ExactDecimal, MAX_DIGITS, MAX_MAGNITUDE, calendar_date, instant, whole_second};

pub use attributes::{change_attributes, merged_attributes};

/// The content type of protobuf messages.
pub const PROTOBUF: &str = "application/protobuf";
/// The content type of the JSON envelope.
pub const JSON: &str = "application/json";
/// The attribute that names the content type.
pub const CONTENT_TYPE: &str = "content-type";

/// The generated messages of `proto/concord/events/v1`.
#[allow(missing_docs, unreachable_pub, clippy::all)] // generated
mod proto {
    include!(concat!(env!("OUT_DIR"), "/concord.events.v1.rs"));
}

/// Bytes that are no event.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The bytes are not this protobuf message.
    #[error("the payload cannot be read as a protobuf {message}")]
    Unreadable {
        /// Which message was expected.
        message: &'static str,
        /// What the decoder says.
        #[source]
        source: prost::DecodeError,
    },
    /// The bytes are not a JSON object.
    #[error("the payload cannot be read as JSON: {reason}")]
    NotJson {
        /// Shape and place, never content.
        reason: String,
    },
    /// Neither protobuf nor JSON.
    #[error("the content type is unknown; accepted are application/protobuf and application/json")]
    ContentType,
    /// Readable, but members are missing or refused.
    #[error("{}", sentence(.0))]
    Members(Vec<Pointed>),
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        let (class, code) = match &error {
            WireError::Unreadable { .. } | WireError::NotJson { .. } => {
                (ErrorClass::Irrecoverable, "unreadable_payload")
            }
            WireError::ContentType => (ErrorClass::Irrecoverable, "unknown_content_type"),
            WireError::Members(_) => (ErrorClass::Validation, "bad_member"),
        };
        Failure::new(class, code, error.to_string())
    }
}

/// The first findings as one sentence that fits an attribute (1 KiB).
fn sentence(found: &[Pointed]) -> String {
    const SHOWN: usize = 3;
    let mut text = found.iter().take(SHOWN).map(Pointed::to_string).collect::<Vec<_>>().join("; ");
    if found.len() > SHOWN {
        text.push_str(&format!("; and {} more", found.len() - SHOWN));
    }
    text
}

/// The event as protobuf. The same event always gives the same bytes.
pub fn encode_change(event: &ChangeEvent) -> Bytes {
    encode::change(event).encode_to_vec().into()
}

/// The doorbell as protobuf. The same doorbell always gives the same bytes.
pub fn encode_merged(event: &MergedEvent) -> Bytes {
    encode::merged(event).encode_to_vec().into()
}

/// Reads a protobuf `ChangeEvent` whose ids all stand in the body.
///
/// # Errors
/// [`WireError`]: unreadable bytes, or every member that is missing or refused.
pub fn decode_change(data: &[u8]) -> Result<ChangeEvent, WireError> {
    decode::change(data, &BTreeMap::new())
}

/// Reads a protobuf `MergedEvent`.
///
/// # Errors
/// [`WireError`]: unreadable bytes, or every member that is missing or refused.
pub fn decode_merged(data: &[u8]) -> Result<MergedEvent, WireError> {
    decode::merged(data)
}

/// Reads a message of `events.raw` as any team may publish it: protobuf (also when no content type is given) or the
/// JSON envelope. The event id and the account may stand in the attributes instead of the body (in protobuf also
/// `record_type`, `record_id`, `source` and `side`); the body counts where both speak, but two different accounts are
/// refused.
///
/// # Errors
/// A [`Failure`] of class irrecoverable for bytes that cannot be read and for other content types, of class validation
/// for members that are missing or refused; the sentence names member, shape and what is accepted.
pub fn decode_change_message(data: &[u8], attributes: &BTreeMap<String, String>) -> Result<ChangeEvent, Failure> {
    let content_type = attributes.get(CONTENT_TYPE).map_or(PROTOBUF, String::as_str);
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let event = if essence.eq_ignore_ascii_case(PROTOBUF) {
        decode::change(data, attributes)
    } else if essence.eq_ignore_ascii_case(JSON) {
        crate::envelope::parse_message(data, attributes)
    } else {
        Err(WireError::ContentType)
    };
    event.map_err(Failure::from)
}

/// The side an event's record id belongs to: what the source implies, else what the event says, else NetSuite.
fn side_of(source: Source, said: Option<Side>) -> Side {
    source.side().or(said).unwrap_or(Side::Netsuite)
}

/// The record key of contracts §3 for this event.
fn key_of(event: &ChangeEvent) -> String {
    record_key(&event.account, &event.record_type, event.record_id.as_str())
}

#[cfg(test)]
mod tests;

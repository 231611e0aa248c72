//! Messages that leave the path: what they carry, and where they go.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Failure, Timestamp};
use store::outbox::NewRow;

use crate::bus::{MAX_ATTRIBUTE_VALUE_BYTES, MAX_ATTRIBUTES, Message};
use crate::policy::Disposition;
use crate::settings::{Topics, topic};

/// Attributes a letter adds.
const OWN_ATTRIBUTES: usize = 5;

/// The outbox row of a message that leaves for `events.error` or `events.dlq`: the original bytes; the original
/// attributes; `error_class`, `reason`, `reason_code`, `attempts`, `first_failed_at` (contracts §3).
///
/// Attributes are made storable and publishable: NUL becomes U+FFFD, long values are cut, and of more attributes than a
/// message may carry the last ones are left out. A poison message must not be able to poison its own burial.
pub fn letter(topic: &str, message: &Message, failure: &Failure, attempts: u32, first_failed_at: Timestamp) -> NewRow {
    let mut attributes: BTreeMap<String, String> = message
        .attributes
        .iter()
        .filter(|(name, _)| !name.is_empty() && !name.contains('\0'))
        .take(MAX_ATTRIBUTES - OWN_ATTRIBUTES)
        .map(|(name, value)| (name.clone(), storable(value)))
        .collect();
    let own = [
        ("error_class", failure.class.as_str().to_owned()),
        ("reason", storable(&failure.reason)),
        ("reason_code", failure.code.to_owned()),
        ("attempts", attempts.to_string()),
        ("first_failed_at", first_failed_at.to_string()),
    ];
    attributes.extend(own.map(|(name, value)| (name.to_owned(), value)));
    NewRow {
        topic: topic.to_owned(),
        ordering_key: message.ordering_key.clone().filter(|key| !key.contains('\0')),
        payload: message.data.to_vec(),
        attributes,
    }
}

fn storable(value: &str) -> String {
    let clean = value.replace('\0', "\u{fffd}");
    match clean.len() <= MAX_ATTRIBUTE_VALUE_BYTES {
        true => clean,
        false => clean[..clean.floor_char_boundary(MAX_ATTRIBUTE_VALUE_BYTES)].to_owned(),
    }
}

/// Why no letter is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoLetter {
    /// The message is given back after this wait.
    Retry(Duration),
    /// The message stays where it is until our own parts work.
    Hold,
}

/// The logical topic of the letter. A message that fails on the error topic goes on to the dead letters; one that fails
/// among the dead letters stays: there is no deeper place, and a loop would hide it.
pub(super) fn destination(disposition: Disposition, source: &str, topics: &Topics) -> Result<&'static str, NoLetter> {
    let wanted = match disposition {
        Disposition::RetryAfter(wait) => return Err(NoLetter::Retry(wait)),
        Disposition::HoldUntilWorking => return Err(NoLetter::Hold),
        Disposition::ErrorQueue => topic::ERROR,
        Disposition::DeadLetter => topic::DLQ,
    };
    match source {
        source if source == topics.dlq => Err(NoLetter::Hold),
        source if source == topics.error => Ok(topic::DLQ),
        _ => Ok(wanted),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use model::ErrorClass;

    use super::*;

    fn message(attributes: impl IntoIterator<Item = (String, String)>) -> Message {
        Message {
            data: Bytes::from_static(b"\x00\xffraw"),
            attributes: attributes.into_iter().collect(),
            ordering_key: Some("lane-07".into()),
        }
    }

    #[test]
    fn a_letter_keeps_bytes_attributes_and_lane_and_says_why() {
        let failure = Failure::new(ErrorClass::Validation, "unknown_type", "record type is not configured");
        let at: Timestamp = "2026-11-14T13:12:05Z".parse().unwrap();
        let row = letter(topic::ERROR, &message([("event_id".into(), "e1".into())]), &failure, 3, at);
        assert_eq!((row.topic.as_str(), row.ordering_key.as_deref()), (topic::ERROR, Some("lane-07")));
        assert_eq!(row.payload, b"\x00\xffraw");
        let expected = [
            ("attempts", "3"),
            ("error_class", "validation"),
            ("event_id", "e1"),
            ("first_failed_at", "2026-11-14T13:12:05Z"),
            ("reason", "record type is not configured"),
            ("reason_code", "unknown_type"),
        ];
        assert_eq!(row.attributes, expected.map(|(n, v)| (n.to_owned(), v.to_owned())).into());
    }

    #[test]
    fn whatever_the_attributes_are_the_letter_can_be_published() {
        let mut attributes: BTreeMap<String, String> =
            (0..200).map(|n| (format!("a{n:03}"), "é".repeat(2000))).collect();
        attributes.insert("a\0b".into(), "x".into());
        attributes.insert("a000".into(), "nul\0inside".into());
        let failure = Failure::new(ErrorClass::Irrecoverable, "unreadable", "ß".repeat(3000));
        let row = letter(topic::DLQ, &message(attributes), &failure, 1, Timestamp::UNIX_EPOCH);
        assert_eq!(row.attributes["a000"], "nul\u{fffd}inside");
        let published =
            Message { data: row.payload.into(), attributes: row.attributes, ordering_key: row.ordering_key };
        published.check().expect("a letter can always be published");
    }

    #[test]
    fn a_letter_never_returns_to_where_it_failed() {
        let topics = Topics::default();
        let at = |disposition, source: &str| destination(disposition, source, &topics);
        assert_eq!(at(Disposition::ErrorQueue, topic::RAW), Ok(topic::ERROR));
        assert_eq!(at(Disposition::DeadLetter, topic::RAW), Ok(topic::DLQ));
        assert_eq!(at(Disposition::ErrorQueue, topic::ERROR), Ok(topic::DLQ));
        assert_eq!(at(Disposition::DeadLetter, topic::DLQ), Err(NoLetter::Hold));
        assert_eq!(at(Disposition::HoldUntilWorking, topic::RAW), Err(NoLetter::Hold));
        let wait = Duration::from_secs(5);
        assert_eq!(at(Disposition::RetryAfter(wait), topic::DLQ), Err(NoLetter::Retry(wait)));
    }
}

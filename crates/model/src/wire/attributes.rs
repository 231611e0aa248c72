//! Attributes: what subscriptions filter on and what CloudEvents (binary mode) asks for.

use std::collections::BTreeMap;

use super::{CONTENT_TYPE, PROTOBUF, key_of};
use crate::{ChangeEvent, MergedEvent, record_key};

/// `ce-type` of a [`ChangeEvent`].
const CHANGE_TYPE: &str = "concord.events.v1.ChangeEvent";
/// `ce-type` of a [`MergedEvent`].
const MERGED_TYPE: &str = "concord.events.v1.MergedEvent";
/// Who publishes merged events: the word in `source` and `ce-source`.
const MERGE: &str = "merge-service";

/// The attributes of a protobuf message on `events.raw`. Trace context is added by whoever publishes.
pub fn change_attributes(event: &ChangeEvent) -> BTreeMap<String, String> {
    let id = event.event_id.to_string();
    let source = event.source.as_str();
    let mut attributes = vec![
        ("event_id", id.clone()),
        ("account_id", event.account.to_string()),
        ("record_type", event.record_type.to_string()),
        ("record_id", event.record_id.to_string()),
        ("record_key", key_of(event)),
        ("source", source.to_owned()),
        (CONTENT_TYPE, PROTOBUF.to_owned()),
        ("ce-id", id),
        ("ce-source", format!("/accounts/{}/{source}", event.account)),
        ("ce-specversion", "1.0".to_owned()),
        ("ce-type", CHANGE_TYPE.to_owned()),
        ("ce-time", event.occurred_at.to_string()),
    ];
    if event.source.side().is_none() {
        attributes.push(("side", event.side.to_string()));
    }
    named(attributes)
}

/// The attributes of a message on `events.merged`; subscriptions filter on `target`.
pub fn merged_attributes(event: &MergedEvent) -> BTreeMap<String, String> {
    let id = event.event_id.to_string();
    let rid = event.rid.to_string();
    let mut attributes = vec![
        ("event_id", id.clone()),
        ("account_id", event.account.to_string()),
        ("record_type", event.record_type.to_string()),
        ("record_key", record_key(&event.account, &event.record_type, &rid)),
        ("record_id", rid),
        ("source", MERGE.to_owned()),
        ("target", event.target.to_string()),
        (CONTENT_TYPE, PROTOBUF.to_owned()),
        ("ce-id", id),
        ("ce-source", format!("/accounts/{}/{MERGE}", event.account)),
        ("ce-specversion", "1.0".to_owned()),
        ("ce-type", MERGED_TYPE.to_owned()),
    ];
    if let Some(at) = event.occurred_at {
        attributes.push(("ce-time", at.to_string()));
    }
    named(attributes)
}

fn named(attributes: Vec<(&str, String)>) -> BTreeMap<String, String> {
    attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

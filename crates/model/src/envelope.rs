//! The JSON envelope (contracts §3), in both seed spellings, for producers without protobuf.
//!
//! `eventType` or `operation`, `changes` or `payload`, `UE` or `netsuite-ue`, `"v123"`, `"123"` or 123: all mean the
//! same. Unknown members, `orderingKey` and
//! `authContext` are accepted. Optional members may be null. Reading names everything that is wrong at once, each with
//! a JSON pointer, and never repeats a value.
//!
//! | in `changes` | becomes |
//! |---|---|
//! | `"text"`, `true`, `null` | text, checkbox, cleared |
//! | `12` | whole number |
//! | `10.00`, `1e3`, beyond 64 bits | decimal, digit by digit as written |
//! | `["a", 2]` | multi-select |
//! | `{"id": "7", "name": "…"}` (or `refName`) | reference |
//! | `[{"line": 1, …}]`, `[{"id": "…", …}]`, `{"1": {…}}` | sublist |

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use uuid::Uuid;

use crate::wire::{Findings, MAX_LABEL_BYTES, WireError, instant};
use crate::{AccountId, ChangeEvent, EventId, NativeId, Operation, RecordType, Side, Source, TypedValue};

pub use crate::wire::Pointed;

mod json;
mod values;

use json::Object;

/// Most events in one request.
pub const MAX_EVENTS: usize = 100;

/// Namespace of event ids made from webhook ids.
const EVENT_IDS: Uuid = Uuid::from_u128(0x8a2f_6c1e_90b4_5d37_a1c8_44f0_2be9_7d15);

/// What the envelope itself need not say.
struct Around<'a> {
    /// The account of the path or of the attributes.
    account: Option<&'a AccountId>,
    /// The event id to use when the envelope has none.
    event_id: Option<EventId>,
}

/// Reads the body of an ingest request: one envelope, or an array of 1 to [`MAX_EVENTS`]. The account is the path's; a
/// body that names another is refused. An absent `eventId` becomes a UUID v5 of account, webhook id and index, so that
/// a repeated request repeats its ids.
///
/// # Errors
/// Everything that is wrong with the body, as far as [`crate::wire::MAX_FINDINGS`]; pointers begin with the index when
/// the body is an array.
pub fn parse_envelopes(body: &[u8], account: &AccountId, webhook_id: &str) -> Result<Vec<ChangeEvent>, Vec<Pointed>> {
    let mut findings = Findings::default();
    let events = read_envelopes(body, account, webhook_id, &mut findings);
    let found = findings.into_found();
    if found.is_empty() { Ok(events) } else { Err(found) }
}

fn read_envelopes(body: &[u8], account: &AccountId, webhook_id: &str, findings: &mut Findings) -> Vec<ChangeEvent> {
    let Some(raw) = json::document(body, findings) else { return Vec::new() };
    let around = |index: usize| {
        let name = format!("{account}|{webhook_id}|{index}");
        Around { account: Some(account), event_id: Some(Uuid::new_v5(&EVENT_IDS, name.as_bytes())) }
    };
    if !raw.get().starts_with('[') {
        return read_envelope(raw, &around(0), findings).into_iter().collect();
    }
    let Some(items) = json::array(raw, findings) else { return Vec::new() };
    if !(1..=MAX_EVENTS).contains(&items.len()) {
        findings.refuse(format!("is an array of {} events; accepted are 1 to {MAX_EVENTS}", items.len()));
        return Vec::new();
    }
    let mut events = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        events.extend(findings.under(&index.to_string(), |f| read_envelope(item, &around(index), f)));
    }
    events
}

/// Reads a JSON message of `events.raw`: one envelope, whose account and event id may stand in the attributes.
pub(crate) fn parse_message(data: &[u8], attributes: &BTreeMap<String, String>) -> Result<ChangeEvent, WireError> {
    let mut findings = Findings::default();
    let Some(raw) = json::document(data, &mut findings) else {
        let reason = findings.into_found().pop().map(|p| p.message).unwrap_or_default();
        return Err(WireError::NotJson { reason });
    };
    let account = attributes.get("account_id").and_then(|text| AccountId::parse(text).ok());
    let event_id = attributes.get("event_id").and_then(|text| Uuid::try_parse(text).ok()).filter(|id| !id.is_nil());
    let around = Around { account: account.as_ref(), event_id };
    match (read_envelope(raw, &around, &mut findings), findings.into_found()) {
        (Some(event), found) if found.is_empty() => Ok(event),
        (_, found) => Err(WireError::Members(found)),
    }
}

/// Reads every member before giving up, so that one answer names all that is wrong.
fn read_envelope(raw: &RawValue, around: &Around<'_>, findings: &mut Findings) -> Option<ChangeEvent> {
    let members = Object::read(raw, findings)?;
    let f = findings;
    let event_id = members
        .optional_text("eventId", f, uuid)
        .unwrap_or_else(|| around.event_id.or_else(|| f.refuse_member("eventId", "is missing; accepted is a UUID")));
    let account = read_account(&members, around, f);
    let record_type = members.text("recordType", f, |text| RecordType::parse(text).map_err(|bad| bad.accepted));
    let record_id = members.text("recordId", f, |text| NativeId::parse(text).map_err(|bad| bad.accepted));
    let operation = read_operation(&members, f);
    let source = members.text("source", f, source);
    let occurred_at = members.text("timestamp", f, |text| instant(text).ok_or("RFC 3339 with an offset"));
    if let Some(at) = occurred_at {
        f.under("timestamp", |f| f.moment(at));
    }
    let base_version = members.optional("baseVersion", f, version);
    let remote_version = members.optional("remoteVersion", f, |raw| {
        raw.get().parse().map_err(|_| "a whole number (row_version, or seconds since 1970)")
    });
    let write_id = members.optional_text("writeId", f, uuid);
    let full_snapshot_ref = members.label("fullSnapshotRef", MAX_LABEL_BYTES, f);
    let correlation_id = members.label("correlationId", MAX_LABEL_BYTES, f);
    let auth_context = members.opaque("authContext", f);
    let changes = read_changes(&members, f);
    let (source, side) = source?;
    Some(ChangeEvent {
        event_id: event_id?,
        account: account?,
        record_type: record_type?,
        record_id: record_id?,
        operation: operation?,
        source,
        side,
        occurred_at: occurred_at?,
        base_version: base_version.flatten(),
        changes,
        full_snapshot_ref,
        remote_version: remote_version.flatten(),
        write_id: write_id.flatten(),
        auth_context,
        correlation_id,
    })
}

fn read_account(members: &Object<'_>, around: &Around<'_>, findings: &mut Findings) -> Option<AccountId> {
    let said = members.optional_text("accountId", findings, |text| AccountId::parse(text).map_err(|bad| bad.accepted));
    match (said, around.account) {
        (Some(None), _) => None,
        (Some(Some(said)), Some(around)) if said != *around => {
            findings.refuse_member("accountId", "is another account than the one the events are sent for")
        }
        (Some(said @ Some(_)), _) => said,
        (None, Some(around)) => Some(around.clone()),
        (None, None) => findings.refuse_member("accountId", "is missing; accepted is an account id"),
    }
}

fn read_operation(members: &Object<'_>, findings: &mut Findings) -> Option<Operation> {
    let word = |text: &str| Operation::parse(text).ok_or("create, update and delete");
    match (members.get("eventType"), members.get("operation")) {
        (Some(_), Some(_)) => {
            let first = members.text("eventType", findings, word)?;
            let second = members.text("operation", findings, word)?;
            if first == second {
                Some(first)
            } else {
                findings.refuse_member("operation", "and eventType contradict each other; one of them is enough")
            }
        }
        (None, Some(_)) => members.text("operation", findings, word),
        (Some(_), None) | (None, None) => members.text("eventType", findings, word),
    }
}

fn read_changes(members: &Object<'_>, findings: &mut Findings) -> BTreeMap<String, TypedValue> {
    let name = match (members.member("changes"), members.member("payload")) {
        (Some(_), Some(_)) => {
            findings.refuse_at("payload", "stands beside changes; one of them is enough");
            return BTreeMap::new();
        }
        (Some(_), None) => "changes",
        (None, Some(_)) => "payload",
        // A delete has none, and a snapshot reference stands instead of them.
        (None, None) => return BTreeMap::new(),
    };
    findings.under(name, |f| {
        let changes = members.member(name).and_then(|raw| values::fields(raw, f)).unwrap_or_default();
        f.fields(&changes, false);
        changes
    })
}

fn source(word: &str) -> Result<(Source, Side), &'static str> {
    // Reconciler and console publish protobuf; nobody else speaks for them.
    let known = Source::parse(word).and_then(|source| Some((source, source.side()?)));
    known.ok_or("netsuite-ue (UE), netsuite-poll (Poller) and suitex (SuiteX)")
}

fn uuid(text: &str) -> Result<Uuid, &'static str> {
    Uuid::try_parse(text).ok().filter(|uuid| !uuid.is_nil()).ok_or("a UUID that is not nil")
}

/// `"v123"`, `"123"` or `123`.
fn version(raw: &RawValue) -> Result<u64, &'static str> {
    let text = raw.get();
    let digits = match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(quoted) => quoted.strip_prefix('v').unwrap_or(quoted),
        None => text,
    };
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| plain).ok_or("\"v123\", \"123\" and 123")
}

#[cfg(test)]
mod tests;

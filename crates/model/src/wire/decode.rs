//! Messages → words of the model, refusing what the model does not hold.

use std::collections::BTreeMap;

use prost::Message as _;
use uuid::Uuid;

use super::check::MAX_LABEL_BYTES;
use super::{Findings, WireError, encode, proto, side_of};
use crate::{
    AccountId, BadId, ChangeEvent, Fields, Line, MergedEvent, NativeId, Operation, RecordType, Rid, Side, Source,
    Timestamp, TypedValue, Value,
};

pub(super) fn change(data: &[u8], attributes: &BTreeMap<String, String>) -> Result<ChangeEvent, WireError> {
    let mut wire =
        proto::ChangeEvent::decode(data).map_err(|source| WireError::Unreadable { message: "ChangeEvent", source })?;
    let mut findings = Findings::default();
    fill(&mut wire, attributes, &mut findings);
    match read_change(wire, &mut findings) {
        Some(event) => refuse_or(findings, event),
        None => Err(WireError::Members(findings.into_found())),
    }
}

/// Takes from the attributes what the body leaves empty.
fn fill(wire: &mut proto::ChangeEvent, attributes: &BTreeMap<String, String>, findings: &mut Findings) {
    if let Some(account) = attributes.get("account_id")
        && !wire.account_id.is_empty()
        && *account != wire.account_id
    {
        // Which of two tenants a change belongs to is nothing to guess about.
        findings.refuse_at("account_id", "and the attribute of that name contradict each other");
    }
    let members = [
        ("event_id", &mut wire.event_id),
        ("account_id", &mut wire.account_id),
        ("record_type", &mut wire.record_type),
        ("record_id", &mut wire.record_id),
    ];
    for (name, member) in members {
        if member.is_empty()
            && let Some(attribute) = attributes.get(name)
        {
            member.clone_from(attribute);
        }
    }
    if wire.source == 0
        && let Some(source) = attributes.get("source").and_then(|word| Source::parse(word))
    {
        wire.source = encode::source(source).into();
    }
    if wire.side == 0
        && let Some(side) = attributes.get("side").and_then(|word| Side::parse(word))
    {
        wire.side = encode::side(side).into();
    }
}

/// Reads every member before giving up, so that one answer names all that is wrong.
fn read_change(wire: proto::ChangeEvent, findings: &mut Findings) -> Option<ChangeEvent> {
    let event_id = findings.under("event_id", |f| uuid(&wire.event_id, f));
    let account = findings.under("account_id", |f| id(&wire.account_id, AccountId::parse, f));
    let record_type = findings.under("record_type", |f| id(&wire.record_type, RecordType::parse, f));
    let record_id = findings.under("record_id", |f| id(&wire.record_id, NativeId::parse, f));
    let operation = findings.under("operation", |f| operation(wire.operation, f));
    let source = findings.under("source", |f| source(wire.source, f));
    let said = findings.under("side", |f| side(wire.side, f));
    let occurred_at = findings.under("occurred_at", |f| required_moment(wire.occurred_at, f));
    let changes = findings.under("changes", |f| {
        let changes = typed_fields(wire.changes, f);
        f.fields(&changes, false);
        changes
    });
    for (name, text) in [("full_snapshot_ref", &wire.full_snapshot_ref), ("correlation_id", &wire.correlation_id)] {
        if let Some(text) = text {
            findings.under(name, |f| f.text(text, MAX_LABEL_BYTES));
        }
    }
    let write_id = wire.write_id.as_deref().and_then(|text| findings.under("write_id", |f| uuid(text, f)));
    let auth_context =
        wire.auth_context.as_deref().and_then(|text| findings.under("auth_context", |f| opaque(text, f)));
    let source = source?;
    Some(ChangeEvent {
        event_id: event_id?,
        account: account?,
        record_type: record_type?,
        record_id: record_id?,
        operation: operation?,
        source,
        side: side_of(source, said?),
        occurred_at: occurred_at?,
        base_version: wire.base_version,
        changes,
        full_snapshot_ref: wire.full_snapshot_ref,
        remote_version: wire.remote_version,
        write_id,
        auth_context,
        correlation_id: wire.correlation_id,
    })
}

pub(super) fn merged(data: &[u8]) -> Result<MergedEvent, WireError> {
    let wire =
        proto::MergedEvent::decode(data).map_err(|source| WireError::Unreadable { message: "MergedEvent", source })?;
    let mut findings = Findings::default();
    match read_merged(wire, &mut findings) {
        Some(event) => refuse_or(findings, event),
        None => Err(WireError::Members(findings.into_found())),
    }
}

fn read_merged(wire: proto::MergedEvent, findings: &mut Findings) -> Option<MergedEvent> {
    let event_id = findings.under("event_id", |f| uuid(&wire.event_id, f));
    let account = findings.under("account_id", |f| id(&wire.account_id, AccountId::parse, f));
    let record_type = findings.under("record_type", |f| id(&wire.record_type, RecordType::parse, f));
    let rid = findings.under("record_id", |f| uuid(&wire.record_id, f));
    let target = findings.under("target", |f| match side(wire.target, f)? {
        Some(side) => Some(side),
        None => refuse(f, "is missing; accepted are SIDE_SUITEX and SIDE_NETSUITE"),
    });
    let changes = findings.under("changes", |f| canonical_fields(wire.changes, f));
    let source_event_ids =
        findings.under("source_event_ids", |f| wire.source_event_ids.iter().filter_map(|text| uuid(text, f)).collect());
    let occurred_at = wire.occurred_at.and_then(|at| findings.under("occurred_at", |f| moment(&at, f)));
    Some(MergedEvent {
        event_id: event_id?,
        account: account?,
        record_type: record_type?,
        rid: Rid(rid?),
        target: target?,
        version: wire.version,
        changes,
        source_event_ids,
        decisions: wire.decisions.into_iter().map(|(field, d)| (field, (d.policy, d.winner))).collect(),
        occurred_at,
    })
}

fn refuse_or<T>(findings: Findings, event: T) -> Result<T, WireError> {
    let found = findings.into_found();
    if found.is_empty() { Ok(event) } else { Err(WireError::Members(found)) }
}

fn refuse<T>(findings: &mut Findings, message: impl Into<String>) -> Option<T> {
    findings.refuse(message);
    None
}

fn uuid(text: &str, findings: &mut Findings) -> Option<Uuid> {
    if text.is_empty() {
        return refuse(findings, "is missing; accepted is a UUID");
    }
    match Uuid::try_parse(text) {
        Ok(uuid) if !uuid.is_nil() => Some(uuid),
        Ok(_) | Err(_) => refuse(findings, "is no UUID; accepted is a UUID that is not nil"),
    }
}

fn id<T>(text: &str, parse: impl Fn(&str) -> Result<T, BadId>, findings: &mut Findings) -> Option<T> {
    match parse(text) {
        Ok(id) => Some(id),
        Err(bad) if text.is_empty() => refuse(findings, format!("is missing; accepted are {}", bad.accepted)),
        Err(bad) => refuse(findings, format!("is no such id; accepted are {}", bad.accepted)),
    }
}

fn operation(number: i32, findings: &mut Findings) -> Option<Operation> {
    match proto::Operation::try_from(number) {
        Ok(proto::Operation::Create) => Some(Operation::Create),
        Ok(proto::Operation::Update) => Some(Operation::Update),
        Ok(proto::Operation::Delete) => Some(Operation::Delete),
        Ok(proto::Operation::Unspecified) | Err(_) => {
            refuse(findings, "is missing or unknown; accepted are create, update and delete")
        }
    }
}

fn source(number: i32, findings: &mut Findings) -> Option<Source> {
    match proto::Source::try_from(number) {
        Ok(proto::Source::NetsuiteUe) => Some(Source::NetsuiteUe),
        Ok(proto::Source::NetsuitePoll) => Some(Source::NetsuitePoll),
        Ok(proto::Source::Suitex) => Some(Source::Suitex),
        Ok(proto::Source::Reconcile) => Some(Source::Reconcile),
        Ok(proto::Source::Resolution) => Some(Source::Resolution),
        Ok(proto::Source::Unspecified) | Err(_) => refuse(
            findings,
            "is missing or unknown; accepted are netsuite-ue, netsuite-poll, suitex, reconcile and resolution",
        ),
    }
}

/// `Some(None)` = the message does not say.
fn side(number: i32, findings: &mut Findings) -> Option<Option<Side>> {
    match proto::Side::try_from(number) {
        Ok(proto::Side::Unspecified) => Some(None),
        Ok(proto::Side::Suitex) => Some(Some(Side::Suitex)),
        Ok(proto::Side::Netsuite) => Some(Some(Side::Netsuite)),
        Err(_) => refuse(findings, "is unknown; accepted are suitex and netsuite"),
    }
}

fn required_moment(at: Option<prost_types::Timestamp>, findings: &mut Findings) -> Option<Timestamp> {
    match at {
        Some(at) => moment(&at, findings),
        None => refuse(findings, "is missing; accepted is a Timestamp"),
    }
}

fn moment(at: &prost_types::Timestamp, findings: &mut Findings) -> Option<Timestamp> {
    let nanos = (0..1_000_000_000).contains(&at.nanos).then_some(at.nanos);
    match nanos.and_then(|nanos| Timestamp::new(at.seconds, nanos).ok()) {
        Some(at) => {
            findings.moment(at);
            Some(at)
        }
        None => {
            refuse(findings, "is no moment; accepted are seconds in the years 1970 to 2199 and 0 to 999999999 nanos")
        }
    }
}

fn opaque(text: &str, findings: &mut Findings) -> Option<serde_json::Value> {
    match serde_json::from_str(text) {
        Ok(json) => {
            findings.opaque(&json, text.len());
            Some(json)
        }
        Err(_) => refuse(findings, "is no JSON text"),
    }
}

fn typed_fields(fields: BTreeMap<String, proto::TypedValue>, findings: &mut Findings) -> BTreeMap<String, TypedValue> {
    let mut typed_fields = BTreeMap::new();
    for (name, value) in fields {
        if let Some(value) = findings.under(&name, |f| typed(value, f)) {
            typed_fields.insert(name, value);
        }
    }
    typed_fields
}

fn typed(value: proto::TypedValue, findings: &mut Findings) -> Option<TypedValue> {
    use proto::typed_value::Value as Wire;
    Some(match value.value {
        None => return refuse(findings, "has no value; null_value clears a field"),
        Some(Wire::NullValue(_)) => TypedValue::Null,
        Some(Wire::BoolValue(on)) => TypedValue::Bool(on),
        Some(Wire::IntegerValue(number)) => TypedValue::Integer(number),
        Some(Wire::DecimalValue(text)) => TypedValue::Decimal(text),
        Some(Wire::TextValue(text)) => TypedValue::Text(text),
        Some(Wire::DateValue(text)) => TypedValue::Date(text),
        Some(Wire::DatetimeValue(text)) => TypedValue::DateTime(text),
        Some(Wire::ReferenceValue(to)) => TypedValue::Reference { id: to.id, name: to.name },
        Some(Wire::SetValue(set)) => TypedValue::Set(set.values),
        Some(Wire::LinesValue(lines)) => {
            let mut typed_lines = BTreeMap::new();
            for (key, line) in lines.lines {
                let fields = findings.under(&key, |f| typed_fields(line.fields, f));
                typed_lines.insert(key, fields);
            }
            TypedValue::Lines(typed_lines)
        }
    })
}

fn canonical_fields(fields: BTreeMap<String, proto::TypedValue>, findings: &mut Findings) -> Fields {
    let mut canonical_fields = Fields::new();
    for (name, value) in fields {
        if let Some(value) = findings.under(&name, |f| canonical(value, f)) {
            canonical_fields.insert(name, value);
        }
    }
    canonical_fields
}

fn canonical(value: proto::TypedValue, findings: &mut Findings) -> Option<Value> {
    use proto::typed_value::Value as Wire;
    Some(match value.value {
        None => return refuse(findings, "has no value; null_value clears a field"),
        Some(Wire::NullValue(_)) => Value::Null,
        Some(Wire::BoolValue(on)) => Value::Bool(on),
        Some(Wire::IntegerValue(number)) => Value::Int(number),
        Some(Wire::TextValue(text) | Wire::DecimalValue(text) | Wire::DateValue(text) | Wire::DatetimeValue(text)) => {
            Value::text(text)
        }
        Some(Wire::ReferenceValue(to)) => Value::text(to.id),
        Some(Wire::SetValue(set)) => Value::Set(set.values.into_iter().collect()),
        Some(Wire::LinesValue(lines)) => {
            let line = |(key, line): (String, proto::Line), findings: &mut Findings| -> (String, Line) {
                let fields = findings.under(&key, |f| canonical_fields(line.fields, f));
                (key, (!line.removed).then_some(fields))
            };
            Value::Lines(lines.lines.into_iter().map(|entry| line(entry, findings)).collect())
        }
    })
}

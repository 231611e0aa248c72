//! Words of the model → messages. Cannot fail: whatever the model holds has a spelling.

use std::collections::BTreeMap;

use super::proto;
use crate::{ChangeEvent, Fields, MergedEvent, Operation, Side, Source, Timestamp, TypedValue, Value};

pub(super) fn change(event: &ChangeEvent) -> proto::ChangeEvent {
    proto::ChangeEvent {
        event_id: event.event_id.to_string(),
        account_id: event.account.to_string(),
        record_type: event.record_type.to_string(),
        record_id: event.record_id.to_string(),
        operation: operation(event.operation).into(),
        source: source(event.source).into(),
        occurred_at: Some(timestamp(event.occurred_at)),
        base_version: event.base_version,
        changes: typed_fields(&event.changes),
        full_snapshot_ref: event.full_snapshot_ref.clone(),
        remote_version: event.remote_version,
        write_id: event.write_id.map(|id| id.to_string()),
        auth_context: event.auth_context.as_ref().map(serde_json::Value::to_string),
        correlation_id: event.correlation_id.clone(),
        side: side(event.side).into(),
    }
}

pub(super) fn merged(event: &MergedEvent) -> proto::MergedEvent {
    let decision = |(field, (policy, winner)): (&String, &(String, String))| {
        (field.clone(), proto::Decision { policy: policy.clone(), winner: winner.clone() })
    };
    proto::MergedEvent {
        event_id: event.event_id.to_string(),
        account_id: event.account.to_string(),
        record_type: event.record_type.to_string(),
        record_id: event.rid.to_string(),
        target: side(event.target).into(),
        version: event.version,
        changes: fields(&event.changes),
        source_event_ids: event.source_event_ids.iter().map(ToString::to_string).collect(),
        source_events: Vec::new(),
        decisions: event.decisions.iter().map(decision).collect(),
        occurred_at: event.occurred_at.map(timestamp),
    }
}

fn typed_fields(fields: &BTreeMap<String, TypedValue>) -> BTreeMap<String, proto::TypedValue> {
    fields.iter().map(|(name, value)| (name.clone(), typed(value))).collect()
}

fn typed(value: &TypedValue) -> proto::TypedValue {
    use proto::typed_value::Value as Wire;
    let wire = match value {
        TypedValue::Null => Wire::NullValue(0),
        TypedValue::Bool(on) => Wire::BoolValue(*on),
        TypedValue::Integer(number) => Wire::IntegerValue(*number),
        TypedValue::Decimal(text) => Wire::DecimalValue(text.clone()),
        TypedValue::Text(text) => Wire::TextValue(text.clone()),
        TypedValue::Date(text) => Wire::DateValue(text.clone()),
        TypedValue::DateTime(text) => Wire::DatetimeValue(text.clone()),
        TypedValue::Reference { id, name } => {
            Wire::ReferenceValue(proto::Reference { id: id.clone(), name: name.clone() })
        }
        TypedValue::Set(values) => Wire::SetValue(proto::Set { values: values.clone() }),
        TypedValue::Lines(lines) => {
            let line = |(key, fields): (&String, &BTreeMap<String, TypedValue>)| {
                (key.clone(), proto::Line { fields: typed_fields(fields), removed: false })
            };
            Wire::LinesValue(proto::Lines { lines: lines.iter().map(line).collect() })
        }
    };
    proto::TypedValue { value: Some(wire) }
}

fn fields(fields: &Fields) -> BTreeMap<String, proto::TypedValue> {
    fields.iter().map(|(name, value)| (name.clone(), canonical(value))).collect()
}

fn canonical(value: &Value) -> proto::TypedValue {
    use proto::typed_value::Value as Wire;
    let wire = match value {
        Value::Null => Wire::NullValue(0),
        Value::Bool(on) => Wire::BoolValue(*on),
        Value::Int(number) => Wire::IntegerValue(*number),
        Value::Text(text) => Wire::TextValue(text.clone()),
        Value::Set(values) => Wire::SetValue(proto::Set { values: values.iter().cloned().collect() }),
        Value::Lines(lines) => {
            let line = |(key, line): (&String, &Option<Fields>)| {
                let message =
                    proto::Line { fields: line.as_ref().map(fields).unwrap_or_default(), removed: line.is_none() };
                (key.clone(), message)
            };
            Wire::LinesValue(proto::Lines { lines: lines.iter().map(line).collect() })
        }
    };
    proto::TypedValue { value: Some(wire) }
}

fn operation(operation: Operation) -> proto::Operation {
    match operation {
        Operation::Create => proto::Operation::Create,
        Operation::Update => proto::Operation::Update,
        Operation::Delete => proto::Operation::Delete,
    }
}

pub(super) fn source(source: Source) -> proto::Source {
    match source {
        Source::NetsuiteUe => proto::Source::NetsuiteUe,
        Source::NetsuitePoll => proto::Source::NetsuitePoll,
        Source::Suitex => proto::Source::Suitex,
        Source::Reconcile => proto::Source::Reconcile,
        Source::Resolution => proto::Source::Resolution,
    }
}

pub(super) fn side(side: Side) -> proto::Side {
    match side {
        Side::Suitex => proto::Side::Suitex,
        Side::Netsuite => proto::Side::Netsuite,
    }
}

fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    // Protobuf wants nanoseconds to count forward from the second, also before 1970.
    let nanos = at.subsec_nanosecond();
    if nanos < 0 {
        prost_types::Timestamp { seconds: at.as_second() - 1, nanos: nanos + 1_000_000_000 }
    } else {
        prost_types::Timestamp { seconds: at.as_second(), nanos }
    }
}

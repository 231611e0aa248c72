//! What record types may not say at once.

use super::{FieldSpec, Kind, Policy, SpecError, TypeSpec};

/// Our writes must be told from users', by a stamp or by notes; and notes tell nothing of lines.
pub(super) fn check_mark(spec: &TypeSpec) -> Result<(), SpecError> {
    let refuse = |reason: &str| {
        let (record_type, field) = (spec.name.to_string(), "netsuite".to_owned());
        Err(SpecError::Contradiction { record_type, field, reason: reason.to_owned() })
    };
    match (&spec.netsuite.stamp_field, &spec.netsuite.notes) {
        (Some(_), None) => Ok(()),
        (None, Some(_)) if spec.fields.iter().any(|field| field.lines().is_some()) => {
            refuse("a type with a sublist needs stamp_field: lines leave no system notes that tell one from another")
        }
        (None, Some(_)) => Ok(()),
        (Some(_), Some(_)) => refuse("either stamp_field or notes is accepted, not both"),
        (None, None) => refuse("either stamp_field or notes is needed: without one our writes look like users' edits"),
    }
}

pub(super) fn check(spec: &TypeSpec, field: &FieldSpec) -> Result<(), SpecError> {
    let refuse = |reason: &str| {
        Err(SpecError::Contradiction {
            record_type: spec.name.to_string(),
            field: field.name.clone(),
            reason: reason.to_owned(),
        })
    };
    if spec.fields.iter().filter(|f| f.name == field.name).count() > 1 {
        return refuse("the name is used twice");
    }
    match (&field.policy, &field.kind) {
        (Policy::Union, kind) if *kind != Kind::Set => refuse("the policy union needs the kind set"),
        (Policy::NumericDelta { .. } | Policy::Max | Policy::Min, Kind::Integer | Kind::Decimal { .. }) => Ok(()),
        (Policy::NumericDelta { .. }, _) => refuse("the policy numeric_delta needs the kind integer or decimal"),
        (Policy::Max | Policy::Min, Kind::Date | Kind::DateTime) => Ok(()),
        (Policy::Max | Policy::Min, _) => refuse("the policies max and min need a number, a date or a date-time"),
        (Policy::Append, kind) if !matches!(kind, Kind::Text { .. }) => refuse("the policy append needs the kind text"),
        _ if field.group.is_some() && spec.group_of(field).iter().any(|f| f.policy != field.policy) => {
            refuse("all fields of an atomic group need the same policy")
        }
        _ if field.group.is_some() && (field.policy.additive() || field.policy == Policy::Union) => {
            refuse("a field of an atomic group cannot be additive")
        }
        _ => Ok(()),
    }
}

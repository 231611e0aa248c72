//! What each policy makes of a field both sides changed (semantics §2.5).

use std::collections::BTreeSet;
use std::time::Duration;

use model::spec::{FieldSpec, Kind, Policy};
use model::{Side, Timestamp, Value};
use rust_decimal::Decimal;

/// Rewritings further apart than this are no oscillation.
pub const OSCILLATION_WINDOW: Duration = Duration::from_secs(600);
/// Rewritings in a row after which a person is asked.
pub(crate) const OSCILLATION_LIMIT: u8 = 4;

/// A field (or atomic group) both sides changed: `b → o` here, `b → c` there.
pub(crate) struct Clash<'a> {
    pub(crate) field: &'a FieldSpec,
    /// The side just observed.
    pub(crate) side: Side,
    pub(crate) base: &'a Value,
    pub(crate) observed: &'a Value,
    pub(crate) canonical: &'a Value,
    /// When each was typed, in our clock.
    pub(crate) observed_at: Timestamp,
    pub(crate) canonical_at: Timestamp,
    /// The record was not known on this side: there is no base, so nothing can be added up.
    pub(crate) first_link: bool,
}

/// The decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The observed value stands; the canonical one is lost.
    Observed,
    /// The canonical value stands; the observed one is lost.
    Canonical,
    /// Both went into this value; `clamped` is what a floor or ceiling cut off.
    Merged { value: Value, clamped: Option<Value> },
    /// A person decides.
    Ask,
}

pub(crate) fn decide(clash: &Clash<'_>) -> Verdict {
    if clash.first_link && clash.field.policy.additive() {
        return if clash.observed == clash.canonical { Verdict::Canonical } else { newest(clash) };
    }
    match &clash.field.policy {
        Policy::SuitexWins | Policy::SxDerived => wins(clash, Side::Suitex),
        Policy::NetsuiteWins | Policy::NsDerived => wins(clash, Side::Netsuite),
        Policy::NewestWins => newest(clash),
        Policy::Manual => Verdict::Ask,
        Policy::Union => Verdict::Merged { value: union(clash), clamped: None },
        Policy::NumericDelta { floor, ceiling } => delta(clash, *floor, *ceiling),
        Policy::Max => extreme(clash, true),
        Policy::Min => extreme(clash, false),
        Policy::Append => append(clash),
        // An ignored field never reaches a clash; an immutable one keeps its first value.
        Policy::Immutable | Policy::Ignored => Verdict::Canonical,
    }
}

fn wins(clash: &Clash<'_>, winner: Side) -> Verdict {
    if clash.side == winner { Verdict::Observed } else { Verdict::Canonical }
}

/// The later edit; within one second, which is NetSuite's resolution, NetSuite's.
fn newest(clash: &Clash<'_>) -> Verdict {
    let apart = clash.observed_at.duration_since(clash.canonical_at).as_millis();
    if apart.abs() <= 1_000 {
        wins(clash, Side::Netsuite)
    } else if apart > 0 {
        Verdict::Observed
    } else {
        Verdict::Canonical
    }
}

fn union(clash: &Clash<'_>) -> Value {
    let empty = BTreeSet::new();
    let set = |value: &'_ Value| -> BTreeSet<String> {
        match value {
            Value::Set(set) => set.clone(),
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Text(_) | Value::Lines(_) => empty.clone(),
        }
    };
    let (b, o, c) = (set(clash.base), set(clash.observed), set(clash.canonical));
    let removed: BTreeSet<_> = b.difference(&o).cloned().collect();
    let with_added: BTreeSet<_> = c.union(&o.difference(&b).cloned().collect()).cloned().collect();
    let merged: BTreeSet<_> = with_added.difference(&removed).cloned().collect();
    if merged.is_empty() { Value::Null } else { Value::Set(merged) }
}

/// A number as an exact decimal; empty counts as zero.
fn number(value: &Value) -> Option<Decimal> {
    match value {
        Value::Null => Some(Decimal::ZERO),
        Value::Int(n) => Some(Decimal::from(*n)),
        Value::Text(text) => text.parse().ok(),
        Value::Bool(_) | Value::Set(_) | Value::Lines(_) => None,
    }
}

fn render(field: &FieldSpec, number: Decimal) -> Option<Value> {
    match &field.kind {
        Kind::Integer => i64::try_from(number.trunc()).ok().map(Value::Int),
        Kind::Decimal { scale } => {
            let mut number = number.round_dp(*scale);
            number.rescale(*scale);
            Some(Value::Text(number.to_string()))
        }
        Kind::Bool
        | Kind::Text { .. }
        | Kind::Date
        | Kind::DateTime
        | Kind::Reference { .. }
        | Kind::Set
        | Kind::Lines(_) => None,
    }
}

fn delta(clash: &Clash<'_>, floor: Option<Decimal>, ceiling: Option<Decimal>) -> Verdict {
    let sum = || {
        let change = number(clash.observed)?.checked_sub(number(clash.base)?)?;
        let sum = number(clash.canonical)?.checked_add(change)?;
        let held = floor.map_or(sum, |floor| sum.max(floor));
        let held = ceiling.map_or(held, |ceiling| held.min(ceiling));
        let clamped = if held == sum { None } else { render(clash.field, sum - held) };
        Some((render(clash.field, held)?, clamped))
    };
    // A sum out of range is nobody's value: a person decides.
    sum().map_or(Verdict::Ask, |(value, clamped)| Verdict::Merged { value, clamped })
}

/// Numbers by size, dates and date-times by their text, which sorts; an empty value never wins.
fn extreme(clash: &Clash<'_>, largest: bool) -> Verdict {
    let order = match (clash.observed, clash.canonical) {
        (Value::Null, _) => return Verdict::Canonical,
        (_, Value::Null) => return Verdict::Observed,
        (o, c) => match (&clash.field.kind, number(o), number(c)) {
            (Kind::Integer | Kind::Decimal { .. }, Some(o), Some(c)) => o.cmp(&c),
            _ => o.cmp(c),
        },
    };
    if order.is_gt() == largest { Verdict::Observed } else { Verdict::Canonical }
}

fn append(clash: &Clash<'_>) -> Verdict {
    let text = |value: &'_ Value| value.as_text().unwrap_or_default().to_owned();
    let (b, o, c) = (text(clash.base), text(clash.observed), text(clash.canonical));
    match o.strip_prefix(&b) {
        Some(suffix) => Verdict::Merged { value: Value::text(format!("{c}{suffix}")), clamped: None },
        None => newest(clash),
    }
}

//! Undo: which value a version took from a field, and the fold that puts it back.
//!
//! An undo is a person's decision like a resolution: the value goes to both sides, what it replaces is an override of its
//! own version, so an undo can be undone.

use model::record::{FieldMeta, Override, Record, Undo, WHOLE};
use model::spec::{FieldSpec, Policy, TypeSpec};
use model::{Fields, Side, Value};

use crate::field::{Context, as_value, from_value, set, value};
use crate::fold::{Effects, FoldError};

/// What is put back as one value: a field, an atomic group, or one field of a line.
#[derive(Debug, Clone, PartialEq)]
pub struct Unit<'a> {
    members: Vec<&'a FieldSpec>,
    /// Sublist and line key, for a line's field.
    line: Option<(&'a FieldSpec, &'a str)>,
}

impl<'a> Unit<'a> {
    /// The unit a field belongs to. `name` is a field's name, or `SUBLIST.LINE KEY.FIELD`.
    ///
    /// # Errors
    /// [`FoldError::NotOpenToUndo`], saying what is in the way.
    pub fn find(spec: &'a TypeSpec, name: &'a str) -> Result<Self, FoldError> {
        let refuse = |reason| Err(FoldError::NotOpenToUndo { field: name.to_owned(), reason });
        let unit = match spec.field(name) {
            Some(field) if field.lines().is_some() => {
                return refuse("a sublist is put back field by field: name it SUBLIST.LINE KEY.FIELD");
            }
            Some(field) => Self { members: spec.group_of(field), line: None },
            None if name == WHOLE => return refuse("a deletion is not a field's value"),
            None => match Self::of_line(spec, name) {
                Some(unit) => unit,
                None => return refuse("the record type has no such field"),
            },
        };
        for field in &unit.members {
            if let Some(reason) = bound(field) {
                return refuse(reason);
            }
        }
        Ok(unit)
    }

    fn of_line(spec: &'a TypeSpec, name: &'a str) -> Option<Self> {
        let (sublist, rest) = spec.fields.iter().find_map(|f| {
            let rest = name.strip_prefix(f.name.as_str())?.strip_prefix('.')?;
            Some((f, rest)).filter(|_| f.lines().is_some())
        })?;
        let (key, field) = sublist.lines()?.line.iter().find_map(|f| {
            let key = rest.strip_suffix(f.name.as_str())?.strip_suffix('.')?;
            Some((key, f)).filter(|_| !key.is_empty())
        })?;
        Some(Self { members: vec![field], line: Some((sublist, key)) })
    }

    /// Its name in conflicts and overrides: the leader's, or a line field's full name.
    pub fn name(&self) -> String {
        self.full_name(self.members[0])
    }

    /// The names its values are kept under.
    pub fn names(&self) -> Vec<String> {
        self.members.iter().map(|field| self.full_name(field)).collect()
    }

    fn full_name(&self, field: &FieldSpec) -> String {
        match self.line {
            Some((sublist, key)) => format!("{}.{key}.{}", sublist.name, field.name),
            None => field.name.clone(),
        }
    }

    /// The field a conflict about it bears.
    fn conflict_field(&self) -> &str {
        self.line.map_or(self.members[0].name.as_str(), |(sublist, _)| sublist.name.as_str())
    }

    /// Is a lock on this field a lock on the unit?
    pub fn locked_by(&self, field: &str) -> bool {
        field == self.conflict_field() || self.members.iter().any(|member| member.name == field && self.line.is_none())
    }

    /// Its values in a state, by full name, empty ones left out. `None`: the line is not there.
    pub fn values(&self, state: &Fields) -> Option<Fields> {
        let held = match self.line {
            None => state,
            Some((sublist, key)) => state.get(&sublist.name)?.as_lines()?.get(key)?.as_ref()?,
        };
        let values = self.members.iter().map(|f| (self.full_name(f), value(held, &f.name)));
        Some(values.filter(|(_, value)| !value.is_null()).collect())
    }

    fn store(&self, state: &mut Fields, values: &Fields) {
        match self.line {
            None => {
                for field in &self.members {
                    set(state, &field.name, value(values, &field.name));
                }
            }
            Some((sublist, key)) => {
                if let Some(Value::Lines(lines)) = state.get_mut(&sublist.name)
                    && let Some(Some(line)) = lines.get_mut(key)
                {
                    for field in &self.members {
                        set(line, &field.name, value(values, &self.full_name(field)));
                    }
                }
            }
        }
    }

    /// As one value, the way overrides name what was lost.
    fn as_one(&self, values: &Fields) -> Value {
        match self.line {
            None => as_value(&self.members, values),
            Some(_) => value(values, &self.name()),
        }
    }

    fn taken_apart(&self, one: Value) -> Fields {
        let mut values = match self.line {
            None => from_value(&self.members, one),
            Some(_) => [(self.name(), one)].into(),
        };
        values.retain(|_, value| !value.is_null());
        values
    }
}

/// Why a person's value would not stand in this field.
fn bound(field: &FieldSpec) -> Option<&'static str> {
    match field.policy {
        Policy::Immutable => Some("it is immutable: its first value stands"),
        Policy::Ignored => Some("it is not synced"),
        Policy::NsDerived | Policy::SxDerived => Some("one side computes it"),
        Policy::SuitexWins
        | Policy::NetsuiteWins
        | Policy::NewestWins
        | Policy::Manual
        | Policy::Union
        | Policy::NumericDelta { .. }
        | Policy::Max
        | Policy::Min
        | Policy::Append => match (field.read_only, field.create_only) {
            (Some(_), _) => Some("one side takes no value for it"),
            (None, Some(_)) => Some("one side takes its value only when the record is created"),
            (None, None) => None,
        },
    }
}

/// What a version offers to put back.
#[derive(Debug, Clone, PartialEq)]
pub enum Earlier {
    /// These values.
    Values(Fields),
    /// Both sides' values were lost: whose is meant must be said.
    Either,
    /// The version neither changed the unit nor took a value from anybody.
    Nothing,
}

/// The values a version took from a unit: those recorded as lost, else those that stood before it. `before` and `after`:
/// the canonical states around the version.
pub fn earlier(unit: &Unit<'_>, lost: &[Override], side: Option<Side>, before: &Fields, after: &Fields) -> Earlier {
    // What numeric_delta records is the amount a floor or ceiling cut off, not a value the field had.
    let mine: Vec<&Override> = lost
        .iter()
        .filter(|lost| lost.policy != "numeric_delta" && side.is_none_or(|side| side == lost.losing_side))
        .filter(|lost| lost.field == unit.name() || unit.names().contains(&lost.field))
        .collect();
    let stands = unit.values(after).unwrap_or_default();
    let of_side = |side: Side| {
        let mut values = stands.clone();
        for lost in mine.iter().filter(|lost| lost.losing_side == side) {
            // A group's value lost to a policy is one value; lost to a person it is named member by member.
            match (&lost.losing_value, unit.members.len()) {
                (Value::Lines(_), 2..) => values = unit.taken_apart(lost.losing_value.clone()),
                (value, _) => set(&mut values, &lost.field, value.clone()),
            }
        }
        (values != stands).then_some(values)
    };
    match (of_side(Side::Suitex), of_side(Side::Netsuite)) {
        (Some(suitex), Some(netsuite)) if suitex != netsuite => Earlier::Either,
        (Some(values), _) | (None, Some(values)) => Earlier::Values(values),
        (None, None) => match unit.values(before) {
            Some(held) if side.is_none() && held != stands => Earlier::Values(held),
            _ => Earlier::Nothing,
        },
    }
}

/// Folds an undo.
pub(crate) fn put_back(record: &mut Record, cx: &Context<'_>, undo: &Undo, fx: &mut Effects) -> Result<(), FoldError> {
    let unit = Unit::find(cx.spec, &undo.field)?;
    if !record.head.alive {
        return Err(FoldError::Dead);
    }
    let about =
        |conflict: &&model::record::Conflict| conflict.field == WHOLE || conflict.field == unit.conflict_field();
    if let Some(conflict) = record.conflicts.iter().find(about) {
        return Err(FoldError::InConflict(conflict.conflict_id));
    }
    let gone = || FoldError::NotOpenToUndo { field: undo.field.clone(), reason: "its line is gone" };
    let stands = unit.values(&record.head.state).ok_or_else(gone)?;
    let names = unit.names();
    let mut wanted = undo.values.clone();
    wanted.retain(|name, value| names.contains(name) && !value.is_null());
    if stands == wanted {
        return Err(FoldError::StandsAlready);
    }
    let typed_by = record.head.meta.get(&unit.name()).and_then(|meta| meta.side);
    fx.overrides.push(Override {
        field: unit.name(),
        losing_value: unit.as_one(&stands),
        // A value that was neither side's was a person's, and people work beside the application.
        losing_side: typed_by.unwrap_or(Side::Suitex),
        winning_value: unit.as_one(&wanted),
        policy: "undo".to_owned(),
        version: cx.next_version,
        event_id: cx.event_id,
    });
    unit.store(&mut record.head.state, &wanted);
    for name in names {
        let meta = FieldMeta::of(None, cx.event_id, cx.at);
        record.head.meta.insert(name, meta);
    }
    Ok(())
}

#[cfg(test)]
mod tests;

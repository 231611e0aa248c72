//! A log folded twice: under the policies it was folded under, and under others. What the sides held and what people
//! decided is history and stays as it is; only what the fold makes of it may differ.

use std::collections::{BTreeMap, BTreeSet};

use model::record::{Entry, Record, WHOLE};
use model::spec::TypeSpec;
use model::{EventId, Fields, Side, Timestamp, Value};
use uuid::Uuid;

use super::{Broken, Replay};
use crate::field::value;
use crate::fold::{Effects, fold};

/// A record under two sets of policies.
#[derive(Debug, Clone)]
pub struct Comparison<'a> {
    pub(super) then: Replay<'a>,
    now: Option<(Record, &'a TypeSpec)>,
    other: &'a TypeSpec,
    opened: [BTreeMap<Uuid, String>; 2],
    lost: [BTreeSet<Told>; 2],
    unneeded: usize,
}

/// A value recorded as lost: the entry that decided, the field and whose it was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Told {
    /// The log entry.
    pub event_id: EventId,
    /// The field.
    pub field: String,
    /// Who had typed the value.
    pub side: Side,
    /// The policy.
    pub policy: String,
}

/// What came out otherwise.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Moved {
    /// Field → (value it came to, value it would have come to). For [`WHOLE`]: whether the record lives.
    pub fields: BTreeMap<String, (Value, Value)>,
    /// Fields whose conflict nobody would have had to decide.
    pub conflicts_avoided: Vec<String>,
    /// Fields a person would have had to decide about.
    pub conflicts_created: Vec<String>,
    /// Values that would not have been lost.
    pub overrides_avoided: Vec<Told>,
    /// Values that would have been lost.
    pub overrides_created: Vec<Told>,
    /// People's decisions that would have had nothing to decide.
    pub decisions_unneeded: usize,
}

impl Moved {
    /// Nothing would have come out otherwise.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl<'a> Comparison<'a> {
    /// Of a record before its first entry. `other`: the same type under the other policies.
    pub fn new(then: Replay<'a>, other: &'a TypeSpec) -> Self {
        Self { then, now: None, other, opened: Default::default(), lost: Default::default(), unneeded: 0 }
    }

    /// From the next entry on the rules of the time are these.
    pub fn under(&mut self, spec: &'a TypeSpec) {
        self.then.under(spec);
    }

    /// Takes the next entry of the log; `changed` from the first entry under the other policies on.
    ///
    /// # Errors
    /// [`Broken`], when the log itself is.
    pub fn take(
        &mut self,
        record_seq: u64,
        entry: &Entry,
        event_id: EventId,
        at: Timestamp,
        changed: bool,
    ) -> Result<(), Broken> {
        if !changed && self.now.is_none() {
            return self.then.take(record_seq, entry, event_id, at).map(drop);
        }
        let (now, spec) = self.now.get_or_insert_with(|| (self.then.record().clone(), self.other));
        let before = [conflicts(self.then.record()), conflicts(now)];
        let effects = self.then.take(record_seq, entry, event_id, at)?;
        // A decision about a conflict that never was has nothing to decide.
        let otherwise = fold(now, spec, entry, event_id, at).unwrap_or_else(|_| {
            self.unneeded += 1;
            Effects::default()
        });
        let after = [conflicts(self.then.record()), conflicts(now)];
        for (world, effects) in [effects, otherwise].iter().enumerate() {
            let new = after[world].iter().filter(|(id, _)| !before[world].contains_key(*id));
            self.opened[world].extend(new.map(|(id, field)| (*id, field.clone())));
            self.lost[world].extend(effects.overrides.iter().map(|lost| Told {
                event_id,
                field: lost.field.clone(),
                side: lost.losing_side,
                policy: lost.policy.clone(),
            }));
        }
        Ok(())
    }

    /// The last entry taken.
    pub fn record_seq(&self) -> u64 {
        self.then.record().head.record_seq
    }

    /// What came out otherwise.
    pub fn moved(&self) -> Moved {
        let Some((now, _)) = &self.now else { return Moved::default() };
        let then = self.then.record();
        let names: BTreeSet<&String> = then.head.state.keys().chain(now.head.state.keys()).collect();
        let mut fields: BTreeMap<String, (Value, Value)> = names
            .into_iter()
            .map(|name| (name.clone(), pair(&then.head.state, &now.head.state, name)))
            .filter(|(_, (then, now))| then != now)
            .collect();
        if then.head.alive != now.head.alive {
            fields.insert(WHOLE.to_owned(), (Value::Bool(then.head.alive), Value::Bool(now.head.alive)));
        }
        let only = |one: &BTreeMap<Uuid, String>, two: &BTreeMap<Uuid, String>| -> Vec<String> {
            one.iter().filter(|(id, _)| !two.contains_key(*id)).map(|(_, field)| field.clone()).collect()
        };
        let ([opened_then, opened_now], [lost_then, lost_now]) = (&self.opened, &self.lost);
        Moved {
            fields,
            conflicts_avoided: only(opened_then, opened_now),
            conflicts_created: only(opened_now, opened_then),
            overrides_avoided: without_policy(lost_then, lost_now),
            overrides_created: without_policy(lost_now, lost_then),
            decisions_unneeded: self.unneeded,
        }
    }
}

fn conflicts(record: &Record) -> BTreeMap<Uuid, String> {
    record.conflicts.iter().map(|conflict| (conflict.conflict_id, conflict.field.clone())).collect()
}

fn pair(then: &Fields, now: &Fields, name: &str) -> (Value, Value) {
    (value(then, name), value(now, name))
}

/// What only the first names. The same value lost under another policy's name is lost all the same.
fn without_policy(one: &BTreeSet<Told>, two: &BTreeSet<Told>) -> Vec<Told> {
    let same = |a: &Told, b: &Told| (a.event_id, &a.field, a.side) == (b.event_id, &b.field, b.side);
    one.iter().filter(|told| !two.iter().any(|other| same(told, other))).cloned().collect()
}

//! Sublists by line key (semantics §2.7).
//!
//! A line key is the stable id from the side that created the line, with that side's letter; position is never a key.

use std::collections::{BTreeMap, BTreeSet};

use model::record::{ConflictReason, FieldMeta, Override, Record};
use model::spec::{DeletePolicy, FieldSpec, LinesSpec};
use model::{Fields, Line, Lines, Side, Value};

use crate::field::{Context, Outcome, Unit, judge, open_conflict, set, value};
use crate::fold::{Effects, delta};

/// Turns lines by a side's own line ids into lines by line key: mapped ids first, then an exact match with a line the
/// side has no id for yet, then the business key, else the line is new and its key is made from its id.
///
/// `mapped`: line key → id as the shadow knows it. `expected`: the sublist as it may stand there, likeliest first: what
/// the shadow says, what our unresolved writes say, the canonical state. (A line we wrote and whose id we were never
/// told must be found by what *we wrote*: the canonical line may have moved on meanwhile.) Answers the lines and the
/// ids of every line seen.
pub fn key_lines(
    spec: &LinesSpec,
    side: Side,
    mapped: &BTreeMap<String, String>,
    expected: &[&Value],
    seen: &Lines,
) -> (Lines, BTreeMap<String, String>) {
    let by_id: BTreeMap<&String, &String> = mapped.iter().map(|(key, id)| (id, key)).collect();
    let (mut lines, mut ids) = (Lines::new(), BTreeMap::new());
    let mut unmatched: Vec<(&String, &Fields)> = Vec::new();
    for (id, line) in seen.iter().filter_map(|(id, line)| line.as_ref().map(|line| (id, line))) {
        match by_id.get(id) {
            Some(key) => {
                lines.insert((*key).clone(), Some(line.clone()));
                ids.insert((*key).clone(), id.clone());
            }
            None => unmatched.push((id, line)),
        }
    }
    let all: Vec<&str> = spec.line.iter().filter(|f| f.authority().is_none()).map(|f| f.name.as_str()).collect();
    let business: Vec<&str> = spec.match_on.iter().map(String::as_str).collect();
    for names in [&all, &business] {
        for held in expected.iter().filter_map(|value| value.as_lines()).filter(|_| !names.is_empty()) {
            unmatched.retain(|(id, line)| {
                let mut open = held.iter().filter(|(key, _)| !mapped.contains_key(*key) && !lines.contains_key(*key));
                let same = |ours: &Line| {
                    ours.as_ref().is_some_and(|ours| names.iter().all(|name| value(ours, name) == value(line, name)))
                };
                let Some(key) = open.find(|(_, ours)| same(ours)).map(|(key, _)| key.clone()) else { return true };
                lines.insert(key.clone(), Some((*line).clone()));
                ids.insert(key, (*id).clone());
                false
            });
        }
    }
    let taken = |key: &String| expected.iter().filter_map(|value| value.as_lines()).any(|held| held.contains_key(key));
    for (id, line) in unmatched {
        let letter = match side {
            Side::Suitex => 's',
            Side::Netsuite => 'n',
        };
        let mut key = format!("{letter}{id}");
        while lines.contains_key(&key) || taken(&key) {
            key.push('+'); // the side gave a retired id to a new line
        }
        lines.insert(key.clone(), Some(line.clone()));
        ids.insert(key, id.clone());
    }
    (lines, ids)
}

/// Folds an observed sublist: each line is merged like a record.
pub(crate) fn fold_lines(
    record: &mut Record,
    cx: &Context<'_>,
    field: &FieldSpec,
    spec: &LinesSpec,
    observed: &Lines,
    edited_at: model::Timestamp,
    fx: &mut Effects,
) {
    let taken = |state: &Fields| value(state, &field.name).as_lines().cloned().unwrap_or_default();
    let base = taken(&record.shadows[cx.side].state);
    let mut canonical = taken(&record.head.state);
    let keys: BTreeSet<String> = base.keys().chain(observed.keys()).cloned().collect();
    for key in keys {
        let (b, o) = (base.get(&key).cloned().flatten(), observed.get(&key).cloned().flatten());
        if b == o {
            continue;
        }
        let c = canonical.get(&key).cloned().flatten();
        let line = LineFold { field, spec, key: &key, edited_at };
        match line.fold(record, cx, (b, o, c), fx) {
            LineOutcome::Keep => {}
            LineOutcome::Take(Some(line)) => {
                canonical.insert(key, Some(line));
            }
            LineOutcome::Take(None) => {
                canonical.remove(&key);
                let prefix = format!("{}.{key}.", field.name);
                record.head.meta.retain(|name, _| !name.starts_with(&prefix));
            }
            LineOutcome::Ask => {
                let held: Fields = [(field.name.clone(), value(&record.shadows[cx.side].state, &field.name))].into();
                let seen: Fields = [(field.name.clone(), Value::Lines(observed.clone()))].into();
                if record.conflict(&field.name).is_none() {
                    open_conflict(record, cx, field, ConflictReason::Manual, held, seen, fx);
                }
            }
        }
    }
    let as_value = |lines: Lines| if lines.is_empty() { Value::Null } else { Value::Lines(lines) };
    set(&mut record.head.state, &field.name, as_value(canonical));
    set(&mut record.shadows[cx.side].state, &field.name, as_value(observed.clone()));
}

enum LineOutcome {
    Keep,
    Take(Line),
    Ask,
}

struct LineFold<'a> {
    field: &'a FieldSpec,
    spec: &'a LinesSpec,
    key: &'a str,
    edited_at: model::Timestamp,
}

impl LineFold<'_> {
    fn fold(
        &self,
        record: &mut Record,
        cx: &Context<'_>,
        (b, o, c): (Line, Line, Line),
        fx: &mut Effects,
    ) -> LineOutcome {
        match (b, o, c) {
            // New on this side, or changed on this side: field by field.
            (b, Some(o), Some(c)) => self.fields(record, cx, &b.unwrap_or_default(), &o, c, fx),
            (None, Some(o), None) => {
                for name in o.keys() {
                    self.note(record, cx, name);
                }
                LineOutcome::Take(Some(o))
            }
            // Edited here, removed there.
            (Some(b), Some(o), None) => match self.spec.line_delete_policy {
                DeletePolicy::UpdateWins => {
                    fx.overrides.push(self.lost(cx, "", &Value::text("deleted"), cx.side.other(), "update_wins"));
                    LineOutcome::Take(Some(o))
                }
                DeletePolicy::DeleteWins => {
                    for (name, lost) in delta(&b, &o) {
                        fx.overrides.push(self.lost(cx, &name, &lost, cx.side, "delete_wins"));
                    }
                    LineOutcome::Keep
                }
                DeletePolicy::Manual => LineOutcome::Ask,
            },
            // Removed here, edited there (or not).
            (Some(b), None, Some(c)) => {
                let edits = delta(&b, &c);
                if edits.is_empty() {
                    return LineOutcome::Take(None);
                }
                match self.spec.line_delete_policy {
                    DeletePolicy::UpdateWins => {
                        fx.overrides.push(self.lost(cx, "", &Value::text("deleted"), cx.side, "update_wins"));
                        LineOutcome::Keep
                    }
                    DeletePolicy::DeleteWins => {
                        for (name, lost) in edits {
                            fx.overrides.push(self.lost(cx, &name, &lost, cx.side.other(), "delete_wins"));
                        }
                        LineOutcome::Take(None)
                    }
                    DeletePolicy::Manual => LineOutcome::Ask,
                }
            }
            (_, None, _) => LineOutcome::Keep,
        }
    }

    fn fields(
        &self,
        record: &mut Record,
        cx: &Context<'_>,
        b: &Fields,
        o: &Fields,
        c: Fields,
        fx: &mut Effects,
    ) -> LineOutcome {
        let mut line = c;
        for field in self.spec.line.iter().filter(|f| f.policy != model::spec::Policy::Ignored) {
            let (base, observed) = (value(b, &field.name), value(o, &field.name));
            if base == observed {
                continue;
            }
            let unit = Unit {
                field,
                name: self.name(&field.name),
                base,
                observed,
                canonical: value(&line, &field.name),
                edited_at: self.edited_at,
            };
            match judge(record, cx, &unit, fx) {
                Outcome::Keep => {}
                Outcome::Take(value) => {
                    set(&mut line, &field.name, value);
                    self.note(record, cx, &field.name);
                }
                Outcome::Ask(_) => return LineOutcome::Ask,
            }
        }
        LineOutcome::Take(Some(line))
    }

    fn name(&self, field: &str) -> String {
        format!("{}.{}.{field}", self.field.name, self.key)
    }

    fn note(&self, record: &mut Record, cx: &Context<'_>, field: &str) {
        let meta = FieldMeta::of(Some(cx.side), cx.event_id, self.edited_at);
        record.head.meta.insert(self.name(field), meta);
    }

    fn lost(&self, cx: &Context<'_>, field: &str, value: &Value, loser: Side, policy: &str) -> Override {
        Override {
            field: if field.is_empty() { format!("{}.{}", self.field.name, self.key) } else { self.name(field) },
            losing_value: value.clone(),
            losing_side: loser,
            winning_value: Value::Null,
            policy: policy.to_owned(),
            version: cx.next_version,
            event_id: cx.event_id,
        }
    }
}

#[cfg(test)]
mod tests;

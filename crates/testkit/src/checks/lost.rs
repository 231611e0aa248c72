//! I2: nothing a user typed disappears silently. I12: nothing stands that nobody typed.

use std::collections::{BTreeMap, BTreeSet};

use model::{Fields, RecordRef, Rid, Side, Value};

use crate::checks::row_of;
use crate::memory::{Book, Kept};
use crate::world::ledger::{Edges, Place};
use crate::world::stage::Stage;
use crate::world::types::words;

/// What people decided, as descent: the value chosen descends from all they had on screen.
fn decisions(book: &Book, stage: &Stage) -> (Edges, BTreeSet<String>) {
    let (mut edges, mut gone) = (Edges::new(), BTreeSet::new());
    for kept in book.records.values() {
        let Some(spec) = stage.world.get(&kept.record.key.record_type) else { continue };
        for (conflict, resolution) in &kept.closed {
            let Some(resolution) = resolution else { continue };
            let none = Fields::new();
            let chosen = words(spec, resolution.values.as_ref().unwrap_or(&none));
            for seen in [&conflict.suitex, &conflict.netsuite].into_iter().flatten() {
                for (spot, text) in words(spec, seen) {
                    match chosen.iter().find(|(place, _)| place.field == spot.field) {
                        Some((_, new)) if *new == text => {}
                        Some((_, new)) => edges.entry(new.clone()).or_default().push(text),
                        None => {
                            gone.insert(text);
                        }
                    }
                }
            }
        }
    }
    (edges, gone)
}

/// Texts anywhere in a value, for overrides of groups and lines.
fn texts(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Text(text) => {
            found.insert(text.clone());
        }
        Value::Lines(lines) => {
            lines.values().flatten().flat_map(|line| line.values()).for_each(|value| texts(value, found));
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Set(_) => {}
    }
}

/// What people chose of a field that both sides kept rewriting: the base, SuiteX's value, NetSuite's, the chosen one.
fn chosen<'a>(kept: &'a Kept, field: &'a str) -> impl Iterator<Item = [Option<&'a Value>; 4]> {
    kept.closed.iter().filter(move |(conflict, _)| conflict.field == field).filter_map(move |(conflict, resolution)| {
        let of = |values: Option<&'a Fields>| values.and_then(|values| values.get(field));
        let value = of(resolution.as_ref()?.values.as_ref());
        Some([conflict.base.get(field), of(conflict.suitex.as_ref()), of(conflict.netsuite.as_ref()), value])
    })
}

struct Oracle<'a> {
    book: &'a Book,
    stage: &'a Stage,
    edges: Edges,
    gone: BTreeSet<String>,
}

/// Checks what stands and what is lost of every record.
pub(super) fn check(book: &Book, stage: &Stage, breaches: &mut Vec<String>) {
    let (edges, decided) = decisions(book, stage);
    let ledger = &stage.ledger;
    let gone = ledger.with_ancestors(ledger.gone.iter().chain(&decided).map(String::as_str), &edges);
    let oracle = Oracle { book, stage, edges, gone };
    oracle.obligations(breaches);
    for kept in book.records.values() {
        oracle.typed(kept, breaches);
        oracle.sums(kept, breaches);
    }
}

impl Oracle<'_> {
    fn rid(&self, place: &Place) -> Option<Rid> {
        self.book.rid_of(&place.account, &place.record_type, place.side, &place.native())
    }

    fn kept(&self, place: &Place) -> Option<&Kept> {
        let (account, record_type) = (place.account.clone(), place.record_type.clone());
        self.book.records.get(&RecordRef { account, record_type, rid: self.rid(place)? })
    }

    /// Plain values a record holds on either side.
    fn finals(&self, kept: &Kept) -> BTreeSet<String> {
        let spec = self.stage.world.get(&kept.record.key.record_type);
        let rows = Side::BOTH.into_iter().filter_map(|side| self.stage.rows.get(&row_of(&kept.record, side)?));
        rows.flat_map(|row| spec.map(|spec| words(spec, &row.fields)).unwrap_or_default()).map(|(_, t)| t).collect()
    }

    fn obligations(&self, breaches: &mut Vec<String>) {
        let mut answers: BTreeMap<Rid, BTreeSet<String>> = BTreeMap::new();
        for duty in &self.stage.ledger.obligations {
            if self.gone.contains(&duty.lost) {
                continue;
            }
            let by = duty.by.as_deref();
            if by.is_some_and(|by| self.stage.ledger.with_ancestors([by], &self.edges).contains(&duty.lost)) {
                continue;
            }
            let Some(kept) = self.kept(&duty.place) else {
                breaches.push(format!("I2: {} was written by us and belongs to nobody", duty.place));
                continue;
            };
            let answer = answers.entry(kept.record.key.rid).or_insert_with(|| self.answered(kept));
            if !answer.contains(&duty.lost) {
                let by = by.unwrap_or("nothing");
                breaches.push(format!("I2: {} was replaced by {by} on {}, and is lost", duty.lost, duty.place));
            }
        }
    }

    /// Values that stand or are named in overrides, with all they descend from.
    fn answered(&self, kept: &Kept) -> BTreeSet<String> {
        let mut named = self.finals(kept);
        for lost in &kept.overrides {
            texts(&lost.losing_value, &mut named);
        }
        self.stage.ledger.with_ancestors(named.iter().map(String::as_str), &self.edges)
    }

    /// I12, I9: every plain value was typed into this field of this record.
    fn typed(&self, kept: &Kept, breaches: &mut Vec<String>) {
        let key = &kept.record.key;
        let Some(spec) = self.stage.world.get(&key.record_type) else { return };
        for (spot, text) in words(spec, &kept.record.head.state) {
            let Some(birth) = self.stage.ledger.births.get(&text) else {
                breaches.push(format!("I12: nobody typed {text}, which stands in {} of {key}", spot.field));
                continue;
            };
            let same = birth.place.account == key.account && self.rid(&birth.place) == Some(key.rid);
            if !same || birth.field != spot.field {
                breaches.push(format!("I12: {text} stands in {} of {key}, but was typed into {birth:?}", spot.field));
            }
        }
    }

    /// Sums, sets and suffixes are exact, where nobody deleted the record; but for what a person let go who chose between
    /// sides that kept rewriting each other.
    fn sums(&self, kept: &Kept, breaches: &mut Vec<String>) {
        let key = &kept.record.key;
        let ledger = &self.stage.ledger;
        let mine = |place: &Place| {
            place.account == key.account && place.record_type == key.record_type && self.rid(place) == Some(key.rid)
        };
        if !kept.record.head.alive || ledger.deleted.iter().any(mine) {
            return;
        }
        let state = &kept.record.head.state;
        let typed: i64 = ledger.increments.iter().filter(|(place, _)| mine(place)).map(|(_, by)| by).sum();
        // Both sides added to the base; what was chosen in place of both is all that is left of it.
        let number = |held: Option<&Value>| if let Some(Value::Int(n)) = held { *n } else { 0 };
        let let_go = chosen(kept, "n").map(|choice| {
            let [base, suitex, netsuite, value] = choice.map(number);
            suitex + netsuite - base - value
        });
        let expected = typed - let_go.sum::<i64>();
        let held = number(state.get("n"));
        if held != expected {
            breaches.push(format!("I2: n of {key} is {held}; users' increments make {expected}"));
        }
        let of = |list: &[(Place, String)]| -> BTreeSet<String> {
            list.iter().filter(|(place, _)| mine(place)).map(|(_, member)| member.clone()).collect()
        };
        let expected: BTreeSet<String> = of(&ledger.added).difference(&of(&ledger.removed)).cloned().collect();
        let members = |held: Option<&Value>| -> BTreeSet<String> {
            if let Some(Value::Set(members)) = held { members.clone() } else { BTreeSet::new() }
        };
        // Members that not all of what stood to choose from had: there the choice decides.
        let decided: BTreeSet<String> = chosen(kept, "s")
            .flat_map(|choice| {
                let sets = choice.map(members);
                let all: BTreeSet<String> = sets.iter().flatten().cloned().collect();
                all.into_iter().filter(|member| sets.iter().any(|set| !set.contains(member))).collect::<Vec<_>>()
            })
            .collect();
        let held = members(state.get("s"));
        if held.symmetric_difference(&expected).any(|member| !decided.contains(member)) {
            breaches.push(format!("I2: s of {key} is {held:?}; users made it {expected:?}"));
        }
        let text = state.get("p").and_then(Value::as_text).unwrap_or_default();
        for suffix in of(&ledger.appended) {
            let mut choices = chosen(kept, "p").map(|choice| choice.map(|held| held.and_then(Value::as_text)));
            let let_go = choices.any(|[_, suitex, netsuite, value]| {
                let has = |text: Option<&str>| text.is_some_and(|text| text.contains(&suffix));
                (has(suitex) || has(netsuite)) && !has(value)
            });
            let times = text.matches(&suffix).count();
            if times > 1 || (times == 0 && !let_go) {
                breaches.push(format!("I2: p of {key} is {text}; {suffix} should be in it once"));
            }
        }
    }
}

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

    /// Sums, sets and suffixes are exact, where nobody deleted the record, and where no person chose one side's value (of a
    /// field whose sides kept rewriting each other): then the value that gave way is on record instead.
    fn sums(&self, kept: &Kept, breaches: &mut Vec<String>) {
        let key = &kept.record.key;
        let ledger = &self.stage.ledger;
        let mine = |place: &Place| {
            place.account == key.account && place.record_type == key.record_type && self.rid(place) == Some(key.rid)
        };
        if !kept.record.head.alive || ledger.deleted.iter().any(mine) {
            return;
        }
        let chosen = |field: &str| {
            kept.closed.iter().any(|(conflict, resolution)| conflict.field == field && resolution.is_some())
                && kept.overrides.iter().any(|lost| lost.field == field)
        };
        let state = &kept.record.head.state;
        let expected: i64 = ledger.increments.iter().filter(|(place, _)| mine(place)).map(|(_, by)| by).sum();
        let held = match state.get("n") {
            Some(Value::Int(n)) => *n,
            _ => 0,
        };
        if held != expected && !chosen("n") {
            breaches.push(format!("I2: n of {key} is {held}; users' increments make {expected}"));
        }
        let of = |list: &[(Place, String)]| -> BTreeSet<String> {
            list.iter().filter(|(place, _)| mine(place)).map(|(_, member)| member.clone()).collect()
        };
        let expected: BTreeSet<String> = of(&ledger.added).difference(&of(&ledger.removed)).cloned().collect();
        let held = match state.get("s") {
            Some(Value::Set(members)) => members.clone(),
            _ => BTreeSet::new(),
        };
        if held != expected && !chosen("s") {
            breaches.push(format!("I2: s of {key} is {held:?}; users made it {expected:?}"));
        }
        let text = state.get("p").and_then(Value::as_text).unwrap_or_default();
        for suffix in of(&ledger.appended) {
            if text.matches(&suffix).count() != 1 && !chosen("p") {
                breaches.push(format!("I2: p of {key} is {text}; {suffix} should be in it once"));
            }
        }
    }
}

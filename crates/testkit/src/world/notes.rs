//! NetSuite written to by PATCH: nothing on the record refuses a write that comes too late, and nothing on it says that a
//! write was ours. Its system notes do, afterwards (semantics §2.9, guard 2).

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Fields, Observed, Value, WriteKind, WriteOutcome, WriteRequest};

use super::ledger::Place;
use super::requests::still;
use super::stage::{Author, Note, Stage};

/// The longest life of a request on its way.
pub const LIFETIME: Duration = Duration::from_secs(40);

/// What a writer by PATCH found before it sent.
#[derive(Debug, Clone)]
pub enum Looked {
    /// It may be sent; notes that are newer than this number came after the look.
    Go(u64),
    /// The record is not as we thought.
    Refused(WriteOutcome),
}

impl Stage {
    /// Notes of a change.
    pub(super) fn take_notes(&mut self, place: &Place, before: Option<&Fields>, changes: &Fields, author: Author<'_>) {
        if !self.vary.patch || place.side != model::Side::Netsuite {
            return;
        }
        for (field, new) in changes.iter().filter(|(_, value)| value.as_lines().is_none()) {
            let id = self.notes.last().map_or(1, |note| note.id + 1);
            let old = before.and_then(|held| held.get(field)).cloned().unwrap_or_default();
            let ours = matches!(author, Author::Sync(_));
            self.notes.push(Note { id, place: place.clone(), field: field.clone(), old, new: new.clone(), ours });
        }
    }

    /// The number of the newest note of a row; 0 = none.
    pub(super) fn newest_note(&self, place: &Place) -> u64 {
        self.notes.iter().rev().find(|note| note.place == *place).map_or(0, |note| note.id)
    }

    /// Looks at the record before a write, as nothing will when the write arrives.
    pub(super) fn look(&mut self, place: Option<Place>, request: &WriteRequest) -> Looked {
        if request.kind == WriteKind::Create {
            return Looked::Go(0);
        }
        let found = place.and_then(|place| Some((self.rows.get(&place)?.fields.clone(), place)));
        let Some((fields, place)) = found else { return Looked::Refused(WriteOutcome::Gone) };
        let spec = self.world.get(&place.record_type).cloned();
        if !spec.is_some_and(|spec| still(&spec, &fields, request)) {
            return Looked::Refused(WriteOutcome::Stale);
        }
        self.hot = Some((place.clone(), request.changes.keys().cloned().collect()));
        Looked::Go(self.newest_note(&place))
    }

    /// What a user had made of the row between the look and the write that the newest notes tell of: the fields as they
    /// stood just before the write. `None`: no note of ours is newer than `after`.
    pub(super) fn before_ours(&self, place: &Place, after: u64) -> Option<Fields> {
        let newer: Vec<&Note> = self.notes.iter().filter(|note| note.id > after && note.place == *place).collect();
        let first = newer.iter().find(|note| note.ours)?.id;
        let mut before: BTreeMap<String, Value> =
            newer.iter().filter(|note| note.id < first).map(|note| (note.field.clone(), note.new.clone())).collect();
        before.extend(newer.iter().filter(|note| note.ours).map(|note| (note.field.clone(), note.old.clone())));
        Some(before)
    }

    /// What a writer reads in the notes once its write was answered.
    pub(super) fn explain(&mut self, place: &Place, after: u64, request: &WriteRequest) -> Option<Box<Observed>> {
        // No note of ours: whatever we wrote stood there already, since users had typed the same.
        let typed = || {
            let newer = self.notes.iter().filter(|note| note.id > after && note.place == *place);
            let mut typed: Fields = newer.map(|note| (note.field.clone(), note.new.clone())).collect();
            typed.extend(request.changes.clone());
            typed
        };
        let before = self.before_ours(place, after).unwrap_or_else(typed);
        let others = before.iter().any(|(name, held)| request.pre.get(name) != Some(held));
        if !others {
            return None;
        }
        self.coverage.hit("replaced in the gap");
        Some(Box::new(Observed { fields: before, ..self.observe(Some(place)) }))
    }
}

//! What intake folds of the hints it stores: the records that may be, the plan's patches, and where they are stored.
//!
//! An entry that says just what its one hint says is not stored beside it: the hint's row has the entry's number and the
//! version it led to. So such an event costs one row of the log where it would cost two and an outcome.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use model::record::{Disposition, Entry};
use model::{EventId, RecordRef, RulesId, Timestamp};
use sqlx::PgConnection;

use super::intake::{Bell, Row};
use super::load::{Remembered, load};
use super::save::{self, Change};
use crate::StoreError;
use crate::handoff::Committed;
use crate::records::{Patch, Pending, Plan, View};

/// A hint that is its own entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct OwnEntry {
    event_id: EventId,
    /// The entry's number.
    pub(super) record_seq: u64,
    /// The version it led to.
    pub(super) version: u64,
    /// The rules it was folded under.
    pub(super) rules: Option<RulesId>,
}

/// What was folded, not yet stored.
#[derive(Debug, Default)]
pub(super) struct Folded {
    views: Vec<View>,
    remembered: Vec<Remembered>,
    patches: Vec<Patch>,
    /// Records whose one hint is its own entry.
    entries: HashMap<RecordRef, OwnEntry>,
}

/// Gives the plan what may be folded. Records it folds leave the bells: they are stored as patches.
pub(super) async fn fold(
    conn: &mut PgConnection,
    bells: &mut BTreeMap<RecordRef, Bell>,
    rows: &[Row<'_>],
    wanted: bool,
    now: Timestamp,
    plan: &mut Plan<'_>,
) -> Result<Folded, StoreError> {
    let heads: Vec<_> = bells
        .values()
        .filter(|bell| wanted && bell.foldable && bell.rung.suitex)
        .map(|bell| bell.head.clone())
        .collect();
    if heads.is_empty() {
        plan(&[]);
        return Ok(Folded::default());
    }
    let (mut views, remembered) = load(conn, heads, false).await?;
    let places: HashMap<RecordRef, usize> =
        views.iter().enumerate().map(|(at, view)| (view.record.key.clone(), at)).collect();
    for row in rows {
        if let Some(at) = places.get(&row.record) {
            views[*at].pending.push(Pending::of(row.hint, row.seq, now));
        }
    }
    let remembered = remembered.into_iter().map(|known| Remembered { pending_loaded: true, ..known }).collect();
    let patches = plan(&views);
    let mut entries = HashMap::new();
    for patch in &patches {
        bells.remove(&patch.record.key);
        let view = places.get(&patch.record.key).map(|at| &views[*at]);
        if let Some(entry) = view.and_then(|view| own_entry(view, patch)) {
            entries.insert(patch.record.key.clone(), entry);
        }
    }
    Ok(Folded { views, remembered, patches, entries })
}

/// The one hint of the record, when it is all there is to say of the fold.
fn own_entry(view: &View, patch: &Patch) -> Option<OwnEntry> {
    match (view.pending.as_slice(), patch.log.as_slice(), patch.settled.as_slice()) {
        ([hint], [row], [(settled, Disposition::Applied(version))])
            if row.event_id == hint.event_id
                && *settled == hint.event_id
                && row.at == hint.received_at
                && matches!(&row.entry, Entry::Observation(seen) if hint.says(seen)) =>
        {
            Some(OwnEntry { event_id: hint.event_id, record_seq: row.record_seq, version: *version, rules: row.rules })
        }
        _ => None,
    }
}

impl Folded {
    /// The entry that a hint of the record is by itself.
    pub(super) fn entry(&self, record: &RecordRef, event_id: EventId) -> Option<OwnEntry> {
        self.entries.get(record).copied().filter(|entry| entry.event_id == event_id)
    }

    /// Stores the patches.
    pub(super) async fn save(&self, conn: &mut PgConnection, patience: Duration) -> Result<Vec<Committed>, StoreError> {
        let mut changes: Vec<Change<'_>> = save::changes(&self.views, &self.remembered, &self.patches)?;
        for change in &mut changes {
            change.by_intake = true;
            change.in_hint = self.entries.contains_key(change.key());
        }
        save::apply(conn, &changes, patience).await
    }
}

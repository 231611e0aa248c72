//! From patches to statements: which parts of a record changed, and the order in which they are stored.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use model::record::{ConflictStatus, Record, Shadow};
use model::{RecordRef, Side};
use sqlx::PgConnection;

use super::load::Remembered;
use super::{extras, links, save_head, save_log};
use crate::StoreError;
use crate::handoff::Committed;
use crate::outbox;
use crate::records::{Outgoing, Patch, View};

/// One record's way from what it was to what it shall be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change<'a> {
    /// As the plan saw it.
    pub(super) view: &'a View,
    /// What the store remembers of it.
    pub(super) remembered: &'a Remembered,
    /// What the plan wants.
    pub(super) patch: &'a Patch,
    /// The entry and the end of the record's one hint stand in the hint's own row.
    pub(super) in_hint: bool,
    /// Folded by intake: the view shows a bell that is not stored.
    pub(super) by_intake: bool,
}

impl<'a> Change<'a> {
    pub(super) fn before(&self) -> &'a Record {
        &self.view.record
    }

    pub(super) fn after(&self) -> &'a Record {
        &self.patch.record
    }

    pub(super) fn key(&self) -> &'a RecordRef {
        &self.view.record.key
    }

    /// Wide parts changed: canonical state, causes, a side's state or line ids.
    pub(super) fn body_changed(&self) -> bool {
        let (before, after) = (self.before(), self.after());
        let side_changed = |side: Side| {
            let (old, new) = (&before.shadows[side], &after.shadows[side]);
            old.state != new.state || old.line_ids != new.line_ids
        };
        before.head.state != after.head.state
            || before.head.meta != after.head.meta
            || Side::BOTH.into_iter().any(side_changed)
    }

    /// Narrow parts changed other than the lease, or hints were settled.
    pub(super) fn head_changed(&self) -> bool {
        let (before, after) = (self.before(), self.after());
        let head =
            |r: &Record| (r.head.version, r.head.alive, r.head.record_seq, r.head.last_stamp, r.head.merged_into);
        head(before) != head(after)
            || before.head.natural_key != after.head.natural_key
            || Side::BOTH.into_iter().any(|side| !narrow_eq(&before.shadows[side], &after.shadows[side]))
            || before.unresolved != after.unresolved
            || before.conflicts != after.conflicts
            || before.locks != after.locks
            || !self.patch.settled.is_empty()
    }

    /// The lease was taken, prolonged or given back.
    pub(super) fn lease_changed(&self) -> bool {
        let (before, after) = (&self.before().head, &self.after().head);
        before.lease != after.lease || before.lease_token != after.lease_token
    }

    /// Something stands in the patch beside the head's own columns.
    pub(super) fn has_more_than_head(&self) -> bool {
        let patch = self.patch;
        self.head_changed()
            || self.body_changed()
            || !(patch.log.is_empty() && patch.versions.is_empty() && patch.overrides.is_empty())
            || !(patch.closed.is_empty() && patch.resolved.is_empty())
            || !(patch.outbox.is_empty() && patch.audit.is_empty())
    }

    pub(super) fn refused(&self, reason: impl Into<String>) -> StoreError {
        StoreError::Refused { record: self.key().to_string(), reason: reason.into() }
    }
}

/// Equal but for state and line ids.
fn narrow_eq(old: &Shadow, new: &Shadow) -> bool {
    let folded = |s: &Shadow| (s.exists, s.complete, s.token, s.stamp, s.note, s.generation, s.epoch, s.inflight);
    let doorbell =
        |s: &Shadow| (s.dirty_seq, s.hint_seq, s.dirty_since, s.last_hint_at, s.hints, s.urgent, s.must_read);
    let queue = |s: &Shadow| (s.ready_at, s.retry_at, s.attempts, s.owed);
    folded(old) == folded(new)
        && old.native_id == new.native_id
        && doorbell(old) == doorbell(new)
        && queue(old) == queue(new)
}

/// Pairs patches with the views they were made from, in lock order.
///
/// # Errors
/// [`StoreError::Refused`] for a patch of a record the plan was not given, or two of one record.
pub(super) fn changes<'a>(
    views: &'a [View],
    remembered: &'a [Remembered],
    patches: &'a [Patch],
) -> Result<Vec<Change<'a>>, StoreError> {
    let mut wanted: HashMap<&RecordRef, &Patch> = HashMap::with_capacity(patches.len());
    for patch in patches {
        let key = &patch.record.key;
        if wanted.insert(key, patch).is_some() {
            let reason = "two patches of one record".to_owned();
            return Err(StoreError::Refused { record: key.to_string(), reason });
        }
    }
    let pair = |(view, remembered): (&'a View, &'a Remembered)| {
        wanted.remove(&view.record.key).map(|patch| Change {
            view,
            remembered,
            patch,
            in_hint: false,
            by_intake: false,
        })
    };
    let changes = views.iter().zip(remembered).filter_map(pair).collect();
    match wanted.into_keys().next() {
        None => Ok(changes),
        Some(stray) => Err(StoreError::Refused {
            record: stray.to_string(),
            reason: "the plan was not given this record".to_owned(),
        }),
    }
}

/// What the flags on the head rely on: nothing leaves a list without its end being stored.
fn check(change: &Change<'_>) -> Result<(), StoreError> {
    let (after, patch) = (change.after(), change.patch);
    let open: HashSet<_> = after.unresolved.iter().map(|w| w.write_id).collect();
    let ended: HashSet<_> = patch.resolved.iter().map(|w| w.write_id).collect();
    if change.before().unresolved.iter().any(|w| !open.contains(&w.write_id) && !ended.contains(&w.write_id)) {
        return Err(change.refused("a write left the unresolved ones without an end"));
    }
    if after.unresolved.iter().any(|w| !w.status.unresolved()) || patch.resolved.iter().any(|w| w.status.unresolved()) {
        return Err(change.refused("a write's status does not fit the list it is in"));
    }
    for side in Side::BOTH {
        if after.shadows[side].inflight.is_some() && after.inflight(side).is_none() {
            return Err(change.refused("the write in flight is not among the unresolved ones"));
        }
    }
    let standing: HashSet<_> = after.conflicts.iter().map(|c| c.conflict_id).collect();
    let closed: HashSet<_> = patch.closed.iter().map(|(c, _)| c.conflict_id).collect();
    if change.before().conflicts.iter().any(|c| !standing.contains(&c.conflict_id) && !closed.contains(&c.conflict_id))
    {
        return Err(change.refused("a conflict left the open ones without an end"));
    }
    let is_open = |c: &model::record::Conflict| c.status == ConflictStatus::Open;
    if !after.conflicts.iter().all(is_open) || patch.closed.iter().any(|(c, _)| is_open(c)) {
        return Err(change.refused("a conflict's status does not fit the list it is in"));
    }
    Ok(())
}

/// Stores changes; each statement is sent only when it has rows.
/// Answers the messages that leave when the transaction commits.
pub(super) async fn apply(
    conn: &mut PgConnection,
    changes: &[Change<'_>],
    patience: Duration,
) -> Result<Vec<Committed>, StoreError> {
    for change in changes {
        check(change)?;
    }
    save_head::update_leases(conn, changes).await?;
    save_head::update_heads(conn, changes).await?;
    save_head::save_bodies(conn, changes).await?;
    links::save(conn, changes).await?;
    save_log::append_entries(conn, changes).await?;
    save_log::settle_hints(conn, changes).await?;
    save_log::insert_versions(conn, changes).await?;
    save_log::insert_audit(conn, changes).await?;
    extras::save_intents(conn, changes).await?;
    extras::save_conflicts(conn, changes).await?;
    extras::save_locks(conn, changes).await?;
    extras::insert_overrides(conn, changes).await?;
    insert_outbox(conn, changes, patience).await
}

async fn insert_outbox(
    conn: &mut PgConnection,
    changes: &[Change<'_>],
    patience: Duration,
) -> Result<Vec<Committed>, StoreError> {
    let rows: Vec<&Outgoing> = changes.iter().flat_map(|change| &change.patch.outbox).collect();
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let ids = outbox::insert_outgoing(conn, &rows, patience).await?;
    Ok(ids.into_iter().zip(rows).map(|(id, message)| Committed { id, message: message.clone() }).collect())
}

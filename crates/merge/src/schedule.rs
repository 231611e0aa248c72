//! Working columns: when the merge step and the writers may take a record.

use model::record::{Record, Windows};
use model::spec::TypeSpec;
use model::{Side, Timestamp};

use crate::owed::is_owed;

/// Brings `ready_at`, `owed` and `retry_at` in line with the record, at the end of every transaction.
///
/// `ready_at` is null while the record is locked or the side has a write in flight; a live merge lease holds it back
/// until the lease ends. `retry_at` of an owed side is when a sweep may take it: `net` after now, since the doorbell
/// rung in the same transaction is the fast path; a backoff set earlier stands. While a burst of changes that was folded
/// as it came goes on, its target is not written to: see [`held_until`].
pub fn settle_columns(
    record: &mut Record,
    spec: &TypeSpec,
    windows: &Windows,
    now: Timestamp,
    net: std::time::Duration,
) {
    let locked = record.locked() || record.head.merged_into.is_some();
    let lease_until = record.head.lease.as_ref().map(|lease| lease.until);
    for side in Side::BOTH {
        let is_owed = is_owed(record, spec, side);
        let held = held_until(record, side, windows).filter(|end| *end > now);
        if !is_owed || held.is_none() || record.shadows[side].inflight.is_some() {
            // Nothing of the burst is left to wait for its end.
            record.shadows[side.other()].end_burst();
        }
        let shadow = &mut record.shadows[side];
        shadow.ready_at = if locked || shadow.inflight.is_some() {
            None
        } else {
            shadow.due_at(windows).map(|due| lease_until.map_or(due, |until| due.max(until)))
        };
        if is_owed {
            let known = shadow.retry_at.filter(|_| shadow.owed);
            shadow.retry_at = match held.filter(|_| shadow.attempts == 0) {
                // Whoever comes earlier finds it held and looks again at the end: a long burst moves nothing here.
                Some(end) => Some(known.map_or(end, |at| at.min(end))),
                None => known.or_else(|| now.checked_add(net).ok()),
            };
        } else {
            shadow.retry_at = None;
            shadow.attempts = 0;
        }
        shadow.owed = is_owed;
    }
}

/// Until when the side is not written to: what the other side folded as it came may be followed by more, and one write
/// shall carry it all. `None` when nothing holds it.
pub fn held_until(record: &Record, side: Side, windows: &Windows) -> Option<Timestamp> {
    let source = &record.shadows[side.other()];
    source.burst_ends(windows).filter(|_| !source.dirty())
}

#[cfg(test)]
mod tests;

//! Working columns: when the merge step and the writers may take a record.

use model::record::{Record, Windows};
use model::spec::TypeSpec;
use model::{Side, Timestamp};

use crate::owed::{Owed, owed};

/// Brings `ready_at`, `owed` and `retry_at` in line with the record, at the end of every transaction.
///
/// `ready_at` is null while the record is locked or the side has a write in flight; a live merge lease holds it back
/// until the lease ends. `retry_at` of an owed side is when a sweep may take it: `net` after now, since the doorbell
/// rung in the same transaction is the fast path; a backoff set earlier stands.
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
        let is_owed = owed(record, spec, side) != Owed::Nothing;
        let shadow = &mut record.shadows[side];
        shadow.ready_at = if locked || shadow.inflight.is_some() {
            None
        } else {
            shadow.due_at(windows).map(|due| lease_until.map_or(due, |until| due.max(until)))
        };
        if is_owed {
            if !shadow.owed || shadow.retry_at.is_none() {
                shadow.retry_at = now.checked_add(net).ok();
            }
        } else {
            shadow.retry_at = None;
            shadow.attempts = 0;
        }
        shadow.owed = is_owed;
    }
}

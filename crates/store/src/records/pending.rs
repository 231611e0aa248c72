//! Hints that nobody has settled yet.

use model::record::Observation;
use model::{EventId, Fields, NativeId, Operation, Side, Source, Timestamp, WriteId};

use super::Hint;

/// Unsettled hints loaded of one record at a time; the rest is settled by later steps.
pub const MAX_PENDING: usize = 1_000;

/// An unsettled hint.
#[derive(Debug, Clone, PartialEq)]
pub struct Pending {
    /// Its id.
    pub event_id: EventId,
    /// The side it speaks of.
    pub side: Side,
    /// The side's id it named.
    pub native_id: NativeId,
    /// Its place among the side's doorbells.
    pub seq: u64,
    /// What the producer saw.
    pub operation: Operation,
    /// Who noticed.
    pub source: Source,
    /// Changed fields in canonical form (references and lines: the side's own ids).
    pub changes: Fields,
    /// The side's version after the change.
    pub remote_version: Option<i64>,
    /// Our write that caused it.
    pub write_id: Option<WriteId>,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// When it was stored here.
    pub received_at: Timestamp,
}

impl Pending {
    /// A hint as it stands in the log once it was stored at `now`.
    pub fn of(hint: &Hint, seq: u64, now: Timestamp) -> Self {
        Self {
            event_id: hint.event_id,
            side: hint.side,
            native_id: hint.native_id.clone(),
            seq,
            operation: hint.operation,
            source: hint.source,
            changes: hint.changes.clone(),
            remote_version: hint.remote_version,
            write_id: hint.write_id,
            occurred_at: stored(hint.occurred_at),
            received_at: stored(now),
        }
    }

    /// What this hint alone tells of its side, as the fold takes it. A log entry that is just this is not stored a second
    /// time: it has its hint's id, and the hint's row is the entry.
    pub fn observation(&self) -> Observation {
        Observation {
            complete: false,
            token: self.remote_version,
            edited: self.changes.keys().map(|name| (name.clone(), self.occurred_at)).collect(),
            causes: vec![self.event_id],
            occurred_at: Some(self.occurred_at),
            ..Observation::read(self.side, self.changes.clone())
        }
    }

    /// The observation is [`Pending::observation`].
    pub fn says(&self, seen: &Observation) -> bool {
        let Observation {
            side,
            exists,
            fields,
            complete,
            token,
            stamp,
            note,
            landed,
            native_id,
            line_ids,
            edited,
            twins,
            ..
        } = seen;
        let told = (*side, *exists, *complete, *token) == (self.side, true, false, self.remote_version);
        let nothing_else = landed.is_empty() && native_id.is_none() && line_ids.is_empty() && twins.is_empty();
        let times = edited.len() == self.changes.len()
            && edited.iter().all(|(name, at)| *at == self.occurred_at && self.changes.contains_key(name));
        told && (*stamp, *note) == (None, None)
            && nothing_else
            && times
            && *fields == self.changes
            && seen.causes == [self.event_id]
            && seen.occurred_at == Some(self.occurred_at)
    }
}

/// A moment as the log keeps it: to the microsecond.
fn stored(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

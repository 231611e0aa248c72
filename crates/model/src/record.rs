//! A record as Concord keeps it: head, one shadow per side, unresolved writes, open conflicts, locks; and the log
//! entries it is a pure fold of (semantics §1).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{EventId, Fields, LineIds, NativeId, PerSide, RecordRef, Rid, Shared, Side, Timestamp, Value, WriteId};

mod conflict;
mod entry;
mod intent;

pub use conflict::{Conflict, ConflictReason, ConflictStatus, Lock, LockReason};
pub use entry::{Ack, Entry, Observation, Reformed, Release, Renormalisation, Resolution, Undo};
pub use intent::{Intent, IntentStatus};

/// The field name that stands for the record's existence in conflicts, locks and overrides.
pub const WHOLE: &str = "*";

/// Everything one transaction of the core sees and may change of one record.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Which record.
    pub key: RecordRef,
    /// The canonical state and its bookkeeping.
    pub head: Head,
    /// What each side is known to hold.
    pub shadows: PerSide<Shadow>,
    /// Writes in flight or of unknown outcome, in stamp order; they stay until a higher stamp is acknowledged or seen.
    pub unresolved: Vec<Intent>,
    /// Open conflicts.
    pub conflicts: Vec<Conflict>,
    /// Locks in force.
    pub locks: Vec<Lock>,
}

impl Record {
    /// A record nobody has observed yet.
    pub fn new(key: RecordRef) -> Self {
        Self {
            key,
            head: Head::default(),
            shadows: PerSide::default(),
            unresolved: Vec::new(),
            conflicts: Vec::new(),
            locks: Vec::new(),
        }
    }

    /// True while the whole record is locked: nothing is folded, nothing claimed.
    pub fn locked(&self) -> bool {
        self.locks.iter().any(|lock| lock.field.is_none())
    }

    /// True while this field (or the whole record) is locked.
    pub fn field_locked(&self, field: &str) -> bool {
        self.locks.iter().any(|lock| lock.field.as_deref().is_none_or(|locked| locked == field))
    }

    /// The write in flight to this side.
    pub fn inflight(&self, side: Side) -> Option<&Intent> {
        let id = self.shadows[side].inflight?;
        self.unresolved.iter().find(|intent| intent.write_id == id)
    }

    /// The open conflict on this field.
    pub fn conflict(&self, field: &str) -> Option<&Conflict> {
        self.conflicts.iter().find(|conflict| conflict.field == field)
    }
}

/// The canonical record: what both sides should become.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Head {
    /// Moves by exactly one with every change of state, existence or conflicts; 0 = provisional, not shown.
    pub version: u64,
    /// Canonical values of the synced fields; an empty field is absent.
    pub state: Shared<Fields>,
    /// False once the deletion is agreed.
    pub alive: bool,
    /// For each field, its cause.
    pub meta: Shared<BTreeMap<String, FieldMeta>>,
    /// Number of the last log entry folded.
    pub record_seq: u64,
    /// The stamp of the last claim; stamps strictly increase per record (over both sides).
    pub last_stamp: u64,
    /// The last fencing token given out; a step whose token is not this one any more has lost its lease.
    pub lease_token: i64,
    /// Who may run the merge step at present.
    pub lease: Option<Lease>,
    /// Set on a provisional record whose identity turned out to be another's.
    pub merged_into: Option<Rid>,
    /// The type's match fields in one text, for adoption by natural key (semantics §2.8).
    pub natural_key: Option<String>,
}

/// Why a field has its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldMeta {
    /// Whose value it is; `None` after a resolution that is neither side's.
    pub side: Option<Side>,
    /// The log entry (observation or resolution) that brought it.
    pub event_id: EventId,
    /// When it was typed, in our clock.
    pub edited_at: Timestamp,
    /// The side our value was last written to and not yet read back from: a difference there is the side's own
    /// rewriting (trim, workflow, hook), not a person's edit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_to: Option<Side>,
    /// Rewritings in a row, for the oscillation breaker (semantics §2.9).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rewrites: u8,
    /// When the first of them was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewriting_since: Option<Timestamp>,
}

impl FieldMeta {
    /// A cause nobody has rewritten yet. `side`: whose value it is; `None` = a person's, typed here.
    pub fn of(side: Option<Side>, event_id: EventId, edited_at: Timestamp) -> Self {
        Self { side, event_id, edited_at, written_to: None, rewrites: 0, rewriting_since: None }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the shape serde asks for
fn is_zero(n: &u8) -> bool {
    *n == 0
}

/// The right to run the merge step of a record for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Which process.
    pub owner: String,
    /// When anyone may take it.
    pub until: Timestamp,
}

/// Does the record exist on a side, as far as we know?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Existence {
    /// Never seen there.
    #[default]
    Never,
    /// It is there.
    Yes,
    /// It was there and is gone.
    Deleted,
}

impl Existence {
    /// The word in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Yes => "yes",
            Self::Deleted => "deleted",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Never, Self::Yes, Self::Deleted].into_iter().find(|e| e.as_str() == word)
    }
}

/// The last state of one side that we *know*: read, or acknowledged (Unison's archive, per side).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Shadow {
    /// Existence there.
    pub exists: Existence,
    /// Known values; an empty field is absent.
    pub state: Shared<Fields>,
    /// False after a create that was not read back: defaults and computed fields are unknown.
    pub complete: bool,
    /// SuiteX row_version, or NetSuite's last-modified as seconds since 1970.
    pub token: Option<i64>,
    /// The last of our stamps acknowledged or observed there.
    pub stamp: u64,
    /// The newest of the side's numbered traces of changes that was there when it was read (NetSuite's system notes, where
    /// writes go by PATCH; 0 elsewhere): newer ones of ours tell a write of unknown outcome.
    pub note: u64,
    /// The side's current id of the record.
    pub native_id: Option<NativeId>,
    /// How often the record was created there; part of the create's identity.
    pub generation: u32,
    /// Line key → the side's line id.
    pub line_ids: LineIds,

    // Working columns: not part of the fold.
    /// Moves with every claim and settled write; an observation is usable only if it has not moved since the read began.
    pub epoch: u64,
    /// The write in flight.
    pub inflight: Option<WriteId>,
    /// Sequence of the newest doorbell, 0 = clean.
    pub dirty_seq: u64,
    /// Last sequence ever given out on this shadow.
    pub hint_seq: u64,
    /// Since when it is dirty; on a clean side, since when the burst lasts that was folded as it came.
    pub dirty_since: Option<Timestamp>,
    /// When the last doorbell of the burst rang.
    pub last_hint_at: Option<Timestamp>,
    /// Doorbells of the burst.
    pub hints: u32,
    /// Do not wait for the coalescing window.
    pub urgent: bool,
    /// The dirt is not covered by queued deltas: only a read will do.
    pub must_read: bool,
    /// When the merge step may take it; `None` while clean, locked or in flight.
    pub ready_at: Option<Timestamp>,
    /// When the writer may (again) try; `None` = at once or not at all, see `owed`.
    pub retry_at: Option<Timestamp>,
    /// Refusals in a row, for the backoff.
    pub attempts: u32,
    /// The side is owed something that may be written (kept in every transaction).
    pub owed: bool,
}

impl Shadow {
    /// Rings the bell: the side must be looked at. A newer bell always has a higher sequence, so a merge step that
    /// began before it cannot clear it.
    pub fn ring(&mut self, now: Timestamp, urgent: bool, must_read: bool) -> u64 {
        self.hint_seq += 1;
        self.dirty_seq = self.hint_seq;
        self.dirty_since.get_or_insert(now);
        self.last_hint_at = Some(now);
        self.hints += 1;
        self.urgent |= urgent;
        self.must_read |= must_read;
        self.dirty_seq
    }

    /// True while a doorbell is unanswered.
    pub fn dirty(&self) -> bool {
        self.dirty_seq != 0
    }

    /// Rings the bell for something heard: a burst that is over is not continued.
    pub fn hear(&mut self, now: Timestamp, windows: &Windows, urgent: bool, must_read: bool) -> u64 {
        if !self.dirty() && self.burst_ends(windows).is_some_and(|end| end <= now) {
            self.end_burst();
        }
        self.ring(now, urgent, must_read)
    }

    /// The next bell begins a new burst. A dirty side keeps the one it is in.
    pub fn end_burst(&mut self) {
        if !self.dirty() {
            (self.dirty_since, self.last_hint_at, self.hints) = (None, None, 0);
        }
    }

    /// When the merge step may take this side, were the record neither locked nor the side in flight.
    pub fn due_at(&self, windows: &Windows) -> Option<Timestamp> {
        self.burst_ends(windows).filter(|_| self.dirty())
    }

    /// When what is being edited there has come to rest (semantics §2.3).
    pub fn burst_ends(&self, windows: &Windows) -> Option<Timestamp> {
        let since = self.dirty_since?;
        if self.urgent || self.hints >= windows.max_hints {
            return Some(since);
        }
        let last = self.last_hint_at.unwrap_or(since);
        let by_window = since.checked_add(windows.window).ok()?;
        let by_idle = last.checked_add(windows.idle).ok()?;
        Some(by_window.min(by_idle))
    }
}

/// A value that was replaced without its author knowing. Nothing a user typed disappears silently (R10).
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    /// The field, or [`WHOLE`].
    pub field: String,
    /// What was lost. For [`WHOLE`]: the text `deleted`, or null.
    pub losing_value: Value,
    /// Who had typed it.
    pub losing_side: Side,
    /// What stands instead.
    pub winning_value: Value,
    /// The policy's word, or `resolved`.
    pub policy: String,
    /// The version that stands.
    pub version: u64,
    /// The log entry that decided.
    pub event_id: EventId,
}

/// One canonical version: the difference from the one before.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// Its number.
    pub version: u64,
    /// Fields that changed, with their new values (null = cleared).
    pub delta: Fields,
    /// The whole state, now and then, so that no reading of the past folds far.
    pub full: Option<Fields>,
    /// Existence at this version.
    pub alive: bool,
    /// The log entry that caused it.
    pub event_id: EventId,
    /// Field → (policy, winner), where a policy decided.
    pub decisions: BTreeMap<String, (String, String)>,
    /// When.
    pub created_at: Timestamp,
}

/// What became of an event (I8): exactly one of these, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// It led to this version.
    Applied(u64),
    /// A later event or read made it pointless.
    Superseded,
    /// The side holds what we knew already: an echo, or nothing new.
    NoopEcho,
    /// It led into an open conflict.
    Conflict,
    /// It went to the error queue.
    Error,
    /// It was a dead letter.
    Dlq,
}

impl Disposition {
    /// The word in `events.disposition`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied(_) => "applied",
            Self::Superseded => "superseded",
            Self::NoopEcho => "noop_echo",
            Self::Conflict => "conflict",
            Self::Error => "error",
            Self::Dlq => "dlq",
        }
    }
}

/// How long hints are gathered before a record is looked at (semantics §2.3). Only delays a read; never combines values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// Longest wait after the first hint.
    pub window: std::time::Duration,
    /// Wait after the last hint.
    pub idle: std::time::Duration,
    /// This many hints end the wait.
    pub max_hints: u32,
}

impl Default for Windows {
    fn default() -> Self {
        Self { window: std::time::Duration::from_secs(2), idle: std::time::Duration::from_millis(500), max_hints: 50 }
    }
}

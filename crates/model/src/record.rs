//! A record as Concord keeps it: head, one shadow per side, unresolved writes, open conflicts, locks; and the log
//! entries it is a pure fold of (semantics §1).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{EventId, Fields, LineIds, NativeId, PerSide, RecordRef, Rid, Side, Timestamp, Value, WriteId, WriteKind};

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
    pub state: Fields,
    /// False once the deletion is agreed.
    pub alive: bool,
    /// For each field, its cause.
    pub meta: BTreeMap<String, FieldMeta>,
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
    pub state: Fields,
    /// False after a create that was not read back: defaults and computed fields are unknown.
    pub complete: bool,
    /// SuiteX row_version, or NetSuite's last-modified as seconds since 1970.
    pub token: Option<i64>,
    /// The last of our stamps acknowledged or observed there.
    pub stamp: u64,
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
    /// Since when it is dirty.
    pub dirty_since: Option<Timestamp>,
    /// When the last doorbell rang.
    pub last_hint_at: Option<Timestamp>,
    /// Doorbells since it was last clean.
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

    /// When the merge step may take this side, were the record neither locked nor the side in flight.
    pub fn due_at(&self, windows: &Windows) -> Option<Timestamp> {
        let since = self.dirty_since.filter(|_| self.dirty())?;
        if self.urgent || self.hints >= windows.max_hints {
            return Some(since);
        }
        let last = self.last_hint_at.unwrap_or(since);
        let by_window = since.checked_add(windows.window).ok()?;
        let by_idle = last.checked_add(windows.idle).ok()?;
        Some(by_window.min(by_idle))
    }
}

/// One claimed write (`idempotency_keys`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// Deterministic identity.
    pub write_id: WriteId,
    /// Target.
    pub side: Side,
    /// Create, update or delete.
    pub kind: WriteKind,
    /// Our fencing token on the remote.
    pub stamp: u64,
    /// The stamp the remote must still carry (semantics §2.9, C11).
    pub expect: u64,
    /// Values to set.
    pub changes: Fields,
    /// Values the remote must still hold.
    pub pre: Fields,
    /// Canonical version at the claim.
    pub version: u64,
    /// Where it stands.
    pub status: IntentStatus,
    /// The request must not be sent after this; recovery may begin after it.
    pub deadline: Timestamp,
    /// The side's id at the claim; `None` for a create.
    pub native_id: Option<NativeId>,
    /// Generation of a create.
    pub generation: u32,
    /// When the earliest cause happened, for the latency histogram.
    pub occurred_at: Option<Timestamp>,
}

/// Where a write stands (contracts §11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentStatus {
    /// Claimed; may or may not have been sent.
    InFlight,
    /// Landed.
    Acked,
    /// Did not land and cannot any more.
    Rejected,
    /// May still land; stays attributable until fenced.
    Unknown,
    /// A higher stamp landed first: it cannot land any more.
    Fenced,
}

impl IntentStatus {
    /// The word in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InFlight => "in_flight",
            Self::Acked => "acked",
            Self::Rejected => "rejected",
            Self::Unknown => "unknown",
            Self::Fenced => "fenced",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::InFlight, Self::Acked, Self::Rejected, Self::Unknown, Self::Fenced]
            .into_iter()
            .find(|status| status.as_str() == word)
    }

    /// True while the write may still turn out to have landed.
    pub fn unresolved(self) -> bool {
        matches!(self, Self::InFlight | Self::Unknown)
    }
}

/// Two values and nobody to decide but a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conflict {
    /// Its id.
    pub conflict_id: Uuid,
    /// The field (an atomic group's leader), or [`WHOLE`].
    pub field: String,
    /// Why.
    pub reason: ConflictReason,
    /// The values both started from: the fields of the group, or of the whole record for existence.
    pub base: Fields,
    /// SuiteX's values; `None` = deleted there.
    pub suitex: Option<Fields>,
    /// NetSuite's values; `None` = deleted there.
    pub netsuite: Option<Fields>,
    /// Moves whenever a value does; a resolution must name the one it saw.
    pub rev: u32,
    /// Open, or how it ended.
    pub status: ConflictStatus,
    /// The observation that opened it.
    pub event_id: EventId,
    /// The version before it.
    pub base_version: u64,
    /// When it was opened.
    pub created_at: Timestamp,
}

/// Why a conflict is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictReason {
    /// The field's policy is manual.
    Manual,
    /// One side deleted what the other edited, policy manual.
    Delete,
    /// Two records for one thing.
    Duplicate,
    /// Both sides keep rewriting each other's value.
    Oscillation,
}

impl ConflictReason {
    /// The word in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Delete => "delete",
            Self::Duplicate => "duplicate",
            Self::Oscillation => "oscillation",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Manual, Self::Delete, Self::Duplicate, Self::Oscillation].into_iter().find(|r| r.as_str() == word)
    }
}

/// How a conflict stands (contracts §11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictStatus {
    /// Waiting for a person.
    Open,
    /// Decided.
    Resolved,
    /// Both sides came to hold the same value.
    Converged,
}

impl ConflictStatus {
    /// The word in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Resolved => "resolved",
            Self::Converged => "converged",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Open, Self::Resolved, Self::Converged].into_iter().find(|s| s.as_str() == word)
    }
}

/// A lock on a record or one of its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// Its id.
    pub lock_id: Uuid,
    /// The field; `None` = the whole record.
    pub field: Option<String>,
    /// Who set it.
    pub reason: LockReason,
    /// The conflict it belongs to.
    pub conflict_id: Option<Uuid>,
    /// Since when.
    pub locked_at: Timestamp,
    /// What a person reads.
    pub note: String,
}

/// Who set a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockReason {
    /// An open conflict.
    Conflict,
    /// A refused write or a dead letter.
    Error,
    /// A person.
    Admin,
}

impl LockReason {
    /// The word in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Error => "error",
            Self::Admin => "admin",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Conflict, Self::Error, Self::Admin].into_iter().find(|r| r.as_str() == word)
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
        Self {
            window: std::time::Duration::from_secs(2),
            idle: std::time::Duration::from_millis(500),
            max_hints: 50,
        }
    }
}

/// A log entry: `fold(entries by record_seq)` is the head and both shadows, byte for byte (I10). Whatever was read
/// is *in* the entry; the fold asks no clock, no remote, no chance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
// Not `kind`: a claim's intent has one of its own.
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Entry {
    /// A side was read (or a gap-free run of its deltas stood for a read).
    Observation(Observation),
    /// A write was claimed.
    Claim(Intent),
    /// A write landed.
    Ack(Ack),
    /// A write ended otherwise, or its outcome is not known.
    Release(Release),
    /// A person decided.
    Resolution(Resolution),
}

impl Entry {
    /// `events.kind` (contracts §11).
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Observation(_) => "observation",
            Self::Claim(_) => "claim",
            Self::Ack(_) => "ack",
            Self::Release(_) => "release",
            Self::Resolution(_) => "resolution",
        }
    }
}

/// What a side held when it was read, in canonical form with references as rids and lines by line key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Which side.
    pub side: Side,
    /// False = a direct read found it absent.
    pub exists: bool,
    /// Values; a field that is missing is unknown, never empty.
    pub fields: Fields,
    /// All synced fields were read.
    pub complete: bool,
    /// The side's version of the row.
    pub token: Option<i64>,
    /// Our stamp found there, if it is this record's.
    pub stamp: Option<u64>,
    /// Which of our unresolved writes have landed.
    pub landed: Vec<WriteId>,
    /// The side's id.
    pub native_id: Option<NativeId>,
    /// Line ids of every line seen.
    pub line_ids: LineIds,
    /// When each field was edited, in our clock; `""` holds the default for fields not named.
    pub edited: BTreeMap<String, Timestamp>,
    /// Hints this observation answers.
    pub causes: Vec<EventId>,
    /// When the earliest of those happened.
    pub occurred_at: Option<Timestamp>,
}

impl Observation {
    /// When this field was last edited there, as far as anybody knows.
    pub fn edited_at(&self, field: &str) -> Option<Timestamp> {
        self.edited.get(field).or_else(|| self.edited.get("")).copied()
    }
}

/// The remote's word that a write landed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ack {
    /// Which.
    pub write_id: WriteId,
    /// The side.
    pub side: Side,
    /// The row's version after it.
    pub token: Option<i64>,
    /// The side's id (new for a create).
    pub native_id: Option<NativeId>,
    /// Ids of lines the write touched.
    pub line_ids: LineIds,
}

/// A write that ended without landing, or whose outcome is unknown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// Which.
    pub write_id: WriteId,
    /// The side.
    pub side: Side,
    /// Rejected, Fenced or Unknown.
    pub outcome: IntentStatus,
}

/// A person's decision about one conflict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resolution {
    /// Which conflict.
    pub conflict_id: Uuid,
    /// The revision the person saw.
    pub rev: u32,
    /// The values that shall stand; `None` = the record shall be deleted.
    pub values: Option<Fields>,
    /// Who.
    pub actor: String,
    /// Why.
    pub note: String,
}

//! The port of the core: each method is one whole transaction of the semantics over a batch of records.
//!
//! Shape: lock the heads in `(account, type, rid)` order → load views → the caller's pure plan → patches. The plan
//! sees only what it is given and touches nothing else, so the same steps run over Postgres ([`crate::PgRecords`])
//! and over the seeded world's memory, under one conformance suite.
//!
//! Contract of every implementation:
//! - a method commits whole or not at all; dropping its future before the end leaves nothing behind;
//! - while a plan runs, nobody else changes the records it was given;
//! - what a plan returns is stored exactly: what it leaves out of a patch's lists stays as it was.

mod around;
mod pending;

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use model::limits::DeleteBrake;
use model::record::{Conflict, Disposition, Entry, Existence, Intent, Override, Record, Version, Windows};
use model::{
    AccountId, EventId, Fields, NativeId, Operation, RecordRef, RecordType, Rid, RulesId, Shared, Side, Source,
    Timestamp, WriteId,
};

pub use pending::{MAX_PENDING, Pending};

use crate::StoreError;

pub use around::Around;

/// Which records a transaction takes.
#[derive(Debug, Clone, PartialEq)]
pub enum Pick {
    /// Records with a dirty side whose `ready_at` has come and whose merge lease is free; skips heads locked by others.
    DueMerge {
        /// Accounts to serve; each gets at most `per_account`, oldest `ready_at` first.
        accounts: Vec<AccountId>,
        /// Limit per account.
        per_account: usize,
        /// The present.
        now: Timestamp,
    },
    /// Records owed something on this side whose `retry_at` has come, the side clean (R7) and nothing in flight to it
    /// (R5), the record not locked; skips heads locked by others.
    DueWrite {
        /// Accounts to serve.
        accounts: Vec<AccountId>,
        /// The side.
        side: Side,
        /// Limit per account.
        per_account: usize,
        /// The present.
        now: Timestamp,
    },
    /// Records whose write in flight to this side has passed its deadline; skips heads locked by others.
    Overdue {
        /// Accounts to serve.
        accounts: Vec<AccountId>,
        /// The side.
        side: Side,
        /// Limit per account.
        per_account: usize,
        /// The present.
        now: Timestamp,
    },
    /// Exactly these, waiting for their locks. Records that do not exist are left out of the views.
    These(Vec<RecordRef>),
}

/// What a plan sees of one record.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// The record.
    pub record: Record,
    /// Its unsettled hints, in `seq` order; empty unless asked for. At most [`MAX_PENDING`] a side.
    pub pending: Vec<Pending>,
}

/// Whether a record's next hints may be folded by the transaction that stores them: all before them are settled, nobody
/// works on the record, nothing of it waits for an answer. `record` is as it stood before they rang.
pub fn at_rest(record: &Record) -> bool {
    let (head, shadows) = (&record.head, &record.shadows);
    let nothing_open = record.unresolved.is_empty() && record.conflicts.is_empty() && record.locks.is_empty();
    let clean = [&shadows.suitex, &shadows.netsuite].into_iter().all(|side| !side.dirty() && side.inflight.is_none());
    nothing_open
        && clean
        && head.version > 0
        && head.merged_into.is_none()
        && head.lease.is_none()
        && shadows.suitex.exists == Existence::Yes
}

/// What a plan wants stored of one record.
#[derive(Debug, Clone, PartialEq)]
pub struct Patch {
    /// The record as it shall be. Parts equal to the view's are not written.
    pub record: Record,
    /// Log entries appended, in `record_seq` order.
    pub log: Vec<LogRow>,
    /// New canonical versions.
    pub versions: Vec<Version>,
    /// Values lost.
    pub overrides: Vec<Override>,
    /// Conflicts that left `record.conflicts`, with their final status and values.
    pub closed: Vec<(Conflict, Option<model::record::Resolution>)>,
    /// Writes that left `record.unresolved`, with their final status.
    pub resolved: Vec<Intent>,
    /// Hints settled.
    pub settled: Vec<(EventId, Disposition)>,
    /// Messages that must leave because of this transaction (R11).
    pub outbox: Vec<Outgoing>,
    /// Remote writes to be audited.
    pub audit: Vec<AuditRow>,
    /// The record becomes real because nobody else answers its natural key. Where somebody does by the time this is stored,
    /// nothing of the patch is, and the record stays what it was (semantics §2.8).
    pub alone: bool,
}

impl Patch {
    /// A patch that stores this record and nothing else.
    pub fn of(record: Record) -> Self {
        Self {
            record,
            log: Vec::new(),
            versions: Vec::new(),
            overrides: Vec::new(),
            closed: Vec::new(),
            resolved: Vec::new(),
            settled: Vec::new(),
            outbox: Vec::new(),
            audit: Vec::new(),
            alone: false,
        }
    }
}

/// One row of the record's log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogRow {
    /// Its id in `events`.
    pub event_id: EventId,
    /// Its place in the fold.
    pub record_seq: u64,
    /// What happened.
    pub entry: Entry,
    /// When it was appended, by our clock; part of the fold's input.
    pub at: Timestamp,
    /// The rules it was folded under ([`crate::rules`]); `None` where they have no number.
    pub rules: Option<RulesId>,
}

/// A message leaving through the outbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    /// Logical topic: `events.raw`, `events.merged`, `events.error` or `events.dlq`; the relay knows the broker's name.
    pub topic: &'static str,
    /// The record key; the relay turns it into a lane.
    pub record_key: String,
    /// The payload.
    pub payload: bytes::Bytes,
    /// The attributes.
    pub attributes: Shared<BTreeMap<String, String>>,
}

/// One remote write, for `event_audit_log`.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRow {
    /// The write.
    pub write_id: WriteId,
    /// The side written to.
    pub side: Side,
    /// Outcome word.
    pub outcome: &'static str,
    /// Names of the fields written, never their values.
    pub fields: Vec<String>,
    /// The side's id of the record after it.
    pub native_id: Option<NativeId>,
    /// The remote's code when it refused.
    pub code: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// A hint on its way in (semantics §2.2).
#[derive(Debug, Clone, PartialEq)]
pub struct Hint {
    /// Decides repetition.
    pub event_id: EventId,
    /// The rid to use should the record be new here.
    pub new_rid: Rid,
    /// The tenant.
    pub account: AccountId,
    /// The type.
    pub record_type: RecordType,
    /// The side `native_id` belongs to.
    pub side: Side,
    /// The side's id.
    pub native_id: NativeId,
    /// What the producer saw.
    pub operation: Operation,
    /// Who noticed.
    pub source: Source,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// Advisory.
    pub base_version: Option<u64>,
    /// Changed fields in canonical form.
    pub changes: Fields,
    /// The side's version after the change.
    pub remote_version: Option<i64>,
    /// Our write that caused it.
    pub write_id: Option<WriteId>,
    /// Where a full snapshot lies.
    pub full_snapshot_ref: Option<String>,
    /// Who did it, opaque.
    pub auth_context: Option<serde_json::Value>,
    /// Joins the event to the producer's logs.
    pub correlation_id: Option<String>,
    /// Do not wait for the coalescing window.
    pub urgent: bool,
}

impl Hint {
    /// True when this hint cannot be part of a gap-free run of deltas: only SuiteX's own outbox counts its changes
    /// (semantics §2.4), existence is decided by reads alone, and what lies in a snapshot is not in the hint.
    pub fn must_read(&self) -> bool {
        let counted = self.source == Source::Suitex && self.side == Side::Suitex && self.remote_version.is_some();
        !counted || self.operation != Operation::Update || self.full_snapshot_ref.is_some()
    }
}

/// What intake did with a hint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intake {
    /// Stored; the record's side is dirty.
    Stored(RecordRef),
    /// The event id was known: nothing changed.
    Known,
}

/// Whose a side's id is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The record.
    pub rid: Rid,
    /// Provisional records that turned out to be this one, or lost their id to it and will, in rid order. A value that
    /// names one of them names the record.
    pub formerly: Vec<Rid>,
}

/// A plan: from views in lock order to patches, by pure choice. Fewer patches than views: the rest stays as it is.
pub type Plan<'a> = dyn FnMut(&[View]) -> Vec<Patch> + Send + 'a;

/// The transactions of the core.
#[async_trait]
pub trait Records: Send + Sync {
    /// Stores hints and marks their sides dirty, in one transaction. One answer per hint, in order. Hints for ids no
    /// link knows make a provisional record (version 0). The same id twice in a batch is `Known` the second time.
    ///
    /// The plan is given the records whose hints may be folded at once, as they stand after the bell, with these hints as
    /// the pending ones: those [`at_rest`] that only counted deltas rang ([`Hint::must_read`]). What it leaves out stays
    /// dirty. It may be called again for another attempt; what it answered last is what was stored.
    async fn take_in(
        &self,
        hints: &[&Hint],
        now: Timestamp,
        windows: &Windows,
        plan: &mut Plan<'_>,
    ) -> Result<Vec<Intake>, StoreError>;

    /// [`Records::take_in`] that folds nothing.
    async fn intake(&self, hints: &[Hint], now: Timestamp, windows: &Windows) -> Result<Vec<Intake>, StoreError> {
        self.take_in(&hints.iter().collect::<Vec<_>>(), now, windows, &mut |_| Vec::new()).await
    }

    /// Locks, loads, plans, stores. Answers the number of records given to the plan. `pending`: load unsettled hints.
    async fn transact(&self, pick: &Pick, pending: bool, plan: &mut Plan<'_>) -> Result<usize, StoreError>;

    /// Records as they stand, unlocked, in the order asked for; missing ones are left out.
    async fn views(&self, records: &[RecordRef], pending: bool) -> Result<Vec<View>, StoreError>;

    /// Whose native ids are (retired ids included); ids nobody knows are missing from the answer.
    async fn links(
        &self,
        account: &AccountId,
        side: Side,
        ids: &[(RecordType, NativeId)],
    ) -> Result<HashMap<(RecordType, NativeId), Link>, StoreError>;

    /// [`Records::links`] for those who only ask for the records.
    async fn lookup(
        &self,
        account: &AccountId,
        side: Side,
        ids: &[(RecordType, NativeId)],
    ) -> Result<HashMap<(RecordType, NativeId), Rid>, StoreError> {
        Ok(self.links(account, side, ids).await?.into_iter().map(|(id, link)| (id, link.rid)).collect())
    }

    /// Current native ids of records on a side; records not (yet) there are missing from the answer.
    async fn native_ids(
        &self,
        account: &AccountId,
        side: Side,
        rids: &[(RecordType, Rid)],
    ) -> Result<HashMap<(RecordType, Rid), NativeId>, StoreError>;

    /// Living records with this natural key (semantics §2.8), at most ten.
    async fn candidates(
        &self,
        account: &AccountId,
        record_type: &RecordType,
        natural_key: &str,
    ) -> Result<Vec<Rid>, StoreError>;

    /// May deletions of this type be carried out at present? Where too many records vanished of late the answer is no,
    /// and a row in the error queue says so, until a person closes it (semantics §2.6).
    async fn may_delete(
        &self,
        account: &AccountId,
        record_type: &RecordType,
        brake: &DeleteBrake,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// How many of our writes to the record were claimed since then; `None` where somebody else's edit was heard of
    /// meanwhile: an event of SuiteX that is not a write's, or a user event that no RESTlet caused. What a poll finds proves
    /// nobody's edit.
    async fn writes_by_themselves(&self, record: &RecordRef, since: Timestamp) -> Result<Option<u64>, StoreError>;

    /// The earliest instant at which [`Pick::DueMerge`] (`side` = `None`), or [`Pick::DueWrite`] and
    /// [`Pick::Overdue`] of the side, may find work for any of the accounts.
    async fn next_due(&self, accounts: &[AccountId], side: Option<Side>) -> Result<Option<Timestamp>, StoreError>;

    /// The whole log of a record by `record_seq`, for replay and blame.
    async fn log(&self, record: &RecordRef) -> Result<Vec<LogRow>, StoreError>;
}

//! What every step is given: the ports, the rules, the limits. A step never spawns, never sleeps, and reads no clock
//! but this one; dropping its future is the same as killing the process there.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use merge::{fold, renormalisation, settle_columns};
pub use model::limits::Limits as Settings;
use model::record::{Entry, Record, Renormalisation};
use model::spec::{TypeSpec, World};
use model::{
    AccountId, Clock, EventId, Ids, NativeId, Observed, PerSide, ReadRequest, RecordRef, RecordType, Remote,
    RemoteError, Side, Timestamp, WriteOutcome, WriteRequest,
};
use store::StoreError;
use store::records::{Records, View};

/// The ports and rules of the core.
#[derive(Clone, Copy)]
pub struct Core<'a> {
    /// Whole transactions.
    pub records: &'a dyn Records,
    /// Both sides.
    pub remotes: PerSide<&'a dyn Remote>,
    /// The record types.
    pub world: &'a World,
    /// Time.
    pub clock: &'a dyn Clock,
    /// Chance.
    pub ids: &'a dyn Ids,
    /// Limits.
    pub settings: &'a Settings,
}

/// Why a step could not be carried out. Nothing of it is half done.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// Our own database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The parts of a [`Core`] as a process owns them.
#[derive(Clone)]
pub struct Engine {
    /// Whole transactions.
    pub records: Arc<dyn Records>,
    /// Both sides; [`Absent`] where this process speaks to one only.
    pub remotes: PerSide<Arc<dyn Remote>>,
    /// The record types.
    pub world: Arc<World>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub ids: Arc<dyn Ids>,
    /// Limits.
    pub settings: Settings,
}

impl Engine {
    /// The ports as a step takes them.
    pub fn core(&self) -> Core<'_> {
        Core {
            records: self.records.as_ref(),
            remotes: PerSide { suitex: self.remotes.suitex.as_ref(), netsuite: self.remotes.netsuite.as_ref() },
            world: &self.world,
            clock: self.clock.as_ref(),
            ids: self.ids.as_ref(),
            settings: &self.settings,
        }
    }
}

/// A side this process does not speak to: every read is unavailable, nothing is sent.
#[derive(Debug, Clone, Copy)]
pub struct Absent(pub Side);

#[async_trait]
impl Remote for Absent {
    fn side(&self) -> Side {
        self.0
    }

    async fn read(&self, _: &AccountId, _: &TypeSpec, wants: &[ReadRequest]) -> Vec<Result<Observed, RemoteError>> {
        wants.iter().map(|_| Err(self.unavailable())).collect()
    }

    async fn write(&self, _: &AccountId, _: &TypeSpec, writes: &[WriteRequest]) -> Vec<WriteOutcome> {
        writes.iter().map(|_| WriteOutcome::NotSent).collect()
    }

    fn quarantine(&self, _: &AccountId, _: &TypeSpec) -> Duration {
        Duration::ZERO
    }

    async fn list(
        &self,
        _: &AccountId,
        _: &TypeSpec,
        _: Option<&NativeId>,
        _: usize,
    ) -> Result<Vec<NativeId>, RemoteError> {
        Err(self.unavailable())
    }
}

impl Absent {
    fn unavailable(self) -> RemoteError {
        RemoteError::Unavailable { side: self.0, code: "not_configured".to_owned(), retry_after: None }
    }
}

impl Core<'_> {
    pub(crate) fn spec(&self, record_type: &RecordType) -> Option<&TypeSpec> {
        self.world.get(record_type)
    }

    /// When a record of a type that is not synced (any more) is looked at again: it waits for its type, out of everybody's
    /// way.
    pub(crate) fn far(&self, now: Timestamp) -> Timestamp {
        after(now, self.settings.backoff_after(u32::MAX))
    }

    /// What of a record is not in the form of today's rules. Where nobody numbers rules they do not change.
    pub(crate) fn other_form(&self, record: &Record, spec: &TypeSpec) -> Option<Renormalisation> {
        self.settings.rules.and_then(|_| renormalisation(record, spec))
    }

    /// Views for a look that leaves no trace: what is known in the form of today's rules, as a step would bring it there.
    pub(crate) async fn views_in_form(&self, keys: &[RecordRef], pending: bool) -> Result<Vec<View>, StoreError> {
        let mut views = self.records.views(keys, pending).await?;
        for view in &mut views {
            let Some(spec) = self.spec(&view.record.key.record_type) else { continue };
            if let Some(other) = self.other_form(&view.record, spec) {
                in_passing(&mut view.record, spec, other, self.clock.now());
            }
        }
        Ok(views)
    }

    pub(crate) fn settle(&self, record: &mut Record, spec: &TypeSpec, now: Timestamp) {
        settle_columns(record, spec, &self.settings.windows, now, self.settings.net);
    }
}

/// Another form for a look that leaves no trace: the record is where it was in its log.
pub(crate) fn in_passing(record: &mut Record, spec: &TypeSpec, other: Renormalisation, at: Timestamp) {
    let seq = record.head.record_seq;
    let _ = fold(record, spec, &Entry::Renormalisation(other), EventId::nil(), at); // a form cannot be refused
    record.head.record_seq = seq;
}

/// `at + wait`, or `at` at the end of time.
pub(crate) fn after(at: Timestamp, wait: Duration) -> Timestamp {
    at.checked_add(wait).unwrap_or(at)
}

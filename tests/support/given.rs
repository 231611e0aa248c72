//! Records as given: both sides are maps, and the real steps of the core fold them into the stage's database. What the
//! services around the core are tested with.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use model::record::Windows;
use model::spec::{TypeSpec, World};
use model::{
    AccountId, ChangeEvent, Clock, Fields, Ids, LineIds, NativeId, Observed, Operation, PerSide, RandomIds,
    ReadRequest, RecordRef, RecordType, Remote, RemoteError, Side, Source, SystemClock, Value, WriteOutcome,
    WriteRequest,
};
use steps::{Engine, Settings, intake, merge_step, to_hint, write_step};
use store::PgRecords;
use store::records::{Hint, Intake, Pick};

use crate::stage::{ACCOUNT, Stage};

/// One side: rows by native id.
pub(crate) struct Given {
    side: Side,
    rows: Mutex<BTreeMap<String, Fields>>,
}

#[async_trait]
impl Remote for Given {
    fn side(&self) -> Side {
        self.side
    }

    async fn read(&self, _: &AccountId, _: &TypeSpec, wants: &[ReadRequest]) -> Vec<Result<Observed, RemoteError>> {
        let rows = self.rows.lock().unwrap();
        let read = |want: &ReadRequest| {
            let found = want.native_id.as_ref().and_then(|id| Some((id.clone(), rows.get(id.as_str())?.clone())));
            Ok(match found {
                Some((id, fields)) => Observed { exists: true, native_id: Some(id), fields, ..Observed::default() },
                None => Observed::default(),
            })
        };
        wants.iter().map(read).collect()
    }

    async fn write(&self, _: &AccountId, _: &TypeSpec, writes: &[WriteRequest]) -> Vec<WriteOutcome> {
        let mut rows = self.rows.lock().unwrap();
        let write = |write: &WriteRequest| {
            let id = write.native_id.clone().unwrap_or_else(|| native(&(9_000 + rows.len()).to_string()));
            rows.entry(id.to_string()).or_default().extend(write.changes.clone());
            WriteOutcome::landed(id, None, LineIds::new())
        };
        writes.iter().map(write).collect()
    }

    fn quarantine(&self, _: &AccountId, _: &TypeSpec) -> std::time::Duration {
        std::time::Duration::ZERO
    }

    async fn list(
        &self,
        _: &AccountId,
        _: &TypeSpec,
        _: Option<&NativeId>,
        _: usize,
    ) -> Result<Vec<NativeId>, RemoteError> {
        Ok(self.rows.lock().unwrap().keys().map(|id| native(id)).collect())
    }
}

/// The core over the stage's database.
pub(crate) struct Core {
    pub(crate) engine: Engine,
    given: PerSide<Arc<Given>>,
}

pub(crate) fn native(id: &str) -> NativeId {
    NativeId::parse(id).unwrap()
}

pub(crate) fn customer_type() -> RecordType {
    RecordType::parse("customer").unwrap()
}

pub(crate) fn account_id() -> AccountId {
    AccountId::parse(ACCOUNT).unwrap()
}

impl Core {
    pub(crate) fn on(stage: &Stage) -> Self {
        let side = |side| Arc::new(Given { side, rows: Mutex::default() });
        let given = PerSide { suitex: side(Side::Suitex), netsuite: side(Side::Netsuite) };
        let windows = Windows { window: Duration::ZERO, idle: Duration::ZERO, ..Windows::default() };
        let engine = Engine {
            records: Arc::new(PgRecords::new(stage.pool.clone())),
            remotes: PerSide { suitex: given.suitex.clone(), netsuite: given.netsuite.clone() },
            world: Arc::new(World::sample()),
            clock: Arc::new(SystemClock),
            ids: Arc::new(RandomIds),
            settings: Settings { windows, fast_delta: false, ..Settings::default() },
        };
        Self { engine, given }
    }

    /// A user's edit of a customer on a side; nobody has noticed yet.
    pub(crate) fn edit(&self, side: Side, id: &str, fields: &[(&str, &str)]) {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), Value::text(*value)));
        self.given[side].rows.lock().unwrap().entry(id.to_owned()).or_default().extend(fields);
    }

    /// A user deletes a customer on a side; nobody has noticed yet.
    pub(crate) fn remove(&self, side: Side, id: &str) {
        self.given[side].rows.lock().unwrap().remove(id);
    }

    /// A hint at a customer.
    pub(crate) fn hint(&self, side: Side, id: &str) -> Hint {
        to_hint(&self.engine.core(), &self.event(side, id)).unwrap()
    }

    /// An event of a customer that says no more than that.
    pub(crate) fn event(&self, side: Side, id: &str) -> ChangeEvent {
        ChangeEvent {
            event_id: RandomIds.uuid(),
            account: account_id(),
            record_type: customer_type(),
            record_id: native(id),
            operation: Operation::Update,
            source: if side == Side::Suitex { Source::Suitex } else { Source::NetsuiteUe },
            side,
            occurred_at: SystemClock.now(),
            base_version: None,
            changes: BTreeMap::new(),
            full_snapshot_ref: None,
            remote_version: None,
            write_id: None,
            auth_context: None,
            correlation_id: None,
        }
    }

    /// Stores hints; answers the first one's record.
    pub(crate) async fn intake(&self, hints: &[Hint]) -> RecordRef {
        let (stored, _) = intake(&self.engine.core(), &hints.iter().collect::<Vec<_>>()).await.unwrap();
        let Intake::Stored(record) = stored[0].clone() else { panic!("the hint is new") };
        record
    }

    /// Reads the record's dirty sides and folds them.
    pub(crate) async fn merge(&self, record: &RecordRef) {
        let merged = merge_step(&self.engine.core(), &Pick::These(vec![record.clone()])).await.unwrap();
        assert_eq!((merged.records, merged.unreadable), (1, 0), "{merged:?}");
    }

    /// A user's edit of a customer, noticed and folded: the other side is owed it, and its bell is in the outbox.
    pub(crate) async fn customer(&self, side: Side, id: &str, fields: &[(&str, &str)]) -> RecordRef {
        self.edit(side, id, fields);
        let record = self.intake(&[self.hint(side, id)]).await;
        self.merge(&record).await;
        record
    }

    /// Writes what the side is owed of the record, and reads it back.
    pub(crate) async fn write(&self, record: &RecordRef, side: Side) {
        let written =
            write_step(&self.engine.core(), side, &Pick::These(vec![record.clone()]), &|_| true).await.unwrap();
        assert_eq!(written.claimed, 1, "{written:?}");
        self.merge(record).await;
    }
}

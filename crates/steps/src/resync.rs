//! Customer resync (semantics §2.14): look at records again, or say beforehand what that would write. A plan is the merge
//! step on a copy: fresh reads of both sides, folded, and what would be owed then. It leaves no trace.

use std::collections::BTreeMap;

use merge::{Owed, fold, owed};
use model::record::{Entry, Record};
use model::{Fields, NativeId, RecordRef, Rid, Side, SumHash, Value, WriteKind};
use serde::Serialize;
use store::records::View;

use crate::gather::Gathered;
use crate::observe::{Seen, observation};
use crate::reconcile::{Look, LookError};
use crate::resolve::ring_records;
use crate::strangers::Becomes;

/// What would become of one record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Planned {
    /// What tells it from the plan's others: the record's rid, or a name for ids nobody knows.
    #[serde(skip)]
    pub rid: Rid,
    /// The record; `None` where there is none yet.
    pub record_id: Option<Rid>,
    /// The ids only a side knows that this is about, by side.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub strangers: BTreeMap<Side, NativeId>,
    /// What those would become.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub becomes: Option<Becomes>,
    /// Records that answer their natural key too, where a person must decide.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<Rid>,
    /// Hash of what this stands on: version, place in the log, epochs, and what was read of each side.
    pub stand: SumHash,
    /// The writes.
    pub writes: Vec<PlannedWrite>,
    /// Fields that would need a person (`*`: whether the record exists).
    pub conflicts: Vec<String>,
    /// Values that would lose, knowingly to nobody.
    pub overrides: Vec<Loss>,
    /// Why nothing can be said or done about a side, or the record, at present.
    pub held: Vec<Held>,
}

impl Planned {
    /// Whether anything would change.
    pub fn differs(&self) -> bool {
        let nothing =
            self.writes.is_empty() && self.conflicts.is_empty() && self.overrides.is_empty() && self.held.is_empty();
        !nothing || self.becomes.is_some()
    }
}

/// One write.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedWrite {
    /// The side written to.
    pub side: Side,
    /// Kind.
    pub kind: WriteKind,
    /// The side's id; null for a create.
    pub native_id: Option<NativeId>,
    /// Field by field; all of them for a create, those that go for a deletion.
    pub fields: BTreeMap<String, Change>,
}

/// A field's value before and after.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// What the side holds.
    pub from: Value,
    /// What it would hold.
    pub to: Value,
}

/// A value that would lose.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Loss {
    /// The field.
    pub field: String,
    /// The side whose value it is.
    pub losing_side: Side,
    /// The value.
    pub losing_value: Value,
    /// What would stand.
    pub winning_value: Value,
}

/// Why a record waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// The whole record is locked.
    Locked,
    /// A write to SuiteX is in flight.
    SuitexInFlight,
    /// A write to NetSuite is in flight.
    NetsuiteInFlight,
    /// SuiteX did not give it in a form that can be read.
    SuitexUnreadable,
    /// NetSuite did not give it in a form that can be read.
    NetsuiteUnreadable,
    /// A create of ours may be on its way to its side: first its outcome.
    CreateUnderWay,
}

impl Held {
    fn in_flight(side: Side) -> Self {
        match side {
            Side::Suitex => Self::SuitexInFlight,
            Side::Netsuite => Self::NetsuiteInFlight,
        }
    }

    fn unreadable(side: Side) -> Self {
        match side {
            Side::Suitex => Self::SuitexUnreadable,
            Side::Netsuite => Self::NetsuiteUnreadable,
        }
    }
}

impl Look<'_> {
    /// What a resync of these records would do, in their order; records nobody knows, and those that turned out to be
    /// others, are left out.
    ///
    /// # Errors
    /// A side gives nothing at all, or our database fails.
    pub async fn plan(&self, rids: &[Rid]) -> Result<Vec<Planned>, LookError> {
        let keys: Vec<RecordRef> = rids.iter().map(|rid| self.key(*rid)).collect();
        let mut views = self.core.views_in_form(&keys, true).await?;
        views.retain(|view| view.record.head.merged_into.is_none());
        let gathered = self.read(&views, &|view, side| view.record.shadows[side].inflight.is_none()).await?;
        Ok(views.iter().map(|view| self.plan_one(view, &gathered, &[], &|_| true)).collect())
    }

    /// The plan of one record from what was read of these sides. `twins`: others that answer its natural key.
    pub(crate) fn plan_one(
        &self,
        view: &View,
        gathered: &Gathered,
        twins: &[Rid],
        there: &dyn Fn(Side) -> bool,
    ) -> Planned {
        let mut planned = Planned {
            rid: view.record.key.rid,
            record_id: Some(view.record.key.rid),
            strangers: BTreeMap::new(),
            becomes: None,
            candidates: Vec::new(),
            stand: stand(&view.record, gathered),
            writes: Vec::new(),
            conflicts: Vec::new(),
            overrides: Vec::new(),
            held: Vec::new(),
        };
        if view.record.locked() {
            planned.held.push(Held::Locked);
            return planned;
        }
        let mut copy = gathered.renamed(self.spec, &view.record);
        for side in Side::BOTH {
            if copy.shadows[side].inflight.is_some() {
                planned.held.push(Held::in_flight(side));
                continue;
            }
            if !there(side) {
                continue;
            }
            let Some(read) = gathered.get(&copy.key, side) else {
                planned.held.push(Held::unreadable(side));
                continue;
            };
            let hints: Vec<_> = view.pending.iter().filter(|hint| hint.side == side).collect();
            let references = gathered.references(&copy.key.account, side);
            let seen = Seen { side, observed: &read.observed, read_at: read.at, references, hints: &hints };
            let mut observation = observation(&copy, self.spec, &seen);
            if observation.exists && copy.head.version == 0 {
                observation.twins = twins.to_vec();
            }
            let entry = Entry::Observation(observation);
            let Ok(effects) = fold(&mut copy, self.spec, &entry, self.core.ids.uuid(), self.core.clock.now()) else {
                continue; // only a resolution can be refused
            };
            planned.overrides.extend(effects.overrides.into_iter().map(|lost| Loss {
                field: lost.field,
                losing_side: lost.losing_side,
                losing_value: lost.losing_value,
                winning_value: lost.winning_value,
            }));
        }
        let known = |field: &str| view.record.conflict(field).is_some();
        planned.conflicts = copy.conflicts.iter().map(|c| c.field.clone()).filter(|field| !known(field)).collect();
        planned.writes = Side::BOTH.into_iter().filter_map(|side| self.write(&copy, side)).collect();
        planned
    }

    fn write(&self, record: &Record, side: Side) -> Option<PlannedWrite> {
        let shadow = &record.shadows[side];
        let write = |kind, native_id, fields| Some(PlannedWrite { side, kind, native_id, fields });
        match owed(record, self.spec, side) {
            Owed::Nothing => None,
            Owed::Create { changes } => write(WriteKind::Create, None, difference(&Fields::new(), changes)),
            Owed::Update { changes, pre } => {
                write(WriteKind::Update, shadow.native_id.clone(), difference(&pre, changes))
            }
            Owed::Delete { pre } => {
                let gone = pre.iter().filter(|(_, value)| **value != Value::Null);
                let gone = gone.map(|(name, _)| (name.clone(), Value::Null)).collect();
                write(WriteKind::Delete, shadow.native_id.clone(), difference(&pre, gone))
            }
        }
    }

    /// Marks these records dirty on both sides, with a hint of source `reconcile` where the side has an id for them, and
    /// announces what is owed. Answers how many were rung.
    ///
    /// # Errors
    /// Our database fails.
    pub async fn ring_again(&self, rids: &[Rid]) -> Result<usize, LookError> {
        let keys: Vec<RecordRef> = rids.iter().map(|rid| self.key(*rid)).collect();
        let views = self.core.records.views(&keys, false).await?;
        let mut hints = Vec::new();
        for view in &views {
            for side in Side::BOTH {
                hints.extend(view.record.shadows[side].native_id.as_ref().map(|id| self.hint(side, id)));
            }
        }
        self.ring(&hints).await?;
        // Also where the record is yet to be made.
        Ok(ring_records(&self.core, &keys, true).await?)
    }
}

fn difference(from: &Fields, to: Fields) -> BTreeMap<String, Change> {
    let change = |(name, to): (String, Value)| {
        let from = from.get(&name).cloned().unwrap_or_default();
        (name, Change { from, to })
    };
    to.into_iter().map(change).collect()
}

/// The hash of everything a plan was made from. The age of what was read is not part of it, nor how often it was hinted at.
fn stand(record: &Record, gathered: &Gathered) -> SumHash {
    let mut stand = SumHash::default();
    let head = &record.head;
    stand.add_bytes(format!("{}|{}|{}", record.key, head.version, head.record_seq).as_bytes());
    for side in Side::BOTH {
        let shadow = &record.shadows[side];
        let inflight = shadow.inflight;
        stand.add_bytes(format!("{side}|{}|{inflight:?}|{}", shadow.epoch, record.locked()).as_bytes());
        let read = gathered.get(&record.key, side).map(|read| &read.observed);
        let json = read.map(|o| (side, o.exists, &o.native_id, &o.fields, o.stamp, &o.landed));
        stand.add_bytes(&serde_json::to_vec(&json).expect("what was read is plain JSON"));
    }
    stand
}

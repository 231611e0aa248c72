//! The log of a record folded anew (semantics §2.14, I10), and what of a record is the fold of its log.

use std::collections::BTreeMap;

use model::record::{Conflict, Entry, Existence, FieldMeta, IntentStatus, Record, Shadow};
use model::spec::TypeSpec;
use model::{EventId, Fields, LineIds, PerSide, RecordRef, Shared, Side, Timestamp, WriteId};
use serde::{Deserialize, Serialize};

use crate::fold::{Effects, FoldError, fold};

mod compare;

pub use compare::{Comparison, Moved, Told};

/// A log that cannot be folded on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Entries are missing.
    #[error("entry {expected} is missing from the log: the next one is {found}")]
    Gap {
        /// The number that should come next.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// An entry is refused.
    #[error("entry {record_seq} of the log cannot be folded: {error}")]
    Refused {
        /// Its number.
        record_seq: u64,
        /// Why.
        error: FoldError,
    },
    /// An entry changes nothing, and so should not be there.
    #[error("entry {record_seq} of the log changes nothing")]
    Idle {
        /// Its number.
        record_seq: u64,
    },
}

/// A record on its way through its log.
#[derive(Debug, Clone)]
pub struct Replay<'a> {
    spec: &'a TypeSpec,
    record: Record,
}

impl<'a> Replay<'a> {
    /// Before the first entry.
    pub fn new(key: RecordRef, spec: &'a TypeSpec) -> Self {
        Self { spec, record: Record::new(key) }
    }

    /// From the next entry on the rules are these.
    pub fn under(&mut self, spec: &'a TypeSpec) {
        self.spec = spec;
    }

    /// Takes the next entry.
    ///
    /// # Errors
    /// [`Broken`]; the record is as it was then.
    pub fn take(
        &mut self,
        record_seq: u64,
        entry: &Entry,
        event_id: EventId,
        at: Timestamp,
    ) -> Result<Effects, Broken> {
        let expected = self.record.head.record_seq + 1;
        if record_seq != expected {
            return Err(Broken::Gap { expected, found: record_seq });
        }
        let effects = fold(&mut self.record, self.spec, entry, event_id, at)
            .map_err(|error| Broken::Refused { record_seq, error })?;
        if self.record.head.record_seq != record_seq {
            return Err(Broken::Idle { record_seq });
        }
        Ok(effects)
    }

    /// The record as far as its log was taken.
    pub fn record(&self) -> &Record {
        &self.record
    }
}

/// What of a record is the fold of its log (semantics §1). Ids, leases, doorbells and locks of people are not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Projection {
    /// Canonical version.
    pub version: u64,
    /// Existence.
    pub alive: bool,
    /// Canonical values.
    pub state: Fields,
    /// Causes of the fields.
    pub causes: BTreeMap<String, FieldMeta>,
    /// The last entry.
    pub record_seq: u64,
    /// The last stamp.
    pub last_stamp: u64,
    /// The match fields in one text.
    pub natural_key: Option<String>,
    /// What SuiteX holds.
    pub suitex: Held,
    /// What NetSuite holds.
    pub netsuite: Held,
    /// Writes that may yet land, in the order of their ids.
    pub unresolved: Vec<(WriteId, IntentStatus)>,
    /// Open conflicts, in the order of their ids.
    pub conflicts: Vec<Conflict>,
}

/// What one side is known to hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// `never`, `yes` or `deleted`.
    pub exists: Existence,
    /// Known values.
    pub state: Fields,
    /// All of them are known.
    pub complete: bool,
    /// The side's version of the row.
    pub token: Option<i64>,
    /// Our last stamp there.
    pub stamp: u64,
    /// The newest trace of a change that was seen there.
    #[serde(default)]
    pub note: u64,
    /// How often it was created there.
    pub generation: u32,
    /// Ids of lines.
    pub line_ids: LineIds,
    /// The write in flight.
    pub inflight: Option<WriteId>,
}

impl Held {
    fn of(shadow: &Shadow) -> Self {
        Self {
            exists: shadow.exists,
            state: Fields::clone(&shadow.state),
            complete: shadow.complete,
            token: shadow.token,
            stamp: shadow.stamp,
            note: shadow.note,
            generation: shadow.generation,
            line_ids: shadow.line_ids.clone(),
            inflight: shadow.inflight,
        }
    }

    fn put(&self, shadow: &mut Shadow) {
        (shadow.exists, shadow.complete, shadow.token) = (self.exists, self.complete, self.token);
        (shadow.stamp, shadow.note, shadow.generation) = (self.stamp, self.note, self.generation);
        shadow.state = Shared::from(self.state.clone());
        shadow.line_ids.clone_from(&self.line_ids);
    }
}

impl Projection {
    /// Of a record.
    pub fn of(record: &Record) -> Self {
        let mut unresolved: Vec<_> = record.unresolved.iter().map(|write| (write.write_id, write.status)).collect();
        unresolved.sort_unstable_by_key(|(id, _)| *id);
        let mut conflicts = record.conflicts.clone();
        conflicts.sort_unstable_by_key(|conflict| conflict.conflict_id);
        let head = &record.head;
        Self {
            version: head.version,
            alive: head.alive,
            state: Fields::clone(&head.state),
            causes: BTreeMap::clone(&head.meta),
            record_seq: head.record_seq,
            last_stamp: head.last_stamp,
            natural_key: head.natural_key.clone(),
            suitex: Held::of(&record.shadows.suitex),
            netsuite: Held::of(&record.shadows.netsuite),
            unresolved,
            conflicts,
        }
    }

    /// Names of the parts that are not the same, never what they hold.
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let parts = [
            ("version", self.version == other.version),
            ("existence", self.alive == other.alive),
            ("state", self.state == other.state),
            ("causes", self.causes == other.causes),
            ("record_seq", self.record_seq == other.record_seq),
            ("last_stamp", self.last_stamp == other.last_stamp),
            ("natural_key", self.natural_key == other.natural_key),
            ("unresolved", self.unresolved == other.unresolved),
            ("conflicts", self.conflicts == other.conflicts),
        ];
        let sides = PerSide { suitex: (&self.suitex, &other.suitex), netsuite: (&self.netsuite, &other.netsuite) };
        let of_sides = Side::BOTH.into_iter().flat_map(|side| {
            let (one, two) = sides[side];
            [
                (["suitex.existence", "netsuite.existence"], one.exists == two.exists),
                (["suitex.state", "netsuite.state"], one.state == two.state),
                (["suitex.complete", "netsuite.complete"], one.complete == two.complete),
                (["suitex.token", "netsuite.token"], one.token == two.token),
                (["suitex.stamp", "netsuite.stamp"], one.stamp == two.stamp),
                (["suitex.note", "netsuite.note"], one.note == two.note),
                (["suitex.generation", "netsuite.generation"], one.generation == two.generation),
                (["suitex.line_ids", "netsuite.line_ids"], one.line_ids == two.line_ids),
                (["suitex.inflight", "netsuite.inflight"], one.inflight == two.inflight),
            ]
            .map(|(names, same)| (names[usize::from(side == Side::Netsuite)], same))
        });
        parts.into_iter().chain(of_sides).filter(|(_, same)| !same).map(|(name, _)| name).collect()
    }

    /// Puts what can be put into a record: all but writes in flight and conflicts, which have rows and lives of their own.
    ///
    /// # Errors
    /// The name of the part that is in the way: it differs and cannot be put, or would move back what never moves back.
    pub fn put(&self, record: &mut Record) -> Result<(), &'static str> {
        let held = Self::of(record);
        let fixed = ["unresolved", "conflicts", "suitex.inflight", "netsuite.inflight"];
        if let Some(part) = self.differences(&held).into_iter().find(|part| fixed.contains(part)) {
            return Err(part);
        }
        if self.version < held.version {
            return Err("version");
        }
        if self.last_stamp < held.last_stamp {
            return Err("last_stamp");
        }
        let head = &mut record.head;
        (head.version, head.alive, head.last_stamp) = (self.version, self.alive, self.last_stamp);
        head.state = Shared::from(self.state.clone());
        head.meta = Shared::from(self.causes.clone());
        head.natural_key.clone_from(&self.natural_key);
        self.suitex.put(&mut record.shadows.suitex);
        self.netsuite.put(&mut record.shadows.netsuite);
        Ok(())
    }
}

#[cfg(test)]
mod tests;

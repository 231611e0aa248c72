//! The log a record is the fold of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::record::{Intent, IntentStatus};
use crate::{EventId, Fields, LineIds, NativeId, Rid, Side, Timestamp, Value, WriteId};

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
    /// A person put an earlier value of a field back.
    Undo(Undo),
    /// What was known was brought into another form.
    Renormalisation(Renormalisation),
}

impl Entry {
    /// `events.kind` (contracts §11).
    pub fn kind(&self) -> &'static str {
        match self {
            // What was seen before, as the rules of today would have it seen; `entry` tells them apart.
            Self::Observation(_) | Self::Renormalisation(_) => "observation",
            Self::Claim(_) => "claim",
            Self::Ack(_) => "ack",
            Self::Release(_) => "release",
            // Both are people's decisions; `entry` tells them apart.
            Self::Resolution(_) | Self::Undo(_) => "resolution",
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
    /// The newest of the side's numbered traces of changes, where it keeps them instead of a stamp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<u64>,
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
    /// Other records that answer the same natural key, where it is not certain that this one is one of them: a person
    /// decides (semantics §2.8).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub twins: Vec<Rid>,
}

impl Observation {
    /// A read of all synced fields that found these values, and nothing else to tell.
    pub fn read(side: Side, fields: Fields) -> Self {
        Self {
            side,
            exists: true,
            fields,
            complete: true,
            token: None,
            stamp: None,
            note: None,
            landed: Vec::new(),
            native_id: None,
            line_ids: LineIds::new(),
            edited: BTreeMap::new(),
            causes: Vec::new(),
            occurred_at: None,
            twins: Vec::new(),
        }
    }

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

/// A person's decision that an earlier value of a field shall stand again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Undo {
    /// The field (any member of an atomic group stands for the whole group), or `SUBLIST.LINE KEY.FIELD` of a line.
    pub field: String,
    /// The version whose decision is undone.
    pub version: u64,
    /// The values that shall stand: all members of the group, a line's field by its full name; null = empty.
    pub values: Fields,
    /// Who.
    pub actor: String,
    /// Why.
    pub note: String,
}

/// Values that were brought into another form, and are what they were: that of new rules (semantics §2.1), by name; or
/// references to records that turned out to be others (§2.8). The values are in the entry: folding it asks nobody.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Renormalisation {
    /// Of the canonical state.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub state: BTreeMap<String, Reformed>,
    /// Of SuiteX's shadow.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub suitex: BTreeMap<String, Reformed>,
    /// Of NetSuite's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub netsuite: BTreeMap<String, Reformed>,
    /// Provisional records → who they are, for every reference that is held.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub heirs: BTreeMap<Rid, Rid>,
}

/// One value in two forms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reformed {
    /// As it was.
    pub from: Value,
    /// As it is from now on; null = empty.
    pub to: Value,
}

//! The user's two envelopes (contracts §3). Both are doorbells with an audit payload: what is written to a side is
//! always what that side is owed at that moment, never what a message carried (semantics R1).

use std::collections::BTreeMap;

use crate::{AccountId, EventId, Fields, NativeId, RecordType, Rid, Side, Timestamp, WriteId};

/// Who noticed a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A NetSuite user event script.
    NetsuiteUe,
    /// The poller.
    NetsuitePoll,
    /// The application's outbox.
    Suitex,
    /// The reconciler.
    Reconcile,
    /// A person's decision.
    Resolution,
}

impl Source {
    /// All sources.
    pub const ALL: [Self; 5] = [Self::NetsuiteUe, Self::NetsuitePoll, Self::Suitex, Self::Reconcile, Self::Resolution];

    /// The word of contracts §3.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NetsuiteUe => "netsuite-ue",
            Self::NetsuitePoll => "netsuite-poll",
            Self::Suitex => "suitex",
            Self::Reconcile => "reconcile",
            Self::Resolution => "resolution",
        }
    }

    /// Reads the word, in either seed's spelling (`UE`, `Poller`, `SuiteX` as well).
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "UE" => Some(Self::NetsuiteUe),
            "Poller" => Some(Self::NetsuitePoll),
            "SuiteX" => Some(Self::Suitex),
            _ => Self::ALL.into_iter().find(|source| source.as_str() == word),
        }
    }

    /// The side whose ids an event of this source names; `None` where the event says it itself (`side` attribute,
    /// else NetSuite).
    pub fn side(self) -> Option<Side> {
        match self {
            Self::NetsuiteUe | Self::NetsuitePoll => Some(Side::Netsuite),
            Self::Suitex => Some(Side::Suitex),
            Self::Reconcile | Self::Resolution => None,
        }
    }
}

/// What happened to the record, as its producer saw it. Advisory: only a read decides existence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// The record is new.
    Create,
    /// Fields changed.
    Update,
    /// The record is gone.
    Delete,
}

impl Operation {
    /// The word of contracts §3.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Create, Self::Update, Self::Delete].into_iter().find(|operation| operation.as_str() == word)
    }
}

/// A value as a producer typed it, before the field's rules are applied (contracts §11, "Bus").
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypedValue {
    /// Cleared.
    Null,
    /// A checkbox.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// An exact decimal as text, never a float.
    Decimal(String),
    /// Text.
    Text(String),
    /// `YYYY-MM-DD`.
    Date(String),
    /// RFC 3339.
    DateTime(String),
    /// Another record on the producer's side; the name is for display only and never compared.
    Reference {
        /// The other record's id on the producer's side.
        id: String,
        /// What people call it.
        name: String,
    },
    /// A multi-select.
    Set(Vec<String>),
    /// A sublist: line id → its fields.
    Lines(BTreeMap<String, BTreeMap<String, TypedValue>>),
}

/// Something changed on one side. Immutable once published.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeEvent {
    /// Decides repetition: one id is stored once per account.
    pub event_id: EventId,
    /// The tenant.
    pub account: AccountId,
    /// The record's type.
    pub record_type: RecordType,
    /// The source side's own id.
    pub record_id: NativeId,
    /// What the producer saw.
    pub operation: Operation,
    /// Who noticed.
    pub source: Source,
    /// The side `record_id` belongs to.
    pub side: Side,
    /// When it happened, by the producer's clock.
    pub occurred_at: Timestamp,
    /// The version the producer derived its delta from; shown to people, never used as a merge base.
    pub base_version: Option<u64>,
    /// Changed fields.
    pub changes: BTreeMap<String, TypedValue>,
    /// Where a full snapshot lies, when a delta could not be made.
    pub full_snapshot_ref: Option<String>,
    /// SuiteX row_version, or NetSuite's last-modified as seconds since 1970.
    pub remote_version: Option<i64>,
    /// Set when Concord's own write caused the change.
    pub write_id: Option<WriteId>,
    /// Who did it, as the producer knows: opaque JSON, kept for audit.
    pub auth_context: Option<serde_json::Value>,
    /// Joins the event to the producer's own logs.
    pub correlation_id: Option<String>,
}

/// "Look at this record: its `target` may be owed something." (contracts §3)
#[derive(Debug, Clone, PartialEq)]
pub struct MergedEvent {
    /// Names this doorbell.
    pub event_id: EventId,
    /// The tenant.
    pub account: AccountId,
    /// The record's type.
    pub record_type: RecordType,
    /// The record.
    pub rid: Rid,
    /// The side that may be owed something.
    pub target: Side,
    /// The canonical version when the bell was rung.
    pub version: u64,
    /// What the side was owed then; for audit and metrics only.
    pub changes: Fields,
    /// The events that led here.
    pub source_event_ids: Vec<EventId>,
    /// Field → (policy, winner) where a policy decided.
    pub decisions: BTreeMap<String, (String, String)>,
    /// When the earliest of the causing edits happened, for the latency histogram.
    pub occurred_at: Option<Timestamp>,
}

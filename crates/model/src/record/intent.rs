//! Write intents: stored before a request is sent, settled when its fate is known.

use serde::{Deserialize, Serialize};

use crate::{Fields, NativeId, Side, Timestamp, WriteId, WriteKind};

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

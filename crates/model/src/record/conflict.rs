//! Conflicts and locks.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{EventId, Fields, Timestamp};

/// Two values and nobody to decide but a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conflict {
    /// Its id.
    pub conflict_id: Uuid,
    /// The field (an atomic group's leader), or [`WHOLE`](super::WHOLE).
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

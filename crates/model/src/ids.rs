//! Who and what: accounts, record types, records on each side and inside.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// An id that does not have the shape the model asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {accepted}")]
pub struct BadId {
    /// Which id.
    pub what: &'static str,
    /// What is accepted.
    pub accepted: &'static str,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $accepted:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Reads the id, refusing any other shape.
            ///
            /// # Errors
            /// [`BadId`] naming what is accepted.
            pub fn parse(text: &str) -> Result<Self, BadId> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.into())) } else { Err(BadId { what: $what, accepted: $accepted }) }
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadId;
            fn try_from(text: String) -> Result<Self, BadId> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// A NetSuite account id in its realm spelling (`1234567_SB1`); the tenant on every key (fact sheet §1).
    AccountId,
    "the account id",
    "1 to 40 letters and digits, optionally with one `_` or `-` inside",
    |t| {
        t.len() <= 40
            && t.split(['_', '-']).count() <= 2
            && t.split(['_', '-']).all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_alphanumeric()))
    }
);
text_id!(
    /// A record type's SuiteQL name in lower case: `customer`, `item`, `salesorder`, `customrecord_x`.
    RecordType,
    "the record type",
    "1 to 60 lower-case letters, digits and underscores",
    |t| (1..=60).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
);
text_id!(
    /// A side's own id of a record; text, since leading zeros may count.
    NativeId,
    "the record id",
    "1 to 100 visible characters without `|`",
    |t| (1..=100).contains(&t.len()) && t.chars().all(|c| !c.is_control() && c != '|' && !c.is_whitespace())
);

/// The id of one event, given by its producer where it can (ingest makes it from the webhook id where it cannot).
pub type EventId = Uuid;
/// The deterministic id of one write to one side, see [`write_id`].
pub type WriteId = Uuid;

/// The number of a set of rules: record types with their policies, and a version of normalisation (`sync.rules`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RulesId(pub i32);

/// Concord's own identity of a record, the same whatever either side calls it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rid(pub Uuid);

impl fmt::Display for Rid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for Rid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// One of the two systems kept in agreement. Never "local" and "remote": every service is local to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The application's database.
    Suitex,
    /// Oracle NetSuite.
    Netsuite,
}

impl Side {
    /// Both sides in folding order: SuiteX before NetSuite (semantics §2.4).
    pub const BOTH: [Self; 2] = [Self::Suitex, Self::Netsuite];

    /// The one opposite.
    pub fn other(self) -> Self {
        match self {
            Self::Suitex => Self::Netsuite,
            Self::Netsuite => Self::Suitex,
        }
    }

    /// The word on attributes, rows and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Suitex => "suitex",
            Self::Netsuite => "netsuite",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::BOTH.into_iter().find(|side| side.as_str() == word)
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One of each for the two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PerSide<T> {
    /// SuiteX's.
    pub suitex: T,
    /// NetSuite's.
    pub netsuite: T,
}

impl<T> std::ops::Index<Side> for PerSide<T> {
    type Output = T;
    fn index(&self, side: Side) -> &T {
        match side {
            Side::Suitex => &self.suitex,
            Side::Netsuite => &self.netsuite,
        }
    }
}

impl<T> std::ops::IndexMut<Side> for PerSide<T> {
    fn index_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Suitex => &mut self.suitex,
            Side::Netsuite => &mut self.netsuite,
        }
    }
}

/// A record inside Concord. Ordered as heads are locked: account, type, rid (semantics §6).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordRef {
    /// The tenant.
    pub account: AccountId,
    /// The type.
    pub record_type: RecordType,
    /// The internal id.
    pub rid: Rid,
}

impl fmt::Display for RecordRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|{}|{}", self.account, self.record_type, self.rid)
    }
}

/// The record key of contracts §3: `account_id|record_type|record_id`.
pub fn record_key(account: &AccountId, record_type: &RecordType, id: &str) -> String {
    format!("{account}|{record_type}|{id}")
}

/// `write_id = H(account, rid, side, stamp)` (semantics §2.9): the same claim always gives the same id, so a
/// repeated request is recognised by whoever received the first. It never depends on a delivery.
pub fn write_id(record: &RecordRef, side: Side, stamp: u64) -> WriteId {
    let mut hash = Sha256::new();
    for part in [record.account.as_str(), record.record_type.as_str(), side.as_str()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.update(record.rid.0.as_bytes());
    hash.update(stamp.to_be_bytes());
    let digest = hash.finalize();
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_ids_become_host_names_so_dots_and_slashes_are_refused() {
        for good in ["1234567", "1234567_SB1", "1234567-sb1", "TSTDRV100001"] {
            assert!(AccountId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a.b", "a/b", "a_b_c", "a:1", "_a", " a"] {
            assert!(AccountId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_write_id_depends_on_every_part_of_its_claim() {
        let record = |account: &str, rid| RecordRef {
            account: AccountId::parse(account).unwrap(),
            record_type: RecordType::parse("customer").unwrap(),
            rid: Rid(Uuid::from_u128(rid)),
        };
        let base = write_id(&record("A", 1), Side::Netsuite, 1);
        assert_eq!(base, write_id(&record("A", 1), Side::Netsuite, 1));
        for other in [
            write_id(&record("B", 1), Side::Netsuite, 1),
            write_id(&record("A", 2), Side::Netsuite, 1),
            write_id(&record("A", 1), Side::Suitex, 1),
            write_id(&record("A", 1), Side::Netsuite, 2),
        ] {
            assert_ne!(base, other);
        }
    }
}

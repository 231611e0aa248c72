//! The oracle's memory: what users typed over what, and which of it a sync write replaced (semantics §4).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use model::{AccountId, NativeId, RecordType, Side};

use super::types::Spot;

/// A row of one side: account, type, the side's id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Which side.
    pub side: Side,
    /// The tenant.
    pub account: AccountId,
    /// The type.
    pub record_type: RecordType,
    /// The side's id as a number.
    pub id: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} of {}", self.side, self.record_type, self.id, self.account)
    }
}

impl Place {
    /// The id as the side writes it.
    ///
    /// # Panics
    /// Never: a number is an id.
    pub fn native(&self) -> NativeId {
        NativeId::parse(&self.id.to_string()).expect("a number is an id")
    }
}

/// Where a value was first typed, and what its author had on screen there.
#[derive(Debug, Clone)]
pub struct Birth {
    /// The row.
    pub place: Place,
    /// The field.
    pub field: String,
    /// Values it knowingly replaced.
    pub parents: Vec<String>,
}

/// A value that a sync write replaced on a side: at the end somebody must answer for it (I2).
#[derive(Debug, Clone)]
pub struct Obligation {
    /// The row it stood in.
    pub place: Place,
    /// What was replaced.
    pub lost: String,
    /// What stands there instead, if anything.
    pub by: Option<String>,
}

/// Everything users did, as far as invariants ask for it.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Plain values by text.
    pub births: BTreeMap<String, Birth>,
    /// Values a user cleared or deleted having them on screen.
    pub gone: BTreeSet<String>,
    /// What sync writes replaced.
    pub obligations: Vec<Obligation>,
    /// Sums of increments.
    pub increments: BTreeMap<Place, i64>,
    /// Set members added.
    pub added: Vec<(Place, String)>,
    /// Set members removed by a user who saw them.
    pub removed: Vec<(Place, String)>,
    /// Texts appended.
    pub appended: Vec<(Place, String)>,
    /// Rows a user deleted, and when counted in operations.
    pub deleted: BTreeSet<Place>,
    /// Rows a user made.
    pub created: BTreeSet<Place>,
    /// What users and workflows did in all.
    pub operations: u64,
    /// Our writes that landed.
    pub sync_writes: u64,
    last: u64,
}

impl Ledger {
    /// A text nobody has typed yet.
    pub fn fresh(&mut self) -> String {
        self.last += 1;
        format!("u{}", self.last)
    }

    /// A user changed a row: what was typed has what it replaced as its parent; what only went is knowingly gone.
    pub fn typed(&mut self, place: &Place, before: &[(Spot, String)], after: &[(Spot, String)]) {
        for (spot, new) in after {
            let old = before.iter().find(|(held, _)| held == spot).map(|(_, text)| text);
            if old == Some(new) {
                continue;
            }
            let parents: Vec<String> = old.cloned().into_iter().collect();
            let birth = Birth { place: place.clone(), field: spot.field.clone(), parents };
            self.births.entry(new.clone()).or_insert(birth);
        }
        for (spot, old) in before {
            if !after.iter().any(|(held, _)| held == spot) {
                self.gone.insert(old.clone());
            }
        }
    }

    /// A sync write changed a row: everything it replaced must be answered for.
    pub fn written(&mut self, place: &Place, before: &[(Spot, String)], after: &[(Spot, String)]) {
        self.sync_writes += 1;
        for (spot, old) in before {
            let new = after.iter().find(|(held, _)| held == spot).map(|(_, text)| text);
            if new != Some(old) {
                self.obligations.push(Obligation { place: place.clone(), lost: old.clone(), by: new.cloned() });
            }
        }
    }

    /// A value and everything it descends from.
    pub fn with_ancestors<'a>(&'a self, start: impl IntoIterator<Item = &'a str>, more: &Edges) -> BTreeSet<String> {
        let mut found: BTreeSet<String> = BTreeSet::new();
        let mut open: Vec<String> = start.into_iter().map(str::to_owned).collect();
        while let Some(value) = open.pop() {
            if !found.insert(value.clone()) {
                continue;
            }
            open.extend(self.births.get(&value).into_iter().flat_map(|birth| birth.parents.iter().cloned()));
            open.extend(more.get(&value).into_iter().flatten().cloned());
        }
        found
    }
}

/// Further parents of values: what people had on screen when they decided conflicts.
pub type Edges = BTreeMap<String, Vec<String>>;

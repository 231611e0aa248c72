//! What a sweep has counted so far: stored with its cursor, and in the end the content of the certificate.

use model::{Fields, NativeId, PerSide, Rid, Side, SumHash};
use serde::{Deserialize, Serialize};

/// Most records a certificate names.
pub const MAX_EXAMPLES: usize = 100;

/// Records counted and hashed, in whatever order they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sum {
    /// How many.
    pub count: u64,
    /// Their hash.
    pub hash: SumHash,
}

impl Sum {
    pub(crate) fn add(&mut self, rid: Rid, state: &Fields) {
        self.count += 1;
        self.hash.add_record(rid, state);
    }
}

/// Why a record keeps a certificate from saying "complete".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Work on it was under way: dirty, in flight, owed, locked, in conflict, or changed while it was looked at.
    Pending,
    /// A side differed from what is known of it, and no hint had said so.
    Drift,
    /// An id that is there and that nobody knew to be there.
    Unknown,
    /// The side did not give it in a form that can be read.
    Unreadable,
    /// Nothing is owed and no hint was lost, and still the side does not hold the canonical state.
    Disagrees,
}

/// A record that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// The record, where one is known.
    #[serde(rename = "record_id")]
    pub rid: Option<Rid>,
    /// The side it is about.
    pub side: Option<Side>,
    /// The side's id.
    pub native_id: Option<NativeId>,
    /// What is wrong.
    pub why: Why,
}

/// What a sweep has counted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Living canonical records.
    pub canonical: Sum,
    /// Known records as each side holds them.
    pub sides: PerSide<Sum>,
    /// Ids each side listed.
    pub listed: PerSide<u64>,
    /// Ids each side listed that nobody knew to be there.
    pub unknown: PerSide<u64>,
    /// Records on which work was under way.
    pub pending: u64,
    /// Differences no hint had told of; each was rung.
    pub drift: u64,
    /// Records a side did not give in a form that can be read.
    pub unreadable: u64,
    /// Records of which a side does not hold the canonical state although nothing is owed.
    pub disagree: u64,
    /// The first records that are not as they should be.
    pub examples: Vec<Example>,
}

impl Tally {
    pub(crate) fn note(&mut self, rid: Option<Rid>, side: Option<Side>, native_id: Option<&NativeId>, why: Why) {
        match why {
            Why::Pending => self.pending += 1,
            Why::Drift => self.drift += 1,
            Why::Unreadable => self.unreadable += 1,
            Why::Disagrees => self.disagree += 1,
            Why::Unknown => {
                if let Some(side) = side {
                    self.unknown[side] += 1;
                }
            }
        }
        if self.examples.len() < MAX_EXAMPLES {
            self.examples.push(Example { rid, side, native_id: native_id.cloned(), why });
        }
    }

    /// What keeps the certificate from saying "complete", a sentence each; empty when nothing does.
    pub fn shortfalls(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut more_than_none = |n: u64, what: &str| {
            if n > 0 {
                found.push(format!("{n} {what}"));
            }
        };
        more_than_none(self.pending, "pending: work on them was under way when they were looked at");
        more_than_none(self.drift, "drifted: a side had changed and no hint had said so; they were rung");
        more_than_none(self.unreadable, "unreadable: a side did not give them in a form that can be read");
        more_than_none(self.disagree, "disagree: a side does not hold the canonical state although nothing is owed");
        for side in Side::BOTH {
            more_than_none(self.unknown[side], &format!("unknown: {side} had them and nobody knew; they were rung"));
        }
        for side in Side::BOTH {
            let (ours, theirs) = (self.canonical, self.sides[side]);
            if ours.count != theirs.count {
                found.push(format!("{} records are canonical and {} are in {side}", ours.count, theirs.count));
            } else if ours.hash != theirs.hash {
                found.push(format!("the states in {side} are not the canonical ones"));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(value: &str) -> Fields {
        [("a".to_owned(), model::Value::text(value))].into()
    }

    fn agreed() -> Tally {
        let mut tally = Tally::default();
        let rid = Rid(uuid::Uuid::nil());
        tally.canonical.add(rid, &state("x"));
        for side in Side::BOTH {
            tally.sides[side].add(rid, &state("x"));
        }
        tally
    }

    #[test]
    fn it_is_complete_only_when_counts_and_hashes_agree_and_nothing_is_left() {
        assert_eq!(agreed().shortfalls(), Vec::<String>::new());
        for why in [Why::Pending, Why::Drift, Why::Unknown, Why::Unreadable, Why::Disagrees] {
            let mut tally = agreed();
            tally.note(None, Some(Side::Netsuite), None, why);
            assert_eq!(tally.shortfalls().len(), 1, "{why:?}");
        }
        let mut fewer = agreed();
        fewer.canonical.add(Rid(uuid::Uuid::max()), &state("y"));
        assert_eq!(fewer.shortfalls().len(), 2, "both sides lack it");
        let mut other = agreed();
        other.sides.suitex = Sum::default();
        other.sides.suitex.add(Rid(uuid::Uuid::nil()), &state("y"));
        assert_eq!(other.shortfalls(), ["the states in suitex are not the canonical ones"]);
    }

    #[test]
    fn it_comes_back_from_its_row_as_it_was_and_names_only_the_first() {
        let mut tally = agreed();
        for _ in 0..MAX_EXAMPLES + 5 {
            tally.note(
                Some(Rid(uuid::Uuid::nil())),
                Some(Side::Suitex),
                NativeId::parse("7").ok().as_ref(),
                Why::Drift,
            );
        }
        assert_eq!((tally.examples.len(), tally.drift), (MAX_EXAMPLES, MAX_EXAMPLES as u64 + 5));
        let text = serde_json::to_string(&tally).unwrap();
        assert_eq!(serde_json::from_str::<Tally>(&text).unwrap(), tally);
    }
}

//! What a merge step did, counted.

use std::collections::BTreeMap;

use merge::Effects;

/// What a merge step did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merged {
    /// Records taken.
    pub records: usize,
    /// Records folded from their deltas alone.
    pub fast: usize,
    /// Hints settled.
    pub settled: usize,
    /// Hints settled that led to a new version.
    pub applied: usize,
    /// New versions.
    pub versions: usize,
    /// Conflicts opened, moved or closed.
    pub conflicts: usize,
    /// Fields both sides had a say in, by what decided: a policy, or the reason why a person must.
    pub clashes: BTreeMap<String, usize>,
    /// Values recorded as lost.
    pub overrides: usize,
    /// Sides that could not be read.
    pub unreadable: usize,
}

impl Merged {
    /// Adds what was done of others.
    pub(crate) fn add(&mut self, other: Self) {
        self.records += other.records;
        self.fast += other.fast;
        self.settled += other.settled;
        self.applied += other.applied;
        self.versions += other.versions;
        self.conflicts += other.conflicts;
        for (word, n) in other.clashes {
            *self.clashes.entry(word).or_default() += n;
        }
        self.overrides += other.overrides;
        self.unreadable += other.unreadable;
    }
}

/// What decided each field that both sides had a say in: once a field, though it may be decided and recorded as lost.
pub(crate) fn clashes(effects: &Effects) -> Vec<String> {
    let mut decided: BTreeMap<&str, &str> =
        effects.decisions.iter().map(|(field, (policy, _))| (field.as_str(), policy.as_str())).collect();
    for lost in &effects.overrides {
        decided.entry(&lost.field).or_insert(&lost.policy);
    }
    decided.into_values().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use model::{EventId, Side};

    use super::*;

    fn lost(field: &str, policy: &str) -> model::record::Override {
        model::record::Override {
            field: field.to_owned(),
            losing_value: model::Value::Null,
            losing_side: Side::Suitex,
            winning_value: model::Value::Null,
            policy: policy.to_owned(),
            version: 1,
            event_id: EventId::nil(),
        }
    }

    #[test]
    fn a_clash_is_counted_once_a_field_by_what_decided() {
        let mut effects = Effects::default();
        let decided = |policy: &str| (policy.to_owned(), "suitex".to_owned());
        effects.decisions.insert("email".to_owned(), decided("newest_wins"));
        effects.decisions.insert("tags".to_owned(), decided("union"));
        effects.overrides = vec![lost("email", "newest_wins"), lost("phone", "suitex_wins")];
        let mut words = clashes(&effects);
        words.sort_unstable();
        assert_eq!(words, ["newest_wins", "suitex_wins", "union"]);
    }
}

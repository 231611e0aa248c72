//! Runs every file of `tests/merge-cases`: what the product promises, in words an analyst can read and extend.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use model::record::{Existence, Override, Record};
use model::spec::TypeSpec;
use model::{Fields, Side, Value};
use serde::Deserialize;

#[path = "support/stand.rs"]
mod stand;

use stand::{agreed, observation, see, spec, tidy};

/// What a side holds, or what comes of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum State {
    /// `"gone"`.
    Word(String),
    Fields(Fields),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// What both sides held before, as we knew; or what the one side in `known` held.
    #[serde(default)]
    base: Fields,
    /// The only side on which we knew the record; absent = both.
    known: Option<Side>,
    /// What is read of SuiteX: the fields that changed. Absent = it is not read.
    suitex: Option<State>,
    /// What is read of NetSuite.
    netsuite: Option<State>,
    /// Seconds at which each side typed.
    at: Option<BTreeMap<Side, i64>>,
    /// The side that is folded first; absent = both orders must come to the same.
    first: Option<Side>,
    result: Option<State>,
    result_suitex_first: Option<State>,
    result_netsuite_first: Option<State>,
    /// Rows in overrides, exactly.
    #[serde(default)]
    lost: Vec<Lost>,
    lost_suitex_first: Option<Vec<Lost>>,
    lost_netsuite_first: Option<Vec<Lost>>,
    /// Conflicts that are open, exactly.
    #[serde(default)]
    conflicts: Vec<Open>,
    version: Option<u64>,
}

#[derive(Debug, Clone, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(deny_unknown_fields)]
struct Lost {
    field: String,
    side: String,
    value: Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Open {
    field: String,
    suitex: Option<Value>,
    netsuite: Option<Value>,
}

/// A value as a case spells it: the empty text is the empty value.
fn plain(value: &Value) -> Value {
    if *value == Value::Text(String::new()) { Value::Null } else { value.clone() }
}

impl Case {
    fn seen(&self, side: Side) -> Option<&State> {
        match side {
            Side::Suitex => self.suitex.as_ref(),
            Side::Netsuite => self.netsuite.as_ref(),
        }
    }

    fn expected(&self, first: Side) -> State {
        let of_order = match first {
            Side::Suitex => &self.result_suitex_first,
            Side::Netsuite => &self.result_netsuite_first,
        };
        of_order.clone().or(self.result.clone()).unwrap_or_else(|| panic!("{}: no result is given", self.name))
    }

    /// Plays the case in one order; what is wrong with what came of it.
    fn play(&self, spec: &TypeSpec, first: Side) -> Vec<String> {
        let known = self.known.map_or(Side::BOTH.to_vec(), |side| vec![side]);
        let mut record = agreed(spec, &tidy(self.base.clone()), &known);
        let mut lost: Vec<Override> = Vec::new();
        for side in [first, first.other()] {
            let Some(seen) = self.seen(side) else { continue };
            let fields = match seen {
                State::Word(word) => {
                    assert_eq!(word, "gone", "{}: a side holds fields or is \"gone\"", self.name);
                    None
                }
                State::Fields(fields) => {
                    Some(fields.iter().map(|(name, value)| (name.clone(), plain(value))).collect())
                }
            };
            let typed = self.at.as_ref().and_then(|at| at.get(&side)).copied().unwrap_or(10);
            let observation = observation(side, fields, typed);
            let before = record.head.version;
            lost.extend(see(&mut record, spec, &observation).overrides);
            assert!(record.head.version <= before + 1, "{}: one read makes one version", self.name);
            let again = see(&mut record, spec, &observation);
            assert!(!again.changed, "{}: the same read again changes nothing: {again:?}", self.name);
        }
        self.judge(&record, &lost, first)
    }

    fn judge(&self, record: &Record, lost: &[Override], first: Side) -> Vec<String> {
        let mut wrong = Vec::new();
        match self.expected(first) {
            State::Word(_) if record.head.alive => wrong.push("the record lives".to_owned()),
            State::Word(_) => {}
            State::Fields(_) if !record.head.alive => wrong.push("the record is gone".to_owned()),
            State::Fields(fields) if record.head.state != tidy(fields.clone()) => {
                wrong.push(format!("it came to {:?}", record.head.state));
            }
            State::Fields(_) => {}
        }
        let told: BTreeSet<Lost> = lost
            .iter()
            .map(|o| Lost { field: o.field.clone(), side: o.losing_side.to_string(), value: o.losing_value.clone() })
            .collect();
        let of_order = match first {
            Side::Suitex => &self.lost_suitex_first,
            Side::Netsuite => &self.lost_netsuite_first,
        };
        let promised = of_order.as_ref().unwrap_or(&self.lost).iter();
        let promised: BTreeSet<Lost> = promised.map(|l| Lost { value: plain(&l.value), ..l.clone() }).collect();
        if told != promised {
            wrong.push(format!("overrides hold {told:?}"));
        }
        let open: BTreeSet<&str> = record.conflicts.iter().map(|conflict| conflict.field.as_str()).collect();
        if open != self.conflicts.iter().map(|conflict| conflict.field.as_str()).collect() {
            wrong.push(format!("conflicts are open on {open:?}"));
        }
        for promised in &self.conflicts {
            let Some(conflict) = record.conflict(&promised.field) else { continue };
            for (wanted, held) in [(&promised.suitex, &conflict.suitex), (&promised.netsuite, &conflict.netsuite)] {
                let held = held.as_ref().and_then(|fields| fields.get(&promised.field)).cloned().unwrap_or_default();
                if wanted.as_ref().is_some_and(|wanted| plain(wanted) != held) {
                    wrong.push(format!("the conflict on {} holds {held:?}", promised.field));
                }
            }
        }
        if self.version.is_some_and(|version| version != record.head.version) {
            wrong.push(format!("it is version {}", record.head.version));
        }
        for side in Side::BOTH.into_iter().filter(|side| matches!(self.seen(*side), Some(State::Word(_)))) {
            if record.shadows[side].exists != Existence::Deleted {
                wrong.push(format!("{side} still has it, as far as we know"));
            }
        }
        wrong
    }
}

#[test]
fn every_case_comes_out_as_promised() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/merge-cases");
    let (mut played, mut wrong, mut policies) = (0, Vec::new(), BTreeSet::new());
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|kind| kind == "toml")) {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let mut table: toml::Table = std::fs::read_to_string(file).unwrap().parse().unwrap();
        let cases = table.remove("case").unwrap_or_else(|| panic!("{name} has no case"));
        let cases: Vec<Case> = cases.try_into().unwrap_or_else(|error| panic!("{name}: {error}"));
        let spec = spec(table);
        policies.extend(spec.fields.iter().map(|field| field.policy.as_str()));
        for case in &cases {
            let orders = case.first.map_or(Side::BOTH.to_vec(), |first| vec![first]);
            for first in orders {
                played += 1;
                let what = case.play(&spec, first);
                wrong.extend(what.into_iter().map(|what| format!("{name}: {} ({first} first): {what}", case.name)));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {played} did not:\n  {}", wrong.len(), wrong.join("\n  "));
    assert!(played >= 120, "only {played} cases were found");
    assert_eq!(policies.len(), 13, "policies without a case: {policies:?}");
}

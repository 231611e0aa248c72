//! What holds of every merge, whatever the policies and the values (semantics §4).
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

use std::collections::BTreeSet;

use model::record::Record;
use model::spec::{Policy, TypeSpec};
use model::{Fields, Side, Value};
use proptest::prelude::*;

#[path = "support/stand.rs"]
mod stand;

use stand::{agreed, observation, see, spec, tidy, written};

/// A type with a field of every policy, an atomic group and a sublist.
fn every_policy() -> TypeSpec {
    let text = r#"
        lock = "field"
        field = [
          { name = "sw", kind = "text", policy = "suitex_wins" },
          { name = "nw", kind = "text", policy = "netsuite_wins" },
          { name = "ne", kind = "text", policy = "newest_wins" },
          { name = "ma", kind = "text", policy = "manual" },
          { name = "un", kind = "set", policy = "union" },
          { name = "nd", kind = "integer", policy = { numeric_delta = {} } },
          { name = "mx", kind = "integer", policy = "max" },
          { name = "mn", kind = "integer", policy = "min" },
          { name = "ap", kind = "text", policy = "append" },
          { name = "im", kind = "text", policy = "immutable" },
          { name = "ig", kind = "text", policy = "ignored" },
          { name = "nx", kind = "text", policy = "ns_derived" },
          { name = "sx", kind = "text", policy = "sx_derived" },
          { name = "g1", kind = "text", policy = "netsuite_wins", group = "g" },
          { name = "g2", kind = "text", policy = "netsuite_wins", group = "g" },
          { name = "lines", column = "app.lines", kind = "lines", sublist = "item", id = "id", parent = "thing_id", line_delete_policy = "update_wins", line = [
            { name = "q", column = "q", kind = "text", policy = "newest_wins" },
            { name = "r", column = "r", kind = "text", policy = "netsuite_wins" },
          ] },
        ]
    "#;
    spec(text.parse().unwrap())
}

fn text() -> impl Strategy<Value = Value> {
    prop_oneof![Just(Value::Null), "[abc]{1,3}".prop_map(Value::Text)]
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![1 => Just(Value::Null), 5 => (-9_i64..10).prop_map(Value::Int)]
}

fn set() -> impl Strategy<Value = Value> {
    prop::collection::btree_set("[1-4]", 0..4)
        .prop_map(|set| if set.is_empty() { Value::Null } else { Value::Set(set) })
}

fn lines() -> impl Strategy<Value = Value> {
    let line = (text(), text()).prop_map(|(q, r)| Some(tidy([("q".to_owned(), q), ("r".to_owned(), r)].into())));
    prop::collection::btree_map("[sn][12]", line, 0..4)
        .prop_map(|lines| if lines.is_empty() { Value::Null } else { Value::Lines(lines) })
}

/// All fields of one side.
fn state() -> impl Strategy<Value = Fields> {
    let texts = prop::collection::vec(text(), 11);
    (texts, set(), number(), number(), number(), lines()).prop_map(|(texts, un, nd, mx, mn, lines)| {
        let names = ["sw", "nw", "ne", "ma", "ap", "im", "ig", "nx", "sx", "g1", "g2"];
        let mut fields: Fields = names.iter().map(|name| (*name).to_owned()).zip(texts).collect();
        fields
            .extend([("un", un), ("nd", nd), ("mx", mx), ("mn", mn), ("lines", lines)].map(|(n, v)| (n.to_owned(), v)));
        fields
    })
}

/// A side's edit of a base: each field is kept or typed anew.
fn edit() -> impl Strategy<Value = (Fields, Vec<bool>)> {
    (state(), prop::collection::vec(any::<bool>(), 16))
}

fn edited(base: &Fields, (typed, which): &(Fields, Vec<bool>)) -> Fields {
    base.iter()
        .zip(which)
        .map(|((name, old), changed)| (name.clone(), if *changed { typed[name].clone() } else { old.clone() }))
        .collect()
}

fn start(spec: &TypeSpec, base: &Fields) -> Record {
    agreed(spec, &tidy(base.clone()), &Side::BOTH)
}

/// The canonical state without what no side may be told (locked) and what nobody compares.
fn open_fields(spec: &TypeSpec, record: &Record, side: Side, state: &Fields) -> Fields {
    let open = |name: &str| {
        let field = spec.field(name).unwrap();
        let locked = spec.group_of(field).iter().any(|member| record.field_locked(&member.name));
        field.policy != Policy::Ignored && field.authority() != Some(side) && !locked
    };
    state.iter().filter(|(name, _)| open(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The same record with the sides' names exchanged, as far as a symmetric policy can tell.
fn symmetric(spec: &TypeSpec, record: &Record) -> Vec<(String, Value)> {
    let names = ["un", "nd", "mx", "mn"];
    assert!(names.iter().all(|name| spec.field(name).is_some()));
    names.iter().map(|name| ((*name).to_owned(), record.head.state.get(*name).cloned().unwrap_or_default())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn an_observation_equal_to_the_shadow_gives_an_empty_plan(base in state(), side in side()) {
        let spec = every_policy();
        let mut record = start(&spec, &base);
        let before = record.clone();
        let effects = see(&mut record, &spec, &observation(side, Some(base), 50));
        prop_assert!(!effects.changed && effects.version.is_none(), "{effects:?}");
        prop_assert_eq!(record, before);
    }

    #[test]
    fn folding_twice_is_folding_once(base in state(), typed in edit(), other in edit(), side in side()) {
        let spec = every_policy();
        let mut record = start(&spec, &base);
        see(&mut record, &spec, &observation(side.other(), Some(edited(&base, &other)), 5));
        let read = observation(side, Some(edited(&base, &typed)), 50);
        see(&mut record, &spec, &read);
        let once = record.clone();
        let again = see(&mut record, &spec, &read);
        prop_assert!(!again.changed, "{again:?}");
        prop_assert_eq!(record, once);
    }

    #[test]
    fn where_one_side_alone_changed_its_change_stands(base in state(), typed in edit(), side in side()) {
        let spec = every_policy();
        let mut record = start(&spec, &base);
        let seen = edited(&base, &typed);
        let effects = see(&mut record, &spec, &observation(side, Some(seen.clone()), 50));
        for field in spec.fields.iter().filter(|f| f.policy != Policy::Ignored && f.policy != Policy::Immutable) {
            let overruled = field.authority() == Some(side.other());
            let expected = if overruled { &base[&field.name] } else { &seen[&field.name] };
            prop_assert_eq!(record.head.state.get(&field.name).cloned().unwrap_or_default(), expected.clone());
        }
        prop_assert!(record.conflicts.is_empty() && effects.decisions.is_empty());
    }

    #[test]
    fn the_same_change_on_both_sides_is_no_clash_unless_it_adds_up(base in state(), typed in edit()) {
        let spec = every_policy();
        let seen = edited(&base, &typed);
        let mut record = start(&spec, &base);
        see(&mut record, &spec, &observation(Side::Suitex, Some(seen.clone()), 50));
        see(&mut record, &spec, &observation(Side::Netsuite, Some(seen.clone()), 50));
        prop_assert!(record.conflicts.is_empty());
        let same = |f: &&model::spec::FieldSpec| {
            let bound = f.authority().is_some() || matches!(f.policy, Policy::Ignored | Policy::Immutable);
            !f.policy.additive() && !bound
        };
        for field in spec.fields.iter().filter(same) {
            let held = record.head.state.get(&field.name).cloned().unwrap_or_default();
            prop_assert_eq!(&held, &seen[&field.name], "{}", field.name);
        }
    }

    #[test]
    fn edits_of_different_fields_commute(base in state(), typed in edit(), cut in 0_usize..16) {
        let spec = every_policy();
        let grouped = |name: &str| if name == "g2" { "g1".to_owned() } else { name.to_owned() };
        let left: BTreeSet<String> = base.keys().take(cut).map(|name| grouped(name)).collect();
        let of = |here: bool| -> Fields {
            let mine = |name: &str| left.contains(&grouped(name)) == here;
            let seen = edited(&base, &typed);
            base.iter().map(|(n, old)| (n.clone(), if mine(n) { seen[n].clone() } else { old.clone() })).collect()
        };
        let reads = [observation(Side::Suitex, Some(of(true)), 50), observation(Side::Netsuite, Some(of(false)), 50)];
        let (mut one, mut other) = (start(&spec, &base), start(&spec, &base));
        see(&mut one, &spec, &reads[0]);
        see(&mut one, &spec, &reads[1]);
        see(&mut other, &spec, &reads[1]);
        see(&mut other, &spec, &reads[0]);
        prop_assert_eq!(&one.head.state, &other.head.state);
        prop_assert!(one.conflicts.is_empty() && other.conflicts.is_empty());
    }

    #[test]
    fn under_a_symmetric_policy_swapping_the_sides_swaps_the_plan(base in state(), a in edit(), b in edit()) {
        let spec = every_policy();
        let play = |first: Side| {
            let mut record = start(&spec, &base);
            see(&mut record, &spec, &observation(first, Some(edited(&base, &a)), 50));
            see(&mut record, &spec, &observation(first.other(), Some(edited(&base, &b)), 50));
            symmetric(&spec, &record)
        };
        prop_assert_eq!(play(Side::Suitex), play(Side::Netsuite));
    }

    #[test]
    fn what_a_side_is_owed_makes_it_the_canonical_state(base in state(), a in edit(), b in edit()) {
        let spec = every_policy();
        let mut record = start(&spec, &base);
        see(&mut record, &spec, &observation(Side::Suitex, Some(edited(&base, &a)), 50));
        see(&mut record, &spec, &observation(Side::Netsuite, Some(edited(&base, &b)), 60));
        for side in Side::BOTH {
            let mut after = written(&record, &spec, side).expect("the record is there");
            let mut wanted = record.head.state.clone();
            // Lines are owed line by line: what is written is a change of the sublist, not the sublist.
            after.remove("lines");
            wanted.remove("lines");
            prop_assert_eq!(open_fields(&spec, &record, side, &after), open_fields(&spec, &record, side, &wanted));
        }
    }

    #[test]
    fn nothing_typed_disappears_silently(base in state(), a in edit(), b in edit(), first in side(), later in 0_i64..30) {
        let spec = every_policy();
        let mut record = start(&spec, &base);
        let seen = |side: Side| edited(&base, if side == first { &a } else { &b });
        let mut lost = Vec::new();
        for (side, at) in [(first, 20), (first.other(), later)] {
            lost.extend(see(&mut record, &spec, &observation(side, Some(seen(side)), at)).overrides);
        }
        let single = |f: &&model::spec::FieldSpec| {
            let merged = f.policy.additive() || matches!(f.policy, Policy::Union | Policy::Ignored);
            !merged && f.lines().is_none() && f.group.is_none()
        };
        for field in spec.fields.iter().filter(single) {
            for side in Side::BOTH {
                let typed = seen(side)[&field.name].clone();
                let name = &field.name;
                let stands = record.head.state.get(name).cloned().unwrap_or_default() == typed;
                let recorded = lost.iter().any(|o| o.field == *name && o.losing_side == side && o.losing_value == typed);
                let asked = record.conflict(name).is_some();
                prop_assert!(
                    typed == base[name] || stands || recorded || asked,
                    "{side} typed {typed:?} into {name} and it is nowhere"
                );
                prop_assert!(!(asked && recorded), "{name} waits for a person and was decided all the same");
            }
        }
    }

    #[test]
    fn a_read_makes_one_version_or_none(base in state(), a in edit(), side in side()) {
        let spec = every_policy();
        let mut record = start(&spec, &base);
        let before = record.head.version;
        let effects = see(&mut record, &spec, &observation(side, Some(edited(&base, &a)), 50));
        prop_assert_eq!(record.head.version, before + u64::from(effects.version.is_some()));
    }
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Suitex), Just(Side::Netsuite)]
}

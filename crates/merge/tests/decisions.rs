//! What people decide (semantics §2.12): whose values stand, who is named as having lost, and which locks go.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

use merge::{Effects, FoldError, fold};
use model::record::{ConflictReason, ConflictStatus, Entry, Record, Resolution, Undo, WHOLE};
use model::spec::TypeSpec;
use model::{Fields, Rid, Side, Value};
use uuid::Uuid;

#[path = "support/stand.rs"]
mod stand;

use stand::{agreed, at, observation, see, spec};

const NS: Side = Side::Netsuite;
const SX: Side = Side::Suitex;

fn thing() -> TypeSpec {
    let text = r#"
        lock = "field"
        delete_policy = "manual"
        field = [
          { name = "a", kind = "text", policy = "netsuite_wins" },
          { name = "m", kind = "text", policy = "manual" },
          { name = "n", kind = "text", policy = "manual" },
          { name = "g", kind = "text", policy = "manual", group = "g" },
          { name = "h", kind = "text", policy = "manual", group = "g" },
        ]
    "#;
    spec(text.parse().unwrap())
}

fn fields(pairs: &[(&str, &str)]) -> Fields {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), Value::text(*value))).collect()
}

/// Both sides knew `base`, then each was read with other values.
fn clash(base: &[(&str, &str)], suitex: &[(&str, &str)], netsuite: &[(&str, &str)]) -> Record {
    let spec = thing();
    let mut record = agreed(&spec, &fields(base), &Side::BOTH);
    see(&mut record, &spec, &observation(SX, Some(fields(suitex)), 5));
    see(&mut record, &spec, &observation(NS, Some(fields(netsuite)), 6));
    record
}

fn decide(record: &mut Record, field: &str, values: Option<Fields>) -> Result<Effects, FoldError> {
    let conflict = record.conflict(field).unwrap();
    let (conflict_id, rev) = (conflict.conflict_id, conflict.rev);
    let resolution = Resolution { conflict_id, rev, values, actor: "jo".to_owned(), note: String::new() };
    fold(record, &thing(), &Entry::Resolution(resolution), Uuid::from_u128(77), at(50))
}

fn lost(effects: &Effects) -> Vec<(String, Side, Value, Value)> {
    let row = |lost: &model::record::Override| {
        assert_eq!(lost.policy, "resolved");
        (lost.field.clone(), lost.losing_side, lost.losing_value.clone(), lost.winning_value.clone())
    };
    effects.overrides.iter().map(row).collect()
}

#[test]
fn each_conflict_has_a_lock_of_its_own_and_a_decision_takes_away_that_one() {
    let mut record = clash(&[], &[("m", "X"), ("n", "X")], &[("m", "Y"), ("n", "Y")]);
    let ids: Vec<_> = record.conflicts.iter().map(|conflict| Some(conflict.conflict_id)).collect();
    assert_ne!(ids[0], ids[1]);
    assert_eq!(record.locks.iter().map(|lock| lock.conflict_id).collect::<Vec<_>>(), ids);
    assert_ne!(record.locks[0].lock_id, record.locks[1].lock_id);
    let effects = decide(&mut record, "m", Some(fields(&[("m", "Y")]))).unwrap();
    assert_eq!((record.field_locked("m"), record.field_locked("n")), (false, true));
    assert_eq!(lost(&effects), [("m".to_owned(), SX, Value::text("X"), Value::text("Y"))]);
    let [(closed, Some(resolution))] = effects.closed.as_slice() else { panic!("{:?}", effects.closed) };
    assert_eq!((closed.status, resolution.actor.as_str()), (ConflictStatus::Resolved, "jo"));
    assert_eq!((record.head.state["m"].clone(), record.head.meta["m"].side), (Value::text("Y"), None));
    assert_eq!(record.head.meta["m"].event_id, Uuid::from_u128(77));
}

#[test]
fn a_decision_about_values_that_moved_or_of_no_conflict_leaves_the_record_as_it_was() {
    let mut record = clash(&[], &[("m", "X")], &[("m", "Y")]);
    let before = record.clone();
    let conflict = record.conflicts[0].clone();
    let about = |conflict_id, rev| {
        Entry::Resolution(Resolution {
            conflict_id,
            rev,
            values: Some(fields(&[("m", "Z")])),
            actor: "jo".to_owned(),
            note: String::new(),
        })
    };
    let stale = fold(&mut record, &thing(), &about(conflict.conflict_id, 2), Uuid::nil(), at(50));
    assert_eq!(stale, Err(FoldError::StaleResolution { seen: 2, current: 1 }));
    let unknown = fold(&mut record, &thing(), &about(Uuid::from_u128(3), 1), Uuid::nil(), at(50));
    assert_eq!(unknown, Err(FoldError::NoSuchConflict(Uuid::from_u128(3))));
    assert_eq!(record, before);
}

#[test]
fn a_group_is_decided_as_one_and_a_member_left_out_is_cleared() {
    let mut record = clash(&[("g", "1"), ("h", "1"), ("a", "1")], &[("g", "2")], &[("h", "3")]);
    let effects = decide(&mut record, "g", Some(fields(&[("g", "9"), ("a", "not asked")]))).unwrap();
    assert_eq!(*record.head.state, fields(&[("g", "9"), ("a", "1")]));
    assert!(record.conflicts.is_empty() && record.locks.is_empty());
    let named: Vec<_> = lost(&effects).into_iter().map(|(field, side, value, _)| (field, side, value)).collect();
    let row = |field: &str, side, value: &str| (field.to_owned(), side, Value::text(value));
    assert_eq!(named, [row("g", SX, "2"), row("h", SX, "1"), row("g", NS, "1"), row("h", NS, "3")]);
}

#[test]
fn both_sides_coming_to_the_same_value_close_the_conflict_and_no_other() {
    let mut record = clash(&[], &[("m", "X"), ("n", "X")], &[("m", "Y"), ("n", "Y")]);
    let spec = thing();
    let moved = see(&mut record, &spec, &observation(NS, Some(fields(&[("m", "Z")])), 20));
    assert!(moved.version.is_some() && moved.closed.is_empty(), "who decides has to see it");
    assert_eq!((record.conflict("m").unwrap().rev, record.conflict("n").unwrap().rev), (2, 1));
    let effects = see(&mut record, &spec, &observation(NS, Some(fields(&[("m", "X")])), 30));
    assert_eq!(effects.closed[0].0.status, ConflictStatus::Converged);
    assert_eq!((record.field_locked("m"), record.field_locked("n")), (false, true));
    assert_eq!((record.head.state["m"].clone(), record.conflicts.len()), (Value::text("X"), 1));
}

/// NetSuite deleted what SuiteX edited, beside an open conflict on `m`.
fn deleted_beside_a_conflict() -> Record {
    let spec = thing();
    let mut record = clash(&[("a", "1")], &[("m", "X"), ("a", "2")], &[("m", "Y")]);
    see(&mut record, &spec, &observation(NS, None, 20));
    assert_eq!(record.conflict(WHOLE).unwrap().reason, ConflictReason::Delete);
    assert!(record.locked(), "the whole record waits");
    record
}

#[test]
fn a_record_decided_to_go_takes_its_conflicts_along_and_names_every_value_seen() {
    let mut record = deleted_beside_a_conflict();
    let effects = decide(&mut record, WHOLE, None).unwrap();
    assert!(!record.head.alive && record.conflicts.is_empty() && record.locks.is_empty());
    assert_eq!(effects.closed.len(), 2);
    let rows = lost(&effects);
    for (field, side, value) in [("a", SX, "2"), ("m", SX, "X"), ("m", NS, "Y")] {
        let row = (field.to_owned(), side, Value::text(value), Value::Null);
        assert!(rows.contains(&row), "{row:?} is not in {rows:?}");
    }
}

#[test]
fn a_record_decided_to_live_keeps_fields_in_conflict_for_their_own_decision() {
    let mut record = deleted_beside_a_conflict();
    let effects = decide(&mut record, WHOLE, Some(fields(&[("a", "3"), ("m", "not asked")]))).unwrap();
    assert!(record.head.alive && record.conflict("m").is_some());
    assert_eq!(record.head.state["a"], Value::text("3"));
    assert_ne!(record.head.state.get("m"), Some(&Value::text("not asked")));
    assert!(lost(&effects).contains(&(WHOLE.to_owned(), NS, Value::text("deleted"), Value::Null)));
}

#[test]
fn what_is_decided_of_a_field_is_seen_by_whoever_decides_about_the_record() {
    let mut record = deleted_beside_a_conflict();
    let rev = record.conflict(WHOLE).unwrap().rev;
    let effects = decide(&mut record, "m", Some(fields(&[("m", "R")]))).unwrap();
    let whole = record.conflict(WHOLE).unwrap();
    assert_eq!((whole.rev, whole.suitex.as_ref().unwrap()["m"].clone()), (rev + 1, Value::text("R")));
    assert_eq!(whole.netsuite, None, "there it is gone");
    assert!(effects.version.is_some() && record.locked());
}

#[test]
fn twins_wait_for_a_person_with_the_values_of_the_newcomer() {
    let spec = thing();
    let mut record = agreed(&spec, &Fields::new(), &[]);
    let mut read = observation(NS, Some(fields(&[("a", "1")])), 5);
    read.twins = vec![Rid(Uuid::from_u128(8))];
    see(&mut record, &spec, &read);
    let conflict = record.conflict(WHOLE).unwrap();
    assert_eq!((conflict.reason, conflict.suitex.as_ref()), (ConflictReason::Duplicate, None));
    assert_eq!(conflict.netsuite, Some(fields(&[("a", "1")])));
    assert_eq!(conflict.base[WHOLE], Value::Set([Uuid::from_u128(8).to_string()].into()));
    // Once it is known, a look that finds twins again asks nothing.
    decide(&mut record, WHOLE, Some(fields(&[("a", "1")]))).unwrap();
    see(&mut record, &spec, &read);
    assert!(record.conflicts.is_empty() && record.head.alive);
}

#[test]
fn a_value_that_waits_in_a_conflict_was_typed_and_is_named_when_a_deletion_wins() {
    let mut spec = thing();
    spec.delete_policy = model::spec::DeletePolicy::DeleteWins;
    for first in Side::BOTH {
        let mut record = agreed(&spec, &fields(&[("g", "1"), ("h", "1")]), &Side::BOTH);
        for side in [first, first.other()] {
            let typed = if side == SX { "2" } else { "3" };
            see(&mut record, &spec, &observation(side, Some(fields(&[("g", typed)])), 5));
        }
        assert!(record.conflict("g").is_some());
        let effects = see(&mut record, &spec, &observation(NS, None, 20));
        assert!(!record.head.alive && record.conflicts.is_empty());
        let named: Vec<_> =
            effects.overrides.iter().map(|lost| (lost.field.as_str(), lost.losing_side, &lost.losing_value)).collect();
        assert_eq!(named, [("g", SX, &Value::text("2"))], "and not what NetSuite had seen, {first} read first");
    }
}

#[test]
fn an_edit_of_what_the_other_side_deleted_is_shown_with_the_record_it_was_made_on() {
    let spec = thing();
    let mut record = agreed(&spec, &fields(&[("a", "1"), ("m", "1")]), &Side::BOTH);
    see(&mut record, &spec, &observation(NS, None, 20));
    // SuiteX edits what is deleted: a person decides, and sees the edit among what was there.
    see(&mut record, &spec, &observation(SX, Some(fields(&[("a", "2")])), 30));
    let conflict = record.conflict(WHOLE).unwrap();
    assert_eq!(conflict.suitex, Some(fields(&[("a", "2"), ("m", "1")])));
    assert_eq!((conflict.netsuite.as_ref(), &conflict.base), (None, &fields(&[("a", "1"), ("m", "1")])));
    assert_eq!(*record.shadows.suitex.state, fields(&[("a", "2"), ("m", "1")]));
    assert!(!record.head.alive, "until then it stays deleted");
}

#[test]
fn where_the_other_side_has_no_record_the_canonical_value_stands_against_an_edit() {
    let spec = thing();
    let mut record = agreed(&spec, &fields(&[("m", "A")]), &[SX]);
    let undo = Undo {
        field: "m".to_owned(),
        version: 1,
        values: fields(&[("m", "R")]),
        actor: "jo".to_owned(),
        note: String::new(),
    };
    fold(&mut record, &spec, &Entry::Undo(undo), Uuid::from_u128(77), at(20)).unwrap();
    see(&mut record, &spec, &observation(SX, Some(fields(&[("m", "B")])), 30));
    let conflict = record.conflict("m").unwrap();
    assert_eq!((&conflict.base, conflict.suitex.as_ref()), (&fields(&[("m", "A")]), Some(&fields(&[("m", "B")]))));
    assert_eq!(conflict.netsuite, Some(fields(&[("m", "R")])));
}

#[test]
fn a_field_decided_to_be_empty_is_cleared_and_its_record_lives() {
    let mut record = clash(&[("a", "1")], &[("m", "X")], &[("m", "Y")]);
    let effects = decide(&mut record, "m", None).unwrap();
    assert_eq!((record.head.alive, record.head.state.get("m")), (true, None));
    assert_eq!((record.conflicts.len(), effects.overrides.len()), (0, 2));
}

/// A person put `R` back; before it was written anywhere SuiteX was edited, and NetSuite is read with this.
fn edited_behind_a_decision(netsuite: &str) -> (Record, Effects) {
    let spec = thing();
    let mut record = agreed(&spec, &fields(&[("m", "A")]), &Side::BOTH);
    let values = fields(&[("m", "R")]);
    let undo = Undo { field: "m".to_owned(), version: 1, values, actor: "jo".to_owned(), note: String::new() };
    fold(&mut record, &spec, &Entry::Undo(undo), Uuid::from_u128(77), at(20)).unwrap();
    see(&mut record, &spec, &observation(SX, Some(fields(&[("m", "B")])), 30));
    assert_eq!(record.conflict("m").unwrap().netsuite, Some(fields(&[("m", "R")])), "what NetSuite shall hold");
    let effects = see(&mut record, &spec, &observation(NS, Some(fields(&[("m", netsuite)])), 40));
    (record, effects)
}

#[test]
fn a_decision_that_an_edit_pushes_out_of_a_conflict_before_it_is_written_is_named() {
    let (record, effects) = edited_behind_a_decision("C");
    assert_eq!(record.conflict("m").unwrap().netsuite, Some(fields(&[("m", "C")])));
    let rows: Vec<_> = effects.overrides.iter().map(|o| (o.losing_side, &o.losing_value, &o.winning_value)).collect();
    assert_eq!(rows, [(NS, &Value::text("R"), &Value::text("C"))]);
    let (_, effects) = edited_behind_a_decision("R");
    assert!(effects.overrides.is_empty(), "who typed the same takes nothing away");
    let mut record = clash(&[], &[("m", "X")], &[("m", "Y")]);
    let effects = see(&mut record, &thing(), &observation(NS, Some(fields(&[("m", "Z")])), 50));
    assert!(effects.overrides.is_empty(), "who typed Z had Y on screen");
}

use model::record::Observation;
use model::spec::{Policy, World};
use model::{AccountId, RecordType, Rid, Value};
use uuid::Uuid;

use super::*;

fn spec() -> TypeSpec {
    World::sample().types.remove(0)
}

fn key() -> RecordRef {
    let record_type = RecordType::parse("customer").unwrap();
    RecordRef { account: AccountId::parse("A").unwrap(), record_type, rid: Rid(Uuid::nil()) }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).unwrap()
}

fn saw(side: Side, fields: &[(&str, &str)]) -> Entry {
    Entry::Observation(Observation::read(
        side,
        fields.iter().map(|(name, value)| ((*name).to_owned(), Value::text(*value))).collect(),
    ))
}

/// Both sides know the record, then each changes the phone, one after the other.
fn log() -> Vec<Entry> {
    let both = [("companyname", "Acme"), ("phone", "0")];
    vec![
        saw(Side::Suitex, &both),
        saw(Side::Netsuite, &both),
        saw(Side::Suitex, &[("phone", "1")]),
        saw(Side::Netsuite, &[("phone", "2")]),
    ]
}

fn take(replay: &mut Replay<'_>, seq: u64, entry: &Entry) -> Result<Effects, Broken> {
    replay.take(seq, entry, Uuid::from_u128(seq.into()), at(seq.cast_signed()))
}

#[test]
fn a_log_folds_to_its_record_and_a_projection_comes_back_from_json() {
    let spec = spec();
    let mut replay = Replay::new(key(), &spec);
    for (seq, entry) in (1..).zip(log()) {
        take(&mut replay, seq, &entry).unwrap();
    }
    let projection = Projection::of(replay.record());
    assert_eq!((projection.version, projection.record_seq), (2, 4));
    assert_eq!(projection.state["phone"], Value::text("1"), "suitex_wins");
    let json = serde_json::to_string(&projection).unwrap();
    assert_eq!(serde_json::from_str::<Projection>(&json).unwrap(), projection);
    assert!(projection.differences(&projection).is_empty());
}

#[test]
fn what_differs_is_named_and_put_back_unless_it_has_a_life_of_its_own() {
    let spec = spec();
    let mut replay = Replay::new(key(), &spec);
    for (seq, entry) in (1..).zip(log()) {
        take(&mut replay, seq, &entry).unwrap();
    }
    let folded = Projection::of(replay.record());
    let mut stored = replay.record().clone();
    stored.head.state.insert("phone".to_owned(), Value::text("9"));
    stored.shadows.netsuite.token = Some(7);
    assert_eq!(folded.differences(&Projection::of(&stored)), ["state", "netsuite.token"]);
    folded.put(&mut stored).unwrap();
    assert_eq!(Projection::of(&stored), folded);

    stored.head.version += 1;
    assert_eq!(folded.put(&mut stored), Err("version"), "a version never moves back");
    stored.head.version -= 1;
    stored.head.last_stamp += 1;
    assert_eq!(folded.put(&mut stored), Err("last_stamp"), "nor does a stamp");
    stored.head.last_stamp -= 1;
    stored.shadows.suitex.inflight = Some(Uuid::from_u128(5));
    assert_eq!(folded.put(&mut stored), Err("suitex.inflight"));
}

#[test]
fn a_gap_and_an_entry_that_changes_nothing_are_told_by_their_numbers() {
    let spec = spec();
    let mut replay = Replay::new(key(), &spec);
    let log = log();
    take(&mut replay, 1, &log[0]).unwrap();
    let before = replay.record().clone();
    assert_eq!(take(&mut replay, 3, &log[2]).unwrap_err(), Broken::Gap { expected: 2, found: 3 });
    assert_eq!(*replay.record(), before);
    assert_eq!(take(&mut replay, 2, &log[0]).unwrap_err(), Broken::Idle { record_seq: 2 });
}

#[test]
fn under_other_policies_a_conflict_is_created_or_avoided_and_values_differ() {
    let (suitex_wins, mut manual, mut netsuite_wins) = (spec(), spec(), spec());
    let set = |spec: &mut TypeSpec, policy| {
        spec.fields.iter_mut().find(|f| f.name == "phone").unwrap().policy = policy;
    };
    set(&mut manual, Policy::Manual);
    set(&mut netsuite_wins, Policy::NetsuiteWins);
    let compare = |one, other| {
        let mut comparison = Comparison::new(Replay::new(key(), one), other);
        for (seq, entry) in (1..).zip(log()) {
            comparison.take(seq, &entry, Uuid::from_u128(seq.into()), at(0), seq > 2).unwrap();
        }
        comparison.moved()
    };
    assert!(compare(&suitex_wins, &suitex_wins).is_nothing());

    let created = compare(&suitex_wins, &manual);
    assert!(!created.is_nothing());
    assert_eq!(
        (created.conflicts_created.as_slice(), created.conflicts_avoided.len()),
        (["phone".to_owned()].as_slice(), 0)
    );
    assert_eq!((created.overrides_avoided.len(), created.overrides_created.len()), (1, 0));
    let avoided = compare(&manual, &suitex_wins);
    assert_eq!((avoided.conflicts_created.len(), avoided.conflicts_avoided.len()), (0, 1));

    let other = compare(&suitex_wins, &netsuite_wins);
    assert_eq!(other.fields["phone"], (Value::text("1"), Value::text("2")));
    assert_eq!((other.overrides_avoided[0].side, other.overrides_created[0].side), (Side::Netsuite, Side::Suitex));
}

#[test]
fn a_decision_about_a_conflict_that_never_was_is_unneeded() {
    let (mut manual, suitex_wins) = (spec(), spec());
    manual.fields.iter_mut().find(|f| f.name == "phone").unwrap().policy = Policy::Manual;
    let mut comparison = Comparison::new(Replay::new(key(), &manual), &suitex_wins);
    let mut conflict = None;
    for (seq, entry) in (1..).zip(log()) {
        comparison.take(seq, &entry, Uuid::from_u128(seq.into()), at(0), true).unwrap();
        conflict = comparison.then.record().conflicts.first().cloned();
    }
    let conflict = conflict.unwrap();
    let decision = Entry::Resolution(model::record::Resolution {
        conflict_id: conflict.conflict_id,
        rev: conflict.rev,
        values: conflict.netsuite,
        actor: "jo".to_owned(),
        note: String::new(),
    });
    comparison.take(5, &decision, Uuid::from_u128(5), at(9), true).unwrap();
    let moved = comparison.moved();
    assert_eq!((moved.decisions_unneeded, moved.conflicts_avoided.len()), (1, 1));
    assert_eq!(moved.fields["phone"], (Value::text("2"), Value::text("1")));
}

#[test]
fn from_an_entry_on_other_rules_may_be_those_of_the_time() {
    let mut manual = spec();
    manual.fields.iter_mut().find(|f| f.name == "phone").unwrap().policy = Policy::Manual;
    let suitex_wins = spec();
    let mut replay = Replay::new(key(), &suitex_wins);
    let mut comparison = Comparison::new(Replay::new(key(), &suitex_wins), &manual);
    for (seq, entry) in (1..).zip(log()) {
        if seq == 3 {
            replay.under(&manual);
            comparison.under(&manual);
        }
        take(&mut replay, seq, &entry).unwrap();
        comparison.take(seq, &entry, Uuid::from_u128(seq.into()), at(0), seq > 3).unwrap();
        assert_eq!(comparison.record_seq(), seq);
    }
    assert_eq!(replay.record().conflicts.len(), 1);
    assert!(comparison.moved().is_nothing(), "both folded the last entry under the same rules");
}

#[test]
fn a_record_that_would_live_is_told_beside_its_fields() {
    let (mut delete_wins, mut update_wins) = (spec(), spec());
    delete_wins.delete_policy = model::spec::DeletePolicy::DeleteWins;
    update_wins.delete_policy = model::spec::DeletePolicy::UpdateWins;
    let mut comparison = Comparison::new(Replay::new(key(), &delete_wins), &update_wins);
    let gone = |side| {
        let Entry::Observation(seen) = saw(side, &[]) else { panic!("it is a read") };
        Entry::Observation(Observation { exists: false, ..seen })
    };
    let entries = [log().remove(0), log().remove(1), saw(Side::Suitex, &[("phone", "1")]), gone(Side::Netsuite)];
    for (seq, entry) in (1..).zip(entries) {
        comparison.take(seq, &entry, Uuid::from_u128(seq.into()), at(0), true).unwrap();
    }
    let moved = comparison.moved();
    assert_eq!(moved.fields, [(model::record::WHOLE.to_owned(), (Value::Bool(false), Value::Bool(true)))].into());
    let told = |told: &[Told]| told.iter().map(|told| (told.field.clone(), told.policy.clone())).collect::<Vec<_>>();
    assert_eq!(told(&moved.overrides_avoided), [("phone".to_owned(), "delete_wins".to_owned())]);
    assert_eq!(told(&moved.overrides_created), [("*".to_owned(), "update_wins".to_owned())]);
}

#[test]
fn what_the_log_folds_to_is_put_whole() {
    let spec = spec();
    let mut replay = Replay::new(key(), &spec);
    let mut entries = log();
    if let Entry::Observation(seen) = &mut entries[1] {
        (seen.token, seen.stamp) = (Some(5), Some(2));
        seen.line_ids = [("lines".to_owned(), [("s1".to_owned(), "1".to_owned())].into())].into();
    }
    for (seq, entry) in (1..).zip(entries) {
        take(&mut replay, seq, &entry).unwrap();
    }
    let folded = Projection::of(replay.record());
    let mut stored = Record::new(key());
    stored.head.record_seq = folded.record_seq;
    folded.put(&mut stored).unwrap();
    assert_eq!(Projection::of(&stored), folded);
}

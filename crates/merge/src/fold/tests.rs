use model::record::Existence;
use model::spec::World;
use model::{AccountId, NativeId, RecordRef, RecordType, Rid};
use uuid::Uuid;

use super::*;

fn spec(name: &str) -> TypeSpec {
    World::sample().get(&RecordType::parse(name).unwrap()).unwrap().clone()
}

fn record(spec: &TypeSpec) -> Record {
    let account = AccountId::parse("A").unwrap();
    Record::new(RecordRef { account, record_type: spec.name.clone(), rid: Rid(Uuid::nil()) })
}

fn fields(pairs: &[(&str, &str)]) -> Fields {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), Value::text(*value))).collect()
}

fn read(side: Side, seen: &[(&str, &str)]) -> Observation {
    Observation { complete: false, ..Observation::read(side, fields(seen)) }
}

fn gone(side: Side) -> Observation {
    Observation { exists: false, ..read(side, &[]) }
}

fn see(record: &mut Record, spec: &TypeSpec, observation: Observation) -> Effects {
    let id = Uuid::from_u128(record.head.record_seq.into());
    fold(record, spec, &Entry::Observation(observation), id, Timestamp::UNIX_EPOCH).unwrap()
}

#[test]
fn a_version_holds_what_changed_and_every_twentieth_the_whole_state() {
    let spec = spec("customer");
    let mut record = record(&spec);
    let mut whole = Vec::new();
    for number in 1..=41_u64 {
        let phone = number.to_string();
        let version =
            see(&mut record, &spec, read(Side::Suitex, &[("email", "e"), ("phone", &phone)])).version.unwrap();
        assert_eq!(version.version, number);
        if number > 1 {
            assert_eq!(version.delta, fields(&[("phone", &phone)]));
        }
        if let Some(full) = version.full {
            assert_eq!(full, *record.head.state);
            whole.push(number);
        }
    }
    assert_eq!(whole, [1, 21, 41]);
    let cleared = see(&mut record, &spec, read(Side::Suitex, &[("phone", "")])).version.unwrap();
    assert_eq!(cleared.delta, [("phone".to_owned(), Value::Null)].into());
    let dead = see(&mut record, &spec, gone(Side::Suitex)).version.unwrap();
    assert!(!dead.alive && dead.full.is_some(), "a life ends with the whole state");
}

#[test]
fn the_natural_key_is_all_match_fields_or_nothing() {
    let mut spec = spec("item");
    let mut record = record(&spec);
    see(&mut record, &spec, read(Side::Suitex, &[("itemid", "A-1"), ("displayname", "Bolt")]));
    assert_eq!(record.head.natural_key.as_deref(), Some("A-1"));
    spec.match_on.push("displayname".to_owned());
    see(&mut record, &spec, read(Side::Suitex, &[("displayname", "Nut")]));
    assert_eq!(record.head.natural_key.as_deref(), Some("A-1\u{1f}Nut"));
    see(&mut record, &spec, read(Side::Suitex, &[("displayname", "")]));
    assert_eq!(record.head.natural_key, None);
    spec.match_on.clear();
    see(&mut record, &spec, read(Side::Suitex, &[("displayname", "Nut")]));
    assert_eq!(record.head.natural_key, None, "a type without match fields has none");
}

#[test]
fn what_is_known_of_a_side_only_grows() {
    let spec = spec("customer");
    let mut record = record(&spec);
    let native_id = NativeId::parse("7").unwrap();
    let lines = |key: &str| model::LineIds::from([(key.to_owned(), [("s1".to_owned(), "1".to_owned())].into())]);
    let first = Observation {
        complete: true,
        token: Some(5),
        stamp: Some(9),
        native_id: Some(native_id.clone()),
        line_ids: lines("one"),
        ..read(Side::Suitex, &[("phone", "1")])
    };
    see(&mut record, &spec, first);
    let second = Observation { stamp: Some(3), line_ids: lines("two"), ..read(Side::Suitex, &[("phone", "2")]) };
    see(&mut record, &spec, second);
    let shadow = &record.shadows.suitex;
    assert_eq!((shadow.exists, shadow.complete, shadow.token, shadow.stamp), (Existence::Yes, true, Some(5), 9));
    assert_eq!(shadow.native_id, Some(native_id));
    assert_eq!(shadow.line_ids.keys().collect::<Vec<_>>(), ["one", "two"]);
}

#[test]
fn an_override_that_moves_nothing_stands_against_the_version_that_is_there() {
    let spec = spec("customer");
    let mut record = record(&spec);
    for side in Side::BOTH {
        see(&mut record, &spec, read(side, &[("phone", "0"), ("email", "e")]));
    }
    see(&mut record, &spec, read(Side::Suitex, &[("phone", "1")]));
    let effects = see(&mut record, &spec, read(Side::Netsuite, &[("phone", "2")]));
    assert_eq!((record.head.version, effects.overrides[0].version, effects.version), (2, 2, None));
    assert!(effects.changed, "the log has what was lost");
}

#[test]
fn an_echo_after_our_write_is_in_the_log_for_nobody_rewrites_there() {
    let spec = spec("customer");
    let mut record = record(&spec);
    see(&mut record, &spec, read(Side::Suitex, &[("phone", "1"), ("email", "e")]));
    record.head.meta.get_mut("phone").unwrap().written_to = Some(Side::Suitex);
    record.head.meta.get_mut("email").unwrap().written_to = Some(Side::Netsuite);
    let seq = record.head.record_seq;
    let elsewhere = see(&mut record, &spec, read(Side::Suitex, &[("email", "e")]));
    assert!(!elsewhere.changed, "what was not read says nothing");
    let effects = see(&mut record, &spec, read(Side::Suitex, &[("phone", "1"), ("email", "e")]));
    assert_eq!((effects.changed, record.head.record_seq), (true, seq + 1));
    assert_eq!(record.head.meta["phone"].written_to, None);
    assert_eq!(record.head.meta["email"].written_to, Some(Side::Netsuite), "it is not read there yet");
}

/// Our write was acknowledged and is read for the first time, as something else; then it is read again.
fn read_twice_after_our_write(side: Side, field: &str, value: &str, before: &[Observation]) -> (Record, Effects) {
    let spec = spec("customer");
    let mut record = record(&spec);
    for observation in before {
        see(&mut record, &spec, observation.clone());
    }
    record.head.meta.get_mut(field).unwrap().written_to = Some(side);
    assert!(see(&mut record, &spec, read(side, &[(field, value)])).changed);
    let again = see(&mut record, &spec, read(side, &[(field, value)]));
    (record, again)
}

#[test]
fn what_is_read_after_our_write_is_the_same_read_twice_whatever_came_of_the_first() {
    let both = |field: &str| Side::BOTH.map(|side| read(side, &[(field, "0")]));
    let [sx, ns] = both("phone");
    let moved = read(Side::Suitex, &[("phone", "1")]);
    // Both made the same change.
    let (record, again) =
        read_twice_after_our_write(Side::Netsuite, "phone", "1", &[sx.clone(), ns.clone(), moved.clone()]);
    assert!(record.conflicts.is_empty() && !again.changed);
    // The other side's stands.
    let (record, again) = read_twice_after_our_write(Side::Netsuite, "phone", "2", &[sx, ns, moved]);
    assert!(record.conflicts.is_empty() && !again.changed);
    // A person must decide: about this edit, and about one before it.
    let manual = "comments";
    let [sx, ns] = both(manual);
    let moved = read(Side::Suitex, &[(manual, "1")]);
    let (record, again) =
        read_twice_after_our_write(Side::Netsuite, manual, "2", &[sx.clone(), ns.clone(), moved.clone()]);
    assert!(record.conflicts.len() == 1 && !again.changed);
    let open = [sx, ns, moved, read(Side::Netsuite, &[(manual, "2")])];
    let (record, again) = read_twice_after_our_write(Side::Netsuite, manual, "3", &open);
    assert!(record.conflicts.len() == 1 && !again.changed);
    assert_eq!(record.head.meta[manual].written_to, None);
}

#[test]
fn a_record_both_sides_deleted_lives_again_when_a_side_has_it_again() {
    let spec = spec("customer");
    let mut record = record(&spec);
    for side in Side::BOTH {
        see(&mut record, &spec, read(side, &[("phone", "1")]));
    }
    see(&mut record, &spec, gone(Side::Netsuite));
    see(&mut record, &spec, read(Side::Suitex, &[("phone", "1")]));
    assert!(!record.head.alive, "a side that is yet to lose it does not bring it back");
    see(&mut record, &spec, gone(Side::Suitex));
    let back = see(&mut record, &spec, read(Side::Suitex, &[("phone", "2")]));
    assert!(record.head.alive && back.version.unwrap().full.is_some());
    assert_eq!(record.head.state["phone"], Value::text("2"));
}

/// NetSuite's workflow writes capitals, SuiteX's hook small letters: every write of ours is rewritten there.
fn rewrite(record: &mut Record, spec: &TypeSpec, side: Side, value: &str, second: i64) -> Effects {
    let name = "email".to_owned();
    record.shadows[side].state = record.head.state.clone();
    record.head.meta.get_mut(&name).unwrap().written_to = Some(side);
    let at = Timestamp::from_second(second).unwrap();
    let observation = read(side, &[("email", value)]);
    fold(record, spec, &Entry::Observation(observation), Uuid::from_u128(second.unsigned_abs().into()), at).unwrap()
}

fn at_war(seconds: &[i64]) -> (Record, Vec<usize>) {
    let spec = spec("customer");
    let mut record = record(&spec);
    see(&mut record, &spec, read(Side::Suitex, &[("email", "a")]));
    let mut asked = Vec::new();
    for (turn, second) in seconds.iter().enumerate() {
        let (side, value) = if turn % 2 == 0 { (Side::Netsuite, "A") } else { (Side::Suitex, "a") };
        record.shadows[side].exists = Existence::Yes;
        rewrite(&mut record, &spec, side, value, *second);
        asked.push(record.conflicts.len());
    }
    (record, asked)
}

#[test]
fn sides_that_keep_rewriting_what_we_write_are_a_persons_business_the_fourth_time() {
    let (record, asked) = at_war(&[1, 2, 3, 4]);
    assert_eq!(asked, [0, 0, 0, 1]);
    assert_eq!(record.conflicts[0].reason, ConflictReason::Oscillation);
    assert_eq!(at_war(&[0, 200, 400, 600]).1, [0, 0, 0, 1], "within ten minutes");
    assert_eq!(at_war(&[0, 200, 400, 601]).1, [0, 0, 0, 0], "further apart they are no war");
}

#[test]
fn an_edit_between_rewritings_ends_the_count() {
    let spec = spec("customer");
    let (mut record, _) = at_war(&[1, 2, 3]);
    assert_eq!(record.head.meta["email"].rewrites, 3);
    // What we wrote was read back as it was, and then somebody typed.
    record.head.meta.get_mut("email").unwrap().written_to = None;
    record.shadows.suitex.state = record.head.state.clone();
    see(&mut record, &spec, read(Side::Suitex, &[("email", "typed")]));
    let meta = &record.head.meta["email"];
    assert_eq!((meta.rewrites, meta.rewriting_since), (0, None));
    rewrite(&mut record, &spec, Side::Netsuite, "TYPED", 5);
    assert!(record.conflicts.is_empty());
    assert_eq!(record.head.meta["email"].rewrites, 1);
}

#[test]
fn a_version_says_which_policy_decided_and_who_won() {
    let spec = spec("customer");
    let mut record = record(&spec);
    let base = [("companyname", "0"), ("email", "0"), ("phone", "0")];
    let typed = |value| [("companyname", value), ("email", value), ("phone", value)];
    for side in Side::BOTH {
        see(&mut record, &spec, read(side, &base));
    }
    let points = |n: i64| [("custentity_loyalty_points".to_owned(), Value::Int(n))];
    let mut here = read(Side::Suitex, &typed("1"));
    here.fields.extend(points(5));
    let alone = see(&mut record, &spec, here);
    assert!(alone.decisions.is_empty(), "nobody else changed anything");
    let mut there = read(Side::Netsuite, &typed("2"));
    there.fields.extend(points(7));
    let effects = see(&mut record, &spec, there);
    let decided = |policy: &str, winner: &str| (policy.to_owned(), winner.to_owned());
    let expected = [
        ("companyname".to_owned(), decided("netsuite_wins", "netsuite")),
        ("custentity_loyalty_points".to_owned(), decided("numeric_delta", "both")),
        ("email".to_owned(), decided("newest_wins", "netsuite")),
        ("phone".to_owned(), decided("suitex_wins", "suitex")),
    ];
    assert_eq!(effects.decisions, expected.into());
    assert_eq!(effects.version.unwrap().decisions, effects.decisions);
}

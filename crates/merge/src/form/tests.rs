use model::record::{Entry, Existence, Intent, IntentStatus, Observation};
use model::spec::World;
use model::{AccountId, RecordRef, RecordType, Rid, Timestamp, WriteKind};
use uuid::Uuid;

use super::*;
use crate::replay::{Projection, Replay};
use crate::{Owed, owed};

fn spec() -> TypeSpec {
    World::sample().types.remove(0)
}

/// The type with another scale of `creditlimit` and other rules for `comments`.
fn other() -> TypeSpec {
    let mut spec = spec();
    for field in &mut spec.fields {
        match field.name.as_str() {
            "creditlimit" => field.kind = Kind::Decimal { scale: 4 },
            "comments" => field.kind = Kind::Text { max: 4, keep_trailing: false },
            _ => {}
        }
    }
    spec
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

fn take(replay: &mut Replay<'_>, entry: &Entry) -> crate::Effects {
    let seq = replay.record().head.record_seq + 1;
    replay.take(seq, entry, Uuid::from_u128(seq.into()), at(seq.cast_signed())).unwrap()
}

/// A record both sides agree on, by its log.
fn agreed(spec: &TypeSpec) -> (Replay<'_>, Vec<Entry>) {
    let key = RecordRef {
        account: AccountId::parse("A").unwrap(),
        record_type: RecordType::parse("customer").unwrap(),
        rid: Rid(Uuid::nil()),
    };
    let both = [("companyname", "Acme"), ("creditlimit", "10.50"), ("comments", "long text")];
    let log = vec![saw(Side::Suitex, &both), saw(Side::Netsuite, &both)];
    let mut replay = Replay::new(key, spec);
    for entry in &log {
        take(&mut replay, entry);
    }
    (replay, log)
}

#[test]
fn only_the_form_changes_no_version_no_cause_and_nothing_is_owed() {
    let (spec, other) = (spec(), other());
    let (mut replay, _) = agreed(&spec);
    let before = Projection::of(replay.record());
    assert_eq!(renormalisation(replay.record(), &spec), None, "it is in the form it was folded in");
    let entry = renormalisation(replay.record(), &other).unwrap();
    assert_eq!(entry.state.keys().collect::<Vec<_>>(), ["creditlimit"], "what has no form stays as it is");
    replay.under(&other);
    let effects = take(&mut replay, &Entry::Renormalisation(entry));
    assert!(effects.version.is_none() && effects.overrides.is_empty() && !effects.conflict_touched);
    assert!(effects.changed, "the log has it");
    let after = Projection::of(replay.record());
    let moved: Vec<&str> = after.differences(&before);
    assert_eq!(moved, ["state", "record_seq", "suitex.state", "netsuite.state"]);
    for state in [&after.state, &after.suitex.state, &after.netsuite.state] {
        assert_eq!((&state["creditlimit"], &state["comments"]), (&Value::text("10.5000"), &Value::text("long text")));
    }
    for side in Side::BOTH {
        assert!(matches!(owed(replay.record(), &other, side), Owed::Nothing), "{side}");
    }
    assert_eq!(renormalisation(replay.record(), &other), None, "once is enough");
    let seen = take_unchanged(&mut replay, &saw(Side::Netsuite, &[("creditlimit", "10.5000")]));
    assert!(seen, "what is read in the new form is no edit");
}

/// Does an observation change nothing?
fn take_unchanged(replay: &mut Replay<'_>, entry: &Entry) -> bool {
    let mut record = replay.record().clone();
    !crate::fold(&mut record, &other(), entry, Uuid::nil(), at(99)).unwrap().changed
}

#[test]
fn without_it_the_same_read_looks_edited_and_is_owed_to_the_other_side() {
    let (spec, other) = (spec(), other());
    let (replay, _) = agreed(&spec);
    let mut record = replay.record().clone();
    let seen = saw(Side::Netsuite, &[("creditlimit", "10.5000")]);
    assert!(crate::fold(&mut record, &other, &seen, Uuid::nil(), at(9)).unwrap().version.is_some());
    assert!(matches!(owed(&record, &other, Side::Suitex), Owed::Update { .. }));
}

#[test]
fn what_was_edited_before_it_is_folded_after_it_as_the_edit_it_is() {
    let (spec, other) = (spec(), other());
    let (mut replay, mut log) = agreed(&spec);
    // SuiteX's edit is on its way to NetSuite when the rules change.
    log.push(saw(Side::Suitex, &[("creditlimit", "20.25")]));
    take(&mut replay, &log[2].clone());
    let entry = Entry::Renormalisation(renormalisation(replay.record(), &other).unwrap());
    replay.under(&other);
    take(&mut replay, &entry);
    assert!(matches!(owed(replay.record(), &other, Side::Netsuite), Owed::Update { changes, pre }
        if changes["creditlimit"] == Value::text("20.2500") && pre["creditlimit"] == Value::text("10.5000")));
    let edit = saw(Side::Suitex, &[("creditlimit", "30.0000")]);
    assert!(take(&mut replay, &edit).version.is_some());
    assert_eq!(replay.record().head.state["creditlimit"], Value::text("30.0000"));

    // The whole log once more, each entry under the rules of its time.
    let key = replay.record().key.clone();
    let mut anew = Replay::new(key, &spec);
    for old in &log {
        take(&mut anew, old);
    }
    anew.under(&other);
    take(&mut anew, &entry);
    take(&mut anew, &edit);
    assert_eq!(anew.record(), replay.record());
}

#[test]
fn lines_are_brought_into_form_one_by_one_and_policies_are_no_part_of_a_form() {
    let mut spec = World::sample().types.remove(2);
    let (before, lines) = (form(&spec), spec.fields.iter().position(|field| field.lines().is_some()).unwrap());
    spec.fields[0].policy = Policy::Manual;
    assert_eq!(form(&spec), before);
    let Kind::Lines(of_lines) = &mut spec.fields[lines].kind else { panic!("it is a sublist") };
    let rate = of_lines.line.iter_mut().find(|field| field.name == "rate").unwrap();
    rate.kind = Kind::Decimal { scale: 1 };
    assert_ne!(form(&spec), before);
    let mut record = Record::new(RecordRef {
        account: AccountId::parse("A").unwrap(),
        record_type: spec.name.clone(),
        rid: Rid(Uuid::nil()),
    });
    let line = |rate: &str| Some(Fields::from([("rate".to_owned(), Value::text(rate))]));
    let sublist = |rate: &str| Value::Lines([("1".to_owned(), line(rate)), ("2".to_owned(), None)].into());
    let name = spec.fields[lines].name.clone();
    record.shadows.suitex.exists = Existence::Yes;
    record.shadows.suitex.state = Shared::from(Fields::from([(name.clone(), sublist("9.00"))]));
    let found = renormalisation(&record, &spec).unwrap();
    assert_eq!(found.suitex[&name], Reformed { from: sublist("9.00"), to: sublist("9.0") });
    assert!(found.state.is_empty() && found.netsuite.is_empty());
}

#[test]
fn plain_text_is_what_normalising_leaves_as_it_is() {
    for text in ["", "a", "a ", "a\r", "a\r\nb", "a\nb\tc", "e\u{301}", "é", "abcde", "ab\0"] {
        for keep_trailing in [true, false] {
            let mut field = spec().fields.remove(0);
            field.kind = Kind::Text { max: 4, keep_trailing };
            let as_it_is = normalise(&field, &TypedValue::Text(text.to_owned())).is_ok_and(|v| v == Value::text(text));
            assert!(as_it_is || !plain(text, 4, keep_trailing), "{text:?} {keep_trailing}");
        }
    }
    assert!(plain("a\nb", 4, false));
}

#[test]
fn a_text_that_the_rules_would_change_comes_into_its_form_and_a_plain_one_stays() {
    let field = |keep_trailing| {
        let mut field = spec().fields.into_iter().find(|field| field.name == "comments").unwrap();
        field.kind = Kind::Text { max: 9, keep_trailing };
        field
    };
    let text = |text: &str| Value::Text(text.to_owned());
    assert_eq!(again(&field(false), &text("as it is")), None);
    assert_eq!(again(&field(false), &text("trailing ")), Some(text("trailing")));
    assert_eq!(again(&field(true), &text("trailing ")), None);
    assert_eq!(again(&field(false), &text("a\r\nb")), Some(text("a\nb")));
    assert_eq!(again(&field(false), &text("e\u{301}")), Some(text("é")));
    assert_eq!(again(&field(false), &text("é")), None, "composed already");
    assert_eq!(again(&field(false), &text("much too long")), None, "it has no form under these rules");
}

/// A type whose lines refer to records too.
fn referring() -> TypeSpec {
    let mut world = World::sample();
    let at = world.types.iter().position(|spec| !references_of(&spec.fields).is_empty()).unwrap();
    let mut spec = world.types.remove(at);
    let reference = spec.fields.iter().find(|field| field.references().is_some()).unwrap().clone();
    for field in &mut spec.fields {
        if let Kind::Lines(lines) = &mut field.kind {
            lines.line.push(FieldSpec { name: "named".to_owned(), ..reference.clone() });
        }
    }
    spec
}

fn references_of(fields: &[FieldSpec]) -> Vec<&str> {
    fields.iter().filter(|field| field.references().is_some()).map(|field| field.name.as_str()).collect()
}

/// A write to SuiteX of these values, over these values.
fn on_its_way(values: &Fields) -> Intent {
    Intent {
        write_id: Uuid::from_u128(1),
        side: Side::Suitex,
        kind: WriteKind::Update,
        stamp: 1,
        expect: 0,
        changes: values.clone(),
        pre: values.clone(),
        version: 2,
        status: IntentStatus::InFlight,
        deadline: at(60),
        native_id: None,
        generation: 1,
        occurred_at: None,
    }
}

fn rid(n: u128) -> Rid {
    Rid(Uuid::from_u128(n))
}

#[test]
fn a_record_that_turned_out_to_be_another_is_called_by_its_name_wherever_it_is_held() {
    let spec = referring();
    let (field, lines) = (
        references_of(&spec.fields)[0].to_owned(),
        spec.fields.iter().find(|field| field.lines().is_some()).unwrap().name.clone(),
    );
    let stranger = || Value::text(rid(47).to_string());
    let line: Fields = [("named".to_owned(), stranger())].into();
    let held: Fields =
        [(field.clone(), stranger()), (lines.clone(), Value::Lines([("1".to_owned(), Some(line))].into()))].into();
    let (mut replay, _) = agreed(&spec);
    take(&mut replay, &Entry::Observation(Observation::read(Side::Netsuite, held.clone())));
    take(&mut replay, &Entry::Claim(on_its_way(&held)));
    let heirs: BTreeMap<Rid, Rid> = [(rid(47), rid(20)), (rid(48), rid(21))].into();
    let entry = renamed(replay.record(), &spec, &heirs).unwrap();
    assert_eq!(entry.heirs, [(rid(47), rid(20))].into(), "what is not held is not told");
    let version = replay.record().head.version;
    let effects = take(&mut replay, &Entry::Renormalisation(entry));
    assert!(effects.version.is_none() && effects.changed);
    let record = replay.record();
    assert_eq!(record.head.version, version);
    let text = format!("{record:?}");
    assert!(!text.contains(&rid(47).to_string()) && text.contains(&rid(20).to_string()), "{text}");
    assert_eq!(renamed(record, &spec, &heirs), None, "once is enough");
    assert_eq!(renamed(record, &spec, &BTreeMap::new()), None);
}

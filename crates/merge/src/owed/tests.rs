use model::spec::{Kind, Policy, World};
use model::{AccountId, RecordRef, Rid};
use uuid::Uuid;

use super::*;

const NS: Side = Side::Netsuite;
const SX: Side = Side::Suitex;

/// Sales orders, whose lines have an amount that NetSuite computes and a note that is not synced.
fn orders() -> TypeSpec {
    let mut spec = World::sample().types.remove(2);
    let sublist = spec.fields.iter_mut().find(|f| f.name == "lines").unwrap();
    let Kind::Lines(lines) = &mut sublist.kind else { panic!("lines are lines") };
    for (name, policy) in [("amount", Policy::NsDerived), ("note", Policy::Ignored)] {
        let field = FieldSpec { name: name.to_owned(), policy, ..lines.line[0].clone() };
        lines.line.push(field);
    }
    spec
}

/// Names and texts.
type Pairs<'a> = &'a [(&'a str, &'a str)];
/// Lines by key.
type Rows<'a> = &'a [(&'a str, Option<Pairs<'a>>)];

fn fields(pairs: Pairs<'_>) -> Fields {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), Value::text(*value))).collect()
}

fn with_lines(pairs: Pairs<'_>, lines: Rows<'_>) -> Fields {
    let mut fields = fields(pairs);
    let line = |pairs: Pairs<'_>| -> Fields {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), Value::text(*value))).collect()
    };
    let lines: Lines = lines.iter().map(|(key, pairs)| ((*key).to_owned(), pairs.map(line))).collect();
    fields.insert("lines".to_owned(), Value::Lines(lines));
    fields
}

fn record(spec: &TypeSpec, canonical: Fields, netsuite: Option<Fields>) -> Record {
    let account = AccountId::parse("A").unwrap();
    let mut record = Record::new(RecordRef { account, record_type: spec.name.clone(), rid: Rid(Uuid::nil()) });
    (record.head.version, record.head.alive) = (1, true);
    (record.shadows.suitex.exists, record.shadows.suitex.state) = (Existence::Yes, canonical.clone().into());
    record.head.state = canonical.into();
    if let Some(held) = netsuite {
        (record.shadows.netsuite.exists, record.shadows.netsuite.state) = (Existence::Yes, held.into());
    }
    record
}

#[test]
fn a_create_brings_everything_the_side_takes_and_nothing_it_computes() {
    let spec = orders();
    let line: Pairs<'_> = &[("item", "1"), ("quantity", "2"), ("amount", "20"), ("note", "n")];
    let state = with_lines(&[("tranid", "T1"), ("memo", "m"), ("status", "open")], &[("s1", Some(line))]);
    let mut record = record(&spec, state, None);
    let taken = with_lines(&[("tranid", "T1"), ("memo", "m")], &[("s1", Some(&[("item", "1"), ("quantity", "2")]))]);
    assert_eq!(owed(&record, &spec, NS), Owed::Create { changes: taken.clone() });
    record.shadows.netsuite.exists = Existence::Deleted;
    assert_eq!(owed(&record, &spec, NS), Owed::Create { changes: taken }, "and so does its return");
}

#[test]
fn an_update_brings_what_differs_and_may_be_written_with_what_the_side_must_still_hold() {
    let spec = orders();
    let state = fields(&[("tranid", "T2"), ("memo", "new"), ("status", "mine"), ("trandate", "2026-01-01")]);
    let held = fields(&[("tranid", "T1"), ("memo", "old"), ("status", "theirs"), ("entity", "7")]);
    let record = record(&spec, state, Some(held));
    let null = |name: &str| (name.to_owned(), Value::Null);
    let mut changes = fields(&[("memo", "new"), ("trandate", "2026-01-01")]);
    changes.extend([null("entity")]);
    let mut pre = fields(&[("memo", "old"), ("entity", "7")]);
    pre.extend([null("trandate")]);
    assert_eq!(owed(&record, &spec, NS), Owed::Update { changes, pre });
    assert_eq!(owed(&record, &spec, SX), Owed::Nothing);
}

#[test]
fn lines_are_owed_line_by_line_and_field_by_field() {
    let spec = orders();
    let want: Rows<'_> = &[
        ("s1", Some(&[("quantity", "2"), ("rate", "5"), ("amount", "10")])),
        ("s2", Some(&[("quantity", "1"), ("amount", "1")])),
        ("s4", Some(&[("quantity", "4"), ("amount", "4")])),
    ];
    let have: Rows<'_> = &[
        ("s1", Some(&[("quantity", "1"), ("rate", "5"), ("amount", "5")])),
        ("s2", Some(&[("quantity", "1"), ("amount", "7")])),
        ("s3", Some(&[("quantity", "3")])),
    ];
    let record = record(&spec, with_lines(&[], want), Some(with_lines(&[], have)));
    let changes =
        with_lines(&[], &[("s1", Some(&[("quantity", "2")])), ("s3", None), ("s4", Some(&[("quantity", "4")]))]);
    let pre = with_lines(&[], &[("s1", Some(&[("quantity", "1")])), ("s3", Some(&[("quantity", "3")])), ("s4", None)]);
    assert_eq!(owed(&record, &spec, NS), Owed::Update { changes, pre });
}

#[test]
fn lines_that_differ_only_in_what_the_side_computes_are_not_owed() {
    let spec = orders();
    let lines = |amount| with_lines(&[], &[("s1", Some(&[("quantity", "2"), ("amount", amount)]))]);
    let record = record(&spec, lines("10"), Some(lines("11")));
    assert_eq!(owed(&record, &spec, NS), Owed::Nothing);
}

#[test]
fn a_deletion_is_guarded_by_every_synced_field_the_empty_ones_too() {
    let mut spec = World::sample().types.remove(0);
    spec.fields.iter_mut().find(|f| f.name == "phone").unwrap().policy = Policy::Ignored;
    let mut record = record(&spec, Fields::new(), Some(fields(&[("email", "e"), ("phone", "1")])));
    record.head.alive = false;
    let Owed::Delete { pre } = owed(&record, &spec, NS) else { panic!("its deletion is owed") };
    assert_eq!((pre.len(), pre.contains_key("phone")), (spec.fields.len() - 1, false));
    assert_eq!((&pre["email"], &pre["companyname"]), (&Value::text("e"), &Value::Null));
}

#[test]
fn a_locked_member_holds_back_its_group_and_nothing_else() {
    let spec = World::sample().types.remove(0);
    let held = fields(&[("terms", "30"), ("currency", "EUR"), ("phone", "1")]);
    let wanted = fields(&[("terms", "60"), ("currency", "EUR"), ("phone", "2")]);
    let record = |canonical| record(&spec, canonical, Some(held.clone()));
    let locked = |field: &str| field == "currency";
    let only = |name: &str, new: &str, old: &str| Owed::Update {
        changes: fields(&[(name, new)]),
        pre: fields(&[(name, old)]),
    };
    assert_eq!(owed_to(&record(wanted.clone()), &spec, NS, &locked), only("phone", "2", "1"));
    let Owed::Update { changes, pre } = owed(&record(wanted), &spec, NS) else { panic!("both are owed") };
    assert_eq!(changes, fields(&[("terms", "60"), ("phone", "2")]));
    assert_eq!(pre, fields(&[("terms", "30"), ("currency", "EUR"), ("phone", "1")]), "a group is guarded as one");
    let mut absent = record(fields(&[("terms", "60"), ("phone", "2")]));
    absent.shadows.netsuite.exists = Existence::Never;
    assert_eq!(owed_to(&absent, &spec, NS, &locked), Owed::Create { changes: fields(&[("phone", "2")]) });
}

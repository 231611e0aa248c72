use model::spec::{Kind, Policy};

use super::*;

fn field(name: &str, policy: Policy, read_only: Option<Side>) -> FieldSpec {
    let kind = Kind::Text { max: 40, keep_trailing: false };
    FieldSpec {
        name: name.to_owned(),
        column: name.to_owned(),
        kind,
        policy,
        group: None,
        read_only,
        create_only: None,
        rest: None,
        note: None,
    }
}

/// Lines of an item (the business key), a quantity, and an amount that NetSuite computes.
fn spec() -> LinesSpec {
    LinesSpec {
        sublist: "item".to_owned(),
        id: "id".to_owned(),
        parent: "order_id".to_owned(),
        line_delete_policy: DeletePolicy::UpdateWins,
        match_on: vec!["item".to_owned()],
        line: vec![
            field("item", Policy::Immutable, None),
            field("quantity", Policy::NewestWins, None),
            field("amount", Policy::NsDerived, None),
        ],
    }
}

fn line(item: &str, quantity: &str, amount: &str) -> Line {
    let pairs = [("item", item), ("quantity", quantity), ("amount", amount)];
    let held = pairs.into_iter().filter(|(_, value)| !value.is_empty());
    Some(held.map(|(name, value)| (name.to_owned(), Value::text(value))).collect())
}

fn lines<const N: usize>(lines: [(&str, Line); N]) -> Lines {
    lines.into_iter().map(|(key, line)| (key.to_owned(), line)).collect()
}

fn ids<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(key, id)| (key.to_owned(), id.to_owned())).collect()
}

fn key(mapped: &BTreeMap<String, String>, expected: &[Lines], seen: &Lines) -> BTreeMap<String, String> {
    let expected: Vec<Value> = expected.iter().cloned().map(Value::Lines).collect();
    let (keyed, found) = key_lines(&spec(), Side::Netsuite, mapped, &expected.iter().collect::<Vec<_>>(), seen);
    assert_eq!(keyed.keys().collect::<Vec<_>>(), found.keys().collect::<Vec<_>>(), "every line seen has its id");
    for (key, id) in &found {
        assert_eq!(keyed[key], seen[id], "and its values");
    }
    found
}

#[test]
fn a_line_is_known_by_the_id_its_side_gave_it_whatever_it_says() {
    let seen = lines([("31", line("9", "9", "")), ("32", line("1", "1", ""))]);
    let expected = lines([("s1", line("1", "1", "")), ("s2", line("2", "2", ""))]);
    assert_eq!(key(&ids([("s1", "31"), ("s2", "32")]), &[expected], &seen), ids([("s1", "31"), ("s2", "32")]));
}

#[test]
fn a_line_without_an_id_is_known_by_its_values_and_else_by_its_business_key() {
    let expected = lines([("s1", line("1", "5", "")), ("s2", line("1", "7", "")), ("s3", line("3", "1", ""))]);
    // The amount is NetSuite's: it says nothing about which line of ours it is.
    let seen = lines([("31", line("1", "7", "70")), ("32", line("3", "2", "20")), ("33", line("1", "5", "50"))]);
    let found = key(&ids([]), &[expected], &seen);
    assert_eq!(found, ids([("s1", "33"), ("s2", "31"), ("s3", "32")]));
}

#[test]
fn a_line_whose_id_is_known_is_no_other_lines_match() {
    let expected = lines([("s1", line("1", "5", "")), ("s2", line("1", "5", ""))]);
    let seen = lines([("31", line("1", "8", "")), ("32", line("1", "5", ""))]);
    assert_eq!(key(&ids([("s1", "31")]), &[expected], &seen), ids([("s1", "31"), ("s2", "32")]));
    // Mapped, but not seen (any more): what looks like it is another line all the same.
    let expected = lines([("s1", line("1", "5", ""))]);
    let seen = lines([("32", line("1", "5", ""))]);
    assert_eq!(key(&ids([("s1", "31")]), &[expected], &seen), ids([("n32", "32")]));
}

#[test]
fn what_is_known_of_the_side_comes_before_what_was_sent_to_it() {
    let shadow = lines([("s1", line("1", "5", ""))]);
    let sent = lines([("s2", line("1", "5", "")), ("s3", line("2", "6", ""))]);
    let seen = lines([("31", line("1", "5", "")), ("32", line("2", "6", ""))]);
    assert_eq!(key(&ids([]), &[shadow, sent], &seen), ids([("s1", "31"), ("s3", "32")]));
}

#[test]
fn a_line_nobody_knows_is_new_and_never_takes_a_key_that_is_in_use() {
    let seen = lines([("5", line("1", "1", "")), ("6", None)]);
    assert_eq!(key(&ids([]), &[], &seen), ids([("n5", "5")]));
    // The side gave the id of a line we still know to another one.
    let expected = lines([("n5", line("2", "2", ""))]);
    assert_eq!(key(&ids([]), &[expected], &seen), ids([("n5+", "5")]));
    let (keyed, _) = key_lines(&spec(), Side::Suitex, &ids([]), &[], &seen);
    assert_eq!(keyed.keys().collect::<Vec<_>>(), ["s5"], "the letter is the side's");
    let mapped = ids([("n5", "4")]);
    let both = lines([("4", line("3", "3", "")), ("5", line("1", "1", ""))]);
    assert_eq!(key(&mapped, &[], &both), ids([("n5", "4"), ("n5+", "5")]));
}

#[test]
fn without_a_business_key_a_line_that_changed_is_a_new_one() {
    let spec = LinesSpec { match_on: Vec::new(), ..spec() };
    let expected = Value::Lines(lines([("s1", line("1", "5", ""))]));
    let seen = lines([("31", line("1", "6", ""))]);
    let (keyed, _) = key_lines(&spec, Side::Netsuite, &ids([]), &[&expected], &seen);
    assert_eq!(keyed.keys().collect::<Vec<_>>(), ["n31"]);
}

/// A sales order as both sides know it, with two lines.
fn order() -> (model::spec::TypeSpec, Record) {
    let spec = model::spec::World::sample().types.remove(2);
    let account = model::AccountId::parse("A").unwrap();
    let rid = model::Rid(uuid::Uuid::nil());
    let mut record = Record::new(model::RecordRef { account, record_type: spec.name.clone(), rid });
    for side in Side::BOTH {
        see(&mut record, &spec, side, lines([("s1", line("1", "1", "")), ("s2", line("2", "1", ""))]), 1);
    }
    (spec, record)
}

fn see(record: &mut Record, spec: &model::spec::TypeSpec, side: Side, seen: Lines, id: u128) -> Effects {
    let entry = model::record::Entry::Observation(model::record::Observation::read(
        side,
        [("lines".to_owned(), Value::Lines(seen))].into(),
    ));
    crate::fold(record, spec, &entry, uuid::Uuid::from_u128(id), model::Timestamp::UNIX_EPOCH).unwrap()
}

#[test]
fn every_field_of_a_line_has_its_cause_until_the_line_goes() {
    let (spec, mut record) = order();
    let causes = |record: &Record| -> Vec<(String, u128, Option<Side>)> {
        record.head.meta.iter().map(|(name, meta)| (name.clone(), meta.event_id.as_u128(), meta.side)).collect()
    };
    let cause = |name: &str, id, side| (name.to_owned(), id, Some(side));
    let sx = Side::Suitex;
    assert_eq!(
        causes(&record),
        ["lines.s1.item", "lines.s1.quantity", "lines.s2.item", "lines.s2.quantity"].map(|name| cause(name, 1, sx))
    );
    see(&mut record, &spec, Side::Netsuite, lines([("s1", line("1", "3", ""))]), 7);
    let left = [cause("lines.s1.item", 1, sx), cause("lines.s1.quantity", 7, Side::Netsuite)];
    assert_eq!(causes(&record), left);
}

#[test]
fn a_line_both_sides_added_under_one_key_is_merged_field_by_field() {
    let (spec, mut record) = order();
    let with = |quantity: &str| {
        lines([("s1", line("1", "1", "")), ("s2", line("2", "1", "")), ("s3", line("3", quantity, ""))])
    };
    see(&mut record, &spec, Side::Suitex, with("5"), 8);
    let effects = see(&mut record, &spec, Side::Netsuite, with("6"), 9);
    assert_eq!(record.head.state["lines"], Value::Lines(with("6")), "within a second NetSuite's stands");
    let lost: Vec<_> = effects.overrides.iter().map(|lost| (lost.field.as_str(), &lost.losing_value)).collect();
    assert_eq!(lost, [("lines.s3.quantity", &Value::text("5"))]);
}

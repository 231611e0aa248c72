use model::record::{Entry, Existence};
use model::spec::World;
use model::{AccountId, RecordRef, RecordType, Rid, Timestamp};
use uuid::Uuid;

use super::*;
use crate::fold::fold;

fn customer() -> TypeSpec {
    World::sample().types.remove(0)
}

fn order() -> TypeSpec {
    World::sample().types.remove(2)
}

fn fields(pairs: &[(&str, &str)]) -> Fields {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), Value::text(*value))).collect()
}

/// A living record with this state on both sides.
fn record(spec: &TypeSpec, state: Fields) -> Record {
    let account = AccountId::parse("A").unwrap();
    let key = RecordRef { account, record_type: RecordType::parse(spec.name.as_str()).unwrap(), rid: Rid(Uuid::nil()) };
    let mut record = Record::new(key);
    (record.head.version, record.head.alive, record.head.state) = (3, true, state.clone().into());
    for side in Side::BOTH {
        (record.shadows[side].exists, record.shadows[side].state) = (Existence::Yes, state.clone().into());
    }
    record
}

fn undo(field: &str, values: Fields) -> Entry {
    Entry::Undo(Undo { field: field.to_owned(), version: 2, values, actor: "jo".to_owned(), note: String::new() })
}

fn put(record: &mut Record, spec: &TypeSpec, entry: &Entry) -> Result<Effects, FoldError> {
    fold(record, spec, entry, Uuid::from_u128(9), Timestamp::UNIX_EPOCH)
}

#[test]
fn a_value_put_back_is_a_version_a_cause_and_an_override_of_what_it_replaced() {
    let spec = customer();
    let mut record = record(&spec, fields(&[("phone", "new"), ("email", "a@b.example")]));
    let effects = put(&mut record, &spec, &undo("phone", fields(&[("phone", "old")]))).unwrap();
    let version = effects.version.unwrap();
    assert_eq!((version.version, version.delta), (4, fields(&[("phone", "old")])));
    assert_eq!(record.head.meta["phone"].event_id, Uuid::from_u128(9));
    assert_eq!(record.head.record_seq, 1);
    let [lost] = effects.overrides.as_slice() else { panic!("one value gave way") };
    assert_eq!((lost.losing_value.clone(), lost.policy.as_str(), lost.version), (Value::text("new"), "undo", 4));
    for side in Side::BOTH {
        assert_eq!(
            crate::owed(&record, &spec, side),
            crate::Owed::Update { changes: fields(&[("phone", "old")]), pre: fields(&[("phone", "new")]) }
        );
    }
    assert_eq!(put(&mut record, &spec, &undo("phone", fields(&[("phone", "old")]))), Err(FoldError::StandsAlready));
}

#[test]
fn a_group_goes_back_together_and_a_cleared_member_is_cleared() {
    let spec = customer();
    let leader = spec.fields.iter().find(|f| f.group.is_some()).unwrap();
    let names: Vec<String> = spec.group_of(leader).iter().map(|f| f.name.clone()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    let mut record = record(&spec, fields(&[(&names[0], "5"), (&names[1], "6")]));
    let effects = put(&mut record, &spec, &undo(&names[1], fields(&[(&names[0], "1")]))).unwrap();
    assert_eq!(*record.head.state, fields(&[(&names[0], "1")]));
    let version = effects.overrides[0].version;
    let unit = Unit::find(&spec, &names[0]).unwrap();
    let both = fields(&[(&names[0], "5"), (&names[1], "6")]);
    assert_eq!(
        (version, earlier(&unit, &effects.overrides, None, &both, &record.head.state)),
        (4, Earlier::Values(both))
    );
}

#[test]
fn a_lines_field_goes_back_while_its_line_is_there() {
    let spec = order();
    let line = |quantity: &str| {
        let line = fields(&[("quantity", quantity), ("item", "1")]);
        Fields::from([("lines".to_owned(), Value::Lines([("s1".to_owned(), Some(line))].into()))])
    };
    let sublist = spec.fields.iter().find(|f| f.lines().is_some()).unwrap().name.clone();
    let state = |quantity: &str| -> Fields { line(quantity).into_values().map(|v| (sublist.clone(), v)).collect() };
    let mut record = record(&spec, state("2.00"));
    let name = format!("{sublist}.s1.quantity");
    let effects = put(&mut record, &spec, &undo(&name, fields(&[(&name, "1.00")]))).unwrap();
    assert_eq!(*record.head.state, state("1.00"));
    assert_eq!(
        (effects.overrides[0].field.as_str(), &effects.overrides[0].losing_value),
        (name.as_str(), &Value::text("2.00"))
    );
    let gone = format!("{sublist}.s2.quantity");
    let refused = put(&mut record, &spec, &undo(&gone, fields(&[(&gone, "1.00")]))).unwrap_err();
    assert!(refused.to_string().contains("its line is gone"), "{refused}");
}

#[test]
fn what_is_not_a_persons_to_choose_is_refused_and_leaves_the_record_as_it_was() {
    let (customer, order) = (customer(), order());
    for (spec, field) in [
        (&customer, "nothing"),
        (&customer, "*"),
        (&customer, "datecreated"),
        (&order, "status"),
        (&order, "tranid"),
        (&order, "lines"),
    ] {
        let state = fields(&[("email", "a@b.example")]);
        let mut record = record(spec, state);
        let before = record.clone();
        let refused = put(&mut record, spec, &undo(field, fields(&[(field, "x")])));
        assert!(matches!(refused, Err(FoldError::NotOpenToUndo { .. })), "{field}: {refused:?}");
        assert_eq!(record, before, "{field}");
    }
    let mut dead = record(&customer, Fields::new());
    dead.head.alive = false;
    assert_eq!(put(&mut dead, &customer, &undo("phone", fields(&[("phone", "1")]))), Err(FoldError::Dead));
}

#[test]
fn a_version_offers_what_it_took_else_what_stood_before_it() {
    let spec = customer();
    let unit = Unit::find(&spec, "phone").unwrap();
    let lost = |value: &str, side, policy: &str| Override {
        field: "phone".to_owned(),
        losing_value: Value::text(value),
        losing_side: side,
        winning_value: Value::text("2"),
        policy: policy.to_owned(),
        version: 3,
        event_id: Uuid::nil(),
    };
    let (before, after) = (fields(&[("phone", "0")]), fields(&[("phone", "2")]));
    let taken = [lost("1", Side::Netsuite, "suitex_wins")];
    assert_eq!(earlier(&unit, &taken, None, &before, &after), Earlier::Values(fields(&[("phone", "1")])));
    assert_eq!(earlier(&unit, &[], None, &before, &after), Earlier::Values(before.clone()));
    assert_eq!(earlier(&unit, &[], None, &after, &after), Earlier::Nothing);
    let both = [lost("1", Side::Netsuite, "resolved"), lost("3", Side::Suitex, "resolved")];
    assert_eq!(earlier(&unit, &both, None, &before, &after), Earlier::Either);
    let suitex = earlier(&unit, &both, Some(Side::Suitex), &before, &after);
    assert_eq!(suitex, Earlier::Values(fields(&[("phone", "3")])));
    let cut = [lost("7", Side::Suitex, "numeric_delta")];
    assert_eq!(earlier(&unit, &cut, None, &before, &after), Earlier::Values(before), "an amount cut off is no value");
}

#[test]
fn a_lock_on_any_member_locks_the_unit_and_a_lock_on_a_sublist_its_lines() {
    let (customer, order) = (customer(), order());
    let terms = Unit::find(&customer, "currency").unwrap();
    assert_eq!([terms.locked_by("terms"), terms.locked_by("currency"), terms.locked_by("phone")], [true, true, false]);
    let quantity = Unit::find(&order, "lines.s1.quantity").unwrap();
    assert_eq!([quantity.locked_by("lines"), quantity.locked_by("quantity")], [true, false]);
    assert_eq!((terms.name(), terms.names()), ("terms".to_owned(), vec!["terms".to_owned(), "currency".to_owned()]));
    assert_eq!((quantity.name(), quantity.names()), ("lines.s1.quantity".to_owned(), vec![quantity.name()]));
}

#[test]
fn a_name_that_is_no_unit_is_refused_with_what_is_in_the_way() {
    let (customer, order) = (customer(), order());
    let refused = |spec: &TypeSpec, name: &str| match Unit::find(spec, name) {
        Err(FoldError::NotOpenToUndo { field, reason }) => (field, reason),
        other => panic!("{name}: {other:?}"),
    };
    for (spec, name, reason) in [
        (&customer, "nothing", "the record type has no such field"),
        (&customer, "*", "a deletion is not a field's value"),
        (&customer, "datecreated", "it is immutable: its first value stands"),
        (&order, "status", "one side computes it"),
        (&order, "tranid", "one side takes its value only when the record is created"),
        (&order, "lines", "a sublist is put back field by field: name it SUBLIST.LINE KEY.FIELD"),
        (&order, "lines..quantity", "the record type has no such field"),
        (&order, "lines.s1.nothing", "the record type has no such field"),
        (&order, "lines.s1.item", "it is immutable: its first value stands"),
        (&order, "memo.s1.quantity", "the record type has no such field"),
    ] {
        assert_eq!(refused(spec, name), (name.to_owned(), reason));
    }
}

#[test]
fn a_field_in_conflict_is_decided_and_not_undone() {
    let spec = customer();
    let conflicted = |field: &str| {
        let mut record = record(&spec, fields(&[("phone", "new")]));
        record.conflicts.push(model::record::Conflict {
            conflict_id: Uuid::from_u128(3),
            field: field.to_owned(),
            reason: model::record::ConflictReason::Manual,
            base: Fields::new(),
            suitex: None,
            netsuite: None,
            rev: 1,
            status: model::record::ConflictStatus::Open,
            event_id: Uuid::nil(),
            base_version: 1,
            created_at: Timestamp::UNIX_EPOCH,
        });
        put(&mut record, &spec, &undo("phone", fields(&[("phone", "old")]))).map(drop)
    };
    let refused = Err(FoldError::InConflict(Uuid::from_u128(3)));
    assert_eq!((conflicted("phone"), conflicted("*"), conflicted("email")), (refused.clone(), refused, Ok(())));
}

#[test]
fn an_undo_takes_the_values_of_its_unit_and_says_whose_value_gave_way() {
    let spec = customer();
    let mut record = record(&spec, fields(&[("phone", "new"), ("email", "e")]));
    let meta = FieldMeta::of(Some(Side::Netsuite), Uuid::nil(), Timestamp::UNIX_EPOCH);
    record.head.meta.insert("phone".to_owned(), meta);
    let more = fields(&[("phone", "old"), ("email", "not asked")]);
    let effects = put(&mut record, &spec, &undo("phone", more)).unwrap();
    assert_eq!(*record.head.state, fields(&[("phone", "old"), ("email", "e")]));
    assert_eq!(
        (effects.overrides[0].losing_side, &effects.overrides[0].winning_value),
        (Side::Netsuite, &Value::text("old"))
    );
    // An empty value is the same whether it is named or left out.
    let cleared: Fields = [("phone".to_owned(), Value::Null)].into();
    put(&mut record, &spec, &undo("phone", cleared.clone())).unwrap();
    assert_eq!(put(&mut record, &spec, &undo("phone", cleared)), Err(FoldError::StandsAlready));
}

#[test]
fn a_groups_values_lost_to_a_person_member_by_member_are_offered_together() {
    let spec = customer();
    let unit = Unit::find(&spec, "terms").unwrap();
    let lost = |field: &str, value: &str| Override {
        field: field.to_owned(),
        losing_value: Value::text(value),
        losing_side: Side::Netsuite,
        winning_value: Value::Null,
        policy: "resolved".to_owned(),
        version: 3,
        event_id: Uuid::nil(),
    };
    let stands = fields(&[("terms", "1"), ("currency", "EUR")]);
    let rows = [lost("terms", "30"), lost("currency", "USD"), lost("phone", "7")];
    let offered = earlier(&unit, &rows, None, &stands, &stands);
    assert_eq!(offered, Earlier::Values(fields(&[("terms", "30"), ("currency", "USD")])));
    // Both sides' lost values are the same: there is nothing to choose.
    let both = [lost("terms", "30"), Override { losing_side: Side::Suitex, ..lost("terms", "30") }];
    let offered = earlier(&unit, &both, None, &stands, &stands);
    assert_eq!(offered, Earlier::Values(fields(&[("terms", "30"), ("currency", "EUR")])));
    // Asked for the side that lost nothing, nothing is offered, not even what stood before.
    let before = fields(&[("terms", "0"), ("currency", "EUR")]);
    assert_eq!(earlier(&unit, &[lost("terms", "30")], Some(Side::Suitex), &before, &stands), Earlier::Nothing);
}

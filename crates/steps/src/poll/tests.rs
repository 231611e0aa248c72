use model::WriteKind;
use model::record::{Intent, IntentStatus};
use model::spec::World;
use uuid::Uuid;

use super::*;

const NS: Side = Side::Netsuite;

fn fields(pairs: &[(&str, &str)]) -> Fields {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), Value::text(*value))).collect()
}

fn id(id: &str) -> NativeId {
    NativeId::parse(id).unwrap()
}

/// A customer known to be in NetSuite under the id 7.
fn known(spec: &TypeSpec) -> Record {
    let account = AccountId::parse("A").unwrap();
    let mut record = Record::new(RecordRef { account, record_type: spec.name.clone(), rid: Rid(Uuid::nil()) });
    let shadow = &mut record.shadows.netsuite;
    (shadow.exists, shadow.native_id) = (Existence::Yes, Some(id("7")));
    shadow.state = fields(&[("phone", "1"), ("email", "e")]).into();
    record
}

/// What a row under the id 7 says, with what is known changed like this.
fn news_of(seen: Option<Fields>, change: impl FnOnce(&mut Record)) -> News {
    let spec = World::sample().types.remove(0);
    let mut record = known(&spec);
    change(&mut record);
    let row = Swept { native_id: id("7"), fields: seen };
    judge(&spec, NS, &row, Some(&record), &References::new())
}

fn same() -> Option<Fields> {
    Some(fields(&[("phone", "1"), ("email", "e")]))
}

fn write(side: Side) -> Intent {
    Intent {
        write_id: Uuid::nil(),
        side,
        kind: WriteKind::Update,
        stamp: 1,
        expect: 0,
        changes: Fields::new(),
        pre: Fields::new(),
        version: 1,
        status: IntentStatus::Unknown,
        deadline: model::Timestamp::UNIX_EPOCH,
        native_id: None,
        generation: 1,
        occurred_at: None,
    }
}

#[test]
fn a_row_that_says_what_the_shadow_knows_is_no_news() {
    assert_eq!(news_of(same(), |_| {}), News::Known);
    assert_eq!(news_of(Some(fields(&[("phone", "1")])), |_| {}), News::Known, "what is not in the row is not said");
    assert_eq!(news_of(same(), |record| record.unresolved.push(write(Side::Suitex))), News::Known);
}

#[test]
fn a_row_that_says_something_else_is_published_with_what_is_else() {
    let seen = Some(fields(&[("phone", "2"), ("email", "e")]));
    assert_eq!(news_of(seen, |_| {}), News::Publish(fields(&[("phone", "2")])));
    let spec = World::sample().types.remove(0);
    let row = Swept { native_id: id("7"), fields: same() };
    assert_eq!(judge(&spec, NS, &row, None, &References::new()), News::Publish(same().unwrap()), "nobody knows it");
    assert_eq!(news_of(None, |_| {}), News::Publish(Fields::new()), "of a mere id nobody can say");
}

#[test]
fn a_row_that_says_the_same_is_news_where_the_shadow_may_be_wrong() {
    let published = News::Publish(same().unwrap());
    assert_eq!(news_of(same(), |record| record.unresolved.push(write(NS))), published, "a write may have landed");
    assert_eq!(news_of(same(), |record| record.shadows.netsuite.exists = Existence::Deleted), published);
    assert_eq!(news_of(same(), |record| record.shadows.netsuite.native_id = Some(id("8"))), published);
    let dirty = |record: &mut Record| {
        record.shadows.netsuite.ring(model::Timestamp::UNIX_EPOCH, false, false);
    };
    assert_eq!(news_of(same(), dirty), News::Bumped, "its bell rings already");
}

#[test]
fn references_and_lines_are_compared_and_left_out_of_the_hint() {
    let spec = World::sample().types.remove(2);
    let mut record = known(&spec);
    let line = |quantity: &str| Some(fields(&[("quantity", quantity)]));
    let lines = |key: &str, quantity: &str| Value::Lines([(key.to_owned(), line(quantity))].into());
    let rid = Rid(Uuid::from_u128(5));
    let shadow = &mut record.shadows.netsuite;
    shadow.state = fields(&[("memo", "m"), ("entity", &rid.to_string())]).into();
    shadow.state.insert("lines".to_owned(), lines("s1", "1"));
    shadow.line_ids = [("lines".to_owned(), BTreeMap::from([("s1".to_owned(), "31".to_owned())]))].into();
    let customer = RecordType::parse("customer").unwrap();
    let rids: References = [((customer, id("12")), store::records::Link { rid, formerly: Vec::new() })].into();
    let news = |entity: &str, quantity: &str, memo: &str| {
        let mut seen = fields(&[("memo", memo), ("entity", entity)]);
        seen.insert("lines".to_owned(), lines("31", quantity));
        judge(&spec, NS, &Swept { native_id: id("7"), fields: Some(seen) }, Some(&record), &rids)
    };
    assert_eq!(news("12", "1", "m"), News::Known);
    assert_eq!(news("12", "2", "m"), News::Publish(Fields::new()), "the line is read");
    assert_eq!(news("12", "2", "n"), News::Publish(fields(&[("memo", "n")])));
    assert_eq!(news("13", "1", "m"), News::Publish(fields(&[("memo", "m")])), "it refers to a record nobody has met");
}

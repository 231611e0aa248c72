//! Writes of ours that land after we gave them up (semantics §2.10, K8): told by identity, and what their guard proves
//! of the side is an edit like any other.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

use merge::{Owed, fold, owed};
use model::record::{Entry, Intent, IntentStatus, Record, Release};
use model::spec::TypeSpec;
use model::{Fields, Side, Value, WriteKind};
use uuid::Uuid;

#[path = "support/stand.rs"]
mod stand;

use stand::{agreed, at, observation, see, spec};

fn thing() -> TypeSpec {
    let text = r#"
        lock = "field"
        field = [
          { name = "a", kind = "text", policy = "netsuite_wins" },
          { name = "n", kind = "integer", policy = { numeric_delta = {} } },
          { name = "lines", column = "app.lines", kind = "lines", sublist = "item", id = "id", parent = "thing_id", line_delete_policy = "update_wins", line = [
            { name = "q", column = "q", kind = "text", policy = "newest_wins" },
          ] },
        ]
    "#;
    spec(text.parse().unwrap())
}

fn line(q: &str) -> Value {
    let line: Fields = [("q".to_owned(), Value::text(q))].into();
    Value::Lines([("n1".to_owned(), Some(line))].into())
}

fn values(a: &str, n: i64, q: &str) -> Fields {
    [("a".to_owned(), Value::text(a)), ("n".to_owned(), Value::Int(n)), ("lines".to_owned(), line(q))].into()
}

/// Claims what NetSuite is owed, and gives the write up as unknown. Answers its id.
fn lose_a_write(record: &mut Record, spec: &TypeSpec) -> Uuid {
    let Owed::Update { changes, pre } = owed(record, spec, Side::Netsuite) else { panic!("nothing is owed") };
    let write_id = Uuid::from_u128(77);
    let intent = Intent {
        write_id,
        side: Side::Netsuite,
        kind: WriteKind::Update,
        stamp: record.head.last_stamp + 1,
        expect: 0,
        changes,
        pre,
        version: record.head.version,
        status: IntentStatus::InFlight,
        deadline: at(60),
        native_id: None,
        generation: 1,
        occurred_at: None,
    };
    fold(record, spec, &Entry::Claim(intent), Uuid::from_u128(1), at(10)).unwrap();
    let given_up = Release { write_id, side: Side::Netsuite, outcome: IntentStatus::Unknown };
    fold(record, spec, &Entry::Release(given_up), Uuid::from_u128(2), at(20)).unwrap();
    write_id
}

#[test]
fn what_a_user_put_back_before_a_late_write_landed_on_it_is_an_edit() {
    let spec = thing();
    let mut record = agreed(&spec, &values("old", 10, "old"), &Side::BOTH);
    see(&mut record, &spec, &observation(Side::Suitex, Some(values("ours", 13, "ours")), 5));
    let write_id = lose_a_write(&mut record, &spec);
    // A NetSuite user edits everything, we see it; then puts it all back, which nobody sees; then our write lands.
    see(&mut record, &spec, &observation(Side::Netsuite, Some(values("theirs", 30, "theirs")), 30));
    assert_eq!(record.head.state["n"], Value::Int(33), "our three and their twenty");
    let mut read = observation(Side::Netsuite, Some(values("ours", 13, "ours")), 40);
    read.landed = vec![write_id];
    see(&mut record, &spec, &read);
    assert_eq!(*record.head.state, values("old", 13, "old"), "the user's last word, and the sum of what was added");
    assert_eq!(*record.shadows.netsuite.state, values("ours", 13, "ours"));
    assert!(record.unresolved.is_empty());
    let Owed::Update { changes, .. } = owed(&record, &spec, Side::Netsuite) else { panic!("the user's value is owed") };
    assert_eq!(changes.keys().collect::<Vec<_>>(), ["a", "lines"]);
}

#[test]
fn a_late_write_on_the_value_we_knew_is_no_edit() {
    let spec = thing();
    let mut record = agreed(&spec, &values("old", 10, "old"), &Side::BOTH);
    see(&mut record, &spec, &observation(Side::Suitex, Some(values("ours", 13, "ours")), 5));
    let write_id = lose_a_write(&mut record, &spec);
    let version = record.head.version;
    let mut read = observation(Side::Netsuite, Some(values("ours", 13, "ours")), 40);
    read.landed = vec![write_id];
    let effects = see(&mut record, &spec, &read);
    assert_eq!(record.head.version, version);
    assert!(effects.overrides.is_empty());
    assert_eq!(owed(&record, &spec, Side::Netsuite), Owed::Nothing);
}

#[test]
fn a_line_that_is_gone_is_not_brought_back_by_a_guard() {
    let spec = thing();
    let mut record = agreed(&spec, &values("old", 10, "old"), &Side::BOTH);
    see(&mut record, &spec, &observation(Side::Suitex, Some(values("ours", 10, "ours")), 5));
    let write_id = lose_a_write(&mut record, &spec);
    let without = |a: &str| -> Fields {
        [("a".to_owned(), Value::text(a)), ("n".to_owned(), Value::Int(10)), ("lines".to_owned(), Value::Null)].into()
    };
    see(&mut record, &spec, &observation(Side::Netsuite, Some(without("old")), 30));
    let mut read = observation(Side::Netsuite, Some(without("ours")), 40);
    read.landed = vec![write_id];
    see(&mut record, &spec, &read);
    assert_eq!(record.shadows.netsuite.state.get("lines"), None);
}

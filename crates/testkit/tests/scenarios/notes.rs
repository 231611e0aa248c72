//! S17, C5, C8, C9: NetSuite written to by PATCH. Nothing on the record refuses a write there; its system notes tell afterwards
//! what the write replaced.

use model::Value;
use model::spec::LockScope;
use testkit::scene::{Scene, scene, text};
use testkit::world::ledger::Place;
use testkit::world::notes::LIFETIME;
use testkit::world::stage::Fate;
use testkit::world::vary::Vary;

use crate::{NS, SX, agreed, both};

/// A thing both sides agree on; then SuiteX edits a field, and our writer has looked at NetSuite's row and stands before the
/// request: in the gap.
fn in_the_gap(scene: &mut Scene<'_, '_>, field: &str, from: Value, to: Value) -> (Place, Place) {
    let (sx, ns) = agreed(scene, &[(field, from)]);
    scene.edit(&sx, &[(field, to)]);
    scene.merge();
    assert!(scene.begin_answer(NS));
    scene.until(|stage| stage.hot.is_some());
    (sx, ns)
}

fn lost(scene: &Scene<'_, '_>, place: &Place) -> Vec<Value> {
    scene.overrides(place).into_iter().map(|lost| lost.losing_value).collect()
}

#[test]
fn s17_an_edit_in_the_gap_wins_where_netsuite_wins() {
    scene(Vary::by_patch(), |scene| {
        let (sx, ns) = in_the_gap(scene, "b", text("A"), text("B"));
        scene.edit(&ns, &[("b", text("U"))]);
        scene.finish();
        assert_eq!(scene.value(&ns, "b"), text("B"), "for a while our write stands there");
        scene.end();
        assert_eq!(both(scene, (&sx, &ns), "b"), [text("U"), text("U")]);
        assert_eq!(lost(scene, &sx), [text("B")]);
    });
}

#[test]
fn s17_an_edit_in_the_gap_is_recorded_where_suitex_wins() {
    scene(Vary::by_patch(), |scene| {
        let (sx, ns) = in_the_gap(scene, "a", text("A"), text("B"));
        scene.edit(&ns, &[("a", text("U"))]);
        scene.finish();
        scene.end();
        assert_eq!(both(scene, (&sx, &ns), "a"), [text("B"), text("B")]);
        assert_eq!(lost(scene, &sx), [text("U")]);
        assert_eq!(scene.writes(NS).len(), 2, "the create, and the one update");
    });
}

#[test]
fn an_edit_before_the_look_is_not_written_over() {
    scene(Vary::by_patch(), |scene| {
        let (sx, ns) = agreed(scene, &[("a", text("A"))]);
        scene.edit(&sx, &[("a", text("B"))]);
        scene.merge();
        scene.edit(&ns, &[("a", text("U"))]);
        scene.answer(NS);
        assert_eq!(scene.value(&ns, "a"), text("U"));
        scene.end();
        assert_eq!(both(scene, (&sx, &ns), "a"), [text("B"), text("B")]);
        assert_eq!(lost(scene, &sx), [text("U")]);
    });
}

#[test]
fn c5_an_edit_in_the_gap_is_found_although_the_answer_was_lost() {
    scene(Vary::by_patch(), |scene| {
        scene.fate(Fate::Answered); // of the create
        scene.fate(Fate::Unheard);
        let (sx, ns) = in_the_gap(scene, "b", text("A"), text("B"));
        scene.edit(&ns, &[("b", text("U"))]);
        scene.finish();
        assert_eq!(scene.value(&ns, "b"), text("B"), "the value says that all went well");
        scene.end();
        assert_eq!(both(scene, (&sx, &ns), "b"), [text("U"), text("U")]);
        assert_eq!(scene.happened("found by its notes"), 1);
    });
}

#[test]
fn c8_what_was_typed_over_our_value_stands_for_it() {
    scene(Vary::by_patch(), |scene| {
        let (sx, ns) = in_the_gap(scene, "b", text("b0"), text("b9"));
        scene.edit(&ns, &[("b", text("b23"))]);
        scene.edit(&sx, &[("b", text("b18"))]);
        scene.finish();
        scene.end();
        assert_eq!(both(scene, (&sx, &ns), "b"), [text("b23"), text("b23")]);
        assert!(lost(scene, &sx).contains(&text("b18")), "made knowingly over b9, and named");
    });
}

#[test]
fn c9_the_edit_in_the_gap_is_folded_before_our_write() {
    scene(Vary::by_patch(), |scene| {
        let (sx, ns) = in_the_gap(scene, "b", text("A"), text("B"));
        scene.edit(&ns, &[("b", text("U1"))]);
        scene.until_landed();
        scene.edit(&ns, &[("b", text("U2"))]); // with B on screen
        scene.finish();
        scene.end();
        assert_eq!(both(scene, (&sx, &ns), "b"), [text("U2"), text("U2")]);
        assert!(lost(scene, &sx).contains(&text("U1")), "who typed U2 never saw U1");
    });
}

#[test]
fn an_equal_increment_in_the_gap_counts() {
    scene(Vary::by_patch(), |scene| {
        let (sx, ns) = in_the_gap(scene, "n", Value::Int(10), Value::Int(15));
        scene.edit(&ns, &[("n", Value::Int(15))]); // our write changes nothing any more, and leaves no note
        scene.finish();
        scene.settle();
        assert_eq!(both(scene, (&sx, &ns), "n"), [Value::Int(20), Value::Int(20)]);
    });
}

#[test]
fn a_group_is_written_whole_and_no_half_of_it_stays() {
    scene(Vary::by_patch(), |scene| {
        let (sx, ns) = in_the_gap(scene, "g2", text("A"), text("B"));
        scene.edit(&ns, &[("g1", text("U1")), ("g2", text("U2"))]);
        scene.finish();
        assert_eq!([scene.value(&ns, "g1"), scene.value(&ns, "g2")], [Value::Null, text("B")]);
        scene.end();
        assert_eq!(both(scene, (&sx, &ns), "g1"), [text("U1"), text("U1")]);
        assert_eq!(both(scene, (&sx, &ns), "g2"), [text("U2"), text("U2")]);
    });
}

#[test]
fn an_edit_that_our_write_replaced_in_a_conflict_is_named_when_the_next_takes_its_place() {
    scene(Vary { lock: LockScope::Field, ..Vary::by_patch() }, |scene| {
        let (sx, ns) = in_the_gap(scene, "m", text("A"), text("B"));
        scene.edit(&ns, &[("m", text("U1"))]);
        scene.finish();
        assert_eq!(scene.conflict(&sx).netsuite.unwrap()["m"], text("U1"));
        scene.edit(&ns, &[("m", text("U2"))]); // with B on screen
        scene.settle();
        assert_eq!(scene.conflict(&sx).netsuite.unwrap()["m"], text("U2"));
        assert_eq!(lost(scene, &sx), [text("U1")]);
    });
}

#[test]
fn a_write_nobody_heard_of_keeps_the_side_closed_as_long_as_it_may_come() {
    scene(Vary::by_patch(), |scene| {
        scene.fate(Fate::Answered); // of the create
        scene.fate(Fate::Late);
        let (sx, ns) = in_the_gap(scene, "s", Value::Null, Value::Set(["x".to_owned()].into()));
        scene.finish();
        scene.edit(&sx, &[("s", Value::Null)]);
        scene.recover(NS); // the deadline of sending is over; the request may still live
        scene.merge();
        scene.answer(NS);
        assert_eq!(scene.writes(NS).len(), 1, "the create alone: nothing is sent after what may still come");
        scene.late_requests_land();
        assert_eq!(scene.value(&ns, "s"), Value::Set(["x".to_owned()].into()));
        scene.end();
        assert_eq!(both(scene, (&sx, &ns), "s"), [Value::Null, Value::Null], "taken for ours, not for a user's");
    });
}

#[test]
fn once_it_can_come_no_more_the_write_is_made_again() {
    scene(Vary::by_patch(), |scene| {
        scene.fate(Fate::Answered); // of the create
        scene.fate(Fate::Late);
        let (sx, ns) = in_the_gap(scene, "a", text("A"), text("B"));
        scene.finish();
        scene.seconds(i64::try_from(LIFETIME.as_secs()).unwrap() + 1);
        scene.late_requests_land(); // it has died on the way
        assert_eq!(scene.value(&ns, "a"), text("A"));
        scene.recover(NS);
        assert!(scene.record(&sx).unresolved.is_empty(), "it cannot land any more");
        scene.end();
        assert_eq!(both(scene, (&sx, &ns), "a"), [text("B"), text("B")]);
        assert_eq!(scene.writes(SX), []);
    });
}

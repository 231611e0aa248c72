//! Create/create (semantics §2.8): one thing made on both sides is one record where that is certain, and a question where
//! it is not. (Where a key stands in several records the oracle, to which every value is somebody's, cannot be asked.)

use model::record::{ConflictReason, WHOLE};
use model::spec::World;
use steps::Choice;
use testkit::scene::{Scene, scene_with, text};
use testkit::world::ledger::Place;
use testkit::world::stage::Fate;
use testkit::world::types::types;
use testkit::world::vary::Vary;

use crate::{NS, SX, both};

/// Things with the same `b` are the same thing.
fn keyed() -> World {
    let vary = Vary::calm();
    let mut world = types(vary.delete, vary.line_delete, vary.lock);
    world.types[0].match_on = vec!["b".to_owned()];
    world
}

fn play(script: impl FnOnce(&mut Scene<'_, '_>)) {
    scene_with(Vary::calm(), keyed(), script);
}

/// A thing both sides have.
fn known(scene: &mut Scene<'_, '_>, key: &str) -> (Place, Place) {
    let sx = scene.create(SX, &[("b", text(key))]);
    scene.settle();
    (sx.clone(), scene.twin(&sx))
}

/// In the end both rows are one record, with one value of `a`.
fn end_as_one(scene: &mut Scene<'_, '_>, sx: &Place, ns: &Place) {
    scene.end();
    assert_eq!(scene.record(ns).key, scene.record(sx).key, "one identity");
    assert_eq!((scene.rows(SX).len(), scene.rows(NS).len()), (1, 1));
    let [a, b] = both(scene, (sx, ns), "a");
    assert_eq!(a, b);
    assert!(scene.overrides(sx).iter().any(|lost| lost.field == "a"), "who lost is on record");
}

#[test]
fn the_one_candidate_is_adopted() {
    play(|scene| {
        let sx = scene.create(SX, &[("b", text("A")), ("a", text("ours"))]);
        scene.merge();
        let ns = scene.create(NS, &[("b", text("A")), ("a", text("theirs"))]);
        scene.sweep();
        scene.merge();
        scene.end();
        assert_eq!(scene.record(&ns).key, scene.record(&sx).key, "one identity");
        assert_eq!((scene.rows(SX).len(), scene.rows(NS).len()), (1, 1));
        assert_eq!(both(scene, (&sx, &ns), "a"), [text("ours"), text("ours")]);
        assert!(scene.overrides(&sx).iter().any(|lost| lost.losing_value == text("theirs")));
    });
}

#[test]
fn two_that_nobody_has_met_before_are_one_when_they_are_met_together() {
    play(|scene| {
        let sx = scene.create(SX, &[("b", text("A")), ("a", text("ours"))]);
        let ns = scene.create(NS, &[("b", text("A")), ("a", text("theirs"))]);
        scene.sweep();
        scene.merge();
        end_as_one(scene, &sx, &ns);
    });
}

#[test]
fn two_of_one_side_met_together_are_a_question() {
    play(|scene| {
        scene.create(SX, &[("b", text("A"))]);
        scene.create(SX, &[("b", text("A"))]);
        scene.merge();
        scene.settle();
        let rows = scene.rows(SX);
        let asked: Vec<&Place> = rows.iter().filter(|row| !scene.record(row).conflicts.is_empty()).collect();
        assert_eq!((rows.len(), asked.len(), scene.rows(NS).len()), (2, 1, 1));
        assert_eq!(scene.conflict(asked[0]).reason, ConflictReason::Duplicate);
    });
}

#[test]
fn a_second_of_what_both_sides_have_is_a_question() {
    for (accept, stays) in [(NS, true), (SX, false)] {
        play(|scene| {
            let (sx, ns) = known(scene, "A");
            let second = scene.create(NS, &[("b", text("A")), ("a", text("typed"))]);
            scene.settle();
            let conflict = scene.conflict(&second);
            assert_eq!((conflict.field.as_str(), conflict.reason), (WHOLE, ConflictReason::Duplicate));
            let named = conflict.base.get(WHOLE).cloned();
            let original = scene.record(&sx).key.rid.to_string();
            assert_eq!(named, Some(model::Value::Set([original].into())), "the screen says of which");
            assert_eq!(scene.rows(SX), std::slice::from_ref(&sx), "nothing is made of it meanwhile");
            scene.decide(&second, &conflict, Choice::Accept(accept)).unwrap();
            scene.settle();
            assert_eq!(scene.exists(&second), stays);
            assert_eq!(scene.rows(SX).len(), if stays { 2 } else { 1 });
            assert!(scene.exists(&sx) && scene.exists(&ns), "the first is left alone");
            let lost = scene.overrides(&second);
            let word = if stays { text("deleted") } else { text("typed") };
            assert!(lost.iter().any(|lost| lost.losing_value == word), "{lost:?}");
        });
    }
}

#[test]
fn of_two_candidates_neither_is_taken() {
    play(|scene| {
        scene.create(SX, &[("b", text("A"))]);
        scene.merge();
        scene.create(SX, &[("b", text("A"))]);
        scene.settle();
        // The second was a question from the start; a person says that it is a thing of its own.
        let rows = scene.rows(SX);
        let asked: Vec<&Place> = rows.iter().filter(|row| !scene.record(row).conflicts.is_empty()).collect();
        assert_eq!(asked.len(), 1);
        let conflict = scene.conflict(asked[0]);
        scene.decide(asked[0], &conflict, Choice::Accept(SX)).unwrap();
        scene.merge();
        scene.settle();
        let third = scene.create(NS, &[("b", text("A"))]);
        scene.settle();
        let conflict = scene.conflict(&third);
        assert_eq!(conflict.reason, ConflictReason::Duplicate);
        assert!(matches!(&conflict.base[WHOLE], model::Value::Set(twins) if twins.len() == 2), "{conflict:?}");
        scene.decide(&third, &conflict, Choice::Accept(NS)).unwrap();
        scene.settle();
        assert_eq!((scene.rows(SX).len(), scene.rows(NS).len()), (3, 3));
    });
}

#[test]
fn while_our_create_is_on_its_way_nobody_can_say() {
    play(|scene| {
        let sx = scene.create(SX, &[("b", text("A"))]);
        scene.merge();
        scene.fate(Fate::Lost);
        assert!(scene.begin_answer(NS));
        scene.finish();
        // A user makes the same thing in NetSuite while nobody knows whether our create landed.
        let ns = scene.create(NS, &[("b", text("A"))]);
        scene.sweep();
        scene.merge();
        assert_eq!(scene.record(&ns).head.version, 0, "it waits");
        assert!(scene.record(&ns).conflicts.is_empty());
        scene.recover(NS); // our create is not there
        scene.merge();
        scene.end();
        assert_eq!(scene.record(&ns).key, scene.record(&sx).key, "so this is the one");
        assert_eq!((scene.rows(SX), scene.rows(NS)), (vec![sx], vec![ns]));
        assert_eq!(scene.writes(NS), [], "nothing was made beside it");
    });
}

#[test]
fn a_create_that_lands_beside_a_users_own_is_a_question() {
    play(|scene| {
        let sx = scene.create(SX, &[("b", text("A"))]);
        scene.merge();
        scene.fate(Fate::Unheard);
        assert!(scene.begin_answer(NS));
        scene.finish();
        let ns = scene.create(NS, &[("b", text("A"))]);
        scene.sweep();
        scene.merge();
        scene.settle();
        let ours = scene.twin(&sx);
        assert_ne!(ours, ns);
        let conflict = scene.conflict(&ns);
        assert_eq!(conflict.reason, ConflictReason::Duplicate);
        scene.decide(&ns, &conflict, Choice::Accept(SX)).unwrap();
        scene.settle();
        assert_eq!((scene.rows(SX), scene.rows(NS)), (vec![sx], vec![ours]), "the second went");
    });
}

#[test]
fn two_that_two_steps_meet_at_the_same_time_are_one() {
    play(|scene| {
        let sx = scene.create(SX, &[("b", text("A")), ("a", text("ours"))]);
        scene.take_in();
        scene.seconds(3);
        scene.begin_merge(&sx);
        assert!(!scene.step(), "nobody has the key");
        let ns = scene.create(NS, &[("b", text("A")), ("a", text("theirs"))]);
        scene.sweep();
        scene.take_in();
        scene.seconds(3);
        scene.begin_merge(&ns);
        assert!(!scene.step(), "nobody has it yet");
        scene.finish();
        assert_eq!(scene.happened("version"), 1, "nothing was stored of who came second, so nothing is counted");
        end_as_one(scene, &sx, &ns);
    });
}

#[test]
fn a_copy_with_the_key_of_what_it_was_copied_from_is_a_question() {
    play(|scene| {
        let (_, ns) = known(scene, "A");
        let copy = scene.copy(&ns); // the stamp comes with it, and is not its own
        scene.settle();
        let conflict = scene.conflict(&copy);
        assert_eq!((conflict.field.as_str(), conflict.reason), (WHOLE, ConflictReason::Duplicate));
        assert_eq!((scene.rows(SX).len(), scene.rows(NS).len()), (1, 2), "nothing is made of it meanwhile");
    });
}

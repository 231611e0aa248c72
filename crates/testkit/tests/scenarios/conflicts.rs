//! S13–S15: people decide.

use model::record::ConflictStatus;
use model::spec::LockScope;
use steps::{Choice, ResolveError};
use testkit::scene::{Scene, scene, text};
use testkit::world::ledger::Place;
use testkit::world::vary::Vary;

use crate::{NS, SX, agreed, both};

#[test]
fn s13_a_decision_about_values_that_moved_is_refused() {
    scene(Vary { lock: LockScope::Field, ..Vary::calm() }, |scene| {
        let (sx, ns) = agreed(scene, &[("m", text("M"))]);
        scene.edit(&sx, &[("m", text("X"))]);
        scene.edit(&ns, &[("m", text("Y"))]);
        scene.settle();
        let seen = scene.conflict(&sx);
        assert_eq!(seen.rev, 1);
        scene.edit(&ns, &[("m", text("Y2"))]);
        scene.settle();
        let refused = scene.decide(&sx, &seen, Choice::Accept(NS));
        let Err(ResolveError::Moved(now)) = refused else { panic!("{refused:?}") };
        assert_eq!((now.rev, now.netsuite.unwrap()["m"].clone()), (2, text("Y2")));
        assert!(scene.record(&sx).field_locked("m"));
        let seen = scene.conflict(&sx);
        scene.decide(&sx, &seen, Choice::Accept(NS)).unwrap();
        scene.end();
        assert_eq!(both(scene, (&sx, &ns), "m"), [text("Y2"), text("Y2")]);
        let lost = scene.overrides(&sx);
        assert_eq!((lost.len(), &lost[0].losing_value), (1, &text("X")));
    });
}

#[test]
fn s13_under_a_record_lock_what_came_later_is_folded_on_the_decision() {
    scene(Vary { lock: LockScope::Record, ..Vary::calm() }, |scene| {
        let (sx, ns) = agreed(scene, &[("m", text("M"))]);
        scene.edit(&sx, &[("m", text("X"))]);
        scene.edit(&ns, &[("m", text("Y"))]);
        scene.settle();
        let seen = scene.conflict(&sx);
        scene.edit(&ns, &[("m", text("Y2"))]);
        scene.settle();
        scene.decide(&sx, &seen, Choice::Accept(NS)).unwrap();
        scene.end();
        assert_eq!(both(scene, (&sx, &ns), "m"), [text("Y2"), text("Y2")]);
        assert!(scene.overrides(&sx).iter().any(|lost| lost.losing_value == text("X")));
    });
}

/// X and Y clashed, a person decided for Z, and before it was written SuiteX's user typed W with X on screen.
fn edited_before_the_decision_was_written(scene: &mut Scene<'_, '_>) -> (Place, Place) {
    let (sx, ns) = agreed(scene, &[("m", text("M"))]);
    scene.edit(&sx, &[("m", text("X"))]);
    scene.edit(&ns, &[("m", text("Y"))]);
    scene.settle();
    let seen = scene.conflict(&sx);
    let decision = [("m".to_owned(), text("Z"))].into();
    scene.decide(&sx, &seen, Choice::Values(decision)).unwrap();
    scene.edit(&sx, &[("m", text("W"))]);
    scene.merge();
    (sx, ns)
}

#[test]
fn a_decision_that_is_not_written_yet_is_what_the_next_clash_is_about() {
    scene(Vary { lock: LockScope::Field, ..Vary::calm() }, |scene| {
        let (sx, ns) = edited_before_the_decision_was_written(scene);
        let again = scene.conflict(&sx);
        assert_eq!(again.suitex.clone().unwrap()["m"], text("W"));
        assert_eq!(again.netsuite.clone().unwrap()["m"], text("Z"), "not Y, which was decided against");
        scene.decide(&sx, &again, Choice::Accept(NS)).unwrap();
        scene.settle();
        assert_eq!(both(scene, (&sx, &ns), "m"), [text("Z"), text("Z")]);
    });
}

#[test]
fn an_edit_takes_the_place_of_an_unwritten_decision_and_names_it() {
    scene(Vary { lock: LockScope::Field, ..Vary::calm() }, |scene| {
        let (sx, ns) = edited_before_the_decision_was_written(scene);
        scene.edit(&ns, &[("m", text("V"))]); // with Y on screen
        scene.settle();
        assert_eq!(scene.conflict(&sx).netsuite.unwrap()["m"], text("V"));
        assert!(scene.overrides(&sx).iter().any(|lost| lost.losing_value == text("Z")));
    });
}

#[test]
fn s14_two_sides_that_come_to_agree_close_the_conflict() {
    scene(Vary { lock: LockScope::Field, ..Vary::calm() }, |scene| {
        let (sx, ns) = agreed(scene, &[("m", text("M"))]);
        scene.edit(&sx, &[("m", text("X"))]);
        scene.edit(&ns, &[("m", text("Y"))]);
        scene.settle();
        let written = (scene.writes(SX), scene.writes(NS));
        scene.edit(&sx, &[("m", text("Y"))]);
        scene.end();
        let kept = scene.kept(&sx);
        assert_eq!(kept.closed.len(), 1);
        assert_eq!(kept.closed[0].0.status, ConflictStatus::Converged);
        assert!(kept.record.locks.is_empty());
        assert_eq!(both(scene, (&sx, &ns), "m"), [text("Y"), text("Y")]);
        assert_eq!((scene.writes(SX), scene.writes(NS)), written, "nothing to write");
    });
}

#[test]
fn s15_a_record_lock_keeps_what_comes_and_lets_nothing_go() {
    let vary = Vary { lock: LockScope::Record, ue_drop: 1.0, ..Vary::calm() };
    scene(vary, |scene| {
        let (sx, ns) = agreed(scene, &[("m", text("M")), ("a", text("1")), ("b", text("3"))]);
        scene.edit(&sx, &[("m", text("X"))]);
        scene.edit(&ns, &[("m", text("Y"))]);
        scene.settle();
        let conflict = scene.conflict(&sx);
        let written = (scene.writes(SX), scene.writes(NS));
        scene.edit(&sx, &[("a", text("2"))]);
        scene.edit(&ns, &[("b", text("4"))]);
        for _ in 0..2 {
            scene.take_in();
            scene.seconds(5);
            scene.run.start_merge();
            scene.step();
            scene.kill();
        }
        scene.settle();
        assert_eq!(scene.conflict(&sx).rev, 1, "nothing is folded");
        assert_eq!((scene.writes(SX), scene.writes(NS)), written, "nothing is claimed");
        scene.decide(&sx, &conflict, Choice::Values([("m".to_owned(), text("R"))].into())).unwrap();
        scene.settle();
        for (field, value) in [("a", "2"), ("b", "4"), ("m", "R")] {
            assert_eq!(both(scene, (&sx, &ns), field), [text(value), text(value)]);
        }
    });
}

#[test]
fn low_risk_fields_are_decided_while_a_high_risk_one_waits() {
    scene(Vary::calm(), |scene| {
        let (sx, ns) = agreed(scene, &[("m", text("M")), ("a", text("A"))]);
        scene.edit(&sx, &[("m", text("mine"))]);
        scene.edit(&ns, &[("m", text("theirs"))]);
        scene.settle();
        let conflict = scene.conflict(&sx);
        // Both sides edit another field at once: its policy decides, and is carried out, although the record has a conflict.
        scene.edit(&sx, &[("a", text("ours"))]);
        scene.edit(&ns, &[("a", text("other"))]);
        scene.settle();
        assert_eq!(both(scene, (&sx, &ns), "a"), [text("ours"), text("ours")]);
        assert!(scene.overrides(&sx).iter().any(|lost| lost.losing_value == text("other")));
        assert_eq!(both(scene, (&sx, &ns), "m"), [text("mine"), text("theirs")], "the other waits");
        assert_eq!(scene.conflict(&sx).conflict_id, conflict.conflict_id);
        let conflict = scene.conflict(&sx);
        scene.decide(&sx, &conflict, Choice::Accept(NS)).unwrap();
        scene.end();
        assert_eq!(both(scene, (&sx, &ns), "m"), [text("theirs"), text("theirs")]);
    });
}

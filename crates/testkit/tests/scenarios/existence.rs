//! S9–S12, S21: creates and deletes.

use model::record::{ConflictReason, WHOLE};
use model::spec::DeletePolicy;
use model::{Clock, Value, WriteKind};
use steps::Choice;
use testkit::scene::{scene, text};
use testkit::world::vary::Vary;

use crate::{NS, SX, agreed, both};

#[test]
fn s9_a_lost_doorbell_is_rung_again() {
    scene(Vary::calm(), |scene| {
        let sx = scene.create(SX, &[("b", text("A"))]);
        scene.merge();
        // Something unrelated makes the side dirty, just when the doorbell is answered.
        scene.make_dirty(&sx, NS);
        scene.answer(NS);
        assert_eq!(scene.writes(NS), [], "nobody writes to a side that is dirty");
        scene.end();
        let ns = scene.twin(&sx);
        assert_eq!(both(scene, (&sx, &ns), "b"), [text("A"), text("A")]);
    });
}

#[test]
fn s10_a_locked_field_the_side_filled_in_is_read_back_before_the_decision_is_written() {
    let vary = Vary { delete: DeletePolicy::UpdateWins, ..Vary::calm() };
    scene(vary, |scene| {
        let (sx, ns) = agreed(scene, &[("m", text("m1"))]);
        // A conflict on m; then SuiteX deletes, which is lost: the row is made again without m, and the side fills it in.
        scene.edit(&sx, &[("m", text("mine"))]);
        scene.edit(&ns, &[("m", text("theirs"))]);
        scene.settle();
        assert_eq!(scene.conflict(&ns).reason, ConflictReason::Manual);
        scene.fill_in(SX, "m", text("m0"));
        scene.delete(&sx);
        scene.edit(&ns, &[("b", text("edited"))]);
        scene.settle();
        let again = scene.twin(&ns);
        assert_eq!(scene.value(&again, "m"), text("m0"));
        let before = scene.writes(SX).len();
        let conflict = scene.conflict(&ns);
        scene.decide(&ns, &conflict, Choice::Values([("m".to_owned(), text("R"))].into())).unwrap();
        scene.settle();
        assert_eq!(both(scene, (&again, &ns), "m"), [text("R"), text("R")]);
        assert!(scene.writes(SX).len() - before <= 2, "{:?}", scene.writes(SX));
    });
}

/// C4: what the side filled in when we made the record is not in our request, and no counted delta tells it.
#[test]
fn c4_what_the_side_filled_in_when_we_made_the_record_is_read_back() {
    scene(Vary::calm(), |scene| {
        scene.fill_in(SX, "w", text("filled in"));
        let ns = scene.create(NS, &[("b", text("A"))]);
        scene.settle();
        let sx = scene.twin(&ns);
        assert_eq!(both(scene, (&sx, &ns), "w"), [text("filled in"), text("filled in")]);
        assert!(scene.record(&ns).shadows[SX].complete);
    });
}

#[test]
fn s11_a_create_killed_before_its_link_is_found_by_its_external_id() {
    for edited in [false, true] {
        scene(Vary::calm(), |scene| {
            let sx = scene.create(SX, &[("b", text("A"))]);
            scene.merge();
            assert!(scene.begin_answer(NS));
            scene.until_landed();
            scene.kill(); // K7
            scene.sweep(); // the poll sees the new record first
            scene.merge();
            let ns = scene.rows(NS);
            assert_eq!(ns.len(), 1);
            if edited {
                scene.edit(&ns[0], &[("b", text("E"))]);
            }
            scene.recover(NS);
            scene.end();
            assert_eq!(scene.rows(NS), ns, "one record");
            assert_eq!(scene.record(&ns[0]).key, scene.record(&sx).key, "one identity");
            let expected = if edited { text("E") } else { text("A") };
            assert_eq!(both(scene, (&sx, &ns[0]), "b"), [expected.clone(), expected]);
            assert_eq!(scene.writes(NS).len(), 1, "created once, and never written over");
        });
    }
}

#[test]
fn s12_a_delete_wins_over_a_concurrent_edit() {
    scene(Vary { delete: DeletePolicy::DeleteWins, ..Vary::calm() }, |scene| {
        let (sx, ns) = agreed(scene, &[("a", text("A"))]);
        scene.edit(&sx, &[("a", text("B"))]);
        scene.merge();
        scene.delete(&ns);
        scene.end();
        assert!(!scene.exists(&sx) && !scene.exists(&ns));
        let lost = scene.overrides(&sx);
        assert_eq!(lost.len(), 1);
        assert_eq!((lost[0].field.as_str(), &lost[0].losing_value), ("a", &text("B")));
    });
}

#[test]
fn s12_an_update_wins_over_a_concurrent_delete() {
    scene(Vary { delete: DeletePolicy::UpdateWins, ..Vary::calm() }, |scene| {
        let (sx, ns) = agreed(scene, &[("a", text("A"))]);
        let rid = scene.record(&sx).key.rid;
        scene.edit(&sx, &[("a", text("B"))]);
        scene.merge();
        scene.delete(&ns);
        scene.end();
        let again = scene.twin(&sx);
        assert_ne!(again, ns, "a new NetSuite id");
        assert_eq!(scene.record(&again).key.rid, rid, "the same record");
        assert_eq!(both(scene, (&sx, &again), "a"), [text("B"), text("B")]);
        let lost = scene.overrides(&sx);
        assert_eq!(lost.len(), 1);
        assert_eq!((lost[0].field.as_str(), &lost[0].losing_value), (WHOLE, &text("deleted")));
    });
}

#[test]
fn s12_a_person_decides_between_a_delete_and_an_edit() {
    for accept in [SX, NS] {
        scene(Vary { delete: DeletePolicy::Manual, ..Vary::calm() }, |scene| {
            let (sx, ns) = agreed(scene, &[("a", text("A"))]);
            scene.edit(&sx, &[("a", text("B"))]);
            scene.merge();
            scene.delete(&ns);
            scene.settle();
            let conflict = scene.conflict(&sx);
            assert_eq!((conflict.field.as_str(), conflict.reason), (WHOLE, ConflictReason::Delete));
            assert_eq!(scene.value(&sx, "a"), text("B"));
            assert_eq!(scene.writes(NS).len(), 1, "the create, and nothing until it is decided");
            scene.decide(&sx, &conflict, Choice::Accept(accept)).unwrap();
            scene.end();
            if accept == NS {
                assert!(!scene.exists(&sx));
                assert!(scene.overrides(&sx).iter().any(|lost| lost.losing_value == text("B")));
            } else {
                let again = scene.twin(&sx);
                assert_eq!(both(scene, (&sx, &again), "a"), [text("B"), text("B")]);
                assert!(scene.overrides(&sx).iter().any(|lost| lost.field == WHOLE));
            }
        });
    }
}

#[test]
fn s21_a_copied_stamp_is_not_followed() {
    scene(Vary::calm(), |scene| {
        let (sx, ns) = agreed(scene, &[("b", text("A"))]);
        let before = scene.kept(&sx).log.len();
        let copy = scene.copy(&ns);
        scene.settle();
        assert_ne!(scene.record(&copy).key, scene.record(&ns).key, "a record of its own");
        let twin = scene.twin(&copy);
        assert_ne!(twin, sx, "a SuiteX record of its own");
        assert_eq!(scene.value(&twin, "b"), text("A"));
        assert_eq!(scene.kept(&sx).log.len(), before, "the original's history is untouched");
        // The copy is written to like any other record, whatever stamp it came with.
        scene.edit(&twin, &[("b", text("B"))]);
        scene.settle();
        assert_eq!(both(scene, (&twin, &copy), "b"), [text("B"), text("B")]);
        assert_eq!(both(scene, (&sx, &ns), "b"), [text("A"), text("A")]);
        let updates: Vec<_> = scene.writes(NS).into_iter().filter(|(kind, _)| *kind == WriteKind::Update).collect();
        assert_eq!(updates.len(), 1);
        assert_eq!(scene.value(&copy, "n"), Value::Null);
    });
}

#[test]
fn a_mass_deletion_waits_for_a_person() {
    scene(Vary { delete: DeletePolicy::DeleteWins, ..Vary::calm() }, |scene| {
        let rows: Vec<_> = (0..22).map(|n| scene.create(SX, &[("b", text(&format!("thing {n}")))])).collect();
        scene.settle();
        let twins: Vec<_> = rows.iter().map(|sx| scene.twin(sx)).collect();
        for ns in &twins {
            scene.delete(ns);
        }
        scene.sweep();
        while twins.iter().any(|ns| scene.record(ns).head.alive) {
            scene.merge();
        }
        scene.answer(SX);
        assert_eq!(scene.rows(SX).len(), 22, "none is carried out, not even the first");
        let kind = rows[0].record_type.clone();
        scene.seconds(3_600);
        scene.answer(SX);
        assert_eq!(scene.rows(SX).len(), 22, "and time alone changes nothing");
        let now = scene.run.clock.now();
        scene.run.records.book().release_brake(&rows[0].account, &kind, now);
        scene.end();
        assert_eq!(scene.rows(SX), []);
    });
}

#[test]
fn a_deleted_record_taken_as_the_other_side_has_it_is_taken_with_what_is_empty_there() {
    scene(Vary { delete: DeletePolicy::Manual, ..Vary::calm() }, |scene| {
        let (sx, ns) = agreed(scene, &[("a", text("A")), ("b", text("B"))]);
        scene.delete(&sx);
        scene.merge();
        assert!(!scene.record(&ns).head.alive);
        scene.edit(&ns, &[("a", Value::Null), ("b", text("U"))]);
        scene.settle();
        let seen = scene.conflict(&ns);
        scene.decide(&ns, &seen, Choice::Accept(NS)).unwrap();
        scene.settle();
        let again = scene.twin(&ns);
        assert_eq!(both(scene, (&again, &ns), "a"), [Value::Null, Value::Null], "nobody typed it again");
        assert_eq!(both(scene, (&again, &ns), "b"), [text("U"), text("U")]);
    });
}

//! S7, S8: what only the poller can find; and what only the reconciler can.

use testkit::scene::{Scene, scene, text};
use testkit::world::remote::lock;
use testkit::world::vary::Vary;

use crate::{NS, SX, agreed, both};

#[test]
fn s7_more_equal_seconds_than_a_page_and_an_edit_behind_the_cursor() {
    scene(Vary { page: 2, ..Vary::no_user_events() }, |scene| {
        let rows: Vec<_> = (0..5).map(|n| scene.create(NS, &[("b", text(&format!("start {n}")))])).collect();
        scene.settle();
        scene.seconds(100);
        for (n, row) in rows.iter().enumerate() {
            scene.edit(row, &[("b", text(&format!("edited {n}")))]);
        }
        scene.run.start_sweep(0, 0);
        scene.until(|stage| stage.bus.raw.ever.len() >= 7); // page 1 of the second sweep is out
        scene.edit(&rows[0], &[("b", text("again"))]); // in the same second, behind the cursor
        scene.finish();
        scene.end();
        for (n, row) in rows.iter().enumerate() {
            let expected = if n == 0 { text("again") } else { text(&format!("edited {n}")) };
            assert_eq!(scene.value(&scene.twin(row), "b"), expected);
        }
    });
}

#[test]
fn s8_a_change_that_shows_late_is_found_by_the_overlap() {
    scene(Vary { late_seconds: 5, ..Vary::no_user_events() }, |scene| {
        let x = scene.create(NS, &[("b", text("x"))]);
        let y = scene.create(NS, &[("b", text("y"))]);
        scene.settle();
        scene.seconds(100);
        scene.visible_late(0);
        scene.edit(&y, &[("b", text("y2"))]);
        scene.sweep(); // the watermark stands at y's second
        scene.seconds(1);
        scene.visible_late(3);
        scene.edit(&x, &[("b", text("x2"))]); // its time lies before the watermark
        scene.end();
        assert_eq!(scene.value(&scene.twin(&x), "b"), text("x2"));
        assert_eq!(scene.value(&scene.twin(&y), "b"), text("y2"));
    });
}

#[test]
fn c6_sweeps_before_the_read_bump_one_bell_and_publish_nothing() {
    scene(Vary::no_user_events(), |scene| {
        let (sx, ns) = agreed(scene, &[("b", text("A"))]);
        scene.edit(&ns, &[("b", text("B"))]);
        scene.sweep();
        scene.take_in();
        let published = |scene: &Scene<'_, '_>| lock(scene.run.stage).bus.raw.ever.len();
        let (hints, rung) = (published(scene), scene.record(&sx).shadows[NS].hint_seq);
        for _ in 0..5 {
            scene.sweep();
        }
        assert_eq!(published(scene), hints, "the row is known to be news");
        assert_eq!(
            scene.record(&sx).shadows[NS].hint_seq,
            rung + 5,
            "but a read that began before must not clear the bell"
        );
        scene.end();
        assert_eq!(both(scene, (&sx, &ns), "b"), [text("B"), text("B")]);
    });
}

/// No event of NetSuite's, no poll: only the reconciler's sweep sees what became of these. It rings, and that is enough.
#[test]
fn a_lost_hint_is_found_by_the_reconciler_and_rung() {
    scene(Vary::no_user_events(), |scene| {
        let (sx, ns) = agreed(scene, &[("b", text("A"))]);
        let (kept, gone) = agreed(scene, &[("b", text("gone"))]);
        let whole = scene.reconcile();
        assert!(whole.iter().all(|tally| tally.shortfalls().is_empty()), "{whole:?}");

        scene.edit(&ns, &[("b", text("B"))]);
        scene.delete(&gone);
        let new = scene.create(NS, &[("b", text("new"))]);
        let found = scene.reconcile();
        let sum = |count: fn(&steps::Tally) -> u64| found.iter().map(count).sum::<u64>();
        assert_eq!((sum(|t| t.drift), sum(|t| t.unknown.netsuite), sum(|t| t.unknown.suitex)), (2, 1, 0), "{found:?}");
        assert_eq!(scene.writes(NS).len() + scene.writes(SX).len(), 2, "the creates: it writes nothing");

        scene.merge();
        scene.answer(SX);
        scene.merge();
        assert_eq!(both(scene, (&sx, &ns), "b"), [text("B"), text("B")]);
        assert!(!scene.exists(&kept), "its deletion came through");
        assert_eq!(scene.value(&scene.twin(&new), "b"), text("new"));
        let whole = scene.reconcile();
        assert!(whole.iter().all(|tally| tally.shortfalls().is_empty()), "{whole:?}");
        scene.end();
    });
}

/// C6: a row of a side that is dirty already is not published again, but its bell is bumped: a read that began before the row
/// changed would answer it otherwise, and the change would be lost.
#[test]
fn c6_a_row_swept_while_its_side_is_read_is_read_again() {
    scene(Vary::no_user_events(), |scene| {
        let ns = scene.create(NS, &[("b", text("A"))]);
        scene.settle();
        scene.edit(&ns, &[("b", text("B"))]);
        scene.sweep();
        scene.take_in();
        scene.seconds(3);
        scene.begin_merge(&ns); // it has read B
        scene.edit(&ns, &[("b", text("C"))]);
        let published = scene.published();
        scene.sweep();
        assert_eq!(scene.published(), published, "the side is dirty: nothing is published");
        scene.finish();
        assert!(scene.record(&ns).shadows[NS].dirty(), "what was read was older than the row");
        scene.end();
        assert_eq!(scene.value(&scene.twin(&ns), "b"), text("C"));
    });
}

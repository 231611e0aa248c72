//! What a side refuses, and what becomes of the write: it waits and is tried again, or its field or record waits for a
//! person (semantics §2.9).
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

use std::time::Duration;

use model::record::{Existence, LockReason};
use model::spec::LockScope;
use model::{Side, WriteKind, WriteOutcome};
use testkit::scene::{Scene, agreed, scene, text};
use testkit::world::ledger::Place;
use testkit::world::stage::Fate;
use testkit::world::vary::Vary;

const SX: Side = Side::Suitex;
const NS: Side = Side::Netsuite;

/// An edit of SuiteX that NetSuite answers like this.
fn answered(scene: &mut Scene<'_, '_>, sx: &Place, edit: &[(&str, &str)], answer: WriteOutcome) {
    let edit: Vec<_> = edit.iter().map(|(name, value)| (*name, text(value))).collect();
    scene.edit(sx, &edit);
    scene.merge();
    scene.fate(Fate::Refused(answer));
    scene.answer(NS);
}

/// How long the writer waits, and how often it was refused.
fn waits(scene: &Scene<'_, '_>, sx: &Place) -> (Duration, u32) {
    let shadow = &scene.record(sx).shadows[NS];
    let wait = shadow.retry_at.unwrap().duration_since(scene.run.core.clock.now());
    (wait.unsigned_abs(), shadow.attempts)
}

#[test]
fn a_side_that_asks_for_patience_is_tried_again_when_it_says_else_after_a_growing_wait() {
    scene(Vary::calm(), |scene| {
        for n in 0..3 {
            let (sx, _) = agreed(scene, &[("b", text(&format!("{n}")))]);
            let throttled = WriteOutcome::Throttled { retry_after: None };
            answered(scene, &sx, &[("b", &format!("new {n}"))], throttled.clone());
            let (first, attempts) = waits(scene, &sx);
            assert_eq!(attempts, 1);
            let base = scene.run.core.settings.backoff_after(0);
            assert!(base <= first && first <= base.mul_f64(1.25), "{first:?}: up to a quarter is added");
            // Due again, and refused again.
            scene.seconds(7);
            scene.fate(Fate::Refused(throttled));
            scene.run.start_write(NS);
            scene.finish_last();
            let (second, attempts) = waits(scene, &sx);
            assert!(second >= scene.run.core.settings.backoff_after(1) && attempts == 2, "{second:?}");
            scene.seconds(30);
            scene.settle();
            assert_eq!(scene.record(&sx).shadows[NS].attempts, 0, "it landed at last");
        }
        let (sx, _) = agreed(scene, &[("b", text("A"))]);
        let after = Duration::from_secs(77);
        answered(scene, &sx, &[("b", "B")], WriteOutcome::Throttled { retry_after: Some(after) });
        assert_eq!(waits(scene, &sx), (after, 1));
    });
}

#[test]
fn a_value_that_is_refused_holds_back_its_field_where_it_alone_is_concerned_else_the_record() {
    for (scope, edit, held) in [
        (LockScope::Field, &[("b", "B")][..], Some("b")),
        (LockScope::Field, &[("b", "B"), ("a", "B")][..], None),
        (LockScope::Record, &[("b", "B")][..], None),
    ] {
        scene(Vary { lock: scope, ..Vary::calm() }, |scene| {
            let (sx, _) = agreed(scene, &[("a", text("A")), ("b", text("A"))]);
            let invalid = WriteOutcome::Invalid { code: "USER_ERROR".to_owned(), message: "no".to_owned() };
            answered(scene, &sx, edit, invalid);
            let record = scene.record(&sx);
            assert_eq!((record.locks.len(), record.locks[0].field.as_deref()), (1, held));
            assert_eq!((record.locks[0].reason, record.shadows[NS].inflight), (LockReason::Error, None));
            assert!(record.unresolved.is_empty(), "it did not land");
        });
    }
}

#[test]
fn a_row_that_is_not_as_it_was_known_is_read_before_another_attempt() {
    scene(Vary::calm(), |scene| {
        for answer in [WriteOutcome::Stale, WriteOutcome::Gone, WriteOutcome::Fenced] {
            let (sx, _) = agreed(scene, &[("b", text(answer.word()))]);
            answered(scene, &sx, &[("b", &format!("{} new", answer.word()))], answer);
            let shadow = &scene.record(&sx).shadows[NS];
            assert!(shadow.dirty() && shadow.must_read && shadow.inflight.is_none());
            scene.settle();
        }
        scene.end();
    });
}

#[test]
fn an_answer_that_shows_the_row_is_as_good_as_a_read_but_for_a_create() {
    scene(Vary { answer_rows: true, ..Vary::calm() }, |scene| {
        let ns = scene.create(NS, &[("b", text("A"))]);
        scene.merge();
        scene.answer(SX);
        let shadow = scene.record(&ns).shadows[SX].clone();
        assert!(shadow.exists == Existence::Yes && shadow.complete, "the answer showed all of it");
        assert!(shadow.dirty(), "whoever deleted it before its id was known is noticed only by looking again");
        scene.settle();
        scene.edit(&ns, &[("b", text("B"))]);
        scene.merge();
        scene.answer(SX);
        let shadow = &scene.record(&ns).shadows[SX];
        assert!(!shadow.dirty() && shadow.inflight.is_none() && shadow.complete);
        assert_eq!(scene.writes(SX).last().unwrap().0, WriteKind::Update);
        scene.end();
    });
}

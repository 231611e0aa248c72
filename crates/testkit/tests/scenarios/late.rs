//! S4, S6, S18: requests and doorbells that come late, and writes nobody heard of. C10 and C11 of the model.

use std::collections::BTreeSet;

use model::record::{Entry, LockReason};
use model::spec::DeletePolicy;
use model::{Value, WriteKind};
use testkit::scene::{Scene, scene, text};
use testkit::world::remote::lock;
use testkit::world::stage::Fate;
use testkit::world::vary::Vary;

use crate::{NS, SX, agreed, both};

fn set(members: &[&str]) -> Value {
    let members: BTreeSet<String> = members.iter().map(|m| (*m).to_owned()).collect();
    if members.is_empty() { Value::Null } else { Value::Set(members) }
}

#[test]
fn s4_our_own_late_write_is_not_taken_for_an_edit() {
    scene(Vary::calm(), |scene| {
        let (sx, ns) = agreed(scene, &[("b", text("A"))]);
        scene.edit(&sx, &[("b", text("B"))]);
        scene.merge();
        scene.fate(Fate::Late);
        scene.answer(NS);
        scene.edit(&sx, &[("b", text("Z"))]);
        scene.merge();
        scene.recover(NS);
        scene.merge();
        assert_eq!(scene.record(&sx).head.version, 3);
        assert!(scene.begin_answer(NS));
        scene.until_sent();
        scene.late_requests_land(); // the first arrives now, and the second with it, too late
        scene.finish();
        scene.end();
        assert_eq!(both(scene, (&sx, &ns), "b"), [text("Z"), text("Z")]);
        assert_eq!(scene.overrides(&sx), []);
        assert_eq!(scene.writes(SX), []);
    });
}

#[test]
fn s6_an_increment_that_equals_our_lost_write_counts() {
    scene(Vary::calm(), |scene| {
        let (sx, ns) = agreed(scene, &[("n", Value::Int(10))]);
        scene.edit(&sx, &[("n", Value::Int(15))]);
        scene.merge();
        scene.fate(Fate::Lost);
        scene.answer(NS);
        scene.edit(&ns, &[("n", Value::Int(15))]);
        scene.recover(NS);
        scene.settle();
        assert_eq!(both(scene, (&sx, &ns), "n"), [Value::Int(20), Value::Int(20)]);
    });
}

#[test]
fn s6_twin_our_landed_write_counts_once() {
    scene(Vary::calm(), |scene| {
        let (sx, ns) = agreed(scene, &[("n", Value::Int(10))]);
        scene.edit(&sx, &[("n", Value::Int(15))]);
        scene.merge();
        scene.fate(Fate::Unheard);
        scene.answer(NS);
        scene.recover(NS);
        scene.settle();
        assert_eq!(both(scene, (&sx, &ns), "n"), [Value::Int(15), Value::Int(15)]);
        assert_eq!(scene.record(&sx).head.version, 2);
    });
}

#[test]
fn s18_doorbells_in_the_wrong_order_write_nothing_old() {
    scene(Vary { ordered: false, ..Vary::calm() }, |scene| {
        let (sx, ns) = agreed(scene, &[("b", text("A"))]);
        scene.edit(&sx, &[("b", text("B"))]);
        scene.merge();
        let first = scene.doorbells(NS);
        scene.edit(&sx, &[("b", text("C"))]);
        scene.merge();
        let later: Vec<_> = scene.doorbells(NS).into_iter().filter(|bell| !first.contains(bell)).collect();
        assert_eq!((first.len(), later.len()), (1, 1));
        scene.run.start_answer(NS, later);
        scene.finish();
        assert_eq!(scene.value(&ns, "b"), text("C"));
        for _ in 0..2 {
            scene.run.start_answer(NS, first.clone());
            scene.finish();
        }
        scene.end();
        assert_eq!(both(scene, (&sx, &ns), "b"), [text("C"), text("C")]);
        assert_eq!(scene.writes(NS).len(), 2, "the create and one update: {:?}", scene.writes(NS));
    });
}

/// C10: a write that timed out and lands after a newer one was acknowledged is turned away by its stamp.
#[test]
fn c10_a_late_request_after_a_newer_one_is_fenced() {
    scene(Vary::calm(), |scene| {
        let (sx, ns) = agreed(scene, &[("b", text("A"))]);
        scene.edit(&sx, &[("s", set(&["x"]))]);
        scene.merge();
        scene.fate(Fate::Late);
        scene.answer(NS);
        scene.edit(&sx, &[("s", set(&[])), ("b", text("B"))]);
        scene.recover(NS);
        scene.merge();
        scene.answer(NS);
        assert_eq!(scene.value(&ns, "b"), text("B"));
        scene.late_requests_land();
        assert_eq!(scene.happened("fenced late request"), 1, "by its stamp, before anything is compared");
        scene.end();
        assert_eq!(both(scene, (&sx, &ns), "s"), [Value::Null, Value::Null]);
        assert_eq!(scene.writes(SX), []);
    });
}

/// C11: the late one lands *before* the newer one, which its own `pre` would not notice: the stamp it must still find does.
#[test]
fn c11_a_late_request_before_a_newer_one_stops_the_newer_one() {
    scene(Vary::calm(), |scene| {
        let (sx, ns) = agreed(scene, &[("b", text("A"))]);
        scene.edit(&sx, &[("s", set(&["x"]))]);
        scene.merge();
        scene.fate(Fate::Late);
        scene.answer(NS);
        scene.edit(&sx, &[("s", set(&[])), ("b", text("B"))]);
        scene.recover(NS);
        scene.merge();
        assert!(scene.begin_answer(NS));
        scene.until_sent();
        scene.late_requests_land_first();
        assert_eq!(scene.value(&ns, "s"), set(&["x"]));
        scene.finish();
        scene.end();
        assert_eq!(both(scene, (&sx, &ns), "s"), [Value::Null, Value::Null]);
        assert_eq!(both(scene, (&sx, &ns), "b"), [text("B"), text("B")]);
        assert_eq!(scene.writes(SX), []);
        assert_eq!(scene.writes(NS).iter().filter(|(kind, _)| *kind == WriteKind::Update).count(), 2);
    });
}

#[test]
fn c3_after_a_stale_answer_nothing_is_claimed_before_the_side_was_read() {
    scene(Vary::no_user_events(), |scene| {
        let (sx, ns) = agreed(scene, &[("a", text("A")), ("b", text("B"))]);
        scene.edit(&sx, &[("a", text("ours"))]);
        scene.merge();
        scene.edit(&ns, &[("a", text("theirs"))]); // nobody here knows
        scene.answer(NS);
        let claims = |scene: &Scene<'_, '_>| {
            scene.kept(&sx).log.iter().filter(|row| matches!(row.entry, Entry::Claim(_))).count()
        };
        let before = claims(scene);
        scene.ring(&sx);
        for _ in 0..5 {
            scene.answer(NS);
        }
        assert_eq!(claims(scene), before, "no stamp is burnt on a side that is not as we thought");
        scene.end();
        assert_eq!(claims(scene), before + 1, "read, then written once");
        assert_eq!(both(scene, (&sx, &ns), "a"), [text("ours"), text("ours")]);
    });
}

#[test]
fn writes_that_go_on_by_themselves_end_at_a_person() {
    scene(Vary::no_user_events(), |scene| {
        let (sx, ns) = agreed(scene, &[("b", text("A"))]);
        scene.seconds(700);
        // Something keeps changing the record, and nothing but the poll ever hears of it: as two systems look that
        // answer each other.
        let mut rounds = 0;
        while scene.record(&sx).locks.is_empty() {
            rounds += 1;
            assert!(rounds < 100, "it would go on for ever");
            scene.edit(&ns, &[("b", text(&format!("value {rounds}")))]);
            scene.sweep();
            scene.merge();
            scene.answer(SX);
        }
        assert_eq!(rounds, 63, "the write that made it, and these");
        let held = scene.record(&sx).locks.remove(0);
        assert_eq!((held.field, held.reason), (None, LockReason::Error));
        assert_eq!(scene.writes(SX).len(), 62);
        scene.run.relay_ours();
        let codes: Vec<_> =
            lock(scene.run.stage).bus.errors.iter().filter_map(|e| e.get("reason_code").cloned()).collect();
        assert_eq!(codes, ["write_loop"], "somebody is told");
    });
}

#[test]
fn a_create_that_lands_once_its_successor_is_deleted_is_ours() {
    scene(Vary { delete: DeletePolicy::DeleteWins, ..Vary::no_user_events() }, |scene| {
        let sx = scene.create(SX, &[("b", text("A")), ("n", Value::Int(3))]);
        scene.merge();
        scene.fate(Fate::Late);
        scene.answer(NS);
        scene.recover(NS); // it is not there
        scene.merge();
        scene.answer(NS); // made by another request
        scene.merge();
        let ns = scene.twin(&sx);
        // A user deletes it, and with it goes the stamp that would fence the first request.
        scene.delete(&ns);
        scene.late_requests_land();
        let [again] = scene.rows(NS).try_into().unwrap();
        assert_ne!(again, ns);
        scene.sweep();
        scene.merge(); // it is read while the first is still taken to be there
        scene.end();
        assert_eq!(scene.record(&again).key, scene.record(&sx).key, "nobody's new record");
        assert_eq!((scene.rows(SX), scene.rows(NS)), (vec![], vec![]), "the user's deletion stands");
    });
}

#[test]
fn a_late_create_that_is_gone_before_it_is_read_does_not_hide_the_next_one() {
    scene(Vary::no_user_events(), |scene| {
        let sx = scene.create(SX, &[("b", text("A"))]);
        scene.merge();
        scene.fate(Fate::Late);
        scene.answer(NS);
        scene.recover(NS); // it is not there
        scene.merge();
        scene.late_requests_land();
        scene.sweep();
        scene.merge(); // the row says whose it is
        let linked = scene.record(&sx).shadows[NS].native_id.clone();
        let [first] = scene.rows(NS).try_into().unwrap();
        assert_eq!(linked, Some(first.native()));
        scene.delete(&first); // before anybody read it as this record's
        scene.merge();
        scene.fate(Fate::Late);
        scene.answer(NS);
        scene.late_requests_land();
        scene.recover(NS);
        scene.end();
        let [second] = scene.rows(NS).try_into().unwrap();
        assert_eq!(scene.record(&second).key, scene.record(&sx).key);
    });
}

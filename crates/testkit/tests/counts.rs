//! What a step says it did: metrics, `concord` and the logs of the services repeat it.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

use std::collections::BTreeMap;

use model::{AccountId, Clock, RecordRef, Side, WriteOutcome};
use steps::{Merged, Recovered, Written, merge_step, recover_step, write_step};
use store::records::Pick;
use testkit::scene::{Scene, agreed, scene, text, wait};
use testkit::world::ledger::Place;
use testkit::world::stage::Fate;
use testkit::world::vary::Vary;

const SX: Side = Side::Suitex;
const NS: Side = Side::Netsuite;

fn these(scene: &Scene<'_, '_>, places: &[&Place]) -> Pick {
    let mut keys: Vec<RecordRef> = places.iter().map(|place| scene.record(place).key).collect();
    keys.sort_unstable();
    Pick::These(keys)
}

fn merge(scene: &mut Scene<'_, '_>, places: &[&Place]) -> Merged {
    scene.take_in();
    scene.seconds(3);
    let (core, pick) = (scene.run.core, these(scene, places));
    wait(merge_step(&core, &pick)).unwrap()
}

fn write(scene: &Scene<'_, '_>, side: Side, places: &[&Place]) -> Written {
    let (core, pick) = (scene.run.core, these(scene, places));
    wait(write_step(&core, side, &pick, &|_: &AccountId| true)).unwrap()
}

fn recover(scene: &mut Scene<'_, '_>, places: &[&Place]) -> Recovered {
    scene.seconds(31);
    let (core, pick) = (scene.run.core, these(scene, places));
    wait(recover_step(&core, NS, &pick)).unwrap()
}

#[test]
fn a_merge_step_counts_records_hints_versions_and_what_was_decided() {
    scene(Vary { fast_delta: false, ..Vary::calm() }, |scene| {
        let (sx, ns) = agreed(scene, &[("a", text("A")), ("m", text("A"))]);
        let (other, other_ns) = agreed(scene, &[("b", text("A"))]);
        scene.edit(&sx, &[("a", text("ours")), ("m", text("X"))]);
        scene.edit(&ns, &[("a", text("theirs")), ("m", text("Y"))]);
        scene.edit(&other_ns, &[("b", text("B"))]);
        scene.edit(&other_ns, &[("b", text("C"))]);
        let merged = merge(scene, &[&sx, &other]);
        let expected = Merged {
            records: 2,
            fast: 0,
            settled: 4,
            applied: 4,
            versions: 3,
            conflicts: 1,
            clashes: BTreeMap::from([("suitex_wins".to_owned(), 1), ("manual".to_owned(), 1)]),
            overrides: 1,
            unreadable: 0,
        };
        // The conflict alone changed no value: its hint is told as one that led into a conflict.
        assert_eq!(merged, Merged { applied: merged.applied, ..expected });
        assert_eq!(merged.applied, 3);
    });
}

#[test]
fn a_hint_is_told_as_applied_when_a_value_stood_or_lost_and_not_when_it_led_into_a_conflict_alone() {
    scene(Vary { fast_delta: false, ..Vary::calm() }, |scene| {
        let applied = |scene: &mut Scene<'_, '_>, sx: &Place| {
            let merged = merge(scene, &[sx]);
            (merged.settled, merged.applied)
        };
        let (sx, ns) = agreed(scene, &[("a", text("A")), ("m", text("A")), ("w", text("A"))]);
        scene.edit(&ns, &[("a", text("B"))]);
        scene.edit(&ns, &[("a", text("A"))]);
        assert_eq!(applied(scene, &sx), (2, 0), "nothing came of them");
        scene.edit(&sx, &[("a", text("ours"))]);
        scene.edit(&ns, &[("a", text("theirs"))]);
        assert_eq!(applied(scene, &sx), (2, 2), "one stands, the other lost");
        scene.edit(&sx, &[("m", text("X"))]);
        scene.edit(&ns, &[("m", text("Y")), ("w", text("Z"))]);
        assert_eq!(applied(scene, &sx), (2, 2), "a conflict, and a value beside it");
        scene.edit(&ns, &[("m", text("Y2"))]);
        assert_eq!(applied(scene, &sx), (1, 0), "a conflict alone");
    });
}

#[test]
fn what_deltas_cover_is_counted_by_intake_and_by_the_step_that_finds_it() {
    scene(Vary::calm(), |scene| {
        let (sx, _) = agreed(scene, &[("b", text("A"))]);
        scene.edit(&sx, &[("b", text("B"))]);
        scene.run.relay_suitex();
        let version = scene.record(&sx).head.version;
        scene.take_in();
        assert_eq!(scene.record(&sx).head.version, version + 1, "folded as it came");
        // Taken in while the record was locked, it waits; the step that comes later needs no read for it.
        scene.change(&sx, |record| {
            record.locks.push(model::record::Lock {
                lock_id: model::EventId::from_u128(1),
                field: None,
                reason: model::record::LockReason::Admin,
                conflict_id: None,
                locked_at: model::Timestamp::UNIX_EPOCH,
                note: String::new(),
            });
        });
        scene.edit(&sx, &[("b", text("C"))]);
        scene.take_in();
        scene.change(&sx, |record| record.locks.clear());
        let merged = merge(scene, &[&sx]);
        assert_eq!((merged.records, merged.fast, merged.settled, merged.applied, merged.versions), (1, 1, 1, 1, 1));
    });
}

#[test]
fn a_write_step_counts_what_it_looked_at_claimed_and_passed_over() {
    scene(Vary::calm(), |scene| {
        let places: Vec<_> = (0..5).map(|n| agreed(scene, &[("b", text(&n.to_string()))]).0).collect();
        for (n, place) in places[..3].iter().enumerate() {
            scene.edit(place, &[("b", text(&format!("new {n}")))]);
        }
        scene.merge();
        scene.make_dirty(&places[2], NS);
        scene.make_dirty(&places[3], NS);
        scene.fate(Fate::Answered);
        scene.fate(Fate::Refused(WriteOutcome::NotSent));
        let all: Vec<&Place> = places.iter().collect();
        let done = write(scene, NS, &all);
        assert_eq!(
            (done.records, done.claimed, done.passed, done.parked, done.braked, done.endless),
            (5, 2, 3, 0, 0, 0)
        );
        assert_eq!(done.outcomes.values().sum::<usize>(), 2);
        assert_eq!((done.outcomes["ok"], done.latencies_micros.len()), (1, 1));
        assert_eq!(scene.record(&places[0]).shadows[NS].generation, 1, "it was made there once");
        scene.end();
    });
}

#[test]
fn a_side_without_budget_is_written_to_later_and_nothing_is_counted_as_passed() {
    scene(Vary::calm(), |scene| {
        let (sx, _) = agreed(scene, &[("b", text("A"))]);
        scene.edit(&sx, &[("b", text("B"))]);
        scene.merge();
        let (core, pick) = (scene.run.core, these(scene, &[&sx]));
        let done = wait(write_step(&core, NS, &pick, &|_: &AccountId| false)).unwrap();
        assert_eq!((done.records, done.claimed, done.passed), (1, 0, 0));
        let first = core.settings.backoff_after(0);
        assert_eq!(scene.record(&sx).shadows[NS].retry_at, Some(core.clock.now() + first));
        scene.end();
    });
}

#[test]
fn writes_that_wait_for_a_parent_or_for_the_brake_are_counted() {
    scene(Vary::calm(), |scene| {
        let parent = scene.create(SX, &[("b", text("parent"))]);
        let order = scene.create_in(1, SX, "order", &[("to", text(parent.native().as_str())), ("b", text("A"))]);
        scene.merge();
        let done = write(scene, NS, &[&order]);
        assert_eq!((done.records, done.parked, done.braked, done.claimed), (1, 1, 0, 0));
        scene.end();
        assert_eq!(scene.rows(NS).len(), 2, "the parent first, then what refers to it");

        let places: Vec<_> = (0..22).map(|n| agreed(scene, &[("b", text(&n.to_string()))]).0).collect();
        for place in &places {
            scene.delete(place);
        }
        let all: Vec<&Place> = places.iter().collect();
        merge(scene, &all);
        let done = write(scene, NS, &all);
        assert_eq!((done.records, done.braked, done.parked, done.claimed), (22, 22, 0, 0), "too many vanished at once");
    });
}

#[test]
fn a_recovery_step_counts_what_landed_and_what_nobody_knows() {
    scene(Vary::calm(), |scene| {
        let (landed, _) = agreed(scene, &[("b", text("1"))]);
        let (lost, _) = agreed(scene, &[("b", text("2"))]);
        scene.edit(&landed, &[("b", text("one"))]);
        scene.edit(&lost, &[("b", text("two"))]);
        scene.merge();
        scene.fate(Fate::Unheard);
        write(scene, NS, &[&landed]);
        scene.fate(Fate::Lost);
        write(scene, NS, &[&lost]);
        let early = {
            let (core, pick) = (scene.run.core, these(scene, &[&landed, &lost]));
            wait(recover_step(&core, NS, &pick)).unwrap()
        };
        assert_eq!(early, Recovered::default(), "their deadlines have not passed");
        let done = recover(scene, &[&landed, &lost]);
        assert_eq!(done, Recovered { looked: 2, landed: 1, unknown: 1, unreadable: 0 });
        scene.end();
        assert_eq!(scene.value(&scene.twin(&lost), "b"), text("two"));
    });
}

#[test]
fn what_intake_folds_is_counted() {
    scene(Vary::calm(), |scene| {
        let (sx, ns) = agreed(scene, &[("b", text("A"))]);
        let (core, record) = (scene.run.core, scene.record(&sx));
        let delta = |n: u128, side: Side, place: &Place, version: Option<i64>| model::ChangeEvent {
            event_id: model::EventId::from_u128(n),
            account: record.key.account.clone(),
            record_type: record.key.record_type.clone(),
            record_id: place.native(),
            operation: model::Operation::Update,
            source: if side == SX { model::Source::Suitex } else { model::Source::NetsuiteUe },
            side,
            occurred_at: core.clock.now(),
            base_version: None,
            changes: BTreeMap::from([("b".to_owned(), model::TypedValue::Text("B".to_owned()))]),
            full_snapshot_ref: None,
            remote_version: version,
            write_id: None,
            auth_context: None,
            correlation_id: None,
        };
        let next = record.shadows[SX].token.map(|token| token + 1);
        let one = steps::to_hint(&core, &delta(1, SX, &sx, next)).unwrap();
        let other = steps::to_hint(&core, &delta(2, NS, &ns, None)).unwrap();
        let (stored, merged) = wait(steps::intake(&core, &[&one])).unwrap();
        assert_eq!((stored.len(), merged.records, merged.fast, merged.versions), (1, 1, 1, 1));
        let (stored, merged) = wait(steps::intake(&core, &[&other])).unwrap();
        assert_eq!((stored.len(), merged.records, merged.fast, merged.versions), (1, 0, 0, 0), "it is yet to be read");
        let strange =
            model::ChangeEvent { record_type: model::RecordType::parse("vendor").unwrap(), ..delta(3, SX, &sx, None) };
        let refused = steps::to_hint(&core, &strange).unwrap_err();
        assert_eq!(refused.reason, "recordType vendor is not synced; accepted are: thing, order");
    });
}

#[test]
fn a_write_that_a_burst_holds_is_looked_at_again_when_the_burst_is_over() {
    scene(Vary::calm(), |scene| {
        let (sx, ns) = agreed(scene, &[("b", text("A"))]);
        let start = scene.run.clock.now();
        let after = |millis: u64| start + std::time::Duration::from_millis(millis);
        let edit = |scene: &mut Scene<'_, '_>, value: &str| {
            scene.edit(&sx, &[("b", text(value))]);
            scene.take_in();
        };
        let retry_at = |scene: &Scene<'_, '_>| scene.record(&sx).shadows[NS].retry_at;
        edit(scene, "B");
        assert_eq!(retry_at(scene), Some(after(500)));
        scene.run.clock.advance_micros(400_000);
        edit(scene, "C");
        let held = write(scene, NS, &[&sx]);
        assert_eq!(
            (held.passed, held.claimed, retry_at(scene)),
            (1, 0, Some(after(500))),
            "it is looked at then anyway"
        );
        scene.run.clock.advance_micros(200_000);
        let held = write(scene, NS, &[&sx]);
        assert_eq!((held.passed, held.claimed, retry_at(scene)), (1, 0, Some(after(900))), "the burst went on");
        scene.run.clock.advance_micros(300_000);
        assert_eq!(write(scene, NS, &[&sx]).claimed, 1);
        assert_eq!(scene.value(&ns, "b"), text("C"), "one write for all of it");
    });
}

#[test]
fn a_record_of_a_type_that_is_synced_no_more_waits_out_of_the_way() {
    scene(Vary::calm(), |scene| {
        let (sx, _) = agreed(scene, &[("b", text("A"))]);
        scene.edit(&sx, &[("b", text("B"))]);
        scene.merge();
        scene.make_dirty(&sx, SX);
        let none = model::spec::World { types: Vec::new() };
        let core = steps::Core { world: &none, ..scene.run.core };
        let far = Some(core.clock.now() + core.settings.backoff_after(u32::MAX));
        let pick = these(scene, &[&sx]);
        let done = wait(write_step(&core, NS, &pick, &|_: &AccountId| true)).unwrap();
        assert_eq!((done.records, done.passed, done.claimed), (1, 1, 0));
        assert_eq!(scene.record(&sx).shadows[NS].retry_at, far);
        let merged = wait(merge_step(&core, &pick)).unwrap();
        assert_eq!((merged.records, merged.settled, merged.unreadable), (1, 0, 0));
        let record = scene.record(&sx);
        assert_eq!((record.shadows[SX].ready_at, record.shadows[NS].ready_at), (far, None));
    });
}

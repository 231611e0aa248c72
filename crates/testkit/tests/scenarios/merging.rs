//! S5, S16, S19, S20: both sides changed.

use model::{Side, Value};
use testkit::scene::{lines, scene, text};
use testkit::sim::account;
use testkit::world::vary::Vary;

use crate::{NS, SX, agreed, both};

#[test]
fn s5_equal_increments_both_count() {
    scene(Vary::calm(), |scene| {
        let (sx, ns) = agreed(scene, &[("n", Value::Int(0))]);
        scene.edit(&ns, &[("n", Value::Int(2))]);
        scene.edit(&sx, &[("n", Value::Int(2))]);
        scene.settle();
        assert_eq!(both(scene, (&sx, &ns), "n"), [Value::Int(4), Value::Int(4)]);
    });
}

#[derive(Clone, Copy)]
enum Folded {
    NetsuiteFirst,
    SuitexFirst,
    Together,
}

#[test]
fn s16_the_value_that_gave_way_is_recorded_in_whatever_order() {
    for order in [Folded::NetsuiteFirst, Folded::SuitexFirst, Folded::Together] {
        scene(Vary::calm(), |scene| {
            let (sx, ns) = agreed(scene, &[("a", text("0"))]);
            let one = |scene: &mut testkit::scene::Scene<'_, '_>, side: Side| match side {
                Side::Suitex => scene.edit(&sx, &[("a", text("1"))]),
                Side::Netsuite => scene.edit(&ns, &[("a", text("9"))]),
            };
            match order {
                Folded::NetsuiteFirst => {
                    one(scene, NS);
                    scene.merge();
                    one(scene, SX);
                }
                Folded::SuitexFirst => {
                    one(scene, SX);
                    scene.merge();
                    one(scene, NS);
                }
                Folded::Together => {
                    one(scene, SX);
                    one(scene, NS);
                }
            }
            scene.merge();
            scene.end();
            assert_eq!(both(scene, (&sx, &ns), "a"), [text("1"), text("1")]);
            let lost = scene.overrides(&sx);
            assert_eq!(lost.len(), 1, "{lost:?}");
            assert_eq!((lost[0].field.as_str(), &lost[0].losing_value, lost[0].losing_side), ("a", &text("9"), NS));
        });
    }
}

#[test]
fn s19_a_line_removed_and_added_again_under_its_key_beside_a_new_one() {
    scene(Vary::calm(), |scene| {
        let (sx, ns) = agreed(scene, &[("lines", lines(&[("2", "x")]))]);
        scene.edit(&sx, &[("lines", lines(&[("2", "y")]))]);
        let there = scene.value(&ns, "lines").as_lines().cloned().unwrap_or_default();
        let mut more = there.clone();
        more.extend(lines(&[("900", "z")]).as_lines().cloned().unwrap_or_default());
        scene.edit(&ns, &[("lines", Value::Lines(more))]);
        scene.end();
        let values = |side| {
            let held = scene.value(side, "lines").as_lines().cloned().unwrap_or_default();
            let mut values: Vec<_> = held.values().flatten().map(|line| line["q"].clone()).collect();
            values.sort();
            values
        };
        assert_eq!(values(&sx), [text("y"), text("z")]);
        assert_eq!(values(&ns), [text("y"), text("z")]);
        assert_eq!(scene.overrides(&sx), []);
    });
}

#[test]
fn s20_two_tenants_with_the_same_ids_stay_apart() {
    scene(Vary { accounts: 2, ordered: false, ..Vary::calm() }, |scene| {
        let sx: Vec<_> =
            (1..=2).map(|n| scene.create_in(n, SX, "thing", &[("b", text(&format!("start {n}")))])).collect();
        scene.settle();
        let ns: Vec<_> = sx.iter().map(|place| scene.twin(place)).collect();
        assert_eq!((sx[0].id, ns[0].id), (sx[1].id, ns[1].id), "the same native ids in both accounts");
        for n in 0..2 {
            scene.edit(&ns[n], &[("b", text(&format!("netsuite {n}")))]);
            scene.edit(&sx[n], &[("a", text(&format!("suitex {n}")))]);
        }
        scene.merge(); // one batch, both accounts
        assert!(scene.begin_answer(NS));
        scene.until_sent();
        scene.kill();
        scene.end();
        for n in 0..2 {
            assert_eq!(scene.record(&sx[n]).key.account, account(n + 1));
            for place in [&sx[n], &ns[n]] {
                assert_eq!(scene.value(place, "b"), text(&format!("netsuite {n}")));
                assert_eq!(scene.value(place, "a"), text(&format!("suitex {n}")));
            }
        }
    });
}

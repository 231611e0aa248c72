//! References to records that nobody has met yet, and that turn out to be ones we know (semantics §2.8).

use model::Side;
use store::records::Link;
use testkit::scene::{Scene, agreed, both, scene, text, wait};
use testkit::world::ledger::Place;
use testkit::world::vary::Vary;

use crate::{NS, SX};

/// A thing of SuiteX whose create landed in NetSuite, and nobody knows.
fn landed_unheard(scene: &mut Scene<'_, '_>) -> (Place, Place) {
    let before = scene.rows(NS);
    let thing = scene.create(SX, &[("b", text("new"))]);
    scene.merge();
    assert!(scene.begin_answer(NS));
    scene.until_landed();
    scene.kill();
    let made = scene.rows(NS).into_iter().find(|row| !before.contains(row)).unwrap();
    (thing, made)
}

fn id(place: &Place) -> model::Value {
    text(place.native().as_str())
}

/// An order of both sides that refers, on both, to a thing that was a stranger when NetSuite's user chose it, and is ours.
fn refers_to_a_stranger(scene: &mut Scene<'_, '_>, old: &Place) -> ((Place, Place), (Place, Place)) {
    let order = scene.create_in(1, SX, "order", &[("to", id(old)), ("b", text("A"))]);
    scene.settle();
    let order = (order.clone(), scene.twin(&order));
    let thing = landed_unheard(scene);
    scene.edit(&order.1, &[("to", id(&thing.1))]);
    scene.sweep();
    scene.merge();
    let known_as = scene.record(&order.0).head.state["to"].clone();
    assert_ne!(known_as, text(&scene.record(&thing.0).key.rid.to_string()), "a stranger yet");
    scene.merge(); // its mark says whose it is
    scene.answer(SX);
    assert_eq!(scene.value(&order.0, "to"), id(&thing.0));
    (order, thing)
}

#[test]
fn a_stranger_that_turns_out_to_be_ours_is_nobodys_edit() {
    scene(Vary::calm(), |scene| {
        let (old, _) = agreed(scene, &[("b", text("old"))]);
        let (order, thing) = refers_to_a_stranger(scene, &old);
        let version = scene.record(&order.0).head.version;
        let read = scene.writes(NS).len();
        scene.ring(&order.0);
        scene.merge();
        let record = scene.record(&order.0);
        assert_eq!(record.head.version, version, "nobody edited anything");
        let called = text(&scene.record(&thing.0).key.rid.to_string());
        for state in [&record.head.state, &record.shadows.suitex.state, &record.shadows.netsuite.state] {
            assert_eq!(state["to"], called, "by its own name from now on");
        }
        scene.end();
        let orders =
            |writes: usize| scene.writes(NS)[writes..].iter().filter(|(_, f)| f.contains(&"to".to_owned())).count();
        assert_eq!(orders(read), 0, "nothing is owed for a name");
    });
}

#[test]
fn a_users_edit_does_not_give_way_to_a_stranger_that_turned_out_to_be_ours() {
    scene(Vary::calm(), |scene| {
        let (old, old_ns) = agreed(scene, &[("b", text("old"))]);
        let (order, _) = refers_to_a_stranger(scene, &old);
        // NetSuite's values win, but nobody has edited this one there since.
        scene.edit(&order.0, &[("to", id(&old))]);
        scene.edit(&order.1, &[("b", text("B"))]);
        scene.sweep();
        scene.end();
        assert_eq!([scene.value(&order.0, "to"), scene.value(&order.1, "to")], [id(&old), id(&old_ns)]);
        assert_eq!(both(scene, (&order.0, &order.1), "b"), [text("B"), text("B")]);
        assert!(scene.overrides(&order.0).is_empty(), "nobody gave way");
    });
}

#[test]
fn a_write_that_names_a_stranger_and_lands_unheard_is_ours_when_it_is_read() {
    scene(Vary::calm(), |scene| {
        let (old, _) = agreed(scene, &[("b", text("old"))]);
        let order = scene.create_in(1, SX, "order", &[("to", id(&old)), ("b", text("A"))]);
        scene.settle();
        let order_ns = scene.twin(&order);
        let (thing, thing_ns) = landed_unheard(scene);
        scene.edit(&order_ns, &[("to", id(&thing_ns))]);
        scene.sweep();
        scene.merge();
        scene.merge();
        assert!(scene.begin_answer(SX));
        scene.until_landed();
        scene.kill();
        let versions = scene.record(&order).head.version;
        scene.end();
        assert_eq!(scene.value(&order, "to"), id(&thing));
        assert_eq!(scene.record(&order).head.version, versions, "what we wrote is nobody's edit");
        let wanted = [(model::RecordType::parse("thing").unwrap(), thing_ns.native())];
        let records = scene.run.core.records;
        let links = wait(records.links(&scene.record(&order).key.account, Side::Netsuite, &wanted)).unwrap();
        let [Link { rid, formerly }] = links.into_values().collect::<Vec<_>>().try_into().unwrap();
        assert_eq!((rid, formerly.len()), (scene.record(&thing).key.rid, 1), "both names lead to it");
    });
}

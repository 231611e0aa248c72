//! The scenarios every implementation must pass, S1–S22, over the real steps and a world in which each step comes when
//! the scenario says so. The file names follow the chapters; `tests/scenarios/README.md` has the table.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

mod conflicts;
mod echo;
mod existence;
mod late;
mod merging;
mod sweeps;
mod twins;

use model::{Side, Value};
use testkit::scene::Scene;
use testkit::world::ledger::Place;
use testkit::world::vary::Vary;

const SX: Side = Side::Suitex;
const NS: Side = Side::Netsuite;

/// Nothing goes wrong by itself, and only the poller hears of NetSuite.
fn no_user_events() -> Vary {
    Vary { ue_drop: 1.0, ..Vary::calm() }
}

/// A thing both sides agree on, at version 1: its row in SuiteX and its row in NetSuite.
fn agreed(scene: &mut Scene<'_, '_>, values: &[(&str, Value)]) -> (Place, Place) {
    let sx = scene.create(SX, values);
    scene.settle();
    let ns = scene.twin(&sx);
    assert_eq!(scene.record(&sx).head.version, 1);
    (sx, ns)
}

fn both(scene: &Scene<'_, '_>, (sx, ns): (&Place, &Place), field: &str) -> [Value; 2] {
    [scene.value(sx, field), scene.value(ns, field)]
}

//! The scenarios every implementation must pass, S1–S22, over the real steps and a world in which each step comes when
//! the scenario says so. The file names follow the chapters; `tests/scenarios/README.md` has the table.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

mod conflicts;
mod echo;
mod existence;
mod late;
mod merging;
mod notes;
mod references;
mod sweeps;
mod twins;

use model::Side;
use testkit::scene::{agreed, both};

const SX: Side = Side::Suitex;
const NS: Side = Side::Netsuite;

//! Real processes die at every crash point of semantics §2.10, on a running stack: at the very line, by `abort`, in the
//! middle of users' work on several records. Afterwards both sides agree, nothing is owed or on its way, nothing was made
//! twice, every event has an outcome, and no more was written than users did (I11). Once on the embedded bus, once on
//! Pub/Sub with two of every service that dies of its work.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures::FutureExt;

#[path = "../support/emulator.rs"]
mod emulator;
#[path = "../support/play.rs"]
#[allow(dead_code)] // the scenarios use the rest
mod play;
#[path = "../support/rest.rs"]
#[allow(dead_code)]
mod rest;
#[path = "../support/stack.rs"]
#[allow(dead_code)] // the tests of the stack itself use the rest
mod stack;
#[path = "../support/told.rs"]
#[allow(dead_code)]
mod told;
#[path = "../support/world.rs"]
#[allow(dead_code)]
mod world;

mod late;
mod people;
mod work;

use play::{Play, Setup};
use work::Work;

/// Who dies where.
type Deaths = [(&'static str, &'static str)];

/// One after the other while users work; after each round everything is at rest and right. The embedded bus gives what a
/// killed merge-service held back after 15 s: those who die of one service share a round.
const ROUNDS: &[&Deaths] = &[
    &[("merge-service", "K1"), ("merge-service", "K2")],
    &[("netsuite-writer", "K6"), ("netsuite-writer", "K6")],
    &[("suitex-writer", "K7"), ("suitex-writer", "K7")],
    &[("netsuite-writer", "K7"), ("netsuite-writer", "K7")],
    &[("suitex-writer", "K6"), ("poller", "K10")],
    &[("merge-service", "K3"), ("merge-service", "K3"), ("merge-service", "K4"), ("merge-service", "K5")],
    &[("outbox-relay", "K11"), ("netsuite-writer", "K9"), ("suitex-writer", "K9")],
];

/// The same in one round: the emulator may keep what a killed process held for a minute, and so everybody waits once.
const AT_ONCE: &[&Deaths] = &[&[
    ("merge-service", "K1"),
    ("netsuite-writer", "K6"),
    ("suitex-writer", "K7"),
    ("poller", "K10"),
    ("merge-service", "K2"),
    ("netsuite-writer", "K7"),
    ("suitex-writer", "K6"),
    ("merge-service", "K3"),
    ("outbox-relay", "K11"),
    ("merge-service", "K4"),
    ("netsuite-writer", "K9"),
    ("merge-service", "K5"),
    ("suitex-writer", "K9"),
]];

/// Of these two run on Pub/Sub: whichever comes by its point first dies, and the other goes on.
const TWICE: &[&str] = &["merge-service", "netsuite-writer", "suitex-writer", "outbox-relay", "poller"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_dies_wherever_nothing_is_lost_and_nothing_is_done_twice() {
    everybody_dies(Setup::default(), ROUNDS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "by hand, with --run-ignored only: Google's emulator holds what a killed process had for a minute and more"]
async fn whoever_dies_wherever_on_pubsub_with_two_replicas_nothing_is_lost_and_nothing_is_done_twice() {
    if emulator::the_emulator_is_here() {
        everybody_dies(Setup { bus: "pubsub", twice: TWICE, ..Setup::default() }, AT_ONCE).await;
    }
}

async fn everybody_dies(setup: Setup<'_>, rounds: &[&Deaths]) {
    let play = Play::open(setup).await;
    let mut failed = Vec::new();
    let work = Work::begin(&play).await;
    for round in rounds {
        let start = Instant::now();
        let died = AssertUnwindSafe(work.goes_on_while(round)).catch_unwind().await;
        println!("{round:?}: {:.1} s", start.elapsed().as_secs_f64());
        if died.is_err() {
            failed.push(format!("{round:?}"));
            play.tidy().await;
        }
    }
    for (what, told) in [("K8", late::told(&play).boxed()), ("K12", people::told(&play).boxed())] {
        let start = Instant::now();
        if AssertUnwindSafe(told).catch_unwind().await.is_err() {
            failed.push(what.to_owned());
            play.tidy().await;
        }
        println!("{what}: {:.1} s", start.elapsed().as_secs_f64());
    }
    assert_eq!(play.errors().await, Vec::<String>::new());
    let output = play.stack.output();
    assert!(failed.is_empty(), "failed: {}; what was said is above\n{output}", failed.join(", "));
    let deaths: usize = rounds.iter().map(|round| round.len()).sum::<usize>() + people::DEATHS;
    assert_eq!(output.matches(" died: it was ended by SIGABRT").count(), deaths, "{output}");
    play.stack.stop();
}

//! Real processes die at every crash point of semantics §2.10, on one running stack: at the very line, by `abort`, in the
//! middle of users' work on several records. Afterwards both sides agree, nothing is owed or on its way, nothing was made
//! twice, every event has an outcome, and no more was written than users did (I11).
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures::FutureExt;

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

use play::Play;
use work::Work;

/// Who dies where, and how often in a row.
const DEATHS: &[(&str, &str, usize)] = &[
    ("merge-service", "K1", 1),
    ("netsuite-writer", "K6", 2),
    ("suitex-writer", "K7", 2),
    ("merge-service", "K2", 1),
    ("netsuite-writer", "K7", 2),
    ("suitex-writer", "K6", 1),
    ("poller", "K10", 1),
    ("merge-service", "K3", 2),
    ("outbox-relay", "K11", 1),
    ("netsuite-writer", "K9", 1),
    ("merge-service", "K4", 1),
    ("suitex-writer", "K9", 1),
    ("merge-service", "K5", 1),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_dies_wherever_nothing_is_lost_and_nothing_is_done_twice() {
    let play = Play::open(1, None, &[]).await;
    let mut failed = Vec::new();
    let mut work = Work::begin(&play).await;
    for (service, point, times) in DEATHS {
        let start = Instant::now();
        let died = AssertUnwindSafe(work.goes_on_while(service, point, *times)).catch_unwind().await;
        println!("{point} of {service}, {times} times: {:.1} s", start.elapsed().as_secs_f64());
        if died.is_err() {
            failed.push(format!("{point} of {service}"));
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
    let output = play.stack.output();
    assert!(failed.is_empty(), "failed: {}; what was said is above\n{output}", failed.join(", "));
    let deaths: usize = DEATHS.iter().map(|(.., times)| times).sum::<usize>() + people::DEATHS;
    assert_eq!(output.matches(" died: it was ended by SIGABRT").count(), deaths, "{output}");
    play.stack.stop();
}

//! The suite end to end: real processes, users on both sides who edit the same records at once, lost answers, late
//! requests, kills; then both sides must agree field by field and nothing a user typed may have vanished.
//!
//! `E2E_SECONDS` sets how long users edit (60). A failure prints the seed; `E2E_SEED` repeats its choices.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

#[path = "end_to_end/accounting.rs"]
mod accounting;
#[path = "end_to_end/arena.rs"]
mod arena;
#[path = "end_to_end/decide.rs"]
mod decide;
#[path = "end_to_end/diary.rs"]
mod diary;
#[path = "support/emulator.rs"]
mod emulator;
#[path = "end_to_end/notes.rs"]
mod notes;
#[path = "end_to_end/oracle.rs"]
mod oracle;
#[path = "end_to_end/rest.rs"]
mod rest;
#[path = "support/stack.rs"]
mod stack;
#[path = "end_to_end/users.rs"]
mod users;

use std::sync::Arc;
use std::time::{Duration, Instant};

use concord::dev::manifest::Manifest;
use concord::sides::Sides;
use serde_json::json;

use accounting::Seen;
use arena::Arena;
use emulator::{setting, the_emulator_is_here};
use stack::TestStack;

/// How long users edit, unless `E2E_SECONDS` says otherwise.
const SECONDS: u64 = 60;
/// Edits each account must see per second.
const EDITS_PER_SECOND: f64 = 20.0;
/// Share of edits that hit a record which the other side changed less than two seconds before.
const CONTENDED: f64 = 0.3;

/// One way to run the suite.
struct Variant {
    options: &'static [&'static str],
    kill: bool,
}

const REPLICAS: &[&str] = &[
    "--bus",
    "postgres",
    "--replicas",
    "merge-service=2",
    "--replicas",
    "netsuite-writer=2",
    "--replicas",
    "suitex-writer=2",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_agree_on_the_postgres_bus() {
    agree(Variant { options: &["--bus", "postgres"], kill: false }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_agree_on_pubsub() {
    if the_emulator_is_here() {
        agree(Variant { options: &["--bus", "pubsub"], kill: false }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_agree_with_two_replicas_of_merge_and_writers() {
    agree(Variant { options: REPLICAS, kill: false }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_agree_although_every_service_is_killed_in_turn() {
    agree(Variant { options: &["--bus", "postgres"], kill: true }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_agree_although_every_service_is_killed_in_turn_on_pubsub() {
    if the_emulator_is_here() {
        agree(Variant { options: &["--bus", "pubsub"], kill: true }).await;
    }
}

async fn agree(variant: Variant) {
    let seconds = setting("E2E_SECONDS").map_or(SECONDS, |text| text.parse().expect("E2E_SECONDS is a number"));
    let seed =
        setting("E2E_SEED").map_or_else(|| fastrand::u64(..1_000_000), |s| s.parse().expect("E2E_SEED is a number"));
    println!("E2E_SEED={seed} E2E_SECONDS={seconds} {:?} kill={}", variant.options, variant.kill);
    let stack = Arc::new(TestStack::start(variant.options));
    let manifest = stack.manifest();
    let mut arenas = Vec::new();
    for (n, account) in (0..).zip(&manifest.accounts) {
        let sides = Sides::open(&manifest, account).await.expect("both sides of the account answer");
        arenas.push(Arc::new(Arena::furnish(sides, seed + n).await));
    }
    for arena in &arenas {
        rest::reached(arena, &manifest, "after the first records").await;
        arena.learn_ids().await;
        arena.sides.netsuite.set_faults(faults()).await.expect("faults can be set");
    }

    edit(&arenas, &manifest, &stack, seed, Duration::from_secs(seconds), variant.kill).await;

    let mut seen = Seen::default();
    for (arena, account) in arenas.iter().zip(&manifest.accounts) {
        arena.sides.netsuite.clear_faults().await.expect("faults can be cleared");
        rest::reached(arena, &manifest, "after the users stopped").await;
        accounting::every_event_is_accounted_for(arena).await;
        let notes = notes::read(account).await;
        oracle::check(arena, &notes).await;
        seen.add(&arena.sides).await;
        assert_pressure(arena, seconds);
    }
    println!("{seen:?}");
    seen.assert_everything_happened();
    drop(arenas);
    Arc::into_inner(stack).expect("nobody else holds the stack").stop();
}

/// Users, the person who decides conflicts, and the one who kills; all until the time is over.
async fn edit(
    arenas: &[Arc<Arena>],
    manifest: &Manifest,
    stack: &Arc<TestStack>,
    seed: u64,
    time: Duration,
    kill: bool,
) {
    let until = Instant::now() + time;
    let mut work = tokio::task::JoinSet::new();
    for (n, arena) in (0_u64..).zip(arenas) {
        for user in 0..users::PER_SIDE {
            let chance = |side: u64| fastrand::Rng::with_seed(seed ^ (n << 40) ^ (side << 32) ^ (user << 20));
            work.spawn(users::in_suitex(arena.clone(), chance(1), until));
            work.spawn(users::in_netsuite(arena.clone(), chance(2), until));
        }
        work.spawn(decide::until(arena.clone(), manifest.clone(), seed + n, until));
    }
    if kill {
        let stack = stack.clone();
        work.spawn(async move {
            while Instant::now() < until {
                for name in concord::dev::programs::SERVICES {
                    let process = stack.manifest().processes.into_iter().find(|p| p.name == *name);
                    stack.kill(&process.expect("every service runs")).await;
                }
            }
        });
    }
    while let Some(done) = work.join_next().await {
        done.expect("nobody fails");
    }
}

/// What goes wrong between Concord and NetSuite while users edit.
fn faults() -> serde_json::Value {
    let writes = |probability: f64| json!({ "path": "customscript_concord_write", "probability": probability });
    let queries = |probability: f64| json!({ "path": "suiteql", "probability": probability });
    json!([
        { "match": writes(0.02), "fault": "lost_response" },
        { "match": writes(0.01), "fault": "zombie", "delay_seconds": 3 },
        { "match": writes(0.01), "fault": "zombie", "delay_seconds": 18 },
        { "match": writes(0.02), "fault": "slow", "delay_seconds": 1 },
        { "match": writes(0.01), "fault": "status", "status": 429 },
        { "match": queries(0.01), "fault": "status", "status": 429 },
        { "match": queries(0.005), "fault": "reset" },
    ])
}

fn assert_pressure(arena: &Arena, seconds: u64) {
    let (edits, contended) = arena.diary.pressure();
    let rate = edits as f64 / seconds as f64;
    let share = contended as f64 / edits.max(1) as f64;
    println!("{}: {edits} edits, {rate:.1}/s, {:.0} % contended", arena.sides.account, share * 100.0);
    assert!(rate >= EDITS_PER_SECOND, "only {rate:.1} edits per second: the run proves less than it should");
    assert!(share >= CONTENDED, "only {:.0} % of the edits were contended", share * 100.0);
}

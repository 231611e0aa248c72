//! The scenarios of semantics §5 that real processes can play, on one running stack: each has records of its own, and ends
//! with both sides equal, nothing on its way, and the versions, overrides and writes the scenario allows. Order is brought
//! about by faults and by services that stand still, never by waiting. S9, S10, S17 and S18 need the seeded world's control
//! of order: see `crates/testkit/tests/scenarios`.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures::FutureExt;

#[path = "../support/play.rs"]
mod play;
#[path = "../support/rest.rs"]
mod rest;
#[path = "../support/stack.rs"]
#[allow(dead_code)] // the tests of the stack itself use the rest
mod stack;
#[path = "../support/told.rs"]
mod told;
#[path = "../support/world.rs"]
mod world;

mod conflicts;
mod echo;
mod existence;
mod late;
mod merging;
mod sweeps;
mod war;

use play::{Play, Setup};

/// The sample world, but that both sides' edits of an item's description need a person: a manual field of a record that is
/// locked as a whole.
fn types() -> String {
    let sample = include_str!("../../../model/src/sample.toml");
    let (was, is) = (r#"kind = "text", policy = "newest_wins" },"#, r#"kind = "text", policy = "manual" },"#);
    let description = format!(r#"{{ name = "description", column = "description", {was}"#);
    assert!(sample.contains(&description), "the sample world has changed");
    sample.replace(&description, &description.replace(was, is))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scenarios_come_out_on_real_processes() {
    let settings = &["POLL_PAGE=2", "POLL_OVERLAP_SECONDS=10"];
    let play = Play::open(Setup { accounts: 2, types: Some(&types()), settings, ..Setup::default() }).await;
    let mut failed = Vec::new();
    macro_rules! scenes {
        ($($module:ident::$name:ident),* $(,)?) => {$(
            let start = Instant::now();
            if AssertUnwindSafe($module::$name(&play)).catch_unwind().await.is_err() {
                failed.push(stringify!($name));
            }
            play.tidy().await;
            println!("{}: {:.1} s", stringify!($name), start.elapsed().as_secs_f64());
        )*};
    }
    scenes!(
        // While both accounts are new, and give out the same ids.
        merging::s20_two_tenants,
        echo::s01_echo_plain,
        echo::s02_echo_with_edit,
        echo::s03_echo_before_ack_with_kill,
        late::s04_zombie,
        merging::s05_equal_increments,
        late::s06_increment_equals_our_write,
        late::s06_twin_our_write_landed,
        sweeps::s07_same_second_ties,
        sweeps::s08_late_visible_commit,
        existence::s11_create_killed_before_link,
        existence::s11_edited_before_recovery,
        existence::s12_delete_wins,
        existence::s12_update_wins,
        existence::s12_manual_accept_netsuite,
        existence::s12_manual_accept_suitex,
        conflicts::s13_stale_resolution,
        conflicts::s13_under_a_record_lock,
        conflicts::s14_both_sides_fix_it_by_hand,
        conflicts::s15_lock_keeps_queue,
        merging::s16_override_is_recorded,
        merging::s19_line_delete_and_readd,
        existence::s21_make_copy,
        war::s22_rewrite_war,
    );
    let output = play.stack.output();
    assert!(failed.is_empty(), "failed: {}; what was said is above\n{output}", failed.join(", "));
    play.rest().await;
    assert_eq!(play.differences().await, Vec::<String>::new());
    assert_eq!(play.errors().await, Vec::<String>::new());
    play.stack.stop();
}

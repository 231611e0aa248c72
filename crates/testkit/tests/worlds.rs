//! Seeded worlds with every test run: a fixed set, those that once broke an invariant, and as many again that nobody has
//! seen before.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

use testkit::sim::{Profile, SimArgs, SimReport, run_as, run_parallel};

/// Worlds that once broke an invariant, and what they showed; and one of each event too rare to count on.
const KEPT: [(Profile, u64, &str); 12] = [
    (Profile::Default, 1_940, "a late request that was fenced"),
    (Profile::Default, 706_680, "the watermark passed a record that became visible behind a long sweep's cursor"),
    (Profile::Default, 718_244, "the same, with nothing else going on"),
    (Profile::Default, 725_055, "a late write landed on a value that a user had put back, and nobody heard of it"),
    (Profile::Default, 765_669, "the same, in a sublist's line"),
    (
        Profile::Default,
        781_900,
        "an order referred to a record that turned out to be one we had made, and waited for it forever",
    ),
    (Profile::Default, 787_753, "a record deleted by a user before its create was acknowledged was taken to be there"),
    (
        Profile::Hostile,
        40_047_626,
        "the id of a row that was gone before it was read hid every create that came after it",
    ),
    (
        Profile::Hostile,
        4_896_982_150_837,
        "the same, of a deleted record: what a late create of it made stayed nobody's",
    ),
    (Profile::Hostile, 90_005_138, "a reference to a stranger that turned out to be ours looked like an edit"),
    (Profile::Hostile, 300_372_037, "what was read after our write was news once more when it was read again"),
    (Profile::Default, 570_472_543, "a person chose between two counts: what gave way is on record, not in the sum"),
];

/// Worlds of each profile with seeds of this very test run: 20,000 and more in all.
const FRESH: [(Profile, u64); 4] =
    [(Profile::Default, 14_000), (Profile::Small, 4_000), (Profile::Hostile, 1_000), (Profile::Patch, 3_000)];

fn keep_the_invariants(report: &SimReport) {
    for broken in &report.broken {
        println!("{}\n  {}", broken.command(), broken.breaches.join("\n  "));
    }
    println!("{} worlds, {:.0} a minute", report.runs, report.per_minute());
    assert_eq!(report.broken_runs, 0, "of {} worlds", report.runs);
}

#[test]
fn worlds_keep_the_invariants() {
    let runs = std::option_env!("WORLDS").and_then(|n| n.parse().ok()).unwrap_or(1_500);
    let mut report = run_parallel(&SimArgs::of(1, runs));
    keep_the_invariants(&report);
    for (profile, seed, what) in KEPT {
        let kept = run_as(profile, seed, false);
        assert_eq!(kept.breaches, Vec::<String>::new(), "world {seed}: {what}");
        report.coverage.merge(&kept.coverage);
    }
    assert_eq!(report.coverage.missing(), Vec::<&str>::new(), "never happened");
}

#[test]
fn worlds_nobody_has_seen_keep_the_invariants() {
    let first = fastrand::u64(1_000_000..1 << 48);
    let mut all = 0;
    for (profile, runs) in FRESH {
        let word = profile.as_str();
        println!("{runs} {word} worlds: concord sim --seed {first} --runs {runs} --profile {word}");
        let report = run_parallel(&SimArgs { profile, ..SimArgs::of(first, runs) });
        keep_the_invariants(&report);
        assert_eq!(report.runs, runs);
        all += runs;
    }
    assert!(all >= 20_000, "{all} worlds");
}

#[test]
fn worlds_written_to_by_patch_keep_the_invariants() {
    let report = run_parallel(&SimArgs { profile: Profile::Patch, ..SimArgs::of(1, 500) });
    keep_the_invariants(&report);
    for what in ["replaced in the gap", "found by its notes", "late request landed", "recovered: unknown"] {
        assert!(report.coverage.of(what) > 0, "{what} never happened");
    }
}

#[test]
fn a_world_is_its_seed_and_its_profile() {
    for profile in Profile::ALL {
        let (one, again) = (run_as(profile, 12, true), run_as(profile, 12, true));
        assert!(one.story.len() > 10, "a world without a story");
        assert_eq!((one.story, one.breaches), (again.story, again.breaches));
    }
    assert_ne!(run_as(Profile::Default, 12, true).story, run_as(Profile::Hostile, 12, true).story);
    assert_eq!(Profile::ALL.map(|profile| Profile::parse(profile.as_str())), Profile::ALL.map(Some));
}

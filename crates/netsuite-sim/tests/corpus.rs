//! The fuzz targets' corpus as plain tests: every entry as it is, and in some hundred broken forms.

#![allow(clippy::unwrap_used, reason = "a broken expectation ends the test")]

use std::path::Path;
use std::time::{Duration, Instant};

use fastrand::Rng;

const MUTATIONS: usize = 300;
/// Of a debug build on a busy machine; a release build takes a hundredth.
const LONGEST: Duration = Duration::from_secs(2);

fn corpus(target: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut entries: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), std::fs::read_to_string(entry.path()).unwrap())
        })
        .collect();
    entries.sort();
    assert!(entries.len() >= 8, "{target} has no corpus");
    entries
}

/// Cuts, doubles, swaps and inserts a few characters.
fn broken(text: &str, rng: &mut Rng) -> String {
    const BITS: [&str; 18] = [
        "(", ")", "'", "\"", ",", ".", "?", " AND ", " OR ", "(+)", " FROM ", "SELECT ", "||", "--", "/*", "\u{1}",
        "%", "ß",
    ];
    let mut chars: Vec<char> = text.chars().collect();
    for _ in 0..rng.usize(1..6) {
        let at = rng.usize(0..=chars.len());
        match rng.u8(0..4) {
            0 if at < chars.len() => {
                chars.remove(at);
            }
            1 => {
                let end = (at + rng.usize(0..12)).min(chars.len());
                let piece: Vec<char> = chars[at..end].to_vec();
                chars.splice(at..at, piece);
            }
            2 if chars.len() > 1 => {
                let other = rng.usize(0..chars.len());
                let at = at.min(chars.len() - 1);
                chars.swap(at, other);
            }
            _ => {
                let bit = BITS[rng.usize(..BITS.len())];
                chars.splice(at..at, bit.chars());
            }
        }
    }
    chars.into_iter().collect()
}

fn run(target: &str, read: impl Fn(&str) -> bool) -> (usize, usize) {
    let (mut taken, mut refused) = (0, 0);
    for (name, text) in corpus(target) {
        let mut rng = Rng::with_seed(7);
        let broken = (0..MUTATIONS).map(|_| broken(&text, &mut rng));
        for variant in std::iter::once(text.clone()).chain(broken.collect::<Vec<_>>()) {
            let start = Instant::now();
            let accepted = read(&variant);
            assert!(start.elapsed() < LONGEST, "{target}/{name} took {:?}: {variant}", start.elapsed());
            if accepted { taken += 1 } else { refused += 1 }
        }
    }
    (taken, refused)
}

#[test]
fn whatever_query_comes_the_translator_answers() {
    let (taken, refused) = run("suiteql", |text| netsuite_sim::fuzzing::suiteql(text).is_ok());
    assert!(taken > 100 && refused > 1_000, "{taken} taken, {refused} refused");
}

#[test]
fn whatever_header_comes_the_parser_answers() {
    let (taken, refused) = run("authorization", |text| netsuite_sim::fuzzing::authorization(text).is_some());
    assert!(taken > 100 && refused > 1_000, "{taken} taken, {refused} refused");
}

#[test]
fn what_is_long_is_refused_or_done_soon() {
    let conditions: Vec<String> = (0..9_000).map(|n| format!("c.id = {n}")).collect();
    let tables: Vec<String> = (0..20_000).map(|n| format!("customer a{n}")).collect();
    for text in [
        format!("SELECT c.id FROM customer c WHERE {}", conditions.join(" OR ")),
        format!("SELECT {} FROM customer", vec!["companyname"; 20_000].join(", ")),
        format!("SELECT 1 FROM {}", tables.join(", ")),
        format!("SELECT 1 FROM {} WHERE a1.id = a2.id(+)", tables.join(", ")),
        format!("SELECT {}1{} FROM dual", "(".repeat(100_000), ")".repeat(100_000)),
        "'".repeat(600_000),
        "a.".repeat(200_000),
        "SELECT 1 UNION ".repeat(30_000),
    ] {
        let start = Instant::now();
        let _ = netsuite_sim::fuzzing::suiteql(&text);
        let shown: String = text.chars().take(60).collect();
        assert!(start.elapsed() < LONGEST * 5, "{shown}… took {:?}", start.elapsed());
    }
}

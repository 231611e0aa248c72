//! Creates on real processes, in small: answers get lost, writers are killed, and every record stands in NetSuite once.
//! `concord bench creates --real` makes 10,000.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

use std::process::Command;

use serde_json::Value;

const CREATES: u64 = 300;

#[test]
fn real_creates_are_neither_lost_nor_doubled() {
    let count = CREATES.to_string();
    // What is in doubt is looked for soon: the default only makes the test longer.
    let settings = ["WRITE_TIMEOUT_SECONDS=2", "WRITE_DEADLINE_SECONDS=4", "POLL_INTERVAL_SECONDS=1"];
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    let made = Command::new(env!("CARGO_BIN_EXE_concord"))
        .args(["bench", "creates", "--real", "--json", "--bus", "postgres", "--count", &count])
        .args(settings)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{}\n{said}", String::from_utf8_lossy(&made.stdout));
    let report: Value = serde_json::from_slice(&made.stdout).unwrap();
    let value = |name: &str| report["figures"][name]["value"].as_f64().unwrap_or_else(|| panic!("{name} in {report}"));
    for name in ["lost", "duplicates_netsuite", "duplicates_suitex", "differing"] {
        assert_eq!(value(name), 0.0, "{name} in {report}");
    }
    assert_eq!(value("landed"), CREATES as f64);
    assert!((1.0..=1.05).contains(&value("calls_per_create")), "{report}");
    assert!(value("lost_answers") > 0.0 && value("writers_killed") > 0.0, "nothing went wrong: {report}");
}

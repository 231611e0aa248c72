use std::path::Path;
use std::process::Command;

use super::*;

/// `points.rs` alone, compiled to an object file.
fn compiled(folder: &Path, debug_assertions: &str) -> Vec<u8> {
    let object = folder.join(format!("points-{debug_assertions}.o"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/crash/points.rs");
    let done = Command::new("rustc")
        .args(["--edition=2024", "--crate-type=lib", "--crate-name=points", "--emit=obj", "-Copt-level=3"])
        .arg(format!("-Cdebug-assertions={debug_assertions}"))
        .arg("-o")
        .arg(&object)
        .arg(&source)
        .output()
        .expect("rustc runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    std::fs::read(object).expect("an object file")
}

#[test]
fn a_release_build_has_no_crash_points() {
    let folder = tempfile::tempdir().unwrap();
    let dies =
        |object: &[u8]| ["abort", "crash point"].map(|word| object.windows(word.len()).any(|w| w == word.as_bytes()));
    assert_eq!(dies(&compiled(folder.path(), "on")), [true, true], "the test would not notice");
    assert_eq!(dies(&compiled(folder.path(), "off")), [false, false]);
}

#[test]
fn arming_is_refused_without_a_folder_and_where_there_are_no_points() {
    assert!(arm("poller", &Settings::from_pairs([("DATABASE_URL", "x")])).is_ok());
    let refused = arm("poller", &Settings::from_pairs([(SETTING, "/nowhere/points")])).unwrap_err().to_string();
    let why = if cfg!(debug_assertions) { "a folder that is there" } else { "no crash points" };
    assert!(refused.contains(SETTING) && refused.contains(why), "{refused}");
}

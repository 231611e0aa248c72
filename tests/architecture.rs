//! The shape of the house, read from the cargo metadata and the tree: arrows point down only, every folder says what
//! it is for, and no file grows past what a reader can hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// Crates by floor, lowest first.
const FLOORS: &[&[&str]] = &[
    &["model"],
    &["merge", "store", "netsuite", "suitex"],
    &["chassis", "steps"],
    &[
        "ingest",
        "outbox-relay",
        "poller",
        "merge-service",
        "netsuite-writer",
        "suitex-writer",
        "reconciler",
        "dlq-handler",
        "console",
    ],
    &["netsuite-sim", "testkit", "concord"],
];

/// Neighbours that may know each other: (who, whom).
const NEIGHBOURS: &[(&str, &str)] = &[("testkit", "netsuite-sim"), ("concord", "netsuite-sim"), ("concord", "testkit")];

/// A Postgres for tests: a development dependency of anyone, a dependency of nobody.
const FOR_TESTS_ONLY: &str = "pgtest";

/// What may stand at the top beside dot-files (contracts §11).
const TOP: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "Makefile",
    "NOTICE",
    "README.md",
    "crates",
    "deploy",
    "k8s",
    "migrations",
    "proto",
    "rust-toolchain.toml",
    "target",
    "tests",
];

/// Longest source file, in lines; past `READABLE` it is only named.
const LONGEST: usize = 600;
const READABLE: usize = 400;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace folder exists")
}

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo metadata of the workspace can be read")
}

fn floor_of(name: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&name))
}

fn our_dependencies(package: &Package, ours: &BTreeSet<String>) -> Vec<String> {
    package
        .dependencies
        .iter()
        .filter(|d| d.kind != DependencyKind::Development && ours.contains(&d.name))
        .map(|d| d.name.clone())
        .collect()
}

/// What is wrong with one arrow, if anything.
fn fault(from: &str, to: &str) -> Option<String> {
    if to == FOR_TESTS_ONLY {
        return Some(format!("{from} → {to}: it is for tests only"));
    }
    let (Some(upper), Some(lower)) = (floor_of(from), floor_of(to)) else {
        return Some(format!("{from} → {to}: one of them stands on no floor"));
    };
    let allowed = lower < upper || NEIGHBOURS.contains(&(from, to));
    (!allowed).then(|| format!("{from} (floor {upper}) → {to} (floor {lower})"))
}

#[test]
fn arrows_point_down_only() {
    let metadata = metadata();
    let ours: BTreeSet<String> = metadata.packages.iter().map(|p| p.name.to_string()).collect();
    let mut arrows = 0;
    let mut faults = Vec::new();
    for package in metadata.packages.iter().filter(|p| p.name.as_str() != FOR_TESTS_ONLY) {
        for to in our_dependencies(package, &ours) {
            arrows += 1;
            faults.extend(fault(&package.name, &to));
        }
    }
    assert!(arrows > 20, "only {arrows} arrows were compared");
    assert!(faults.is_empty(), "arrows that do not point down:\n{}", faults.join("\n"));
}

#[test]
fn every_crate_stands_on_a_floor_and_every_floor_is_inhabited() {
    let present: BTreeSet<String> = metadata().packages.iter().map(|p| p.name.to_string()).collect();
    let planned: BTreeSet<String> =
        FLOORS.iter().flat_map(|floor| floor.iter()).chain([&FOR_TESTS_ONLY]).map(|s| (*s).to_owned()).collect();
    let homeless: Vec<_> = present.difference(&planned).collect();
    assert!(homeless.is_empty(), "crates on no floor: {homeless:?}");
    let missing: Vec<_> = planned.difference(&present).collect();
    assert!(missing.is_empty(), "crates that are not there: {missing:?}");
}

#[test]
fn a_wrong_arrow_is_noticed() {
    assert!(fault("model", "merge").is_some(), "up");
    assert!(fault("store", "merge").is_some(), "sideways");
    assert!(fault("poller", "netsuite-sim").is_some(), "a service that uses floor 4");
    assert!(fault("netsuite-sim", "testkit").is_some(), "against the grain of floor 4");
    assert!(fault("concord", FOR_TESTS_ONLY).is_some(), "a product crate on the test database");
    assert!(fault("poller", "netsuite").is_none(), "down");
}

#[test]
fn every_crate_includes_its_readme_into_its_library() {
    for package in metadata().packages {
        let folder = package.manifest_path.parent().expect("a manifest lies in a folder");
        let readme = fs::read_to_string(folder.join("README.md")).unwrap_or_default();
        assert!(readme.lines().count() >= 3, "{} has no README worth the name", package.name);
        let library = fs::read_to_string(folder.join("src/lib.rs")).unwrap_or_default();
        assert!(
            library.contains("include_str!(\"../README.md\")"),
            "src/lib.rs of {} does not include the README",
            package.name
        );
    }
}

#[test]
fn every_folder_says_what_it_is_for() {
    let root = root();
    let mut silent = Vec::new();
    for name in ["crates", "deploy", "k8s", "migrations", "proto", "tests"] {
        if !root.join(name).join("README.md").is_file() {
            silent.push(name);
        }
    }
    assert!(silent.is_empty(), "folders without README.md: {silent:?}");
}

#[test]
fn the_top_of_the_tree_stays_small() {
    let mut strangers = Vec::new();
    for entry in fs::read_dir(root()).expect("the workspace folder can be listed") {
        let name = entry.expect("an entry can be read").file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && !TOP.contains(&name.as_str()) {
            strangers.push(name);
        }
    }
    assert!(strangers.is_empty(), "not among the names of the design card: {strangers:?}");
}

#[test]
fn files_stay_readable() {
    let mut sizes = BTreeMap::new();
    for start in ["crates", "tests"] {
        measure(&root().join(start), &mut sizes);
    }
    assert!(sizes.len() > 50, "only {} files were measured", sizes.len());
    for (path, lines) in sizes.iter().filter(|(_, lines)| **lines > READABLE) {
        println!("{lines} lines, look for the second idea in it: {}", path.display());
    }
    let too_long: Vec<_> = sizes.iter().filter(|(_, lines)| **lines > LONGEST).collect();
    assert!(too_long.is_empty(), "files of more than {LONGEST} lines: {too_long:?}");
}

fn measure(folder: &Path, sizes: &mut BTreeMap<PathBuf, usize>) {
    for entry in fs::read_dir(folder).expect("a folder of the tree can be listed") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            measure(&path, sizes);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).expect("a source file can be read");
            sizes.insert(path, text.lines().count());
        }
    }
}

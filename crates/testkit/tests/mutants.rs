//! The list of named mutations fits the sources, and nothing of it is in them.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

use std::fs;
use std::path::{Path, PathBuf};

use testkit::mutants::{List, MutantError};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(file: &str) -> Result<String, MutantError> {
    let path = root().join(file);
    fs::read_to_string(&path).map_err(|source| MutantError::Disk { path, source })
}

#[test]
fn every_mutation_fits_the_sources() {
    let list = List::read().unwrap();
    assert!(list.mutations.len() >= 40 && list.together.len() >= 6, "the list of the semantics is longer");
    let patched = list.patched(&read).unwrap_or_else(|error| panic!("{error}"));
    for (number, mutation) in list.mutations.iter().enumerate() {
        let switch = format!("model::mutation::on({number})");
        let at = patched.iter().filter(|(_, source)| source.contains(&switch)).count();
        assert!(at > 0, "mutation {} is nowhere", mutation.name);
    }
}

/// A mutation breaks the product or a port, never what judges them.
#[test]
fn the_oracle_is_never_mutated() {
    for mutation in List::read().unwrap().mutations {
        for patch in mutation.patches {
            let judges =
                ["/checks", "/ledger.rs", "/constraints.rs", "/tests/"].iter().any(|part| patch.file.contains(part));
            assert!(!judges, "{} mutates {}", mutation.name, patch.file);
        }
    }
}

#[test]
fn the_sources_have_no_switches() {
    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    for package in fs::read_dir(root().join("crates")).unwrap() {
        let folder = package.unwrap().path().join("src");
        if folder.is_dir() {
            sources(&folder, &mut found);
        }
    }
    assert!(found.len() > 200, "{} sources", found.len());
    for path in found {
        // The list itself is made in testkit's module of that name.
        let switched = fs::read_to_string(&path).unwrap().contains("mutation::on");
        assert!(!switched || path.ends_with("testkit/src/mutants.rs"), "{} has a switch", path.display());
    }
}

//! The mutated copy and its programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use testkit::mutants::List;

/// Test programs that are asked beside the worlds: the scenarios, the safeties one by one, and the pure rules.
const TESTS: [&str; 6] = ["scenarios", "safeties", "laws", "cases", "merge", "conformance"];

/// What was built.
pub(crate) struct Copy {
    /// Runs worlds.
    pub(crate) worlds: PathBuf,
    /// Directed tests, by name.
    pub(crate) tests: Vec<(String, PathBuf)>,
    /// The copy's workspace.
    pub(crate) folder: PathBuf,
}

impl Copy {
    /// Copies, patches, builds.
    pub(crate) fn build(list: &List) -> Result<Self, String> {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().map_err(|e| e.to_string())?;
        let folder = from.join("target/mutants");
        list.prepare(&from, &folder).map_err(|error| error.to_string())?;
        let output = Command::new("cargo")
            .args([
                "test",
                "--release",
                "--no-run",
                "--locked",
                "--message-format",
                "json",
                "-p",
                "testkit",
                "-p",
                "merge",
            ])
            .current_dir(&folder)
            .env("CARGO_TARGET_DIR", folder.join("target"))
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("cargo: {error}"))?;
        let told = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            let errors = told.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            let errors: Vec<String> =
                errors.filter_map(|told| Some(told["message"]["rendered"].as_str()?.to_owned())).collect();
            return Err(format!("the mutated copy does not build:\n{}", errors.join("\n")));
        }
        let mut found = Vec::new();
        for line in told.lines() {
            let Ok(told) = serde_json::from_str::<serde_json::Value>(line) else { continue };
            if let (Some(name), Some(program)) = (told["target"]["name"].as_str(), told["executable"].as_str()) {
                found.push((name.to_owned(), PathBuf::from(program)));
            }
        }
        let worlds = folder.join("target/release/examples/worlds");
        let tests: Vec<_> = found.into_iter().filter(|(name, _)| TESTS.contains(&name.as_str())).collect();
        match TESTS.iter().find(|test| !tests.iter().any(|(name, _)| name == *test)) {
            Some(test) => Err(format!("the copy has no test program {test}")),
            None => Ok(Self { worlds, tests, folder }),
        }
    }
}

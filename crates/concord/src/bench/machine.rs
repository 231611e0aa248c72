//! What a figure was measured on.

use std::fs;
use std::process::Command;
use std::thread::available_parallelism;

use serde_json::{Value, json};

/// Commit, build, processor, memory, system: what a figure means nothing without.
pub fn describe() -> Value {
    json!({
        "commit": commit(),
        "version": env!("CARGO_PKG_VERSION"),
        "build": if cfg!(debug_assertions) { "debug (figures of a debug build say little)" } else { "release" },
        "cores": available_parallelism().map_or(0, usize::from),
        "cpu": field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
        "memory_mib": field("/proc/meminfo", "MemTotal").and_then(|text| kib(&text)).map(|kib| kib / 1024),
        "kernel": fs::read_to_string("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned()).ok(),
    })
}

/// The commit of the folder we stand in, with `+` where tracked files differ from it; the program itself does not know.
fn commit() -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(head) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "unknown".to_owned() };
    let clean = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|changed| changed.is_empty());
    if clean { head } else { head + "+" }
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let (_, value) = text.lines().find_map(|line| line.split_once(':').filter(|(key, _)| key.trim() == name))?;
    Some(value.trim().to_owned())
}

fn kib(text: &str) -> Option<u64> {
    text.trim_end_matches("kB").trim().parse().ok()
}

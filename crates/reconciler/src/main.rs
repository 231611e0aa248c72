#![doc = include_str!("../README.md")]

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::service::main("reconciler", reconciler::Config::from_settings, reconciler::start)
}

#![doc = include_str!("../README.md")]

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::service::main("merge-service", merge_service::Config::from_settings, merge_service::start)
}

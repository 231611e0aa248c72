#![doc = include_str!("../README.md")]

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::service::main("suitex-writer", suitex_writer::Config::from_settings, suitex_writer::start)
}

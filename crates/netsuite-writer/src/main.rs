#![doc = include_str!("../README.md")]

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::service::main("netsuite-writer", netsuite_writer::Config::from_settings, netsuite_writer::start)
}

#![doc = include_str!("../README.md")]

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::service::main("dlq-handler", dlq_handler::Config::from_settings, dlq_handler::start)
}

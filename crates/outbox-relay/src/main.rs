#![doc = include_str!("../README.md")]

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::service::main("outbox-relay", outbox_relay::Config::from_settings, outbox_relay::start)
}

#![doc = include_str!("../README.md")]

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::service::main("poller", poller::Config::from_settings, poller::start)
}

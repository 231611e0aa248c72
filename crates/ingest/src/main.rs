//! The ingest service as a process.

use std::process::ExitCode;

fn main() -> ExitCode {
    chassis::service::main("ingest", ingest::IngestSettings::from_settings, ingest::start)
}

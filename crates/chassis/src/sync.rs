//! What the core is told: record types and limits.

use std::time::Duration;

use model::limits::{DeleteBrake, Limits};
use model::record::Windows;
use model::spec::{SpecError, World};

use crate::settings::{CoreSettings, SettingError, Settings};

/// Most hints that a coalescing window gathers.
const MAX_HINTS: u32 = 50;

/// The record types of `CONCORD_TYPES`, or the sample world.
///
/// # Errors
/// The file cannot be read, or its types contradict themselves.
pub fn world(core: &CoreSettings) -> Result<World, SettingError> {
    let Some(path) = &core.types else { return Ok(World::sample()) };
    let text = types(core)?;
    let accepted = TYPES_FILE;
    World::parse(&text).map_err(|error| {
        // The parser draws the place over several lines; a setting's error is one sentence.
        let why = match &error {
            SpecError::Toml(error) => match error.span() {
                Some(span) => format!("line {}: {}", text[..span.start].lines().count().max(1), error.message()),
                None => error.message().to_owned(),
            },
            SpecError::Contradiction { .. } => error.to_string(),
        };
        SettingError::wrong("CONCORD_TYPES", format!("{} ({})", path.display(), why.replace('\n', " ")), accepted)
    })
}

const TYPES_FILE: &str = "the path of a TOML file with record types";

/// The record types as they are written.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn types(core: &CoreSettings) -> Result<String, SettingError> {
    let Some(path) = &core.types else { return Ok(World::SAMPLE.to_owned()) };
    std::fs::read_to_string(path)
        .map_err(|error| SettingError::wrong("CONCORD_TYPES", format!("{} ({error})", path.display()), TYPES_FILE))
}

/// The limits of the core for a process of this name.
///
/// - `COALESCE_WINDOW_MS` (2000): longest wait after the first hint.
/// - `COALESCE_IDLE_MS` (500): wait after the last hint.
/// - `MERGE_LEASE_SECONDS` (30): how long one merge step may hold a record.
/// - `WRITE_DEADLINE_SECONDS` (30): after this an unanswered write is looked for.
/// - `DELETE_BRAKE_RECORDS` (20): when more records of a type, and more than one in a hundred, vanish within ten minutes,
///   their deletion waits for a person.
/// - `WRITE_TIMEOUT_SECONDS` (20): longest wait for the answer to a write; shorter than the deadline.
///
/// # Errors
/// A value out of its bounds, by name.
pub fn limits(settings: &Settings, name: &str) -> Result<Limits, SettingError> {
    let window = settings.milliseconds("COALESCE_WINDOW_MS", Duration::from_secs(2), 0..=60_000)?;
    let idle = settings.milliseconds("COALESCE_IDLE_MS", Duration::from_millis(500), 0..=60_000)?;
    let deadline = settings.seconds("WRITE_DEADLINE_SECONDS", Duration::from_secs(30), 2.0..=3_600.0)?;
    let timeout = write_timeout(settings)?;
    if timeout >= deadline {
        let accepted = "fewer seconds than WRITE_DEADLINE_SECONDS";
        return Err(SettingError::wrong("WRITE_TIMEOUT_SECONDS", timeout.as_secs(), accepted));
    }
    let replica: u32 = settings.number("CONCORD_REPLICA", 0, 0..=9999)?;
    Ok(Limits {
        owner: format!("{name}-{replica}"),
        windows: Windows { window, idle, max_hints: MAX_HINTS },
        lease: settings.seconds("MERGE_LEASE_SECONDS", Duration::from_secs(30), 1.0..=3_600.0)?,
        write_deadline: deadline,
        // A request sent at the last moment still ends, one way or the other, before recovery begins.
        send_margin: timeout,
        delete_brake: DeleteBrake { records: settings.number("DELETE_BRAKE_RECORDS", 20, 0..=u64::from(u32::MAX))? },
        ..Limits::default()
    })
}

/// `WRITE_TIMEOUT_SECONDS` (20).
///
/// # Errors
/// A value out of its bounds.
pub fn write_timeout(settings: &Settings) -> Result<Duration, SettingError> {
    settings.seconds("WRITE_TIMEOUT_SECONDS", Duration::from_secs(20), 1.0..=900.0)
}

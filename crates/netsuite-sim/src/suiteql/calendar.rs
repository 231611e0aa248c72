//! Calendar functions beyond masks and shifts.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;

use super::functions::{Moment, moment_arg, text_arg, user_error};

/// Registers the functions on a connection.
pub(super) fn register(connection: &Connection, zone: &TimeZone) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    let near = zone.clone();
    connection.create_scalar_function("ns_last_day", 1, flags, move |ctx| {
        let Some(wall) = moment_arg(ctx, 0)?.map(|moment| moment.wall(&near)) else { return Ok(None) };
        Ok(Some(Moment::Wall(wall.date().last_of_month().to_datetime(wall.time())).to_text()))
    })?;
    let near = zone.clone();
    connection.create_scalar_function("ns_months_between", 2, flags, move |ctx| {
        let (Some(a), Some(b)) = (moment_arg(ctx, 0)?, moment_arg(ctx, 1)?) else { return Ok(None) };
        Ok(Some(months(a.wall(&near), b.wall(&near))))
    })?;
    let near = zone.clone();
    connection.create_scalar_function("ns_extract", 2, flags, move |ctx| {
        let part = text_arg(ctx, 0).unwrap_or_default().into_owned();
        let Some(wall) = moment_arg(ctx, 1)?.map(|moment| moment.wall(&near)) else { return Ok(None) };
        Ok(Some(match part.as_str() {
            "YEAR" => i64::from(wall.year()),
            "MONTH" => i64::from(wall.month()),
            "DAY" => i64::from(wall.day()),
            "HOUR" => i64::from(wall.hour()),
            "MINUTE" => i64::from(wall.minute()),
            "SECOND" => i64::from(wall.second()),
            other => return Err(user_error(format!("EXTRACT of {other} is not supported"))),
        }))
    })
}

/// Oracle's count: whole between equal or last days of months, else in parts of 31 days.
fn months(a: DateTime, b: DateTime) -> f64 {
    let whole = f64::from(i32::from(a.year()) - i32::from(b.year())) * 12.0 + f64::from(a.month() - b.month());
    let is_last = |at: DateTime| at.day() == at.date().last_of_month().day();
    if a.day() == b.day() || (is_last(a) && is_last(b)) {
        return whole;
    }
    let seconds = |at: DateTime| f64::from(at.hour()) * 3600.0 + f64::from(at.minute()) * 60.0 + f64::from(at.second());
    whole + (f64::from(a.day() - b.day()) + (seconds(a) - seconds(b)) / 86_400.0) / 31.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_whole_between_like_days() {
        let at = |text: &str| text.parse::<DateTime>().unwrap();
        assert!((months(at("2026-03-15T00:00:00"), at("2026-01-15T12:00:00")) - 2.0).abs() < 1e-9);
        assert!((months(at("2026-02-28T00:00:00"), at("2026-01-31T00:00:00")) - 1.0).abs() < 1e-9);
        assert!((months(at("2026-01-02T00:00:00"), at("2026-01-01T00:00:00")) - 1.0 / 31.0).abs() < 1e-9);
    }
}

//! What SQLite lacks of Oracle: dates that know their zone, masks, and a comparison that understands them.
//!
//! A moment is stored as marked UTC text, a wall-clock time (`TO_DATE`, `SYS_EXTRACT_UTC`) as otherwise marked text.
//! The collation `NS` compares them as Oracle does: two of a kind directly, a wall-clock time with a moment by
//! reading it in the account's zone, any other text by reading it in the account's date format.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::atomic::{AtomicI64, Ordering as Memory};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};
use rusqlite::Connection;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Value, ValueRef};

use super::masks::Mask;
use super::{calendar, numbers};
use crate::format::DateFormat;
use crate::world::{MOMENT_MARK, WALL_MARK, moment_column, moment_of_column};

/// What a running query shares with the functions of its connection.
#[derive(Debug, Default)]
pub(crate) struct QueryState {
    /// Unix second that every "now" of the query gives.
    now: AtomicI64,
    /// When the running query has taken too long.
    deadline: Mutex<Option<Instant>>,
    /// The first text that could not be read as a date.
    bad_date: Mutex<Option<String>>,
}

impl QueryState {
    /// Starts a query at that moment.
    pub(crate) fn begin(&self, now: Timestamp, longest: Duration) {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = deadline(longest);
        self.now.store(now.as_second(), Memory::Release);
        *self.bad_date.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Ends a query; the first text that it could not read as a date.
    pub(crate) fn end(&self) -> Option<String> {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.bad_date.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn complain(&self, text: &str) {
        self.bad_date.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| text.to_owned());
    }
}

/// Steps of SQLite between two looks at the clock.
const STEPS_PER_LOOK: std::ffi::c_int = 20_000;

#[allow(clippy::disallowed_methods, reason = "how long a query may run is no matter of NetSuite's clock")]
fn deadline(longest: Duration) -> Option<Instant> {
    Instant::now().checked_add(longest)
}

impl QueryState {
    /// Whether the running query has taken too long.
    fn is_late(&self) -> bool {
        let deadline = self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        deadline.is_some_and(|at| at.saturating_duration_since(Instant::now()).is_zero())
    }
}

/// A date value of a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Moment {
    /// A moment; shown in the account's zone.
    Instant(Timestamp),
    /// A wall-clock time without zone.
    Wall(DateTime),
}

impl Moment {
    /// Reads a marked text.
    pub(super) fn of(text: &str) -> Option<Self> {
        match text.strip_prefix(WALL_MARK) {
            Some(wall) => wall.parse().ok().map(Self::Wall),
            None => moment_of_column(text).map(Self::Instant),
        }
    }

    pub(super) fn to_text(self) -> String {
        match self {
            Self::Instant(moment) => moment_column(moment),
            Self::Wall(wall) => format!("{WALL_MARK}{}", wall.strftime("%Y-%m-%dT%H:%M:%S")),
        }
    }

    /// The time on the wall of that zone.
    pub(super) fn wall(self, zone: &TimeZone) -> DateTime {
        match self {
            Self::Instant(moment) => zone.to_datetime(moment),
            Self::Wall(wall) => wall,
        }
    }

    fn instant(self, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::Instant(moment) => Some(moment),
            Self::Wall(wall) => wall.to_zoned(zone.clone()).ok().map(|zoned| zoned.timestamp()),
        }
    }

    fn shifted(self, step: SignedDuration) -> Option<Self> {
        match self {
            Self::Instant(moment) => moment.checked_add(step).ok().map(Self::Instant),
            Self::Wall(wall) => wall.checked_add(step).ok().map(Self::Wall),
        }
    }
}

/// Registers collation and functions on a connection.
pub(crate) fn register(
    connection: &Connection,
    zone: &TimeZone,
    format: &DateFormat,
) -> rusqlite::Result<Arc<QueryState>> {
    let state = Arc::new(QueryState::default());
    let shared = state.clone();
    connection.progress_handler(STEPS_PER_LOOK, Some(move || shared.is_late()))?;
    let (near, own_format, shared) = (zone.clone(), format.clone(), state.clone());
    connection.create_collation("NS", move |a, b| compare(a, b, &near, &own_format, &shared))?;
    register_dates(connection, zone, format, &state)?;
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("upper", 1, flags, |ctx| Ok(text_arg(ctx, 0).map(|text| text.to_uppercase())))?;
    connection.create_scalar_function("lower", 1, flags, |ctx| Ok(text_arg(ctx, 0).map(|text| text.to_lowercase())))?;
    connection.create_scalar_function("ns_number", 1, flags, |ctx| match ctx.get_raw(0) {
        ValueRef::Text(_) => {
            let text = text_arg(ctx, 0).unwrap_or_default();
            let number = text.trim().parse::<f64>().map_err(|_| user_error(format!("Invalid number: {text}")))?;
            Ok(Value::Real(number))
        }
        other => Value::try_from(other).map_err(|error| user_error(error.to_string())),
    })?;
    connection.create_scalar_function("ns_mod", 2, flags, |ctx| {
        Ok(match (number_arg(ctx, 0), number_arg(ctx, 1)) {
            (Some(a), Some(b)) if b != 0.0 => Some(a % b),
            (Some(a), Some(_)) => Some(a),
            _ => None,
        })
    })?;
    calendar::register(connection, zone)?;
    numbers::register(connection, zone, format)?;
    Ok(state)
}

fn register_dates(
    connection: &Connection,
    zone: &TimeZone,
    format: &DateFormat,
    state: &Arc<QueryState>,
) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    let shared = state.clone();
    connection.create_scalar_function("ns_now", 0, flags, move |_| {
        let now = Timestamp::from_second(shared.now.load(Memory::Acquire)).unwrap_or(Timestamp::UNIX_EPOCH);
        Ok(moment_column(now))
    })?;
    connection.create_scalar_function("ns_shake", 0, FunctionFlags::SQLITE_UTF8, |_| {
        Ok(scattered(SHAKEN.fetch_add(1, Memory::AcqRel)))
    })?;
    let (near, own_format) = (zone.clone(), format.clone());
    connection.create_scalar_function("ns_to_char", -1, flags, move |ctx| to_char(ctx, &near, &own_format))?;
    let (near, own_format, shared) = (zone.clone(), format.clone(), state.clone());
    connection.create_scalar_function("ns_to_date", -1, flags, move |ctx| to_date(ctx, &near, &own_format, &shared))?;
    let near = zone.clone();
    connection.create_scalar_function("ns_utc", 1, flags, move |ctx| {
        // The usual case by far, and once per row of a scan: a stored moment is in UTC already.
        if let Some(utc) = ctx.get_raw(0).as_str().ok().and_then(|text| text.strip_prefix(MOMENT_MARK)) {
            return Ok(Some(format!("{WALL_MARK}{}", utc.trim_end_matches('Z'))));
        }
        let instant = moment_arg(ctx, 0)?.and_then(|moment| moment.instant(&near));
        Ok(instant.map(|instant| Moment::Wall(instant.to_zoned(TimeZone::UTC).datetime()).to_text()))
    })?;
    let near = zone.clone();
    connection.create_scalar_function("ns_trunc", -1, flags, move |ctx| trunc(ctx, &near))?;
    connection.create_scalar_function("ns_shift", 2, flags, |ctx| {
        let (Some(moment), Some(days)) = (moment_arg(ctx, 0)?, number_arg(ctx, 1)) else { return Ok(None) };
        let step = SignedDuration::try_from_secs_f64((days * 86_400.0).round())
            .map_err(|_| user_error("a date outside the range of time".to_owned()))?;
        let shifted = moment.shifted(step).ok_or_else(|| user_error("a date outside the range of time".to_owned()))?;
        Ok(Some(shifted.to_text()))
    })?;
    let near = zone.clone();
    connection.create_scalar_function("ns_days", 2, flags, move |ctx| {
        let (Some(a), Some(b)) = (moment_arg(ctx, 0)?, moment_arg(ctx, 1)?) else { return Ok(None) };
        let (a, b) = (a.wall(&near), b.wall(&near));
        let between = a.duration_since(b);
        Ok(Some(between.as_secs_f64() / 86_400.0))
    })?;
    connection.create_scalar_function("ns_add_months", 2, flags, |ctx| {
        let (Some(moment), Some(months)) = (moment_arg(ctx, 0)?, number_arg(ctx, 1)) else { return Ok(None) };
        let span = Span::new().try_months(months as i64).map_err(|error| user_error(error.to_string()))?;
        let moved = match moment {
            Moment::Wall(wall) => wall.checked_add(span).ok().map(Moment::Wall),
            Moment::Instant(instant) => {
                instant.to_zoned(TimeZone::UTC).checked_add(span).ok().map(|zoned| Moment::Instant(zoned.timestamp()))
            }
        };
        Ok(moved.map(Moment::to_text))
    })
}

/// Another number for every call, whichever connection asks: where ties of an unstable order fall.
static SHAKEN: AtomicI64 = AtomicI64::new(0);

/// A number that looks like chance (the end of splitmix64), for a counter.
fn scattered(count: i64) -> i64 {
    let mut mixed = count.cast_unsigned().wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (mixed ^ (mixed >> 31)).cast_signed()
}

fn compare(a: &str, b: &str, zone: &TimeZone, format: &DateFormat, state: &QueryState) -> Ordering {
    let mark = |text: &str| text.chars().next().filter(|c| matches!(*c, MOMENT_MARK | WALL_MARK));
    match (mark(a), mark(b)) {
        // Both spellings sort as their times do.
        (None, None) => a.cmp(b),
        (Some(one), Some(other)) if one == other => a.cmp(b),
        _ => match (instant_of(a, zone, format), instant_of(b, zone, format)) {
            (Some(one), Some(other)) => one.cmp(&other),
            (one, _) => {
                state.complain(if one.is_none() { a } else { b });
                a.cmp(b)
            }
        },
    }
}

fn instant_of(text: &str, zone: &TimeZone, format: &DateFormat) -> Option<Timestamp> {
    let moment = Moment::of(text).or_else(|| format.parse(text).map(|date| Moment::Wall(date.into())));
    moment.and_then(|moment| moment.instant(zone))
}

fn to_char(ctx: &Context<'_>, zone: &TimeZone, format: &DateFormat) -> rusqlite::Result<Option<String>> {
    let value = ctx.get_raw(0);
    let moment = value.as_str().ok().and_then(Moment::of);
    match (moment, value) {
        (_, ValueRef::Null) => Ok(None),
        (Some(moment), _) if ctx.len() == 1 => Ok(Some(format.render(moment.wall(zone).date()))),
        (Some(moment), _) => {
            let mask = ctx.get_or_create_aux(1, compiled)?;
            Ok(Some(mask.format(moment.wall(zone))))
        }
        (None, other) if ctx.len() == 1 => Ok(Some(plain(other))),
        (None, other) => match ctx.get_raw(1).as_str() {
            Ok(mask) => numbers::masked(other, mask),
            Err(_) => Ok(None),
        },
    }
}

fn to_date(
    ctx: &Context<'_>,
    zone: &TimeZone,
    format: &DateFormat,
    state: &QueryState,
) -> rusqlite::Result<Option<String>> {
    let Some(text) = text_arg(ctx, 0) else { return Ok(None) };
    if let Some(moment) = Moment::of(&text) {
        return Ok(Some(Moment::Wall(moment.wall(zone)).to_text()));
    }
    let wall = if ctx.len() == 1 {
        format.parse(&text).map(DateTime::from)
    } else {
        ctx.get_or_create_aux(1, compiled)?.parse(&text)
    };
    match wall {
        Some(wall) => Ok(Some(Moment::Wall(wall).to_text())),
        None => {
            state.complain(&text);
            Err(user_error("a text that is no date".to_owned()))
        }
    }
}

fn trunc(ctx: &Context<'_>, zone: &TimeZone) -> rusqlite::Result<Value> {
    let Some(moment) = ctx.get_raw(0).as_str().ok().and_then(Moment::of) else {
        return Ok(match (ctx.len(), number_arg(ctx, 0)) {
            (_, None) => Value::Null,
            (1, Some(number)) => Value::Real(number.trunc()),
            (_, Some(number)) => {
                let scale = 10_f64.powi(number_arg(ctx, 1).unwrap_or(0.0) as i32);
                Value::Real((number * scale).trunc() / scale)
            }
        });
    };
    let unit = if ctx.len() > 1 { text_arg(ctx, 1).unwrap_or_default().to_uppercase() } else { "DD".to_owned() };
    let wall = moment.wall(zone);
    let date = match unit.as_str() {
        "DD" | "DDD" | "J" => Some(wall.date()),
        "MM" | "MON" | "MONTH" => Some(wall.date().first_of_month()),
        "YYYY" | "YEAR" | "YY" | "Y" => Some(wall.date().first_of_year()),
        _ => None,
    };
    let date = date.ok_or_else(|| user_error(format!("TRUNC to {unit} is not supported")))?;
    Ok(Value::Text(Moment::Wall(date.into()).to_text()))
}

fn compiled(mask: ValueRef<'_>) -> Result<Mask, rusqlite::Error> {
    let text = mask.as_str().map_err(|_| user_error("a date mask that is no text".to_owned()))?;
    Mask::compile(text).map_err(|mask| user_error(format!("date format not recognized: {mask}")))
}

pub(super) fn moment_arg(ctx: &Context<'_>, index: usize) -> rusqlite::Result<Option<Moment>> {
    match ctx.get_raw(index) {
        ValueRef::Null => Ok(None),
        other => match other.as_str().ok().and_then(Moment::of) {
            Some(moment) => Ok(Some(moment)),
            None => Err(user_error("a date was expected".to_owned())),
        },
    }
}

pub(super) fn number_arg(ctx: &Context<'_>, index: usize) -> Option<f64> {
    match ctx.get_raw(index) {
        ValueRef::Integer(number) => Some(number as f64),
        ValueRef::Real(number) => Some(number),
        ValueRef::Text(bytes) => std::str::from_utf8(bytes).ok()?.trim().parse().ok(),
        ValueRef::Null | ValueRef::Blob(_) => None,
    }
}

pub(super) fn text_arg<'a>(ctx: &'a Context<'_>, index: usize) -> Option<Cow<'a, str>> {
    match ctx.get_raw(index) {
        ValueRef::Null => None,
        ValueRef::Text(bytes) => Some(String::from_utf8_lossy(bytes)),
        other => Some(Cow::Owned(plain(other))),
    }
}

/// A scalar as SuiteQL prints it.
pub(super) fn plain(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => real(number),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// Fifteen significant digits, so that sums of cents show no binary dust.
fn real(number: f64) -> String {
    let exact = number.to_string();
    if exact.len() <= 16 {
        return exact;
    }
    format!("{number:.14e}").parse::<f64>().unwrap_or(number).to_string()
}

pub(super) fn user_error(message: String) -> rusqlite::Error {
    rusqlite::Error::UserFunctionError(message.into())
}

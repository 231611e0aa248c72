//! Oracle's number masks (`999,990.00`), and the number and text functions that SQLite lacks.

use rusqlite::Connection;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;

use super::functions::{Moment, number_arg, plain, text_arg, user_error};
use crate::format::DateFormat;
use jiff::tz::TimeZone;

type Unary = fn(f64) -> f64;

/// Longest text that padding makes, as in Oracle.
const MAX_PADDED: usize = 4_000;

/// Registers the functions on a connection.
pub(super) fn register(connection: &Connection, zone: &TimeZone, format: &DateFormat) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    let unary: [(&str, Unary); 4] =
        [("ns_ceil", f64::ceil), ("ns_floor", f64::floor), ("ns_sqrt", f64::sqrt), ("ns_sign", sign)];
    for (name, function) in unary {
        connection.create_scalar_function(name, 1, flags, move |ctx| {
            Ok(number_arg(ctx, 0).map(function).filter(|number| number.is_finite()))
        })?;
    }
    connection.create_scalar_function("ns_power", 2, flags, |ctx| {
        let pair = number_arg(ctx, 0).zip(number_arg(ctx, 1));
        Ok(pair.map(|(base, exponent)| base.powf(exponent)).filter(|number| number.is_finite()))
    })?;
    connection.create_scalar_function("ns_lpad", -1, flags, |ctx| pad(ctx, true))?;
    connection.create_scalar_function("ns_rpad", -1, flags, |ctx| pad(ctx, false))?;
    connection.create_scalar_function(
        "ns_initcap",
        1,
        flags,
        |ctx| Ok(text_arg(ctx, 0).map(|text| capitals(&text))),
    )?;
    let (near, own_format) = (zone.clone(), format.clone());
    connection.create_scalar_function("ns_text", 1, flags, move |ctx| {
        let value = ctx.get_raw(0);
        Ok(match value.as_str().ok().and_then(Moment::of) {
            Some(moment) => own_format.render(moment.wall(&near).date()),
            None => plain(value),
        })
    })
}

fn sign(number: f64) -> f64 {
    if number == 0.0 { 0.0 } else { number.signum() }
}

fn pad(ctx: &Context<'_>, left: bool) -> rusqlite::Result<Option<String>> {
    let (Some(text), Some(width)) = (text_arg(ctx, 0), number_arg(ctx, 1)) else { return Ok(None) };
    let width = (width.max(0.0) as usize).min(MAX_PADDED);
    let filler = if ctx.len() > 2 { text_arg(ctx, 2) } else { Some(" ".into()) };
    let Some(filler) = filler.filter(|filler| !filler.is_empty()) else { return Ok(None) };
    let length = text.chars().count();
    if length >= width {
        return Ok(Some(text.chars().take(width).collect()));
    }
    let fill: String = filler.chars().cycle().take(width - length).collect();
    Ok(Some(if left { format!("{fill}{text}") } else { format!("{text}{fill}") }))
}

fn capitals(text: &str) -> String {
    let mut is_start = true;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_start {
            out.extend(c.to_uppercase())
        } else {
            out.extend(c.to_lowercase())
        }
        is_start = !c.is_alphanumeric();
    }
    out
}

/// `TO_CHAR(number, mask)`.
///
/// # Errors
/// A mask with anything but `FM`, `$`, `9`, `0`, commas and one point.
pub(super) fn masked(value: ValueRef<'_>, mask: &str) -> rusqlite::Result<Option<String>> {
    let number = match value {
        ValueRef::Integer(number) => number as f64,
        ValueRef::Real(number) => number,
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes).ok().and_then(|text| text.trim().parse().ok()) {
            Some(number) => number,
            None => return Err(user_error("Invalid number".to_owned())),
        },
        ValueRef::Null | ValueRef::Blob(_) => return Ok(None),
    };
    let upper = mask.to_uppercase();
    let (is_bare, body) = upper.strip_prefix("FM").map_or((false, upper.as_str()), |body| (true, body));
    let (dollar, body) = body.strip_prefix('$').map_or((false, body), |body| (true, body));
    let (whole, part) = body.split_once(['.', 'D']).unwrap_or((body, ""));
    let is_mask = |text: &str, more: &str| text.chars().all(|c| matches!(c, '9' | '0') || more.contains(c));
    if body.is_empty() || !is_mask(whole, ",G") || !is_mask(part, "") || body.len() > 64 {
        return Err(user_error(format!("number format not recognized: {mask}")));
    }
    let rounded = format!("{:.*}", part.len(), number.abs());
    let (digits, decimals) = rounded.split_once('.').unwrap_or((&rounded, ""));
    let width = body.len() + 1 + usize::from(dollar);
    let Some(shown) = whole_part(whole, digits) else { return Ok(Some("#".repeat(width))) };
    let decimals = if is_bare { bare_decimals(part, decimals) } else { decimals };
    let point = if body.contains(['.', 'D']) { "." } else { "" };
    let minus = if number < 0.0 { "-" } else { "" };
    let text = format!("{minus}{}{shown}{point}{decimals}", if dollar { "$" } else { "" });
    Ok(Some(if is_bare { text } else { format!("{text:>width$}") }))
}

/// Digits in the places of the mask; nothing when it has too few.
fn whole_part(mask: &str, digits: &str) -> Option<String> {
    let digits = if digits == "0" { "" } else { digits };
    let places = mask.chars().filter(|c| matches!(c, '9' | '0')).count();
    if digits.len() > places {
        return None;
    }
    let forced = mask.find('0').map_or(0, |at| mask[at..].chars().filter(|c| matches!(c, '9' | '0')).count());
    let count = digits.len().max(forced);
    let padded = format!("{digits:0>count$}");
    let mut rest = padded.chars().rev();
    let mut out = Vec::new();
    for c in mask.chars().rev() {
        match c {
            ',' | 'G' if out.len() < count + out.iter().filter(|c| **c == ',').count() => out.push(','),
            ',' | 'G' => {}
            _ => out.extend(rest.next()),
        }
    }
    while out.last() == Some(&',') {
        out.pop();
    }
    Some(out.into_iter().rev().collect())
}

/// `FM` drops the zeros behind the last digit that the mask does not insist on.
fn bare_decimals<'a>(mask: &str, decimals: &'a str) -> &'a str {
    let kept = mask.rfind('0').map_or(0, |at| at + 1);
    let mut end = decimals.len();
    while end > kept && decimals[..end].ends_with('0') {
        end -= 1;
    }
    &decimals[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_masks_write_as_oracle_does() {
        for (number, mask, text) in [
            (1234.5, "999,990.00", "   1,234.50"),
            (1234.5, "FM999,990.00", "1,234.50"),
            (0.5, "FM990.099", "0.5"),
            (0.5, "FM990.009", "0.50"),
            (7.0, "0000", " 0007"),
            (-7.0, "FM0000", "-0007"),
            (12345.0, "FM99", "###"),
            (12.3, "FM$99.00", "$12.30"),
        ] {
            assert_eq!(masked(ValueRef::Real(number), mask).unwrap().unwrap(), text, "{number} {mask}");
        }
        assert!(masked(ValueRef::Integer(1), "YYYY").is_err());
        assert!(masked(ValueRef::Integer(1), "").is_err());
    }
}

//! Numbers, dates and instants as text, read exactly. Producers type them, adapters spell them and the merge brings
//! them to one form: all through these readers, so that what one accepts the others do.

use jiff::civil::Date;

use crate::Timestamp;

/// Most significant digits of a decimal.
pub const MAX_DIGITS: usize = 28;
/// Largest magnitude of a number that is counted with: ±10^15.
pub const MAX_MAGNITUDE: i128 = 1_000_000_000_000_000;
/// Longest spelling of a number, in bytes; longer ones are padding or malice.
const MAX_SPELLING: usize = 100;
/// Most digits after the point, which keeps arithmetic within 128 bits together with [`MAX_DIGITS`].
const MAX_SCALE: i32 = 60;

/// An exact decimal: `mantissa × 10^-scale`, the mantissa without trailing zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExactDecimal {
    mantissa: i128,
    scale: i32,
}

impl ExactDecimal {
    /// Reads `10.00`, `.5`, `-1.5e3`. `None` for anything else, for more than [`MAX_DIGITS`] significant digits and
    /// for more than that many digits before the point.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > MAX_SPELLING {
            return None;
        }
        let (negative, unsigned) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (number, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, read_exponent(exponent)?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = || whole.bytes().chain(fraction.bytes());
        if digits().next().is_none() || !digits().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let mut mantissa: i128 = 0;
        let mut scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        let mut zeros = 0;
        for digit in digits().map(|byte| i128::from(byte - b'0')) {
            // Trailing zeros wait until a digit follows: "1000…0e-90" has one significant digit.
            if digit == 0 {
                zeros += i32::from(mantissa != 0);
                continue;
            }
            mantissa = mantissa.checked_mul(10_i128.checked_pow(zeros as u32 + 1)?)?.checked_add(digit)?;
            zeros = 0;
        }
        scale -= zeros;
        if mantissa == 0 {
            return Some(Self { mantissa: 0, scale: 0 });
        }
        let significant = mantissa.ilog10() as i32 + 1;
        let fits = significant <= MAX_DIGITS as i32 && significant - scale <= MAX_DIGITS as i32 && scale <= MAX_SCALE;
        fits.then_some(Self { mantissa: if negative { -mantissa } else { mantissa }, scale })
    }

    /// The number when it is whole and within ±10^15.
    pub fn integer(self) -> Option<i64> {
        if self.scale > 0 || !self.countable() {
            return None;
        }
        i64::try_from(self.mantissa * 10_i128.checked_pow(self.scale.unsigned_abs())?).ok()
    }

    /// The number with exactly `scale` digits after the point (at most 12), rounded half to even; `None` outside
    /// ±10^15. Zero has no sign.
    pub fn at_scale(self, scale: u32) -> Option<String> {
        if !self.countable() || scale > 12 {
            return None;
        }
        let surplus = self.scale - scale as i32;
        let units = if surplus <= 0 {
            self.mantissa.checked_mul(10_i128.checked_pow(surplus.unsigned_abs())?)?
        } else {
            round_half_even(self.mantissa, surplus.unsigned_abs())
        };
        let sign = if units < 0 { "-" } else { "" };
        let digits = format!("{:0>width$}", units.unsigned_abs(), width = scale as usize + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
        Some(if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
    }

    fn countable(self) -> bool {
        if self.scale < 0 {
            let factor = 10_i128.checked_pow(self.scale.unsigned_abs());
            factor.and_then(|f| self.mantissa.checked_mul(f)).is_some_and(|value| value.abs() <= MAX_MAGNITUDE)
        } else {
            // With more than 13 digits after the point, 28 digits cannot reach 10^15.
            self.scale > 13 || self.mantissa.abs() <= MAX_MAGNITUDE * 10_i128.pow(self.scale.unsigned_abs())
        }
    }
}

fn read_exponent(text: &str) -> Option<i32> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || digits.len() > 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.strip_prefix('+').unwrap_or(text).parse().ok()
}

/// `mantissa / 10^drop`, half to even.
fn round_half_even(mantissa: i128, drop: u32) -> i128 {
    let Some(divisor) = 10_i128.checked_pow(drop) else { return 0 };
    let (quotient, rest) = (mantissa / divisor, mantissa % divisor);
    let up = match (rest.abs() * 2).cmp(&divisor) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => quotient % 2 != 0,
        std::cmp::Ordering::Greater => true,
    };
    quotient + if up { mantissa.signum() } else { 0 }
}

/// Reads `YYYY-MM-DD`, 0001-01-01 to 9999-12-31, a day the calendar has.
pub fn calendar_date(text: &str) -> Option<Date> {
    let bytes = text.as_bytes();
    let shaped = bytes.len() == 10
        && bytes
            .iter()
            .enumerate()
            .all(|(i, byte)| if i == 4 || i == 7 { *byte == b'-' } else { byte.is_ascii_digit() });
    if !shaped {
        return None;
    }
    let year: i16 = text[..4].parse().ok()?;
    let date = Date::new(year, text[5..7].parse().ok()?, text[8..].parse().ok()?).ok()?;
    (year >= 1).then_some(date)
}

/// Reads an instant in RFC 3339 with an offset (`2026-11-14T13:12:05Z`, `… +00:00`, fractions allowed), year 1 to 9999
/// in UTC. A time without an offset is no instant.
pub fn instant(text: &str) -> Option<Timestamp> {
    /// 0001-01-01T00:00:00Z in seconds since 1970.
    const YEAR_ONE: i64 = -62_135_596_800;
    if text.len() > 40 || !text.starts_with(|c: char| c.is_ascii_digit()) || text.contains('[') {
        return None;
    }
    text.parse::<Timestamp>().ok().filter(|at| at.as_second() >= YEAR_ONE)
}

/// The whole second an instant lies in, which is never after it.
pub fn whole_second(at: Timestamp) -> Timestamp {
    let second = at.as_second() - i64::from(at.subsec_nanosecond() < 0);
    Timestamp::from_second(second).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_and_half_goes_to_even() {
        for (text, scale, expected) in [
            ("10.00", 2, "10.00"),
            ("10", 2, "10.00"),
            ("1e1", 2, "10.00"),
            ("+.5", 1, "0.5"),
            ("5.", 0, "5"),
            ("0.125", 2, "0.12"),
            ("0.135", 2, "0.14"),
            ("-0.125", 2, "-0.12"),
            ("-0.135", 2, "-0.14"),
            ("0.1250000001", 2, "0.13"),
            ("-0.001", 2, "0.00"),
            ("2.5", 0, "2"),
            ("3.5", 0, "4"),
            ("999999999999999.999", 2, "1000000000000000.00"),
            ("1000000000000000", 12, "1000000000000000.000000000000"),
            ("-1E+15", 0, "-1000000000000000"),
            ("1.234567890123456789012345678", 4, "1.2346"),
            ("0.00000000000000000000000000000000000000000000000001", 12, "0.000000000000"),
        ] {
            let read = ExactDecimal::parse(text).unwrap_or_else(|| panic!("{text} is a decimal"));
            assert_eq!(read.at_scale(scale).as_deref(), Some(expected), "{text} at {scale}");
        }
    }

    #[test]
    fn absurd_numbers_are_refused() {
        for text in [
            "",
            "-",
            ".",
            "e5",
            "1e",
            "1e99999",
            "1e29",
            "1e400",
            "1e-400",
            "0x10",
            "1,000",
            "5%",
            " 1",
            "1 ",
            "NaN",
            "inf",
            "--1",
            "1.2.3",
            "1.23456789012345678901234567891",
            "12345678901234567890123456789",
            "١",
        ] {
            assert_eq!(ExactDecimal::parse(text), None, "{text}");
        }
        assert_eq!(ExactDecimal::parse("1000000000000000.1").unwrap().at_scale(2), None, "beyond 10^15");
        assert_eq!(ExactDecimal::parse("2e15").unwrap().integer(), None, "beyond 10^15");
        assert_eq!(ExactDecimal::parse("1.5").unwrap().integer(), None, "not whole");
    }

    #[test]
    fn dates_are_days_the_calendar_has() {
        for good in ["0001-01-01", "9999-12-31", "2024-02-29"] {
            assert!(calendar_date(good).is_some(), "{good}");
        }
        for bad in [
            "0000-01-01",
            "2023-02-29",
            "2024-13-01",
            "1/2/2024",
            "2024-1-02",
            "+002024-01-01",
            "20240101",
            "2024-01-01T",
        ] {
            assert_eq!(calendar_date(bad), None, "{bad}");
        }
    }

    #[test]
    fn instants_have_an_offset() {
        for good in ["2026-11-14T13:12:05Z", "2026-11-14T13:12:05.123456+00:00", "2026-11-14 05:12:05-08:00"] {
            assert!(instant(good).is_some(), "{good}");
        }
        for bad in [
            "2026-11-14T13:12:05",
            "2026-11-14",
            "0000-12-31T23:59:59Z",
            "-000001-01-01T00:00:00Z",
            "now",
            "1763125925",
        ] {
            assert_eq!(instant(bad), None, "{bad}");
        }
        let before_1970 = instant("1969-12-31T23:59:58.5Z").unwrap();
        assert_eq!(whole_second(before_1970).to_string(), "1969-12-31T23:59:58Z");
    }
}

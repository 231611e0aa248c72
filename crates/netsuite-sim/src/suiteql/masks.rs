//! Oracle's date masks (`YYYY-MM-DD"T"HH24:MI:SS`), to write and to read wall-clock times.

use jiff::civil::{Date, DateTime, Time, Weekday};

use crate::format::MONTHS;

/// A compiled mask.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mask {
    pieces: Vec<Piece>,
    /// `FM`: no padding.
    bare: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Literal(String),
    Element(Element),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Element {
    Year4,
    Year2,
    Quarter,
    MonthNumber,
    MonthShort,
    MonthFull,
    WeekOfYear,
    IsoWeek,
    IsoYear,
    DayOfYear,
    DayOfMonth,
    DayOfWeek,
    DayShort,
    DayFull,
    Hour24,
    Hour12,
    Minute,
    Second,
    SecondOfDay,
    Fraction(usize),
    Meridian,
}

/// Longest spelling first, so that `MONTH` is not read as `MON`.
const ELEMENTS: [(&str, Element); 32] = [
    ("SSSSS", Element::SecondOfDay),
    ("MONTH", Element::MonthFull),
    ("YYYY", Element::Year4),
    ("RRRR", Element::Year4),
    ("IYYY", Element::IsoYear),
    ("HH24", Element::Hour24),
    ("HH12", Element::Hour12),
    ("A.M.", Element::Meridian),
    ("P.M.", Element::Meridian),
    ("MON", Element::MonthShort),
    ("DDD", Element::DayOfYear),
    ("DAY", Element::DayFull),
    ("FF1", Element::Fraction(1)),
    ("FF2", Element::Fraction(2)),
    ("FF3", Element::Fraction(3)),
    ("FF4", Element::Fraction(4)),
    ("FF5", Element::Fraction(5)),
    ("FF6", Element::Fraction(6)),
    ("FF", Element::Fraction(6)),
    ("YY", Element::Year2),
    ("RR", Element::Year2),
    ("MM", Element::MonthNumber),
    ("MI", Element::Minute),
    ("DD", Element::DayOfMonth),
    ("DY", Element::DayShort),
    ("HH", Element::Hour12),
    ("SS", Element::Second),
    ("WW", Element::WeekOfYear),
    ("IW", Element::IsoWeek),
    ("AM", Element::Meridian),
    ("PM", Element::Meridian),
    ("Q", Element::Quarter),
];

const LONG_MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

impl Mask {
    /// Compiles a mask.
    ///
    /// # Errors
    /// The element that no mask has.
    pub(super) fn compile(text: &str) -> Result<Self, String> {
        let mut mask = Self { pieces: Vec::new(), bare: false };
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if let Some(quoted) = rest.strip_prefix('"') {
                let end = quoted.find('"').ok_or_else(|| text.to_owned())?;
                mask.pieces.push(Piece::Literal(quoted[..end].to_owned()));
                rest = &quoted[end + 1..];
            } else if starts_with(rest, "FM") {
                mask.bare = true;
                rest = &rest[2..];
            } else if let Some((name, element)) = ELEMENTS.iter().find(|(name, _)| starts_with(rest, name)) {
                mask.pieces.push(Piece::Element(*element));
                rest = &rest[name.len()..];
            } else if first.eq_ignore_ascii_case(&'D') {
                mask.pieces.push(Piece::Element(Element::DayOfWeek));
                rest = &rest[1..];
            } else if first.is_alphanumeric() {
                return Err(text.to_owned());
            } else {
                mask.pieces.push(Piece::Literal(first.to_string()));
                rest = &rest[first.len_utf8()..];
            }
        }
        Ok(mask)
    }

    /// Writes a wall-clock time.
    pub(super) fn format(&self, at: DateTime) -> String {
        let mut text = String::with_capacity(24);
        for piece in &self.pieces {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Element(element) => self.write(*element, at, &mut text),
            }
        }
        text
    }

    fn write(&self, element: Element, at: DateTime, out: &mut String) {
        let date = at.date();
        let hour12 = if at.hour() % 12 == 0 { 12 } else { at.hour() % 12 };
        let (number, width) = match element {
            Element::Year4 => (i32::from(at.year()), 4),
            Element::Year2 => (i32::from(at.year()).rem_euclid(100), 2),
            Element::Quarter => (i32::from((at.month() - 1) / 3 + 1), 1),
            Element::MonthNumber => (at.month().into(), 2),
            Element::WeekOfYear => (i32::from((date.day_of_year() - 1) / 7 + 1), 2),
            Element::IsoWeek => (date.iso_week_date().week().into(), 2),
            Element::IsoYear => (date.iso_week_date().year().into(), 4),
            Element::DayOfYear => (date.day_of_year().into(), 3),
            Element::DayOfMonth => (at.day().into(), 2),
            Element::DayOfWeek => (date.weekday().to_sunday_one_offset().into(), 1),
            Element::Hour24 => (at.hour().into(), 2),
            Element::Hour12 => (hour12.into(), 2),
            Element::Minute => (at.minute().into(), 2),
            Element::Second => (at.second().into(), 2),
            Element::SecondOfDay => {
                (i32::from(at.hour()) * 3600 + i32::from(at.minute()) * 60 + i32::from(at.second()), 5)
            }
            Element::MonthShort
            | Element::MonthFull
            | Element::DayShort
            | Element::DayFull
            | Element::Fraction(_)
            | Element::Meridian => return self.write_word(element, at, out),
        };
        push_number(number, if self.bare { 1 } else { width }, out);
    }

    fn write_word(&self, element: Element, at: DateTime, out: &mut String) {
        let month = usize::try_from(at.month() - 1).unwrap_or(0);
        let day = day_name(at.date().weekday());
        let padded = |word: &str| if self.bare { word.to_owned() } else { format!("{word:<9}") };
        match element {
            Element::MonthShort => out.push_str(&MONTHS[month].to_uppercase()),
            Element::MonthFull => out.push_str(&padded(&LONG_MONTHS[month].to_uppercase())),
            Element::DayShort => out.push_str(&day[..3]),
            Element::DayFull => out.push_str(&padded(day)),
            Element::Fraction(digits) => out.extend(std::iter::repeat_n('0', digits)),
            _ => out.push_str(if at.hour() < 12 { "AM" } else { "PM" }),
        }
    }

    /// Reads a wall-clock time; parts the mask does not name are the first of their kind. Fractions are cut off.
    pub(super) fn parse(&self, text: &str) -> Option<DateTime> {
        let mut rest = text.trim();
        let mut parts = Parts { year: 1970, month: 1, day: 1, hour: 0, minute: 0, second: 0, afternoon: None };
        for piece in &self.pieces {
            match piece {
                Piece::Literal(literal) => {
                    // Oracle lets punctuation stand for other punctuation, and be left out at the end.
                    let marks = rest.chars().take_while(|c| !c.is_alphanumeric()).map(char::len_utf8).sum();
                    rest = match rest.strip_prefix(literal.as_str()) {
                        Some(after) => after,
                        None if rest.is_empty() => return parts.date_time(),
                        None if literal.chars().all(|c| !c.is_alphanumeric()) && marks > 0 => &rest[marks..],
                        None => return None,
                    };
                }
                Piece::Element(_) if rest.is_empty() => return parts.date_time(),
                Piece::Element(element) => rest = parts.take(*element, rest)?,
            }
        }
        if rest.is_empty() { parts.date_time() } else { None }
    }
}

/// A number with leading zeros; no negative ones come here but years before Christ, which NetSuite does not have.
fn push_number(number: i32, width: usize, out: &mut String) {
    let mut digits = [b'0'; 10];
    let (mut rest, mut at) = (number.unsigned_abs(), digits.len());
    while rest > 0 {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let from = at.min(digits.len() - width.clamp(1, digits.len()));
    out.extend(digits[from..].iter().map(|digit| char::from(*digit)));
}

struct Parts {
    year: i16,
    month: i8,
    day: i8,
    hour: i8,
    minute: i8,
    second: i8,
    afternoon: Option<bool>,
}

impl Parts {
    fn take<'a>(&mut self, element: Element, rest: &'a str) -> Option<&'a str> {
        let number = |width: usize| {
            let end = rest.chars().take(width).take_while(char::is_ascii_digit).count();
            Some((rest.get(..end)?.parse::<i32>().ok()?, &rest[end..]))
        };
        match element {
            Element::Year4 => {
                let (year, after) = number(4)?;
                self.year = i16::try_from(year).ok()?;
                Some(after)
            }
            Element::Year2 => {
                let (year, after) = number(2)?;
                self.year = i16::try_from(if year < 50 { 2000 + year } else { 1900 + year }).ok()?;
                Some(after)
            }
            Element::MonthNumber => small(number(2)?, &mut self.month),
            Element::DayOfMonth => small(number(2)?, &mut self.day),
            Element::Hour24 | Element::Hour12 => small(number(2)?, &mut self.hour),
            Element::Minute => small(number(2)?, &mut self.minute),
            Element::Second => small(number(2)?, &mut self.second),
            Element::Fraction(digits) => Some(number(digits.max(9))?.1),
            Element::MonthShort | Element::MonthFull => {
                let long = LONG_MONTHS.iter().position(|name| starts_with(rest, name));
                let short = MONTHS.iter().position(|name| starts_with(rest, name));
                let index = long.or(short)?;
                let width = if long.is_some() { LONG_MONTHS[index].len() } else { MONTHS[index].len() };
                self.month = i8::try_from(index + 1).ok()?;
                Some(&rest[width..])
            }
            Element::Meridian => {
                self.afternoon = Some(starts_with(rest, "P"));
                let width = if rest.get(1..2) == Some(".") { 4 } else { 2 };
                rest.get(width..)
            }
            Element::Quarter
            | Element::WeekOfYear
            | Element::IsoWeek
            | Element::IsoYear
            | Element::DayOfYear
            | Element::DayOfWeek
            | Element::DayShort
            | Element::DayFull
            | Element::SecondOfDay => None,
        }
    }

    fn date_time(&self) -> Option<DateTime> {
        let hour = match self.afternoon {
            Some(afternoon) => self.hour % 12 + if afternoon { 12 } else { 0 },
            None => self.hour,
        };
        let date = Date::new(self.year, self.month, self.day).ok()?;
        Some(date.to_datetime(Time::new(hour, self.minute, self.second, 0).ok()?))
    }
}

fn small<'a>((number, after): (i32, &'a str), into: &mut i8) -> Option<&'a str> {
    *into = i8::try_from(number).ok()?;
    Some(after)
}

fn starts_with(text: &str, word: &str) -> bool {
    text.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word))
}

fn day_name(day: Weekday) -> &'static str {
    match day {
        Weekday::Monday => "MONDAY",
        Weekday::Tuesday => "TUESDAY",
        Weekday::Wednesday => "WEDNESDAY",
        Weekday::Thursday => "THURSDAY",
        Weekday::Friday => "FRIDAY",
        Weekday::Saturday => "SATURDAY",
        Weekday::Sunday => "SUNDAY",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_write_and_read() {
        let at: DateTime = "2026-03-02T15:04:05".parse().unwrap();
        for (mask, text) in [
            ("YYYY-MM-DD HH24:MI:SS", "2026-03-02 15:04:05"),
            ("YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"", "2026-03-02T15:04:05Z"),
            ("MM/DD/YYYY HH:MI:SS AM", "03/02/2026 03:04:05 PM"),
            ("DD-MON-YYYY HH24:MI:SS", "02-MAR-2026 15:04:05"),
            ("yyyy-mm-dd hh24:mi:ss", "2026-03-02 15:04:05"),
        ] {
            let mask = Mask::compile(mask).unwrap();
            assert_eq!(mask.format(at), text);
            assert_eq!(mask.parse(text), Some(at));
        }
        assert_eq!(Mask::compile("FMMM/DD/YYYY").unwrap().format(at), "3/2/2026");
        let date = Mask::compile("YYYY-MM-DD").unwrap();
        assert_eq!(date.parse("2026-03-02").unwrap().to_string(), "2026-03-02T00:00:00");
        assert_eq!(date.parse("2026-13-02"), None);
        assert_eq!(date.parse("2026-03-02 10:00"), None);
        assert!(Mask::compile("YYYY-XX").is_err());
    }
}

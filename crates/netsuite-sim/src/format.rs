//! The account's date format preference, in which bare SuiteQL dates are read and shown.

use jiff::civil::Date;

/// A date format preference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DateFormat {
    name: String,
    parts: [Part; 3],
    separator: char,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Day { padded: bool },
    Month { padded: bool },
    MonthName,
    Year,
}

pub(crate) const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl DateFormat {
    /// The preference of that name, when NetSuite offers it.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let separator = name.chars().find(|c| !c.is_ascii_alphabetic())?;
        let mut parts = name.split(separator).map(|word| match word {
            "D" => Some(Part::Day { padded: false }),
            "DD" => Some(Part::Day { padded: true }),
            "M" => Some(Part::Month { padded: false }),
            "MM" => Some(Part::Month { padded: true }),
            "Mon" | "MON" => Some(Part::MonthName),
            "YYYY" => Some(Part::Year),
            _ => None,
        });
        let parts = [parts.next()??, parts.next()??, parts.next()??];
        let has = |wanted: fn(&Part) -> bool| parts.iter().filter(|part| wanted(part)).count() == 1;
        let complete = has(|p| matches!(p, Part::Day { .. }))
            && has(|p| matches!(p, Part::Month { .. } | Part::MonthName))
            && has(|p| matches!(p, Part::Year));
        complete.then(|| Self { name: name.to_owned(), parts, separator })
    }

    /// The preference's name, e.g. `M/D/YYYY`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The date as a user of the account sees it.
    pub(crate) fn render(&self, date: Date) -> String {
        let mut text = String::with_capacity(12);
        for (index, part) in self.parts.iter().enumerate() {
            if index > 0 {
                text.push(self.separator);
            }
            let month = usize::try_from(date.month() - 1).unwrap_or(0);
            text.push_str(&match part {
                Part::Day { padded: true } => format!("{:02}", date.day()),
                Part::Day { padded: false } => date.day().to_string(),
                Part::Month { padded: true } => format!("{:02}", date.month()),
                Part::Month { padded: false } => date.month().to_string(),
                Part::MonthName => MONTHS[month].to_owned(),
                Part::Year => format!("{:04}", date.year()),
            });
        }
        text
    }

    /// Reads a date written in the preference; padding is optional.
    pub(crate) fn parse(&self, text: &str) -> Option<Date> {
        let words: Vec<&str> = text.trim().split(self.separator).collect();
        let [first, second, third] = words.as_slice() else { return None };
        let (mut year, mut month, mut day) = (None, None, None);
        for (part, word) in self.parts.iter().zip([first, second, third]) {
            match part {
                Part::Day { .. } => day = word.parse::<i8>().ok(),
                Part::Month { .. } => month = word.parse::<i8>().ok(),
                Part::MonthName => {
                    let index = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(word))?;
                    month = i8::try_from(index + 1).ok();
                }
                Part::Year if word.len() == 4 => year = word.parse::<i16>().ok(),
                Part::Year => return None,
            }
        }
        Date::new(year?, month?, day?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_survive_every_preference() {
        let date: Date = "2026-03-02".parse().unwrap();
        for (name, text) in [
            ("M/D/YYYY", "3/2/2026"),
            ("DD/MM/YYYY", "02/03/2026"),
            ("D-Mon-YYYY", "2-Mar-2026"),
            ("YYYY-MM-DD", "2026-03-02"),
        ] {
            let format = DateFormat::named(name).unwrap();
            assert_eq!(format.render(date), text, "{name}");
            assert_eq!(format.parse(text), Some(date), "{name}");
        }
        assert_eq!(DateFormat::named("M/M/YYYY"), None);
        assert_eq!(DateFormat::named("M/D/YYYY").unwrap().parse("2026-03-02"), None);
    }
}

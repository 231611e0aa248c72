//! One column or field, written as `name kind flags | label`.

/// How a field's value is written, stored and compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Free text up to so many characters, trimmed at both ends.
    Text(usize),
    /// A checkbox; empty is false.
    Bool,
    /// A whole number of at most fifteen digits.
    Integer,
    /// A number rounded to so many decimals.
    Decimal(u32),
    /// A day without time or zone.
    Date,
    /// A moment, to the second.
    Moment,
    /// The internal id of a row in that table.
    Reference(&'static str),
    /// A set of option ids.
    MultiSelect,
}

/// One body or line field, which is a column too.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    /// SuiteQL name, which is the column's name too.
    pub(crate) name: &'static str,
    /// Name in record JSON.
    pub(crate) rest: &'static str,
    /// Label in refusals ("Please enter value(s) for: …").
    pub(crate) label: &'static str,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
    /// Kept by NetSuite itself; nobody may set it.
    pub(crate) read_only: bool,
    pub(crate) unique: bool,
    /// The column never is empty.
    pub(crate) not_null: bool,
    pub(crate) default: Option<&'static str>,
    /// The feature without which the field is not there.
    pub(crate) feature: Option<&'static str>,
    /// The list that says what its codes mean.
    pub(crate) codes: Option<&'static str>,
    /// Whether SuiteQL knows it; `balance` and its like are for record REST alone.
    pub(crate) in_suiteql: bool,
    /// Whether record REST knows it.
    pub(crate) in_rest: bool,
}

pub(crate) const LONG_TEXT: usize = 100_000;

impl Field {
    /// Reads a line of the catalogue; the texts stay for the life of the process.
    ///
    /// # Errors
    /// Names the word that is not understood.
    pub(super) fn parse(line: &str) -> Result<Self, String> {
        let (head, label) = line.split_once('|').map_or((line, None), |(head, label)| (head, Some(label.trim())));
        let mut words = head.split_whitespace();
        let (Some(name), Some(kind)) = (words.next(), words.next()) else {
            return Err(format!("`{line}` has no name and kind"));
        };
        let mut field = Self {
            name: leaked(name.to_lowercase()),
            rest: leaked(name.to_owned()),
            label: leaked(label.map_or_else(|| spoken(name), str::to_owned)),
            kind: parse_kind(kind)?,
            required: false,
            read_only: false,
            unique: false,
            not_null: false,
            default: None,
            feature: None,
            codes: None,
            in_suiteql: true,
            in_rest: true,
        };
        for word in words {
            match word.split_once('=') {
                None if word == "required" => field.required = true,
                None if word == "readonly" => field.read_only = true,
                None if word == "unique" => field.unique = true,
                None if word == "notnull" => field.not_null = true,
                None if word == "sqlonly" => field.in_rest = false,
                None if word == "restonly" => field.in_suiteql = false,
                Some(("default", value)) => field.default = Some(leaked(value.to_owned())),
                Some(("feature", value)) => field.feature = Some(leaked(value.to_owned())),
                Some(("codes", value)) => field.codes = Some(leaked(value.to_owned())),
                Some(("rest", value)) => field.rest = leaked(value.to_owned()),
                _ => return Err(format!("`{word}` in `{line}` is no flag")),
            }
        }
        Ok(field)
    }

    /// Whether the column holds dates or moments, which SuiteQL treats alike.
    pub(crate) fn is_date(&self) -> bool {
        matches!(self.kind, Kind::Date | Kind::Moment)
    }
}

fn parse_kind(word: &str) -> Result<Kind, String> {
    let (name, argument) = match word.split_once('(') {
        Some((name, rest)) => (name, rest.strip_suffix(')').ok_or_else(|| format!("`{word}` is not closed"))?),
        None => (word, ""),
    };
    let number = || argument.parse::<u32>().map_err(|_| format!("`{word}` needs a number"));
    Ok(match name {
        "text" => Kind::Text(number()? as usize),
        "long" => Kind::Text(LONG_TEXT),
        "bool" => Kind::Bool,
        "int" => Kind::Integer,
        "dec" => Kind::Decimal(number()?),
        "date" => Kind::Date,
        "moment" => Kind::Moment,
        "set" => Kind::MultiSelect,
        "ref" if !argument.is_empty() => Kind::Reference(leaked(argument.to_owned())),
        _ => return Err(format!("`{word}` is no kind")),
    })
}

/// `creditLimit` as `Credit Limit`.
fn spoken(name: &str) -> String {
    let mut label = String::new();
    for (index, c) in name.chars().enumerate() {
        match c {
            c if index == 0 => label.extend(c.to_uppercase()),
            c if c.is_uppercase() => {
                label.push(' ');
                label.push(c);
            }
            c => label.push(c),
        }
    }
    label
}

/// The catalogue is read once and lives as long as the process.
pub(super) fn leaked(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_it_all() {
        let field = Field::parse("creditLimit dec(2) feature=oneworld readonly | Limit of Credit").unwrap();
        assert_eq!((field.name, field.rest, field.label), ("creditlimit", "creditLimit", "Limit of Credit"));
        assert_eq!((field.kind, field.feature, field.read_only), (Kind::Decimal(2), Some("oneworld"), true));
        assert_eq!(Field::parse("isInactive bool").unwrap().label, "Is Inactive");
        for bad in ["name", "name txt(3)", "name text", "name text(3", "name text(3) shiny", "name ref()"] {
            assert!(Field::parse(bad).is_err(), "{bad}");
        }
    }
}

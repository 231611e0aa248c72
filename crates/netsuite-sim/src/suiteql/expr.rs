//! Expressions: functions by their Oracle names, date arithmetic, and everything SQLite would read otherwise.

use super::QueryError;
use super::rewrite::Rewriter;
use super::token::Node;

const MAX_IN_ITEMS: usize = 1_000;

/// Words that stand between operands.
const KEYWORDS: [&str; 36] = [
    "AND",
    "OR",
    "NOT",
    "IN",
    "IS",
    "NULL",
    "LIKE",
    "ESCAPE",
    "BETWEEN",
    "EXISTS",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "DISTINCT",
    "ALL",
    "ANY",
    "AS",
    "ASC",
    "DESC",
    "NULLS",
    "FIRST",
    "LAST",
    "OVER",
    "PARTITION",
    "BY",
    "ORDER",
    "ROWS",
    "RANGE",
    "UNBOUNDED",
    "PRECEDING",
    "FOLLOWING",
    "CURRENT",
    "ROW",
    "UNIQUE",
];

/// Functions that mean the same in SQLite.
const SAME: [&str; 27] = [
    "ABS",
    "AVG",
    "COALESCE",
    "CONCAT",
    "COUNT",
    "DENSE_RANK",
    "FIRST_VALUE",
    "INSTR",
    "LAG",
    "LAST_VALUE",
    "LEAD",
    "LENGTH",
    "LOWER",
    "LTRIM",
    "MAX",
    "MIN",
    "NTILE",
    "NULLIF",
    "RANK",
    "REPLACE",
    "ROUND",
    "ROW_NUMBER",
    "RTRIM",
    "SUBSTR",
    "SUM",
    "TRIM",
    "UPPER",
];

/// Functions that go by another name in SQLite.
const RENAMED: [(&str, &str); 17] = [
    ("CEIL", "ns_ceil"),
    ("FLOOR", "ns_floor"),
    ("INITCAP", "ns_initcap"),
    ("LPAD", "ns_lpad"),
    ("MONTHS_BETWEEN", "ns_months_between"),
    ("POWER", "ns_power"),
    ("RPAD", "ns_rpad"),
    ("SIGN", "ns_sign"),
    ("SQRT", "ns_sqrt"),
    ("TO_CLOB", "ns_text"),
    ("NVL", "IFNULL"),
    ("GREATEST", "MAX"),
    ("LEAST", "MIN"),
    ("MOD", "ns_mod"),
    ("TO_NUMBER", "ns_number"),
    ("TO_CHAR", "ns_to_char"),
    ("TRUNC", "ns_trunc"),
];

/// Functions whose value is always a date.
const DATES: [(&str, &str); 5] = [
    ("LAST_DAY", "ns_last_day"),
    ("TO_DATE", "ns_to_date"),
    ("TO_TIMESTAMP", "ns_to_date"),
    ("SYS_EXTRACT_UTC", "ns_utc"),
    ("ADD_MONTHS", "ns_add_months"),
];

/// Functions that give a date when their first argument is one.
const DATE_IF_FIRST: [&str; 10] =
    ["NVL", "COALESCE", "GREATEST", "LEAST", "MAX", "MIN", "TRUNC", "NULLIF", "LAG", "LEAD"];

/// Text of an operand, and whether it is a date.
pub(super) struct Operand {
    pub(super) text: String,
    pub(super) is_date: bool,
}

impl Operand {
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_date: false }
    }

    /// A date compares as dates do, wherever it came from.
    pub(super) fn date(text: &str) -> Self {
        Self { text: format!("({text} COLLATE NS)"), is_date: true }
    }
}

impl Rewriter<'_> {
    /// An expression, or several with commas between.
    pub(super) fn expression(&mut self, nodes: &[Node]) -> Result<String, QueryError> {
        Ok(self.typed(nodes)?.0)
    }

    /// An expression, and whether it is a single date.
    pub(super) fn typed(&mut self, nodes: &[Node]) -> Result<(String, bool), QueryError> {
        let mut out = String::new();
        let mut rest = nodes;
        let mut is_date = false;
        let mut operands = 0;
        while let Some(first) = rest.first() {
            let (text, used, date) = match first {
                Node::Comma => (", ".to_owned(), 1, false),
                Node::Op("/") => (" * 1.0 / ".to_owned(), 1, false),
                Node::Op("^=") => (" <> ".to_owned(), 1, false),
                Node::Op(operator) => (format!(" {operator} "), 1, false),
                Node::Word(word) if is_keyword(word) => self.keyword(word, rest)?,
                _ => {
                    operands += 1;
                    let (operand, used) = self.dated(rest)?;
                    let joined = out.ends_with("|| ") || rest.get(used) == Some(&Node::Op("||"));
                    // Oracle joins nothing as an empty text, and a date as the user sees it.
                    let text = if joined { format!("ns_text({})", operand.text) } else { operand.text };
                    (text, used, operand.is_date && !joined)
                }
            };
            is_date = date;
            if !out.is_empty() && !out.ends_with(' ') && !text.starts_with([' ', ',']) {
                out.push(' ');
            }
            out.push_str(&text);
            rest = &rest[used..];
        }
        Ok((out, is_date && operands == 1))
    }

    fn keyword(&mut self, word: &str, rest: &[Node]) -> Result<(String, usize, bool), QueryError> {
        let upper = word.to_uppercase();
        if upper == "IN"
            && let Some(Node::Group(list)) = rest.get(1)
        {
            let items = list.iter().filter(|node| **node == Node::Comma).count() + 1;
            if items > MAX_IN_ITEMS {
                return Err(QueryError::Unsupported);
            }
            return Ok((format!("IN {}", self.group(list)?.text), 2, false));
        }
        Ok((upper, 1, false))
    }

    /// An operand with the days added to or taken from it, when it is a date.
    fn dated(&mut self, nodes: &[Node]) -> Result<(Operand, usize), QueryError> {
        let (mut left, mut used) = self.operand(nodes)?;
        while left.is_date
            && let Some(Node::Op(sign @ ("+" | "-"))) = nodes.get(used)
        {
            let (right, more) = self.operand(&nodes[used + 1..])?;
            used += 1 + more;
            left = match (*sign, right.is_date) {
                ("-", true) => Operand::plain(format!("ns_days({}, {})", left.text, right.text)),
                (_, true) => return Err(QueryError::Unsupported),
                (sign, false) => Operand::date(&format!("ns_shift({}, {sign}({}))", left.text, right.text)),
            };
        }
        Ok((left, used))
    }

    fn operand(&mut self, nodes: &[Node]) -> Result<(Operand, usize), QueryError> {
        match nodes {
            // To Oracle an empty text is no value at all.
            [Node::Text(text), ..] if text.is_empty() => Ok((Operand::plain("NULL"), 1)),
            [Node::Text(text), ..] => Ok((Operand::plain(quoted_text(text)), 1)),
            [Node::Number(number), ..] => Ok((Operand::plain(number.as_str()), 1)),
            [Node::Param(index), ..] => Ok((Operand::plain(format!("?{index}")), 1)),
            [Node::Group(inner), ..] => Ok((self.group(inner)?, 1)),
            [Node::Word(package), Node::Dot, Node::Word(name), Node::Group(arguments), ..]
                if package.eq_ignore_ascii_case("BUILTIN") =>
            {
                match name.to_uppercase().as_str() {
                    "DF" => Ok((self.display(arguments)?, 4)),
                    "CF" => Ok((Operand::plain(self.expression(arguments)?), 4)),
                    _ => Err(QueryError::Unsupported),
                }
            }
            [Node::Word(name), Node::Group(arguments), rest @ ..] => self.function(name, arguments, rest),
            [Node::Word(_) | Node::Quoted(_), ..] => self.name(nodes),
            _ => Err(QueryError::syntax("an operand")),
        }
    }

    /// What stands between parentheses, parentheses included.
    fn group(&mut self, inner: &[Node]) -> Result<Operand, QueryError> {
        if matches!(inner, [Node::Op("+")]) {
            return Err(QueryError::Unsupported);
        }
        if inner.first().is_some_and(|node| node.is_any(&["SELECT", "WITH"])) {
            return Ok(Operand::plain(format!("({})", self.query(inner)?)));
        }
        let (text, is_date) = self.typed(inner)?;
        if is_date { Ok(Operand::date(&text)) } else { Ok(Operand::plain(format!("({text})"))) }
    }

    fn function(&mut self, name: &str, arguments: &[Node], rest: &[Node]) -> Result<(Operand, usize), QueryError> {
        let upper = name.to_uppercase();
        match (upper.as_str(), arguments) {
            ("LISTAGG", _) => return self.list_aggregate(arguments, rest),
            ("CAST", _) => return self.cast(arguments),
            ("EXTRACT", [Node::Word(part), from, date @ ..]) if from.is("FROM") => {
                let date = self.expression(date)?;
                return Ok((Operand::plain(format!("ns_extract({}, {date})", quoted_text(&part.to_uppercase()))), 2));
            }
            _ => {}
        }
        let list = split(arguments);
        let mut texts = Vec::with_capacity(list.len());
        let mut first_is_date = false;
        for (index, argument) in list.iter().enumerate() {
            let (text, is_date) = self.typed(argument)?;
            first_is_date |= index == 0 && is_date;
            texts.push(text);
        }
        let joined = texts.join(", ");
        if let Some((_, own)) = DATES.iter().find(|(oracle, _)| *oracle == upper) {
            return Ok((Operand::date(&format!("{own}({joined})")), 2));
        }
        let text = match upper.as_str() {
            "NVL2" if texts.len() == 3 => {
                format!("(CASE WHEN {} IS NOT NULL THEN {} ELSE {} END)", texts[0], texts[1], texts[2])
            }
            "DECODE" if texts.len() >= 3 => decode(&texts),
            "REPLACE" if texts.len() == 2 => format!("REPLACE({joined}, '')"),
            "REPLACE" if texts.len() == 3 => format!("REPLACE({}, {}, IFNULL({}, ''))", texts[0], texts[1], texts[2]),
            _ => {
                let renamed = RENAMED.iter().find(|(oracle, _)| *oracle == upper).map(|(_, own)| *own);
                let same = SAME.iter().find(|same| **same == upper).copied();
                let own = renamed.or(same).ok_or(QueryError::Unsupported)?;
                format!("{own}({joined})")
            }
        };
        if first_is_date && DATE_IF_FIRST.contains(&upper.as_str()) && !rest.first().is_some_and(|node| node.is("OVER"))
        {
            return Ok((Operand::date(&text), 2));
        }
        Ok((Operand::plain(text), 2))
    }

    /// `CAST(x AS type)`.
    fn cast(&mut self, arguments: &[Node]) -> Result<(Operand, usize), QueryError> {
        let at = arguments.iter().position(|node| node.is("AS")).ok_or_else(|| QueryError::syntax("CAST"))?;
        let text = self.expression(&arguments[..at])?;
        let Some(Node::Word(kind)) = arguments.get(at + 1) else { return Err(QueryError::syntax("CAST")) };
        Ok((
            match kind.to_uppercase().as_str() {
                "CHAR" | "VARCHAR" | "VARCHAR2" | "NVARCHAR2" | "CLOB" => Operand::plain(format!("ns_text({text})")),
                "INTEGER" | "INT" | "SMALLINT" => Operand::plain(format!("CAST(ROUND({text}) AS INTEGER)")),
                "NUMBER" | "NUMERIC" | "DECIMAL" | "FLOAT" => Operand::plain(format!("ns_number({text})")),
                "DATE" | "TIMESTAMP" => Operand::date(&format!("ns_to_date({text})")),
                _ => return Err(QueryError::Unsupported),
            },
            2,
        ))
    }

    /// `LISTAGG(x, ', ') WITHIN GROUP (ORDER BY y)`.
    fn list_aggregate(&mut self, arguments: &[Node], rest: &[Node]) -> Result<(Operand, usize), QueryError> {
        let list = self.expression(arguments)?;
        match rest {
            [within, group, Node::Group(order), ..] if within.is("WITHIN") && group.is("GROUP") => {
                let order = self.expression(order)?;
                Ok((Operand::plain(format!("GROUP_CONCAT({list} {order})")), 5))
            }
            _ => Err(QueryError::Unsupported),
        }
    }
}

/// Whether a word stands between operands rather than being one.
pub(super) fn is_keyword(word: &str) -> bool {
    KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(word))
}

/// The parts of a list, at its own level.
pub(super) fn split(nodes: &[Node]) -> Vec<&[Node]> {
    if nodes.is_empty() { Vec::new() } else { nodes.split(|node| *node == Node::Comma).collect() }
}

/// A name that SQLite reads as a name, whatever it is.
pub(super) fn quoted_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub(super) fn quoted_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn decode(texts: &[String]) -> String {
    let mut text = "(CASE".to_owned();
    let pairs = texts[1..].chunks_exact(2);
    let default = pairs.remainder().first();
    for pair in pairs {
        // DECODE takes two nulls for equal.
        text.push_str(&format!(" WHEN {} IS {} THEN {}", texts[0], pair[0], pair[1]));
    }
    if let Some(default) = default {
        text.push_str(&format!(" ELSE {default}"));
    }
    text.push_str(" END)");
    text
}

//! Names in expressions: columns, the words that stand for a value, and what users see for references and codes.

use super::QueryError;
use super::catalog::Shown;
use super::expr::{Operand, quoted_name, quoted_text};
use super::rewrite::Rewriter;
use super::token::Node;
use crate::catalog::catalog;

const NOW: [&str; 4] = ["SYSDATE", "SYSTIMESTAMP", "CURRENT_DATE", "CURRENT_TIMESTAMP"];

impl Rewriter<'_> {
    /// A column, or one of the words that stand for a value.
    pub(super) fn name(&mut self, nodes: &[Node]) -> Result<(Operand, usize), QueryError> {
        if let [Node::Word(word), rest @ ..] = nodes
            && !matches!(rest.first(), Some(Node::Dot))
        {
            if NOW.iter().any(|now| now.eq_ignore_ascii_case(word)) {
                return Ok((Operand::date("ns_now()"), 1));
            }
            let is_literal = matches!(rest.first(), Some(Node::Text(_)));
            let is_marker = ["DATE", "TIMESTAMP", "INTERVAL"].iter().any(|own| own.eq_ignore_ascii_case(word));
            if (is_literal && is_marker) || word.eq_ignore_ascii_case("ROWNUM") {
                return Err(QueryError::Unsupported);
            }
        }
        self.known(nodes)?;
        let mut text = String::new();
        let mut used = 0;
        let mut last = "";
        while let Some(Node::Word(word) | Node::Quoted(word)) = nodes.get(used) {
            if ["rowid", "oid", "_rowid_"].iter().any(|own| own.eq_ignore_ascii_case(word)) {
                return Err(QueryError::UnknownIdentifier(word.clone()));
            }
            text.push_str(&quoted_name(word));
            last = word;
            used += 1;
            match (nodes.get(used), nodes.get(used + 1)) {
                (Some(Node::Dot), Some(Node::Op("*"))) => {
                    text.push_str(".*");
                    return Ok((Operand::plain(text), used + 2));
                }
                (Some(Node::Dot), Some(Node::Word(_) | Node::Quoted(_))) => {
                    text.push('.');
                    used += 1;
                }
                _ => break,
            }
        }
        let is_date = self.catalog.is_moment(last);
        Ok((Operand { text, is_date }, used))
    }

    /// Refuses a column that no table in reach has; what a subquery names is left to SQLite.
    fn known(&self, nodes: &[Node]) -> Result<(), QueryError> {
        let (alias, column) = match nodes {
            [Node::Word(_) | Node::Quoted(_), Node::Dot, Node::Op("*"), ..] => return Ok(()),
            [Node::Word(alias) | Node::Quoted(alias), Node::Dot, Node::Word(column) | Node::Quoted(column), ..] => {
                (Some(alias.to_lowercase()), column)
            }
            [Node::Word(column) | Node::Quoted(column), ..] => (None, column),
            _ => return Ok(()),
        };
        let lower = column.to_lowercase();
        let reach: Vec<(String, String)> = match &alias {
            Some(alias) => self.tables.iter().filter(|(name, _)| name == alias).cloned().collect(),
            None => self.tables.clone(),
        };
        let is_open = self.is_opaque || reach.is_empty() || (alias.is_none() && self.aliases.contains(&lower));
        if is_open || self.catalog.knows(&lower, &reach) {
            return Ok(());
        }
        Err(match self.catalog.unexposed(&lower, &reach) {
            Some(table) => QueryError::NotExposed { field: lower, table },
            None => QueryError::UnknownColumn { name: column.clone(), tables: self.tables.iter().cloned().collect() },
        })
    }

    /// `BUILTIN.DF(column)`: the text a user sees for a reference or a code.
    pub(super) fn display(&mut self, arguments: &[Node]) -> Result<Operand, QueryError> {
        let (column, is_date) = self.typed(arguments)?;
        if is_date {
            return Ok(Operand::plain(format!("ns_to_char({column})")));
        }
        let (alias, last) = match arguments {
            [Node::Word(last) | Node::Quoted(last)] => (None, last.to_lowercase()),
            [Node::Word(alias) | Node::Quoted(alias), Node::Dot, Node::Word(last) | Node::Quoted(last)] => {
                (Some(alias.to_lowercase()), last.to_lowercase())
            }
            _ => return Err(QueryError::Unsupported),
        };
        Ok(Operand::plain(match self.catalog.display(alias.as_deref(), &last, &self.tables) {
            // The inner names cannot capture the outer column, whatever it is called.
            Some(Shown::Title { table, key, title }) => format!(
                "(SELECT ns_title FROM (SELECT \"{key}\" AS ns_id, \"{title}\" AS ns_title FROM \"{table}\") \
                 WHERE ns_id = {column})"
            ),
            Some(Shown::Code(list)) => coded(list, alias.as_deref(), &column),
            // Anything else displays as it is stored.
            None => column,
        }))
    }
}

/// A code in words; codes of transactions mean something else for each type.
fn coded(list: &str, alias: Option<&str>, column: &str) -> String {
    let Some(codes) = catalog().codes(list) else { return column.to_owned() };
    let by_type = codes.keys().any(|code| code.contains(':'));
    let kind = alias.map_or_else(|| "\"type\"".to_owned(), |alias| format!("{}.\"type\"", quoted_name(alias)));
    let subject = if by_type { format!("({kind} || ':' || {column})") } else { format!("CAST({column} AS TEXT)") };
    let cases: Vec<String> =
        codes.iter().map(|(code, word)| format!("WHEN {} THEN {}", quoted_text(code), quoted_text(word))).collect();
    format!("(CASE {subject} {} ELSE {column} END)", cases.join(" "))
}

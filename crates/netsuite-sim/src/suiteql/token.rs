//! SuiteQL text as a tree: words, literals, operators, and parentheses that hold such trees.

use super::QueryError;

/// One piece of a query.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// A bare word as typed: keyword, function, table, column or alias.
    Word(String),
    /// A double-quoted name.
    Quoted(String),
    /// A string literal, unescaped.
    Text(String),
    Number(String),
    /// A `?`, numbered from 1 in the order of the query's text.
    Param(usize),
    /// An operator, `*` included.
    Op(&'static str),
    Comma,
    Dot,
    /// What stands between parentheses.
    Group(Vec<Node>),
}

impl Node {
    /// Whether this is that bare word, whatever its case.
    pub(super) fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(own) if own.eq_ignore_ascii_case(word))
    }

    /// Whether this is one of those bare words.
    pub(super) fn is_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.is(word))
    }
}

const OPERATORS: [&str; 13] = ["||", "<=", ">=", "<>", "!=", "^=", "=", "<", ">", "+", "-", "*", "/"];
const MAX_DEPTH: usize = 60;
/// Longest query in bytes; it bounds how long a translation can take.
const MAX_BYTES: usize = 512 * 1024;

/// Reads a query's text; also tells how many `?` it has.
pub(super) fn parse(text: &str) -> Result<(Vec<Node>, usize), QueryError> {
    if text.len() > MAX_BYTES {
        return Err(QueryError::Unsupported);
    }
    let mut reader = TokenReader { rest: text.trim().trim_end_matches(';'), params: 0 };
    let nodes = reader.level(0)?;
    Ok((nodes, reader.params))
}

struct TokenReader<'a> {
    rest: &'a str,
    params: usize,
}

impl TokenReader<'_> {
    fn level(&mut self, depth: usize) -> Result<Vec<Node>, QueryError> {
        if depth > MAX_DEPTH {
            return Err(QueryError::Unsupported);
        }
        let mut nodes = Vec::new();
        while self.skip_blank()? {
            let Some(first) = self.rest.chars().next() else { break };
            if first == ')' {
                if depth == 0 {
                    return Err(QueryError::syntax(")"));
                }
                self.advance(1);
                return Ok(nodes);
            }
            nodes.push(self.node(first, depth)?);
        }
        if depth > 0 {
            return Err(QueryError::syntax("end of query"));
        }
        Ok(nodes)
    }

    fn node(&mut self, first: char, depth: usize) -> Result<Node, QueryError> {
        match first {
            '(' => {
                self.advance(1);
                Ok(Node::Group(self.level(depth + 1)?))
            }
            ',' => Ok(self.single(Node::Comma)),
            '?' => {
                self.params += 1;
                Ok(self.single(Node::Param(self.params)))
            }
            '\'' => Ok(Node::Text(self.delimited('\'')?)),
            '"' => Ok(Node::Quoted(self.delimited('"')?)),
            '.' if !self.rest[1..].starts_with(|c: char| c.is_ascii_digit()) => Ok(self.single(Node::Dot)),
            c if c.is_ascii_digit() || c == '.' => Ok(Node::Number(self.number())),
            c if c.is_alphabetic() || c == '_' => {
                let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '#');
                Ok(Node::Word(self.take_while(is_part)))
            }
            _ => {
                let found = OPERATORS.into_iter().find(|operator| self.rest.starts_with(operator));
                let operator = found.ok_or_else(|| QueryError::syntax(&first.to_string()))?;
                self.advance(operator.len());
                Ok(Node::Op(operator))
            }
        }
    }

    fn single(&mut self, node: Node) -> Node {
        self.advance(1);
        node
    }

    fn advance(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> String {
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        let word = self.rest[..end].to_owned();
        self.advance(end);
        word
    }

    fn number(&mut self) -> String {
        let mut number = self.take_while(|c| c.is_ascii_digit() || c == '.');
        let mut exponent = self.rest.chars();
        let marked = matches!(exponent.next(), Some('e' | 'E'));
        let signed = matches!(exponent.next(), Some(c) if c.is_ascii_digit() || c == '-' || c == '+');
        if marked && signed {
            number.push('e');
            self.advance(1);
            if self.rest.starts_with(['-', '+']) {
                number.push_str(&self.rest[..1]);
                self.advance(1);
            }
            number.push_str(&self.take_while(|c| c.is_ascii_digit()));
        }
        number
    }

    /// Text between delimiters; a doubled delimiter stands for itself.
    fn delimited(&mut self, delimiter: char) -> Result<String, QueryError> {
        self.advance(1);
        let mut text = String::new();
        loop {
            let end = self.rest.find(delimiter).ok_or_else(|| QueryError::syntax("end of query"))?;
            text.push_str(&self.rest[..end]);
            self.advance(end + 1);
            if !self.rest.starts_with(delimiter) {
                return Ok(text);
            }
            text.push(delimiter);
            self.advance(1);
        }
    }

    /// Skips blanks and comments; false at the end.
    fn skip_blank(&mut self) -> Result<bool, QueryError> {
        loop {
            self.rest = self.rest.trim_start();
            if let Some(comment) = self.rest.strip_prefix("--") {
                self.rest = comment.find('\n').map_or("", |end| &comment[end..]);
            } else if let Some(comment) = self.rest.strip_prefix("/*") {
                let end = comment.find("*/").ok_or_else(|| QueryError::syntax("end of query"))?;
                self.rest = &comment[end + 2..];
            } else {
                return Ok(!self.rest.is_empty());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_becomes_a_tree() {
        let (nodes, params) = parse("SELECT a.b, 'it''s' -- note\n FROM t WHERE x IN (?, 1.5e3) AND y >= ?").unwrap();
        assert_eq!(params, 2);
        assert_eq!(nodes[5], Node::Text("it's".to_owned()));
        assert!(nodes.contains(&Node::Group(vec![Node::Param(1), Node::Comma, Node::Number("1.5e3".to_owned())])));
        assert!(parse("SELECT (1").is_err());
        assert!(parse("SELECT 1)").is_err());
        assert!(parse("SELECT 'x").is_err());
    }
}

//! A SELECT taken apart: clauses, names, and what limits its rows.

use super::QueryError;
use super::expr::is_keyword;
use super::token::Node;

/// The clauses of one SELECT.
#[derive(Default)]
pub(super) struct Clauses<'n> {
    pub(super) select: &'n [Node],
    pub(super) from: &'n [Node],
    pub(super) filter: &'n [Node],
    pub(super) group: &'n [Node],
    pub(super) having: &'n [Node],
    pub(super) order: &'n [Node],
    pub(super) paging: &'n [Node],
}

/// Cuts a SELECT into its clauses.
pub(super) fn clauses(nodes: &[Node]) -> Result<Clauses<'_>, QueryError> {
    if !nodes.first().is_some_and(|node| node.is("SELECT")) {
        return Err(QueryError::syntax("SELECT"));
    }
    let mut starts: Vec<(usize, usize, &str)> = vec![(0, 1, "SELECT")];
    for (at, node) in nodes.iter().enumerate().skip(1) {
        let by = nodes.get(at + 1).is_some_and(|next| next.is("BY"));
        let start = match node {
            node if node.is("FROM") => Some((at, at + 1, "FROM")),
            node if node.is("WHERE") => Some((at, at + 1, "WHERE")),
            node if node.is("GROUP") && by => Some((at, at + 2, "GROUP")),
            node if node.is("HAVING") => Some((at, at + 1, "HAVING")),
            node if node.is("ORDER") && by => Some((at, at + 2, "ORDER")),
            node if node.is_any(&["OFFSET", "FETCH"]) => Some((at, at, "PAGING")),
            node if node.is_any(&["SELECT", "LIMIT", "FOR", "CONNECT", "START"]) => {
                return Err(QueryError::Unsupported);
            }
            _ => None,
        };
        starts.extend(start);
    }
    let mut found = Clauses::default();
    for (index, (_, from, name)) in starts.iter().enumerate() {
        let end = starts.get(index + 1).map_or(nodes.len(), |(at, _, _)| *at);
        let part = &nodes[*from..end];
        match *name {
            "SELECT" => found.select = part,
            "FROM" => found.from = part,
            "WHERE" => found.filter = part,
            "GROUP" => found.group = part,
            "HAVING" => found.having = part,
            "ORDER" => found.order = part,
            // OFFSET and FETCH are one clause.
            _ if found.paging.is_empty() => found.paging = &nodes[*from..],
            _ => {}
        }
    }
    Ok(found)
}

/// DISTINCT, TOP and the columns.
pub(super) fn head(nodes: &[Node]) -> (bool, Option<String>, &[Node]) {
    match nodes {
        [first, rest @ ..] if first.is_any(&["DISTINCT", "UNIQUE"]) => {
            let (_, top, columns) = head(rest);
            (true, top, columns)
        }
        [first, rest @ ..] if first.is("ALL") => head(rest),
        [first, Node::Number(count), rest @ ..] if first.is("TOP") => (false, Some(count.clone()), rest),
        _ => (false, None, nodes),
    }
}

/// A column's expression and its name: the alias, or a plain column's own name.
pub(super) fn named(item: &[Node]) -> (&[Node], Option<String>) {
    match item {
        [expression @ .., word, Node::Word(name) | Node::Quoted(name)] if word.is("AS") => {
            (expression, Some(name.clone()))
        }
        [expression @ .., previous, Node::Quoted(name)] if !matches!(previous, Node::Dot | Node::Op(_)) => {
            (&item[..expression.len() + 1], Some(name.clone()))
        }
        [expression @ .., previous, Node::Word(name)]
            if !is_keyword(name) && ends_operand(previous) && !matches!(previous, Node::Dot) =>
        {
            (&item[..expression.len() + 1], Some(name.clone()))
        }
        [Node::Word(name) | Node::Quoted(name)] | [_, Node::Dot, Node::Word(name) | Node::Quoted(name)] => {
            (item, Some(name.clone()))
        }
        _ => (item, None),
    }
}

fn ends_operand(node: &Node) -> bool {
    match node {
        Node::Word(word) => !is_keyword(word) || word.eq_ignore_ascii_case("END") || word.eq_ignore_ascii_case("NULL"),
        Node::Quoted(_) | Node::Text(_) | Node::Number(_) | Node::Param(_) | Node::Group(_) => true,
        Node::Op(_) | Node::Comma | Node::Dot => false,
    }
}

/// Takes `ROWNUM <= n` out of a WHERE clause.
pub(super) fn split_rownum(filter: &[Node]) -> Result<(Vec<Node>, Option<String>), QueryError> {
    let Some(at) = filter.iter().position(|node| node.is("ROWNUM")) else { return Ok((filter.to_vec(), None)) };
    let alone = !filter.iter().any(|node| node.is("OR"))
        && (at == 0 || filter[at - 1].is("AND"))
        && filter.get(at + 3).is_none_or(|node| node.is("AND"));
    let (Some(Node::Op(operator)), Some(bound), true) = (filter.get(at + 1), filter.get(at + 2), alone) else {
        return Err(QueryError::Unsupported);
    };
    let bound = match bound {
        Node::Number(number) => number.clone(),
        Node::Param(index) => format!("?{index}"),
        _ => return Err(QueryError::Unsupported),
    };
    let limit = match *operator {
        "<=" => bound,
        "<" => format!("({bound}) - 1"),
        "=" if bound == "1" => bound,
        _ => return Err(QueryError::Unsupported),
    };
    let mut rest = filter.to_vec();
    let (from, to) = match (at, filter.len() > at + 3) {
        (0, true) => (0, 4),
        (0, false) => (0, 3),
        (at, _) => (at - 1, at + 3),
    };
    rest.drain(from..to);
    Ok((rest, Some(limit)))
}

/// `OFFSET n ROWS FETCH FIRST m ROWS ONLY`, either part alone too.
pub(super) fn paging(nodes: &[Node]) -> Result<(Option<String>, Option<String>), QueryError> {
    let count = |node: &Node| match node {
        Node::Number(number) => Ok(number.clone()),
        Node::Param(index) => Ok(format!("?{index}")),
        _ => Err(QueryError::syntax("FETCH")),
    };
    match nodes {
        [] => Ok((None, None)),
        [offset, start, rows, rest @ ..] if offset.is("OFFSET") && rows.is_any(&["ROW", "ROWS"]) => {
            let (fetch, _) = paging(rest)?;
            Ok((fetch, Some(count(start)?)))
        }
        [fetch, first, number, rows, only]
            if fetch.is("FETCH")
                && first.is_any(&["FIRST", "NEXT"])
                && rows.is_any(&["ROW", "ROWS"])
                && only.is("ONLY") =>
        {
            Ok((Some(count(number)?), None))
        }
        _ => Err(QueryError::syntax("FETCH")),
    }
}

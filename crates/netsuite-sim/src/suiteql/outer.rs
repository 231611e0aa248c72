//! Oracle's old outer joins, `WHERE a.id = b.a(+)`, as the LEFT JOINs that mean the same.

use super::QueryError;
use super::expr::split;
use super::rewrite::{MAX_SOURCES, is_join};
use super::token::Node;

/// FROM and WHERE without `(+)`.
pub(super) struct Joined {
    pub(super) from: Vec<Node>,
    pub(super) filter: Vec<Node>,
}

/// Turns `(+)` into LEFT JOINs; nothing when there is none.
///
/// # Errors
/// `(+)` beside JOIN, beside OR, or on two tables of one condition: NetSuite takes none of these.
pub(super) fn joined(from: &[Node], filter: &[Node]) -> Result<Option<Joined>, QueryError> {
    if !filter.iter().any(is_mark) {
        return Ok(None);
    }
    if from.iter().any(is_join) || filter.iter().any(|node| node.is("OR")) {
        return Err(QueryError::Unsupported);
    }
    if split(from).len() > MAX_SOURCES {
        return Err(QueryError::Unsupported);
    }
    let mut kept = Vec::new();
    let mut conditions: Vec<(String, Vec<Node>)> = Vec::new();
    for part in conjuncts(filter) {
        match optional(part)? {
            None => kept.push(part.to_vec()),
            Some(alias) => {
                conditions.push((alias, part.iter().filter(|node| !is_mark(node)).cloned().collect()));
            }
        }
    }
    let (inner, mut outer): (Vec<&[Node]>, Vec<&[Node]>) = split(from).into_iter().partition(|source| {
        let name = called(source);
        !conditions.iter().any(|(alias, _)| Some(alias) == name.as_ref())
    });
    let mut out = separated(inner.iter().copied(), &[Node::Comma]);

    while !outer.is_empty() {
        // A table joined to another optional one comes after it.
        let ready = outer.iter().position(|source| {
            let own = called(source);
            let others = outer.iter().filter_map(|other| called(other)).filter(|name| Some(name) != own.as_ref());
            let others: Vec<String> = others.collect();
            let mut on = conditions.iter().filter(|(alias, _)| Some(alias) == own.as_ref());
            on.all(|(_, part)| !others.iter().any(|name| mentions(part, name)))
        });
        let source = outer.remove(ready.ok_or(QueryError::Unsupported)?);
        let own = called(source).ok_or(QueryError::Unsupported)?;
        let on = conditions.iter().filter(|(alias, _)| *alias == own).map(|(_, part)| part.as_slice());
        out.extend(["LEFT", "JOIN"].map(word));
        out.extend_from_slice(source);
        out.push(word("ON"));
        out.extend(separated(on, &[word("AND")]));
    }
    let kept = separated(kept.iter().map(Vec::as_slice), &[word("AND")]);
    Ok(Some(Joined { from: out, filter: kept }))
}

fn word(text: &str) -> Node {
    Node::Word(text.to_owned())
}

fn is_mark(node: &Node) -> bool {
    matches!(node, Node::Group(inner) if inner.as_slice() == [Node::Op("+")])
}

fn separated<'a>(parts: impl Iterator<Item = &'a [Node]>, between: &[Node]) -> Vec<Node> {
    let mut out = Vec::new();
    for (index, part) in parts.enumerate() {
        if index > 0 {
            out.extend_from_slice(between);
        }
        out.extend_from_slice(part);
    }
    out
}

/// What a source of FROM is called: its alias, or its own name.
fn called(source: &[Node]) -> Option<String> {
    match source.last() {
        Some(Node::Word(name) | Node::Quoted(name)) => Some(name.to_lowercase()),
        _ => None,
    }
}

/// The parts between ANDs; the AND of BETWEEN belongs to its part.
fn conjuncts(filter: &[Node]) -> Vec<&[Node]> {
    let mut parts = Vec::new();
    let (mut start, mut is_between) = (0, false);
    for (at, node) in filter.iter().enumerate() {
        if node.is("BETWEEN") {
            is_between = true;
        } else if node.is("AND") && !std::mem::take(&mut is_between) {
            parts.push(&filter[start..at]);
            start = at + 1;
        }
    }
    parts.push(&filter[start..]);
    parts
}

/// The table that a condition makes optional.
fn optional(part: &[Node]) -> Result<Option<String>, QueryError> {
    let mut found: Option<String> = None;
    for (at, _) in part.iter().enumerate().filter(|(_, node)| is_mark(node)) {
        let alias = match part.get(at.wrapping_sub(3)..at) {
            Some([Node::Word(alias) | Node::Quoted(alias), Node::Dot, Node::Word(_) | Node::Quoted(_)]) => {
                alias.to_lowercase()
            }
            _ => return Err(QueryError::Unsupported),
        };
        if found.get_or_insert_with(|| alias.clone()) != &alias {
            return Err(QueryError::Unsupported);
        }
    }
    Ok(found)
}

fn mentions(part: &[Node], alias: &str) -> bool {
    part.windows(2).any(|pair| pair[1] == Node::Dot && pair[0].is(alias))
}

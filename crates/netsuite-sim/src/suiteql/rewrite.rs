//! Clauses: a SuiteQL query as the SQLite query that means the same.

use std::collections::BTreeSet;

use super::QueryError;
use super::catalog::Catalog;
use super::clauses::{clauses, head, named, paging, split_rownum};
use super::expr::{quoted_name, split};
use super::outer;
use super::token::Node;

const JOIN_WORDS: [&str; 9] = ["JOIN", "INNER", "LEFT", "RIGHT", "FULL", "OUTER", "CROSS", "NATURAL", "ON"];
/// Tables that one query may name; every column is looked for in all of them.
pub(super) const MAX_SOURCES: usize = 60;
const SET_WORDS: [&str; 4] = ["UNION", "INTERSECT", "MINUS", "EXCEPT"];
const AGGREGATES: [&str; 6] = ["COUNT", "SUM", "MIN", "MAX", "AVG", "LISTAGG"];

/// Translates one query, remembering the tables it names.
pub(super) struct Rewriter<'a> {
    pub(super) catalog: &'a Catalog,
    /// Whether `WITH` is understood: over REST it is not.
    pub(super) with_allowed: bool,
    /// Alias and table, in order of appearance.
    pub(super) tables: Vec<(String, String)>,
    /// Whether the last SELECT translated limits its rows: after a whole query, its outermost.
    pub(super) is_limited: bool,
    /// Whether something is selected from whose columns are not in the catalogue: a subquery, a `WITH`.
    pub(super) is_opaque: bool,
    /// Names given to columns, while they may be used.
    pub(super) aliases: BTreeSet<String>,
    /// How to count the rows of the last SELECT translated without making them, where that is simple.
    pub(super) counting: Option<String>,
    /// Whether rows that ORDER BY does not tell apart come in any order.
    pub(super) is_unstable: bool,
    /// Whether the outermost query is a single SELECT.
    is_sole: bool,
    /// How deep the query stands in others.
    depth: usize,
    /// Names given by `WITH`.
    named: BTreeSet<String>,
}

impl<'a> Rewriter<'a> {
    pub(super) fn new(catalog: &'a Catalog, with_allowed: bool) -> Self {
        Self {
            catalog,
            with_allowed,
            tables: Vec::new(),
            is_limited: false,
            is_opaque: false,
            aliases: BTreeSet::new(),
            counting: None,
            is_unstable: false,
            is_sole: true,
            depth: 0,
            named: BTreeSet::new(),
        }
    }

    /// A whole query or subquery.
    pub(super) fn query(&mut self, nodes: &[Node]) -> Result<String, QueryError> {
        self.depth += 1;
        let text = self.selects(nodes);
        self.depth -= 1;
        text
    }

    fn selects(&mut self, nodes: &[Node]) -> Result<String, QueryError> {
        let (mut out, mut rest) = self.with(nodes)?;
        if self.depth == 1 {
            self.is_sole = !rest.iter().any(|node| node.is_any(&SET_WORDS));
        }
        loop {
            let end = rest.iter().position(|node| node.is_any(&SET_WORDS));
            let (select, tail) = rest.split_at(end.unwrap_or(rest.len()));
            out.push_str(&self.select(select)?);
            let Some(operator) = tail.first() else {
                if rest.len() < nodes.len() {
                    // More than one SELECT, or names of a WITH.
                    self.counting = None;
                }
                return Ok(out);
            };
            let all = tail.get(1).is_some_and(|node| node.is("ALL"));
            out.push_str(match operator {
                node if node.is("UNION") && all => " UNION ALL ",
                node if node.is("UNION") => " UNION ",
                node if node.is("INTERSECT") => " INTERSECT ",
                _ => " EXCEPT ",
            });
            rest = &tail[if all { 2 } else { 1 }..];
        }
    }

    fn with<'n>(&mut self, nodes: &'n [Node]) -> Result<(String, &'n [Node]), QueryError> {
        if !nodes.first().is_some_and(|node| node.is("WITH")) {
            return Ok((String::new(), nodes));
        }
        if !self.with_allowed {
            return Err(QueryError::Unsupported);
        }
        let mut out = "WITH ".to_owned();
        let mut rest = &nodes[1..];
        while let [Node::Word(name), word, Node::Group(inner), tail @ ..] = rest
            && word.is("AS")
        {
            let inner = self.query(inner)?;
            self.named.insert(name.to_lowercase());
            out.push_str(&format!("{} AS ({inner})", quoted_name(name)));
            rest = tail;
            if let [Node::Comma, tail @ ..] = rest {
                out.push_str(", ");
                rest = tail;
            }
        }
        out.push(' ');
        Ok((out, rest))
    }

    fn select(&mut self, nodes: &[Node]) -> Result<String, QueryError> {
        let mut clauses = clauses(nodes)?;
        let joined = outer::joined(clauses.from, clauses.filter)?;
        if let Some(joined) = &joined {
            (clauses.from, clauses.filter) = (&joined.from, &joined.filter);
        }
        let (from, single) = self.from(clauses.from)?;
        let (filter, rownum) = split_rownum(clauses.filter)?;
        let filter = if filter.is_empty() { String::new() } else { format!(" WHERE {}", self.expression(&filter)?) };
        let (distinct, top, columns) = head(clauses.select);
        let mut limits = Vec::from_iter(top);
        let source = match (rownum, from.is_empty()) {
            (_, true) => filter,
            (None, false) => format!(" FROM {from}{filter}"),
            // ROWNUM counts before anything is sorted or grouped.
            (Some(limit), false) if single.is_some() => {
                let alias = single.flatten().map(|alias| format!(" AS {}", quoted_name(&alias))).unwrap_or_default();
                // Not materialised, the outer ORDER BY would be moved inside.
                let rows = format!("SELECT * FROM {from}{filter} LIMIT {limit}");
                format!(" FROM (WITH ns_rows AS MATERIALIZED ({rows}) SELECT * FROM ns_rows){alias}")
            }
            (Some(limit), false) => {
                let grouped = !clauses.group.is_empty() || has_aggregate(clauses.select);
                if distinct || grouped || !clauses.order.is_empty() {
                    return Err(QueryError::Unsupported);
                }
                limits.push(limit);
                format!(" FROM {from}{filter}")
            }
        };
        let grouped = !clauses.group.is_empty() || has_aggregate(columns);
        if grouped {
            refuse_ungrouped(columns, clauses.group)?;
        }
        let mut out = format!("SELECT {}{}{source}", if distinct { "DISTINCT " } else { "" }, self.columns(columns)?);
        if !clauses.group.is_empty() {
            out.push_str(&format!(" GROUP BY {}", self.expression(clauses.group)?));
        }
        if !clauses.having.is_empty() {
            out.push_str(&format!(" HAVING {}", self.expression(clauses.having)?));
        }
        if !clauses.order.is_empty() {
            // Names of columns can be sorted by, and used nowhere else.
            let names = split(columns).into_iter().filter_map(|item| named(item).1).map(|name| name.to_lowercase());
            let outer = std::mem::replace(&mut self.aliases, names.collect());
            let order = self.order(clauses.order)?;
            self.aliases = outer;
            out.push_str(&format!(" ORDER BY {order}"));
        }
        // Of several SELECTs in one the sort is by position alone.
        let sole = self.depth == 1 && self.is_sole;
        if self.is_unstable && sole && !distinct && !grouped {
            out.push_str(if clauses.order.is_empty() { " ORDER BY ns_shake()" } else { ", ns_shake()" });
        }
        let (fetch, offset) = paging(clauses.paging)?;
        limits.extend(fetch);
        self.is_limited = !limits.is_empty() || offset.is_some();
        let simple = !(distinct || grouped || self.is_limited || source.is_empty());
        self.counting = simple.then(|| format!("SELECT COUNT(*){source}"));
        match (limits.as_slice(), offset) {
            ([], None) => {}
            ([], Some(offset)) => out.push_str(&format!(" LIMIT -1 OFFSET {offset}")),
            ([limit], None) => out.push_str(&format!(" LIMIT {limit}")),
            ([limit], Some(offset)) => out.push_str(&format!(" LIMIT {limit} OFFSET {offset}")),
            _ => return Err(QueryError::Unsupported),
        }
        Ok(out)
    }

    /// Columns with the names their values will have.
    fn columns(&mut self, nodes: &[Node]) -> Result<String, QueryError> {
        let mut out = Vec::new();
        let mut unnamed = 0;
        for item in split(nodes) {
            if matches!(item.last(), Some(Node::Op("*"))) && item.len() <= 3 {
                out.push(if item.len() == 1 { "*".to_owned() } else { self.expression(item)? });
                continue;
            }
            let (expression, name) = named(item);
            let text = match expression {
                [word] if word.is("ROWNUM") => "ROW_NUMBER() OVER ()".to_owned(),
                other => self.expression(other)?,
            };
            let name = name.unwrap_or_else(|| {
                unnamed += 1;
                format!("expr{unnamed}")
            });
            if text.is_empty() {
                return Err(QueryError::syntax(","));
            }
            out.push(format!("{text} AS {}", quoted_name(&name.to_lowercase())));
        }
        if out.is_empty() {
            return Err(QueryError::syntax("FROM"));
        }
        Ok(out.join(", "))
    }

    /// The FROM clause and, when it is a single table or subquery, what that is called.
    fn from(&mut self, nodes: &[Node]) -> Result<(String, Option<Option<String>>), QueryError> {
        let mut out = String::new();
        let mut sources = 0;
        let mut last_alias = None;
        let mut at = 0;
        let mut expects_source = true;
        while let Some(node) = nodes.get(at) {
            match node {
                Node::Comma => {
                    out.push_str(", ");
                    expects_source = true;
                    at += 1;
                }
                Node::Word(_) | Node::Quoted(_) | Node::Group(_) if expects_source => {
                    let (used, alias) = self.source(&nodes[at..], &mut out)?;
                    at += used;
                    last_alias = alias;
                    sources += 1;
                    expects_source = false;
                }
                node if node.is("ON") => {
                    let rest = &nodes[at + 1..];
                    let end = rest.iter().position(|node| *node == Node::Comma || is_join(node)).unwrap_or(rest.len());
                    out.push_str(&format!(" ON {}", self.expression(&rest[..end])?));
                    at += 1 + end;
                }
                node if node.is("USING") => {
                    let Some(Node::Group(columns)) = nodes.get(at + 1) else { return Err(QueryError::syntax("USING")) };
                    out.push_str(&format!(" USING ({})", self.expression(columns)?));
                    at += 2;
                }
                Node::Word(word) if is_join(node) => {
                    expects_source = node.is("JOIN");
                    out.push_str(&format!(" {} ", word.to_uppercase()));
                    at += 1;
                }
                _ => return Err(QueryError::syntax("FROM")),
            }
        }
        Ok((out, (sources == 1).then_some(last_alias)))
    }

    /// One table or subquery; returns how many nodes it took and what it is called.
    fn source(&mut self, nodes: &[Node], out: &mut String) -> Result<(usize, Option<String>), QueryError> {
        let (text, table) = match &nodes[0] {
            Node::Group(inner) if inner.first().is_some_and(|node| node.is_any(&["SELECT", "WITH"])) => {
                let inner = self.query(inner)?;
                self.is_opaque = true;
                (format!("({inner})"), None)
            }
            Node::Group(inner) => (format!("({})", self.from(inner)?.0), None),
            Node::Word(name) | Node::Quoted(name) if self.named.contains(&name.to_lowercase()) => {
                self.is_opaque = true;
                (quoted_name(name), Some(name.to_lowercase()))
            }
            Node::Word(name) | Node::Quoted(name) => (self.catalog.source(name)?, Some(name.to_lowercase())),
            _ => return Err(QueryError::syntax("FROM")),
        };
        out.push_str(&text);
        let explicit = nodes.get(1).is_some_and(|node| node.is("AS"));
        let alias = match nodes.get(if explicit { 2 } else { 1 }) {
            Some(Node::Quoted(name)) => Some(name.clone()),
            Some(node @ Node::Word(name)) if !is_join(node) && !node.is("USING") => Some(name.clone()),
            _ => None,
        };
        let used = 1 + usize::from(explicit) + usize::from(alias.is_some());
        let name = alias.or_else(|| table.clone()).map(|name| name.to_lowercase());
        if let Some(name) = &name {
            out.push_str(&format!(" AS {}", quoted_name(name)));
        }
        self.tables.extend(name.clone().zip(table));
        if self.tables.len() > MAX_SOURCES {
            return Err(QueryError::Unsupported);
        }
        Ok((used, name))
    }

    /// Oracle sorts empty values last; SQLite is told to, except where a column has none and an index may serve.
    fn order(&mut self, nodes: &[Node]) -> Result<String, QueryError> {
        let mut out = Vec::new();
        for item in split(nodes) {
            let text = self.expression(item)?;
            let explicit = item.iter().any(|node| node.is("NULLS"));
            let descending = item.iter().any(|node| node.is("DESC"));
            let key: Vec<&Node> = item.iter().filter(|node| !node.is_any(&["ASC", "DESC"])).collect();
            let required = match key.as_slice() {
                [Node::Word(column)] | [_, Node::Dot, Node::Word(column)] => {
                    self.catalog.is_required(column, &self.tables)
                }
                _ => false,
            };
            let nulls = match (explicit || required, descending) {
                (true, _) => "",
                (false, true) => " NULLS FIRST",
                (false, false) => " NULLS LAST",
            };
            out.push(format!("{text}{nulls}"));
        }
        Ok(out.join(", "))
    }
}

pub(super) fn is_join(node: &Node) -> bool {
    node.is_any(&JOIN_WORDS)
}

fn has_aggregate(select: &[Node]) -> bool {
    select.windows(2).any(|pair| pair[0].is_any(&AGGREGATES) && matches!(pair[1], Node::Group(_)))
}

/// Oracle shows beside aggregates only what the rows of a group share.
fn refuse_ungrouped(columns: &[Node], group: &[Node]) -> Result<(), QueryError> {
    let last = |item: &[Node]| match item {
        [Node::Word(name) | Node::Quoted(name)] | [_, Node::Dot, Node::Word(name) | Node::Quoted(name)] => {
            Some(name.to_lowercase())
        }
        _ => None,
    };
    let keys: Vec<String> = split(group).into_iter().filter_map(last).collect();
    for item in split(columns) {
        let (expression, _) = named(item);
        let is_all = matches!(expression.last(), Some(Node::Op("*"))) && expression.len() <= 3;
        if is_all || last(expression).is_some_and(|name| !keys.contains(&name)) {
            return Err(QueryError::Unsupported);
        }
    }
    Ok(())
}

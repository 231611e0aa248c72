//! SuiteQL: translated onto SQLite, so that joins, grouping and functions are real.

mod calendar;
mod catalog;
mod clauses;
mod expr;
pub(crate) mod functions;
mod items;
mod masks;
mod names;
mod numbers;
mod outer;
mod rewrite;
mod token;

use std::collections::BTreeMap;

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, ToSql};
use serde_json::{Number, Value as Json};

use crate::world::{Settings, World, WorldError};
use catalog::Catalog;
use functions::Moment;
use rewrite::Rewriter;

/// A query with the parameters of its `?`.
#[derive(Debug)]
pub(crate) struct Query<'a> {
    pub(crate) text: &'a str,
    pub(crate) params: &'a [Json],
    pub(crate) limit: usize,
    pub(crate) offset: usize,
    /// Whether `WITH` is understood.
    pub(crate) with_allowed: bool,
    /// Whether the rows after the page are counted.
    pub(crate) counted: bool,
}

/// One scalar of a row; dates are rendered already.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    Null,
    Text(String),
    Integer(i64),
    Real(f64),
}

impl Cell {
    /// As a script's mapped result has it: numbers as numbers, null as null.
    pub(crate) fn into_json(self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Text(text) => Json::from(text),
            Self::Integer(number) => Json::from(number),
            Self::Real(number) => Number::from_f64(number).map_or(Json::Null, Json::Number),
        }
    }
}

/// A page of a result.
#[derive(Debug)]
pub(crate) struct Page {
    /// Lower-case names.
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<Cell>>,
    /// Rows of the whole result, up to the account's cap; of the page's end when not counted.
    #[allow(dead_code, reason = "scripts that page through a result ask for it")]
    pub(crate) total: usize,
}

/// Why a query has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QueryError {
    #[error("unknown table {0}")]
    UnknownTable(String),
    #[error("unknown identifier {0}")]
    UnknownIdentifier(String),
    #[error("unknown identifier {name}")]
    UnknownColumn { name: String, tables: BTreeMap<String, String> },
    #[error("the role may not see {0}")]
    NoPermission(String),
    #[error("the field {field} of {table} is not exposed")]
    NotExposed { field: String, table: String },
    #[error("a construct that SuiteQL does not support")]
    Unsupported,
    #[error("syntax error near {0}")]
    Syntax(String),
    #[error("{0}")]
    Function(String),
    #[error("the query took too long")]
    TooLong,
    #[error("a text that is no date")]
    BadDate { text: String, format: String, zone: String },
    #[error("{given} parameters for {expected} marks")]
    Parameters { given: usize, expected: usize },
    #[error(transparent)]
    World(#[from] WorldError),
}

impl QueryError {
    fn syntax(near: &str) -> Self {
        Self::Syntax(near.to_owned())
    }

    /// The text a caller reads, after the constant beginning of every such text.
    pub(crate) fn detail(&self) -> Option<String> {
        Some(match self {
            Self::UnknownTable(name) => format!("Invalid search type: {name}."),
            Self::UnknownIdentifier(name) => format!("Search error occurred: Unknown identifier '{name}'."),
            Self::UnknownColumn { name, tables } => {
                let list: Vec<String> = tables.iter().map(|(alias, table)| format!("{alias}={table}")).collect();
                let list = list.join(", ");
                format!("Search error occurred: Unknown identifier '{name}'. Available identifiers are: {{{list}}}.")
            }
            Self::NoPermission(table) => format!("Search error occurred: Record '{table}' was not found."),
            Self::NotExposed { field, table } => format!(
                "Search error occurred: Field '{field}' for record '{table}' was not found. Reason: NOT_EXPOSED - \
                 Hidden field."
            ),
            Self::Unsupported => "Search error occurred: Invalid or unsupported search.".to_owned(),
            Self::Syntax(near) => {
                format!("Search error occurred: Invalid or unsupported search. Syntax error near: {near}.")
            }
            Self::Function(message) => format!("Search error occurred: {message}."),
            Self::BadDate { text, format, zone } => format!(
                "Search error occurred: Parse of date/time \"{text}\" failed with date format \"{format}\" in time \
                 zone {zone}"
            ),
            Self::Parameters { given, expected } => {
                format!("Search error occurred: {given} parameters were given for {expected} parameter marks.")
            }
            Self::TooLong => "Search error occurred: The search took too long.".to_owned(),
            Self::World(_) => return None,
        })
    }
}

/// A page whose rows are written already.
#[derive(Debug)]
pub(crate) struct ItemPage {
    /// The items as a JSON list.
    pub(crate) items: String,
    pub(crate) count: usize,
    pub(crate) total: usize,
}

impl World {
    /// Runs a query on a snapshot of the visible records.
    ///
    /// # Errors
    /// What NetSuite would say about the query, or a failure of the storage.
    pub(crate) fn query(&self, query: &Query<'_>) -> Result<Page, QueryError> {
        let mut rows = Vec::new();
        let scan = self.scan(
            query,
            |_| {},
            |row, width| {
                let cells = (0..width).map(|index| Ok(cell(row.get_ref(index)?, self)));
                rows.push(cells.collect::<rusqlite::Result<_>>()?);
                Ok(())
            },
        )?;
        Ok(Page { columns: scan.columns, rows, total: scan.total })
    }

    /// Runs a query and writes its rows as REST shows them.
    ///
    /// # Errors
    /// As [`World::query`].
    pub(crate) fn query_items(&self, query: &Query<'_>) -> Result<ItemPage, QueryError> {
        let items = std::cell::RefCell::new(items::Items::new());
        let mut count = 0;
        let scan = self.scan(
            query,
            |columns| items.borrow_mut().name(columns),
            |row, _| {
                count += 1;
                items.borrow_mut().push(row, self)
            },
        )?;
        Ok(ItemPage { items: items.into_inner().finish(), count, total: scan.total })
    }

    fn scan(
        &self,
        query: &Query<'_>,
        name: impl FnOnce(&[String]),
        row: impl FnMut(&rusqlite::Row<'_>, usize) -> rusqlite::Result<()>,
    ) -> Result<Scan, QueryError> {
        // Taken before the snapshot: whatever is stamped later than this "now" may or may not be in it.
        let now = self.now();
        let outcome = self.read(|reader| {
            let settings = self.settings();
            reader.state.begin(now, std::time::Duration::from_secs(settings.query_seconds));
            let catalog = Catalog::new(self.overlay());
            let scan = run(&reader.connection, &catalog, query, &settings, name, row);
            let bad_date = reader.state.end();
            Ok((scan, bad_date))
        });
        match outcome? {
            (_, Some(text)) => Err(QueryError::BadDate {
                text,
                format: self.date_format.name().to_owned(),
                zone: self.zone.iana_name().unwrap_or("UTC").to_owned(),
            }),
            (scan, None) => scan,
        }
    }
}

/// The SQLite text of a query in an account with every usual feature, or why it has none.
///
/// # Errors
/// As [`World::query`], but for what only the records can tell.
pub(crate) fn translated(text: &str, with_allowed: bool) -> Result<String, QueryError> {
    let catalog = Catalog::new(std::sync::Arc::default());
    let (nodes, _) = token::parse(text)?;
    Rewriter::new(&catalog, with_allowed).query(&nodes)
}

/// What is known after a query's rows were read.
struct Scan {
    columns: Vec<String>,
    total: usize,
}

fn run(
    connection: &Connection,
    catalog: &Catalog,
    query: &Query<'_>,
    settings: &Settings,
    name: impl FnOnce(&[String]),
    mut each: impl FnMut(&rusqlite::Row<'_>, usize) -> rusqlite::Result<()>,
) -> Result<Scan, QueryError> {
    let (nodes, expected) = token::parse(query.text)?;
    if expected != query.params.len() {
        return Err(QueryError::Parameters { given: query.params.len(), expected });
    }
    let mut rewriter = Rewriter::new(catalog, query.with_allowed);
    rewriter.is_unstable = settings.unstable_order;
    let sql = rewriter.query(&nodes)?;
    let Rewriter { tables, is_limited, counting, .. } = rewriter;
    let fail = |error| explained(error, catalog, &tables);
    let params: Vec<Parameter> = query.params.iter().map(parameter).collect();
    // The page and the count are of one snapshot.
    let snapshot = connection.unchecked_transaction().map_err(fail)?;
    let end = query.offset.saturating_add(query.limit).min(settings.row_cap);
    // One row more than the page tells whether there is more. A limit lets SQLite sort no more than it shows.
    let paged = if is_limited { sql.clone() } else { format!("{sql} LIMIT {}", end + 1) };
    let mut statement = snapshot.prepare_cached(&paged).map_err(fail)?;
    let columns: Vec<String> = statement.column_names().into_iter().map(str::to_lowercase).collect();
    name(&columns);
    let mut rows = statement.query(rusqlite::params_from_iter(&params)).map_err(fail)?;
    let mut total = 0;
    while total <= end
        && let Some(row) = rows.next().map_err(fail)?
    {
        total += 1;
        if total > query.offset && total <= end {
            each(row, columns.len()).map_err(fail)?;
        }
    }
    if total > end && query.counted {
        // A simple query is counted without making its columns; its parameters may be among those.
        let simple = counting.filter(|_| params.is_empty());
        let counting = simple.unwrap_or_else(|| format!("SELECT COUNT(*) FROM ({sql})"));
        let mut statement = snapshot.prepare_cached(&counting).map_err(fail)?;
        let count: i64 = statement.query_row(rusqlite::params_from_iter(&params), |row| row.get(0)).map_err(fail)?;
        total = usize::try_from(count).unwrap_or(settings.row_cap).min(settings.row_cap);
    }
    Ok(Scan { columns, total })
}

fn cell(value: ValueRef<'_>, world: &World) -> Cell {
    match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Integer(number),
        ValueRef::Real(number) => Cell::Real(number),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            let text = String::from_utf8_lossy(bytes);
            match Moment::of(&text) {
                Some(moment) => Cell::Text(rendered(moment, world)),
                None if text.is_empty() => Cell::Null,
                None => Cell::Text(text.into_owned()),
            }
        }
    }
}

/// A bare date, in the account's zone and format, whatever time it has.
fn rendered(moment: Moment, world: &World) -> String {
    world.date_format.render(moment.wall(&world.zone).date())
}

struct Parameter(Value);

impl ToSql for Parameter {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

fn parameter(json: &Json) -> Parameter {
    Parameter(match json {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Text(if *flag { "T" } else { "F" }.to_owned()),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Value::Integer(whole),
            (None, Some(part)) => Value::Real(part),
            (None, None) => Value::Null,
        },
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(_) | Json::Object(_) => Value::Text(json.to_string()),
    })
}

/// SQLite's complaint in NetSuite's words.
fn explained(error: rusqlite::Error, catalog: &Catalog, tables: &[(String, String)]) -> QueryError {
    let rusqlite::Error::SqlInputError { msg, .. } = &error else {
        return match error {
            rusqlite::Error::SqliteFailure(code, _) if code.code == rusqlite::ErrorCode::OperationInterrupted => {
                QueryError::TooLong
            }
            rusqlite::Error::SqliteFailure(_, Some(message)) => QueryError::Function(message),
            other => QueryError::World(other.into()),
        };
    };
    if let Some(name) = msg.strip_prefix("no such column: ") {
        let name = name.split(" - ").next().unwrap_or(name).trim_matches('"');
        let column = name.rsplit_once('.').map_or(name, |(_, column)| column).trim_matches('"').to_owned();
        return match catalog.unexposed(&column, tables) {
            Some(table) => QueryError::NotExposed { field: column, table },
            None => QueryError::UnknownColumn { name: column, tables: tables.iter().cloned().collect() },
        };
    }
    match msg.strip_prefix("near \"").and_then(|rest| rest.split_once('"')) {
        Some((near, _)) => QueryError::syntax(near),
        None => QueryError::Unsupported,
    }
}

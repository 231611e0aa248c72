//! Asking NetSuite: one SuiteQL statement, over SuiteTalk REST or over our query RESTlet, one kind of row back.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Method;
use model::{ErrorClass, Failure, RemoteError, Side};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::QueryVia;
use crate::connection::{Call, Connection};
use crate::errors::Surface;

/// Most rows of one page, by NetSuite's rule. Pages are never numbered: the key of the last row leads on.
pub const PAGE_ROWS: usize = 1000;
/// Most values in one `in (…)`, by NetSuite's rule.
pub const IN_LIST: usize = 1000;

/// One row: column → text. A column that is null is not there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Row(BTreeMap<String, String>);

impl Row {
    /// The column's text; `None` = null. Which columns were asked for is known to whoever asked.
    pub(crate) fn text(&self, column: &str) -> Option<&str> {
        self.0.get(column).map(String::as_str)
    }

    /// A column that is never null.
    pub(crate) fn required(&self, column: &str) -> Result<&str, Failure> {
        self.text(column).ok_or_else(|| unreadable(format!("the column {column} is missing from a row")))
    }

    /// A column that holds an internal id, a line id or another whole number.
    pub(crate) fn number(&self, column: &str) -> Result<i64, Failure> {
        let text = self.required(column)?;
        text.parse().map_err(|_| unreadable(format!("the column {column} holds no whole number")))
    }

    /// A row from JSON of either transport. SuiteQL over REST gives text for every scalar; RESTlets give numbers,
    /// booleans and nulls. Keys are put in lower case, which NetSuite does but does not promise.
    fn read(cells: serde_json::Map<String, Value>) -> Result<Self, Failure> {
        let mut row = BTreeMap::new();
        for (name, cell) in cells {
            let text = match cell {
                // The one member that is no column.
                Value::Array(_) if name == "links" => continue,
                Value::Null => continue,
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                Value::Bool(true) => "T".to_owned(),
                Value::Bool(false) => "F".to_owned(),
                Value::Array(_) | Value::Object(_) => {
                    return Err(unreadable("a row holds a value that is no scalar".to_owned()));
                }
            };
            row.insert(name.to_lowercase(), text);
        }
        Ok(Self(row))
    }
}

#[derive(Deserialize)]
struct RestPage {
    items: Vec<serde_json::Map<String, Value>>,
}

#[derive(Deserialize)]
struct RestletPage {
    rows: Vec<serde_json::Map<String, Value>>,
}

/// Runs a statement and gives its first page, at most `limit` rows (1 to [`PAGE_ROWS`]). A page with fewer rows
/// than asked for is the last.
pub(crate) async fn query(connection: &Connection, statement: &str, limit: usize) -> Result<Vec<Row>, RemoteError> {
    let limit = limit.clamp(1, PAGE_ROWS);
    let body = connection.read(&call(connection, statement, limit)).await.map_err(|e| e.into_read_error())?;
    let cells = match connection.query_via() {
        QueryVia::Rest => serde_json::from_slice::<RestPage>(&body).map(|page| page.items),
        QueryVia::Restlet => serde_json::from_slice::<RestletPage>(&body).map(|page| page.rows),
    };
    let cells = cells.map_err(|_| refused(unreadable("the answer to a query is not a page of rows".to_owned())))?;
    if cells.len() > limit {
        return Err(refused(unreadable("a page has more rows than were asked for".to_owned())));
    }
    cells.into_iter().map(|cells| Row::read(cells).map_err(refused)).collect()
}

fn call(connection: &Connection, statement: &str, limit: usize) -> Call {
    let endpoints = connection.endpoints();
    let (surface, url, body) = match connection.query_via() {
        QueryVia::Rest => {
            let mut url = endpoints.suiteql.clone();
            url.query_pairs_mut().append_pair("limit", &limit.to_string()).append_pair("offset", "0");
            (Surface::Rest, url, json!({ "q": statement }))
        }
        QueryVia::Restlet => {
            let body = json!({ "query": statement, "limit": limit, "offset": 0 });
            (Surface::Restlet, endpoints.query_restlet.clone(), body)
        }
    };
    Call {
        surface,
        method: Method::POST,
        url,
        body: Some(Bytes::from(body.to_string())),
        transient: surface == Surface::Rest,
        deadline: None,
    }
}

/// An answer that does not have the shape it should have: ours to mend, no fault of any record.
pub(crate) fn unreadable(reason: String) -> Failure {
    Failure::new(ErrorClass::Operational, "unreadable_answer", reason)
}

/// The failure as the answer to a read.
pub(crate) fn refused(failure: Failure) -> RemoteError {
    RemoteError::Unreadable { side: Side::Netsuite, failure }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(json: Value) -> Result<Row, Failure> {
        Row::read(json.as_object().unwrap().clone())
    }

    #[test]
    fn both_transports_give_the_same_row() {
        let rest = row(json!({ "links": [], "id": "647", "isinactive": "F", "rate": "1.5" })).unwrap();
        let restlet = row(json!({ "ID": 647, "isinactive": false, "rate": 1.5, "email": null })).unwrap();
        assert_eq!(rest, restlet);
        assert_eq!(rest.text("email"), None);
    }

    #[test]
    fn a_row_without_its_id_and_a_cell_that_is_no_scalar_are_refused() {
        assert!(row(json!({ "links": [] })).unwrap().number("id").is_err());
        assert!(row(json!({ "id": { "value": 1 } })).is_err());
    }
}

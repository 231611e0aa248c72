//! CSV import: many rows, one moment, scripts off unless asked for.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::World;
use super::draft::Draft;
use super::read;
use super::refusal::{Refusal, WorldError};
use super::save::{Author, Saved, Saving};
use crate::catalog::{Kind, RecordType};

const MAX_ROWS: usize = 25_000;

/// What to import: `csv` text with a header line, or `rows` of natural JSON.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Import {
    #[serde(rename = "type")]
    type_name: String,
    #[serde(default)]
    csv: Option<String>,
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    rows: Vec<Map<String, Json>>,
    /// "Run Server SuiteScript and Trigger Workflows".
    #[serde(default)]
    scripts: bool,
    #[serde(default = "importer")]
    user: String,
}

/// What the import did.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Imported {
    /// Ids in row order; null where the row was refused.
    ids: Vec<Option<String>>,
    created: usize,
    updated: usize,
    errors: Vec<RowError>,
}

#[derive(Debug, Serialize)]
struct RowError {
    /// Row number, from 1, header not counted.
    row: usize,
    field: Option<String>,
    code: &'static str,
    message: String,
}

fn importer() -> String {
    "CSV Import".to_owned()
}

impl World {
    /// Imports rows in one transaction; a row with `id` or a known `externalid` updates, any other creates. Beside
    /// what it did, the saves whose scripts are to run.
    ///
    /// # Errors
    /// When the request as a whole cannot be understood; a refused row is listed in the answer instead.
    pub(crate) fn import(
        &self,
        import: &Import,
        has_before_submit: bool,
    ) -> Result<(Imported, Vec<Saved>), WorldError> {
        let kind = RecordType::named(&import.type_name).ok_or_else(|| {
            Refusal::new("INVALID_RCRD_TYPE", format!("The record type [{}] is invalid.", import.type_name)).at("type")
        })?;
        if import.scripts && has_before_submit {
            // All rows are one transaction here, and those scripts run between two.
            let text = "The simulator does not import with scripts where one of them has a beforeSubmit.";
            return Err(Refusal::new("NOT_SIMULATED", text).at("scripts").into());
        }
        let mut rows = import.rows.clone();
        if let Some(text) = &import.csv {
            rows.extend(rows_of_csv(kind, text)?);
        }
        if rows.is_empty() || rows.len() > MAX_ROWS {
            return Err(Refusal::new("INVALID_PARAMETER", format!("1 to {MAX_ROWS} rows per import."))
                .at("rows")
                .into());
        }
        let author = Author { user: import.user.clone(), context: "CSVIMPORT".to_owned() };
        self.transact(&author, |saving, scripted| {
            let mut done = Imported::default();
            for (index, row) in rows.iter().enumerate() {
                saving.tx.execute_batch("SAVEPOINT import_row")?;
                match import_row(saving, kind, row, &mut done) {
                    Ok(saved) => {
                        saving.tx.execute_batch("RELEASE import_row")?;
                        done.ids.push(Some(saved.id.to_string()));
                        if import.scripts {
                            scripted.push(saved);
                        }
                    }
                    Err(error) => {
                        saving.tx.execute_batch("ROLLBACK TO import_row; RELEASE import_row")?;
                        done.ids.push(None);
                        done.errors.push(row_error(index + 1, error)?);
                    }
                }
            }
            Ok(done)
        })
    }
}

fn row_error(row: usize, error: WorldError) -> Result<RowError, WorldError> {
    match error {
        WorldError::Refused(Refusal { code, message, field }) => Ok(RowError { row, field, code, message }),
        WorldError::Absent => Ok(RowError {
            row,
            field: Some("id".to_owned()),
            code: "RCRD_DSNT_EXIST",
            message: "That record does not exist.".to_owned(),
        }),
        other => Err(other),
    }
}

fn import_row(
    saving: &Saving<'_>,
    kind: &'static RecordType,
    row: &Map<String, Json>,
    done: &mut Imported,
) -> Result<Saved, WorldError> {
    let mut fields = row.clone();
    let id = match fields.remove("id") {
        Some(Json::String(word)) => Some(word.parse::<i64>().map_err(|_| WorldError::Absent)?),
        Some(Json::Number(number)) => number.as_i64(),
        _ => match fields.get("externalid").and_then(Json::as_str) {
            Some(external_id) => read::find_external(saving.tx, kind, external_id)?,
            None => None,
        },
    };
    let draft = Draft::from_json(kind, &fields)?;
    match id {
        Some(id) => {
            super::late::refuse_locked(saving.tx, kind, id)?;
            let before = read::find(saving.tx, kind, id, saving.zone)?.ok_or(WorldError::Absent)?;
            let saved = saving.update(kind, &before, &draft)?;
            done.updated += 1;
            Ok(saved)
        }
        None => {
            let saved = saving.create(kind, &draft, None)?;
            done.created += 1;
            Ok(saved)
        }
    }
}

/// Rows of CSV text: the first line names fields; multi-selects are separated by `|`.
fn rows_of_csv(kind: &RecordType, text: &str) -> Result<Vec<Map<String, Json>>, Refusal> {
    let mut lines = parse_csv(text)?.into_iter();
    let header = lines.next().unwrap_or_default();
    let names: Vec<String> = header.iter().map(|name| name.trim().to_lowercase()).collect();
    let mut rows = Vec::new();
    for (index, cells) in lines.enumerate() {
        if cells.len() != names.len() {
            let message = format!("Row {} has {} cells, the header {}.", index + 1, cells.len(), names.len());
            return Err(Refusal::new("INVALID_CONTENT", message).at("csv"));
        }
        let cell = |name: &String, cell: String| {
            let is_multi = kind.position(name).is_some_and(|at| kind.fields[at].kind == Kind::MultiSelect);
            let json = match cell {
                cell if is_multi => cell.split('|').filter(|option| !option.is_empty()).map(Json::from).collect(),
                cell if cell.is_empty() => Json::Null,
                cell => Json::from(cell),
            };
            (name.clone(), json)
        };
        rows.push(names.iter().zip(cells).map(|(name, text)| cell(name, text)).collect());
    }
    Ok(rows)
}

/// RFC 4180: quoted cells may hold commas, line ends and doubled quotes.
fn parse_csv(text: &str) -> Result<Vec<Vec<String>>, Refusal> {
    let mut rows = Vec::new();
    let mut row = Vec::new();
    let mut cell = String::new();
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            other => cell.push(other),
        }
    }
    if quoted {
        return Err(Refusal::new("INVALID_CONTENT", "A quoted cell is not closed.").at("csv"));
    }
    if !cell.is_empty() || !row.is_empty() {
        row.push(cell);
        rows.push(row);
    }
    rows.retain(|row| row.len() > 1 || row.iter().any(|cell| !cell.is_empty()));
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_cells_may_hold_commas_quotes_and_line_ends() {
        let rows = parse_csv("a,b\r\n\"x, \"\"y\"\"\",\"two\nlines\"\n\n1,\n").unwrap();
        assert_eq!(rows, [vec!["a", "b"], vec!["x, \"y\"", "two\nlines"], vec!["1", ""]]);
        assert!(parse_csv("a\n\"open").is_err());
    }
}

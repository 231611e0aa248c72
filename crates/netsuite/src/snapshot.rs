//! A record as one query shows it, and its lines as a second one does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::spec::{FieldSpec, LinesSpec, TypeSpec};
use model::{ErrorClass, Failure, Fields, NativeId, RemoteError, Rid, Timestamp, Value};

use crate::columns::{self, EXTERNAL_ID, ID, MODIFIED, NOW, STAMP};
use crate::connection::Connection;
use crate::encode;
use crate::suiteql::{IN_LIST, PAGE_ROWS, Row, query, refused, unreadable};

/// The one SuiteQL table of transaction lines, and the sublist it shows.
const LINE_TABLE: &str = "transactionline";
const LINE_SUBLIST: &str = "item";
/// The table whose lines it holds.
const LINE_PARENT: &str = "transaction";
/// Line columns that SuiteQL shows with the sign turned for sales (fact sheet §4).
const SIGN_FLIPPED: [&str; 3] = ["quantity", "netamount", "foreignamount"];
/// The transactions that are sales.
const SALES: [&str; 6] = ["salesorder", "estimate", "invoice", "cashsale", "itemfulfillment", "opportunity"];
const PARENT: &str = "concord_parent";
const MAINLINE: &str = "concord_mainline";

/// A record at one instant.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Snapshot {
    pub(crate) native_id: NativeId,
    pub(crate) fields: Fields,
    pub(crate) modified: Timestamp,
    pub(crate) stamp: Option<(Rid, u64)>,
    pub(crate) external_rid: Option<Rid>,
    pub(crate) now: Timestamp,
    /// What a second query must show as well, if both are to be of one instant.
    mark: Mark,
}

/// Moves with every write of ours, and with every user's edit unless it falls into the same second.
type Mark = (Option<String>, String);

impl Snapshot {
    /// Reads a row of [`columns::select`].
    pub(crate) fn read(spec: &TypeSpec, row: &Row) -> Result<Self, Failure> {
        let mut fields = Fields::new();
        for field in spec.fields.iter().filter(|field| field.lines().is_none()) {
            fields.insert(field.name.clone(), encode::value(field, row.text(&field.name))?);
        }
        let id = row.number(ID)?;
        Ok(Self {
            native_id: NativeId::parse(&id.to_string()).map_err(|_| unreadable("an id is no id".to_owned()))?,
            fields,
            modified: instant(row, MODIFIED)?,
            stamp: encode::stamp(row.text(STAMP)),
            external_rid: encode::external_rid(row.text(EXTERNAL_ID)),
            now: instant(row, NOW)?,
            mark: mark(row)?,
        })
    }

    /// How long before the read the record was last modified, by NetSuite's clock.
    pub(crate) fn age(&self) -> Duration {
        Duration::try_from(self.now.duration_since(self.modified)).unwrap_or_default()
    }
}

fn mark(row: &Row) -> Result<Mark, Failure> {
    Ok((row.text(STAMP).map(str::to_owned), row.required(MODIFIED)?.to_owned()))
}

/// A UTC instant from [`columns::utc`].
pub(crate) fn instant(row: &Row, column: &str) -> Result<Timestamp, Failure> {
    let text = row.required(column)?;
    text.parse().map_err(|_| unreadable(format!("the column {column} holds no UTC instant")))
}

/// The sublist of a type, if it has one that can be read.
pub(crate) fn sublist(spec: &TypeSpec) -> Result<Option<(&FieldSpec, &LinesSpec)>, Failure> {
    let mut sublists = spec.fields.iter().filter_map(|field| Some((field, field.lines()?)));
    let Some((field, lines)) = sublists.next() else { return Ok(None) };
    if lines.sublist != LINE_SUBLIST || spec.netsuite.table != LINE_PARENT || sublists.next().is_some() {
        let reason = format!(
            "the sublist {} of {} cannot be read: only the sublist `{LINE_SUBLIST}` of the table `{LINE_PARENT}` can",
            lines.sublist, spec.name
        );
        return Err(Failure::new(ErrorClass::Operational, "unsupported_sublist", reason));
    }
    Ok(Some((field, lines)))
}

/// Lines of one record while its pages come in.
#[derive(Default)]
struct Gathered {
    lines: BTreeMap<String, Option<Fields>>,
    mark: Option<Mark>,
    torn: bool,
}

/// Puts the lines into these snapshots, by internal id, and names those whose record changed between the two
/// queries. A record half of one instant and half of another must not be folded: our own write in its lines but not
/// in its stamp would be taken for a user's edit.
pub(crate) async fn add_lines(
    connection: &Connection,
    spec: &TypeSpec,
    snapshots: &mut BTreeMap<i64, Result<Snapshot, RemoteError>>,
) -> Result<BTreeSet<i64>, RemoteError> {
    let Some((field, lines)) = sublist(spec).map_err(refused)? else { return Ok(BTreeSet::new()) };
    let ids: Vec<i64> = snapshots.iter().filter(|(_, snapshot)| snapshot.is_ok()).map(|(id, _)| *id).collect();
    let mut torn = BTreeSet::new();
    for ids in ids.chunks(IN_LIST) {
        let mut gathered = gather(connection, spec, lines, ids).await?;
        for id in ids {
            let Some(Ok(snapshot)) = snapshots.get_mut(id) else { continue };
            // Every transaction has a main line; without one it is gone, or the lines are hidden.
            match gathered.remove(id).unwrap_or_else(|| Ok(Gathered::default())) {
                Ok(found) if found.torn || found.mark.as_ref() != Some(&snapshot.mark) => {
                    torn.insert(*id);
                }
                Ok(found) => {
                    let value = if found.lines.is_empty() { Value::Null } else { Value::Lines(found.lines) };
                    snapshot.fields.insert(field.name.clone(), value);
                }
                Err(failure) => {
                    snapshots.insert(*id, Err(refused(failure)));
                }
            }
        }
    }
    Ok(torn)
}

/// All lines of these records: one query, or as many as its pages are.
async fn gather(
    connection: &Connection,
    spec: &TypeSpec,
    lines: &LinesSpec,
    ids: &[i64],
) -> Result<BTreeMap<i64, Outcome>, RemoteError> {
    let mut gathered: BTreeMap<i64, Outcome> = BTreeMap::new();
    let mut after = None;
    loop {
        let statement = statement(spec, lines, ids, after).map_err(refused)?;
        let rows = query(connection, &statement, PAGE_ROWS).await?;
        for row in &rows {
            let parent = row.number(PARENT).map_err(refused)?;
            let line = row.number(ID).map_err(refused)?;
            if after.is_some_and(|after| (parent, line) <= after) {
                return Err(refused(unreadable("lines do not come in the order asked for".to_owned())));
            }
            after = Some((parent, line));
            let outcome = gathered.entry(parent).or_insert_with(|| Ok(Gathered::default()));
            if let Err(failure) = take(spec, lines, row, line, outcome) {
                *outcome = Err(failure);
            }
        }
        if rows.len() < PAGE_ROWS {
            return Ok(gathered);
        }
    }
}

type Outcome = Result<Gathered, Failure>;

fn take(spec: &TypeSpec, lines: &LinesSpec, row: &Row, line: i64, outcome: &mut Outcome) -> Result<(), Failure> {
    let Ok(gathered) = outcome else { return Ok(()) };
    let mark = mark(row)?;
    gathered.torn |= gathered.mark.as_ref().is_some_and(|before| *before != mark);
    gathered.mark = Some(mark);
    if row.text(MAINLINE) == Some("T") {
        return Ok(());
    }
    let mut fields = Fields::new();
    for field in &lines.line {
        let value = encode::value(field, row.text(&field.name))?;
        let turned = SIGN_FLIPPED.contains(&field.name.as_str()) && SALES.contains(&spec.name.as_str());
        fields.insert(field.name.clone(), if turned { encode::flipped(value) } else { value });
    }
    gathered.lines.insert(line.to_string(), Some(fields));
    Ok(())
}

/// The main line comes along: it is there for every transaction and shows the record's mark even where no other
/// line does.
fn statement(spec: &TypeSpec, lines: &LinesSpec, ids: &[i64], after: Option<(i64, i64)>) -> Result<String, Failure> {
    let mut columns = vec![
        format!("tl.transaction AS {PARENT}"),
        format!("tl.id AS {ID}"),
        format!("tl.mainline AS {MAINLINE}"),
        format!("{} AS {MODIFIED}", columns::utc("t.lastmodifieddate")),
    ];
    if let Some(stamp) = &spec.netsuite.stamp_field {
        columns.push(format!("t.{} AS {STAMP}", columns::name(stamp)?));
    }
    columns.extend(columns::line_columns("tl", lines)?);
    let further = after.map(|(parent, line)| {
        format!(" AND (tl.transaction > {parent} OR (tl.transaction = {parent} AND tl.id > {line}))")
    });
    Ok(format!(
        "SELECT {} FROM {LINE_TABLE} tl JOIN {LINE_PARENT} t ON t.id = tl.transaction WHERE tl.transaction IN ({}) \
         AND tl.taxline = 'F'{} ORDER BY tl.transaction ASC, tl.id ASC",
        columns.join(", "),
        columns::list(ids),
        further.unwrap_or_default(),
    ))
}

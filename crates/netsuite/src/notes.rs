//! System notes: who made what of which field, in the order of their ids. Where records carry no stamp of ours they tell
//! which of our writes landed and what it replaced (semantics §2.9, guard 2).
//!
//! Assumed, not documented: a save's notes are there when the save is, and later saves have higher ids. Notes show values as
//! people see them, so of references, sets and dates only the fact of a change is known.

use std::collections::BTreeMap;

use model::spec::{FieldSpec, Kind, Notes, TypeSpec};
use model::{Failure, Fields, RemoteError, Value};

use crate::columns;
use crate::connection::Connection;
use crate::encode;
use crate::suiteql::{IN_LIST, PAGE_ROWS, Row, query, refused};

const RECORD: &str = "concord_record";
const NEWEST: &str = "concord_newest";

/// One note of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    id: u64,
    field: String,
    old: Option<String>,
    new: Option<String>,
    ours: bool,
}

/// What the notes tell of our write to a record.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Told {
    /// The record in the fields concerned, as it was just before the write.
    pub(crate) before: Fields,
    /// Fields of which nobody can say what the write replaced.
    pub(crate) unproven: Vec<String>,
}

/// The newest note of each record; 1 where there is none, so that 0 always means "never looked".
pub(crate) async fn newest(
    connection: &Connection,
    notes: &Notes,
    ids: &[i64],
) -> Result<BTreeMap<i64, u64>, RemoteError> {
    let mut newest: BTreeMap<i64, u64> = ids.iter().map(|id| (*id, 1)).collect();
    for batch in ids.chunks(IN_LIST) {
        let statement = format!(
            "SELECT recordid AS {RECORD}, MAX(id) AS {NEWEST} FROM systemnote WHERE recordtypeid = {} AND recordid IN ({}) \
             GROUP BY recordid",
            notes.record_type_id,
            columns::list(batch),
        );
        for row in query(connection, &statement, PAGE_ROWS).await? {
            newest.insert(row.number(RECORD).map_err(refused)?, count(&row, NEWEST).map_err(refused)?);
        }
    }
    Ok(newest)
}

/// Notes that came after a given one, by record, oldest first.
pub(crate) async fn since(
    connection: &Connection,
    notes: &Notes,
    asked: &[(i64, u64)],
) -> Result<BTreeMap<i64, Vec<Note>>, RemoteError> {
    let mut found: BTreeMap<i64, Vec<Note>> = BTreeMap::new();
    for batch in asked.chunks(IN_LIST) {
        let known: BTreeMap<i64, u64> = batch.iter().copied().collect();
        let mut last = known.values().copied().min().unwrap_or_default();
        loop {
            let statement = format!(
                "SELECT id, recordid, field, oldvalue, newvalue, name FROM systemnote WHERE recordtypeid = {} AND recordid IN \
                 ({}) AND id > {last} ORDER BY id ASC",
                notes.record_type_id,
                columns::list(known.keys()),
            );
            let rows = query(connection, &statement, PAGE_ROWS).await?;
            for row in &rows {
                let record = row.number("recordid").map_err(refused)?;
                let note = read(connection, row).map_err(refused)?;
                last = last.max(note.id);
                if known.get(&record).is_some_and(|after| note.id > *after) {
                    found.entry(record).or_default().push(note);
                }
            }
            if rows.len() < PAGE_ROWS {
                break;
            }
        }
    }
    Ok(found)
}

fn count(row: &Row, column: &str) -> Result<u64, Failure> {
    Ok(u64::try_from(row.number(column)?).unwrap_or_default())
}

fn read(connection: &Connection, row: &Row) -> Result<Note, Failure> {
    let author = row.text("name").and_then(|name| name.parse::<i64>().ok());
    Ok(Note {
        id: count(row, "id")?,
        field: row.required("field")?.to_owned(),
        old: row.text("oldvalue").map(str::to_owned),
        new: row.text("newvalue").map(str::to_owned),
        ours: author.is_some() && author == connection.integration_user(),
    })
}

impl Note {
    fn is_of(&self, field: &FieldSpec) -> bool {
        self.field.eq_ignore_ascii_case(field.note.as_deref().unwrap_or(&field.name))
    }
}

/// Has a write of ours landed after the note that was known before it? There is never more than one on its way.
pub(crate) fn landed(newer: &[Note]) -> bool {
    newer.iter().any(|note| note.ours)
}

/// What notes newer than the look tell. `wrote`: what the write set; `None` where it is not known any more, and then only
/// what notes say by themselves is told.
pub(crate) fn tell(spec: &TypeSpec, newer: &[Note], wrote: Option<(&Fields, &Fields)>) -> Told {
    let first = newer.iter().find(|note| note.ours).map_or(u64::MAX, |note| note.id);
    let mut told = Told::default();
    for field in &spec.fields {
        let mut of_field = newer.iter().filter(|note| note.is_of(field));
        let ours = of_field.clone().find(|note| note.ours);
        let theirs = of_field.rfind(|note| !note.ours && note.id < first);
        let (changed, pre) = match wrote {
            Some((changes, pre)) => (changes.get(&field.name), pre.get(&field.name)),
            None => (None, None),
        };
        let value = match (ours, theirs) {
            (Some(note), _) => readable(field, note.old.as_deref()),
            // No note of ours although the field was written: users had typed just that.
            (None, Some(_)) if changed.is_some_and(|value| Some(value) != pre) => changed.cloned(),
            (None, Some(note)) => readable(field, note.new.as_deref()),
            (None, None) if changed.is_none() || changed == pre => continue,
            (None, None) => None,
        };
        match value {
            Some(value) => _ = told.before.insert(field.name.clone(), value),
            // What was written is not known any more: our own note at least says that it was this field.
            None if wrote.is_none() && ours.is_some() => told.unproven.push(field.name.clone()),
            None if changed.is_some() && changed != pre => told.unproven.push(field.name.clone()),
            None => {}
        }
    }
    told
}

/// A note's text as the field's value, where it can be one.
fn readable(field: &FieldSpec, text: Option<&str>) -> Option<Value> {
    match field.kind {
        Kind::Bool | Kind::Integer | Kind::Decimal { .. } | Kind::Text { .. } => encode::value(field, text).ok(),
        Kind::Date | Kind::DateTime | Kind::Reference { .. } | Kind::Set | Kind::Lines(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use model::RecordType;
    use model::spec::World;

    use super::*;

    fn note(id: u64, ours: bool, field: &str, old: Option<&str>, new: Option<&str>) -> Note {
        Note { id, field: field.to_owned(), old: old.map(str::to_owned), new: new.map(str::to_owned), ours }
    }

    fn fields(of: &[(&str, Value)]) -> Fields {
        of.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    fn told(newer: &[Note], changes: &Fields, pre: &Fields) -> Told {
        let world = World::sample();
        tell(world.get(&RecordType::parse("customer").unwrap()).unwrap(), newer, Some((changes, pre)))
    }

    #[test]
    fn our_note_says_what_was_replaced() {
        let (changes, pre) = (fields(&[("phone", Value::text("2"))]), fields(&[("phone", Value::text("1"))]));
        let untouched = told(&[note(5, true, "PHONE", Some("1"), Some("2"))], &changes, &pre);
        assert_eq!(untouched, Told { before: pre.clone(), unproven: Vec::new() });
        let replaced = [
            note(5, false, "PHONE", Some("1"), Some("9")),
            note(6, false, "EMAIL", None, Some("a@b.example")),
            note(7, true, "PHONE", Some("9"), Some("2")),
            note(8, false, "EMAIL", Some("a@b.example"), Some("later@b.example")),
        ];
        let before = fields(&[("phone", Value::text("9")), ("email", Value::text("a@b.example"))]);
        assert_eq!(told(&replaced, &changes, &pre).before, before);
    }

    #[test]
    fn a_write_that_changed_nothing_any_more_was_typed_by_somebody_else() {
        let name = "custentity_loyalty_points";
        let (changes, pre) = (fields(&[(name, Value::Int(15))]), fields(&[(name, Value::Int(10))]));
        let newer = [
            note(5, false, "CUSTENTITY_LOYALTY_POINTS", Some("10"), Some("15")),
            note(6, false, "CUSTENTITY_LOYALTY_POINTS", Some("15"), Some("20")),
        ];
        assert_eq!(told(&newer, &changes, &pre), Told { before: changes, unproven: Vec::new() });
        assert!(!landed(&newer));
    }

    #[test]
    fn what_no_note_vouches_for_is_named() {
        let (changes, pre) = (fields(&[("phone", Value::text("2"))]), fields(&[("phone", Value::text("1"))]));
        assert_eq!(told(&[], &changes, &pre).unproven, ["phone"]);
        let set = |ids: &str| Value::Set([ids.to_owned()].into());
        let (changes, pre) = (fields(&[("custentity_tags", set("2"))]), fields(&[("custentity_tags", set("1"))]));
        let newer = [note(5, true, "CUSTENTITY_TAGS", Some("Gold"), Some("Silver"))];
        assert_eq!(
            told(&newer, &changes, &pre),
            Told { before: Fields::new(), unproven: vec!["custentity_tags".into()] }
        );
        let unchanged = fields(&[("terms", Value::text("2"))]);
        assert_eq!(told(&[], &unchanged, &unchanged), Told::default(), "the rest of a group, written as it was");
    }
}

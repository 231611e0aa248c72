//! Saving: the checks, derived fields, stamps, notes and traces of one create, update or delete.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rusqlite::types::Value as Column;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use super::children;
use super::draft::Draft;
use super::late;
use super::lines;
use super::read::{self, Stored};
use super::refusal::{Refusal, WorldError};
use super::rules;
use super::settings::Settings;
use super::value::{Value, moment_column};
use crate::catalog::{Kind, RecordType, catalog};

/// Who saves, and through what.
#[derive(Debug, Clone)]
pub(crate) struct Author {
    /// Name of the user; an unknown one becomes an employee.
    pub(crate) user: String,
    /// Execution context, e.g. `USERINTERFACE`, `RESTLET`.
    pub(crate) context: String,
}

/// The integration user that API calls run as.
pub const INTEGRATION_USER: &str = "Concord Integration";

/// What was done to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Operation {
    Create,
    Update,
    Delete,
}

/// The trace of one save.
#[derive(Debug, Clone)]
pub(crate) struct Saved {
    pub(crate) kind: &'static RecordType,
    pub(crate) operation: Operation,
    pub(crate) id: i64,
    pub(crate) at: Timestamp,
    /// The caller's line key → line id, for every line added or changed.
    pub(crate) lines: BTreeMap<String, i64>,
    /// The record as it was; nothing for a create.
    pub(crate) before: Option<Stored>,
    /// The record as it is; nothing for a delete.
    pub(crate) after: Option<Stored>,
    /// The fields of an inline edit, which are all that its scripts are given.
    pub(crate) inline: Option<Vec<&'static str>>,
    pub(crate) author: Author,
    /// Internal id of the author.
    pub(crate) by: i64,
}

/// One save inside a transaction of the world.
pub(crate) struct Saving<'a> {
    pub(crate) tx: &'a Connection,
    pub(crate) zone: &'a TimeZone,
    /// The save's moment, in whole seconds.
    pub(crate) at: Timestamp,
    pub(crate) author: &'a Author,
    pub(crate) settings: &'a Settings,
}

/// Codes of `systemnote.type`.
const NOTE_SET: i64 = 2;
const NOTE_UNSET: i64 = 3;
const NOTE_CHANGE: i64 = 4;
/// Every user of the simulator has the administrator's role.
const ROLE: i64 = 3;

impl Saving<'_> {
    /// Creates a record, under a reserved id if one was given out before.
    pub(crate) fn create(
        &self,
        kind: &'static RecordType,
        draft: &Draft,
        reserved: Option<i64>,
    ) -> Result<Saved, WorldError> {
        let id = match reserved {
            Some(id) => id,
            None => next_id(self.tx, kind.sequence)?,
        };
        let values = kind.fields.iter().map(|field| Value::empty(field.kind)).collect();
        let before = Stored { id, values, lines: BTreeMap::new() };
        let mut after = before.clone();
        self.fill(kind, &mut after, draft)?;
        rules::set_defaults(self, kind, &mut after);
        let keys = if kind.has_lines() { lines::plan(self, kind, &mut after, draft, 1)? } else { BTreeMap::new() };
        self.finish(kind, &before, &mut after)?;
        let marks = ", ?".repeat(kind.fields.len());
        let sql = format!(r#"INSERT INTO "{}" (id, {}) VALUES (?{marks})"#, kind.table, read::columns(kind));
        let columns = after.values.iter().map(|value| value.to_column(self.zone));
        let parameters = std::iter::once(Column::Integer(id)).chain(columns);
        self.tx.prepare_cached(&sql)?.execute(params_from_iter(parameters))?;
        if kind.has_lines() {
            lines::insert_main(self, &after)?;
            lines::store(self, kind, &before, &after)?;
        }
        children::store(self, kind, id, &draft.children)?;
        self.note(kind, &before, &after)?;
        self.saved(kind, Operation::Create, (None, Some(&after)), keys)
    }

    /// A record for an API call to change, unless it is absent or locked.
    pub(crate) fn load_unlocked(&self, kind: &RecordType, id: i64) -> Result<Stored, WorldError> {
        late::refuse_locked(self.tx, kind, id)?;
        read::find(self.tx, kind, id, self.zone)?.ok_or(WorldError::Absent)
    }

    /// Changes a record. A save that changes nothing still moves the modification stamp.
    pub(crate) fn update(
        &self,
        kind: &'static RecordType,
        before: &Stored,
        draft: &Draft,
    ) -> Result<Saved, WorldError> {
        let mut after = before.clone();
        self.fill(kind, &mut after, draft)?;
        let keys = if kind.has_lines() {
            let next = lines::next_line(self.tx, before.id)?;
            lines::plan(self, kind, &mut after, draft, next)?
        } else {
            BTreeMap::new()
        };
        self.finish(kind, before, &mut after)?;
        let changed: Vec<usize> =
            (0..after.values.len()).filter(|index| before.values[*index] != after.values[*index]).collect();
        let assignments = changed.iter().map(|index| format!("\"{}\" = ?", kind.fields[*index].name));
        let assignments = std::iter::once("id = id".to_owned()).chain(assignments).collect::<Vec<_>>().join(", ");
        let sql = format!(r#"UPDATE "{}" SET {assignments} WHERE id = ?"#, kind.table);
        let columns = changed.iter().map(|index| after.values[*index].to_column(self.zone));
        let parameters = columns.chain(std::iter::once(Column::Integer(before.id)));
        self.tx.prepare_cached(&sql)?.execute(params_from_iter(parameters))?;
        if kind.has_lines() {
            lines::store(self, kind, before, &after)?;
        }
        children::store(self, kind, before.id, &draft.children)?;
        self.note(kind, before, &after)?;
        self.saved(kind, Operation::Update, (Some(before), Some(&after)), keys)
    }

    /// Deletes a record, leaving a row in deletedrecord.
    pub(crate) fn delete(&self, kind: &'static RecordType, before: &Stored) -> Result<Saved, WorldError> {
        rules::refuse_dependents(self.tx, kind, before.id)?;
        self.tx.prepare_cached(&format!(r#"DELETE FROM "{}" WHERE id = ?"#, kind.table))?.execute([before.id])?;
        if kind.has_lines() {
            lines::remove_all(self.tx, before.id)?;
        }
        children::remove_all(self, kind, before.id)?;
        if Settings::names(&self.settings.untracked_deletes, kind) {
            return self.saved(kind, Operation::Delete, (Some(before), None), BTreeMap::new());
        }
        let title = before.value(kind, kind.title).to_note();
        let by = employee(self.tx, &self.author.user)?;
        let stamp = moment_column(self.at);
        self.tx
            .prepare_cached(
                "INSERT INTO deletedrecord (recordid, recordtypeid, type, name, deletedby, deleteddate, context,
                   iscustomrecord)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                before.id,
                kind.type_id,
                kind.deleted_type,
                title,
                by,
                stamp,
                self.author.context,
                if kind.table.starts_with("customrecord") { "T" } else { "F" }
            ])?;
        self.saved(kind, Operation::Delete, (Some(before), None), BTreeMap::new())
    }

    fn fill(&self, kind: &RecordType, after: &mut Stored, draft: &Draft) -> Result<(), WorldError> {
        for (position, value) in &draft.values {
            let field = &kind.fields[*position];
            if let (Kind::Reference(table), Value::Reference(id)) = (field.kind, value) {
                self.must_exist(table, *id, || Refusal::bad_reference(field, &value.to_json()))?;
            }
            after.values[*position] = value.clone();
        }
        Ok(())
    }

    /// Refuses a reference to nothing.
    pub(crate) fn must_exist(&self, table: &str, id: i64, refusal: impl FnOnce() -> Refusal) -> Result<(), WorldError> {
        let key = catalog().table(table).and_then(|own| own.key).unwrap_or("id");
        let sql = format!(r#"SELECT 1 FROM "{table}" WHERE "{key}" = ?"#);
        let found = self.tx.prepare_cached(&sql)?.query_row([id], |_| Ok(())).optional()?;
        found.ok_or_else(|| refusal().into())
    }

    /// Checks the whole record, then derives what NetSuite derives and stamps it.
    fn finish(&self, kind: &'static RecordType, before: &Stored, after: &mut Stored) -> Result<(), WorldError> {
        self.run_workflows(kind, after);
        rules::refuse_missing(kind, after)?;
        rules::refuse_duplicates(self.tx, kind, before, after)?;
        rules::derive(self.tx, kind, after)?;
        let by = employee(self.tx, &self.author.user)?;
        after.set(kind, kind.modified, Value::Moment(self.at));
        after.set(kind, "lastmodifiedby", Value::Reference(by));
        Ok(())
    }

    /// Workflows see what the save brings and rewrite their fields before it is stored.
    fn run_workflows(&self, kind: &RecordType, after: &mut Stored) {
        for workflow in &self.settings.workflows {
            let concerns = RecordType::named(&workflow.type_name).is_some_and(|own| std::ptr::eq(own, kind));
            if let Value::Text(text) = after.value(kind, &workflow.field)
                && concerns
            {
                let rewritten = workflow.rewrite.apply(text);
                let value = if rewritten.is_empty() { Value::Null } else { Value::Text(rewritten) };
                after.set(kind, &workflow.field, value);
            }
        }
    }

    /// One system note per body field that changed.
    fn note(&self, kind: &RecordType, before: &Stored, after: &Stored) -> Result<(), WorldError> {
        let by = employee(self.tx, &self.author.user)?;
        let stamp = moment_column(self.at);
        let mut statement = self.tx.prepare_cached(
            "INSERT INTO systemnote
               (date, field, oldvalue, newvalue, recordid, recordtypeid, record, name, role, context, type)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?;
        for (index, field) in kind.fields.iter().enumerate() {
            let (old, new) = (&before.values[index], &after.values[index]);
            let noted = !field.read_only || field.name == "status";
            if !noted || old.same(new) {
                continue;
            }
            let code = match (old.is_empty(), new.is_empty()) {
                (true, _) => NOTE_SET,
                (false, true) => NOTE_UNSET,
                (false, false) => NOTE_CHANGE,
            };
            statement.execute(params![
                stamp,
                field.name.to_uppercase(),
                old.to_note(),
                new.to_note(),
                after.id,
                kind.type_id,
                kind.name,
                by,
                ROLE,
                self.author.context,
                code
            ])?;
        }
        Ok(())
    }

    fn saved(
        &self,
        kind: &'static RecordType,
        operation: Operation,
        (before, after): (Option<&Stored>, Option<&Stored>),
        lines: BTreeMap<String, i64>,
    ) -> Result<Saved, WorldError> {
        Ok(Saved {
            kind,
            operation,
            id: after.or(before).map_or(0, |stored| stored.id),
            at: self.at,
            lines,
            before: before.cloned(),
            after: after.cloned(),
            inline: None,
            author: self.author.clone(),
            by: employee(self.tx, &self.author.user)?,
        })
    }
}

/// The next number of a sequence.
pub(crate) fn next_id(tx: &Connection, sequence: &str) -> rusqlite::Result<i64> {
    tx.prepare_cached("UPDATE sim_seq SET next = next + 1 WHERE name = ? RETURNING next - 1")?
        .query_row([sequence], |row| row.get(0))
}

/// The internal id of a user; an unknown name becomes an employee.
pub(crate) fn employee(tx: &Connection, name: &str) -> rusqlite::Result<i64> {
    let found = tx
        .prepare_cached("SELECT id FROM employee WHERE entityid = ?")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    if let Some(id) = found {
        return Ok(id);
    }
    let id = next_id(tx, "employee")?;
    tx.execute("INSERT INTO employee (id, entityid) VALUES (?, ?)", params![id, name])?;
    Ok(id)
}

//! Custom record types: rows that scripts keep, with a table of their own in SuiteQL.
//!
//! They are not synced and nobody edits them by hand, so they leave neither system notes nor a deletedrecord row.

use std::sync::LazyLock;

use rusqlite::types::Value as Column;
use rusqlite::{Connection, OptionalExtension, params_from_iter};
use serde_json::{Map, Value as Json};

use super::World;
use super::refusal::{Refusal, WorldError};
use super::save::employee;
use super::value::{Value, moment_column};
use crate::catalog::{Field, RecordType, Table, catalog};

/// A custom record type.
#[derive(Debug)]
pub(crate) struct CustomType {
    /// Script id of the type, which is the table's name too.
    pub(crate) name: &'static str,
    pub(crate) fields: Vec<&'static Field>,
}

/// A row of a custom record type.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CustomRow {
    pub(crate) id: i64,
    /// In the order of [`CustomType::fields`].
    pub(crate) values: Vec<Value>,
}

/// The outbox of our scripts.
const OUTBOX: &str = "customrecord_concord_outbox";
/// What the fields of custom records begin with; all other columns NetSuite keeps by itself.
const OWN: &str = "custrecord";

/// Every custom record type that is kept by scripts alone: those of the catalogue without a record of their own.
static TYPES: LazyLock<Vec<CustomType>> = LazyLock::new(|| {
    let tables = catalog().tables.iter().filter(|table| table.name.starts_with("customrecord"));
    let scripts_own = tables.filter(|table| RecordType::named(table.name).is_none());
    let own = |table: &'static Table| table.columns.iter().filter(|field| field.name.starts_with(OWN)).collect();
    scripts_own.map(|table| CustomType { name: table.name, fields: own(table) }).collect()
});

impl CustomType {
    /// The type of that script id.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        TYPES.iter().find(|kind| kind.name.eq_ignore_ascii_case(name))
    }

    /// Changes that are still to be told to Concord.
    pub(crate) fn outbox() -> &'static Self {
        Self::named(OUTBOX).expect("the catalogue has the outbox")
    }

    /// A row that nobody has filled in yet.
    pub(crate) fn blank(&self) -> Vec<Value> {
        self.fields.iter().map(|field| Value::empty(field.kind)).collect()
    }

    /// Sets values by name.
    ///
    /// # Errors
    /// A field that does not exist or does not take the value.
    pub(crate) fn fill(&self, values: &mut [Value], set: &Map<String, Json>) -> Result<(), Refusal> {
        for (name, json) in set {
            let position = self.fields.iter().position(|field| field.name == name);
            let position = position.ok_or_else(|| Refusal::unknown_field(name))?;
            values[position] = Value::from_json(self.fields[position], json)?;
        }
        Ok(())
    }

    fn columns(&self) -> String {
        self.fields.iter().map(|field| field.name).collect::<Vec<_>>().join(", ")
    }
}

impl World {
    /// A row of a custom record type.
    pub(crate) fn custom(&self, kind: &CustomType, id: i64) -> Result<Option<CustomRow>, WorldError> {
        self.read(|reader| find(&reader.connection, kind, id, self))
    }

    /// Rows of a custom record type.
    pub(crate) fn custom_count(&self, kind: &CustomType) -> Result<i64, WorldError> {
        self.read(|reader| {
            let sql = format!("SELECT count(*) FROM {}", kind.name);
            Ok(reader.connection.prepare_cached(&sql)?.query_row([], |row| row.get(0))?)
        })
    }

    /// Adds a row.
    pub(crate) fn add_custom(&self, kind: &CustomType, values: &[Value], user: &str) -> Result<i64, WorldError> {
        let writer = self.writer();
        let stamp = Column::Text(moment_column(self.now()));
        let by = Column::Integer(employee(&writer, user)?);
        let marks = ", ?".repeat(values.len());
        let sql = format!(
            "INSERT INTO {} (created, lastmodified, owner, {}) VALUES (?, ?, ?{marks}) RETURNING id",
            kind.name,
            kind.columns()
        );
        let columns = [stamp.clone(), stamp, by].into_iter();
        let parameters = columns.chain(values.iter().map(|value| value.to_column(&self.zone)));
        Ok(writer.prepare_cached(&sql)?.query_row(params_from_iter(parameters), |row| row.get(0))?)
    }

    /// Changes a row, if it is still what it was taken for; a script that only submits fields takes it for nothing.
    ///
    /// # Errors
    /// [`WorldError::Absent`], or a refusal when somebody else changed it.
    pub(crate) fn change_custom(
        &self,
        kind: &CustomType,
        id: i64,
        loaded: Option<&CustomRow>,
        set: &Map<String, Json>,
    ) -> Result<(), WorldError> {
        let mut writer = self.writer();
        let tx = writer.transaction()?;
        let stored = find(&tx, kind, id, self)?.ok_or(WorldError::Absent)?;
        if loaded.is_some_and(|loaded| *loaded != stored) {
            return Err(Refusal::locked().into());
        }
        let mut values = stored.values;
        kind.fill(&mut values, set)?;
        let assignments = kind.fields.iter().map(|field| format!("{} = ?", field.name)).collect::<Vec<_>>().join(", ");
        let sql = format!("UPDATE {} SET lastmodified = ?, {assignments} WHERE id = ?", kind.name);
        let parameters = std::iter::once(Column::Text(moment_column(self.now())))
            .chain(values.iter().map(|value| value.to_column(&self.zone)))
            .chain(std::iter::once(Column::Integer(id)));
        tx.prepare_cached(&sql)?.execute(params_from_iter(parameters))?;
        Ok(tx.commit()?)
    }

    /// Removes a row.
    ///
    /// # Errors
    /// [`WorldError::Absent`] when it is not there.
    pub(crate) fn remove_custom(&self, kind: &CustomType, id: i64) -> Result<(), WorldError> {
        let writer = self.writer();
        let sql = format!("DELETE FROM {} WHERE id = ?", kind.name);
        match writer.prepare_cached(&sql)?.execute([id])? {
            0 => Err(WorldError::Absent),
            _ => Ok(()),
        }
    }
}

fn find(connection: &Connection, kind: &CustomType, id: i64, world: &World) -> Result<Option<CustomRow>, WorldError> {
    let sql = format!("SELECT {} FROM {} WHERE id = ?", kind.columns(), kind.name);
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement.query_row([id], |row| {
        let mut values = Vec::with_capacity(kind.fields.len());
        for (index, field) in kind.fields.iter().enumerate() {
            values.push(Value::from_column(field.kind, row.get_ref(index)?, &world.zone));
        }
        Ok(CustomRow { id, values })
    });
    Ok(found.optional()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Kind;

    #[test]
    fn the_outbox_has_the_fields_that_its_object_says() {
        let object = include_str!("../../../../deploy/netsuite/src/Objects/customrecord_concord_outbox.xml");
        let document = roxmltree::Document::parse(object).unwrap();
        assert_eq!(document.root_element().attribute("scriptid"), Some(OUTBOX));
        let described: Vec<(String, Kind)> = document
            .descendants()
            .filter(|node| node.has_tag_name("customrecordcustomfield"))
            .map(|node| {
                let kind = node.children().find(|child| child.has_tag_name("fieldtype")).unwrap().text().unwrap();
                let kind = match kind {
                    "TEXT" => Kind::Text(300),
                    "CLOBTEXT" => Kind::Text(1_000_000),
                    "INTEGER" => Kind::Integer,
                    "CHECKBOX" => Kind::Bool,
                    other => panic!("{other}"),
                };
                (node.attribute("scriptid").unwrap().to_owned(), kind)
            })
            .collect();
        let own: Vec<(String, Kind)> =
            CustomType::outbox().fields.iter().map(|field| (field.name.to_owned(), field.kind)).collect();
        assert_eq!(own, described);
    }
}

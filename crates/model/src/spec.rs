//! Record types as data: fields, kinds, policies, and how they map to a tenant's tables.
//!
//! Read from TOML (`CONCORD_TYPES`); without a file the sample world of contracts §9 applies, see [`World::sample`].

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::RecordType;

mod check;
mod field;

use check::{check, check_mark};
pub use field::{FieldSpec, Kind, LinesSpec, Policy};

/// All record types that are synced.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct World {
    /// By name.
    #[serde(rename = "type")]
    pub types: Vec<TypeSpec>,
}

/// One record type.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypeSpec {
    /// SuiteQL name in lower case: `customer`, `item`, `salesorder`.
    pub name: RecordType,
    /// Where NetSuite keeps it.
    pub netsuite: NetsuiteTable,
    /// Where the tenant keeps it.
    pub suitex: SuitexTable,
    /// When one side deletes what the other edits.
    pub delete_policy: DeletePolicy,
    /// How far a conflict locks.
    #[serde(default)]
    pub lock: LockScope,
    /// Fields that together name one thing in the world (semantics §2.8); empty = never adopt by match.
    #[serde(default)]
    pub match_on: Vec<String>,
    /// Body fields and sublists.
    #[serde(rename = "field")]
    pub fields: Vec<FieldSpec>,
}

/// Where NetSuite keeps a type.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetsuiteTable {
    /// SuiteQL table: `customer`, `item`, `transaction`.
    pub table: String,
    /// A further condition, e.g. `type = 'SalesOrd'`.
    #[serde(default)]
    pub filter: Option<String>,
    /// Custom field that holds our stamp `rid:n`. A type without one is written by PATCH and needs `notes`.
    #[serde(default)]
    pub stamp_field: Option<String>,
    /// For types without a custom field of ours: their system notes tell what our writes replaced (semantics §2.9, guard 2).
    #[serde(default)]
    pub notes: Option<Notes>,
    /// REST record name: `customer`, `inventoryItem`, `salesOrder`.
    pub rest: String,
    /// `deletedrecord.type` of the type's deletions.
    pub deleted_type: String,
}

/// How the system notes of a type are read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notes {
    /// `systemnote.recordtypeid` of the type: -2 for customers, -30 for transactions.
    pub record_type_id: i64,
    /// What becomes of a write of which no note can say whether it replaced a user's edit.
    #[serde(default)]
    pub unproven: Unproven,
}

/// A write that no note vouches for: of a field without notes, of a value that notes show as a text only (references, sets,
/// dates), or a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unproven {
    /// A row in the error queue says so; nothing is deleted.
    #[default]
    Report,
    /// The risk is taken: an edit in the moment between our look and our write may be lost.
    Accept,
}

/// Where a tenant keeps a type.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuitexTable {
    /// Schema-qualified table.
    pub table: String,
    /// Primary key column.
    #[serde(default = "id_column")]
    pub id: String,
    /// Column that every change raises.
    #[serde(default = "version_column")]
    pub version: String,
}

fn id_column() -> String {
    "id".to_owned()
}

fn version_column() -> String {
    "row_version".to_owned()
}

/// When one side deletes what the other edits (semantics §2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeletePolicy {
    /// It goes; unpropagated values are recorded.
    DeleteWins,
    /// It stays or returns; the deletion is recorded.
    UpdateWins,
    /// A person decides.
    Manual,
}

/// How far a conflict locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockScope {
    /// The whole record: nothing is folded or written until it is decided.
    #[default]
    Record,
    /// The field only; the others flow.
    Field,
}

impl TypeSpec {
    /// A field by its canonical name.
    pub fn field(&self, name: &str) -> Option<&FieldSpec> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// A field by canonical name or by the tenant's column, for producers that speak the tenant's words.
    pub fn field_or_column(&self, name: &str) -> Option<&FieldSpec> {
        self.field(name).or_else(|| self.fields.iter().find(|field| field.column == name))
    }

    /// The members of a field's atomic group, leader first; the field alone when it has none.
    pub fn group_of(&self, field: &FieldSpec) -> Vec<&FieldSpec> {
        match &field.group {
            None => self.fields.iter().filter(|f| f.name == field.name).collect(),
            Some(group) => self.fields.iter().filter(|f| f.group.as_ref() == Some(group)).collect(),
        }
    }

    /// Does this type hold references or sublists, which deltas alone cannot resolve?
    pub fn needs_read(&self, name: &str) -> bool {
        self.field(name).is_none_or(|f| f.lines().is_some() || f.references().is_some())
    }
}

/// A record-type file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// Not TOML, or a word that is not accepted.
    #[error("the record types cannot be read: {0}")]
    Toml(#[from] toml::de::Error),
    /// Words that contradict each other.
    #[error("record type {record_type}, field {field}: {reason}")]
    Contradiction {
        /// The type.
        record_type: String,
        /// The field.
        field: String,
        /// What is wrong.
        reason: String,
    },
}

impl World {
    /// The sample world of contracts §9.
    ///
    /// # Panics
    /// Never: a test reads the file that is compiled in.
    pub fn sample() -> Self {
        Self::parse(Self::SAMPLE).expect("the sample world that is compiled in is valid")
    }

    /// The sample world as it is written.
    pub const SAMPLE: &'static str = include_str!("sample.toml");

    /// Reads record types from TOML and checks that they do not contradict themselves.
    ///
    /// # Errors
    /// [`SpecError`] naming the type and field.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let world: Self = toml::from_str(text)?;
        world.check()?;
        Ok(world)
    }

    /// Checks that the types do not contradict themselves.
    ///
    /// # Errors
    /// [`SpecError::Contradiction`] naming the type and field.
    pub fn check(&self) -> Result<(), SpecError> {
        self.types.iter().try_for_each(|spec| {
            check_mark(spec)?;
            spec.fields.iter().try_for_each(|field| check(spec, field))
        })
    }

    /// A type by name.
    pub fn get(&self, name: &RecordType) -> Option<&TypeSpec> {
        self.types.iter().find(|spec| spec.name == *name)
    }

    /// Types by name, for sorted walks.
    pub fn by_name(&self) -> BTreeMap<&RecordType, &TypeSpec> {
        self.types.iter().map(|spec| (&spec.name, spec)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_world_is_valid_and_has_the_three_types() {
        let names: Vec<_> = World::sample().types.iter().map(|t| t.name.to_string()).collect();
        assert_eq!(names, ["customer", "item", "salesorder"]);
    }

    #[test]
    fn a_type_tells_our_writes_by_a_stamp_or_by_notes() {
        let sample = include_str!("sample.toml");
        let stamp = "stamp_field = \"custentity_concord_stamp\"";
        let with = |words: &str| World::parse(&sample.replacen(stamp, words, 1));
        let notes = with("notes = { record_type_id = -2 }").unwrap();
        let expected = Notes { record_type_id: -2, unproven: Unproven::Report };
        assert_eq!(notes.types[0].netsuite.notes, Some(expected));
        for bad in ["filter = \"1 = 1\"", &format!("{stamp}, notes = {{ record_type_id = -2 }}")] {
            let message = with(bad).unwrap_err().to_string();
            assert!(message.contains("customer") && message.contains("stamp_field or notes"), "{message}");
        }
        let order = "stamp_field = \"custbody_concord_stamp\"";
        let message = World::parse(&sample.replacen(order, "notes = { record_type_id = -30 }", 1)).unwrap_err();
        assert!(message.to_string().contains("sublist"), "{message}");
    }

    #[test]
    fn contradictions_name_type_and_field() {
        let text = include_str!("sample.toml").replacen("policy = \"union\"", "policy = \"append\"", 1);
        let message = World::parse(&text).unwrap_err().to_string();
        assert!(message.contains("customer") && message.contains("custentity_tags"), "{message}");
    }
}

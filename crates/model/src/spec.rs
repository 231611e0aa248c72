//! Record types as data: fields, kinds, policies, and how they map to a tenant's tables.
//!
//! Read from TOML (`CONCORD_TYPES`); without a file the sample world of contracts §9 applies, see [`World::sample`].

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::Deserialize;

use crate::{RecordType, Side};

mod check;

use check::{check, check_mark};

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

/// One field.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct FieldSpec {
    /// NetSuite's name, which is the canonical one.
    pub name: String,
    /// Column of the tenant's table; for a sublist its table.
    pub column: String,
    /// Shape and rules of the value.
    #[serde(flatten)]
    pub kind: Kind,
    /// Who wins when both sides changed.
    #[serde(default)]
    pub policy: Policy,
    /// Atomic group: diffed and decided as one value.
    #[serde(default)]
    pub group: Option<String>,
    /// The side on which only reading is possible; it is then the authority for the value.
    #[serde(default)]
    pub read_only: Option<Side>,
    /// The side that accepts the value only when the record is created.
    #[serde(default)]
    pub create_only: Option<Side>,
    /// Name of this field in record JSON of SuiteTalk REST, where that is not its SuiteQL name.
    #[serde(default)]
    pub rest: Option<String>,
    /// `systemnote.field` of this field, where that is not its name in capitals.
    #[serde(default)]
    pub note: Option<String>,
}

/// Shape of a value.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Kind {
    /// A checkbox; missing = false.
    Bool,
    /// A whole number that is counted with.
    Integer,
    /// An exact decimal.
    Decimal {
        /// Digits after the point, 0 to 12.
        scale: u32,
    },
    /// Text in NFC with LF line ends.
    Text {
        /// Longest length in characters; longer text is refused.
        #[serde(default = "text_limit")]
        max: usize,
        /// Keep trailing spaces (NetSuite trims).
        #[serde(default)]
        keep_trailing: bool,
    },
    /// `YYYY-MM-DD`.
    Date,
    /// UTC, whole seconds.
    DateTime,
    /// Another synced record.
    Reference {
        /// Its type.
        to: RecordType,
    },
    /// A set of ids.
    Set,
    /// A sublist.
    Lines(Box<LinesSpec>),
}

fn text_limit() -> usize {
    4000
}

/// A sublist.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct LinesSpec {
    /// NetSuite's sublist id: `item`.
    pub sublist: String,
    /// Primary key column of the line table.
    pub id: String,
    /// Column naming the parent.
    pub parent: String,
    /// When one side deletes a line the other edits.
    pub line_delete_policy: DeletePolicy,
    /// Line fields that name a line where ids do not (business key).
    #[serde(default)]
    pub match_on: Vec<String>,
    /// The line's fields.
    pub line: Vec<FieldSpec>,
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

/// Who wins when both sides changed (semantics §2.5).
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// SuiteX's value; the other is recorded.
    SuitexWins,
    /// NetSuite's value; the other is recorded.
    NetsuiteWins,
    /// The later edit; within a second NetSuite's.
    #[default]
    NewestWins,
    /// A person.
    Manual,
    /// Sets: additions and removals of both.
    Union,
    /// Both increments count.
    NumericDelta {
        /// Lowest value allowed.
        #[serde(default)]
        floor: Option<Decimal>,
        /// Highest value allowed.
        #[serde(default)]
        ceiling: Option<Decimal>,
    },
    /// The larger.
    Max,
    /// The smaller.
    Min,
    /// Both suffixes.
    Append,
    /// Once set it stays; every later change is undone and recorded.
    Immutable,
    /// Never compared, never written.
    Ignored,
    /// NetSuite computes it.
    NsDerived,
    /// SuiteX computes it.
    SxDerived,
}

impl Policy {
    /// The word in rows and messages.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::SuitexWins => "suitex_wins",
            Self::NetsuiteWins => "netsuite_wins",
            Self::NewestWins => "newest_wins",
            Self::Manual => "manual",
            Self::Union => "union",
            Self::NumericDelta { .. } => "numeric_delta",
            Self::Max => "max",
            Self::Min => "min",
            Self::Append => "append",
            Self::Immutable => "immutable",
            Self::Ignored => "ignored",
            Self::NsDerived => "ns_derived",
            Self::SxDerived => "sx_derived",
        }
    }

    /// Policies under which equal changes on both sides still both count: exact attribution is needed (C1).
    pub fn additive(&self) -> bool {
        matches!(self, Self::NumericDelta { .. } | Self::Append)
    }
}

impl FieldSpec {
    /// The side whose value always stands: it computes the value, or will not take another.
    pub fn authority(&self) -> Option<Side> {
        match self.policy {
            Policy::NsDerived => Some(Side::Netsuite),
            Policy::SxDerived => Some(Side::Suitex),
            Policy::SuitexWins
            | Policy::NetsuiteWins
            | Policy::NewestWins
            | Policy::Manual
            | Policy::Union
            | Policy::NumericDelta { .. }
            | Policy::Max
            | Policy::Min
            | Policy::Append
            | Policy::Immutable
            | Policy::Ignored => self.read_only,
        }
    }

    /// May this field be written to the side, by an update (`create = false`) or a create?
    pub fn writable(&self, side: Side, create: bool) -> bool {
        self.policy != Policy::Ignored && self.authority() != Some(side) && (create || self.create_only != Some(side))
    }

    /// The sublist's rules, for a sublist.
    pub fn lines(&self) -> Option<&LinesSpec> {
        match &self.kind {
            Kind::Lines(lines) => Some(lines),
            Kind::Bool
            | Kind::Integer
            | Kind::Decimal { .. }
            | Kind::Text { .. }
            | Kind::Date
            | Kind::DateTime
            | Kind::Reference { .. }
            | Kind::Set => None,
        }
    }

    /// The type a reference points to.
    pub fn references(&self) -> Option<&RecordType> {
        match &self.kind {
            Kind::Reference { to } => Some(to),
            Kind::Bool
            | Kind::Integer
            | Kind::Decimal { .. }
            | Kind::Text { .. }
            | Kind::Date
            | Kind::DateTime
            | Kind::Lines(_)
            | Kind::Set => None,
        }
    }
}

impl LinesSpec {
    /// A line field by name.
    pub fn field(&self, name: &str) -> Option<&FieldSpec> {
        self.line.iter().find(|field| field.name == name)
    }
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

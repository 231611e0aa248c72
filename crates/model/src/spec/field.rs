//! Fields of record types: shapes, and who wins.

use rust_decimal::Decimal;
use serde::Deserialize;

use super::DeletePolicy;
use crate::{RecordType, Side};

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

//! The record types and their fields: one table that every surface reads.

/// How a field's value is written, stored and compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Free text up to so many characters, trimmed at both ends.
    Text(usize),
    /// A checkbox; empty is false.
    Bool,
    /// A whole number of at most fifteen digits.
    Integer,
    /// A number rounded to so many decimals.
    Decimal(u32),
    /// A day without time or zone.
    Date,
    /// A moment, to the second.
    Moment,
    /// The internal id of a row in that table.
    Reference(&'static str),
    /// A set of option ids.
    MultiSelect,
}

/// One body or line field.
#[derive(Debug)]
pub(crate) struct Field {
    /// SuiteQL name, which is the column's name too.
    pub(crate) name: &'static str,
    /// Name in record JSON.
    pub(crate) rest: &'static str,
    /// Label in refusals ("Please enter value(s) for: …").
    pub(crate) label: &'static str,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
    /// Kept by NetSuite itself; nobody may set it.
    pub(crate) read_only: bool,
}

/// Governance units of a record type (fact sheet §6.3).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Units {
    pub(crate) load: u32,
    pub(crate) save: u32,
}

/// A record type.
#[derive(Debug)]
pub(crate) struct RecordType {
    /// Name in the control API, the write RESTlet and event envelopes.
    pub(crate) name: &'static str,
    /// SuiteQL table.
    pub(crate) table: &'static str,
    /// Name in record URLs.
    pub(crate) rest: &'static str,
    /// `type` of a deletedrecord row.
    pub(crate) deleted_type: &'static str,
    /// `recordtypeid` of system notes and deleted records.
    pub(crate) type_id: i64,
    /// Field that carries Concord's write stamp.
    pub(crate) stamp: &'static str,
    /// Field shown where the record is referred to.
    pub(crate) title: &'static str,
    pub(crate) units: Units,
    pub(crate) fields: &'static [Field],
    /// Fields of the item sublist; empty for types without lines.
    pub(crate) line_fields: &'static [Field],
}

const fn field(name: &'static str, rest: &'static str, label: &'static str, kind: Kind) -> Field {
    Field { name, rest, label, kind, required: false, read_only: false }
}

impl Field {
    const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    const fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }
}

const LONG_TEXT: usize = 100_000;

/// Customers.
pub(crate) static CUSTOMER: RecordType = RecordType {
    name: "customer",
    table: "customer",
    rest: "customer",
    deleted_type: "Customer",
    type_id: -2,
    stamp: "custentity_concord_stamp",
    title: "altname",
    units: Units { load: 5, save: 10 },
    fields: &[
        field("entityid", "entityId", "Customer ID", Kind::Text(83)),
        field("externalid", "externalId", "External ID", Kind::Text(255)),
        field("companyname", "companyName", "Company Name", Kind::Text(300)).required(),
        field("altname", "altName", "Name", Kind::Text(300)).read_only(),
        field("email", "email", "Email", Kind::Text(254)),
        field("phone", "phone", "Phone", Kind::Text(60)),
        field("creditlimit", "creditLimit", "Credit Limit", Kind::Decimal(2)),
        field("comments", "comments", "Comments", Kind::Text(LONG_TEXT)),
        field("terms", "terms", "Terms", Kind::Reference("term")),
        field("currency", "currency", "Currency", Kind::Reference("currency")),
        field("isinactive", "isInactive", "Inactive", Kind::Bool),
        field("custentity_tags", "custentity_tags", "Tags", Kind::MultiSelect),
        field("custentity_loyalty_points", "custentity_loyalty_points", "Loyalty Points", Kind::Integer),
        field("custentity_concord_stamp", "custentity_concord_stamp", "Concord Stamp", Kind::Text(300)),
        field("datecreated", "dateCreated", "Date Created", Kind::Moment).read_only(),
        field("lastmodifieddate", "lastModifiedDate", "Last Modified Date", Kind::Moment).read_only(),
        field("lastmodifiedby", "lastModifiedBy", "Last Modified By", Kind::Reference("employee")).read_only(),
    ],
    line_fields: &[],
};

/// Items.
pub(crate) static ITEM: RecordType = RecordType {
    name: "item",
    table: "item",
    rest: "inventoryItem",
    deleted_type: "Item",
    type_id: -10,
    stamp: "custitem_concord_stamp",
    title: "itemid",
    units: Units { load: 5, save: 10 },
    fields: &[
        field("itemid", "itemId", "Item Name/Number", Kind::Text(60)).required(),
        field("externalid", "externalId", "External ID", Kind::Text(255)),
        field("fullname", "fullName", "Full Name", Kind::Text(60)).read_only(),
        field("displayname", "displayName", "Display Name", Kind::Text(300)),
        field("description", "description", "Description", Kind::Text(LONG_TEXT)),
        field("baseprice", "basePrice", "Base Price", Kind::Decimal(2)),
        field("isinactive", "isInactive", "Inactive", Kind::Bool),
        field("itemtype", "itemType", "Type", Kind::Text(20)).read_only(),
        field("custitem_concord_stamp", "custitem_concord_stamp", "Concord Stamp", Kind::Text(300)),
        field("createddate", "createdDate", "Date Created", Kind::Moment).read_only(),
        field("lastmodifieddate", "lastModifiedDate", "Last Modified Date", Kind::Moment).read_only(),
        field("lastmodifiedby", "lastModifiedBy", "Last Modified By", Kind::Reference("employee")).read_only(),
    ],
    line_fields: &[],
};

/// Sales orders, a kind of transaction.
pub(crate) static SALES_ORDER: RecordType = RecordType {
    name: "salesorder",
    table: "transaction",
    rest: "salesOrder",
    deleted_type: "Sales Order",
    type_id: -30,
    stamp: "custbody_concord_stamp",
    title: "tranid",
    units: Units { load: 10, save: 20 },
    fields: &[
        field("entity", "entity", "Customer", Kind::Reference("customer")).required(),
        field("externalid", "externalId", "External ID", Kind::Text(255)),
        field("tranid", "tranId", "Order #", Kind::Text(60)),
        field("trandate", "tranDate", "Date", Kind::Date),
        field("memo", "memo", "Memo", Kind::Text(4_000)),
        field("status", "status", "Status", Kind::Text(20)).read_only(),
        field("currency", "currency", "Currency", Kind::Reference("currency")).read_only(),
        field("foreigntotal", "total", "Total", Kind::Decimal(2)).read_only(),
        field("custbody_concord_stamp", "custbody_concord_stamp", "Concord Stamp", Kind::Text(300)),
        field("createddate", "createdDate", "Date Created", Kind::Moment).read_only(),
        field("lastmodifieddate", "lastModifiedDate", "Last Modified Date", Kind::Moment).read_only(),
        field("lastmodifiedby", "lastModifiedBy", "Last Modified By", Kind::Reference("employee")).read_only(),
    ],
    line_fields: &[
        field("item", "item", "Item", Kind::Reference("item")).required(),
        field("quantity", "quantity", "Quantity", Kind::Decimal(4)),
        field("rate", "rate", "Rate", Kind::Decimal(2)),
    ],
};

/// Every record type.
pub(crate) static ALL: [&RecordType; 3] = [&CUSTOMER, &ITEM, &SALES_ORDER];

impl RecordType {
    /// The type of that name in any of its spellings.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        ALL.into_iter().find(|kind| kind.name.eq_ignore_ascii_case(name) || kind.rest.eq_ignore_ascii_case(name))
    }

    /// The type a record URL names; URLs are case-sensitive.
    pub(crate) fn of_url(name: &str) -> Option<&'static Self> {
        ALL.into_iter().find(|kind| kind.rest == name)
    }

    /// Position of a field in [`RecordType::fields`].
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }

    /// Whether the type has an item sublist.
    pub(crate) fn has_lines(&self) -> bool {
        !self.line_fields.is_empty()
    }
}

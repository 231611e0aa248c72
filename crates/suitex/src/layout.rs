//! What a tenant's tables look like, checked against the record types: the catalogue is asked once per account and
//! type, so that every statement afterwards is made of names and types that exist.

use std::collections::BTreeMap;

use model::RecordType;
use model::spec::{FieldSpec, Kind, LinesSpec, Policy, TypeSpec};
use sqlx::{AssertSqlSafe, PgConnection, Row};

use crate::SuitexError;
use crate::canonical::Bound;
use crate::identifier::{quoted, quoted_table};

/// A record type in one tenant's database.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The type.
    pub(crate) record_type: RecordType,
    /// The table, quoted.
    pub(crate) table: String,
    /// Primary key.
    pub(crate) id: IdColumn,
    /// The version column, quoted.
    pub(crate) version: String,
    /// Body fields.
    pub(crate) columns: Vec<Column>,
    /// Sublists.
    pub(crate) lines: Vec<LineTable>,
    /// Reads rows by `$1` = ids (`text[]`) and `$2` = record type: id, version, age in seconds, clock, rid,
    /// columns.
    pub(crate) select: String,
}

/// A sublist's table.
#[derive(Debug)]
pub(crate) struct LineTable {
    /// The sublist field's canonical name.
    pub(crate) name: String,
    /// The table, quoted.
    pub(crate) table: String,
    /// Primary key of a line.
    pub(crate) id: IdColumn,
    /// Column naming the parent, quoted.
    pub(crate) parent: String,
    /// Its type.
    pub(crate) parent_type: String,
    /// The line's fields.
    pub(crate) columns: Vec<Column>,
    /// Reads lines by `$1` = parents' ids (`text[]`): parent, id, columns.
    pub(crate) select: String,
}

/// One mapped column.
#[derive(Debug)]
pub(crate) struct Column {
    /// The field it holds.
    pub(crate) field: FieldSpec,
    /// Its name, quoted.
    pub(crate) quoted: String,
    /// Its type without length or precision: a cast to `varchar(5)` would cut silently, an assignment refuses.
    pub(crate) sql_type: String,
    /// It refuses null.
    pub(crate) required: bool,
}

/// A primary key column.
#[derive(Debug, Clone)]
pub(crate) struct IdColumn {
    /// Its name, quoted.
    pub(crate) quoted: String,
    /// Its type.
    pub(crate) sql_type: String,
}

impl IdColumn {
    /// Could a row with this id exist? One malformed id in a batch would fail the statement for all.
    pub(crate) fn may_be(&self, id: &str) -> bool {
        id_fits(&self.sql_type, id)
    }

    /// The parameter `$n` as an id.
    pub(crate) fn parameter(&self, n: usize) -> String {
        format!("${n}::text::{}", self.sql_type)
    }

    /// Its order for keyset walks over the table as `t`. Qualified: an answer's column of the same name is text.
    pub(crate) fn order(&self) -> String {
        match self.sql_type.as_str() {
            "bigint" | "integer" | "smallint" | "uuid" => format!("t.{}", self.quoted),
            _ => format!("t.{} collate \"C\"", self.quoted),
        }
    }
}

impl Column {
    /// The column's value as the text `canonical` reads.
    fn expression(&self) -> String {
        match self.field.kind {
            Kind::Set => format!("to_jsonb(t.{})::text", self.quoted),
            Kind::Bool
            | Kind::Integer
            | Kind::Decimal { .. }
            | Kind::Text { .. }
            | Kind::Date
            | Kind::DateTime
            | Kind::Reference { .. }
            | Kind::Lines(_) => format!("t.{}::text", self.quoted),
        }
    }

    /// The parameter `$n`, cast to the column's type.
    pub(crate) fn parameter(&self, n: usize, value: &Bound) -> String {
        match value {
            Bound::Scalar(_) => format!("${n}::text::{}", self.sql_type),
            Bound::List(_) => format!("${n}::text[]::{}", self.sql_type),
        }
    }
}

/// Is this the one spelling of an id in a column of this type?
pub(crate) fn id_fits(sql_type: &str, id: &str) -> bool {
    match sql_type {
        "bigint" => id.parse::<i64>().is_ok_and(|n| n.to_string() == id),
        "integer" => id.parse::<i32>().is_ok_and(|n| n.to_string() == id),
        "smallint" => id.parse::<i16>().is_ok_and(|n| n.to_string() == id),
        "uuid" => uuid::Uuid::parse_str(id).is_ok_and(|uuid| uuid.hyphenated().to_string() == id),
        _ => !id.contains('\0'),
    }
}

/// What the catalogue says of a column.
struct Found {
    sql_type: String,
    is_enum: bool,
    required: bool,
    scale: Option<i32>,
    generated: bool,
}

/// The columns of a table.
pub(crate) struct Catalogue(BTreeMap<String, Found>);

impl Catalogue {
    /// Asks for a table's columns; `table` is quoted. Empty when there is no such table.
    pub(crate) async fn of(conn: &mut PgConnection, table: &str) -> Result<Self, SuitexError> {
        let rows = sqlx::query(
            "select a.attname::text as name, b.is_enum, format_type(b.oid, null) as sql_type, a.attnotnull,
                    a.attgenerated <> '' as generated,
                    case when b.oid = 'numeric'::regtype and a.atttypmod >= 4
                         then (((a.atttypmod - 4) & 2047) # 1024) - 1024 end as scale
               from pg_attribute a
               join pg_type t on t.oid = a.atttypid
               join lateral (select coalesce(nullif(t.typbasetype, 0), t.oid) as oid, t.typtype = 'e' as is_enum) b on true
              where a.attrelid = to_regclass($1) and a.attnum > 0 and not a.attisdropped",
        )
        .bind(table)
        .fetch_all(conn)
        .await?;
        let mut columns = BTreeMap::new();
        for row in rows {
            let found = Found {
                sql_type: row.try_get("sql_type")?,
                is_enum: row.try_get("is_enum")?,
                required: row.try_get("attnotnull")?,
                scale: row.try_get("scale")?,
                generated: row.try_get("generated")?,
            };
            columns.insert(row.try_get("name")?, found);
        }
        Ok(Self(columns))
    }

    /// No such table.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Is there a column of this name and type?
    pub(crate) fn has(&self, column: &str, sql_type: &str) -> bool {
        self.0.get(column).is_some_and(|found| found.sql_type == sql_type)
    }

    /// Columns the database computes.
    pub(crate) fn generated(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, found)| found.generated).map(|(name, _)| name.as_str())
    }

    /// The column, if its type is among `accepted` (or anything, when that is empty).
    fn column(&self, place: &Place<'_>, accepted: &[&str]) -> Result<&Found, SuitexError> {
        match self.0.get(place.column) {
            None => Err(place.refuse("no such column", accepted)),
            Some(found) if accepted.is_empty() || accepted.contains(&found.sql_type.as_str()) => Ok(found),
            Some(found) => Err(place.refuse(&found.sql_type, accepted)),
        }
    }

    fn id(&self, place: &Place<'_>) -> Result<IdColumn, SuitexError> {
        let found = self.column(place, &["bigint", "integer", "smallint", "uuid", "text", "character varying"])?;
        Ok(IdColumn { quoted: quoted(place.column), sql_type: found.sql_type.clone() })
    }
}

/// Where in the configuration and the database something was expected.
struct Place<'a> {
    spec: &'a TypeSpec,
    what: String,
    table: &'a str,
    column: &'a str,
}

impl Place<'_> {
    fn refuse(&self, found: &str, accepted: &[&str]) -> SuitexError {
        let accepted = if accepted.is_empty() { "a column of that name".to_owned() } else { accepted.join(", ") };
        SuitexError::Layout {
            record_type: self.spec.name.to_string(),
            place: format!("{}, column {} of {}", self.what, self.column, self.table),
            found: found.to_owned(),
            accepted,
        }
    }
}

/// Reads and checks a type's layout.
///
/// # Errors
/// [`SuitexError::Layout`] for the first table or column that is not as the type says.
pub(crate) async fn layout(conn: &mut PgConnection, spec: &TypeSpec) -> Result<Layout, SuitexError> {
    let table = quoted_table(&spec.suitex.table)?;
    let catalogue = Catalogue::of(conn, &table).await?;
    existing(spec, &spec.suitex.table, &catalogue)?;
    let place = |what, column| Place { spec, what, table: &spec.suitex.table, column };
    let id = catalogue.id(&place("its id".to_owned(), &spec.suitex.id))?;
    catalogue.column(&place("its version".to_owned(), &spec.suitex.version), &["bigint", "integer"])?;
    let mut columns = Vec::new();
    let mut lines = Vec::new();
    for field in synced(&spec.fields) {
        match field.lines() {
            Some(line_spec) => lines.push(line_table(conn, spec, field, line_spec).await?),
            None => columns.push(column(&catalogue, field, &place(described(field), &field.column))?),
        }
    }
    let version = quoted(&spec.suitex.version);
    let age = if catalogue.has("updated_at", "timestamp with time zone") {
        "extract(epoch from clock_timestamp() - t.updated_at)::float8"
    } else {
        "null::float8"
    };
    let select = format!(
        "select t.{id}::text, t.{version}::bigint, {age}, clock_timestamp(), \
         (select i.rid from concord.sync_inbox i where i.record_type = $2 and i.kind = 'create' \
          and i.native_id = t.{id}::text order by i.applied_at desc limit 1){fields} \
         from {table} t where t.{id} = any($1::text[]::{id_type}[])",
        id = id.quoted,
        id_type = id.sql_type,
        fields = expressions(&columns),
    );
    Ok(Layout { record_type: spec.name.clone(), table, id, version, columns, lines, select })
}

async fn line_table(
    conn: &mut PgConnection,
    spec: &TypeSpec,
    field: &FieldSpec,
    lines: &LinesSpec,
) -> Result<LineTable, SuitexError> {
    let table = quoted_table(&field.column)?;
    let catalogue = Catalogue::of(conn, &table).await?;
    existing(spec, &field.column, &catalogue)?;
    let place = |what, column| Place { spec, what, table: &field.column, column };
    let id = catalogue.id(&place(described(field), &lines.id))?;
    let parent_type = catalogue.column(&place(described(field), &lines.parent), &[])?.sql_type.clone();
    let mut columns = Vec::new();
    for line in synced(&lines.line) {
        columns.push(column(&catalogue, line, &place(described(line), &line.column))?);
    }
    let parent = quoted(&lines.parent);
    let select = format!(
        "select t.{parent}::text, t.{id}::text{fields} from {table} t where t.{parent} = any($1::text[]::{parent_type}[])",
        id = id.quoted,
        fields = expressions(&columns),
    );
    Ok(LineTable { name: field.name.clone(), table, id, parent, parent_type, columns, select })
}

fn synced(fields: &[FieldSpec]) -> impl Iterator<Item = &FieldSpec> {
    fields.iter().filter(|field| field.policy != Policy::Ignored)
}

fn described(field: &FieldSpec) -> String {
    format!("field {}", field.name)
}

fn existing(spec: &TypeSpec, table: &str, catalogue: &Catalogue) -> Result<(), SuitexError> {
    if catalogue.is_empty() {
        return Err(SuitexError::Layout {
            record_type: spec.name.to_string(),
            place: format!("table {table}"),
            found: "no such table".to_owned(),
            accepted: "a table this role may read".to_owned(),
        });
    }
    Ok(())
}

fn expressions(columns: &[Column]) -> String {
    columns.iter().map(|column| format!(", {}", column.expression())).collect()
}

fn column(catalogue: &Catalogue, field: &FieldSpec, place: &Place<'_>) -> Result<Column, SuitexError> {
    let found = catalogue.column(place, &[])?;
    let accepted: &[&str] = match &field.kind {
        Kind::Bool => &["boolean"],
        Kind::Integer => &["bigint", "integer", "smallint"],
        Kind::Decimal { scale: 0 } => &["numeric", "bigint", "integer"],
        Kind::Decimal { .. } => &["numeric"],
        Kind::Text { .. } => &["text", "character varying", "character", "citext", "bigint", "integer"],
        Kind::Date => &["date"],
        Kind::DateTime => &["timestamp with time zone"],
        Kind::Reference { .. } => &["bigint", "integer", "uuid", "text", "character varying"],
        Kind::Set => &["text[]", "character varying[]", "bigint[]", "integer[]", "uuid[]"],
        Kind::Lines(_) => &[],
    };
    let fits =
        accepted.contains(&found.sql_type.as_str()) || (found.is_enum && matches!(field.kind, Kind::Text { .. }));
    if !fits {
        return Err(place.refuse(&found.sql_type, accepted));
    }
    if let (Kind::Decimal { scale }, Some(digits)) = (&field.kind, found.scale)
        && i64::from(digits) < i64::from(*scale)
    {
        // Every write would be rounded and come back as an edit.
        return Err(place.refuse(
            &format!("numeric with {digits} digits after the point"),
            &[&format!("numeric with at least {scale}")],
        ));
    }
    Ok(Column {
        field: field.clone(),
        quoted: quoted(place.column),
        sql_type: found.sql_type.clone(),
        required: found.required,
    })
}

/// A statement assembled from quoted names and numbered parameters only.
pub(crate) fn statement(sql: String) -> AssertSqlSafe<String> {
    AssertSqlSafe(sql)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_cannot_be_in_the_table_is_not_asked_for() {
        let id = |sql_type: &str| IdColumn { quoted: String::new(), sql_type: sql_type.to_owned() };
        for (sql_type, good, bad) in [
            ("bigint", "17", ["017", "abc", "9223372036854775808"]),
            ("integer", "-1", ["+1", "2147483648", "1.0"]),
            ("uuid", "67e55044-10b1-426f-9247-bb680e5fe0c8", ["1", "67E55044-10B1-426F-9247-BB680E5FE0C8", ""]),
        ] {
            assert!(id(sql_type).may_be(good), "{sql_type}");
            for bad in bad {
                assert!(!id(sql_type).may_be(bad), "{sql_type} {bad}");
            }
        }
    }
}

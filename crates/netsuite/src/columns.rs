//! The words of our statements: which columns, in which form, in whose clock.
//!
//! Names come from the record types' file and are checked; values are ids, uuids and instants written by us. So
//! nothing a user typed ever stands in a statement.

use model::spec::{FieldSpec, Kind, LinesSpec, TypeSpec};
use model::{ErrorClass, Failure, Timestamp};

/// Columns of our own in every row; no field may take their prefix.
pub(crate) const ID: &str = "concord_id";
pub(crate) const EXTERNAL_ID: &str = "concord_externalid";
pub(crate) const STAMP: &str = "concord_stamp";
pub(crate) const MODIFIED: &str = "concord_modified";
pub(crate) const NOW: &str = "concord_now";
const OUR_PREFIX: &str = "concord_";

/// Longest name of a table, column or sublist.
const LONGEST_NAME: usize = 128;

/// NetSuite's present instant in UTC, to be selected beside whatever is asked.
pub(crate) fn now() -> String {
    utc("CURRENT_TIMESTAMP")
}

/// A date-time column as UTC text. `TO_CHAR` alone would give the account's zone, and no `TO_CHAR` a bare date in
/// the user's format (fact sheet §3.5).
pub(crate) fn utc(column: &str) -> String {
    format!("TO_CHAR(SYS_EXTRACT_UTC({column}),'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')")
}

/// An instant as SuiteQL writes it, to be compared with `SYS_EXTRACT_UTC(…)`.
pub(crate) fn instant(at: Timestamp) -> String {
    format!("TO_TIMESTAMP('{}','YYYY-MM-DD HH24:MI:SS')", at.strftime("%Y-%m-%d %H:%M:%S"))
}

/// A day earlier than the instant, for a plain comparison with the bare column that an index can serve. The bare
/// column is in the account's zone: a day covers every zone there is.
pub(crate) fn day_before(at: Timestamp) -> Option<String> {
    let day_before = at.checked_sub(jiff::SignedDuration::from_hours(24)).ok()?;
    Some(format!("TO_DATE('{}','YYYY-MM-DD HH24:MI:SS')", day_before.strftime("%Y-%m-%d %H:%M:%S")))
}

/// `select … from table t where …`, all body fields and our own columns, the type's filter included.
pub(crate) fn select(spec: &TypeSpec, condition: &str) -> Result<String, Failure> {
    let table = name(&spec.netsuite.table)?;
    let mut columns = vec![
        format!("t.id AS {ID}"),
        format!("t.externalid AS {EXTERNAL_ID}"),
        format!("{} AS {MODIFIED}", utc("t.lastmodifieddate")),
        format!("{} AS {NOW}", now()),
    ];
    if let Some(stamp) = &spec.netsuite.stamp_field {
        columns.push(format!("t.{} AS {STAMP}", name(stamp)?));
    }
    for field in &spec.fields {
        columns.extend(column("t", field)?);
    }
    Ok(format!("SELECT {} FROM {table} t WHERE {condition}{}", columns.join(", "), filter(spec)))
}

/// The type's own condition, ready to be appended to another.
pub(crate) fn filter(spec: &TypeSpec) -> String {
    spec.netsuite.filter.as_deref().map(|filter| format!(" AND ({filter})")).unwrap_or_default()
}

/// The columns of a sublist's line fields.
pub(crate) fn line_columns(alias: &str, lines: &LinesSpec) -> Result<Vec<String>, Failure> {
    let mut columns = Vec::new();
    for field in &lines.line {
        columns.extend(column(alias, field)?);
    }
    Ok(columns)
}

/// One field; sublists are asked for apart.
fn column(alias: &str, field: &FieldSpec) -> Result<Option<String>, Failure> {
    let name = name(&field.name)?;
    if name == "links" || name.starts_with(OUR_PREFIX) {
        return Err(bad_name(name));
    }
    Ok(match &field.kind {
        Kind::Lines(_) => None,
        Kind::Date => Some(format!("TO_CHAR({alias}.{name},'YYYY-MM-DD') AS {name}")),
        Kind::DateTime => Some(format!("{} AS {name}", utc(&format!("{alias}.{name}")))),
        Kind::Bool | Kind::Integer | Kind::Decimal { .. } | Kind::Text { .. } | Kind::Reference { .. } | Kind::Set => {
            Some(format!("{alias}.{name} AS {name}"))
        }
    })
}

/// A name that may stand in a statement.
pub(crate) fn name(name: &str) -> Result<&str, Failure> {
    let fits = (1..=LONGEST_NAME).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if fits { Ok(name) } else { Err(bad_name(name)) }
}

fn bad_name(name: &str) -> Failure {
    let reason = format!(
        "`{}` cannot stand in a query: a NetSuite name has lower-case letters, digits and underscores, is not `links` \
         and does not begin with `{OUR_PREFIX}`",
        name.escape_debug()
    );
    Failure::new(ErrorClass::Operational, "bad_name", reason)
}

/// A comma list.
pub(crate) fn list<T: std::fmt::Display>(values: impl IntoIterator<Item = T>) -> String {
    values.into_iter().map(|value| value.to_string()).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use model::RecordType;
    use model::spec::World;

    use super::*;

    #[test]
    fn every_date_is_asked_for_in_a_form_of_ours() {
        let world = World::sample();
        let customer = world.get(&RecordType::parse("customer").unwrap()).unwrap();
        let statement = select(customer, "t.id IN (1,2)").unwrap();
        assert!(statement.contains("TO_CHAR(t.datecreated,'YYYY-MM-DD') AS datecreated"), "{statement}");
        assert!(!statement.contains("t.lastmodifieddate AS"), "{statement}");
        let order = world.get(&RecordType::parse("salesorder").unwrap()).unwrap();
        let statement = select(order, "t.id IN (1)").unwrap();
        assert!(statement.ends_with("FROM transaction t WHERE t.id IN (1) AND (type = 'SalesOrd')"), "{statement}");
        assert!(!statement.contains("lines"), "{statement}");
    }

    #[test]
    fn a_name_that_is_none_never_reaches_a_statement() {
        for bad in ["", "a b", "a;b", "Übung", "a'--"] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn instants_are_whole_seconds_in_utc() {
        let at: Timestamp = "2026-03-01T00:30:00.987Z".parse().unwrap();
        assert_eq!(instant(at), "TO_TIMESTAMP('2026-03-01 00:30:00','YYYY-MM-DD HH24:MI:SS')");
        assert_eq!(day_before(at).unwrap(), "TO_DATE('2026-02-28 00:30:00','YYYY-MM-DD HH24:MI:SS')");
    }
}

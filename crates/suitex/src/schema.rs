//! Setting up a tenant database: schema `concord`, the capture triggers, and the sample application.

use std::collections::BTreeSet;

use model::spec::{LinesSpec, TypeSpec, World};
use sqlx::{PgConnection, PgPool};

use crate::SuitexError;
use crate::identifier::{literal, quoted, quoted_table};
use crate::layout::{Catalogue, layout, statement};

/// Any number that only `install_capture` locks (the letters "concord").
const INSTALL_LOCK: i64 = 0x0063_6f6e_636f_7264;
/// The column a change is stamped in, where a table has one.
const UPDATED_AT: &str = "updated_at";

static SAMPLE: &str = include_str!("../../../deploy/tenant/sample.sql");

/// Brings schema `concord` up to date. Under an advisory lock; running it again does nothing.
///
/// # Errors
/// [`SuitexError::Migrate`].
pub async fn migrate(pool: &PgPool) -> Result<(), SuitexError> {
    let mut migrator = sqlx::migrate!("../../migrations/tenant");
    // The tenant's own schemas stay as they are: what we did is noted in our own.
    migrator.create_schema("concord");
    migrator.dangerous_set_table_name("concord.schema_migrations");
    Ok(migrator.run(pool).await?)
}

/// Creates the sample application's tables (contracts §9) with everything Concord needs around them: its schema, and
/// the capture of contacts, which are not synced. The mapped tables are [`install_capture`]'s.
///
/// # Errors
/// [`SuitexError`] of the step that failed.
pub async fn install_sample(pool: &PgPool) -> Result<(), SuitexError> {
    migrate(pool).await?;
    let mut tx = pool.begin().await?;
    sqlx::query("select pg_advisory_xact_lock($1)").bind(INSTALL_LOCK).execute(&mut *tx).await?;
    sqlx::raw_sql(SAMPLE).execute(&mut *tx).await?;
    let contacts =
        CaptureTable { record_type: "contact", table: "app.contacts", id: "id", version: Some("row_version") };
    install_table(&mut tx, &contacts).await?;
    Ok(tx.commit().await?)
}

/// Creates the triggers that capture every mapped table and sublist. Idempotent: a trigger that is already as it
/// should be is not touched, so a start of a service takes no lock on the tenant's tables.
///
/// # Errors
/// [`SuitexError::Layout`] when a table is not as the record type says; [`SuitexError::Database`].
pub async fn install_capture(pool: &PgPool, world: &World) -> Result<(), SuitexError> {
    let mut tx = pool.begin().await?;
    sqlx::query("select pg_advisory_xact_lock($1)").bind(INSTALL_LOCK).execute(&mut *tx).await?;
    for spec in &world.types {
        layout(&mut tx, spec).await?;
        let table = CaptureTable {
            record_type: spec.name.as_str(),
            table: &spec.suitex.table,
            id: &spec.suitex.id,
            version: Some(&spec.suitex.version),
        };
        install_table(&mut tx, &table).await?;
        for field in &spec.fields {
            if let Some(lines) = field.lines() {
                install_lines(&mut tx, spec, &field.column, lines).await?;
            }
        }
    }
    Ok(tx.commit().await?)
}

/// A table to be captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaptureTable<'a> {
    /// `record_type` of its outbox rows.
    pub record_type: &'a str,
    /// Its name, with or without schema.
    pub table: &'a str,
    /// Primary key column.
    pub id: &'a str,
    /// The version column the trigger raises; `None` = the table has none (a mapped type needs one).
    pub version: Option<&'a str>,
}

/// Captures a table beyond the mapped ones: its rows are set aside by the relay, with a note.
///
/// # Errors
/// [`SuitexError::Layout`] when there is no such table; [`SuitexError::Database`].
pub async fn capture_table(pool: &PgPool, table: &CaptureTable<'_>) -> Result<(), SuitexError> {
    let mut tx = pool.begin().await?;
    sqlx::query("select pg_advisory_xact_lock($1)").bind(INSTALL_LOCK).execute(&mut *tx).await?;
    install_table(&mut tx, table).await?;
    Ok(tx.commit().await?)
}

async fn install_table(conn: &mut PgConnection, wanted: &CaptureTable<'_>) -> Result<(), SuitexError> {
    let table = quoted_table(wanted.table)?;
    let catalogue = found(conn, wanted.record_type, wanted.table, &table).await?;
    let version = wanted.version.unwrap_or_default();
    let ignored = ignored(&catalogue, &[version]);
    let arguments = [wanted.record_type, wanted.id, version, &ignored].map(literal).join(", ");
    // BEFORE triggers fire in the order of their names: ours last, when the row is final. AFTER triggers: ours first,
    // before the application's change the row again.
    if wanted.version.is_some() {
        let raise = format!("before insert or update on {table} for each row execute function concord.raise_version");
        trigger(conn, &table, "zzz_concord_version", &raise, &arguments).await?;
    }
    let capture =
        format!("after insert or update or delete on {table} for each row execute function concord.capture_row");
    trigger(conn, &table, "aaa_concord_capture", &capture, &arguments).await?;
    let truncate = format!("before truncate on {table} for each statement execute function concord.capture_truncate");
    trigger(conn, &table, "aaa_concord_truncate", &truncate, &arguments).await
}

async fn install_lines(
    conn: &mut PgConnection,
    spec: &TypeSpec,
    name: &str,
    lines: &LinesSpec,
) -> Result<(), SuitexError> {
    let table = quoted_table(name)?;
    let catalogue = found(conn, spec.name.as_str(), name, &table).await?;
    let parent = quoted_table(&spec.suitex.table)?;
    let ignored = ignored(&catalogue, &[&lines.id, &lines.parent]);
    let arguments =
        [spec.name.as_str(), &parent, &spec.suitex.id, &spec.suitex.version, name, &lines.id, &lines.parent, &ignored]
            .map(literal)
            .join(", ");
    let old = "old table as old_lines";
    let new = "new table as new_lines";
    for (event, transitions) in
        [("insert", new.to_owned()), ("update", format!("{old} {new}")), ("delete", old.to_owned())]
    {
        let capture = format!(
            "after {event} on {table} referencing {transitions} for each statement execute function concord.capture_lines"
        );
        trigger(conn, &table, &format!("aaa_concord_lines_{event}"), &capture, &arguments).await?;
    }
    let truncate =
        format!("before truncate on {table} for each statement execute function concord.capture_truncated_lines");
    trigger(conn, &table, "aaa_concord_lines_truncate", &truncate, &arguments).await
}

async fn found(conn: &mut PgConnection, record_type: &str, name: &str, table: &str) -> Result<Catalogue, SuitexError> {
    let catalogue = Catalogue::of(conn, table).await?;
    if catalogue.is_empty() {
        return Err(SuitexError::Layout {
            record_type: record_type.to_owned(),
            place: format!("table {name}"),
            found: "no such table".to_owned(),
            accepted: "a table this role may see".to_owned(),
        });
    }
    Ok(catalogue)
}

/// Columns whose change is no change, as a Postgres array literal: ours, and those the database computes (a BEFORE
/// trigger does not see them yet).
fn ignored(catalogue: &Catalogue, ours: &[&str]) -> String {
    let names: BTreeSet<&str> = ours.iter().copied().chain([UPDATED_AT]).chain(catalogue.generated()).collect();
    let quoted: Vec<_> = names
        .into_iter()
        .filter(|name| !name.is_empty())
        .map(|name| format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"")))
        .collect();
    format!("{{{}}}", quoted.join(","))
}

/// Creates or replaces a trigger unless it is already exactly this one, which its comment tells.
async fn trigger(
    conn: &mut PgConnection,
    table: &str,
    name: &str,
    definition: &str,
    arguments: &str,
) -> Result<(), SuitexError> {
    let body = format!("{definition}({arguments})");
    let present: Option<Option<String>> = sqlx::query_scalar(
        "select obj_description(t.oid, 'pg_trigger') from pg_trigger t
          where t.tgrelid = to_regclass($1) and t.tgname = $2 and not t.tgisinternal",
    )
    .bind(table)
    .bind(name)
    .fetch_optional(&mut *conn)
    .await?;
    if present.flatten().as_deref() == Some(&body) {
        return Ok(());
    }
    let create = format!(
        "create or replace trigger {name} {body}; comment on trigger {name} on {table} is {comment}",
        name = quoted(name),
        comment = literal(&body),
    );
    sqlx::raw_sql(statement(create)).execute(conn).await?;
    Ok(())
}

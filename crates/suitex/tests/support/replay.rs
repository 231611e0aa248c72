//! Rebuilds every record from its outbox rows and compares it with the table.

use std::collections::BTreeMap;

use model::Operation;
use serde_json::{Value as Json, json};
use sqlx::PgPool;
use suitex::capture::{self, OutboxRow};

use super::Tenant;

/// Everything that waits in the outbox.
pub(crate) async fn rows(pool: &PgPool) -> Vec<OutboxRow> {
    capture::unpublished(pool, 100_000).await.unwrap()
}

/// Every record's versions run from 1 without gap or repeat, the last is the row's own, and the deltas in order of
/// version rebuild the row (with its lines) as it stands.
pub(crate) async fn assert_gap_free(tenant: &Tenant) -> usize {
    let mut by_record: BTreeMap<(String, String), Vec<OutboxRow>> = BTreeMap::new();
    for row in rows(&tenant.pool).await {
        by_record.entry((row.record_type.clone(), row.record_id.clone())).or_default().push(row);
    }
    let mut rebuilt = 0;
    for ((record_type, id), mut rows) in by_record {
        let table = match record_type.as_str() {
            "salesorder" => "sales_orders",
            "customer" => "customers",
            "item" => "items",
            _ => continue,
        };
        rows.sort_by_key(|row| row.row_version);
        let versions: Vec<_> = rows.iter().map(|row| row.row_version.unwrap()).collect();
        let expected: Vec<_> = (1..=i64::try_from(rows.len()).unwrap()).collect();
        assert_eq!(versions, expected, "{record_type} {id}");
        let present: Option<Json> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "select to_jsonb(t) - 'updated_at' from app.{table} t where id = $1::bigint"
        )))
        .bind(id.parse::<i64>().unwrap())
        .fetch_optional(&tenant.pool)
        .await
        .unwrap();
        let (state, lines, version) = replay(&rows);
        let Some(mut present) = present else {
            assert_eq!(rows.last().unwrap().operation, Operation::Delete, "{record_type} {id}");
            continue;
        };
        let row_version = present.as_object_mut().unwrap().remove("row_version").unwrap();
        assert_eq!(row_version.as_i64(), Some(version), "{record_type} {id}");
        present.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        assert_eq!(Json::Object(state), present, "{record_type} {id}");
        if record_type == "salesorder" {
            assert_eq!(json!(lines), present_lines(tenant, &id).await, "lines of {id}");
        }
        rebuilt += 1;
    }
    rebuilt
}

type Object = serde_json::Map<String, Json>;

fn apply(state: &mut Object, changes: &Object) {
    for (column, value) in changes {
        if value.is_null() {
            state.remove(column);
        } else {
            state.insert(column.clone(), value.clone());
        }
    }
}

fn replay(rows: &[OutboxRow]) -> (Object, BTreeMap<String, Object>, i64) {
    let mut state = Object::new();
    let mut lines: BTreeMap<String, Object> = BTreeMap::new();
    for row in rows {
        if row.operation != Operation::Update {
            state.clear();
            lines.clear();
        }
        let mut changes: Object = serde_json::from_str(&row.changes).unwrap();
        if let Some(Json::Object(changed)) = changes.remove("app.sales_order_lines") {
            for (line, change) in changed {
                match change {
                    Json::Object(change) => apply(lines.entry(line).or_default(), &change),
                    _ => drop(lines.remove(&line)),
                }
            }
        }
        apply(&mut state, &changes);
    }
    (state, lines, rows.last().unwrap().row_version.unwrap())
}

async fn present_lines(tenant: &Tenant, order: &str) -> Json {
    let lines: Vec<(i64, Json)> = sqlx::query_as(
        "select id, jsonb_strip_nulls(to_jsonb(l) - 'id' - 'sales_order_id') from app.sales_order_lines l
          where sales_order_id = $1::bigint",
    )
    .bind(order.parse::<i64>().unwrap())
    .fetch_all(&tenant.pool)
    .await
    .unwrap();
    Json::Object(lines.into_iter().map(|(id, line)| (id.to_string(), line)).collect())
}

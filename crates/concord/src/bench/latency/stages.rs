//! Where the time between an edit and its arrival goes, by what Concord wrote down on the way.

use anyhow::{Context, Result};
use jiff_sqlx::ToSqlx;
use model::{Side, Timestamp};
use serde_json::{Value, json};
use sqlx::PgPool;

/// One stage: percentiles over the edits of the interval, in milliseconds.
#[derive(Debug, Clone)]
pub struct Stage {
    /// From what to what.
    pub name: &'static str,
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
    /// How many were looked at.
    pub count: i64,
}

/// `$4` is the edited side, `$5` the side written to. Only hints that led to a version are looked at: echoes of our own
/// writes do not.
const STAGES: [(&str, &str); 4] = [
    (
        "edit → stored by intake",
        "select e.received_at - e.occurred_at as took from sync.events e
         where e.account_id = $1 and e.received_at >= $2 and e.received_at < $3 and e.kind = 'hint' and e.side = $4
           and e.source in ('suitex', 'netsuite-ue') and e.disposition = 'applied' and $5 <> ''",
    ),
    (
        "stored → merged",
        "select e.settled_at - e.received_at as took from sync.events e
         where e.account_id = $1 and e.received_at >= $2 and e.received_at < $3 and e.kind = 'hint' and e.side = $4
           and e.source in ('suitex', 'netsuite-ue') and e.disposition = 'applied' and $5 <> ''",
    ),
    (
        "merged → write begun",
        "select c.received_at - m.received_at as took from sync.event_log c
         cross join lateral (
            select o.received_at from sync.event_log o
            where o.account_id = c.account_id and o.rid = c.rid and o.record_seq < c.record_seq
              and o.kind in ('hint', 'observation') and o.side = $4
            order by o.record_seq desc limit 1) m
         where c.account_id = $1 and c.received_at >= $2 and c.received_at < $3 and c.kind = 'claim' and c.side = $5",
    ),
    (
        "write begun → answered",
        "select a.received_at - c.received_at as took from sync.event_log c
         join sync.event_log a on a.account_id = c.account_id and a.rid = c.rid and a.kind = 'ack' and a.write_id = c.write_id
         where c.account_id = $1 and c.received_at >= $2 and c.received_at < $3 and c.kind = 'claim' and c.side = $5
           and $4 <> ''",
    ),
];

/// The stages of edits on `side`, in order.
///
/// # Errors
/// When the database does not answer.
pub async fn of(pool: &PgPool, account: &str, span: (Timestamp, Timestamp), side: Side) -> Result<Vec<Stage>> {
    let mut stages = Vec::new();
    for (name, sql) in STAGES {
        let query = format!(
            "select (extract(epoch from percentile_disc(0.5) within group (order by took)) * 1000)::float8,
                    (extract(epoch from percentile_disc(0.99) within group (order by took)) * 1000)::float8, count(*)
             from ({sql}) s"
        );
        let (p50, p99, count): (Option<f64>, Option<f64>, i64) = sqlx::query_as(sqlx::AssertSqlSafe(query))
            .bind(account)
            .bind(span.0.to_sqlx())
            .bind(span.1.to_sqlx())
            .bind(side.as_str())
            .bind(side.other().as_str())
            .fetch_one(pool)
            .await
            .with_context(|| format!("the stage {name}"))?;
        stages.push(Stage { name, p50: p50.unwrap_or(0.0), p99: p99.unwrap_or(0.0), count });
    }
    Ok(stages)
}

/// As rows of a table.
pub fn rows(direction: &str, stages: &[Stage]) -> Vec<Value> {
    stages
        .iter()
        .map(|stage| {
            json!({
                "direction": direction,
                "stage": stage.name,
                "p50_ms": stage.p50.round(),
                "p99_ms": stage.p99.round(),
                "count": stage.count,
            })
        })
        .collect()
}

/// The stage that takes most of the usual time.
pub fn longest(stages: &[Stage]) -> Option<&Stage> {
    stages.iter().max_by(|a, b| a.p50.total_cmp(&b.p50))
}

//! Both sides of an account as its users have them: the application's tables by SQL, NetSuite by the simulator's control
//! API; and what Concord's tables say about a record. The story, the traffic and the end-to-end test see through these
//! eyes, not through Concord's own connectors.

use std::time::Duration;

use anyhow::{Context, Result, bail};
pub use model::Side;
use reqwest::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value, json};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use crate::dev::manifest::{Account, Manifest};

pub mod agreement;

/// Connections to one database: a handful of users at once.
const CONNECTIONS: u32 = 6;
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// An account with both sides in reach.
#[derive(Debug, Clone)]
pub struct Sides {
    /// The account's id.
    pub account: String,
    /// The application's database.
    pub suitex: PgPool,
    /// Concord's database.
    pub concord: PgPool,
    /// The simulator.
    pub netsuite: Simulator,
}

/// The simulator's control API for one account.
#[derive(Debug, Clone)]
pub struct Simulator {
    root: String,
    http: reqwest::Client,
}

/// A user's action in NetSuite.
#[derive(Debug, Clone, Serialize)]
pub struct Edit<'a> {
    /// Who.
    pub user: &'a str,
    /// Where from.
    pub context: &'a str,
    /// `create`, `update` or `delete`.
    pub operation: &'a str,
    /// Record type.
    #[serde(rename = "type")]
    pub record_type: &'a str,
    /// The record; none for a create.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a str>,
    /// Fields and their new values; null clears.
    pub changes: Value,
    /// Do user-event scripts run? Where not, only the poller will notice.
    pub scripts: bool,
}

impl<'a> Edit<'a> {
    /// A new record.
    pub fn create(record_type: &'a str, changes: Value) -> Self {
        Self {
            user: "jane",
            context: "USERINTERFACE",
            operation: "create",
            record_type,
            id: None,
            changes,
            scripts: true,
        }
    }

    /// Other values.
    pub fn update(record_type: &'a str, id: &'a str, changes: Value) -> Self {
        Self { operation: "update", id: Some(id), ..Self::create(record_type, changes) }
    }

    /// No record any more.
    pub fn delete(record_type: &'a str, id: &'a str) -> Self {
        Self { operation: "delete", id: Some(id), ..Self::create(record_type, json!({})) }
    }
}

impl Simulator {
    /// Of one account.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn of(manifest: &Manifest, account: &str) -> Result<Self> {
        let http = reqwest::Client::builder().timeout(ANSWER_WITHIN).no_proxy().build()?;
        Ok(Self { root: format!("{}/_sim/v1/accounts/{account}", manifest.netsuite_sim_url), http })
    }

    /// A user's action; the record's id.
    ///
    /// # Errors
    /// When NetSuite refuses, with its code in the sentence.
    pub async fn edit(&self, edit: &Edit<'_>) -> Result<String> {
        let answer = self.http.post(format!("{}/edit", self.root)).json(edit).send().await?;
        let status = answer.status();
        let body: Value = answer.json().await.context("the simulator's answer is not JSON")?;
        if !status.is_success() {
            bail!("NetSuite refuses to {} {}: {body}", edit.operation, edit.record_type);
        }
        Ok(body["id"].as_str().context("the simulator's answer has an id")?.to_owned())
    }

    /// A record's stored fields; none when it is gone.
    ///
    /// # Errors
    /// When the simulator does not answer.
    pub async fn record(&self, record_type: &str, id: &str) -> Result<Option<Map<String, Value>>> {
        let answer = self.http.get(format!("{}/records/{record_type}/{id}", self.root)).send().await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let mut body: Value = answer.error_for_status()?.json().await?;
        fields(&mut body).map(Some)
    }

    /// All records of a type with their fields.
    ///
    /// # Errors
    /// When the simulator does not answer.
    pub async fn dump(&self, record_type: &str) -> Result<Vec<(String, Map<String, Value>)>> {
        let mut body = self.get(&format!("dump/{record_type}")).await?;
        let records = body["records"].as_array_mut().context("a dump has records")?;
        let read = |record: &mut Value| {
            let id = record["id"].as_str().context("a record has an id")?.to_owned();
            Ok((id, fields(record)?))
        };
        records.iter_mut().map(read).collect()
    }

    /// So many sample customers, made at once; no scripts run, so only the poller will notice.
    ///
    /// # Errors
    /// When the simulator refuses.
    pub async fn generate_customers(&self, count: u32, seed: u64) -> Result<()> {
        let body = json!({ "customers": count, "seed": seed });
        self.http.post(format!("{}/generate", self.root)).json(&body).send().await?.error_for_status()?;
        Ok(())
    }

    /// Begins to count calls, writes and refusals from zero.
    ///
    /// # Errors
    /// When the simulator does not answer.
    pub async fn clear_ledger(&self) -> Result<()> {
        self.http.delete(format!("{}/ledger", self.root)).send().await?.error_for_status()?;
        Ok(())
    }

    /// Calls, writes, refusals.
    ///
    /// # Errors
    /// When the simulator does not answer.
    pub async fn ledger(&self) -> Result<Value> {
        self.get("ledger").await
    }

    /// From now on things go wrong by these rules.
    ///
    /// # Errors
    /// When the simulator refuses them.
    pub async fn set_faults(&self, rules: Value) -> Result<()> {
        let body = json!({ "rules": rules });
        self.http.post(format!("{}/faults", self.root)).json(&body).send().await?.error_for_status()?;
        Ok(())
    }

    /// Nothing goes wrong any more.
    ///
    /// # Errors
    /// When the simulator does not answer.
    pub async fn clear_faults(&self) -> Result<()> {
        self.http.delete(format!("{}/faults", self.root)).send().await?.error_for_status()?;
        Ok(())
    }

    /// N/cache loses everything, as it may at any time; so do scripts that wait out an outage of ingest.
    ///
    /// # Errors
    /// When the simulator does not answer.
    pub async fn forget_script_cache(&self) -> Result<()> {
        self.http.delete(format!("{}/script-cache", self.root)).send().await?.error_for_status()?;
        Ok(())
    }

    async fn get(&self, path: &str) -> Result<Value> {
        Ok(self.http.get(format!("{}/{path}", self.root)).send().await?.error_for_status()?.json().await?)
    }
}

fn fields(record: &mut Value) -> Result<Map<String, Value>> {
    match record["fields"].take() {
        Value::Object(fields) => Ok(fields),
        other => bail!("a record has fields, not {other}"),
    }
}

impl Sides {
    /// Both sides of one account of a running stack.
    ///
    /// # Errors
    /// When a database does not answer.
    pub async fn open(manifest: &Manifest, account: &Account) -> Result<Self> {
        let pool = |url: String| async move { PgPoolOptions::new().max_connections(CONNECTIONS).connect(&url).await };
        Ok(Self {
            account: account.account_id.clone(),
            suitex: pool(account.suitex.database_url.clone()).await.context("SuiteX does not answer")?,
            concord: pool(manifest.database_url.clone()).await.context("Concord's database does not answer")?,
            netsuite: Simulator::of(manifest, &account.account_id)?,
        })
    }

    /// A record's row of the application, with its lines for an order; none when it is gone.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn suitex_record(&self, record_type: &str, id: &str) -> Result<Option<Map<String, Value>>> {
        let query = format!("{} where t.id = $1", agreement::suitex_query(record_type)?);
        let id: i64 = id.parse().context("ids of the application are numbers")?;
        let row: Option<(Value,)> =
            sqlx::query_as(sqlx::AssertSqlSafe(query)).bind(id).fetch_optional(&self.suitex).await?;
        match row {
            None => Ok(None),
            Some((Value::Object(fields),)) => Ok(Some(fields)),
            Some((other,)) => bail!("a row is an object, not {other}"),
        }
    }

    /// The id that the same record has on the other side, once it is linked.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn counterpart(&self, record_type: &str, side: Side, id: &str) -> Result<Option<String>> {
        let found = sqlx::query_scalar(
            "select there.native_id from sync.links here
             join sync.links there on there.account_id = here.account_id and there.record_type = here.record_type
                                  and there.rid = here.rid and there.side = $4 and there.current
             where here.account_id = $1 and here.record_type = $2 and here.side = $3 and here.native_id = $5",
        )
        .bind(&self.account)
        .bind(record_type)
        .bind(side.as_str())
        .bind(side.other().as_str())
        .bind(id)
        .fetch_optional(&self.concord)
        .await?;
        Ok(found)
    }

    /// What Concord would tell an operator who asks why this account is not at rest: unfinished records and the last
    /// rows of the error queue.
    pub async fn why_not_at_rest(&self) -> String {
        let unfinished = sqlx::query_scalar::<_, Value>(
            "select to_jsonb(s) - 'state' - 'line_ids' from sync.shadow s
             where account_id = $1 and (owed or dirty_seq <> 0 or inflight_write_id is not null) limit 10",
        )
        .bind(&self.account)
        .fetch_all(&self.concord)
        .await;
        let errors = sqlx::query_scalar::<_, Value>(
            "select jsonb_build_object('record', record_type || ' ' || coalesce(record_id, '?'), 'code', code,
                                       'reason', reason, 'status', status)
             from sync.sync_error_queue where account_id in ($1, '') order by id desc limit 5",
        )
        .bind(&self.account)
        .fetch_all(&self.concord)
        .await;
        let lines = |title: &str, rows: sqlx::Result<Vec<Value>>| match rows {
            Ok(rows) if rows.is_empty() => format!("{title}: none\n"),
            Ok(rows) => rows.iter().fold(format!("{title}:\n"), |text, row| text + &format!("  {row}\n")),
            Err(error) => format!("{title}: cannot be read: {error}\n"),
        };
        lines("unfinished records", unfinished) + &lines("last errors", errors)
    }
}

//! One running stack that scenarios are played on: users of both sides, the console, faults, services that are stopped,
//! go on or die at a crash point, and facts to wait for.

use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use concord::dev::manifest::Manifest;
use concord::sides::agreement::column;
use concord::sides::{Edit, Side, Sides};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tempfile::TempDir;
use uuid::Uuid;

use crate::stack::{TestStack, folder};

/// Longest wait for a fact; the promise end to end is a minute.
const WITHIN: Duration = Duration::from_secs(60);
/// The same on Google's emulator, which may keep what a killed process held for more than a minute.
const WITHIN_ON_THE_EMULATOR: Duration = Duration::from_secs(180);
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Short waits, where the defaults only make a test longer.
const SETTINGS: &[&str] =
    &["POLL_INTERVAL_SECONDS=0.2", "WRITE_TIMEOUT_SECONDS=2", "WRITE_DEADLINE_SECONDS=4", "MERGE_LEASE_SECONDS=2"];

/// A running stack, seen from outside.
pub(crate) struct Play {
    pub(crate) manifest: Manifest,
    pub(crate) sides: Vec<Sides>,
    pub(crate) stack: TestStack,
    pub(crate) http: reqwest::Client,
    pub(crate) points: PathBuf,
    pub(crate) folder: TempDir,
    /// Longest wait for a fact.
    pub(crate) within: Duration,
    count: AtomicU32,
}

/// A record that both sides have.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) account: usize,
    pub(crate) kind: &'static str,
    pub(crate) suitex: String,
    pub(crate) netsuite: String,
    pub(crate) rid: Uuid,
}

/// What a stack is made of.
pub(crate) struct Setup<'a> {
    pub(crate) accounts: usize,
    /// `postgres` or `pubsub`.
    pub(crate) bus: &'a str,
    /// Services of which two run.
    pub(crate) twice: &'a [&'a str],
    /// Record types, where they are not the sample world's.
    pub(crate) types: Option<&'a str>,
    /// Further settings of the services.
    pub(crate) settings: &'a [&'a str],
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Self { accounts: 1, bus: "postgres", twice: &[], types: None, settings: &[] }
    }
}

impl Play {
    /// Starts a stack whose services may die at crash points.
    pub(crate) async fn open(setup: Setup<'_>) -> Self {
        let folder = folder();
        let points = folder.path().join("points");
        std::fs::create_dir(&points).unwrap();
        let Setup { accounts, bus, twice, types, settings } = setup;
        let mut options: Vec<String> = ["--bus", bus, "--accounts", &accounts.to_string()].map(str::to_owned).into();
        options.extend(twice.iter().flat_map(|service| ["--replicas".to_owned(), format!("{service}=2")]));
        let mut set = |setting: String| options.extend(["--set".to_owned(), setting]);
        set(format!("CONCORD_CRASH_POINTS={}", points.display()));
        SETTINGS.iter().chain(settings).for_each(|setting| set((*setting).to_owned()));
        if let Some(types) = types {
            let path = folder.path().join("types.toml");
            std::fs::write(&path, types).unwrap();
            set(format!("CONCORD_TYPES={}", path.display()));
        }
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let stack = TestStack::start_in(folder.path(), &options);
        let manifest = stack.manifest();
        let mut sides = Vec::new();
        for account in &manifest.accounts {
            sides.push(Sides::open(&manifest, account).await.unwrap());
        }
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
        let within = if bus == "pubsub" { WITHIN_ON_THE_EMULATOR } else { WITHIN };
        Self { manifest, sides, stack, http, points, count: AtomicU32::new(0), folder, within }
    }

    /// A number nobody else of this run has.
    pub(crate) fn next(&self) -> u32 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    /// Waits until `look` finds something.
    pub(crate) async fn fact<T, F>(&self, what: &str, look: impl Fn() -> F) -> T
    where
        F: Future<Output = Option<T>>,
    {
        let start = Instant::now();
        loop {
            if let Some(found) = look().await {
                return found;
            }
            if start.elapsed() > self.within {
                let mut why = String::new();
                for sides in &self.sides {
                    why += &sides.why_not_at_rest().await;
                }
                panic!("not in {:?}: {what}\n{why}", self.within);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    // ---- records

    /// A new record of NetSuite, once SuiteX has it and all is at rest.
    pub(crate) async fn create(&self, account: usize, kind: &'static str, changes: Value) -> Pair {
        let netsuite = self.sides[account].netsuite.edit(&Edit::create(kind, changes)).await.unwrap();
        let pair = self.pair(account, kind, Side::Netsuite, &netsuite).await;
        self.calm().await;
        pair
    }

    /// A new customer of the first account with these fields.
    pub(crate) async fn customer(&self, fields: Value) -> Pair {
        let mut changes = json!({ "companyname": format!("Customer {}", self.next()) });
        changes.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.create(0, "customer", changes).await
    }

    /// A new item of the first account with these fields.
    pub(crate) async fn item(&self, fields: Value) -> Pair {
        let mut changes = json!({ "itemid": format!("ITEM-{}", self.next()) });
        changes.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.create(0, "item", changes).await
    }

    /// A record by the id one side has, once the other has it too.
    pub(crate) async fn pair(&self, account: usize, kind: &'static str, side: Side, id: &str) -> Pair {
        let sides = &self.sides[account];
        let what = format!("{kind} {}:{id} on the other side", side.as_str());
        let there = self.fact(&what, || async { sides.counterpart(kind, side, id).await.unwrap() }).await;
        let (suitex, netsuite) = match side {
            Side::Suitex => (id.to_owned(), there),
            Side::Netsuite => (there, id.to_owned()),
        };
        let rid: Uuid = sqlx::query_scalar(
            "select rid from sync.links where account_id = $1 and record_type = $2 and side = $3 and native_id = $4",
        )
        .bind(&sides.account)
        .bind(kind)
        .bind(side.as_str())
        .bind(id)
        .fetch_one(&sides.concord)
        .await
        .unwrap();
        Pair { account, kind, suitex, netsuite, rid }
    }

    /// A user's statement on the application's row: `set` as SQL has it.
    pub(crate) async fn sx(&self, pair: &Pair, set: &str) {
        let (table, id) = (table(pair.kind), &pair.suitex);
        let done = self.sql(pair.account, &format!("update {table} set {set} where id = {id}")).await;
        assert_eq!(done, 1, "{table} {id} is there");
    }

    /// A user's statement.
    pub(crate) async fn sql(&self, account: usize, statement: &str) -> u64 {
        let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&self.sides[account].suitex).await;
        done.unwrap_or_else(|error| panic!("{statement}: {error}")).rows_affected()
    }

    /// A user's edit in NetSuite.
    pub(crate) async fn ns(&self, pair: &Pair, changes: Value) {
        let edit = Edit::update(pair.kind, &pair.netsuite, changes);
        self.sides[pair.account].netsuite.edit(&edit).await.unwrap();
    }

    /// A user's edit in NetSuite which no script notices: only the poller will.
    pub(crate) async fn ns_quietly(&self, pair: &Pair, changes: Value) {
        let edit = Edit { scripts: false, ..Edit::update(pair.kind, &pair.netsuite, changes) };
        self.sides[pair.account].netsuite.edit(&edit).await.unwrap();
    }

    /// A user deletes the record in NetSuite.
    pub(crate) async fn ns_deletes(&self, pair: &Pair) {
        self.sides[pair.account].netsuite.edit(&Edit::delete(pair.kind, &pair.netsuite)).await.unwrap();
    }

    /// Does NetSuite have it?
    pub(crate) async fn in_netsuite(&self, pair: &Pair) -> bool {
        self.sides[pair.account].netsuite.record(pair.kind, &pair.netsuite).await.unwrap().is_some()
    }

    /// Does the application have it?
    pub(crate) async fn in_suitex(&self, pair: &Pair) -> bool {
        self.sides[pair.account].suitex_record(pair.kind, &pair.suitex).await.unwrap().is_some()
    }

    /// A field as NetSuite and the application have it, as text; empty where there is none.
    pub(crate) async fn values(&self, pair: &Pair, field: &str) -> [String; 2] {
        let sides = &self.sides[pair.account];
        let theirs = sides.netsuite.record(pair.kind, &pair.netsuite).await.unwrap().unwrap_or_default();
        let ours = sides.suitex_record(pair.kind, &pair.suitex).await.unwrap().unwrap_or_default();
        let column = column(pair.kind, field).unwrap();
        [theirs.get(field), ours.get(column)].map(|value| match value {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => plain(number),
            Some(other) => other.to_string(),
        })
    }

    /// Waits until NetSuite has this value.
    pub(crate) async fn netsuite_reads(&self, pair: &Pair, field: &str, value: &str) {
        let what = format!("NetSuite's {field} of {} reads {value}", pair.netsuite);
        self.fact(&what, || async { (self.values(pair, field).await[0] == value).then_some(()) }).await;
    }

    /// Waits until the application has this value.
    pub(crate) async fn suitex_reads(&self, pair: &Pair, field: &str, value: &str) {
        let what = format!("SuiteX's {field} of {} reads {value}", pair.suitex);
        self.fact(&what, || async { (self.values(pair, field).await[1] == value).then_some(()) }).await;
    }

    /// All is at rest, and both sides have this value.
    pub(crate) async fn ends(&self, pair: &Pair, field: &str, value: &str) {
        self.rest().await;
        assert_eq!(self.values(pair, field).await, [value, value], "{field} of {pair:?}");
    }
}

/// 20.00 and 20.0 are 20.
fn plain(number: &serde_json::Number) -> String {
    let text = number.to_string();
    text.parse::<rust_decimal::Decimal>().map_or(text, |number| number.normalize().to_string())
}

fn table(kind: &str) -> &'static str {
    match kind {
        "customer" => "app.customers",
        "item" => "app.items",
        _ => "app.sales_orders",
    }
}

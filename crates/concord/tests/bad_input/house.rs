//! The stack with two accounts, and what every door needs: good events, facts to wait for, the error queue.

use std::fs;
use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chassis::bus::postgres::{PostgresBus, PostgresBusLimits};
use concord::dev::manifest::{Account, Manifest};
use concord::sides::agreement::{Ids, Record, from_netsuite, from_suitex, links};
use concord::sides::{Edit, Side, Sides};
use hmac::{Hmac, KeyInit, Mac};
use model::{Clock, Ids as _, RandomIds, SystemClock, Timestamp};
use serde_json::{Value, json};
use sha2::Sha256;
use sqlx::Row;
use sqlx::postgres::PgPool;
use tempfile::TempDir;
use uuid::Uuid;

use crate::stack::{TestStack, folder};

/// Stands in every bad value; where a service writes, it must not appear.
pub(crate) const HUSH: &str = "hush-7c1e9d";
/// Longest wait for a fact; the promise end to end is a minute.
const WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A running stack, seen from outside.
pub(crate) struct House {
    pub(crate) manifest: Manifest,
    pub(crate) sides: Vec<Sides>,
    pub(crate) http: reqwest::Client,
    pub(crate) bus: PostgresBus,
    /// Customers that good events are about: two on the first account, one on the second.
    pub(crate) customers: Vec<Customer>,
    stack: TestStack,
    folder: TempDir,
    count: AtomicU32,
}

/// A customer that both sides have.
#[derive(Debug, Clone)]
pub(crate) struct Customer {
    pub(crate) account: usize,
    pub(crate) netsuite: String,
    pub(crate) suitex: String,
}

/// A row of the error queue, as far as these tests look at it.
#[derive(Debug, Clone)]
pub(crate) struct Queued {
    pub(crate) id: i64,
    pub(crate) topic: String,
    pub(crate) class: String,
    pub(crate) code: String,
    pub(crate) reason: String,
    /// Everything a person is shown, the payload left out.
    pub(crate) shown: String,
}

const QUEUED: &str = "select q.id, q.topic, q.class, q.code, q.reason, (to_jsonb(q) - 'payload')::text as shown
     from sync.sync_error_queue q";

impl House {
    /// Starts the stack (Postgres bus, two accounts) and makes the customers.
    pub(crate) async fn open() -> Result<Self> {
        let folder = folder();
        let stack = TestStack::start_in(folder.path(), &["--bus", "postgres", "--accounts", "2"]);
        let manifest = stack.manifest();
        let mut sides = Vec::new();
        for account in &manifest.accounts {
            sides.push(Sides::open(&manifest, account).await?);
        }
        let pool = PgPool::connect(&manifest.database_url).await?;
        let mut house = Self {
            http: reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build()?,
            bus: PostgresBus::new(pool, PostgresBusLimits::default()),
            customers: Vec::new(),
            count: AtomicU32::new(0),
            manifest,
            sides,
            stack,
            folder,
        };
        for account in [0, 0, 1] {
            let customer = house.customer(account).await?;
            house.customers.push(customer);
        }
        Ok(house)
    }

    /// Stops the stack; what it said.
    pub(crate) fn close(self) -> String {
        let output = self.stack.output();
        self.stack.stop();
        output
    }

    /// An account of `dev.json`.
    pub(crate) fn account(&self, number: usize) -> &Account {
        &self.manifest.accounts[number]
    }

    /// A number nobody else of this run has.
    pub(crate) fn next(&self) -> u32 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    /// A new customer of NetSuite, once SuiteX has it.
    pub(crate) async fn customer(&self, account: usize) -> Result<Customer> {
        let changes = json!({ "companyname": format!("Bad Input {}", self.next()), "email": "first@example.test" });
        let sides = &self.sides[account];
        let netsuite = sides.netsuite.edit(&Edit::create("customer", changes)).await?;
        let suitex = self.linked(account, "customer", Side::Netsuite, &netsuite).await?;
        Ok(Customer { account, netsuite, suitex })
    }

    /// The id on the other side, once there is one and the row is there.
    pub(crate) async fn linked(&self, account: usize, record_type: &str, side: Side, id: &str) -> Result<String> {
        let sides = &self.sides[account];
        let what = format!("{record_type} {id} of {} on the other side", side.as_str());
        self.fact(account, &what, || sides.counterpart(record_type, side, id)).await
    }

    /// Waits until `look` finds something.
    pub(crate) async fn fact<T, F>(&self, account: usize, what: &str, look: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<Option<T>>>,
    {
        let start = Instant::now();
        loop {
            if let Some(found) = look().await.with_context(|| what.to_owned())? {
                return Ok(found);
            }
            if start.elapsed() > WITHIN {
                bail!("not in {WITHIN:?}: {what}\n{}", self.sides[account].why_not_at_rest().await);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until a value of SuiteX reads so.
    pub(crate) async fn suitex_reads(&self, customer: &Customer, column: &str, value: &str) -> Result<()> {
        let sides = &self.sides[customer.account];
        let what = format!("{column} of SuiteX's customer {} reads what NetSuite's user wrote", customer.suitex);
        let read = || async {
            let row = sides.suitex_record("customer", &customer.suitex).await?;
            Ok(row.filter(|row| row[column] == value).map(|_| ()))
        };
        self.fact(customer.account, &what, read).await
    }

    /// Waits until a value of NetSuite reads so.
    pub(crate) async fn netsuite_reads(
        &self,
        account: usize,
        kind: &str,
        id: &str,
        field: &str,
        value: &Value,
    ) -> Result<()> {
        let sides = &self.sides[account];
        let what = format!("{field} of NetSuite's {kind} {id} reads what SuiteX's user wrote");
        let read = || async {
            let record = sides.netsuite.record(kind, id).await?;
            Ok(record.filter(|record| record.get(field).unwrap_or(&Value::Null) == value).map(|_| ()))
        };
        self.fact(account, &what, read).await
    }

    /// Both sides of a record, each in its own words made plain.
    pub(crate) async fn both(&self, account: usize, kind: &str, suitex: &str) -> Result<Option<(Record, Record)>> {
        let sides = &self.sides[account];
        let Some(there) = sides.counterpart(kind, Side::Suitex, suitex).await? else { return Ok(None) };
        let mut ids = Ids::new();
        for kind in ["customer", "item"] {
            ids.insert(kind, links(sides, kind).await?);
        }
        let (ours, theirs) = (sides.suitex_record(kind, suitex).await?, sides.netsuite.record(kind, &there).await?);
        let (Some(ours), Some(theirs)) = (ours, theirs) else { return Ok(None) };
        Ok(Some((from_suitex(kind, &ours, &ids)?, from_netsuite(kind, &theirs)?)))
    }

    /// Waits until both sides hold the same.
    pub(crate) async fn agree(&self, account: usize, kind: &str, suitex: &str) -> Result<()> {
        let what = format!("{kind} suitex:{suitex} is the same on both sides");
        let look = || async { Ok(self.both(account, kind, suitex).await?.filter(|(a, b)| a == b).map(|_| ())) };
        self.fact(account, &what, look).await
    }

    /// Waits until nothing of a customer is owed, dirty or in flight: what is edited next is all that its next write says.
    pub(crate) async fn rests(&self, customer: &Customer) -> Result<()> {
        let sides = &self.sides[customer.account];
        let look = || async {
            let query = "select count(*) filter (where not owed and dirty_seq = 0 and inflight_write_id is null)
                 from sync.shadow join sync.links l using (account_id, record_type, rid)
                 where account_id = $1 and record_type = 'customer' and l.side = 'netsuite' and l.native_id = $2";
            let query = sqlx::query_scalar(query).bind(&sides.account).bind(&customer.netsuite);
            let sides_at_rest: i64 = query.fetch_one(&sides.concord).await?;
            Ok((sides_at_rest == 2).then_some(()))
        };
        self.fact(customer.account, &format!("customer {} is at rest", customer.netsuite), look).await
    }

    /// A JSON envelope about a customer, with an event id of its own.
    pub(crate) fn envelope(&self, customer: &Customer, changes: Value) -> (Uuid, Value) {
        let id = RandomIds.uuid();
        let envelope = json!({ "eventId": id, "accountId": self.account(customer.account).account_id,
            "recordType": "customer", "recordId": customer.netsuite, "eventType": "update", "source": "UE",
            "timestamp": now().to_string(), "changes": changes });
        (id, envelope)
    }

    /// The headers of a signed request.
    pub(crate) fn signed(&self, secret: &str, at: i64, body: &[u8]) -> Result<[(&'static str, String); 3]> {
        // By hand: the library signs text only, and not every body here is text.
        let key = STANDARD.decode(secret.strip_prefix("whsec_").context("a secret has its prefix")?)?;
        let id = format!("msg_{}", self.next());
        let mut mac = Hmac::<Sha256>::new_from_slice(&key)?;
        mac.update(format!("{id}.{at}.").as_bytes());
        mac.update(body);
        let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        Ok([("webhook-id", id), ("webhook-timestamp", at.to_string()), ("webhook-signature", signature)])
    }

    /// A good event: a user edits in NetSuite without any script, the event comes in through the relay, is settled, and
    /// the edit is in SuiteX.
    pub(crate) async fn good_event(&self, customer: &Customer) -> Result<()> {
        let email = format!("good{}@example.test", self.next());
        let sides = &self.sides[customer.account];
        let edit = Edit::update("customer", &customer.netsuite, json!({ "email": email }));
        sides.netsuite.edit(&Edit { scripts: false, ..edit }).await?;
        let (id, envelope) = self.envelope(customer, json!({ "email": email }));
        let account = self.account(customer.account);
        let body = envelope.to_string().into_bytes();
        let url = format!("{}/v1/accounts/{}/events", self.manifest.ingest_url, account.account_id);
        let mut request = self.http.post(url).header("content-type", "application/json");
        for (name, value) in self.signed(&account.ingest.signing_secret, now().as_second(), &body)? {
            request = request.header(name, value);
        }
        let answer = request.body(body).send().await?;
        ensure!(answer.status() == 202, "a good event is answered {}: {}", answer.status(), answer.text().await?);
        self.settled(customer.account, id).await?;
        self.suitex_reads(customer, "email", &email).await
    }

    /// Waits until an event is settled, and not as an error.
    pub(crate) async fn settled(&self, account: usize, event: Uuid) -> Result<()> {
        let sides = &self.sides[account];
        let look = || async {
            let query = "select disposition from sync.events where account_id = $1 and event_id = $2";
            let row: Option<(Option<String>,)> =
                sqlx::query_as(query).bind(&sides.account).bind(event).fetch_optional(&sides.concord).await?;
            Ok(row.and_then(|row| row.0))
        };
        let disposition = self.fact(account, &format!("event {event} is settled"), look).await?;
        ensure!(["applied", "noop_echo", "superseded"].contains(&disposition.as_str()), "{event}: {disposition}");
        Ok(())
    }

    /// After something bad about the first customer: good events about it, about another one, and about another
    /// account's.
    pub(crate) async fn goes_on(&self) -> Result<()> {
        for customer in &self.customers {
            self.good_event(customer).await.context("the next good event")?;
        }
        Ok(())
    }

    /// The row of the error queue about this event, once it is there.
    pub(crate) async fn queued_event(&self, event: Uuid) -> Result<Queued> {
        let query = format!("{QUEUED} where q.event_id = $1");
        let pool = &self.sides[0].concord;
        let look = || async { one(sqlx::query(sqlx::AssertSqlSafe(query.clone())).bind(event).fetch_all(pool).await?) };
        self.fact(0, &format!("a row of the error queue about event {event}"), look).await
    }

    /// The row of the error queue that holds this message, once it is there.
    pub(crate) async fn queued_payload(&self, payload: &[u8]) -> Result<Queued> {
        let query = format!("{QUEUED} where q.payload = $1");
        let pool = &self.sides[0].concord;
        let look =
            || async { one(sqlx::query(sqlx::AssertSqlSafe(query.clone())).bind(payload).fetch_all(pool).await?) };
        self.fact(0, &format!("a row of the error queue with these {} bytes", payload.len()), look).await
    }

    /// The one open row of the error queue with this code whose sentence holds this text, once it is there.
    pub(crate) async fn queued_code(&self, code: &str, says: &str) -> Result<Queued> {
        let query = format!("{QUEUED} where q.status = 'open' and q.code = $1 and strpos(q.reason, $2) > 0");
        let pool = &self.sides[0].concord;
        let look = || async {
            one(sqlx::query(sqlx::AssertSqlSafe(query.clone())).bind(code).bind(says).fetch_all(pool).await?)
        };
        self.fact(0, &format!("a row of the error queue with code {code}"), look).await
    }

    /// The newest open row of the error queue about a record, which `side` knows by this id, once it is there.
    pub(crate) async fn queued_record(&self, account: usize, kind: &str, side: Side, id: &str) -> Result<Queued> {
        let sides = &self.sides[account];
        let query = format!(
            "{QUEUED} where q.account_id = $1 and q.record_type = $2 and q.status = 'open'
               and (q.record_id = $4 or q.rid = (select l.rid from sync.links l where l.account_id = $1
                    and l.record_type = $2 and l.side = $3 and l.native_id = $4))
             order by q.id desc limit 1"
        );
        let look = || async {
            let asked = sqlx::query(sqlx::AssertSqlSafe(query.clone()));
            let asked = asked.bind(&sides.account).bind(kind).bind(side.as_str()).bind(id);
            one(asked.fetch_all(&sides.concord).await?)
        };
        self.fact(account, &format!("a row of the error queue about {kind} {}:{id}", side.as_str()), look).await
    }

    /// Lines of the services' logs that hold a value. Postgres' own log is the database's, not a service's.
    pub(crate) fn values_in_logs(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let mut read = 0;
        for entry in fs::read_dir(self.folder.path().join("logs"))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with("postgres-") {
                continue;
            }
            read += 1;
            let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
            let lines = text.lines().filter(|line| line.contains(HUSH));
            found.extend(lines.take(3).map(|line| format!("{name}: {}", line.chars().take(400).collect::<String>())));
            let panics = text.lines().filter(|line| line.contains("panicked at"));
            found.extend(panics.take(3).map(|line| format!("{name}: {}", line.chars().take(400).collect::<String>())));
        }
        ensure!(read >= self.manifest.processes.len(), "only {read} logs were read");
        if self.stack.output().contains(HUSH) {
            found.push("the stack's own output".to_owned());
        }
        Ok(found)
    }
}

/// The present moment.
pub(crate) fn now() -> Timestamp {
    SystemClock.now()
}

fn one(rows: Vec<sqlx::postgres::PgRow>) -> Result<Option<Queued>> {
    ensure!(rows.len() <= 1, "{} rows where one is enough", rows.len());
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some(Queued {
        id: row.try_get("id")?,
        topic: row.try_get("topic")?,
        class: row.try_get("class")?,
        code: row.try_get("code")?,
        reason: row.try_get("reason")?,
        shown: row.try_get("shown")?,
    }))
}

impl Queued {
    /// What is wrong with the row, given what it must say.
    pub(crate) fn complaint(&self, name: &str, code: &str, says: &str) -> Option<String> {
        if self.code != code || !self.reason.contains(says) {
            return Some(format!(
                "{name}: expected {code} and \"{says}\", the row says {} \"{}\"",
                self.code, self.reason
            ));
        }
        (self.shown.contains(HUSH)).then(|| format!("{name}: the row shows a value: {}", self.shown))
    }
}

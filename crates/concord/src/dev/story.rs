//! A short story on every account: each step is done by a user, then both sides are watched until they agree.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use comfy_table::{ContentArrangement, Table, presets};
use futures::FutureExt;
use futures::future::{BoxFuture, try_join_all};
use model::Side;
use serde_json::{Value, json};

use super::manifest::Manifest;
use crate::say::say;
use crate::sides::agreement::{Ids, Record, from_netsuite, from_suitex, links};
use crate::sides::{Edit, Sides};

/// Longest wait for both sides to agree (the promise is a minute end to end).
const AGREE_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What one step came to on one account.
#[derive(Debug)]
struct Told {
    account: String,
    suitex: String,
    netsuite: String,
    took: Duration,
}

/// One account's part in the story.
#[derive(Debug)]
struct Scene {
    sides: Sides,
    tag: String,
    customer: Pair,
    item: Pair,
    order: Pair,
}

/// One record by both its ids.
#[derive(Debug, Clone, Default)]
struct Pair {
    suitex: String,
    netsuite: String,
}

/// What a step must lead to.
type Expected<'a> = &'a [(&'static str, Value)];

/// A step of one account's scene.
type Step = for<'s> fn(&'s mut Scene) -> BoxFuture<'s, Result<Told>>;

/// The story: what is told, and how it is done.
const STEPS: &[(&str, Step)] = &[
    ("A customer is created in NetSuite.", |scene| scene.customer_in_netsuite().boxed()),
    ("An item is created in SuiteX.", |scene| scene.item_in_suitex().boxed()),
    ("The customer is edited in NetSuite: a new credit limit.", |scene| scene.edit_in_netsuite().boxed()),
    ("The customer is edited in SuiteX: a new phone number.", |scene| scene.edit_in_suitex().boxed()),
    ("Both sides at once, different fields: e-mail in NetSuite, phone in SuiteX.", |scene| {
        scene.both_different().boxed()
    }),
    ("Both sides at once, the same field: the credit limit, for which NetSuite wins. The loser is kept.", |scene| {
        scene.both_same().boxed()
    }),
    ("Both sides at once, sums and sets: points are added up, tags are united.", |scene| scene.both_additive().boxed()),
    ("An order with a line is created in SuiteX.", |scene| scene.order_in_suitex().boxed()),
    ("The order is deleted in NetSuite.", |scene| scene.delete_in_netsuite().boxed()),
    ("The item is deleted in SuiteX.", |scene| scene.delete_in_suitex().boxed()),
];

/// Plays the story on all accounts at once. `tag` makes the names of this run's records unlike those of any other run.
///
/// # Errors
/// When a step does not lead where it must within a minute; the sentence names the difference.
pub async fn play(manifest: &Manifest, tag: &str) -> Result<()> {
    let mut scenes = Vec::new();
    for account in &manifest.accounts {
        let sides = Sides::open(manifest, account).await?;
        let [customer, item, order] = [Pair::default(), Pair::default(), Pair::default()];
        scenes.push(Scene { sides, tag: tag.to_owned(), customer, item, order });
    }
    say(format_args!("\nA short story, on {} accounts at once:\n", scenes.len()));
    for (title, step) in STEPS {
        let told = try_join_all(scenes.iter_mut().map(step)).await.context(*title)?;
        show(title, &told);
    }
    say("The story is told: both sides agree on every account.\n");
    Ok(())
}

fn show(title: &str, told: &[Told]) {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic).set_header([
        "account",
        "SuiteX",
        "NetSuite",
        "agreed after",
    ]);
    for told in told {
        table.add_row([&told.account, &told.suitex, &told.netsuite, &format!("{:.2} s", told.took.as_secs_f64())]);
    }
    say(format_args!("{title}\n{table}\n"));
}

impl Scene {
    async fn customer_in_netsuite(&mut self) -> Result<Told> {
        let name = format!("Harbour Supplies {}", self.tag);
        let start = Instant::now();
        let changes = json!({ "companyname": name, "email": "info@harbour.example", "creditlimit": 1000,
            "custentity_loyalty_points": 10, "custentity_tags": ["1"] });
        let netsuite = self.sides.netsuite.edit(&Edit::create("customer", changes)).await?;
        let suitex = self.linked("customer", Side::Netsuite, &netsuite).await?;
        self.customer = Pair { suitex, netsuite };
        self.agree("customer", &self.customer, &[("companyname", json!(name))], start).await
    }

    async fn item_in_suitex(&mut self) -> Result<Told> {
        let name = format!("ROPE-{}", self.tag);
        let start = Instant::now();
        let id: i64 = sqlx::query_scalar(
            "insert into app.items (item_id, display_name, base_price) values ($1, 'Rope, 10 m', 12.50) returning id",
        )
        .bind(&name)
        .fetch_one(&self.sides.suitex)
        .await?;
        let netsuite = self.linked("item", Side::Suitex, &id.to_string()).await?;
        self.item = Pair { suitex: id.to_string(), netsuite };
        self.agree("item", &self.item, &[("itemid", json!(name)), ("baseprice", json!(12.5))], start).await
    }

    async fn edit_in_netsuite(&mut self) -> Result<Told> {
        let start = Instant::now();
        self.netsuite(json!({ "creditlimit": 2500 })).await?;
        self.agree("customer", &self.customer, &[("creditlimit", json!(2500))], start).await
    }

    async fn edit_in_suitex(&mut self) -> Result<Told> {
        let start = Instant::now();
        self.suitex("phone = '+49 40 1234'").await?;
        self.agree("customer", &self.customer, &[("phone", json!("+49 40 1234"))], start).await
    }

    async fn both_different(&mut self) -> Result<Told> {
        let start = Instant::now();
        let edits = (self.netsuite(json!({ "email": "orders@harbour.example" })), self.suitex("phone = '+49 40 5678'"));
        tokio::try_join!(edits.0, edits.1)?;
        let expected = [("email", json!("orders@harbour.example")), ("phone", json!("+49 40 5678"))];
        self.agree("customer", &self.customer, &expected, start).await
    }

    async fn both_same(&mut self) -> Result<Told> {
        let start = Instant::now();
        let edits = (self.netsuite(json!({ "creditlimit": 4000 })), self.suitex("credit_limit = 3000"));
        tokio::try_join!(edits.0, edits.1)?;
        let mut told = self.agree("customer", &self.customer, &[("creditlimit", json!(4000))], start).await?;
        let kept: Option<String> = sqlx::query_scalar(
            "select o.losing_value #>> '{}' from sync.overrides o
             join sync.links l on l.account_id = o.account_id and l.rid::text = o.record_id
             where o.account_id = $1 and l.side = 'suitex' and l.native_id = $2 and o.field = 'creditlimit'
             order by o.version desc limit 1",
        )
        .bind(&self.sides.account)
        .bind(&self.customer.suitex)
        .fetch_optional(&self.sides.concord)
        .await?;
        let kept = kept.context("the credit limit that gave way is not in sync.overrides")?;
        ensure!(kept.contains("3000"), "sync.overrides keeps {kept}, not the 3000 that gave way");
        told.suitex += "\nkept in sync.overrides: 3000";
        Ok(told)
    }

    async fn both_additive(&mut self) -> Result<Told> {
        let start = Instant::now();
        let edits = (
            self.netsuite(json!({ "custentity_loyalty_points": 15, "custentity_tags": ["1", "2"] })),
            self.suitex("loyalty_points = loyalty_points + 30, tags = tags || '{3}'"),
        );
        tokio::try_join!(edits.0, edits.1)?;
        let expected = [("custentity_loyalty_points", json!(45)), ("custentity_tags", json!(["1", "2", "3"]))];
        self.agree("customer", &self.customer, &expected, start).await
    }

    async fn order_in_suitex(&mut self) -> Result<Told> {
        let start = Instant::now();
        let id: i64 = sqlx::query_scalar(
            "with o as (insert into app.sales_orders (customer_id, memo) values ($1, 'by the pier') returning id),
                  l as (insert into app.sales_order_lines (sales_order_id, item_id, quantity, rate)
                        select id, $2, 3, 12.50 from o)
             select id from o",
        )
        .bind(self.customer.suitex.parse::<i64>()?)
        .bind(self.item.suitex.parse::<i64>()?)
        .fetch_one(&self.sides.suitex)
        .await?;
        let netsuite = self.linked("salesorder", Side::Suitex, &id.to_string()).await?;
        self.order = Pair { suitex: id.to_string(), netsuite };
        self.agree("salesorder", &self.order, &[("memo", json!("by the pier"))], start).await
    }

    async fn delete_in_netsuite(&mut self) -> Result<Told> {
        let start = Instant::now();
        self.sides.netsuite.edit(&Edit::delete("salesorder", &self.order.netsuite)).await?;
        self.gone("salesorder", &self.order, start).await
    }

    async fn delete_in_suitex(&mut self) -> Result<Told> {
        let start = Instant::now();
        sqlx::query("delete from app.items where id = $1")
            .bind(self.item.suitex.parse::<i64>()?)
            .execute(&self.sides.suitex)
            .await?;
        self.gone("item", &self.item, start).await
    }

    async fn netsuite(&self, changes: Value) -> Result<()> {
        let edit = Edit::update("customer", &self.customer.netsuite, changes);
        self.sides.netsuite.edit(&edit).await.map(drop)
    }

    /// `assignments` are this module's own words.
    async fn suitex(&self, assignments: &'static str) -> Result<()> {
        sqlx::query(sqlx::AssertSqlSafe(format!("update app.customers set {assignments} where id = $1")))
            .bind(self.customer.suitex.parse::<i64>()?)
            .execute(&self.sides.suitex)
            .await?;
        Ok(())
    }

    /// Waits until the record has an id on the other side.
    async fn linked(&self, record_type: &str, side: Side, id: &str) -> Result<String> {
        let start = Instant::now();
        loop {
            if let Some(there) = self.sides.counterpart(record_type, side, id).await? {
                return Ok(there);
            }
            if start.elapsed() > AGREE_WITHIN {
                let what = format!("{record_type} {}:{id} has not reached the other side", side.as_str());
                return self.give_up(&what).await;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until both sides hold the same and what was expected.
    async fn agree(&self, record_type: &str, pair: &Pair, expected: Expected<'_>, start: Instant) -> Result<Told> {
        loop {
            let (suitex, netsuite) = self.look(record_type, pair).await?;
            if let (Some(suitex), Some(netsuite)) = (&suitex, &netsuite)
                && suitex == netsuite
                && as_expected(record_type, suitex, expected)?
            {
                return Ok(self.told(brief(suitex, expected), brief(netsuite, expected), start));
            }
            if start.elapsed() > AGREE_WITHIN {
                let side = |record: Option<Record>| record.map_or("is gone".to_owned(), |r| brief(&r, &[]));
                let what = format!(
                    "{record_type} suitex:{} netsuite:{} does not agree as expected ({})\n  SuiteX   {}\n  NetSuite {}",
                    pair.suitex,
                    pair.netsuite,
                    expected.iter().map(|(field, value)| format!("{field} {value}")).collect::<Vec<_>>().join(", "),
                    side(suitex),
                    side(netsuite)
                );
                return self.give_up(&what).await;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn gone(&self, record_type: &str, pair: &Pair, start: Instant) -> Result<Told> {
        loop {
            let (suitex, netsuite) = self.look(record_type, pair).await?;
            if suitex.is_none() && netsuite.is_none() {
                return Ok(self.told("gone".to_owned(), "gone".to_owned(), start));
            }
            if start.elapsed() > AGREE_WITHIN {
                let still = if suitex.is_some() { "SuiteX" } else { "NetSuite" };
                return self.give_up(&format!("the deleted {record_type} is still in {still}")).await;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn look(&self, record_type: &str, pair: &Pair) -> Result<(Option<Record>, Option<Record>)> {
        let mut ids = Ids::new();
        for target in ["customer", "item"] {
            ids.insert(target, links(&self.sides, target).await?);
        }
        let suitex = self.sides.suitex_record(record_type, &pair.suitex).await?;
        let netsuite = self.sides.netsuite.record(record_type, &pair.netsuite).await?;
        Ok((
            suitex.map(|fields| from_suitex(record_type, &fields, &ids)).transpose()?,
            netsuite.map(|fields| from_netsuite(record_type, &fields)).transpose()?,
        ))
    }

    fn told(&self, suitex: String, netsuite: String, start: Instant) -> Told {
        Told { account: self.sides.account.clone(), suitex, netsuite, took: start.elapsed() }
    }

    async fn give_up<T>(&self, what: &str) -> Result<T> {
        bail!(
            "account {}: {what} after {} s\n{}",
            self.sides.account,
            AGREE_WITHIN.as_secs(),
            self.sides.why_not_at_rest().await
        )
    }
}

fn as_expected(record_type: &str, record: &Record, expected: Expected<'_>) -> Result<bool> {
    let fields = expected.iter().map(|(field, value)| ((*field).to_owned(), value.clone())).collect();
    let wanted = from_netsuite(record_type, &fields)?;
    Ok(expected.iter().all(|(field, _)| record.get(field) == wanted.get(field)))
}

/// The expected fields of a record, or all that hold something.
fn brief(record: &Record, expected: Expected<'_>) -> String {
    use crate::sides::agreement::Plain;
    let shown = |field: &str, value: &Plain| match expected {
        [] => *value != Plain::Empty,
        fields => fields.iter().any(|(name, _)| *name == field),
    };
    let lines = record.iter().filter(|(field, value)| shown(field, value) || **field == "lines");
    lines.map(|(field, value)| format!("{field} {value}")).collect::<Vec<_>>().join("\n")
}

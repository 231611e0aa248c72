//! Odd content typed into the tenant's own tables by SQL: it is synced, or a row names the field; once it is mended, and
//! before that for every other field, the record goes on.

use anyhow::{Context, Result, bail};
use concord::sides::Side;
use concord::sides::agreement::Plain;
use futures::future::join_all;
use serde_json::json;

use crate::house::{HUSH, House};

/// What somebody types.
struct Odd {
    name: &'static str,
    table: Table,
    /// SQL of the set clause.
    set: String,
    then: Then,
    /// SQL that puts it right.
    mend: &'static str,
}

/// What comes of it.
enum Then {
    /// Both sides hold it.
    Synced,
    /// NetSuite holds this in this field: the same value, spelled as it should be.
    Held(&'static str, Plain),
    /// A row of the error queue names this field.
    Refused(&'static str),
}

#[derive(Clone, Copy)]
enum Table {
    Customers,
    Items,
}

impl Table {
    fn kind(self) -> &'static str {
        match self {
            Self::Customers => "customer",
            Self::Items => "item",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Customers => "app.customers",
            Self::Items => "app.items",
        }
    }

    /// Column and NetSuite field of a text that is good.
    fn good(self) -> (&'static str, &'static str) {
        match self {
            Self::Customers => ("email", "email"),
            Self::Items => ("display_name", "displayname"),
        }
    }
}

fn customer(name: &'static str, set: impl Into<String>, then: Then, mend: &'static str) -> Odd {
    Odd { name, table: Table::Customers, set: set.into(), then, mend }
}

fn item(name: &'static str, set: impl Into<String>, then: Then, mend: &'static str) -> Odd {
    Odd { name, table: Table::Items, set: set.into(), then, mend }
}

fn cases() -> Vec<Odd> {
    let long = |times: usize| format!("'{}'", HUSH.repeat(times));
    let two = Plain::Set(["1", "2"].map(str::to_owned).into());
    vec![
        customer("emoji", format!("comments = '{HUSH} 👩‍👩‍👧‍👦 🇪🇺 ✅'"), Then::Synced, "comments = null"),
        customer(
            "marks that compose",
            "company_name = E'Cafe\\u0301 \\u202Eesrever' || id",
            Then::Synced,
            "company_name = 'C' || id",
        ),
        customer("control characters", "comments = E'a\\tb\\r\\nc\\u2028d\\uFEFFe'", Then::Synced, "comments = null"),
        customer(
            "quotes and SQL",
            "comments = E'\\'; drop table app.customers; -- \"\\\\'",
            Then::Synced,
            "comments = null",
        ),
        customer(
            "what looks like HTML",
            "comments = '<script>alert(1)</script>&amp;'",
            Then::Synced,
            "comments = null",
        ),
        customer("text at its longest", "phone = repeat('9', 60)", Then::Synced, "phone = null"),
        customer(
            "text too long by one",
            format!("phone = left({}, 61)", long(10)),
            Then::Refused("phone"),
            "phone = null",
        ),
        customer(
            "text of a megabyte",
            format!("comments = repeat('{HUSH}', 80000)"),
            Then::Refused("comments"),
            "comments = null",
        ),
        customer("spaces only", "email = '    '", Then::Synced, "comments = null"),
        customer("the largest amount", "credit_limit = 9999999999999.99", Then::Synced, "credit_limit = 1"),
        customer("less than nothing", "credit_limit = -0.01", Then::Synced, "credit_limit = 1"),
        customer("an amount that is none", "credit_limit = 'NaN'", Then::Refused("creditlimit"), "credit_limit = 1"),
        customer(
            "the largest bigint",
            "loyalty_points = 9223372036854775807",
            Then::Refused("custentity_loyalty_points"),
            "loyalty_points = 0",
        ),
        customer(
            "a day without end",
            "created_on = 'infinity'",
            Then::Refused("datecreated"),
            "created_on = current_date",
        ),
        customer(
            "the ides of March",
            "created_on = '0044-03-15 BC'",
            Then::Refused("datecreated"),
            "created_on = current_date",
        ),
        customer(
            "the year 294276",
            "created_on = '294276-12-31'",
            Then::Refused("datecreated"),
            "created_on = current_date",
        ),
        customer(
            "a set with nulls",
            "tags = array['1', null, '', ' 2 ', '1']",
            Then::Held("custentity_tags", two),
            "tags = '{}'",
        ),
        customer(
            "a set of nothing",
            "tags = array[null, '']::text[]",
            Then::Held("custentity_tags", Plain::Empty),
            "tags = '{}'",
        ),
        customer(
            "a set of sets",
            format!("tags = array[array['1', '{HUSH}'], array['2', '3']]"),
            Then::Refused("custentity_tags"),
            "tags = '{}'",
        ),
        item("a price that is none", "base_price = 'NaN'", Then::Refused("baseprice"), "base_price = 1"),
        item("an endless price", "base_price = 'Infinity'", Then::Refused("baseprice"), "base_price = 1"),
        item("a price of 400 digits", "base_price = 10::numeric ^ 400", Then::Refused("baseprice"), "base_price = 1"),
        item(
            "a price of 400 decimals",
            "base_price = 1 / (10::numeric ^ 400)",
            Then::Refused("baseprice"),
            "base_price = 1",
        ),
        item(
            "a name that is too long",
            format!("item_id = {}", long(10)),
            Then::Refused("itemid"),
            "item_id = 'I' || id",
        ),
    ]
}

/// All of it, a record for each, at once; what was found.
pub(crate) async fn try_everything(house: &House) -> Result<Vec<String>> {
    let cases = cases();
    let tried = join_all(
        cases
            .iter()
            .enumerate()
            .map(|(n, odd)| async move { typed(house, n % house.sides.len(), odd).await.with_context(|| odd.name) }),
    );
    let mut found = Vec::new();
    for outcome in tried.await {
        match outcome {
            Ok(complaint) => found.extend(complaint),
            Err(error) => found.push(format!("{error:#}")),
        }
    }
    house.goes_on().await?;
    Ok(found)
}

async fn typed(house: &House, account: usize, odd: &Odd) -> Result<Option<String>> {
    let (table, kind) = (odd.table.name(), odd.table.kind());
    let pool = &house.sides[account].suitex;
    let name_column = if kind == "item" { "item_id" } else { "company_name" };
    let insert = format!("insert into {table} ({name_column}) values ('Odd ' || $1::text) returning id");
    let id: i64 =
        sqlx::query_scalar(sqlx::AssertSqlSafe(insert)).bind(house.next().to_string()).fetch_one(pool).await?;
    let id = id.to_string();
    let there = house.linked(account, kind, Side::Suitex, &id).await?;
    house.agree(account, kind, &id).await.context("before")?;
    let update = |set: String| {
        let update = format!("update {table} set {set} where id = {id}");
        async move { sqlx::query(sqlx::AssertSqlSafe(update)).execute(pool).await }
    };

    let done = update(odd.set.clone()).await?;
    if done.rows_affected() != 1 {
        bail!("nothing was typed");
    }
    let complaint = match &odd.then {
        Then::Synced => {
            house.agree(account, kind, &id).await.context("what was typed")?;
            None
        }
        Then::Held(field, plain) => {
            let look = || async {
                let held = house.both(account, kind, &id).await?.and_then(|(_, theirs)| theirs.get(field).cloned());
                Ok(held.filter(|held| held == plain).map(|_| ()))
            };
            house.fact(account, &format!("{field} of NetSuite's {kind} {there} is {plain}"), look).await?;
            None
        }
        Then::Refused(field) => {
            let queued = house.queued_record(account, kind, Side::Suitex, &id).await?;
            queued.complaint(odd.name, "bad_value", field)
        }
    };
    // Another field of the record is edited while the odd value still stands there.
    let (column, field) = odd.table.good();
    let good = format!("good{}", house.next());
    update(format!("{column} = '{good}'")).await?;
    house.netsuite_reads(account, kind, &there, field, &json!(good)).await.context("another field's edit, unmended")?;
    let good = format!("good{}", house.next());
    update(format!("{}, {column} = '{good}'", odd.mend)).await?;
    house.netsuite_reads(account, kind, &there, field, &json!(good)).await.context("the edit that mends")?;
    house.agree(account, kind, &id).await.context("after")?;
    Ok(complaint)
}

//! Users: on both sides they edit, clear, count, tag, change lines, create and delete; often where somebody on the other
//! side just did.

use std::sync::Arc;
use std::time::{Duration, Instant};

use concord::sides::Edit;
use concord::sides::agreement::column;
use model::Side;
use serde_json::{Map, Value, json};
use sqlx::{AssertSqlSafe, Row};

use crate::arena::{Arena, Target, number};
use crate::diary::{Deed, Place};

/// Users of each side of an account.
pub(crate) const PER_SIDE: u64 = 2;
/// From one edit of a user to the next.
const PACE: Duration = Duration::from_millis(140);
/// How often a user goes where the other side just was.
const FOLLOWS: f64 = 0.55;
/// How often one who follows types into the same field.
const SAME_FIELD: f64 = 0.5;
const CREATES: f64 = 0.02;
const DELETES: f64 = 0.012;

/// Fields of text that users type into, by type.
fn texts(record_type: &str) -> &'static [&'static str] {
    match record_type {
        "customer" => &["companyname", "email", "phone", "comments", "comments"],
        "item" => &["displayname", "description"],
        _ => &["memo"],
    }
}

/// Amounts that users type into, by type.
fn amounts(record_type: &str) -> &'static [&'static str] {
    match record_type {
        "customer" => &["creditlimit"],
        "item" => &["baseprice"],
        _ => &[],
    }
}

/// What a user is about to do.
enum Intent {
    Text { field: &'static str, value: Option<String> },
    Amount { field: &'static str, cents: u64 },
    Toggle,
    Terms(u8),
    Count(i64),
    Tag(String),
    Untag,
    LineQuantity(u64),
    LineAdd(u64),
    LineDrop,
    Delete,
}

impl Intent {
    fn text_field(&self) -> Option<&'static str> {
        match self {
            Self::Text { field, .. } => Some(field),
            _ => None,
        }
    }
}

/// A user of the application, by SQL.
pub(crate) async fn in_suitex(arena: Arc<Arena>, chance: fastrand::Rng, until: Instant) {
    act(arena, Side::Suitex, chance, until).await;
}

/// A user of NetSuite, by its screens.
pub(crate) async fn in_netsuite(arena: Arc<Arena>, chance: fastrand::Rng, until: Instant) {
    act(arena, Side::Netsuite, chance, until).await;
}

async fn act(arena: Arc<Arena>, side: Side, mut chance: fastrand::Rng, until: Instant) {
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while Instant::now() < until {
        pace.tick().await;
        if chance.f64() < CREATES {
            match chance.u8(0..3) {
                0 => arena.customer(side, false).await,
                1 => arena.item(side, false).await,
                _ => arena.order(side, chance.usize(..1000)).await,
            }
            continue;
        }
        let Some((n, target, theirs)) = choose(&arena, side, &mut chance) else { continue };
        let intent = intend(&arena, &target, theirs, &mut chance);
        let place = target.place(side).expect("chosen for having an id here");
        let done = match side {
            Side::Suitex => suitex(&arena, &place, &intent).await,
            Side::Netsuite => netsuite(&arena, &place, &intent, &mut chance).await,
        };
        match done {
            Some(true) => arena.diary.edited(n, side, intent.text_field()),
            // Gone, or nothing to take away: the user looks elsewhere.
            Some(false) => {}
            None => arena.diary.refused(),
        }
    }
}

/// A record, and the text field that somebody across typed into just now, if this user goes there.
type Choice = (usize, Target, Option<&'static str>);

fn choose(arena: &Arena, side: Side, chance: &mut fastrand::Rng) -> Option<Choice> {
    let targets = arena.targets();
    let fresh = arena.diary.fresh(side.other());
    let follow = !fresh.is_empty() && chance.f64() < FOLLOWS;
    // Half of those who follow go where the other side was last, before its edit can have come across.
    let (n, theirs) = match (follow, chance.bool()) {
        (false, _) => (chance.usize(..targets.len()), None),
        (true, true) => fresh[0],
        (true, false) => fresh[chance.usize(..fresh.len())],
    };
    targets.get(n).filter(|target| target.id(side).is_some()).map(|target| (n, target.clone(), theirs))
}

fn intend(arena: &Arena, target: &Target, theirs: Option<&'static str>, chance: &mut fastrand::Rng) -> Intent {
    if target.mortal && chance.f64() < DELETES {
        return Intent::Delete;
    }
    let pick = |fields: &[&'static str], chance: &mut fastrand::Rng| fields[chance.usize(..fields.len())];
    let text = |chance: &mut fastrand::Rng| {
        let field = theirs.unwrap_or_else(|| pick(texts(target.record_type), chance));
        let required = field == "companyname";
        let value = (required || chance.f64() > 0.1).then(|| words(arena.fresh(), chance));
        Intent::Text { field, value }
    };
    if theirs.is_some() && chance.f64() < SAME_FIELD {
        return text(chance);
    }
    match (target.record_type, chance.u8(0..10)) {
        (_, 0..=3) => text(chance),
        ("customer" | "item", 4) => {
            Intent::Amount { field: pick(amounts(target.record_type), chance), cents: arena.fresh() % 90_000_000 }
        }
        ("customer" | "item", 5) => Intent::Toggle,
        ("customer", 6) => Intent::Terms(chance.u8(1..=2)),
        ("customer", 7) => Intent::Count(chance.i64(1..50)),
        ("customer", 8) => Intent::Tag(format!("t{}", arena.fresh())),
        ("customer", _) => Intent::Untag,
        ("salesorder", 4..=6) => Intent::LineQuantity(arena.fresh() % 9_000_000),
        ("salesorder", 7) => Intent::LineAdd(arena.fresh() % 9_000_000),
        ("salesorder", 8) => Intent::LineDrop,
        _ => text(chance),
    }
}

/// Text that nobody typed before, of many scripts; some of it not composed.
fn words(n: u64, chance: &mut fastrand::Rng) -> String {
    const SCRIPTS: [&str; 7] =
        ["plain", "Zürich", "e\u{301}te\u{301}", "日本語", "🚢⚓", "שלום", "tab\tand \"quotes\" 'n \\ %"];
    format!("{} {n}", SCRIPTS[chance.usize(..SCRIPTS.len())])
}

/// True: done. False: nothing was there to do it to. None: refused.
async fn suitex(arena: &Arena, place: &Place, intent: &Intent) -> Option<bool> {
    let id = number(Some(&place.id));
    let diary = &arena.diary;
    let pool = &arena.sides.suitex;
    match intent {
        Intent::Text { field, value } => {
            let old = replace(arena, place, field, value.clone(), "text").await?;
            let Some(old) = old else { return Some(false) };
            diary.write(place, Deed::Typed { field, old, new: value.clone() });
        }
        Intent::Amount { field, cents } => {
            let value = format!("{}.{:02}", cents / 100, cents % 100);
            let old = replace(arena, place, field, Some(value.clone()), "numeric").await?;
            let Some(old) = old else { return Some(false) };
            diary.write(place, Deed::Typed { field, old, new: Some(value) });
        }
        Intent::Toggle => {
            let table = if place.record_type == "item" { "app.items" } else { "app.customers" };
            return run(pool, &format!("update {table} set is_inactive = not is_inactive where id = $1"), id, "").await;
        }
        Intent::Terms(n) => {
            return run(pool, "update app.customers set terms = $2, currency = $2 where id = $1", id, &n.to_string())
                .await;
        }
        Intent::Count(amount) => {
            let query =
                "update app.customers set loyalty_points = coalesce(loyalty_points, 0) + $2::bigint where id = $1";
            if !run(pool, query, id, &amount.to_string()).await? {
                return Some(false);
            }
            diary.write(place, Deed::Added { field: "custentity_loyalty_points", amount: *amount });
        }
        Intent::Tag(tag) => {
            if !run(pool, "update app.customers set tags = array_append(tags, $2) where id = $1", id, tag).await? {
                return Some(false);
            }
            diary.write(place, Deed::Put { field: "custentity_tags", element: tag.clone() });
        }
        Intent::Untag => {
            let query = "with old as (select id, tags[1] as tag from app.customers where id = $1 and tags <> '{}' for update)
                         update app.customers c set tags = array_remove(c.tags, old.tag) from old where c.id = old.id returning old.tag";
            let tag: Option<String> = sqlx::query_scalar(query).bind(id).fetch_optional(pool).await.ok()?;
            let Some(element) = tag else { return Some(false) };
            diary.write(place, Deed::Took { field: "custentity_tags", element });
        }
        Intent::LineQuantity(n) => {
            let query = "update app.sales_order_lines set quantity = $2::numeric / 1000
                         where id = (select id from app.sales_order_lines where sales_order_id = $1 order by random() limit 1)";
            return run(pool, query, id, &n.to_string()).await;
        }
        Intent::LineAdd(n) => {
            let query = "insert into app.sales_order_lines (sales_order_id, item_id, quantity, rate)
                         select sales_order_id, item_id, $2::numeric / 1000, rate from app.sales_order_lines where sales_order_id = $1 limit 1";
            return run(pool, query, id, &n.to_string()).await;
        }
        Intent::LineDrop => {
            let query = "delete from app.sales_order_lines where id = (select id from app.sales_order_lines
                         where sales_order_id = $1 order by id desc limit 1)
                         and (select count(*) from app.sales_order_lines where sales_order_id = $1) > 1";
            return run(pool, query, id, "").await;
        }
        Intent::Delete => {
            let table = match place.record_type {
                "customer" => "app.customers",
                "item" => "app.items",
                _ => "app.sales_orders",
            };
            if !run(pool, &format!("delete from {table} where id = $1"), id, "").await? {
                return Some(false);
            }
            arena.forget(place);
            diary.write(place, Deed::Deleted);
        }
    }
    Some(true)
}

/// Runs a statement on record `$1` with `$2`; whether it touched anything.
async fn run(pool: &sqlx::PgPool, query: &str, id: i64, value: &str) -> Option<bool> {
    let mut statement = sqlx::query(AssertSqlSafe(query.to_owned())).bind(id);
    if query.contains("$2") {
        statement = statement.bind(value.to_owned());
    }
    match statement.execute(pool).await {
        Ok(done) => Some(done.rows_affected() > 0),
        Err(error) => {
            println!("a user of the application is refused: {error}");
            None
        }
    }
}

/// Types a value over what is there. None: refused; Some(None): the record is gone; else what was there.
async fn replace(
    arena: &Arena,
    place: &Place,
    field: &'static str,
    value: Option<String>,
    kind: &str,
) -> Option<Option<Option<String>>> {
    let column = column(place.record_type, field).expect("users know the fields");
    let table = match place.record_type {
        "customer" => "app.customers",
        "item" => "app.items",
        _ => "app.sales_orders",
    };
    let query = format!(
        "with old as (select id, {column}::text as was from {table} where id = $1 for update)
         update {table} t set {column} = $2::{kind} from old where t.id = old.id returning old.was"
    );
    let row = sqlx::query(AssertSqlSafe(query))
        .bind(number(Some(&place.id)))
        .bind(value)
        .fetch_optional(&arena.sides.suitex)
        .await;
    match row {
        Ok(row) => Some(row.map(|row| row.get::<Option<String>, _>(0))),
        Err(error) => {
            println!("a user of the application is refused: {error}");
            None
        }
    }
}

/// True: done. False: nothing was there to do it to. None: refused. What was done stands in NetSuite's system notes.
async fn netsuite(arena: &Arena, place: &Place, intent: &Intent, chance: &mut fastrand::Rng) -> Option<bool> {
    let sides = &arena.sides.netsuite;
    if matches!(intent, Intent::Delete) {
        let deleted = sides.edit(&Edit::delete(place.record_type, &place.id)).await;
        if deleted.is_err() {
            return Some(false);
        }
        arena.forget(place);
        arena.diary.write(place, Deed::Deleted);
        return Some(true);
    }
    let needs_look = matches!(
        intent,
        Intent::Toggle
            | Intent::Count(_)
            | Intent::Tag(_)
            | Intent::Untag
            | Intent::LineQuantity(_)
            | Intent::LineAdd(_)
            | Intent::LineDrop
    );
    let screen = match needs_look {
        true => match sides.record(place.record_type, &place.id).await.ok()? {
            Some(fields) => fields,
            None => return Some(false),
        },
        false => Map::new(),
    };
    let Some(changes) = on_screen(intent, &screen) else { return Some(false) };
    // One in five goes past the scripts: only the poller will notice.
    let edit = Edit { scripts: chance.f64() > 0.2, ..Edit::update(place.record_type, &place.id, changes) };
    match sides.edit(&edit).await {
        Ok(_) => Some(true),
        Err(error) if error.to_string().contains("RCRD_DSNT_EXIST") => Some(false),
        // A line that is gone by now.
        Err(error) if error.to_string().contains("lines") => Some(false),
        Err(error) => {
            println!("a user of NetSuite is refused: {error}");
            None
        }
    }
}

/// The new values, by what the user has on the screen.
fn on_screen(intent: &Intent, screen: &Map<String, Value>) -> Option<Value> {
    let tags = || screen.get("custentity_tags").and_then(Value::as_array).cloned().unwrap_or_default();
    let lines = || screen.get("lines").and_then(Value::as_object).cloned().unwrap_or_default();
    Some(match intent {
        Intent::Text { field, value } => json!({ *field: value }),
        Intent::Amount { field, cents } => json!({ *field: format!("{}.{:02}", cents / 100, cents % 100) }),
        Intent::Toggle => json!({ "isinactive": !screen.get("isinactive").and_then(Value::as_bool).unwrap_or(false) }),
        Intent::Terms(n) => json!({ "terms": n, "currency": n }),
        Intent::Count(amount) => {
            let shown = screen.get("custentity_loyalty_points").and_then(Value::as_i64).unwrap_or(0);
            json!({ "custentity_loyalty_points": shown + amount })
        }
        Intent::Tag(tag) => {
            let mut tags = tags();
            tags.push(json!(tag));
            json!({ "custentity_tags": tags })
        }
        Intent::Untag => {
            let mut tags = tags();
            tags.pop()?;
            json!({ "custentity_tags": tags })
        }
        Intent::LineQuantity(n) => {
            let (id, _) = lines().into_iter().next()?;
            json!({ "lines": { id: { "quantity": thousandths(*n) } } })
        }
        Intent::LineAdd(n) => {
            let (_, line) = lines().into_iter().next()?;
            json!({ "lines": { "new": { "item": line["item"], "quantity": thousandths(*n), "rate": line["rate"] } } })
        }
        Intent::LineDrop => {
            let lines = lines();
            let (id, _) = lines.iter().next_back().filter(|_| lines.len() > 1)?;
            json!({ "lines": { id: null } })
        }
        Intent::Delete => return None,
    })
}

fn thousandths(n: u64) -> String {
    format!("{}.{:03}", n / 1000, n % 1000)
}

//! Sample records by the thousand, the same for the same seed.

use fastrand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::World;
use super::draft::Draft;
use super::kind::{CUSTOMER, ITEM, SALES_ORDER};
use super::refusal::{Refusal, WorldError};
use super::save::{Author, Saving};

const MAX_RECORDS: u32 = 200_000;
const FIRST: [&str; 12] =
    ["Blue", "North", "Granite", "Amber", "Silver", "Harbor", "Summit", "Cedar", "Falcon", "Meadow", "Iron", "Coral"];
const SECOND: [&str; 10] =
    ["Supply", "Traders", "Works", "Foods", "Tools", "Labs", "Outfitters", "Logistics", "Paper", "Systems"];
const GOODS: [&str; 10] =
    ["Widget", "Bracket", "Valve", "Lamp", "Cable", "Filter", "Hinge", "Panel", "Gasket", "Bearing"];

/// How many records of each type, and the seed they follow from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Amounts {
    #[serde(default)]
    customers: u32,
    #[serde(default)]
    items: u32,
    #[serde(default)]
    orders: u32,
    #[serde(default)]
    seed: u64,
}

/// Ids of what was made.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Generated {
    customers: Vec<String>,
    items: Vec<String>,
    orders: Vec<String>,
}

impl World {
    /// Makes sample records in one transaction; no scripts run.
    ///
    /// # Errors
    /// A refusal when more is asked for than one call makes, or orders without customers and items to name.
    pub(crate) fn generate(&self, amounts: &Amounts) -> Result<Generated, WorldError> {
        if amounts.customers.max(amounts.items).max(amounts.orders) > MAX_RECORDS {
            return Err(Refusal::new("INVALID_PARAMETER", format!("At most {MAX_RECORDS} records per call.")).into());
        }
        let author = Author { user: "Sample Data".to_owned(), context: "CSVIMPORT".to_owned() };
        let mut rng = Rng::with_seed(amounts.seed);
        self.commit(&author, |saving, _| {
            let mut made = Generated::default();
            for _ in 0..amounts.customers {
                let saved = saving.create(*CUSTOMER, &Draft::from_json(*CUSTOMER, &customer(&mut rng))?, None)?;
                made.customers.push(saved.id.to_string());
            }
            for _ in 0..amounts.items {
                made.items.push(make_item(saving, &mut rng)?);
            }
            if amounts.orders > 0 {
                let customers = super::read::ids(saving.tx, *CUSTOMER)?;
                let items = super::read::ids(saving.tx, *ITEM)?;
                for _ in 0..amounts.orders {
                    let order = order(&mut rng, &customers, &items)?;
                    let saved = saving.create(*SALES_ORDER, &Draft::from_json(*SALES_ORDER, &order)?, None)?;
                    made.orders.push(saved.id.to_string());
                }
            }
            Ok(made)
        })
    }
}

fn pick<'a>(rng: &mut Rng, words: &[&'a str]) -> &'a str {
    words[rng.usize(..words.len())]
}

fn members(json: Json) -> Map<String, Json> {
    match json {
        Json::Object(members) => members,
        _ => Map::new(),
    }
}

fn cents(rng: &mut Rng, max: u32) -> String {
    let amount = rng.u32(100..max);
    format!("{}.{:02}", amount / 100, amount % 100)
}

fn customer(rng: &mut Rng) -> Map<String, Json> {
    let name = format!("{} {} {}", pick(rng, &FIRST), pick(rng, &SECOND), rng.u32(1..10_000));
    let host = name.to_lowercase().replace(' ', "-");
    let tags: Vec<String> = (1..=5).filter(|_| rng.bool()).map(|tag: u32| tag.to_string()).collect();
    let comments = if rng.bool() { Json::Null } else { json!("Calls on Mondays") };
    members(json!({
        "companyname": name,
        "email": format!("office@{host}.example"),
        "phone": format!("555-{:04}", rng.u32(0..10_000)),
        "creditlimit": cents(rng, 5_000_000),
        "comments": comments,
        "terms": rng.u32(1..=8).to_string(),
        "currency": rng.u32(1..=4).to_string(),
        "custentity_tags": tags,
        "custentity_loyalty_points": rng.u32(0..5_000),
    }))
}

fn make_item(saving: &Saving<'_>, rng: &mut Rng) -> Result<String, WorldError> {
    let number = super::save::next_id(saving.tx, ITEM.table)?;
    let goods = pick(rng, &GOODS);
    let fields = members(json!({
        "itemid": format!("{}-{number}", goods.to_uppercase()),
        "displayname": format!("{} {goods}", pick(rng, &FIRST)),
        "description": format!("{goods}, sold by the piece"),
        "baseprice": cents(rng, 100_000),
    }));
    let saved = saving.create(*ITEM, &Draft::from_json(*ITEM, &fields)?, Some(number))?;
    Ok(saved.id.to_string())
}

fn order(rng: &mut Rng, customers: &[i64], items: &[i64]) -> Result<Map<String, Json>, Refusal> {
    if customers.is_empty() || items.is_empty() {
        return Err(Refusal::new("INVALID_PARAMETER", "Orders need customers and items: generate those first."));
    }
    let lines: Vec<Json> = (0..rng.usize(1..=4))
        .map(|_| json!({ "item": items[rng.usize(..items.len())], "quantity": rng.u32(1..20) }))
        .collect();
    Ok(members(json!({
        "entity": customers[rng.usize(..customers.len())],
        "memo": format!("Sample order {}", rng.u32(1..100_000)),
        "lines": lines,
    })))
}

//! Sample records by the thousand or the million, the same for the same seed on an empty world.
//!
//! Rows go in directly, a few thousand per transaction, and no scripts run and no system notes are left, as after an
//! initial import. Every derived column holds what a save would have derived.

mod goods;
mod names;
mod orders;
mod people;
mod rows;

use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, TransactionBehavior};
use serde::{Deserialize, Serialize};

use super::refusal::{Refusal, WorldError};
use super::save::employee;
use super::value::moment_column;
use super::{World, schema};
use crate::catalog::catalog;
use rows::Days;

const MAX_RECORDS: u32 = 2_000_000;
/// Records per transaction: few enough that others get their turn meanwhile.
const CHUNK: u32 = 10_000;
/// From so many records on, indexes are made after the rows.
const BULK: u64 = 50_000;
/// Ids are listed up to so many records.
const MAX_LISTED: u64 = 200_000;
const BUSY_TABLES: [&str; 8] = [
    "customer",
    "item",
    "pricing",
    "inventoryitemlocations",
    "inventorybalance",
    "transaction",
    "transactionline",
    "transactionaccountingline",
];

/// How many records of each type, and the seed they follow from.
#[derive(Debug, Clone, Default, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Amounts {
    /// Customers, each with an address or two.
    pub customers: u32,
    /// Inventory items, each with prices and stock.
    pub items: u32,
    /// Sales orders of one to four lines; they need customers and items, of this call or earlier.
    pub orders: u32,
    /// Vendors, each with an address.
    pub vendors: u32,
    /// Contacts of customers.
    pub contacts: u32,
    /// Employees.
    pub employees: u32,
    /// Assemblies, each with a bill of materials, a revision and its components.
    pub assemblies: u32,
    /// What everything follows from.
    pub seed: u64,
    /// Spreads creation and order dates over so many days before now; 0 dates everything now.
    pub history_days: u16,
}

/// Ids of what was made; lists are left out beyond 200,000 records in all.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
pub struct Generated {
    /// Ids of the customers.
    pub customers: Vec<String>,
    /// Ids of the items.
    pub items: Vec<String>,
    /// Ids of the orders.
    pub orders: Vec<String>,
    /// Ids of the vendors.
    pub vendors: Vec<String>,
    /// Ids of the contacts.
    pub contacts: Vec<String>,
    /// Ids of the employees.
    pub employees: Vec<String>,
    /// Ids of the assemblies.
    pub assemblies: Vec<String>,
    /// Records made.
    pub records: u64,
    /// Rows made, those of lines, prices, addresses and the like included.
    pub rows: u64,
}

impl Amounts {
    fn total(&self) -> u64 {
        self.counts().iter().map(|count| u64::from(*count)).sum()
    }

    fn counts(&self) -> [u32; 7] {
        [self.customers, self.items, self.orders, self.vendors, self.contacts, self.employees, self.assemblies]
    }
}

/// What the makers of rows share.
struct Maker<'a> {
    tx: &'a Connection,
    rng: &'a mut Rng,
    days: &'a Days,
    /// Id of the user who is shown as the last to change the records.
    by: i64,
    rows: u64,
}

/// Makes so many records of one kind and adds their ids.
type Make = fn(&mut Maker<'_>, u32, &mut Vec<i64>) -> Result<(), WorldError>;

impl World {
    /// Makes sample records; no scripts run.
    ///
    /// # Errors
    /// A refusal when more is asked for than one call makes, or orders without customers and items to name.
    pub(crate) fn generate(&self, amounts: &Amounts) -> Result<Generated, WorldError> {
        if amounts.counts().into_iter().max().unwrap_or(0) > MAX_RECORDS {
            let text = format!("At most {MAX_RECORDS} records of a type per call.");
            return Err(Refusal::new("INVALID_PARAMETER", text).into());
        }
        let is_bulk = amounts.total() >= BULK;
        if is_bulk {
            self.indexes(schema::drop_indexes)?;
        }
        let made = self.make_all(amounts);
        if is_bulk {
            self.indexes(schema::create_indexes)?;
        }
        made
    }

    fn make_all(&self, amounts: &Amounts) -> Result<Generated, WorldError> {
        let mut rng = Rng::with_seed(amounts.seed);
        let mut made = Generated { records: amounts.total(), ..Generated::default() };
        let days = Days::new(self.now(), amounts.history_days, &self.zone);
        let listed = amounts.total() <= MAX_LISTED;
        let kinds: [(u32, Make, &mut Vec<String>); 7] = [
            (amounts.employees, people::employees, &mut made.employees),
            (amounts.customers, people::customers, &mut made.customers),
            (amounts.vendors, people::vendors, &mut made.vendors),
            (amounts.contacts, people::contacts, &mut made.contacts),
            (amounts.items, goods::items, &mut made.items),
            (amounts.assemblies, goods::assemblies, &mut made.assemblies),
            (amounts.orders, orders::orders, &mut made.orders),
        ];
        for (amount, make, ids) in kinds {
            let mut left = amount;
            while left > 0 {
                let count = left.min(CHUNK);
                let mut chunk = Vec::with_capacity(count as usize);
                made.rows += self.chunk(&mut rng, &days, |maker| make(maker, count, &mut chunk))?;
                if listed {
                    ids.extend(chunk.iter().map(ToString::to_string));
                }
                left -= count;
            }
        }
        Ok(made)
    }

    /// One transaction of rows; tells how many.
    fn chunk(
        &self,
        rng: &mut Rng,
        days: &Days,
        make: impl FnOnce(&mut Maker<'_>) -> Result<(), WorldError>,
    ) -> Result<u64, WorldError> {
        let mut writer = self.writer();
        self.apply_due(&mut writer)?;
        let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let by = employee(&tx, "Sample Data")?;
        let mut maker = Maker { tx: &tx, rng, days, by, rows: 0 };
        make(&mut maker)?;
        let rows = maker.rows;
        tx.commit()?;
        Ok(rows)
    }

    fn indexes(
        &self,
        change: impl Fn(&Connection, &crate::catalog::Table) -> rusqlite::Result<()>,
    ) -> Result<(), WorldError> {
        let writer = self.writer();
        for name in BUSY_TABLES {
            if let Some(table) = catalog().table(name) {
                change(&writer, table)?;
            }
        }
        Ok(())
    }
}

impl Maker<'_> {
    /// The moment a record was created: now, or some time in the history.
    fn created(&mut self) -> Timestamp {
        let span = self.days.span_seconds();
        let back = if span == 0 { 0 } else { self.rng.i64(0..span) };
        self.days.now().checked_sub(SignedDuration::from_secs(back)).unwrap_or(self.days.now())
    }

    /// Stamps of creation and last change, as columns hold them.
    fn stamps(&mut self) -> (String, String) {
        let created = self.created();
        let age = self.days.now().duration_since(created).as_secs();
        let later = if age == 0 { 0 } else { self.rng.i64(0..=age) };
        let changed = created.checked_add(SignedDuration::from_secs(later)).unwrap_or(created);
        (moment_column(created), moment_column(changed))
    }

    fn pick<'w>(&mut self, words: &[&'w str]) -> &'w str {
        words[self.rng.usize(..words.len())]
    }
}

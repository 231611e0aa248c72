//! Customers, vendors, contacts and employees, with their addresses and subsidiaries.

use rusqlite::types::Value as Column;

use super::super::refusal::WorldError;
use super::Maker;
use super::names::{BRAND, CITIES, FIRST, FORM, LAST, STREETS, TRADE};
use super::rows::{Insert, cents, flag, int, reserve, text};

const CUSTOMER: &str = "id, entityid, companyname, altname, isperson, email, phone, category, creditlimit, balance, comments, \
    terms, currency, pricelevel, territory, shippingitem, taxable, entitystatus, searchstage, subsidiary, \
    defaultbillingaddress, defaultshippingaddress, isinactive, custentity_tags, custentity_loyalty_points, datecreated, \
    lastmodifieddate, lastmodifiedby";
const VENDOR: &str = "id, entityid, companyname, altname, legalname, email, phone, category, terms, currency, subsidiary, \
    datecreated, lastmodifieddate, lastmodifiedby";
const ADDRESS: &str = "nkey, addr1, addressee, city, state, dropdownstate, zip, country, addrtext, recordowner";
const BOOK: &str = "internalid, entity, label, defaultbilling, defaultshipping, addressbookaddress";

/// A company's name with a number that no other has, and its host.
fn company(maker: &mut Maker<'_>, id: i64) -> (String, String) {
    let (brand, trade, form) = (maker.pick(&BRAND), maker.pick(&TRADE), maker.pick(&FORM));
    let host = format!("{}-{}-{id}.example", brand.to_lowercase(), trade.to_lowercase());
    (format!("{brand} {trade} {id} {form}"), host)
}

fn phone(maker: &mut Maker<'_>) -> String {
    format!("{:03}-555-{:04}", maker.rng.u32(201..990), maker.rng.u32(0..10_000))
}

/// Writes addresses of an entity; returns the keys of the billing and the shipping one.
struct Addresses<'c> {
    address: Insert<'c>,
    book: Insert<'c>,
}

impl<'c> Addresses<'c> {
    fn new(tx: &'c rusqlite::Connection, prefix: &str) -> rusqlite::Result<Self> {
        let address = Insert::new(tx, &format!("{prefix}addressbookentityaddress"), ADDRESS)?;
        Ok(Self { address, book: Insert::new(tx, &format!("{prefix}addressbook"), BOOK)? })
    }

    fn add(&mut self, maker: &mut Maker<'_>, entity: i64, name: &str, two: bool) -> Result<(i64, i64), WorldError> {
        let count = if two { 2 } else { 1 };
        let first = reserve(maker.tx, "address", count)?;
        for (index, key) in (first..first + i64::from(count)).enumerate() {
            let (city, state, zip, country) = CITIES[maker.rng.usize(..CITIES.len())];
            let street = format!("{} {}", maker.rng.u32(1..990), maker.pick(&STREETS));
            let full = format!("{name}\n{street}\n{city} {state} {zip}\n{country}");
            let state_column = || if state.is_empty() { Column::Null } else { text(state) };
            self.address.row(
                &mut maker.rows,
                [
                    int(key),
                    text(street),
                    text(name),
                    text(city),
                    state_column(),
                    state_column(),
                    text(zip),
                    text(country),
                    text(full),
                    int(entity),
                ],
            )?;
            let is_shipping = index + 1 == count as usize;
            let label = if index == 0 { "Main" } else { "Warehouse" };
            let values = [int(key), int(entity), text(label), flag(index == 0), flag(is_shipping), int(key)];
            self.book.row(&mut maker.rows, values)?;
        }
        Ok((first, first + i64::from(count) - 1))
    }
}

pub(super) fn customers(maker: &mut Maker<'_>, count: u32, ids: &mut Vec<i64>) -> Result<(), WorldError> {
    let tx = maker.tx;
    let mut customer = Insert::new(tx, "customer", CUSTOMER)?;
    let mut relation = Insert::new(tx, "customersubsidiaryrelationship", "id, entity, subsidiary, isprimarysub")?;
    let mut addresses = Addresses::new(tx, "customer")?;
    let first = reserve(tx, "customer", count)?;
    let first_relation = reserve(tx, "relationship", count)?;
    for step in 0..i64::from(count) {
        let id = first + step;
        let (name, host) = company(maker, id);
        let two = maker.rng.u8(0..10) < 3;
        let (billing, shipping) = addresses.add(maker, id, &name, two)?;
        let tags: Vec<String> = (1..=5).filter(|_| maker.rng.bool()).map(|tag: u32| tag.to_string()).collect();
        let (created, changed) = maker.stamps();
        let currency = maker.rng.i64(1..=4);
        let subsidiary = match currency {
            2 => 2,
            3 => 3,
            _ => 1,
        };
        let comments = if maker.rng.bool() { Column::Null } else { text("Calls on Mondays") };
        let values = [
            int(id),
            text(format!("CUST{id}")),
            text(name.clone()),
            text(name),
            flag(false),
            text(format!("office@{host}")),
            text(phone(maker)),
            int(maker.rng.i64(1..=5)),
            cents(maker.rng.i64(100..5_000_000)),
            cents(maker.rng.i64(0..1_000_000)),
            comments,
            int(maker.rng.i64(1..=8)),
            int(currency),
            int(maker.rng.i64(1..=5)),
            int(maker.rng.i64(1..=4)),
            int(maker.rng.i64(1..=4)),
            flag(maker.rng.bool()),
            int(13),
            text("Customer"),
            int(subsidiary),
            int(billing),
            int(shipping),
            flag(maker.rng.u8(0..50) == 0),
            if tags.is_empty() { Column::Null } else { text(tags.join(", ")) },
            int(maker.rng.i64(0..5_000)),
            text(created),
            text(changed),
            int(maker.by),
        ];
        customer.row(&mut maker.rows, values)?;
        relation.row(&mut maker.rows, [int(first_relation + step), int(id), int(subsidiary), flag(true)])?;
        ids.push(id);
    }
    Ok(())
}

pub(super) fn vendors(maker: &mut Maker<'_>, count: u32, ids: &mut Vec<i64>) -> Result<(), WorldError> {
    let tx = maker.tx;
    let mut vendor = Insert::new(tx, "vendor", VENDOR)?;
    let mut addresses = Addresses::new(tx, "vendor")?;
    let first = reserve(tx, "customer", count)?;
    for id in first..first + i64::from(count) {
        let (name, host) = company(maker, id);
        addresses.add(maker, id, &name, false)?;
        let (created, changed) = maker.stamps();
        let values = [
            int(id),
            text(format!("VEND{id}")),
            text(name.clone()),
            text(name.clone()),
            text(name),
            text(format!("sales@{host}")),
            text(phone(maker)),
            int(maker.rng.i64(1..=4)),
            int(maker.rng.i64(1..=8)),
            int(maker.rng.i64(1..=4)),
            int(maker.rng.i64(1..=3)),
            text(created),
            text(changed),
            int(maker.by),
        ];
        vendor.row(&mut maker.rows, values)?;
        ids.push(id);
    }
    Ok(())
}

pub(super) fn contacts(maker: &mut Maker<'_>, count: u32, ids: &mut Vec<i64>) -> Result<(), WorldError> {
    let tx = maker.tx;
    let columns = "id, entityid, firstname, lastname, company, title, email, phone, subsidiary, datecreated, \
        lastmodifieddate, lastmodifiedby";
    let mut contact = Insert::new(tx, "contact", columns)?;
    let range = tx.query_row("SELECT min(id), max(id) FROM customer", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (low, high): (Option<i64>, Option<i64>) = range;
    let first = reserve(tx, "customer", count)?;
    for id in first..first + i64::from(count) {
        let (given, family) = (maker.pick(&FIRST), maker.pick(&LAST));
        let near = low.zip(high).map(|(low, high)| maker.rng.i64(low..=high));
        // Ids have gaps: the company is the next customer there is.
        let found = near.map(|near| {
            tx.prepare_cached("SELECT min(id) FROM customer WHERE id >= ?")?.query_row([near], |row| row.get(0))
        });
        let company: Option<i64> = found.transpose()?.flatten();
        let (created, changed) = maker.stamps();
        let title = maker.pick(&["Buyer", "Owner", "Accounts Payable", "Warehouse Lead", "CEO"]);
        let values = [
            int(id),
            text(format!("{given} {family} {id}")),
            text(given),
            text(family),
            company.map_or(Column::Null, int),
            text(title),
            text(format!("{}.{id}@people.example", given.to_lowercase())),
            text(phone(maker)),
            int(1),
            text(created),
            text(changed),
            int(maker.by),
        ];
        contact.row(&mut maker.rows, values)?;
        ids.push(id);
    }
    Ok(())
}

pub(super) fn employees(maker: &mut Maker<'_>, count: u32, ids: &mut Vec<i64>) -> Result<(), WorldError> {
    let columns = "id, entityid, firstname, lastname, email, department, location, subsidiary, issalesrep, datecreated, \
        lastmodifieddate";
    let mut employee = Insert::new(maker.tx, "employee", columns)?;
    let first = reserve(maker.tx, "employee", count)?;
    for id in first..first + i64::from(count) {
        let (given, family) = (maker.pick(&FIRST), maker.pick(&LAST));
        let (created, changed) = maker.stamps();
        let values = [
            int(id),
            text(format!("{given} {family} {id}")),
            text(given),
            text(family),
            text(format!("{}.{id}@staff.example", given.to_lowercase())),
            int(maker.rng.i64(1..=3)),
            int(maker.rng.i64(1..=3)),
            int(maker.rng.i64(1..=3)),
            flag(maker.rng.bool()),
            text(created),
            text(changed),
        ];
        employee.row(&mut maker.rows, values)?;
        ids.push(id);
    }
    Ok(())
}

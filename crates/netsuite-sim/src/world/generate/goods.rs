//! Items with prices per level, stock per location and vendors; assemblies with their bills of materials.

use rusqlite::types::Value as Column;

use super::super::refusal::{Refusal, WorldError};
use super::super::value::moment_column;
use super::Maker;
use super::names::{GOODS, MATERIAL};
use super::rows::{Insert, cents, flag, int, reserve, text};

const ITEM: &str = "id, itemid, fullname, displayname, description, baseprice, cost, averagecost, lastpurchaseprice, \
    totalquantityonhand, upccode, class, subsidiary, unitstype, stockunit, saleunit, purchaseunit, incomeaccount, \
    assetaccount, taxschedule, isinactive, itemtype, createddate, lastmodifieddate, lastmodifiedby";
/// Percent of the base price that each price level asks.
const LEVELS: [(i64, i64); 5] = [(1, 100), (2, 85), (3, 75), (4, 60), (5, 95)];

struct Shelf<'c> {
    item: Insert<'c>,
    price: Insert<'c>,
    stock: Insert<'c>,
    balance: Insert<'c>,
}

impl<'c> Shelf<'c> {
    fn new(tx: &'c rusqlite::Connection) -> rusqlite::Result<Self> {
        let price = "internalid, item, pricelevel, currency, quantity, unitprice";
        let stock = "item, location, quantityonhand, quantityavailable, quantitycommitted, quantitybackordered, \
            quantityonorder, lastquantityavailablechange";
        let balance = "item, location, binnumber, quantityonhand, quantityavailable";
        Ok(Self {
            item: Insert::new(tx, "item", ITEM)?,
            price: Insert::new(tx, "pricing", price)?,
            stock: Insert::new(tx, "inventoryitemlocations", stock)?,
            balance: Insert::new(tx, "inventorybalance", balance)?,
        })
    }

    fn add(&mut self, maker: &mut Maker<'_>, id: i64, first_price: i64, kind: &str) -> Result<(), WorldError> {
        let (material, goods) = (maker.pick(&MATERIAL), maker.pick(&GOODS));
        let price = maker.rng.i64(100..100_000);
        let cost = price * maker.rng.i64(40..80) / 100;
        let on_hand = [maker.rng.i64(0..500), maker.rng.i64(0..300)];
        let (created, changed) = maker.stamps();
        let number = format!("{}-{id}", goods.to_uppercase());
        let values = [
            int(id),
            text(number.clone()),
            text(number),
            text(format!("{material} {goods}")),
            text(format!("{material} {goods}, sold by the piece")),
            cents(price),
            cents(cost),
            cents(cost),
            cents(cost),
            int(on_hand[0] + on_hand[1]),
            text(format!("0{:011}", maker.rng.u64(0..100_000_000_000))),
            int(maker.rng.i64(1..=3)),
            text("1"),
            int(1),
            int(1),
            int(1),
            int(maker.rng.i64(1..=3)),
            int(6),
            int(3),
            int(1),
            flag(maker.rng.u8(0..50) == 0),
            text(kind),
            text(created),
            text(changed),
            int(maker.by),
        ];
        self.item.row(&mut maker.rows, values)?;
        for (offset, (level, percent)) in (0..).zip(LEVELS) {
            let row = [int(first_price + offset), int(id), int(level), int(1), int(0), cents(price * percent / 100)];
            self.price.row(&mut maker.rows, row)?;
        }
        let seen = moment_column(maker.days.now());
        for (location, on_hand) in (1..).zip(on_hand) {
            let committed = maker.rng.i64(0..=on_hand / 4);
            let numbers = [on_hand, on_hand - committed, committed, 0, maker.rng.i64(0..50)].map(int);
            let [hand, available, committed, back, ordered] = numbers;
            let row = [int(id), int(location), hand, available.clone(), committed, back, ordered, text(seen.clone())];
            self.stock.row(&mut maker.rows, row)?;
            let row = [int(id), int(location), int(location * 2 - 1), int(on_hand), available];
            self.balance.row(&mut maker.rows, row)?;
        }
        Ok(())
    }
}

pub(super) fn items(maker: &mut Maker<'_>, count: u32, ids: &mut Vec<i64>) -> Result<(), WorldError> {
    made(maker, count, ids, "InvtPart")?;
    let vendors: Vec<i64> = {
        let mut statement = maker.tx.prepare_cached("SELECT id FROM vendor ORDER BY id")?;
        statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?
    };
    if vendors.is_empty() {
        return Ok(());
    }
    let mut source = Insert::new(maker.tx, "itemvendor", "item, vendor, vendorcode, purchaseprice, preferredvendor")?;
    for id in ids.iter() {
        let vendor = vendors[maker.rng.usize(..vendors.len())];
        let price = cents(maker.rng.i64(50..60_000));
        let row = [int(*id), int(vendor), text(format!("V{vendor}-{id}")), price, flag(true)];
        source.row(&mut maker.rows, row)?;
    }
    Ok(())
}

fn made(maker: &mut Maker<'_>, count: u32, ids: &mut Vec<i64>, kind: &str) -> Result<(), WorldError> {
    let mut shelf = Shelf::new(maker.tx)?;
    let first = reserve(maker.tx, "item", count)?;
    let prices = LEVELS.len() as i64;
    let first_price = reserve(maker.tx, "pricing", count * LEVELS.len() as u32)?;
    for step in 0..i64::from(count) {
        shelf.add(maker, first + step, first_price + step * prices, kind)?;
        ids.push(first + step);
    }
    Ok(())
}

pub(super) fn assemblies(maker: &mut Maker<'_>, count: u32, ids: &mut Vec<i64>) -> Result<(), WorldError> {
    let tx = maker.tx;
    let parts: Vec<i64> = {
        let mut statement =
            tx.prepare_cached("SELECT id FROM item WHERE itemtype = 'InvtPart' ORDER BY id LIMIT 1000")?;
        statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?
    };
    if parts.is_empty() {
        return Err(Refusal::new("INVALID_PARAMETER", "Assemblies need items: generate those first.").into());
    }
    made(maker, count, ids, "Assembly")?;
    let mut bom = Insert::new(tx, "bom", "id, name, createddate")?;
    let mut revision = Insert::new(tx, "bomrevision", "id, name, billofmaterials, effectivestartdate, createddate")?;
    let mut used = Insert::new(tx, "assemblyitembom", "assembly, billofmaterials, masterdefault, currentrevision")?;
    let columns = "id, bomrevision, item, bomquantity, quantity, units, lineid, itemsource, componentyield";
    let mut member = Insert::new(tx, "bomrevisioncomponentmember", columns)?;
    for assembly in ids.iter() {
        let at = maker.created();
        let parts_used = maker.rng.u32(2..=6);
        let id = reserve(tx, "bom", 2 + parts_used)?;
        let stamp = text(moment_column(at));
        bom.row(&mut maker.rows, [int(id), text(format!("BOM {assembly}")), stamp.clone()])?;
        let start: Column = maker.days.day(at);
        revision.row(&mut maker.rows, [int(id + 1), text(format!("BOM {assembly} R1")), int(id), start, stamp])?;
        used.row(&mut maker.rows, [int(*assembly), int(id), flag(true), int(id + 1)])?;
        for line in 0..i64::from(parts_used) {
            let part = parts[maker.rng.usize(..parts.len())];
            let quantity = int(maker.rng.i64(1..10));
            let row = [
                int(id + 2 + line),
                int(id + 1),
                int(part),
                quantity.clone(),
                quantity,
                int(1),
                int(line + 1),
                text("STOCK"),
                int(100),
            ];
            member.row(&mut maker.rows, row)?;
        }
    }
    Ok(())
}

//! Children that change and leave their parent's stamp alone.

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Value as Json, json};

use super::{Script, author};
use crate::world::{Refusal, World, WorldError, moment_column};

/// The first row of a query, or a refusal that says what is missing.
fn first(tx: &Connection, sql: &str, missing: &str) -> Result<(i64, i64), WorldError> {
    let row = tx.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    row.ok_or_else(|| Refusal::new("INVALID_PARAMETER", format!("There is no {missing}: generate some first.")).into())
}

pub(super) fn line_only(world: &World, _: &Script) -> Result<Json, WorldError> {
    world.commit(&author("USERINTERFACE"), |saving, _| {
        let sql = r#"SELECT "transaction", id FROM transactionline WHERE mainline = 'F' ORDER BY uniquekey LIMIT 1"#;
        let (order, line) = first(saving.tx, sql, "order")?;
        saving.tx.execute(
            r#"UPDATE transactionline SET memo = 'changed alone', linelastmodifieddate = ?3
               WHERE "transaction" = ?1 AND id = ?2"#,
            params![order, line, moment_column(saving.at)],
        )?;
        Ok(json!({ "id": order.to_string(), "line": line.to_string() }))
    })
}

pub(super) fn address_only(world: &World, _: &Script) -> Result<Json, WorldError> {
    world.commit(&author("USERINTERFACE"), |saving, _| {
        let sql = "SELECT entity, addressbookaddress FROM customeraddressbook ORDER BY internalid LIMIT 1";
        let (customer, address) = first(saving.tx, sql, "customer with an address")?;
        let sql = "UPDATE customeraddressbookentityaddress SET addr1 = '1 New Street', lastmodifieddate = NULL WHERE nkey = ?";
        saving.tx.execute(sql, [address])?;
        Ok(json!({ "id": customer.to_string(), "address": address.to_string() }))
    })
}

pub(super) fn inventory_movement(world: &World, _: &Script) -> Result<Json, WorldError> {
    world.commit(&author("USERINTERFACE"), |saving, _| {
        let sql = "SELECT item, location FROM inventoryitemlocations ORDER BY item, location LIMIT 1";
        let (item, location) = first(saving.tx, sql, "item with stock")?;
        saving.tx.execute(
            "UPDATE inventoryitemlocations SET quantityonhand = quantityonhand + 7,
               quantityavailable = quantityavailable + 7, lastquantityavailablechange = ?3
             WHERE item = ?1 AND location = ?2",
            params![item, location, moment_column(saving.at)],
        )?;
        saving.tx.execute(
            "UPDATE inventorybalance SET quantityonhand = quantityonhand + 7, quantityavailable = quantityavailable + 7
             WHERE item = ?1 AND location = ?2",
            params![item, location],
        )?;
        Ok(json!({ "id": item.to_string(), "location": location.to_string() }))
    })
}

pub(super) fn price_change(world: &World, _: &Script) -> Result<Json, WorldError> {
    world.commit(&author("USERINTERFACE"), |saving, _| {
        let sql = "SELECT internalid, item FROM pricing ORDER BY internalid LIMIT 1";
        let (price, item) = first(saving.tx, sql, "item with prices")?;
        saving.tx.execute("UPDATE pricing SET unitprice = unitprice + 1 WHERE internalid = ?", [price])?;
        Ok(json!({ "id": item.to_string(), "price": price.to_string() }))
    })
}

pub(super) fn component_change(world: &World, _: &Script) -> Result<Json, WorldError> {
    world.commit(&author("USERINTERFACE"), |saving, _| {
        let sql = "SELECT id, bomrevision FROM bomrevisioncomponentmember ORDER BY id LIMIT 1";
        let (member, revision) = first(saving.tx, sql, "assembly")?;
        let sql = "UPDATE bomrevisioncomponentmember SET bomquantity = bomquantity + 1 WHERE id = ?";
        saving.tx.execute(sql, [member])?;
        Ok(json!({ "id": member.to_string(), "revision": revision.to_string() }))
    })
}

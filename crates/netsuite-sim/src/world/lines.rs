//! The item lines of a sales order: ids that stay, quantities that SuiteQL shows with the sign turned.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};
use rust_decimal::Decimal;
use serde_json::Value as Json;

use super::draft::{Draft, LineDraft};
use super::read::Stored;
use super::refusal::{Refusal, WorldError};
use super::save::Saving;
use super::value::{Value, moment_column, rounded};
use crate::catalog::{Field, Kind, RecordType};

const ITEM: usize = 0;
const QUANTITY: usize = 1;
const RATE: usize = 2;

/// The line id that the next new line of an order gets.
pub(crate) fn next_line(tx: &Connection, order: i64) -> rusqlite::Result<i64> {
    tx.prepare_cached("SELECT next_line FROM sim_order WHERE id = ?")?.query_row([order], |row| row.get(0))
}

/// Carries a draft's lines into `after`; returns the caller's key → line id.
pub(crate) fn plan(
    saving: &Saving<'_>,
    kind: &RecordType,
    after: &mut Stored,
    draft: &Draft,
    mut next: i64,
) -> Result<BTreeMap<String, i64>, WorldError> {
    let mut keys = BTreeMap::new();
    for line in &draft.remove {
        if after.lines.remove(line).is_none() {
            return Err(absent(*line).into());
        }
    }
    if draft.replace_lines {
        let kept: Vec<i64> = draft.upsert.iter().filter_map(|line| line.line).collect();
        after.lines.retain(|id, _| kept.contains(id));
    }
    let is_new = after.lines.is_empty() && next == 1;
    for line in &draft.upsert {
        // On a new order every key is only the caller's word for the line.
        let existing = if is_new { None } else { line.line };
        let id = match existing {
            Some(id) if after.lines.contains_key(&id) => id,
            Some(id) => return Err(absent(id).into()),
            None => {
                next += 1;
                next - 1
            }
        };
        let values = filled(saving, kind, after.lines.get(&id), line)?;
        after.lines.insert(id, values);
        keys.insert(line.key.clone(), id);
    }
    saving
        .tx
        .prepare_cached(
            "INSERT INTO sim_order (id, next_line) VALUES (?, ?)
             ON CONFLICT (id) DO UPDATE SET next_line = excluded.next_line",
        )?
        .execute(params![after.id, next])?;
    Ok(keys)
}

fn absent(line: i64) -> Refusal {
    Refusal::new("INVALID_KEY_OR_REF", format!("The line {line} does not exist on this order."))
        .on_line(&line.to_string())
}

fn filled(
    saving: &Saving<'_>,
    kind: &RecordType,
    before: Option<&Vec<Value>>,
    draft: &LineDraft,
) -> Result<Vec<Value>, WorldError> {
    let mut values = before.cloned().unwrap_or_else(|| vec![Value::Null; kind.line_fields.len()]);
    for (position, value) in &draft.values {
        values[*position] = value.clone();
    }
    let Value::Reference(item) = values[ITEM] else {
        return Err(Refusal::missing(&kind.line_fields[ITEM]).on_line(&draft.key).into());
    };
    let field: &Field = &kind.line_fields[ITEM];
    saving.must_exist("item", item, || {
        Refusal::bad_reference(field, &Json::from(item.to_string())).on_line(&draft.key)
    })?;
    if values[QUANTITY].is_empty() {
        values[QUANTITY] = Value::Decimal(Decimal::ONE);
    }
    if values[RATE].is_empty() {
        values[RATE] = Value::Decimal(base_price(saving.tx, item)?);
    }
    Ok(values)
}

fn base_price(tx: &Connection, item: i64) -> rusqlite::Result<Decimal> {
    let price = tx
        .prepare_cached("SELECT baseprice FROM item WHERE id = ?")?
        .query_row([item], |row| {
            let column = row.get_ref(0)?;
            Ok(Value::from_column(Kind::Decimal(2), column, &jiff::tz::TimeZone::UTC))
        })
        .optional()?;
    Ok(match price {
        Some(Value::Decimal(price)) => price,
        _ => Decimal::ZERO,
    })
}

fn number(value: &Value) -> Decimal {
    match value {
        Value::Decimal(number) => *number,
        _ => Decimal::ZERO,
    }
}

fn amount(line: &[Value]) -> Decimal {
    let exact = number(&line[QUANTITY]).checked_mul(number(&line[RATE]));
    // Fifteen digits times fifteen digits can leave the type's range only far beyond any real amount.
    rounded(exact.unwrap_or(Decimal::MAX), 2)
}

/// The order's total.
pub(crate) fn total(lines: &BTreeMap<i64, Vec<Value>>) -> Decimal {
    lines.values().map(|line| amount(line)).fold(Decimal::ZERO, Decimal::saturating_add)
}

/// Whether something is left to fulfil.
pub(crate) fn is_open(lines: &BTreeMap<i64, Vec<Value>>) -> bool {
    lines.values().any(|line| number(&line[QUANTITY]) > Decimal::ZERO)
}

/// Adds the main line of a new order.
pub(crate) fn insert_main(saving: &Saving<'_>, order: &Stored) -> Result<(), WorldError> {
    let stamp = moment_column(saving.at);
    saving
        .tx
        .prepare_cached(
            r#"INSERT INTO transactionline ("transaction", id, linesequencenumber, mainline, netamount, foreignamount,
                 entity, linecreateddate, linelastmodifieddate)
               VALUES (?1, 0, 0, 'T', 0, 0, (SELECT entity FROM "transaction" WHERE id = ?1), ?2, ?2)"#,
        )?
        .execute(params![order.id, stamp])?;
    Ok(())
}

/// Writes the lines that differ, and the main line's total.
pub(crate) fn store(saving: &Saving<'_>, kind: &RecordType, before: &Stored, after: &Stored) -> Result<(), WorldError> {
    let sign = Decimal::from(kind.sign());
    let stamp = moment_column(saving.at);
    for id in before.lines.keys().filter(|id| !after.lines.contains_key(id)) {
        saving
            .tx
            .prepare_cached(r#"DELETE FROM transactionline WHERE "transaction" = ? AND id = ?"#)?
            .execute(params![after.id, id])?;
    }
    for (id, line) in &after.lines {
        if before.lines.get(id) == Some(line) {
            continue;
        }
        // A sale takes stock away and earns money: SuiteQL shows both with the sign turned.
        let quantity = Value::Decimal(number(&line[QUANTITY]) * sign).to_column(saving.zone);
        let net = Value::Decimal(amount(line) * sign).to_column(saving.zone);
        let rate = line[RATE].to_column(saving.zone);
        let item = line[ITEM].to_column(saving.zone);
        saving
            .tx
            .prepare_cached(
                r#"INSERT INTO transactionline ("transaction", id, linesequencenumber, mainline, item, itemtype,
                     quantity, rate, netamount, foreignamount, linecreateddate, linelastmodifieddate)
                   VALUES (?1, ?2, ?2, 'F', ?3, (SELECT itemtype FROM item WHERE id = ?3), ?4, ?5, ?6, ?6, ?7, ?7)
                   ON CONFLICT ("transaction", id) DO UPDATE SET item = excluded.item, itemtype = excluded.itemtype,
                     quantity = excluded.quantity, rate = excluded.rate, netamount = excluded.netamount,
                     foreignamount = excluded.foreignamount, linelastmodifieddate = excluded.linelastmodifieddate"#,
            )?
            .execute(params![after.id, id, item, quantity, rate, net, stamp])?;
    }
    let total = after.value(kind, "foreigntotal").to_column(saving.zone);
    saving
        .tx
        .prepare_cached(
            r#"UPDATE transactionline SET netamount = ?2, foreignamount = ?2, linelastmodifieddate = ?3
               WHERE "transaction" = ?1 AND id = 0"#,
        )?
        .execute(params![after.id, total, stamp])?;
    complete(saving.tx, after.id)?;
    account(saving.tx, after.id)?;
    Ok(())
}

/// Fills what lines take over from their transaction's customer or vendor, and from NetSuite's own lists.
fn complete(tx: &Connection, order: i64) -> rusqlite::Result<()> {
    tx.prepare_cached(
        r#"UPDATE transactionline SET
             entity = (SELECT entity FROM "transaction" WHERE id = ?1), location = IFNULL(location, 1),
             subsidiary = IFNULL(subsidiary, IFNULL(
               (SELECT subsidiary FROM customer WHERE id = (SELECT entity FROM "transaction" WHERE id = ?1)),
               (SELECT subsidiary FROM vendor WHERE id = (SELECT entity FROM "transaction" WHERE id = ?1))))
           WHERE "transaction" = ?1 AND (subsidiary IS NULL OR entity IS NULL)"#,
    )?
    .execute([order])?;
    Ok(())
}

/// The accounting of a transaction: receivables or payables on its main line, income or stock on the others.
pub(crate) fn account(tx: &Connection, order: i64) -> rusqlite::Result<()> {
    tx.prepare_cached(r#"DELETE FROM transactionaccountingline WHERE "transaction" = ?"#)?.execute([order])?;
    tx.prepare_cached(ACCOUNTING)?.execute([order])?;
    Ok(())
}

/// Accounts are those of the catalogue: 2 receivable, 4 payable, 6 sales, 3 stock.
const ACCOUNTING: &str = r#"
INSERT INTO transactionaccountingline
  ("transaction", transactionline, account, amount, debit, credit, netamount, exchangerate, posting)
SELECT l."transaction", l.id,
  CASE WHEN t.type IN ('PurchOrd', 'VendBill') THEN iif(l.mainline = 'T', 4, 3) ELSE iif(l.mainline = 'T', 2, 6) END,
  l.netamount, iif(l.netamount > 0, l.netamount, NULL), iif(l.netamount < 0, -l.netamount, NULL), l.netamount,
  t.exchangerate, t.posting
FROM transactionline l JOIN "transaction" t ON t.id = l."transaction" WHERE t.id = ?"#;

/// Removes every line of a deleted order.
pub(crate) fn remove_all(tx: &Connection, order: i64) -> rusqlite::Result<()> {
    tx.prepare_cached(r#"DELETE FROM transactionline WHERE "transaction" = ?"#)?.execute([order])?;
    tx.prepare_cached(r#"DELETE FROM transactionaccountingline WHERE "transaction" = ?"#)?.execute([order])?;
    tx.prepare_cached("DELETE FROM sim_order WHERE id = ?")?.execute([order])?;
    Ok(())
}

//! Sales orders: a few customers order often, most order now and then; old orders are billed.

use rusqlite::types::Value as Column;

use super::super::refusal::{Refusal, WorldError};
use super::super::value::moment_column;
use super::Maker;
use super::names::MEMOS;
use super::rows::{Insert, cents, flag, int, reserve, text};

const ORDER: &str = "id, entity, tranid, transactionnumber, trandate, memo, status, currency, foreigntotal, otherrefnum, \
    createddate, lastmodifieddate, lastmodifiedby";
const LINE: &str = "transaction, id, linesequencenumber, mainline, item, itemtype, quantity, rate, netamount, \
    foreignamount, entity, subsidiary, location, quantityshiprecv, quantitybilled, linecreateddate, linelastmodifieddate";
const ACCOUNTING: &str =
    "transaction, transactionline, account, amount, debit, credit, netamount, exchangerate, posting";
/// Days after which an order is billed.
const BILLED_AFTER_DAYS: i64 = 30;
/// Internal ids of the accounts of sales orders.
const RECEIVABLE: i64 = 2;
const SALES: i64 = 6;

struct Customer {
    id: i64,
    currency: i64,
    subsidiary: i64,
}

struct Item {
    id: i64,
    price: i64,
}

/// A line's item, quantity and rate in cents.
type Sold = (i64, i64, i64);

pub(super) fn orders(maker: &mut Maker<'_>, count: u32, ids: &mut Vec<i64>) -> Result<(), WorldError> {
    let (customers, items) = (customers(maker)?, items(maker)?);
    if customers.is_empty() || items.is_empty() {
        let text = "Orders need customers and items: generate those first.";
        return Err(Refusal::new("INVALID_PARAMETER", text).into());
    }
    let mut writer = Writer::new(maker.tx)?;
    let first = reserve(maker.tx, "transaction", count)?;
    for id in first..first + i64::from(count) {
        // Squared, so that the first customers of the list are the good ones.
        let at = (maker.rng.f64().powi(2) * customers.len() as f64) as usize;
        let customer = &customers[at.min(customers.len() - 1)];
        let lines: Vec<Sold> = (0..maker.rng.usize(1..=4))
            .map(|_| {
                let item = &items[maker.rng.usize(..items.len())];
                (item.id, maker.rng.i64(1..20), item.price)
            })
            .collect();
        writer.add(maker, id, customer, &lines)?;
        ids.push(id);
    }
    Ok(())
}

/// A sample of the customers, the same for every chunk of a call.
fn customers(maker: &Maker<'_>) -> rusqlite::Result<Vec<Customer>> {
    let sql = "SELECT id, IFNULL(currency, 1), IFNULL(subsidiary, 1) FROM customer ORDER BY id LIMIT 100000";
    let mut statement = maker.tx.prepare_cached(sql)?;
    let rows = statement
        .query_map([], |row| Ok(Customer { id: row.get(0)?, currency: row.get(1)?, subsidiary: row.get(2)? }))?;
    rows.collect()
}

fn items(maker: &Maker<'_>) -> rusqlite::Result<Vec<Item>> {
    let sql = "SELECT id, CAST(ROUND(IFNULL(baseprice, 0) * 100) AS INTEGER) FROM item WHERE itemtype = 'InvtPart'
        ORDER BY id LIMIT 50000";
    let mut statement = maker.tx.prepare_cached(sql)?;
    statement.query_map([], |row| Ok(Item { id: row.get(0)?, price: row.get(1)? }))?.collect()
}

struct Writer<'c> {
    order: Insert<'c>,
    line: Insert<'c>,
    accounting: Insert<'c>,
    numbering: Insert<'c>,
}

impl<'c> Writer<'c> {
    fn new(tx: &'c rusqlite::Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            order: Insert::new(tx, "transaction", ORDER)?,
            line: Insert::new(tx, "transactionline", LINE)?,
            accounting: Insert::new(tx, "transactionaccountingline", ACCOUNTING)?,
            numbering: Insert::new(tx, "sim_order", "id, next_line")?,
        })
    }

    fn add(&mut self, maker: &mut Maker<'_>, id: i64, customer: &Customer, lines: &[Sold]) -> Result<(), WorldError> {
        let at = maker.created();
        let stamp = moment_column(at);
        let total: i64 = lines.iter().map(|(_, quantity, rate)| quantity * rate).sum();
        let age_days = maker.days.now().duration_since(at).as_secs() / 86_400;
        let is_billed = age_days > BILLED_AFTER_DAYS;
        let memo = if maker.rng.bool() { text(maker.pick(&MEMOS)) } else { text(format!("Sample order {id}")) };
        let reference = if maker.rng.bool() { text(format!("PO-{}", maker.rng.u32(1..100_000))) } else { Column::Null };
        let values = [
            int(id),
            int(customer.id),
            text(format!("SO{id}")),
            text(format!("SALESORDER{id}")),
            maker.days.day(at),
            memo,
            text(if is_billed { "G" } else { "B" }),
            int(customer.currency),
            cents(total),
            reference,
            text(stamp.clone()),
            text(stamp.clone()),
            int(maker.by),
        ];
        self.order.row(&mut maker.rows, values)?;
        self.numbering.row(&mut maker.rows, [int(id), int(lines.len() as i64 + 1)])?;
        self.lines(maker, id, customer, lines, total, (&stamp, is_billed))
    }

    fn lines(
        &mut self,
        maker: &mut Maker<'_>,
        id: i64,
        customer: &Customer,
        lines: &[Sold],
        total: i64,
        (stamp, is_billed): (&str, bool),
    ) -> Result<(), WorldError> {
        let main = (0, None, total);
        let others = lines.iter().enumerate().map(|(index, sold)| {
            // A sale takes stock away and earns money: SuiteQL shows both with the sign turned.
            (index as i64 + 1, Some(sold), -sold.1 * sold.2)
        });
        for (line, sold, amount) in std::iter::once(main).chain(others) {
            let done = sold.filter(|_| is_billed).map_or(Column::Null, |(_, quantity, _)| int(*quantity));
            let values = [
                int(id),
                int(line),
                int(line),
                flag(sold.is_none()),
                sold.map_or(Column::Null, |(item, _, _)| int(*item)),
                sold.map_or(Column::Null, |_| text("InvtPart")),
                sold.map_or(Column::Null, |(_, quantity, _)| int(-quantity)),
                sold.map_or(Column::Null, |(_, _, rate)| cents(*rate)),
                cents(amount),
                cents(amount),
                int(customer.id),
                int(customer.subsidiary),
                int(1),
                done.clone(),
                done,
                text(stamp),
                text(stamp),
            ];
            self.line.row(&mut maker.rows, values)?;
            let account = if sold.is_none() { RECEIVABLE } else { SALES };
            let side = |is_own: bool| if is_own { cents(amount.abs()) } else { Column::Null };
            let values = [
                int(id),
                int(line),
                int(account),
                cents(amount),
                side(amount > 0),
                side(amount < 0),
                cents(amount),
                int(1),
                flag(false),
            ];
            self.accounting.row(&mut maker.rows, values)?;
        }
        Ok(())
    }
}

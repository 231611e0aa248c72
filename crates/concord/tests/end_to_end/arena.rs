//! The records that users of one account fight over.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use concord::sides::{Edit, Sides};
use model::Side;
use serde_json::json;

use crate::diary::{Deed, Diary, Place};

/// Records of an account: 200, half made on each side.
const CUSTOMERS: usize = 60;
const ITEMS: usize = 60;
const ORDERS: usize = 80;
/// The last of each are nobody's reference, so that they may be deleted.
const MORTAL_CUSTOMERS: usize = 8;
const MORTAL_ITEMS: usize = 8;

/// One record by its ids.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) record_type: &'static str,
    pub(crate) suitex: Option<String>,
    pub(crate) netsuite: Option<String>,
    pub(crate) mortal: bool,
}

impl Target {
    pub(crate) fn id(&self, side: Side) -> Option<&String> {
        match side {
            Side::Suitex => self.suitex.as_ref(),
            Side::Netsuite => self.netsuite.as_ref(),
        }
    }

    pub(crate) fn place(&self, side: Side) -> Option<Place> {
        Some(Place { record_type: self.record_type, side, id: self.id(side)?.clone() })
    }
}

/// One account's records, and what users did to them.
#[derive(Debug)]
pub(crate) struct Arena {
    pub(crate) sides: Sides,
    pub(crate) diary: Diary,
    targets: Mutex<Vec<Target>>,
    next: AtomicU64,
}

impl Arena {
    /// Makes the first records: customers and items on both sides, then orders once those are linked.
    pub(crate) async fn furnish(sides: Sides, seed: u64) -> Self {
        let arena =
            Self { sides, diary: Diary::default(), targets: Mutex::default(), next: AtomicU64::new(seed * 1_000_000) };
        for n in 0..CUSTOMERS {
            arena.customer(side_of(n), n >= CUSTOMERS - MORTAL_CUSTOMERS).await;
        }
        for n in 0..ITEMS {
            arena.item(side_of(n), n >= ITEMS - MORTAL_ITEMS).await;
        }
        crate::rest::linked(&arena).await;
        arena.learn_ids().await;
        for n in 0..ORDERS {
            arena.order(side_of(n), n).await;
        }
        arena
    }

    /// A number that nobody had before.
    pub(crate) fn fresh(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// All records.
    pub(crate) fn targets(&self) -> Vec<Target> {
        self.targets.lock().expect("nobody panics with the targets").clone()
    }

    fn add(&self, target: Target) {
        self.targets.lock().expect("nobody panics with the targets").push(target);
    }

    /// Forgets a record that a user deleted; others may be editing it at this moment.
    pub(crate) fn forget(&self, place: &Place) {
        let mut targets = self.targets.lock().expect("nobody panics with the targets");
        for target in targets.iter_mut().filter(|t| t.place(place.side).as_ref() == Some(place)) {
            (target.suitex, target.netsuite) = (None, None);
        }
    }

    /// Looks up the other side's id of every record that has only one.
    pub(crate) async fn learn_ids(&self) {
        for (n, target) in self.targets().into_iter().enumerate() {
            let (side, id) = match (&target.suitex, &target.netsuite) {
                (Some(id), None) => (Side::Suitex, id),
                (None, Some(id)) => (Side::Netsuite, id),
                _ => continue,
            };
            let there = self.sides.counterpart(target.record_type, side, id).await.expect("links can be read");
            let mut targets = self.targets.lock().expect("nobody panics with the targets");
            match side {
                Side::Suitex => targets[n].netsuite = there,
                Side::Netsuite => targets[n].suitex = there,
            }
        }
    }

    /// A new customer.
    pub(crate) async fn customer(&self, side: Side, mortal: bool) {
        let name = format!("Company {}", self.fresh());
        let id = match side {
            Side::Suitex => {
                let id: i64 = sqlx::query_scalar(
                    "insert into app.customers (company_name, loyalty_points, terms, currency) values ($1, 10, '1', '1') returning id",
                )
                .bind(&name)
                .fetch_one(&self.sides.suitex)
                .await
                .expect("a customer can be inserted");
                id.to_string()
            }
            Side::Netsuite => {
                let changes =
                    json!({ "companyname": name, "custentity_loyalty_points": 10, "terms": 1, "currency": 1 });
                self.create("customer", changes).await
            }
        };
        self.made("customer", side, &id, mortal);
        if side == Side::Suitex {
            let place = Place { record_type: "customer", side, id };
            self.diary.write(&place, Deed::Typed { field: "companyname", old: None, new: Some(name) });
            self.diary.write(&place, Deed::Added { field: "custentity_loyalty_points", amount: 10 });
        }
    }

    /// A new item.
    pub(crate) async fn item(&self, side: Side, mortal: bool) {
        let name = format!("ITEM-{}", self.fresh());
        let id = match side {
            Side::Suitex => {
                let id: i64 = sqlx::query_scalar("insert into app.items (item_id) values ($1) returning id")
                    .bind(&name)
                    .fetch_one(&self.sides.suitex)
                    .await
                    .expect("an item can be inserted");
                id.to_string()
            }
            Side::Netsuite => self.create("item", json!({ "itemid": name })).await,
        };
        self.made("item", side, &id, mortal);
    }

    /// A new order of one or two lines, for a customer and items that both sides know.
    pub(crate) async fn order(&self, side: Side, n: usize) {
        let targets = self.targets();
        let known = |record_type: &'static str| -> Vec<&Target> {
            let all = targets.iter().filter(|t| t.record_type == record_type && !t.mortal);
            all.filter(|t| t.suitex.is_some() && t.netsuite.is_some()).collect()
        };
        let (customers, items) = (known("customer"), known("item"));
        let (customer, item) = (customers[n % customers.len()], items[n % items.len()]);
        let id = match side {
            Side::Suitex => {
                let id: i64 = sqlx::query_scalar(
                    "with o as (insert into app.sales_orders (customer_id, tran_id) values ($1::bigint, $2) returning id),
                          l as (insert into app.sales_order_lines (sales_order_id, item_id, quantity, rate)
                                select o.id, $3::bigint, 1 + n, 10 from o, generate_series(0, 1) n)
                     select id from o",
                )
                .bind(number(customer.suitex.as_ref()))
                .bind(format!("SX-{}", self.fresh()))
                .bind(number(item.suitex.as_ref()))
                .fetch_one(&self.sides.suitex)
                .await
                .expect("an order can be inserted");
                id.to_string()
            }
            Side::Netsuite => {
                let line = json!({ "item": item.netsuite, "quantity": 3, "rate": 10 });
                let changes = json!({ "entity": customer.netsuite, "lines": { "a": line, "b": line } });
                self.create("salesorder", changes).await
            }
        };
        self.made("salesorder", side, &id, true);
    }

    async fn create(&self, record_type: &str, changes: serde_json::Value) -> String {
        self.sides.netsuite.edit(&Edit::create(record_type, changes)).await.expect("NetSuite lets a record be created")
    }

    fn made(&self, record_type: &'static str, side: Side, id: &str, mortal: bool) {
        let id = Some(id.to_owned());
        self.add(match side {
            Side::Suitex => Target { record_type, suitex: id, netsuite: None, mortal },
            Side::Netsuite => Target { record_type, suitex: None, netsuite: id, mortal },
        });
    }
}

fn side_of(n: usize) -> Side {
    if n.is_multiple_of(2) { Side::Suitex } else { Side::Netsuite }
}

/// An id of the application as a number.
pub(crate) fn number(id: Option<&String>) -> i64 {
    id.expect("the record is in the application").parse().expect("ids of the application are numbers")
}

//! What both sides hold in the end, counted by the names users gave: nothing here comes from Concord's own tables.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::{Map, Value};

use crate::sides::Sides;

/// How names begin that users of this bench give.
const NAME_START: &str = "Create ";

/// The name of a record.
pub(super) fn name(number: u64) -> String {
    format!("{NAME_START}{number:08}")
}

/// What a user typed into it beside the name: e-mail and phone.
pub(super) fn typed(number: u64) -> [String; 2] {
    [format!("c{number}@bench.example"), format!("+1 555 {number:08}")]
}

/// Rows of one side by name: the typed values of each.
pub(super) type Rows = BTreeMap<String, Vec<[String; 2]>>;

/// What came of the creates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// Rows of NetSuite beyond the first of a name.
    pub(super) twice_in_netsuite: u64,
    /// Rows of the application beyond the one its user made.
    pub(super) twice_in_suitex: u64,
    /// Names without a row in NetSuite.
    pub(super) lost: u64,
    /// Names whose row in NetSuite or in the application does not read what the user typed.
    pub(super) differing: u64,
}

/// Both sides by name.
pub(super) async fn read(sides: &Sides) -> Result<(Rows, Rows)> {
    let mut netsuite = Rows::new();
    for (_, fields) in sides.netsuite.dump("customer").await? {
        let [name, mail, phone] = ["companyname", "email", "phone"].map(|field| text(&fields, field));
        netsuite.entry(name).or_default().push([mail, phone]);
    }
    let mut suitex = Rows::new();
    let rows = "select company_name, coalesce(email, ''), coalesce(phone, '') from app.customers";
    let rows: Vec<(String, String, String)> =
        sqlx::query_as(rows).fetch_all(&sides.suitex).await.context("SuiteX's customers")?;
    for (name, mail, phone) in rows {
        suitex.entry(name).or_default().push([mail, phone]);
    }
    Ok((netsuite, suitex))
}

fn text(fields: &Map<String, Value>, field: &str) -> String {
    fields.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Compares what is there with what users made: the records numbered from 1 to `made`.
pub(super) fn count(made: u64, netsuite: &Rows, suitex: &Rows) -> Count {
    let mut count = Count::default();
    for number in 1..=made {
        let rows = |side: &Rows| side.get(&name(number)).cloned().unwrap_or_default();
        let (there, here) = (rows(netsuite), rows(suitex));
        count.twice_in_netsuite += (there.len() as u64).saturating_sub(1);
        count.twice_in_suitex += (here.len() as u64).saturating_sub(1);
        count.lost += u64::from(there.is_empty());
        let right = |rows: &[[String; 2]]| rows.iter().all(|row| *row == typed(number));
        // What the application's user made does not vanish either.
        count.differing += u64::from(!right(&there) || !right(&here) || here.is_empty());
    }
    // Rows under names nobody gave would be Concord's invention.
    let invented = |side: &Rows| side.keys().filter(|other| !is_made(other, made)).count() as u64;
    count.twice_in_netsuite += invented(netsuite);
    count.twice_in_suitex += invented(suitex);
    count
}

fn is_made(text: &str, made: u64) -> bool {
    let number = text.strip_prefix(NAME_START).and_then(|number| number.parse().ok());
    number.is_some_and(|number| (1..=made).contains(&number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(made: u64) -> Rows {
        (1..=made).map(|number| (name(number), vec![typed(number)])).collect()
    }

    #[test]
    fn what_is_as_users_made_it_counts_as_nothing() {
        assert_eq!(count(3, &all(3), &all(3)), Count::default());
    }

    #[test]
    fn whatever_is_lost_doubled_invented_or_otherwise_is_counted() {
        let (mut netsuite, mut suitex) = (all(4), all(4));
        netsuite.remove(&name(1));
        netsuite.get_mut(&name(2)).unwrap().push(typed(2));
        netsuite.insert("Nobody's".to_owned(), vec![typed(9)]);
        suitex.get_mut(&name(3)).unwrap().push(typed(3));
        suitex.insert(name(4), vec![["other@bench.example".to_owned(), String::new()]]);
        let found = count(4, &netsuite, &suitex);
        assert_eq!(found, Count { twice_in_netsuite: 2, twice_in_suitex: 1, lost: 1, differing: 1 });
        suitex.remove(&name(4));
        assert_eq!(count(4, &netsuite, &suitex).differing, 1, "a row the application lost");
    }
}

//! What a period would have come to under other policies (contracts §6, "replay"): its log folded twice, and the
//! differences. Nothing is written and nothing can be: the log is read in a transaction in which Postgres refuses to
//! write, and no side is spoken to, for what was read of them is in the log.

use std::collections::BTreeMap;

use merge::replay::{Broken, Comparison, Moved, Replay, Told};
use model::spec::{Policy, World};
use model::{AccountId, RecordRef, RecordType, Rid, Timestamp};
use serde_json::{Value, json};
use store::StoreError;
use store::replay::{Snapshot, Which, page};

use super::rulebook::Rulebook;

/// Most records of a period.
pub const MAX_RECORDS: usize = 100_000;
/// Most entries folded for a period.
pub const MAX_EVENTS: usize = 1_000_000;
/// Most records whose differences are told one by one; the counts are of all.
const MAX_TOLD: usize = 1_000;
/// Records whose logs are read together.
const BATCH: usize = 200;
/// Entries read in one statement.
const PAGE: usize = 2_000;

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The account.
    pub account: AccountId,
    /// The period's begin.
    pub from: Timestamp,
    /// Its end, which is not in it.
    pub to: Timestamp,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum WhatIfError {
    /// Nobody knows this account.
    #[error("nobody knows the account")]
    NoAccount,
    /// The log of a record cannot be folded.
    #[error("the log of {record} cannot be folded: {broken}")]
    Broken {
        /// The record.
        record: RecordRef,
        /// What is wrong.
        broken: Broken,
    },
    /// The period is too long for one answer.
    #[error("the period is too long: more than {limit} {what}")]
    TooLong {
        /// What there is too much of.
        what: &'static str,
        /// How many are folded at most.
        limit: usize,
    },
    /// A record's type is not synced.
    #[error("the record type {0} is not synced")]
    NoType(RecordType),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The record types under other policies: type → field (`SUBLIST.FIELD` for a line's) → policy, as in `CONCORD_TYPES`.
///
/// # Errors
/// A sentence naming the member that is wrong and what is accepted.
pub fn under(world: &World, policies: &BTreeMap<String, BTreeMap<String, Value>>) -> Result<World, String> {
    let mut other = world.clone();
    for (type_name, fields) in policies {
        let known: Vec<&str> = world.types.iter().map(|spec| spec.name.as_str()).collect();
        let spec = other
            .types
            .iter_mut()
            .find(|spec| spec.name.as_str() == type_name)
            .ok_or_else(|| format!("policies.{type_name} is not a record type; there are {}", known.join(", ")))?;
        for (name, word) in fields {
            let policy = policy(word).map_err(|why| format!("policies.{type_name}.{name} is no policy: {why}"))?;
            let whole = spec.fields.iter().position(|field| field.name == *name);
            let field = match (whole, name.split_once('.')) {
                (Some(at), _) => spec.fields.get_mut(at),
                (None, Some((sublist, of_line))) => {
                    spec.fields.iter_mut().find(|field| field.name == sublist).and_then(|field| match &mut field.kind {
                        model::spec::Kind::Lines(lines) => lines.line.iter_mut().find(|field| field.name == of_line),
                        _ => None,
                    })
                }
                (None, None) => None,
            };
            let field = field.ok_or_else(|| format!("policies.{type_name}.{name} is not a field of {type_name}"))?;
            field.policy = policy;
        }
    }
    other.check().map_err(|error| format!("policies: {error}"))?;
    Ok(other)
}

/// A policy as a record types' file has it: a word, or a table of a word and its limits.
fn policy(word: &Value) -> Result<Policy, String> {
    if word == "numeric_delta" {
        return Ok(Policy::NumericDelta { floor: None, ceiling: None });
    }
    let mut word = word.clone();
    // A limit is an exact decimal, which is read from text.
    for limit in
        word.as_object_mut().into_iter().flat_map(|policy| policy.values_mut()).filter_map(Value::as_object_mut)
    {
        for value in limit.values_mut().filter(|value| value.is_number()) {
            *value = Value::String(value.to_string());
        }
    }
    serde_json::from_value(word).map_err(|error| error.to_string())
}

/// Folds the period under both worlds.
///
/// # Errors
/// [`WhatIfError`].
pub async fn what_if(
    snapshot: &mut Snapshot,
    asked: &Asked,
    world: &World,
    other: &World,
) -> Result<Value, WhatIfError> {
    if !snapshot.knows(&asked.account).await? {
        return Err(WhatIfError::NoAccount);
    }
    let touched = snapshot.touched(&asked.account, asked.from, asked.to, MAX_RECORDS + 1).await?;
    if touched.len() > MAX_RECORDS {
        return Err(WhatIfError::TooLong { what: "records", limit: MAX_RECORDS });
    }
    let mut sum = Sum::default();
    let book = Rulebook::read(snapshot.connection(), world).await?;
    for batch in touched.chunks(BATCH) {
        fold_batch(snapshot, asked, (world, other), &book, batch, &mut sum).await?;
    }
    sum.records = touched.len();
    Ok(sum.answer(asked))
}

async fn fold_batch(
    snapshot: &mut Snapshot,
    asked: &Asked,
    (world, other): (&World, &World),
    book: &Rulebook,
    batch: &[(RecordRef, u64)],
    sum: &mut Sum,
) -> Result<(), WhatIfError> {
    let spec = |world: &'_ World, record: &RecordRef| world.get(&record.record_type).cloned();
    let mut specs = Vec::with_capacity(batch.len());
    for (record, _) in batch {
        let pair = spec(world, record).zip(spec(other, record));
        specs.push(pair.ok_or_else(|| WhatIfError::NoType(record.record_type.clone()))?);
    }
    let mut open: BTreeMap<Rid, Folding<'_>> = batch
        .iter()
        .zip(&specs)
        .map(|((record, last), (then, now))| {
            let comparison = Comparison::new(Replay::new(record.clone(), then), now);
            (record.rid, Folding { record, last: *last, comparison, past: false })
        })
        .collect();
    let rids: Vec<Rid> = batch.iter().map(|(record, _)| record.rid).collect();
    let mut after = None;
    loop {
        let rows = page(snapshot.connection(), &asked.account, &Which::Records(&rids), after, PAGE).await?;
        after = rows.last().map(|last| (last.record.rid, last.row.record_seq)).or(after);
        let ended = rows.len() < PAGE;
        for logged in rows {
            let Some(folding) = open.get_mut(&logged.record.rid) else { continue };
            let row = logged.row;
            folding.past |= row.at >= asked.to;
            if folding.past {
                continue;
            }
            let spec = book.spec(row.rules, &folding.record.record_type);
            folding.comparison.under(spec.ok_or_else(|| WhatIfError::NoType(folding.record.record_type.clone()))?);
            let within = row.at >= asked.from;
            let taken = folding.comparison.take(row.record_seq, &row.entry, row.event_id, row.at, within);
            taken.map_err(|broken| WhatIfError::Broken { record: logged.record, broken })?;
            sum.folded += 1;
            sum.events += usize::from(within);
            if sum.folded > MAX_EVENTS {
                return Err(WhatIfError::TooLong { what: "entries", limit: MAX_EVENTS });
            }
        }
        if ended {
            break;
        }
    }
    for folding in open.into_values() {
        let reached = folding.comparison.record_seq();
        if !folding.past && reached != folding.last {
            let broken = Broken::Gap { expected: reached + 1, found: folding.last + 1 };
            return Err(WhatIfError::Broken { record: folding.record.clone(), broken });
        }
        sum.add(folding.record, &folding.comparison.moved());
    }
    Ok(())
}

struct Folding<'a> {
    record: &'a RecordRef,
    /// The number of the last entry the record says it has.
    last: u64,
    comparison: Comparison<'a>,
    /// The period is over.
    past: bool,
}

/// What all records came to.
#[derive(Default)]
struct Sum {
    records: usize,
    events: usize,
    folded: usize,
    differing: usize,
    fields: usize,
    conflicts: [usize; 2],
    overrides: [usize; 2],
    unneeded: usize,
    items: Vec<Value>,
}

impl Sum {
    fn add(&mut self, record: &RecordRef, moved: &Moved) {
        if moved.is_nothing() {
            return;
        }
        self.differing += 1;
        self.fields += moved.fields.len();
        for (at, count) in [moved.conflicts_avoided.len(), moved.conflicts_created.len()].into_iter().enumerate() {
            self.conflicts[at] += count;
        }
        for (at, count) in [moved.overrides_avoided.len(), moved.overrides_created.len()].into_iter().enumerate() {
            self.overrides[at] += count;
        }
        self.unneeded += moved.decisions_unneeded;
        if self.items.len() < MAX_TOLD {
            self.items.push(told(record, moved));
        }
    }

    fn answer(self, asked: &Asked) -> Value {
        let pair = |[avoided, created]: [usize; 2]| json!({ "avoided": avoided, "created": created });
        json!({
            "account": asked.account.as_str(),
            "from": asked.from,
            "to": asked.to,
            "records": self.records,
            "events": self.events,
            "differing": self.differing,
            "fields": self.fields,
            "conflicts": pair(self.conflicts),
            "overrides": pair(self.overrides),
            "decisions_unneeded": self.unneeded,
            "truncated": self.differing > self.items.len(),
            "items": self.items,
        })
    }
}

fn told(record: &RecordRef, moved: &Moved) -> Value {
    let lost = |told: &[Told]| -> Vec<Value> {
        let one = |lost: &Told| json!({ "field": lost.field, "losing_side": lost.side.as_str(), "policy": lost.policy, "event_id": lost.event_id });
        told.iter().map(one).collect()
    };
    let fields = moved.fields.iter().map(|(field, (then, now))| json!({ "field": field, "then": then, "now": now }));
    json!({
        "record_type": record.record_type.as_str(),
        "record_id": record.rid.to_string(),
        "fields": fields.collect::<Vec<_>>(),
        "conflicts": { "avoided": moved.conflicts_avoided, "created": moved.conflicts_created },
        "overrides": { "avoided": lost(&moved.overrides_avoided), "created": lost(&moved.overrides_created) },
        "decisions_unneeded": moved.decisions_unneeded,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policies(text: &str) -> BTreeMap<String, BTreeMap<String, Value>> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn policies_are_set_by_type_and_field() {
        let world = World::sample();
        let asked = r#"{"customer": {"phone": "manual", "custentity_loyalty_points": {"numeric_delta": {"floor": 0}}},
                        "salesorder": {"lines.rate": "newest_wins"}}"#;
        let other = under(&world, &policies(asked)).unwrap();
        assert_eq!(other.types[0].field("phone").unwrap().policy, Policy::Manual);
        assert_eq!(other.types[0].field("email"), world.types[0].field("email"));
        let lines = other.types[2].field("lines").unwrap().lines().unwrap();
        assert_eq!(lines.field("rate").unwrap().policy, Policy::NewestWins);
        assert_eq!(under(&world, &policies("{}")).unwrap(), world);
    }

    #[test]
    fn what_is_wrong_with_policies_is_named() {
        for (asked, named) in [
            (r#"{"vendor": {"phone": "manual"}}"#, "policies.vendor"),
            (r#"{"customer": {"fax": "manual"}}"#, "policies.customer.fax"),
            (r#"{"salesorder": {"lines.colour": "manual"}}"#, "policies.salesorder.lines.colour"),
            (r#"{"customer": {"phone": "best_wins"}}"#, "policies.customer.phone"),
            (r#"{"customer": {"phone": 3}}"#, "policies.customer.phone"),
            (r#"{"customer": {"phone": "union"}}"#, "phone"),
            (r#"{"customer": {"terms": "manual"}}"#, "group"),
        ] {
            let error = under(&World::sample(), &policies(asked)).unwrap_err();
            assert!(error.contains(named), "{asked}: {error}");
        }
    }
}

//! What Postgres holds when a world has come to rest, put where the invariants are checked.

use std::collections::BTreeMap;

use model::RecordRef;
use model::record::Disposition;
use sqlx::Row;
use store::records::Records;
use testkit::memory::MemRecords;

use crate::twin::{Twin, apart};

/// Puts records, hints and log as Postgres returns them in the place of memory's, so that the invariants are checked on
/// them. Answers where what else is held differs.
pub(crate) fn put_into(twin: &Twin<'_>, book: &MemRecords) -> Vec<String> {
    let mut breaches = twin.differences();
    let keys: Vec<RecordRef> = book.book().records.keys().cloned().collect();
    let views = twin.runtime.block_on(twin.postgres.views(&keys, true)).unwrap();
    if views.len() != keys.len() {
        breaches.push(format!("Postgres holds {} records of {}", views.len(), keys.len()));
    }
    for view in views {
        let log = twin.runtime.block_on(twin.postgres.log(&view.record.key)).unwrap();
        let mut held = book.book();
        let Some(kept) = held.records.get_mut(&view.record.key) else { continue };
        (kept.record, kept.pending, kept.log) = (view.record, view.pending, log);
    }
    twin.runtime.block_on(compare(twin, book, &mut breaches));
    breaches
}

/// What the port does not return: outcomes of events, versions, overrides, messages.
async fn compare(twin: &Twin<'_>, book: &MemRecords, breaches: &mut Vec<String>) {
    let pool = twin.postgres.pool();
    let rows = sqlx::query("select account_id, event_id, disposition from sync.events where kind = 'hint'");
    let told: BTreeMap<String, Option<String>> = rows.fetch_all(pool).await.unwrap().iter().map(outcome).collect();
    let rows = sqlx::query("select rid::text, field, losing_side, policy, version from sync.overrides");
    let lost: Vec<Vec<String>> = rows.fetch_all(pool).await.unwrap().iter().map(words).collect();
    let rows = sqlx::query("select rid::text, '', '', '', version from sync.versions");
    let versions: Vec<Vec<String>> = rows.fetch_all(pool).await.unwrap().iter().map(words).collect();
    let messages: i64 = sqlx::query_scalar("select count(*) from sync.outbox").fetch_one(pool).await.unwrap();

    let book = book.book();
    let word = |disposition: Disposition| disposition.as_str().to_owned();
    let heard = book.dispositions().map(|(account, id, end)| (format!("{account} {id}"), end.map(word))).collect();
    same("outcomes of events", &told, &heard, breaches);
    let mut expected = (Vec::new(), Vec::new());
    for kept in book.records.values() {
        let rid = kept.record.key.rid.to_string();
        expected.0.extend(kept.overrides.iter().map(|lost| {
            let (side, version) = (lost.losing_side.as_str().to_owned(), lost.version.to_string());
            vec![rid.clone(), lost.field.clone(), side, lost.policy.clone(), version]
        }));
        let none = String::new;
        expected
            .1
            .extend(kept.versions.iter().map(|v| vec![rid.clone(), none(), none(), none(), v.version.to_string()]));
    }
    same("overrides", &sorted(lost), &sorted(expected.0), breaches);
    same("versions", &sorted(versions), &sorted(expected.1), breaches);
    same("messages", &messages.unsigned_abs(), &book.stored_out, breaches);
}

fn outcome(row: &sqlx::postgres::PgRow) -> (String, Option<String>) {
    let (account, id): (String, sqlx::types::Uuid) = (row.get(0), row.get(1));
    (format!("{account} {id}"), row.get(2))
}

fn words(row: &sqlx::postgres::PgRow) -> Vec<String> {
    let version: i64 = row.get(4);
    let mut words: Vec<String> = (0..4).map(|at| row.get(at)).collect();
    words.push(version.to_string());
    words
}

fn sorted(mut rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    rows.sort_unstable();
    rows
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, postgres: &T, memory: &T, breaches: &mut Vec<String>) {
    if postgres != memory {
        breaches.push(format!("{what}: Postgres and memory hold {}", apart(postgres, memory)));
    }
}

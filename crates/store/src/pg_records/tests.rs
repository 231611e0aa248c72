//! The conformance suite over Postgres, and what only tables show.

use std::sync::Arc;

use model::{AccountId, NativeId, Operation, RecordRef, RecordType, Rid, Side, Source, Timestamp, Value};
use sqlx::PgPool;
use uuid::Uuid;

use crate::PgRecords;
use crate::records::{Hint, Intake, Patch, Pick, Records, View};

mod alone;
mod brake;
mod constraints;
mod refusals;
mod ringing;
mod tables;

mod conformance {
    crate::records_conformance!(super::make);
}

/// A store over a database of its own, dropped with the guard.
async fn make() -> (Arc<dyn Records>, pgtest::TestDb) {
    let (records, db) = world().await;
    (Arc::new(records), db)
}

async fn world() -> (PgRecords, pgtest::TestDb) {
    let db = pgtest::database().await;
    (PgRecords::new(crate::connect(&db.url, 10, "store-tests").await.unwrap()), db)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).unwrap()
}

fn id(n: u128) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + n)
}

fn account() -> AccountId {
    AccountId::parse("A").unwrap()
}

/// A SuiteX hint for the record of this native id; its rid is 1000 + n.
fn hint(n: u128, native_id: &str) -> Hint {
    Hint {
        event_id: id(n),
        new_rid: Rid(id(1_000 + n)),
        account: account(),
        record_type: RecordType::parse("customer").unwrap(),
        side: Side::Suitex,
        native_id: NativeId::parse(native_id).unwrap(),
        operation: Operation::Update,
        source: Source::Suitex,
        occurred_at: at(0),
        base_version: None,
        changes: [("email".to_owned(), Value::text("a@b.example"))].into(),
        remote_version: Some(2),
        write_id: None,
        full_snapshot_ref: None,
        auth_context: None,
        correlation_id: None,
        urgent: true,
    }
}

async fn known(records: &PgRecords, hint: Hint) -> RecordRef {
    let answers = records.intake(&[hint], at(0), &model::record::Windows::default()).await.unwrap();
    let [Intake::Stored(record)] = answers.as_slice() else { panic!("the tests give every hint a new id") };
    record.clone()
}

async fn view(records: &PgRecords, record: &RecordRef) -> View {
    records.views(std::slice::from_ref(record), true).await.unwrap().remove(0)
}

/// Changes these records, each by the same function.
async fn change(
    records: &PgRecords,
    these: &[RecordRef],
    change: impl Fn(&View, &mut Patch) + Send + Sync,
) -> Result<usize, crate::StoreError> {
    let mut plan = |views: &[View]| {
        let changed = |view: &View| {
            let mut patch = Patch::of(view.record.clone());
            change(view, &mut patch);
            patch
        };
        views.iter().map(changed).collect()
    };
    records.transact(&Pick::These(these.to_vec()), true, &mut plan).await
}

fn due(second: i64) -> Pick {
    Pick::DueMerge { accounts: vec![account()], per_account: 100, now: at(second) }
}

async fn picked(records: &PgRecords, pick: &Pick) -> Vec<RecordRef> {
    let mut seen = Vec::new();
    let mut plan = |views: &[View]| {
        seen.extend(views.iter().map(|view| view.record.key.clone()));
        Vec::new()
    };
    records.transact(pick, false, &mut plan).await.unwrap();
    seen
}

async fn count(pool: &PgPool, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
}

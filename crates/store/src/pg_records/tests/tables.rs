//! What readers of the tables rely on (contracts §5, §11; seed 002).

use model::record::{Disposition, Entry, FieldMeta, Observation, Version};
use model::{Fields, Side, Value};
use serde_json::{Value as Json, json};
use sqlx::Row;

use super::{at, change, hint, id, known, world};
use crate::PgRecords;
use crate::records::LogRow;

const SEED_COLUMNS: [(&str, &str); 9] = [
    ("current_state", "account_id record_type record_id version state last_modified"),
    (
        "events",
        "id account_id record_type record_id source timestamp base_version changes full_snapshot_ref processed event_id \
         disposition received_at rid side kind seq record_seq operation occurred_at remote_version write_id auth_context \
         correlation_id entry applied_version settled_at",
    ),
    (
        "conflicts",
        "conflict_id account_id record_type record_id base_version our_event_id remote_version remote_snapshot \
         our_changes status created_ts",
    ),
    ("sync_watermark", "account_id record_type last_polled last_event_seen"),
    ("event_audit_log", "event_id record_type record_id source payload created_at"),
    ("sync_error_queue", "id record_type record_id reason details created_at status event_id"),
    ("record_lock", "record_type record_id locked locked_at reason released_at"),
    ("shadow", "account_id rid side dirty_seq inflight_write_id owed state token stamp epoch"),
    ("outbox", "id topic ordering_key payload attributes created_at published_at"),
];

#[tokio::test]
async fn tables_keep_the_columns_of_the_seed() {
    let (records, _db) = world().await;
    for (table, wanted) in SEED_COLUMNS {
        let columns: Vec<String> = sqlx::query_scalar(
            "select column_name::text from information_schema.columns where table_schema = 'sync' and table_name = $1",
        )
        .bind(table)
        .fetch_all(records.pool())
        .await
        .unwrap();
        for column in wanted.split_whitespace() {
            assert!(columns.iter().any(|known| known == column), "sync.{table} has no {column}");
        }
    }
}

fn observation(values: &Fields) -> Entry {
    Entry::Observation(Observation {
        token: Some(2),
        edited: std::collections::BTreeMap::new(),
        causes: vec![id(1)],
        occurred_at: Some(at(0)),
        ..Observation::read(Side::Suitex, values.clone())
    })
}

/// One record at version 1, known to both sides, NetSuite behind by one field.
async fn one_record(records: &PgRecords) -> model::RecordRef {
    let record = known(records, hint(1, "s1")).await;
    change(records, std::slice::from_ref(&record), |_, patch| {
        let values: Fields =
            [("email".to_owned(), Value::text("a@b.example")), ("points".to_owned(), Value::Int(3))].into();
        let head = &mut patch.record.head;
        (head.version, head.record_seq, head.alive, head.state) = (1, 1, true, values.clone().into());
        let cause = FieldMeta {
            side: Some(Side::Suitex),
            event_id: id(40),
            edited_at: at(0),
            written_to: None,
            rewrites: 0,
            rewriting_since: None,
        };
        head.meta = values.keys().map(|field| (field.clone(), cause.clone())).collect();
        patch.record.shadows.suitex.state = values.clone().into();
        *patch.record.shadows.netsuite.state =
            [("email".to_owned(), Value::text("old@b.example")), ("memo".to_owned(), Value::text("m"))].into();
        patch.log.push(LogRow { event_id: id(40), record_seq: 1, entry: observation(&values), at: at(1), rules: None });
        patch.versions.push(Version {
            version: 1,
            delta: values.clone(),
            full: Some(values),
            alive: true,
            event_id: id(40),
            decisions: [("email".to_owned(), ("newest_wins".to_owned(), "suitex".to_owned()))].into(),
            created_at: at(1),
        });
        patch.settled.push((id(1), Disposition::Applied(1)));
    })
    .await
    .unwrap();
    record
}

#[tokio::test]
async fn current_state_shows_real_records_only() {
    let (records, _db) = world().await;
    let record = one_record(&records).await;
    known(&records, hint(2, "provisional")).await;
    let rows = sqlx::query(
        "select record_id, version, state, last_modified = $1, field_meta, suitex_id from sync.current_state",
    )
    .bind(crate::instant::Instant(at(1)))
    .fetch_all(records.pool())
    .await
    .unwrap();
    let [row] = rows.as_slice() else { panic!("{} rows", rows.len()) };
    assert_eq!(row.get::<String, _>(0), record.rid.to_string());
    assert_eq!(row.get::<i64, _>(1), 1);
    assert_eq!(row.get::<Json, _>(2), json!({ "email": "a@b.example", "points": 3 }));
    assert!(row.get::<bool, _>(3));
    let meta: Json = row.get(4);
    assert_eq!(meta["points"]["event_id"], json!(id(40)));
    assert_eq!(meta["email"]["side"], json!("suitex"));
    assert_eq!(row.get::<String, _>(5), "s1");
    change(&records, &[record], |_, patch| patch.record.head.merged_into = Some(model::Rid(id(5)))).await.unwrap();
    assert_eq!(super::count(records.pool(), "select count(*) from sync.current_state").await, 0);
}

#[tokio::test]
async fn the_shadow_view_shows_what_each_side_holds() {
    let (records, _db) = world().await;
    one_record(&records).await;
    let rows: Vec<(String, Json, i64)> =
        sqlx::query_as("select side, state, dirty_seq from sync.shadow order by side desc")
            .fetch_all(records.pool())
            .await
            .unwrap();
    assert_eq!(rows[0], ("suitex".to_owned(), json!({ "email": "a@b.example", "points": 3 }), 1));
    assert_eq!(rows[1], ("netsuite".to_owned(), json!({ "email": "old@b.example", "memo": "m" }), 0));
}

#[tokio::test]
async fn events_show_hints_entries_and_what_became_of_them() {
    let (records, _db) = world().await;
    one_record(&records).await;
    known(&records, hint(2, "s1")).await;
    type Shown = (String, Option<String>, Option<i64>, bool, Option<String>, String);
    let rows: Vec<Shown> = sqlx::query_as(
        "select kind, disposition, applied_version, processed, source, record_id from sync.events order by kind, seq",
    )
    .fetch_all(records.pool())
    .await
    .unwrap();
    let row = |kind: &str, disposition: Option<&str>, version, processed| {
        let source = Some("suitex".to_owned());
        (kind.to_owned(), disposition.map(str::to_owned), version, processed, source, "s1".to_owned())
    };
    assert_eq!(
        rows,
        [
            row("hint", Some("applied"), Some(1), true),
            row("hint", None, None, false),
            row("observation", Some("applied"), None, true)
        ]
    );
    let sides: Vec<Json> = sqlx::query_scalar("select changes from sync.events where changes ->> 'email' is not null")
        .fetch_all(records.pool())
        .await
        .unwrap();
    assert_eq!(sides.len(), 2);
}

#[tokio::test]
async fn the_schema_is_brought_up_to_date_by_many_at_once() {
    let db = pgtest::empty().await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let url = db.url.clone();
        tasks.spawn(async move {
            let pool = crate::connect(&url, 2, "store-tests").await.unwrap();
            crate::migrate(&pool).await.unwrap();
            super::count(&pool, "select count(*) from sync.outbox").await
        });
    }
    assert_eq!(tasks.join_all().await, [0; 4]);
}

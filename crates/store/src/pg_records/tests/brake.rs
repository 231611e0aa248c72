//! The brake on deletions as people meet it: a row of the error queue.

use model::RecordType;
use model::limits::DeleteBrake;
use model::record::Version;

use super::{account, at, change, count, hint, id, known, world};
use crate::listing;
use crate::records::Records;

#[tokio::test]
async fn closing_the_row_lets_deletions_go_on_and_counts_anew() {
    let (records, _db) = world().await;
    let record = known(&records, hint(1, "7")).await;
    change(&records, &[record], |_, patch| {
        patch.record.head.version = 1;
        patch.versions.push(Version {
            version: 1,
            delta: model::Fields::new(),
            full: None,
            alive: false,
            event_id: id(50),
            decisions: std::collections::BTreeMap::new(),
            created_at: at(5),
        });
    })
    .await
    .unwrap();
    let kind = RecordType::parse("customer").unwrap();
    let brake = DeleteBrake { records: 0 };
    for second in [6, 7] {
        assert!(!records.may_delete(&account(), &kind, &brake, at(second)).await.unwrap());
    }
    let pool = records.pool();
    let rows = "select count(*) from sync.sync_error_queue where code = 'delete_brake' and status = 'open'";
    assert_eq!(count(pool, rows).await, 1, "asked twice, told once");
    let row = count(pool, "select min(id) from sync.sync_error_queue").await;
    assert!(listing::settle_error(pool, row, "retried", "jane").await.unwrap());
    assert!(records.may_delete(&account(), &kind, &brake, at(8)).await.unwrap(), "the death was before the decision");
}

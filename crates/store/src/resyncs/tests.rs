use std::time::Duration;

use model::{NativeId, PerSide};
use serde_json::json;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).unwrap()
}

fn account() -> AccountId {
    AccountId::parse("A").unwrap()
}

fn lease(second: i64) -> Lease<'static> {
    Lease { owner: "a", now: at(second), length: Duration::from_secs(60) }
}

fn rid(n: u128) -> Rid {
    Rid(Uuid::from_u128(n))
}

async fn asked(plan: bool, rids: Option<Vec<Rid>>) -> (PgPool, pgtest::TestDb, Uuid) {
    let db = pgtest::database().await;
    let pool = db.pool(4).await;
    let (id, record_type) = (Uuid::from_u128(7), RecordType::parse("customer").unwrap());
    let row = Asked { resync_id: id, account: &account(), record_type: &record_type, plan, rids, by: "jo", at: at(0) };
    ask(&pool, &row).await.unwrap();
    (pool, db, id)
}

fn stand(text: &str) -> SumHash {
    let mut hash = SumHash::default();
    hash.add_bytes(text.as_bytes());
    hash
}

#[tokio::test]
async fn a_plan_is_made_page_by_page_applied_once_and_shown_all_the_while() {
    let (pool, _db, id) = asked(true, Some(vec![rid(1), rid(2)])).await;
    assert_eq!(get(&pool, id).await.unwrap().unwrap()["status"], "queued");
    assert!(!apply(&pool, id, "jo").await.unwrap(), "it is not ready");
    let mut job = take(&pool, &account(), lease(0)).await.unwrap().unwrap();
    assert_eq!((job.stage, job.rids.as_deref()), (Stage::Plan, Some([rid(1), rid(2)].as_slice())));
    assert_eq!(take(&pool, &account(), lease(1)).await.unwrap(), None, "somebody is at it");
    (job.position, job.records, job.differences, job.digest) = (Some(rid(2)), 2, 1, stand("both"));
    let items =
        [Item::known(rid(1), stand("one"), Some(json!({ "writes": [] }))), Item::known(rid(2), stand("two"), None)];
    assert!(advance(&pool, &job, &items, Some("ready"), at(2)).await.unwrap());
    let shown = get(&pool, id).await.unwrap().unwrap();
    assert_eq!((&shown["status"], &shown["differences"], &shown["records"]), (&json!("ready"), &json!(1), &json!(2)));
    assert_eq!(shown["digest"], stand("both").to_string());
    assert_eq!(super::items(&pool, id, None, false, 10).await.unwrap(), items);
    assert_eq!(super::items(&pool, id, None, true, 10).await.unwrap(), items[..1]);
    assert_eq!(super::items(&pool, id, Some(rid(1)), false, 10).await.unwrap(), items[1..]);

    assert!(apply(&pool, id, "bo").await.unwrap());
    assert!(!apply(&pool, id, "bo").await.unwrap(), "it is being applied");
    let mut job = take(&pool, &account(), lease(3)).await.unwrap().unwrap();
    assert_eq!((job.stage, job.position), (Stage::Check, None));
    job.moved = vec![rid(1)];
    assert!(advance(&pool, &job, &[], Some("moved"), at(4)).await.unwrap());
    let shown = get(&pool, id).await.unwrap().unwrap();
    assert_eq!((&shown["moved"], &shown["applied_by"]), (&json!([rid(1)]), &json!("bo")));
    assert_eq!(take(&pool, &account(), lease(5)).await.unwrap(), None);
}

#[tokio::test]
async fn strangers_of_a_plan_are_found_by_record_and_by_natural_key_and_take_one_place() {
    let (pool, _db, id) = asked(true, None).await;
    let mut job = take(&pool, &account(), lease(0)).await.unwrap().unwrap();
    assert_eq!((job.phase, &job.id_position), (Phase::Suitex, &None), "a whole type begins with the sides' ids");
    let native = |id: &str| NativeId::parse(id).unwrap();
    let of = |n, suitex: Option<&str>, netsuite: Option<&str>, key: Option<&str>| Item {
        met: Met {
            ids: PerSide { suitex: suitex.map(native), netsuite: netsuite.map(native) },
            natural_key: key.map(str::to_owned),
        },
        ..Item::known(rid(n), stand("s"), Some(json!({ "n": n.to_string() })))
    };
    let first = [of(1, Some("7"), None, Some("K")), of(2, Some("8"), None, None)];
    job.id_position = Some("8".to_owned());
    assert!(advance(&pool, &job, &first, None, at(1)).await.unwrap());
    let mut job = take(&pool, &account(), lease(2)).await.unwrap().unwrap();
    assert_eq!((job.phase, job.id_position.as_deref()), (Phase::Suitex, Some("8")));
    let keys = ["K".to_owned(), "L".to_owned()];
    assert_eq!(planned(&pool, id, &[rid(2), rid(3)], &keys).await.unwrap().len(), 2);
    assert_eq!(planned(&pool, id, &[rid(1)], &keys).await.unwrap(), first[..1], "each once");
    (job.phase, job.id_position) = (Phase::Records, None);
    let pair = of(1, Some("7"), Some("9"), Some("K"));
    assert!(advance(&pool, &job, std::slice::from_ref(&pair), Some("ready"), at(3)).await.unwrap());
    let stored = super::items(&pool, id, None, true, 10).await.unwrap();
    assert_eq!(stored, [pair, first[1].clone()]);
    assert!(stored.iter().all(Item::of_strangers) && !Item::known(rid(5), stand("s"), None).of_strangers());
}

#[tokio::test]
async fn a_new_status_is_announced_and_progress_is_not() {
    let (pool, _db, id) = asked(true, Some(vec![rid(1)])).await;
    let mut listener = sqlx::postgres::PgListener::connect_with(&pool).await.unwrap();
    listener.listen(MOVED_CHANNEL).await.unwrap();
    let job = take(&pool, &account(), lease(0)).await.unwrap().unwrap();
    assert_eq!(job.phase, Phase::Records, "records that were named are gone through alone");
    assert!(advance(&pool, &job, &[], None, at(1)).await.unwrap());
    for n in 1..=i64::from(MAX_ATTEMPTS) {
        let job = take(&pool, &account(), lease(n * 100)).await.unwrap().unwrap();
        put_off(&pool, &job, at(n * 100)).await.unwrap();
    }
    let heard = tokio::time::timeout(Duration::from_secs(10), listener.recv()).await.unwrap().unwrap();
    assert_eq!(heard.payload(), id.to_string());
    assert_eq!(get(&pool, id).await.unwrap().unwrap()["status"], "failed", "all before it was silent");
}

#[tokio::test]
async fn whoever_lost_the_lease_stores_nothing() {
    let (pool, _db, id) = asked(false, None).await;
    let first = take(&pool, &account(), lease(0)).await.unwrap().unwrap();
    assert_eq!((first.stage, &first.rids), (Stage::Ring, &None));
    let second = take(&pool, &account(), lease(61)).await.unwrap().unwrap();
    let item = Item::known(rid(1), stand("x"), None);
    assert!(!advance(&pool, &first, &[item], Some("done"), at(62)).await.unwrap());
    assert_eq!(items(&pool, id, None, false, 10).await.unwrap(), []);
    assert!(advance(&pool, &second, &[], Some("done"), at(63)).await.unwrap());
}

#[tokio::test]
async fn a_side_that_never_answers_ends_a_request_after_a_while() {
    let (pool, _db, id) = asked(false, None).await;
    for n in 0..i64::from(MAX_ATTEMPTS) {
        let job = take(&pool, &account(), lease(n * 100)).await.unwrap().unwrap();
        put_off(&pool, &job, at(n * 100 + 50)).await.unwrap();
        assert_eq!(take(&pool, &account(), lease(n * 100 + 49)).await.unwrap(), None);
    }
    let shown = get(&pool, id).await.unwrap().unwrap();
    assert_eq!((&shown["status"], &shown["reason"]), (&json!("failed"), &json!("side_unavailable")));
    assert_eq!(take(&pool, &account(), lease(9_000)).await.unwrap(), None);
}

#[tokio::test]
async fn old_requests_that_ended_are_forgotten_with_their_items_and_open_ones_are_not() {
    let (pool, _db, id) = asked(true, None).await;
    assert_eq!(forget(&pool, at(1)).await.unwrap(), 0);
    let job = take(&pool, &account(), lease(0)).await.unwrap().unwrap();
    let item = Item::known(rid(1), stand("x"), None);
    assert!(advance(&pool, &job, &[item], Some("ready"), at(0)).await.unwrap());
    assert_eq!(forget(&pool, at(0)).await.unwrap(), 0, "it is not that old");
    assert_eq!(forget(&pool, at(1)).await.unwrap(), 1);
    assert_eq!(get(&pool, id).await.unwrap(), None);
    assert_eq!(items(&pool, id, None, false, 10).await.unwrap(), []);
}

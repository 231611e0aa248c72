use serde_json::{Value, json};

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).unwrap()
}

fn account() -> AccountId {
    AccountId::parse("A").unwrap()
}

fn types() -> Vec<RecordType> {
    ["customer", "item"].map(|name| RecordType::parse(name).unwrap()).to_vec()
}

fn lease(owner: &'static str, second: i64) -> Lease<'static> {
    Lease { owner, now: at(second), length: Duration::from_secs(60) }
}

async fn world() -> (PgPool, pgtest::TestDb) {
    let db = pgtest::database().await;
    (db.pool(4).await, db)
}

async fn take_at(pool: &PgPool, owner: &'static str, second: i64, id: u128) -> Option<Sweep<Value>> {
    let next = Some(at(86_400));
    take(pool, &account(), &types(), lease(owner, second), Uuid::from_u128(id), next).await.unwrap()
}

#[tokio::test]
async fn a_sweep_is_taken_when_it_is_due_and_by_one_only() {
    let (pool, _db) = world().await;
    introduce(&pool, &account(), &types(), Some(at(100)), at(0)).await.unwrap();
    assert_eq!(take_at(&pool, "a", 99, 1).await, None);
    let first = take_at(&pool, "a", 100, 1).await.unwrap();
    assert_eq!((first.phase, &first.position, first.started_at), (Phase::Suitex, &None, at(100)));
    let second = take_at(&pool, "b", 100, 2).await.unwrap();
    assert_ne!(first.record_type, second.record_type);
    assert_eq!(take_at(&pool, "c", 100, 3).await, None);
}

#[tokio::test]
async fn another_goes_on_where_the_holder_stopped_and_the_holder_changes_nothing_any_more() {
    let (pool, _db) = world().await;
    introduce(&pool, &account(), &types()[..1], Some(at(0)), at(0)).await.unwrap();
    let mut first = take_at(&pool, "a", 0, 1).await.unwrap();
    (first.phase, first.position, first.tally) = (Phase::Netsuite, Some("77".to_owned()), json!({ "n": 3 }));
    first.verified_through = Some(at(-5));
    assert!(advance(&pool, &first).await.unwrap());
    let second = take_at(&pool, "a", 10, 2).await.unwrap();
    assert_eq!(second, Sweep { token: second.token, ..first.clone() });
    assert_eq!(take_at(&pool, "b", 69, 2).await, None, "it is leased");
    let third = take_at(&pool, "b", 70, 2).await.unwrap();
    assert_eq!(third, Sweep { token: third.token, ..first.clone() });
    assert!(third.token > second.token);
    assert!(!advance(&pool, &second).await.unwrap());
    assert!(!finish(&pool, &second, at(0), true, &json!({}), at(71)).await.unwrap());
    put_off(&pool, &second, at(9_999)).await.unwrap();
    assert!(advance(&pool, &third).await.unwrap(), "it is still the third's");
    assert_eq!(certificate(&pool, &account(), &types()[0]).await.unwrap(), None);
}

#[tokio::test]
async fn a_new_schedule_counts_at_once_and_a_missed_night_is_made_up_for() {
    let (pool, _db) = world().await;
    let introduced = async |due: Option<i64>, now: i64| {
        introduce(&pool, &account(), &types()[..1], due.map(at), at(now)).await.unwrap()
    };
    introduced(Some(100), 0).await;
    introduced(Some(50), 10).await;
    introduced(None, 20).await;
    assert_eq!(take_at(&pool, "a", 1_000, 1).await, None, "never is a schedule too");
    introduced(Some(1_100), 1_000).await;
    introduced(Some(9_000), 1_200).await;
    assert!(take_at(&pool, "a", 1_200, 1).await.is_some(), "it was due while nobody was there");
}

#[tokio::test]
async fn a_sweep_that_a_side_holds_up_waits_and_goes_on() {
    let (pool, _db) = world().await;
    introduce(&pool, &account(), &types()[..1], Some(at(0)), at(0)).await.unwrap();
    let first = take_at(&pool, "a", 0, 1).await.unwrap();
    put_off(&pool, &first, at(30)).await.unwrap();
    assert_eq!(take_at(&pool, "b", 29, 2).await, None);
    let again = take_at(&pool, "b", 30, 2).await.unwrap();
    assert_eq!((again.sweep_id, again.attempts), (first.sweep_id, 1));
}

#[tokio::test]
async fn a_sweep_ends_in_its_certificate_and_the_next_is_due_by_the_schedule_or_when_somebody_asks() {
    let (pool, _db) = world().await;
    introduce(&pool, &account(), &types()[..1], Some(at(0)), at(0)).await.unwrap();
    let first = take_at(&pool, "a", 0, 1).await.unwrap();
    assert!(finish(&pool, &first, at(-5), true, &json!({ "n": 1 }), at(1)).await.unwrap());
    assert_eq!(certificate(&pool, &account(), &types()[0]).await.unwrap(), Some(json!({ "n": 1 })));
    assert_eq!(certificate(&pool, &account(), &types()[1]).await.unwrap(), None);
    assert_eq!(take_at(&pool, "a", 86_399, 2).await, None);
    request(&pool, &account(), &types()[0], at(50)).await.unwrap();
    let asked = take_at(&pool, "a", 50, 2).await.unwrap();
    assert_eq!((asked.answers, asked.sweep_id), (Some(at(50)), Uuid::from_u128(2)));
    // Asked again while one is under way: it may have passed what the person means.
    request(&pool, &account(), &types()[0], at(60)).await.unwrap();
    assert!(finish(&pool, &asked, at(45), false, &json!({ "n": 2 }), at(70)).await.unwrap());
    let again = take_at(&pool, "a", 71, 3).await.unwrap();
    assert_eq!(again.answers, Some(at(60)));
    assert_eq!(certificate(&pool, &account(), &types()[0]).await.unwrap(), Some(json!({ "n": 2 })));
}

#[tokio::test]
async fn only_the_newest_certificates_are_kept() {
    let (pool, _db) = world().await;
    for n in 0..KEPT_CERTIFICATES + 3 {
        request(&pool, &account(), &types()[0], at(n)).await.unwrap();
        let sweep = take_at(&pool, "a", n, n.unsigned_abs().into()).await.unwrap();
        assert!(finish(&pool, &sweep, at(n), true, &json!(n), at(n)).await.unwrap());
    }
    let kept: i64 = sqlx::query_scalar("select count(*) from sync.certificate").fetch_one(&pool).await.unwrap();
    assert_eq!(kept, KEPT_CERTIFICATES);
    assert_eq!(certificate(&pool, &account(), &types()[0]).await.unwrap(), Some(json!(KEPT_CERTIFICATES + 2)));
}

#[tokio::test]
async fn records_are_paged_by_rid_of_one_account_and_type() {
    let (pool, _db) = world().await;
    for (account, record_type, rid) in
        [("A", "customer", 3), ("A", "customer", 1), ("A", "item", 2), ("B", "customer", 4)]
    {
        sqlx::query("insert into sync.record_head (account_id, record_type, rid) values ($1, $2, $3)")
            .bind(account)
            .bind(record_type)
            .bind(Uuid::from_u128(rid))
            .execute(&pool)
            .await
            .unwrap();
    }
    let page = async |after: Option<Rid>| rids(&pool, &account(), &types()[0], after, 1).await.unwrap();
    let rid = |n| Rid(Uuid::from_u128(n));
    assert_eq!(page(None).await, [rid(1)]);
    assert_eq!(page(Some(rid(1))).await, [rid(3)]);
    assert_eq!(page(Some(rid(3))).await, []);
}

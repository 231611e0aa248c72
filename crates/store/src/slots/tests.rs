use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::*;

const SLOTS: u32 = 4;
const LEASE: Duration = Duration::from_secs(60);

/// Nested loops that cost nothing: a sub-select is then run once for every row of the other side.
const CARELESS: &[(&str, &str)] = &[
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("enable_material", "off"),
    ("cpu_tuple_cost", "0"),
    ("cpu_operator_cost", "0"),
    ("cpu_index_tuple_cost", "0"),
    ("seq_page_cost", "0"),
    ("random_page_cost", "0"),
];
const PLANS: [&[(&str, &str)]; 2] = [&[], CARELESS];

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).unwrap()
}

fn account() -> AccountId {
    AccountId::parse("A").unwrap()
}

async fn world(plan: &[(&str, &str)]) -> (PgPool, pgtest::TestDb) {
    let db = pgtest::database().await;
    let options: PgConnectOptions = db.url.parse().unwrap();
    let pool = PgPoolOptions::new().max_connections(4).connect_with(options.options(plan.iter().copied())).await;
    let pool = pool.unwrap();
    crate::accounts::introduce(&pool, &[(account(), false, SLOTS)]).await.unwrap();
    (pool, db)
}

async fn take(pool: &PgPool, second: i64) -> Option<Slot> {
    acquire(pool, &account(), "me", LEASE, at(second)).await.unwrap()
}

async fn used(pool: &PgPool, second: i64) -> u64 {
    in_use(pool, &account(), at(second)).await.unwrap()
}

#[tokio::test]
async fn whatever_the_plan_one_slot_is_taken_at_a_time_until_none_is_left() {
    for plan in PLANS {
        let (pool, _db) = world(plan).await;
        for taken in 1..=SLOTS {
            let slot = take(&pool, 0).await.unwrap();
            assert_eq!(slot.n, i32::try_from(taken).unwrap(), "the lowest free one, under {plan:?}");
            assert_eq!(used(&pool, 1).await, u64::from(taken), "under {plan:?}");
        }
        assert_eq!(take(&pool, 1).await, None);
    }
}

#[tokio::test]
async fn a_slot_comes_back_by_its_holder_or_by_time_and_never_by_whoever_lost_it() {
    let (pool, _db) = world(&[]).await;
    let first = take(&pool, 0).await.unwrap();
    release(&pool, &first).await.unwrap();
    assert_eq!(used(&pool, 1).await, 0);
    let late = take(&pool, 0).await.unwrap();
    let next = take(&pool, 60).await.unwrap();
    assert_eq!((late.n, next.n), (1, 1), "the lease ran out");
    assert!(next.token > late.token);
    release(&pool, &late).await.unwrap();
    assert_eq!(used(&pool, 61).await, 1, "it is the other's now");
}

#[tokio::test]
async fn the_limit_halves_on_news_only_and_grows_by_one_a_clean_minute() {
    let (pool, _db) = world(&[]).await;
    assert_eq!(halve(&pool, &account(), at(0), at(10)).await.unwrap(), 2);
    assert_eq!(halve(&pool, &account(), at(9), at(11)).await.unwrap(), 2, "it was sent before the limit moved");
    assert_eq!(halve(&pool, &account(), at(12), at(13)).await.unwrap(), 1);
    assert!(take(&pool, 14).await.is_some() && take(&pool, 14).await.is_none());
    assert_eq!(grow(&pool, &account(), at(72)).await.unwrap(), 1, "a second short of a minute");
    assert_eq!(grow(&pool, &account(), at(73)).await.unwrap(), 2);
    assert_eq!(grow(&pool, &account(), at(74)).await.unwrap(), 2);
}

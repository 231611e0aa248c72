//! Blame of a record with 10,000 events, a fifth of them merged values and a fifth that lost one, beside a bare read of
//! the same record by its primary key in the same run.
//!
//! `cargo bench -p store --bench blame`; it prints the 95th percentiles and their ratio before criterion's own figures.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use model::{AccountId, RecordRef, RecordType, Rid};
use sqlx::PgPool;
use tokio::runtime::Runtime;
use uuid::Uuid;

const EVENTS: i64 = 10_000;
/// Reads the percentiles are taken from.
const READS: usize = 400;

/// One record: every event a hint that is its own entry, and a version. Points are merged by every fifth, the phone's
/// value lost by every other fifth; names and addresses come from the last events, the creation date from the first. Other
/// records lie between, as they would.
const SEED: &str = "
    insert into sync.record_head (account_id, record_type, rid, version, alive, record_seq, modified_at, sx_exists)
    select 'A', 'customer', r, 10000, true, 10000, now(), 'yes'
      from unnest(array['00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000002']::uuid[]) as r;
    insert into sync.event_log (account_id, event_id, record_type, record_id, rid, side, source, kind, seq, record_seq,
        operation, occurred_at, received_at, changes, remote_version, auth_context, applied_version)
    select 'A', md5(r || ':' || n)::uuid, 'customer', '7', ('00000000-0000-7000-8000-00000000000' || r)::uuid, 'suitex',
           'suitex', 'hint', n, n, 'update', now(), now() + n * interval '1 ms',
           json_build_object('phone', 'phone ' || n, 'custentity_loyalty_points', n, 'comments', repeat('lorem ipsum ', 40)),
           n, json_build_object('user', 'jane'), n
      from generate_series(1, 10000) as n, generate_series(1, 2) as r order by n, r;
    insert into sync.versions (account_id, record_type, rid, version, delta, alive, event_id, decisions, created_at)
    select account_id, record_type, rid, record_seq, null, true, event_id,
           case record_seq % 5 when 0 then '{\"custentity_loyalty_points\": [\"numeric_delta\", \"both\"]}'::json
                               when 1 then '{\"phone\": [\"suitex_wins\", \"suitex\"]}'::json else '{}'::json end, received_at
      from sync.event_log order by record_seq, rid;
    insert into sync.overrides (account_id, record_type, rid, version, field, losing_value, losing_side, winning_value,
        policy, event_id, created_at)
    select account_id, record_type, rid, record_seq, 'phone', '\"lost\"', 'netsuite', '\"won\"', 'suitex_wins', event_id,
           received_at from sync.event_log where record_seq % 5 = 1 order by record_seq, rid;
    insert into sync.record_body (account_id, rid, state, field_meta)
    select 'A', r.rid, '{\"phone\": \"1\", \"custentity_loyalty_points\": 5, \"email\": \"a@b.example\", \"companyname\": \"Acme\",
                         \"comments\": \"x\", \"terms\": \"1\", \"currency\": \"1\", \"datecreated\": \"2026-01-01\"}',
           (select json_agg(json_build_array(json_build_object('side', 'suitex', 'event_id', e.event_id,
                       'edited_at', '2026-01-01T00:00:00Z'), json_build_array(c.field)))
              from (values ('phone', 9996), ('custentity_loyalty_points', 10000), ('email', 5000), ('companyname', 9999),
                           ('comments', 10000), ('terms', 20), ('currency', 20), ('datecreated', 1)) as c (field, n)
              join sync.event_log e on e.account_id = 'A' and e.rid = r.rid and e.record_seq = c.n)
      from sync.record_head r;
    vacuum analyze";

struct World {
    runtime: Runtime,
    pool: PgPool,
    record: RecordRef,
    _db: pgtest::TestDb,
}

impl World {
    fn new() -> Self {
        let runtime = Runtime::new().expect("a runtime starts");
        let (pool, db) = runtime.block_on(async {
            let db = pgtest::database().await;
            let pool = store::connect(&db.url, 2, "store-bench").await.expect("Postgres answers");
            for statement in SEED.split(';') {
                sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&pool).await.expect("the record is made");
            }
            let events: i64 = sqlx::query_scalar("select record_seq from sync.record_head limit 1")
                .fetch_one(&pool)
                .await
                .expect("the record is there");
            assert_eq!(events, EVENTS);
            (pool, db)
        });
        let record = RecordRef {
            account: AccountId::parse("A").expect("a valid account id"),
            record_type: RecordType::parse("customer").expect("a valid type"),
            rid: Rid("00000000-0000-7000-8000-000000000001".parse::<Uuid>().expect("a uuid")),
        };
        Self { runtime, pool, record, _db: db }
    }

    fn blame(&self) -> Duration {
        let leaders: BTreeMap<String, String> = [("currency".to_owned(), "terms".to_owned())].into();
        let began = Instant::now();
        let items = self.runtime.block_on(store::listing::blame(&self.pool, &self.record, &leaders)).expect("blame");
        let took = began.elapsed();
        assert_eq!(black_box(&items).len(), 8);
        let points = items.iter().find(|item| item["field"] == "custentity_loyalty_points").expect("it is told");
        assert_eq!(points["contributors"].as_array().map(Vec::len), Some(2), "the merged one and the one before it");
        took
    }

    fn by_key(&self) -> Duration {
        let began = Instant::now();
        let state: String = self.runtime.block_on(async {
            sqlx::query_scalar("select state::text from sync.record_body where account_id = $1 and rid = $2")
                .bind(self.record.account.as_str())
                .bind(self.record.rid.0)
                .fetch_one(&self.pool)
                .await
                .expect("the record is there")
        });
        black_box(state);
        began.elapsed()
    }

    /// The 95th percentile of a kind of read.
    fn p95(&self, read: fn(&Self) -> Duration) -> Duration {
        let mut times: Vec<Duration> = (0..READS).map(|_| read(self)).collect();
        times.sort_unstable();
        times[READS * 95 / 100]
    }
}

fn reads(criterion: &mut Criterion) {
    let world = World::new();
    world.blame();
    let (blame, by_key) = (world.p95(World::blame), world.p95(World::by_key));
    println!(
        "blame of {EVENTS} events: p95 {:.2} ms; the bare read by key: p95 {:.2} ms; {:.0} times as long (at most 50 ms)",
        blame.as_secs_f64() * 1e3,
        by_key.as_secs_f64() * 1e3,
        blame.as_secs_f64() / by_key.as_secs_f64()
    );
    let mut group = criterion.benchmark_group("record_of_10k_events");
    group.sample_size(30);
    group.bench_function("blame", |bench| bench.iter_custom(|rounds| (0..rounds).map(|_| world.blame()).sum()));
    group.bench_function("by_key", |bench| bench.iter_custom(|rounds| (0..rounds).map(|_| world.by_key()).sum()));
    group.finish();
}

criterion_group!(benches, reads);
criterion_main!(benches);

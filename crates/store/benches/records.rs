//! What a batch of 500 costs over 10,000 records of about 1 KB: intake, a merge-like transaction, and beside them the
//! bare batch (500 events, 500 upserts, 500 outbox rows by UNNEST) that no store on the same Postgres can beat.
//!
//! `cargo bench -p store`; times are per batch. The cluster is pgtest's: durability is off, so what is measured is work,
//! not the disk.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model::record::{Disposition, Entry, Existence, FieldMeta, Version, Windows};
use model::{AccountId, Fields, NativeId, Operation, RecordType, Rid, Side, Source, Timestamp, Value};
use store::PgRecords;
use store::records::{Hint, LogRow, Outgoing, Patch, Pick, Records, View};
use tokio::runtime::Runtime;
use uuid::Uuid;

const BATCH: usize = 500;
const RECORDS: usize = 10_000;

struct World {
    runtime: Runtime,
    records: PgRecords,
    next: usize,
    _db: pgtest::TestDb,
}

fn windows() -> Windows {
    Windows { window: Duration::ZERO, idle: Duration::ZERO, max_hints: 1 }
}

fn now() -> Timestamp {
    Timestamp::from_second(1_790_000_000).expect("a second of this century")
}

fn account() -> AccountId {
    AccountId::parse("TSTDRV100001").expect("a valid account id")
}

/// Ten fields, one of them long: about 1 KB.
fn payload(n: usize) -> Fields {
    let mut fields: Fields = (0..9).map(|f| (format!("field_{f}"), Value::text(format!("value {n} of {f}")))).collect();
    fields.insert("comments".to_owned(), Value::text("lorem ipsum ".repeat(55)));
    fields
}

fn hint(n: usize) -> Hint {
    let record = n % RECORDS;
    Hint {
        event_id: Uuid::from_u128((n as u128) << 64 | 1),
        new_rid: Rid(Uuid::from_u128((n as u128) << 64 | 2)),
        account: account(),
        record_type: RecordType::parse("customer").expect("a valid type"),
        side: Side::Suitex,
        native_id: NativeId::parse(&record.to_string()).expect("a valid id"),
        operation: Operation::Update,
        source: Source::Suitex,
        occurred_at: now(),
        base_version: None,
        changes: payload(n),
        remote_version: i64::try_from(n / RECORDS).ok(),
        write_id: None,
        full_snapshot_ref: None,
        auth_context: None,
        correlation_id: None,
        urgent: false,
    }
}

impl World {
    fn new() -> Self {
        let runtime = Runtime::new().expect("a runtime starts");
        let (records, db) = runtime.block_on(async {
            let db = pgtest::database().await;
            let pool = store::connect(&db.url, 4, "store-bench").await.expect("Postgres answers");
            (PgRecords::new(pool), db)
        });
        let mut world = Self { runtime, records, next: 0, _db: db };
        for _ in 0..RECORDS / BATCH {
            world.intake();
            world.merge();
        }
        world.runtime.block_on(async {
            sqlx::raw_sql("vacuum analyze").execute(world.records.pool()).await.expect("vacuum runs");
        });
        world
    }

    fn intake(&mut self) -> Duration {
        let hints: Vec<Hint> = (self.next..self.next + BATCH).map(hint).collect();
        self.next += BATCH;
        let began = Instant::now();
        let answers = self.runtime.block_on(self.records.intake(&hints, now(), &windows())).expect("hints are stored");
        assert_eq!(black_box(answers).len(), BATCH);
        began.elapsed()
    }

    fn merge(&mut self) -> Duration {
        let pick = Pick::DueMerge { accounts: vec![account()], per_account: BATCH, now: now() };
        let mut plan = |views: &[View]| views.iter().map(fold).collect();
        let began = Instant::now();
        let given = self.runtime.block_on(self.records.transact(&pick, true, &mut plan)).expect("the step is stored");
        assert_eq!(given, BATCH);
        began.elapsed()
    }

    fn bare(&mut self) -> Duration {
        let from = self.next;
        self.next += BATCH;
        let ids: Vec<Uuid> = (from..from + BATCH).map(|n| Uuid::from_u128((n as u128) << 64 | 3)).collect();
        let keys: Vec<String> = (from..from + BATCH).map(|n| format!("{}", n % RECORDS)).collect();
        let texts: Vec<String> =
            (from..from + BATCH).map(|n| serde_json::to_string(&payload(n)).expect("JSON")).collect();
        let payloads: Vec<Vec<u8>> = texts.iter().map(|text| text.clone().into_bytes()).collect();
        let began = Instant::now();
        self.runtime.block_on(async {
            let mut tx = self.records.pool().begin().await.expect("begins");
            sqlx::query("insert into bare.events select $1, * from unnest($2::uuid[], $3::text[], $4::jsonb[]) on conflict do nothing")
                .bind(account().as_str()).bind(&ids).bind(&keys)
                .bind(texts.iter().map(|t| sqlx::types::Json(serde_json::value::RawValue::from_string(t.clone()).expect("JSON"))).collect::<Vec<_>>())
                .execute(&mut *tx).await.expect("events");
            sqlx::query("insert into bare.current_state as c select $1, k, 1, s from unnest($2::text[], $3::jsonb[]) as u (k, s)
                         on conflict (account_id, record_id) do update set version = c.version + 1, state = excluded.state")
                .bind(account().as_str()).bind(&keys)
                .bind(texts.iter().map(|t| sqlx::types::Json(serde_json::value::RawValue::from_string(t.clone()).expect("JSON"))).collect::<Vec<_>>())
                .execute(&mut *tx).await.expect("states");
            sqlx::query("insert into bare.outbox (topic, ordering_key, payload) select 'events.merged', * from unnest($1::text[], $2::bytea[])")
                .bind(&keys).bind(&payloads).execute(&mut *tx).await.expect("outbox");
            tx.commit().await.expect("commits");
        });
        began.elapsed()
    }
}

/// What the merge of one SuiteX delta leaves: an observation, a version, a doorbell, a settled hint.
fn fold(view: &View) -> Patch {
    let mut patch = Patch::of(view.record.clone());
    let record = &mut patch.record;
    let hint = view.pending.last().expect("a due record has a hint");
    let event_id = Uuid::from_u128(hint.event_id.as_u128() + 8);
    let shadow = &mut record.shadows.suitex;
    shadow.state.extend(hint.changes.clone());
    (shadow.exists, shadow.complete, shadow.token) = (Existence::Yes, true, hint.remote_version);
    (shadow.dirty_seq, shadow.dirty_since, shadow.last_hint_at, shadow.hints, shadow.ready_at) =
        (0, None, None, 0, None);
    record.shadows.netsuite.owed = true;
    record.shadows.netsuite.retry_at = Some(now());
    record.head.state.extend(hint.changes.clone());
    record.head.alive = true;
    record.head.version += 1;
    record.head.record_seq += 1;
    let meta = FieldMeta {
        side: Some(Side::Suitex),
        event_id,
        edited_at: now(),
        written_to: None,
        rewrites: 0,
        rewriting_since: None,
    };
    record.head.meta = hint.changes.keys().map(|field| (field.clone(), meta.clone())).collect();
    patch.log.push(LogRow {
        event_id,
        record_seq: record.head.record_seq,
        entry: Entry::Observation(hint.observation()),
        at: now(),
        rules: None,
    });
    patch.versions.push(Version {
        version: record.head.version,
        delta: hint.changes.clone(),
        full: None,
        alive: true,
        event_id,
        decisions: std::collections::BTreeMap::new(),
        created_at: now(),
    });
    patch.settled =
        view.pending.iter().map(|hint| (hint.event_id, Disposition::Applied(record.head.version))).collect();
    patch.outbox.push(Outgoing {
        topic: "events.merged",
        record_key: record.key.to_string(),
        payload: bytes::Bytes::from(serde_json::to_vec(&hint.changes).expect("JSON")),
        attributes: [
            ("target".to_owned(), "netsuite".to_owned()),
            ("account_id".to_owned(), "TSTDRV100001".to_owned()),
        ]
        .into_iter()
        .collect(),
    });
    patch
}

const BARE: &str = "
    create schema bare;
    create table bare.events (account_id text, event_id uuid, record_id text, changes jsonb, primary key (account_id, event_id));
    create table bare.current_state (account_id text, record_id text, version bigint, state jsonb,
        primary key (account_id, record_id)) with (fillfactor = 70);
    create table bare.outbox (id bigint generated always as identity primary key, topic text, ordering_key text, payload bytea)";

/// Processor time of a process so far, in microseconds (a tick is ten milliseconds: sum over many batches).
fn cpu_micros(pid: &str) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    after_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10_000
}

impl World {
    /// Processor time per event of a kind of batch, ours and Postgres', which a busy machine does not change much.
    fn report(&mut self, what: &str, batch: fn(&mut Self) -> Duration, between: fn(&mut Self)) {
        const ROUNDS: usize = 40;
        let (mut ours, mut theirs) = (0, 0);
        for _ in 0..ROUNDS {
            let pids = self.backends();
            let postgres = |pids: &[String]| pids.iter().map(|pid| cpu_micros(pid)).sum::<u64>();
            let (us, them) = (cpu_micros("self"), postgres(&pids));
            batch(self);
            ours += cpu_micros("self") - us;
            theirs += postgres(&pids) - them;
            between(self);
        }
        let per_event = |micros: u64| micros as f64 / (ROUNDS * BATCH) as f64;
        println!("{what}: {:.1} us of ours, {:.1} us of Postgres' per event", per_event(ours), per_event(theirs));
    }

    fn backends(&self) -> Vec<String> {
        let pids: Vec<i32> = self.runtime.block_on(async {
            sqlx::query_scalar("select pid from pg_stat_activity where application_name = 'store-bench'")
                .fetch_all(self.records.pool())
                .await
                .expect("the backends are listed")
        });
        pids.iter().map(ToString::to_string).collect()
    }
}

fn batches(criterion: &mut Criterion) {
    let mut world = World::new();
    world.runtime.block_on(async {
        sqlx::raw_sql(BARE).execute(world.records.pool()).await.expect("the bare tables are made");
    });
    world.report("intake", World::intake, |world| {
        world.merge();
    });
    world.intake();
    world.report("merge", World::merge, |world| {
        world.intake();
    });
    world.merge();
    world.report("bare", World::bare, |_| {});
    let mut group = criterion.benchmark_group("batch_of_500");
    group.throughput(Throughput::Elements(BATCH as u64));
    group.sample_size(20);
    group.bench_function("intake", |bench| {
        bench.iter_custom(|rounds| {
            let mut spent = Duration::ZERO;
            for _ in 0..rounds {
                spent += world.intake();
                world.merge();
            }
            spent
        });
    });
    group.bench_function("merge", |bench| {
        bench.iter_custom(|rounds| {
            let mut spent = Duration::ZERO;
            for _ in 0..rounds {
                world.intake();
                spent += world.merge();
            }
            spent
        });
    });
    group.bench_function("bare", |bench| bench.iter_custom(|rounds| (0..rounds).map(|_| world.bare()).sum()));
    group.finish();
}

criterion_group!(benches, batches);
criterion_main!(benches);

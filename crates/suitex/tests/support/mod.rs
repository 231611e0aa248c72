//! A tenant of its own for every test: the sample application in a fresh database.

pub(crate) mod replay;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::spec::{TypeSpec, World};
use model::{
    AccountId, Clock, Fields, Line, LineIds, Lines, NativeId, Observed, ReadRequest, RecordType, Remote, Rid,
    SystemClock, Value, WriteId, WriteKind, WriteOutcome, WriteRequest,
};
use sqlx::PgPool;
use suitex::SuitexRemote;
use uuid::Uuid;

pub(crate) struct Tenant {
    pub(crate) db: pgtest::TestDb,
    pub(crate) pool: PgPool,
    pub(crate) remote: SuitexRemote,
    pub(crate) account: AccountId,
    pub(crate) world: World,
}

/// The sample application with capture installed.
pub(crate) async fn tenant() -> Tenant {
    let tenant = bare_tenant().await;
    suitex::install_capture(&tenant.pool, &tenant.world).await.unwrap();
    tenant
}

/// The sample application without triggers on its mapped tables.
pub(crate) async fn bare_tenant() -> Tenant {
    let db = pgtest::empty().await;
    let pool = db.pool(16).await;
    suitex::install_sample(&pool).await.unwrap();
    let account = AccountId::parse("TSTDRV100001").unwrap();
    let remote = remote_on(&account, pool.clone());
    Tenant { db, pool, remote, account, world: World::sample() }
}

pub(crate) fn remote_on(account: &AccountId, pool: PgPool) -> SuitexRemote {
    SuitexRemote::new(BTreeMap::from([(account.clone(), pool)]), Arc::new(SystemClock))
}

pub(crate) fn rid(n: u128) -> Rid {
    Rid(Uuid::from_u128(n))
}

pub(crate) fn text(text: &str) -> Value {
    Value::text(text)
}

pub(crate) fn fields<const N: usize>(fields: [(&str, Value); N]) -> Fields {
    fields.map(|(name, value)| (name.to_owned(), value)).into()
}

pub(crate) fn native(id: impl ToString) -> NativeId {
    NativeId::parse(&id.to_string()).unwrap()
}

/// A write of this kind with nothing in it; the test fills in what it is about.
pub(crate) fn write(n: u128, kind: WriteKind) -> WriteRequest {
    WriteRequest {
        write_id: Uuid::from_u128(n << 64),
        rid: rid(n),
        kind,
        native_id: None,
        generation: 1,
        stamp: 1,
        expect: 0,
        token: None,
        changes: Fields::new(),
        pre: Fields::new(),
        line_ids: LineIds::new(),
        note: 0,
        deadline: SystemClock.now() + Duration::from_secs(60),
    }
}

pub(crate) fn want(n: u128, id: Option<NativeId>, unresolved: Vec<WriteId>) -> ReadRequest {
    ReadRequest { rid: rid(n), native_id: id, generation: 1, unresolved, note: 0 }
}

impl Tenant {
    pub(crate) fn spec(&self, name: &str) -> &TypeSpec {
        self.world.get(&RecordType::parse(name).unwrap()).unwrap()
    }

    pub(crate) async fn write(&self, name: &str, request: &WriteRequest) -> WriteOutcome {
        let mut outcomes = self.remote.write(&self.account, self.spec(name), std::slice::from_ref(request)).await;
        assert_eq!(outcomes.len(), 1);
        outcomes.remove(0)
    }

    pub(crate) async fn read(&self, name: &str, want: &ReadRequest) -> Observed {
        let mut answers = self.remote.read(&self.account, self.spec(name), std::slice::from_ref(want)).await;
        assert_eq!(answers.len(), 1);
        answers.remove(0).unwrap()
    }

    /// Runs plain SQL, as any user of the application might.
    pub(crate) async fn sql(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&self.pool).await.unwrap();
    }

    pub(crate) async fn one<T>(&self, sql: &'static str) -> T
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
        (T,): for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>,
    {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }
}

/// The parts of an `Ok` outcome.
pub(crate) struct Landed {
    pub(crate) id: NativeId,
    pub(crate) token: Option<i64>,
    pub(crate) line_ids: LineIds,
    pub(crate) observed: Observed,
}

pub(crate) fn landed(outcome: WriteOutcome) -> Landed {
    match outcome {
        WriteOutcome::Ok { native_id, token, line_ids, observed, .. } => {
            Landed { id: native_id, token, line_ids, observed: *observed.expect("the record was read back") }
        }
        other => panic!("expected Ok, got {other:?}"),
    }
}

pub(crate) fn lines<const N: usize>(lines: [(&str, Line); N]) -> Value {
    Value::Lines(lines.map(|(key, line)| (key.to_owned(), line)).into_iter().collect::<Lines>())
}

pub(crate) fn line_ids<const N: usize>(ids: [(&str, &str); N]) -> LineIds {
    let ids = ids.map(|(key, id)| (key.to_owned(), id.to_owned())).into();
    [("lines".to_owned(), ids)].into()
}

pub(crate) async fn outbox_count(tenant: &Tenant) -> i64 {
    tenant.one("select count(*) from concord.outbox_events").await
}

/// A customer that exists: its id is 1, its version 1.
pub(crate) async fn with_customer() -> Tenant {
    let tenant = tenant().await;
    tenant.sql("insert into app.customers (company_name, email) values ('Acme', 'a@b.example')").await;
    tenant
}

/// An order that exists, with three lines: its id is 1, its version 2, the lines' ids are 1 to 3.
pub(crate) async fn with_order() -> Tenant {
    let tenant = with_customer().await;
    tenant.sql("insert into app.items (item_id) values ('A'), ('B')").await;
    tenant.sql("insert into app.sales_orders (customer_id, memo) values (1, 'm')").await;
    tenant
        .sql("insert into app.sales_order_lines (sales_order_id, item_id, quantity, rate) select 1, 1, g, 9.5 from generate_series(1, 3) g")
        .await;
    tenant
}

pub(crate) fn update(n: u128, token: i64) -> WriteRequest {
    WriteRequest { native_id: Some(native(1)), token: Some(token), ..write(n, WriteKind::Update) }
}

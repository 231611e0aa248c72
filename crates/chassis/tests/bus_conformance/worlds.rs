//! The three brokers, each with what a test must be able to do to it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chassis::bus::Bus;
use chassis::bus::memory::MemoryBus;
use chassis::bus::postgres::{PostgresBus, PostgresBusLimits};
use chassis::bus::pubsub::PubSubBus;
use chassis::settings::PubSubSettings;
use pgtest::TestDb;
use sqlx::PgPool;

use crate::emulator::Emulator;

/// A broker under test.
#[async_trait]
pub(crate) trait World: Send + Sync {
    fn bus(&self) -> Arc<dyn Bus>;

    /// True when a message that is settled in order is never delivered twice.
    fn exactly_once_when_calm(&self) -> bool;

    /// Takes the broker away.
    async fn break_broker(&self);

    /// Brings it back (perhaps having forgotten everything).
    async fn mend_broker(&self);

    /// True when messages survive the broker's absence.
    fn survives_absence(&self) -> bool;

    /// Lets the leases of subscribers that are gone run out.
    async fn expire_leases(&self);
}

pub(crate) struct MemoryWorld(MemoryBus);

impl MemoryWorld {
    pub(crate) fn new() -> Self {
        Self(MemoryBus::new())
    }
}

#[async_trait]
impl World for MemoryWorld {
    fn bus(&self) -> Arc<dyn Bus> {
        Arc::new(self.0.clone())
    }

    fn exactly_once_when_calm(&self) -> bool {
        true
    }

    async fn break_broker(&self) {
        self.0.set_broken(true);
    }

    async fn mend_broker(&self) {
        self.0.set_broken(false);
    }

    fn survives_absence(&self) -> bool {
        true
    }

    async fn expire_leases(&self) {
        self.0.expire_leases();
    }
}

pub(crate) struct PostgresWorld {
    bus: PostgresBus,
    pool: PgPool,
    _db: TestDb,
}

impl PostgresWorld {
    pub(crate) async fn new() -> Self {
        let db = pgtest::database().await;
        let pool = db.pool(8).await;
        // A long poll, so that a lost wake-up fails a test instead of hiding behind it; a short lease, so that waiting
        // for one to run out is short as well.
        let limits = PostgresBusLimits {
            lease: Duration::from_secs(3),
            poll: Duration::from_secs(60),
            ..PostgresBusLimits::default()
        };
        Self { bus: PostgresBus::new(pool.clone(), limits), pool, _db: db }
    }

    async fn execute(&self, statement: &'static str) {
        sqlx::raw_sql(statement).execute(&self.pool).await.expect("the statement is right");
    }
}

#[async_trait]
impl World for PostgresWorld {
    fn bus(&self) -> Arc<dyn Bus> {
        Arc::new(self.bus.clone())
    }

    fn exactly_once_when_calm(&self) -> bool {
        true
    }

    async fn break_broker(&self) {
        self.execute("alter table bus.messages rename to messages_away").await;
    }

    async fn mend_broker(&self) {
        self.execute("alter table bus.messages_away rename to messages").await;
    }

    fn survives_absence(&self) -> bool {
        true
    }

    async fn expire_leases(&self) {
        // The lease itself is the fact awaited: once it is over, a ring makes subscribers look.
        loop {
            let live: bool = sqlx::query_scalar("select exists (select from bus.lanes where leased_until > now())")
                .fetch_one(&self.pool)
                .await
                .expect("the table is there");
            if !live {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.execute("select pg_notify('concord_bus', '')").await;
    }
}

pub(crate) struct PubSubWorld {
    emulator: Emulator,
    bus: PubSubBus,
}

impl PubSubWorld {
    pub(crate) async fn new(ordered: bool) -> Option<Self> {
        let emulator = Emulator::start_if_installed().await?;
        let emulator_host = Some(emulator.host().to_owned());
        let settings = PubSubSettings { project: "conformance".into(), emulator_host, ordered };
        let bus = PubSubBus::connect(&settings).await.expect("clients are built without a connection");
        Some(Self { emulator, bus })
    }
}

#[async_trait]
impl World for PubSubWorld {
    fn bus(&self) -> Arc<dyn Bus> {
        Arc::new(self.bus.clone())
    }

    fn exactly_once_when_calm(&self) -> bool {
        false
    }

    async fn break_broker(&self) {
        self.emulator.kill().await;
    }

    async fn mend_broker(&self) {
        self.emulator.restart().await;
    }

    fn survives_absence(&self) -> bool {
        false // the emulator keeps everything in memory
    }

    async fn expire_leases(&self) {}
}

//! Parts of a service for tests: a fresh database, the in-memory bus, the system's clock.

use std::sync::Arc;

use chassis::Parts;
use chassis::accounts::Accounts;
use chassis::bus::Bus;
use chassis::bus::memory::MemoryBus;
use chassis::health::{Health, Routes};
use chassis::settings::{CoreSettings, Settings};
use model::{RandomIds, SystemClock};
use pgtest::TestDb;
use tokio_util::sync::CancellationToken;

/// What a test needs to hold.
pub(crate) struct World {
    pub(crate) parts: Parts,
    #[allow(dead_code)] // not every test that shares these parts looks at the bus
    pub(crate) bus: MemoryBus,
    _db: TestDb,
}

/// A world with Concord's topology on its bus.
pub(crate) async fn world() -> World {
    let db = pgtest::database().await;
    let settings = Settings::from_pairs([("DATABASE_URL", db.url.as_str()), ("CONCORD_HTTP", "127.0.0.1:9")]);
    let core = CoreSettings::from_settings(&settings).unwrap();
    let bus = MemoryBus::new();
    bus.ensure(&core.topics.topology()).await.unwrap();
    let health = Health::new();
    health.started();
    let parts = Parts {
        name: "test",
        core: Arc::new(core),
        accounts: Arc::new(Accounts::default()),
        pool: db.pool(5).await,
        bus: Arc::new(bus.clone()),
        clock: Arc::new(SystemClock),
        ids: Arc::new(RandomIds),
        health,
        routes: Routes::default(),
        shutdown: CancellationToken::new(),
    };
    World { parts, bus, _db: db }
}

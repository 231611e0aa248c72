//! A service on its stage: Concord's database fresh and private, the in-memory bus, the system's clock. The very `start`
//! of the service runs here; nothing of it is replaced.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use chassis::Parts;
use chassis::accounts::{AccountSettings, Accounts, NetsuiteAuth, NetsuiteSettings, Scripts, TbaSettings};
use chassis::bus::memory::MemoryBus;
use chassis::bus::{Bus, Message, SubscriptionSpec, lane};
use chassis::health::{Health, Routes};
use chassis::settings::{CoreSettings, Settings, Topics};
use model::{AccountId, RandomIds, SystemClock};
use pgtest::TestDb;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

/// The account of most tests.
pub(crate) const ACCOUNT: &str = "TSTDRV100001";
/// Longest wait for a fact.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);
/// From one look for a fact to the next.
const GLANCE: Duration = Duration::from_millis(10);

/// Settings that shorten every wait a test would sit through.
const QUICK: &[(&str, &str)] = &[
    ("CONCORD_HTTP", "127.0.0.1:9"),
    ("COALESCE_WINDOW_MS", "0"),
    ("COALESCE_IDLE_MS", "0"),
    ("RELAY_POLL_SECONDS", "0.05"),
    ("POLL_INTERVAL_SECONDS", "0.1"),
    ("RECONCILE_INTERVAL_SECONDS", "0.5"),
    ("RECONCILE_CONFIRM_SECONDS", "1"),
    ("WRITE_DEADLINE_SECONDS", "4"),
    ("WRITE_TIMEOUT_SECONDS", "2"),
];

/// The stage.
pub(crate) struct Stage {
    pub(crate) settings: Settings,
    pub(crate) pool: PgPool,
    pub(crate) bus: MemoryBus,
    pub(crate) topics: Topics,
    core: Arc<CoreSettings>,
    accounts: Arc<Accounts>,
    _db: TestDb,
}

/// A service that runs.
pub(crate) struct Running {
    pub(crate) parts: Parts,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Stage {
    pub(crate) async fn new(accounts: impl IntoIterator<Item = AccountSettings>) -> Self {
        Self::with(accounts, &[]).await
    }

    /// With these settings beside the quick ones.
    pub(crate) async fn with(accounts: impl IntoIterator<Item = AccountSettings>, extra: &[(&str, &str)]) -> Self {
        let db = pgtest::database().await;
        let pairs = QUICK.iter().chain(extra).copied().chain([("DATABASE_URL", db.url.as_str())]);
        let settings = Settings::from_pairs(pairs);
        let core = CoreSettings::from_settings(&settings).unwrap();
        let bus = MemoryBus::new();
        bus.ensure(&core.topics.topology()).await.unwrap();
        Self {
            settings,
            pool: db.pool(8).await,
            bus,
            topics: core.topics.clone(),
            core: Arc::new(core),
            accounts: Arc::new(accounts.into_iter().collect()),
            _db: db,
        }
    }

    /// The parts of one more process.
    pub(crate) fn parts(&self, name: &'static str) -> Parts {
        let health = Health::new();
        health.started();
        Parts {
            name,
            core: self.core.clone(),
            accounts: self.accounts.clone(),
            pool: self.pool.clone(),
            bus: Arc::new(self.bus.clone()),
            clock: Arc::new(SystemClock),
            ids: Arc::new(RandomIds),
            health,
            routes: Routes::default(),
            shutdown: CancellationToken::new(),
        }
    }

    /// Runs a service.
    pub(crate) fn run<F>(&self, name: &'static str, start: impl FnOnce(Parts) -> F) -> Running
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let parts = self.parts(name);
        Running { task: tokio::spawn(start(parts.clone())), parts }
    }

    /// Publishes one message as any team might.
    pub(crate) async fn publish(&self, topic: &str, data: impl Into<Vec<u8>>, attributes: BTreeMap<String, String>) {
        let ordering_key = attributes.get("record_key").map(|key| lane(key, self.topics.lanes));
        let message = Message { data: data.into().into(), attributes, ordering_key };
        for outcome in self.bus.publish(topic, vec![message]).await {
            outcome.unwrap();
        }
    }

    /// Waits until so many messages have come to a subscription nobody else reads, and takes them.
    pub(crate) async fn take(&self, spec: SubscriptionSpec, count: usize) -> Vec<Message> {
        let subscription = self.bus.subscribe(spec.clone()).await.unwrap();
        let mut taken: Vec<Message> = Vec::new();
        let all = async {
            while taken.len() < count {
                let batch = subscription.next_batch(100, PATIENCE).await.unwrap();
                subscription.ack(batch.iter().map(|delivery| delivery.token).collect()).await.unwrap();
                taken.extend(batch.into_iter().map(|delivery| delivery.message));
            }
        };
        let came = tokio::time::timeout(PATIENCE, all).await;
        assert!(came.is_ok(), "{} of {count} messages came to {}", taken.len(), spec.name);
        taken
    }

    /// One value of Concord's database.
    pub(crate) async fn one<T>(&self, sql: &'static str) -> T
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
        (T,): for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>,
    {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    /// Waits until a statement answers true.
    pub(crate) async fn until(&self, sql: &'static str) {
        until(sql, async || self.one::<Option<bool>>(sql).await == Some(true)).await;
    }
}

impl Running {
    /// Tells it to stop and waits for its end.
    pub(crate) async fn end(self) {
        self.parts.shutdown.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.task).await.expect("the service ends when it is told to");
        ended.expect("the service does not panic").expect("the service ends well");
    }
}

/// Waits for a fact.
pub(crate) async fn until(fact: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(GLANCE).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "this did not come true: {fact}");
}

/// Settings of an account whose NetSuite is there and whose tenant is that.
pub(crate) fn account(id: &str, netsuite_url: &str, tenant_url: Option<&str>) -> AccountSettings {
    AccountSettings {
        id: AccountId::parse(id).unwrap(),
        suspended: false,
        netsuite: NetsuiteSettings {
            rest_url: netsuite_url.to_owned(),
            restlet_url: format!("{netsuite_url}/app/site/hosting/restlet.nl"),
            token_url: format!("{netsuite_url}/services/rest/auth/oauth2/v1/token"),
            auth: NetsuiteAuth::Tba(TbaSettings {
                realm: id.to_owned(),
                consumer_key: "ck".to_owned(),
                consumer_secret: "cs".into(),
                token_id: "tk".to_owned(),
                token_secret: "ts".into(),
            }),
            scripts: Scripts::default(),
            concurrency_limit: 5,
            integration_user: None,
        },
        suitex_database_url: tenant_url.map(Into::into),
        ingest_secrets: Vec::new(),
    }
}

/// An address where nobody answers.
pub(crate) const NOBODY: &str = "http://127.0.0.1:9";

/// Attributes from pairs.
pub(crate) fn attributes<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

//! A stage with both sides on it, and the reconciler between them.

use std::sync::Arc;

use crate::given::{Core, account_id};
use crate::simulator::Simulator;
use crate::stage::{ACCOUNT, Running, Stage, account, until};
use crate::tenant::Tenant;
use model::{Clock, Ids, RandomIds, RecordType, Rid, SystemClock};
use netsuite::{NetsuiteConfig, NetsuiteRemote};
use reconciler::{Config, start};
use serde_json::Value;
use store::resyncs::{self, Asked};
use suitex::SuitexRemote;
use uuid::Uuid;

/// Both sides, Concord's database, and a core that speaks to both for real.
pub struct World {
    pub stage: Stage,
    pub simulator: Simulator,
    pub tenant: Tenant,
    pub core: Core,
}

impl World {
    pub async fn with(settings: &[(&str, &str)]) -> Self {
        let (simulator, tenant) = (Simulator::start().await, Tenant::new().await);
        let both = || account(ACCOUNT, &simulator.url(), Some(tenant.url()));
        let stage = Stage::with([both()], settings).await;
        let mut core = Core::on(&stage);
        let netsuite = NetsuiteConfig::from(&both());
        core.engine.remotes.netsuite =
            Arc::new(NetsuiteRemote::open(&[netsuite], Arc::new(SystemClock), Arc::new(RandomIds)).unwrap());
        core.engine.remotes.suitex = Arc::new(SuitexRemote::open([&both()], 2, Arc::new(SystemClock)).unwrap());
        Self { stage, simulator, tenant, core }
    }

    pub fn run(&self) -> Running {
        let config = Config::from_settings(&self.stage.settings).unwrap();
        self.stage.run("reconciler", |parts| start(parts, config))
    }

    /// Asks for records of a type to be looked at again (or for a plan) and waits for the end.
    pub async fn ask(&self, record_type: &RecordType, plan: bool, rids: Option<Vec<Rid>>) -> (Uuid, Value) {
        let (resync_id, account, at) = (RandomIds.uuid(), account_id(), SystemClock.now());
        let asked = Asked { resync_id, account: &account, record_type, plan, rids, by: "jo", at };
        resyncs::ask(&self.stage.pool, &asked).await.unwrap();
        (resync_id, self.ended(resync_id, &["done", "ready", "failed"]).await)
    }

    pub async fn ended(&self, id: Uuid, words: &[&str]) -> Value {
        let mut found = Value::Null;
        until("the request ends", async || {
            found = resyncs::get(&self.stage.pool, id).await.unwrap().unwrap();
            words.contains(&found["status"].as_str().unwrap())
        })
        .await;
        found
    }
}

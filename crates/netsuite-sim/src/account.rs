//! One simulated account: its records, logins, slots, faults and counters.

use std::path::Path;
use std::sync::Arc;

use crate::auth::{AuditTrail, Mapping, Tba};
use crate::clock::Clock;
use crate::config::AccountConfig;
use crate::faults::Faults;
use crate::ledger::Ledger;
use crate::pool::Pool;
use crate::rest::Jobs;
use crate::server::StartError;
use crate::ue::{self, Courier};
use crate::world::{Site, World};

/// One simulated account.
pub(crate) struct Account {
    pub(crate) config: AccountConfig,
    pub(crate) world: World,
    pub(crate) tba: Option<Tba>,
    pub(crate) mapping: Option<Mapping>,
    pub(crate) audit: AuditTrail,
    pub(crate) pool: Pool,
    pub(crate) faults: Faults,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) jobs: Jobs,
}

impl Account {
    /// Opens the account's world; the courier has to be run for scripts to post.
    ///
    /// # Errors
    /// A setting that is not accepted, or a file that cannot be opened.
    pub(crate) fn open(
        config: AccountConfig,
        data_dir: &Path,
        clock: Arc<Clock>,
    ) -> Result<(Self, Option<Courier>), StartError> {
        let (zone, date_format, initial) = config.checked()?;
        let fault = |source| StartError::Key { account: config.account_id.clone(), source };
        let mapping = config.oauth2.as_ref().map(Mapping::load).transpose().map_err(fault)?;
        let ledger = Arc::new(Ledger::default());
        let scripts = config
            .ingest
            .as_ref()
            .map(|ingest| ue::scripts(&config.account_id, ingest, ledger.clone()))
            .transpose()
            .map_err(|source| StartError::Scripts { account: config.account_id.clone(), source })?;
        let (outlet, courier) = scripts.unzip();
        let path = data_dir.join(format!("{}.sqlite3", config.realm()));
        let world = World::open(Site { path, zone, date_format, clock, outlet, initial })
            .map_err(|source| StartError::World { account: config.account_id.clone(), source: Box::new(source) })?;
        let account = Self {
            world,
            tba: config.tba.clone().map(Tba::new),
            mapping,
            audit: AuditTrail::default(),
            pool: Pool::new(config.concurrency_limit),
            faults: Faults::default(),
            ledger,
            jobs: Jobs::default(),
            config,
        };
        account.apply_limit();
        Ok((account, courier))
    }

    /// Gives the pool the size that the settings or else the configuration say.
    pub(crate) fn apply_limit(&self) {
        let settings = self.world.settings();
        let tier = settings.tier.or(self.config.tier);
        let limit = tier.map(|tier| tier.concurrency(settings.suitecloud_plus));
        self.pool.resize(limit.unwrap_or(self.config.concurrency_limit));
    }
}

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
use crate::script::Scripts;
use crate::server::StartError;
use crate::world::{Edit, Saved, Site, World, WorldError};

/// One simulated account.
pub(crate) struct Account {
    pub(crate) config: AccountConfig,
    pub(crate) world: Arc<World>,
    pub(crate) scripts: Arc<Scripts>,
    pub(crate) tba: Option<Tba>,
    pub(crate) mapping: Option<Mapping>,
    pub(crate) audit: AuditTrail,
    pub(crate) pool: Pool,
    pub(crate) faults: Faults,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) jobs: Jobs,
}

impl Account {
    /// Opens the account's world and deploys its scripts.
    ///
    /// # Errors
    /// A setting that is not accepted, or a file that cannot be opened.
    pub(crate) fn open(config: AccountConfig, data_dir: &Path, clock: Arc<Clock>) -> Result<Self, StartError> {
        let (zone, date_format, initial) = config.checked()?;
        let fault = |source| StartError::Key { account: config.account_id.clone(), source };
        let mapping = config.oauth2.as_ref().map(Mapping::load).transpose().map_err(fault)?;
        let ledger = Arc::new(Ledger::default());
        let path = data_dir.join(format!("{}.sqlite3", config.realm()));
        let world = World::open(Site { path, zone, date_format, clock, initial })
            .map_err(|source| StartError::World { account: config.account_id.clone(), source: Box::new(source) })?;
        let world = Arc::new(world);
        let scripts = Scripts::open(&config, world.clone(), ledger.clone(), tokio::runtime::Handle::current())
            .map_err(|source| StartError::Scripts { account: config.account_id.clone(), source: Box::new(source) })?;
        let account = Self {
            world,
            scripts,
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
        Ok(account)
    }

    /// Carries out a user's edit with the scripts before and after it.
    ///
    /// # Errors
    /// What the edit or a script before it is refused for.
    pub(crate) fn edit(&self, mut edit: Edit) -> Result<Saved, WorldError> {
        if edit.scripts {
            let kind = edit.kind();
            for (position, value) in
                self.scripts.before_submit(&edit.author(), |saving| edit.carry_out(saving, None))?
            {
                edit.changes.insert(kind.fields[position].name.to_owned(), value.to_json());
            }
        }
        let (saved, scripted) = self.world.edit(&edit)?;
        self.scripts.after_submit(&scripted);
        Ok(saved)
    }

    /// Makes visible what is due, and runs the scripts of what has become visible.
    pub(crate) fn settle(&self) -> Result<(), WorldError> {
        self.world.settle()?;
        self.scripts.after_submit(&self.world.take_late());
        Ok(())
    }

    /// Gives the pool the size that the settings or else the configuration say.
    pub(crate) fn apply_limit(&self) {
        let settings = self.world.settings();
        let tier = settings.tier.or(self.config.tier);
        let limit = tier.map(|tier| tier.concurrency(settings.suitecloud_plus));
        self.pool.resize(limit.unwrap_or(self.config.concurrency_limit));
    }
}

//! A change of normalisation rules is rolled out (semantics §2.1): at the start, page by page through the records of each
//! type, until all that is known is in the form of this process's rules.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use chassis::Parts;
use chassis::duty::{Duty, Turn};
use model::spec::TypeSpec;
use model::{AccountId, RecordRef, SumHash};
use steps::{Engine, renormalise};
use store::forms::{self, Page};

use crate::config::Config;

/// The rollouts of one account.
pub(crate) struct Forms {
    pub(crate) account: AccountId,
    pub(crate) engine: Engine,
    pub(crate) parts: Parts,
    pub(crate) config: Config,
    /// All types are through: the rules of a process do not change while it runs.
    pub(crate) through: AtomicBool,
}

#[async_trait]
impl Duty for Forms {
    async fn turn(&self) -> anyhow::Result<Turn> {
        if self.through.load(Ordering::Relaxed) {
            return Ok(Turn::default());
        }
        let world = self.engine.world.clone();
        for spec in &world.types {
            if self.page(spec).await? {
                return Ok(Turn { full: true, next_due: None });
            }
        }
        self.through.store(true, Ordering::Relaxed);
        Ok(Turn::default())
    }
}

impl Forms {
    /// Does the next page of a type. False: there is none.
    async fn page(&self, spec: &TypeSpec) -> anyhow::Result<bool> {
        let (pool, account, record_type) = (&self.parts.pool, &self.account, &spec.name);
        let form = form(spec);
        let now = self.engine.clock.now();
        let Some(from) = forms::place(pool, account, record_type, &form, now).await? else { return Ok(false) };
        let rids = store::sweeps::rids(pool, account, record_type, from, self.config.page).await?;
        let keys: Vec<RecordRef> = rids
            .iter()
            .map(|rid| RecordRef { account: account.clone(), record_type: record_type.clone(), rid: *rid })
            .collect();
        let done = renormalise(&self.engine.core(), &keys).await?;
        let page = Page {
            account,
            record_type,
            form: &form,
            from,
            last: rids.last().copied(),
            records: done.records,
            changed: done.changed,
            ends: rids.len() < self.config.page,
        };
        let stored = forms::advance(pool, &page, self.engine.clock.now()).await?;
        if done.changed > 0 {
            tracing::info!(%account, %record_type, records = done.changed, "{} records of {record_type} of {account} are in the form of today's rules now", done.changed);
        }
        if stored && page.ends {
            tracing::info!(%account, %record_type, "all {record_type} of {account} are in the form of today's rules");
        }
        Ok(true)
    }
}

/// The form of a type, short enough for a row.
fn form(spec: &TypeSpec) -> String {
    let mut hash = SumHash::default();
    hash.add_bytes(merge::form(spec).as_bytes());
    hash.to_string()
}

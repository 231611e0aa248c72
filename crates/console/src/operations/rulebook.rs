//! Which record types an entry of the log was folded under: by the number it carries, else today's (semantics §2.14).

use std::collections::BTreeMap;

use model::spec::{TypeSpec, World};
use model::{RecordType, RulesId};
use sqlx::PgExecutor;
use store::StoreError;
use store::rules;

/// Record types of today, and of every number.
#[derive(Debug, Clone)]
pub struct Rulebook {
    today: World,
    numbered: BTreeMap<RulesId, World>,
}

impl Rulebook {
    /// Reads what was ever used. Types this version cannot read are left out: their entries cannot be folded.
    ///
    /// # Errors
    /// The database.
    pub async fn read(executor: impl PgExecutor<'_>, today: &World) -> Result<Self, StoreError> {
        let all = rules::all(executor).await?;
        let numbered =
            all.into_iter().filter_map(|(number, rules)| Some((number, World::parse(&rules.types).ok()?))).collect();
        Ok(Self { today: today.clone(), numbered })
    }

    /// The type as it was when an entry with this number was folded; without a number as it is today.
    pub fn spec(&self, rules: Option<RulesId>, record_type: &RecordType) -> Option<&TypeSpec> {
        match rules {
            Some(number) => self.numbered.get(&number)?.get(record_type),
            None => self.today.get(record_type),
        }
    }
}

//! `sync.rules`: what entries of the log were folded under. A number for each set of record types and version of
//! normalisation, so that a log is folded anew under the rules of its time (semantics §2.14).

use std::collections::BTreeMap;

use model::RulesId;
use sha2::{Digest, Sha256};
use sqlx::{PgExecutor, Row};

use crate::StoreError;

/// A set of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Record types as in `CONCORD_TYPES`.
    pub types: String,
    /// Version of normalisation.
    pub normalisation: u32,
}

impl Rules {
    fn hash(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.normalisation.to_be_bytes());
        hash.update(&self.types);
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The number of these rules, a new one where nobody used them before.
///
/// # Errors
/// The database.
pub async fn register(executor: impl PgExecutor<'_>, rules: &Rules) -> Result<RulesId, StoreError> {
    // The update changes nothing; it makes the row of an earlier process visible to `returning`.
    sqlx::query_scalar(
        "insert into sync.rules (hash, types, normalisation) values ($1, $2, $3)
         on conflict (hash) do update set hash = excluded.hash returning rules",
    )
    .bind(rules.hash())
    .bind(&rules.types)
    .bind(i32::try_from(rules.normalisation).unwrap_or(i32::MAX))
    .fetch_one(executor)
    .await
    .map(RulesId)
    .map_err(StoreError::database("register rules"))
}

/// All rules ever used.
///
/// # Errors
/// The database.
pub async fn all(executor: impl PgExecutor<'_>) -> Result<BTreeMap<RulesId, Rules>, StoreError> {
    let what = "read rules";
    let rows = sqlx::query("select rules, types, normalisation from sync.rules")
        .fetch_all(executor)
        .await
        .map_err(StoreError::database(what))?;
    rows.iter()
        .map(|row| {
            let normalisation: i32 = row.try_get("normalisation").map_err(StoreError::database(what))?;
            let rules = Rules {
                types: row.try_get("types").map_err(StoreError::database(what))?,
                normalisation: normalisation.unsigned_abs(),
            };
            Ok((RulesId(row.try_get("rules").map_err(StoreError::database(what))?), rules))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_same_rules_have_one_number_and_others_another() {
        let db = pgtest::database().await;
        let pool = db.pool(2).await;
        let rules = |types: &str, normalisation| Rules { types: types.to_owned(), normalisation };
        let first = register(&pool, &rules("[[type]]", 1)).await.expect("they are stored");
        assert_eq!(register(&pool, &rules("[[type]]", 1)).await.expect("they are known"), first);
        let policies = register(&pool, &rules("[[type]] # another policy", 1)).await.expect("they are stored");
        let normal = register(&pool, &rules("[[type]]", 2)).await.expect("they are stored");
        let all = all(&pool).await.expect("they are read");
        assert_eq!(all.keys().copied().collect::<Vec<_>>(), [first, policies, normal]);
        assert_eq!(all[&normal], rules("[[type]]", 2));
    }
}

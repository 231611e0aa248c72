//! The number of the rules a process folds under: entries of the log carry it, so that they can be folded anew under the
//! rules of their time (semantics §2.14).

use model::limits::Limits;
use store::rules::{Rules, register};

use crate::service::Parts;
use crate::{patience, sync};

/// The limits with the number of this process' rules, as long as it takes: nothing is folded under rules without a number.
/// `None` when told to stop meanwhile.
///
/// # Errors
/// The record types' file.
pub async fn numbered(parts: &Parts, limits: Limits) -> anyhow::Result<Option<Limits>> {
    let rules = Rules { types: sync::types(&parts.core)?, normalisation: merge::normal::VERSION };
    let meanwhile = "nothing is folded before the rules have a number";
    let number = patience::ask(parts, "number of the rules", meanwhile, || Box::pin(register(&parts.pool, &rules)));
    Ok(number.await.map(|number| Limits { rules: Some(number), ..limits }))
}

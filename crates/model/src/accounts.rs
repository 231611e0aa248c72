//! What Concord needs to know of an account while it works: nothing secret, that stays in `chassis::accounts`.

use crate::AccountId;

/// One tenant: a NetSuite account and the SuiteX database beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The account id, as on every key.
    pub id: AccountId,
    /// True while nothing may be written to either side.
    pub suspended: bool,
    /// NetSuite's documented concurrency limit for the account (fact sheet §6.1), in requests at once.
    pub concurrency_limit: u32,
}

//! The accounts this process serves: where their NetSuite and SuiteX are, and the secrets to reach them.
//!
//! Read from the TOML file named by `CONCORD_ACCOUNTS`; without one, a single account from the `NETSUITE_*` settings.
//! A secret in the file is a reference: `{ file = "…" }`, `{ env = "…" }` or, for a laptop, `{ value = "…" }`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use model::AccountId;
pub use model::accounts::{AccountSettings, NetsuiteAuth, NetsuiteSettings, OAuth2Settings, Scripts, TbaSettings};

use crate::settings::{SettingError, Settings};

mod file;
mod single;

/// All accounts, by id.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    by_id: BTreeMap<AccountId, Arc<AccountSettings>>,
}

impl Accounts {
    /// Reads the file named by `CONCORD_ACCOUNTS`, or the single account of the `NETSUITE_*` settings, or none.
    pub fn from_settings(settings: &Settings) -> Result<Self, SettingError> {
        match settings.path("CONCORD_ACCOUNTS") {
            Some(path) => file::read(settings, &path),
            None => Ok(single::read(settings)?.into_iter().collect()),
        }
    }

    /// Reads an accounts file from its text; paths of secrets are relative to `folder`.
    pub fn from_toml(settings: &Settings, text: &str, folder: &Path) -> Result<Self, SettingError> {
        file::parse(settings, text, folder)
    }

    /// Has each account looked at by whoever will connect to it, so that what cannot be used stops the process at once.
    ///
    /// # Errors
    /// The first refusal, under the setting that the accounts came from.
    pub fn check<E: std::fmt::Display>(
        settings: &Settings,
        check: impl Fn(&AccountSettings) -> Result<(), E>,
    ) -> Result<(), SettingError> {
        let name = if settings.text("CONCORD_ACCOUNTS").is_some() { "CONCORD_ACCOUNTS" } else { "NETSUITE_ACCOUNT" };
        let accepted = "accounts whose addresses, limits and credentials can be used".to_owned();
        for account in Self::from_settings(settings)?.iter() {
            check(account).map_err(|error| SettingError::Wrong {
                name: name.to_owned(),
                read: format!("one that cannot be used ({error})"),
                accepted: accepted.clone(),
            })?;
        }
        Ok(())
    }

    /// The account, if this process serves it.
    pub fn get(&self, id: &AccountId) -> Option<&Arc<AccountSettings>> {
        self.by_id.get(id)
    }

    /// All accounts in id order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<AccountSettings>> {
        self.by_id.values()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

impl FromIterator<AccountSettings> for Accounts {
    fn from_iter<I: IntoIterator<Item = AccountSettings>>(accounts: I) -> Self {
        Self { by_id: accounts.into_iter().map(|account| (account.id.clone(), Arc::new(account))).collect() }
    }
}

/// Drops a trailing `/services/rest` and slashes (contracts §11).
fn host_root(name: &str, url: &str) -> Result<String, SettingError> {
    let url = http_url(name, url)?;
    Ok(url.trim_end_matches('/').trim_end_matches("/services/rest").trim_end_matches('/').to_owned())
}

fn http_url<'u>(name: &str, url: &'u str) -> Result<&'u str, SettingError> {
    let parsed = reqwest::Url::parse(url).ok().filter(|u| matches!(u.scheme(), "http" | "https") && u.has_host());
    match parsed {
        Some(_) => Ok(url),
        None => Err(SettingError::wrong(name, url, "an http(s) URL")),
    }
}

/// NetSuite's smallest account-wide concurrency limit.
const DEFAULT_CONCURRENCY: u32 = 5;
/// More than any NetSuite account has.
const MAX_CONCURRENCY: u32 = 500;

/// The token endpoint beside a REST host.
fn default_token_url(rest_url: &str) -> String {
    format!("{rest_url}/services/rest/auth/oauth2/v1/token")
}

/// A RESTlet's URL without its query.
fn restlet_base(url: &str) -> String {
    url.split(['?', '#']).next().unwrap_or(url).to_owned()
}

#[cfg(test)]
mod tests;

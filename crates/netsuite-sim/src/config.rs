//! What the simulator is told at start: one TOML file, or this struct built by a test.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use serde::Deserialize;

use crate::format::DateFormat;
use crate::world::{Overlay, Tier};

/// Settings of one process. All accounts share one port.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to listen; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Folder of one SQLite file per account; created when missing.
    pub data_dir: PathBuf,
    /// The simulated accounts.
    #[serde(default)]
    pub accounts: Vec<AccountConfig>,
}

/// One simulated NetSuite account.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountConfig {
    /// Account id as NetSuite prints it, e.g. `TSTDRV100001` or `1234567_SB1`.
    pub account_id: String,
    /// IANA name of the company time zone.
    #[serde(default = "default_time_zone")]
    pub time_zone: String,
    /// Date format preference: `M/D/YYYY`, `D/M/YYYY`, `MM/DD/YYYY`, `DD/MM/YYYY`, `YYYY-MM-DD`, `D-Mon-YYYY`.
    #[serde(default = "default_date_format")]
    pub date_format: String,
    /// Service tier, which decides the concurrency limit instead of the next setting.
    #[serde(default)]
    pub tier: Option<Tier>,
    /// Requests that may run at once over REST and RESTlets together.
    #[serde(default = "default_concurrency_limit")]
    pub concurrency_limit: u32,
    /// Features that differ from those of a new account, e.g. `oneworld = false`.
    #[serde(default)]
    pub features: BTreeMap<String, bool>,
    /// Milliseconds added to every call that writes.
    #[serde(default)]
    pub write_latency_ms: u64,
    /// Milliseconds added to every call that reads.
    #[serde(default)]
    pub read_latency_ms: u64,
    /// OAuth 2.0 client credentials mapping, when the account has one.
    pub oauth2: Option<OAuth2Config>,
    /// Token based authentication, when the account has it.
    pub tba: Option<TbaConfig>,
    /// Where user-event envelopes go; none are posted without it.
    pub ingest: Option<IngestConfig>,
    /// The SuiteScripts of the account.
    #[serde(default)]
    pub scripts: ScriptsConfig,
}

/// A certificate mapping of "OAuth 2.0 Client Credentials (M2M) Setup".
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OAuth2Config {
    /// Client id of the integration record (`iss` of the assertion).
    pub client_id: String,
    /// Certificate id (`kid` of the assertion).
    pub certificate_id: String,
    /// PEM file with the public key (`BEGIN PUBLIC KEY`).
    pub public_key_path: PathBuf,
}

/// Consumer and token of one token based integration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TbaConfig {
    /// Consumer key of the integration record.
    pub consumer_key: String,
    /// Consumer secret.
    pub consumer_secret: Secret,
    /// Token id of the integration user.
    pub token_id: String,
    /// Token secret.
    pub token_secret: Secret,
}

/// The ingest relay that user-event scripts call.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngestConfig {
    /// Full URL of the account's events resource.
    pub url: String,
    /// Standard Webhooks secret, `whsec_…`.
    pub signing_secret: Secret,
}

/// How the account runs its SuiteScripts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScriptsConfig {
    /// Folder of an SDF project (`deploy.xml`, `FileCabinet`, `Objects`); without it Concord's own, which the program
    /// carries.
    pub folder: Option<PathBuf>,
    /// How saves are captured: `direct`, `outbox` or `off`. Without it `direct` where there is an ingest, else `off`.
    pub mode: Option<String>,
    /// Seconds between two runs of a scheduled deployment, instead of what its object says.
    pub flush_every_seconds: Option<u64>,
    /// How long a script's request may take; NetSuite's 45 seconds are more than a test wants to wait.
    pub request_timeout_ms: u64,
    /// How long a script's request may take to connect.
    pub connect_timeout_ms: u64,
    /// Script parameters by name, over those that follow from the settings above.
    pub parameters: BTreeMap<String, String>,
}

impl Default for ScriptsConfig {
    fn default() -> Self {
        Self {
            folder: None,
            mode: None,
            flush_every_seconds: None,
            request_timeout_ms: 45_000,
            connect_timeout_ms: 5_000,
            parameters: BTreeMap::new(),
        }
    }
}

/// A secret that never shows in debug output.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The secret itself, for signing and comparing.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A setting that stops the simulator at start.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("the configuration file {path} cannot be read")]
    Unreadable {
        /// Path as given.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is no configuration.
    #[error("the configuration file {path} is not understood: {source}")]
    Malformed {
        /// Path as given.
        path: PathBuf,
        /// What and where.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A value is outside what is accepted.
    #[error("account {account}: {field} is {read:?}, accepted is {accepted}")]
    Refused {
        /// The account it belongs to.
        account: String,
        /// The setting.
        field: &'static str,
        /// What was read.
        read: String,
        /// What would have been accepted.
        accepted: &'static str,
    },
}

impl Config {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// When the file cannot be read or holds anything but a [`Config`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        toml::from_str(&text)
            .map_err(|source| ConfigError::Malformed { path: path.to_owned(), source: Box::new(source) })
    }
}

impl AccountConfig {
    /// An account with the default preferences and no credentials, for tests to fill.
    pub fn named(account_id: &str) -> Self {
        Self {
            account_id: account_id.to_owned(),
            time_zone: default_time_zone(),
            date_format: default_date_format(),
            tier: None,
            concurrency_limit: default_concurrency_limit(),
            features: BTreeMap::new(),
            write_latency_ms: 0,
            read_latency_ms: 0,
            oauth2: None,
            tba: None,
            ingest: None,
            scripts: ScriptsConfig::default(),
        }
    }

    /// The realm spelling of the account id: upper case, underscores.
    pub fn realm(&self) -> String {
        self.account_id.trim().to_uppercase().replace('-', "_")
    }

    /// Checks the values that serde cannot.
    pub(crate) fn checked(&self) -> Result<(TimeZone, DateFormat, Overlay), ConfigError> {
        let refused = |field, read: &str, accepted| ConfigError::Refused {
            account: self.account_id.clone(),
            field,
            read: read.to_owned(),
            accepted,
        };
        let well_formed = self.account_id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        if self.account_id.is_empty() || !well_formed {
            return Err(refused("account_id", &self.account_id, "letters, digits, _ and -"));
        }
        let zone =
            TimeZone::get(&self.time_zone).map_err(|_| refused("time_zone", &self.time_zone, "an IANA zone name"))?;
        let format = DateFormat::named(&self.date_format)
            .ok_or_else(|| refused("date_format", &self.date_format, "M/D/YYYY and the other documented formats"))?;
        if self.concurrency_limit == 0 {
            return Err(refused("concurrency_limit", "0", "1 or more"));
        }
        if let Some(mode) = self.scripts.mode.as_deref().filter(|mode| !CAPTURE_MODES.contains(mode)) {
            return Err(refused("scripts.mode", mode, "direct, outbox and off"));
        }
        if self.scripts.flush_every_seconds == Some(0) {
            return Err(refused("scripts.flush_every_seconds", "0", "1 or more"));
        }
        let mut overlay = Overlay::default();
        overlay.switch(&self.features).map_err(|name| refused("features", &name, FEATURE_NAMES))?;
        Ok((zone, format, overlay))
    }
}

/// As [`crate::catalog::FEATURES`] has them.
const FEATURE_NAMES: &str = "advancedbom, bins, classes, departments, legacytax, locations, multibook, multicurrency, oneworld, \
    suitetax, unitsofmeasure";

const CAPTURE_MODES: [&str; 3] = ["direct", "outbox", "off"];

fn default_time_zone() -> String {
    "America/Los_Angeles".to_owned()
}

fn default_date_format() -> String {
    "M/D/YYYY".to_owned()
}

fn default_concurrency_limit() -> u32 {
    5
}

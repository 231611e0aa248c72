//! The settings every service shares.

use std::net::SocketAddr;
use std::path::PathBuf;

use secrecy::SecretString;

use super::{SettingError, Settings};
use crate::bus::lanes::{DEFAULT_LANES, MAX_LANES};
use crate::bus::{SubscriptionSpec, Topology};

const URL: &str = "a Postgres URL such as postgres://user@host:5432/concord";
const ADDRESS: &str = "an address to listen on, such as 127.0.0.1:9101 or 0.0.0.0:8080";
const EMULATOR: &str = "host and port of the Pub/Sub emulator, such as 127.0.0.1:8085";

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line (default).
    Json,
    /// For people.
    Text,
}

/// Which broker carries the messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BusSettings {
    /// Google Pub/Sub, or its emulator.
    PubSub(PubSubSettings),
    /// The embedded bus in `DATABASE_URL`.
    Postgres,
}

/// Where Pub/Sub is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PubSubSettings {
    /// `PUBSUB_PROJECT`, default `concord-dev` with an emulator.
    pub project: String,
    /// `PUBSUB_EMULATOR_HOST`: `host:port`, without scheme. None: Google's service with the default credentials.
    pub emulator_host: Option<String>,
    /// `PUBSUB_ORDERED`: the subscriptions that are created keep the order of a lane. Default: yes, but not with an
    /// emulator, whose ordered subscriptions hand nobody what a killed subscriber held (0.8.20).
    pub ordered: bool,
}

/// The broker's names of the four topics, and the number of lanes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    /// `PUBSUB_TOPIC_RAW`, default `events.raw`.
    pub raw: String,
    /// `PUBSUB_TOPIC_MERGED`, default `events.merged`.
    pub merged: String,
    /// `PUBSUB_TOPIC_ERROR`, default `events.error`.
    pub error: String,
    /// `PUBSUB_TOPIC_DLQ`, default `events.dlq`.
    pub dlq: String,
    /// `PUBSUB_ORDERING_LANES`, default 64; 0 makes the record key itself the ordering key.
    pub lanes: u16,
}

/// Logical names of the topics, as the outbox stores them.
pub mod topic {
    /// What producers report.
    pub const RAW: &str = "events.raw";
    /// What the merge rings for the writers.
    pub const MERGED: &str = "events.merged";
    /// What a retry or a person can mend.
    pub const ERROR: &str = "events.error";
    /// What nobody can.
    pub const DLQ: &str = "events.dlq";
}

impl Default for Topics {
    fn default() -> Self {
        Self {
            raw: topic::RAW.into(),
            merged: topic::MERGED.into(),
            error: topic::ERROR.into(),
            dlq: topic::DLQ.into(),
            lanes: DEFAULT_LANES,
        }
    }
}

impl Topics {
    /// Reads the `PUBSUB_TOPIC_*` names and the lanes.
    pub fn from_settings(settings: &Settings) -> Result<Self, SettingError> {
        let defaults = Self::default();
        let name = |name: &str, default: String| settings.text(name).map_or(default, str::to_owned);
        Ok(Self {
            raw: name("PUBSUB_TOPIC_RAW", defaults.raw),
            merged: name("PUBSUB_TOPIC_MERGED", defaults.merged),
            error: name("PUBSUB_TOPIC_ERROR", defaults.error),
            dlq: name("PUBSUB_TOPIC_DLQ", defaults.dlq),
            lanes: settings.number("PUBSUB_ORDERING_LANES", defaults.lanes, 0..=MAX_LANES)?,
        })
    }

    /// The broker's name of a logical topic; any other name stands for itself.
    pub fn name_of<'t>(&'t self, logical: &'t str) -> &'t str {
        match logical {
            topic::RAW => &self.raw,
            topic::MERGED => &self.merged,
            topic::ERROR => &self.error,
            topic::DLQ => &self.dlq,
            other => other,
        }
    }

    /// Every topic and subscription of Concord. Every service ensures all of it at start: a message published to a topic
    /// without its subscriptions would be lost.
    pub fn topology(&self) -> Topology {
        Topology {
            topics: vec![self.raw.clone(), self.merged.clone(), self.error.clone(), self.dlq.clone()],
            subscriptions: vec![
                self.merge_service(),
                self.netsuite_writer(),
                self.suitex_writer(),
                self.dlq_handler_errors(),
                self.dlq_handler_dead_letters(),
            ],
        }
    }

    /// merge-service's subscription to `events.raw`.
    pub fn merge_service(&self) -> SubscriptionSpec {
        SubscriptionSpec { max_outstanding: 4000, streams: 8, ..SubscriptionSpec::new("merge-service", &self.raw) }
    }

    /// netsuite-writer's subscription to `events.merged`.
    pub fn netsuite_writer(&self) -> SubscriptionSpec {
        SubscriptionSpec::new("netsuite-writer", &self.merged).filtered("target", "netsuite")
    }

    /// suitex-writer's subscription to `events.merged`.
    pub fn suitex_writer(&self) -> SubscriptionSpec {
        SubscriptionSpec::new("suitex-writer", &self.merged).filtered("target", "suitex")
    }

    /// dlq-handler's subscription to `events.error`.
    pub fn dlq_handler_errors(&self) -> SubscriptionSpec {
        SubscriptionSpec { streams: 1, ..SubscriptionSpec::new("dlq-handler-error", &self.error) }
    }

    /// dlq-handler's subscription to `events.dlq`.
    pub fn dlq_handler_dead_letters(&self) -> SubscriptionSpec {
        SubscriptionSpec { streams: 1, ..SubscriptionSpec::new("dlq-handler-dlq", &self.dlq) }
    }
}

/// What every service is told.
#[derive(Debug, Clone)]
pub struct CoreSettings {
    /// `DATABASE_URL`: Concord's own Postgres.
    pub database_url: SecretString,
    /// `DATABASE_POOL_SIZE`, default 8: most connections of this process.
    pub database_pool_size: u32,
    /// `CONCORD_HTTP`, required: where health, metrics and the service's own routes are served.
    pub http: SocketAddr,
    /// `CONCORD_BUS` (`pubsub` or `postgres`); default pubsub when `PUBSUB_PROJECT` or `PUBSUB_EMULATOR_HOST` is set.
    pub bus: BusSettings,
    /// Topic names and lanes.
    pub topics: Topics,
    /// `CONCORD_TYPES`: path of the record types' configuration; None means the built-in sample world.
    pub types: Option<PathBuf>,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`: where traces go; None means nowhere.
    pub otlp_endpoint: Option<String>,
    /// `CONCORD_REPLICA`, default 0: which of several processes of one service this is.
    pub replica: u32,
    /// `MAX_RETRY_ATTEMPTS`, default 5: attempts before a transient failure becomes an error-queue entry.
    pub max_retry_attempts: u32,
    /// `CONCORD_LOG` (`json` or `text`), default json.
    pub log_format: LogFormat,
    /// `RUST_LOG`, default `info`.
    pub log_filter: String,
}

impl CoreSettings {
    /// Reads the shared settings.
    pub fn from_settings(settings: &Settings) -> Result<Self, SettingError> {
        let database_url = settings.required_secret("DATABASE_URL", URL)?;
        check_database_url("DATABASE_URL", &database_url)?;
        let http = settings
            .parsed::<SocketAddr>("CONCORD_HTTP", ADDRESS)?
            .ok_or_else(|| SettingError::missing("CONCORD_HTTP", ADDRESS))?;
        let formats = [("json", LogFormat::Json), ("text", LogFormat::Text)];
        Ok(Self {
            database_url,
            database_pool_size: settings.number("DATABASE_POOL_SIZE", 8, 2..=500)?,
            http,
            bus: read_bus(settings)?,
            topics: Topics::from_settings(settings)?,
            types: settings.path("CONCORD_TYPES"),
            otlp_endpoint: read_otlp(settings)?,
            replica: settings.number("CONCORD_REPLICA", 0, 0..=9999)?,
            max_retry_attempts: settings.number("MAX_RETRY_ATTEMPTS", 5, 1..=100)?,
            log_format: settings.one_of("CONCORD_LOG", &formats, LogFormat::Json)?,
            log_filter: read_filter(settings)?,
        })
    }
}

/// Says whether a secret reads as a Postgres URL.
pub(crate) fn check_database_url(name: &str, url: &SecretString) -> Result<(), SettingError> {
    use secrecy::ExposeSecret;
    let text = url.expose_secret();
    let scheme = text.starts_with("postgres://") || text.starts_with("postgresql://");
    match scheme && text.parse::<sqlx::postgres::PgConnectOptions>().is_ok() {
        true => Ok(()),
        false => Err(SettingError::wrong_secret(name, text, URL)),
    }
}

fn read_bus(settings: &Settings) -> Result<BusSettings, SettingError> {
    const PROJECT: &str = "the Google Cloud project whose Pub/Sub is used, such as my-project-1";
    let emulator_host = settings.text("PUBSUB_EMULATOR_HOST").map(str::to_owned);
    if let Some(host) = &emulator_host
        && (host.contains("://") || !host.contains(':'))
    {
        return Err(SettingError::wrong("PUBSUB_EMULATOR_HOST", host, EMULATOR));
    }
    let ordered = settings.switch("PUBSUB_ORDERED", emulator_host.is_none())?;
    let project = settings.text("PUBSUB_PROJECT").map(str::to_owned);
    let configured = emulator_host.is_some() || project.is_some();
    if !settings.one_of("CONCORD_BUS", &[("pubsub", true), ("postgres", false)], configured)? {
        return Ok(BusSettings::Postgres);
    }
    let project = match (project, &emulator_host) {
        (Some(project), _) => project,
        (None, Some(_)) => "concord-dev".to_owned(),
        (None, None) => return Err(SettingError::missing("PUBSUB_PROJECT", PROJECT)),
    };
    if project.is_empty() || !project.bytes().all(|b| b.is_ascii_alphanumeric() || b"-:.".contains(&b)) {
        return Err(SettingError::wrong("PUBSUB_PROJECT", project, PROJECT));
    }
    Ok(BusSettings::PubSub(PubSubSettings { project, emulator_host, ordered }))
}

fn read_otlp(settings: &Settings) -> Result<Option<String>, SettingError> {
    const NAME: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    match settings.text(NAME) {
        Some(url) if url.starts_with("http://") || url.starts_with("https://") => Ok(Some(url.to_owned())),
        Some(other) => Err(SettingError::wrong(NAME, other, "an http(s) URL such as http://127.0.0.1:4317")),
        None => Ok(None),
    }
}

fn read_filter(settings: &Settings) -> Result<String, SettingError> {
    let filter = settings.text("RUST_LOG").unwrap_or("info");
    match tracing_subscriber::EnvFilter::try_new(filter) {
        Ok(_) => Ok(filter.to_owned()),
        Err(_) => Err(SettingError::wrong("RUST_LOG", filter, "a filter such as info or chassis=debug,info")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: [(&str, &str); 2] = [("DATABASE_URL", "postgres://c@127.0.0.1/c"), ("CONCORD_HTTP", "127.0.0.1:9101")];

    fn read(extra: &[(&str, &str)]) -> Result<CoreSettings, SettingError> {
        CoreSettings::from_settings(&Settings::from_pairs(BASE.into_iter().chain(extra.iter().copied())))
    }

    #[test]
    fn defaults_are_those_of_the_readme() {
        let core = read(&[]).unwrap();
        assert_eq!(core.bus, BusSettings::Postgres);
        assert_eq!(core.topics, Topics::default());
        assert_eq!((core.database_pool_size, core.max_retry_attempts, core.replica), (8, 5, 0));
        assert_eq!((core.log_format, core.log_filter.as_str()), (LogFormat::Json, "info"));
        assert!(core.otlp_endpoint.is_none() && core.types.is_none());
    }

    #[test]
    fn pubsub_is_chosen_where_it_is_configured_and_can_be_overruled() {
        let emulator = Some("127.0.0.1:8085".to_owned());
        let with = |project: &str, emulator_host: Option<String>| {
            let ordered = emulator_host.is_none();
            BusSettings::PubSub(PubSubSettings { project: project.into(), emulator_host, ordered })
        };
        assert_eq!(read(&[("PUBSUB_EMULATOR_HOST", "127.0.0.1:8085")]).unwrap().bus, with("concord-dev", emulator));
        assert_eq!(read(&[("PUBSUB_PROJECT", "prod-1")]).unwrap().bus, with("prod-1", None));
        assert_eq!(
            read(&[("PUBSUB_PROJECT", "prod-1"), ("CONCORD_BUS", "postgres")]).unwrap().bus,
            BusSettings::Postgres
        );
        let error = read(&[("CONCORD_BUS", "pubsub")]).unwrap_err().to_string();
        assert!(error.starts_with("PUBSUB_PROJECT is not set"), "{error}");
    }

    #[test]
    fn each_wrong_setting_is_named_and_no_password_shown() {
        let wrong = [
            ("DATABASE_URL", "mysql://root:hunter2@db/x"),
            ("CONCORD_HTTP", "localhost"),
            ("CONCORD_BUS", "kafka"),
            ("PUBSUB_EMULATOR_HOST", "http://127.0.0.1:1"),
            ("PUBSUB_ORDERING_LANES", "-1"),
            ("PUBSUB_ORDERED", "perhaps"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
            ("CONCORD_REPLICA", "one"),
            ("MAX_RETRY_ATTEMPTS", "0"),
            ("DATABASE_POOL_SIZE", "1"),
            ("CONCORD_LOG", "xml"),
            ("RUST_LOG", "chassis=loudly"),
        ];
        for (name, value) in wrong {
            let error = read(&[(name, value)]).expect_err(name).to_string();
            assert!(error.starts_with(name) && error.contains("accepted is"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn the_topology_has_a_reader_for_every_topic() {
        let topology = Topics::default().topology();
        for topic in &topology.topics {
            assert!(topology.subscriptions.iter().any(|s| s.topic == *topic), "nobody reads {topic}");
        }
    }
}

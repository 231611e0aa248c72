//! What a stack will consist of, decided before anything is started: accounts, ports, bus, replicas.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};

use super::identity::{self, Identity};
use super::manifest::{self, Manifest};
use super::ports::Ports;
use super::programs::{Emulator, Programs, SERVICES, SIMULATOR};
use super::state::StateDir;
use super::{BusChoice, Options};

const CONSOLE_PORT: u16 = 8080;
const INGEST_PORT: u16 = 8081;
const SIMULATOR_PORT: u16 = 8082;
const EMULATOR_PORT: u16 = 8085;
const FIRST_METRICS_PORT: u16 = 9101;
const POSTGRES_PORT: u16 = 54_320;
/// The project that topics and subscriptions live in.
pub const PROJECT: &str = "concord-dev";
/// Most accounts of one stack: each has a database and pools of connections.
const MAX_ACCOUNTS: usize = 20;
/// Most replicas of one service.
const MAX_REPLICAS: usize = 8;
const FIRST_ACCOUNT: usize = 100_001;

/// The bus of a stack.
#[derive(Debug, Clone)]
pub enum BusPlan {
    /// Postgres.
    Postgres,
    /// An emulator that we run.
    OwnEmulator(Emulator, u16),
    /// An emulator that runs already.
    Emulator(String),
}

/// One service process.
#[derive(Debug, Clone)]
pub struct ServicePlan {
    /// The service.
    pub name: &'static str,
    /// Which of several alike.
    pub replica: usize,
    /// Its port.
    pub port: u16,
}

/// The whole stack.
#[derive(Debug)]
pub struct Plan {
    /// Account ids.
    pub accounts: Vec<String>,
    /// Port of Postgres.
    pub postgres_port: u16,
    /// Port of the simulator.
    pub simulator_port: u16,
    /// The bus.
    pub bus: BusPlan,
    /// Service processes, as they are listed.
    pub services: Vec<ServicePlan>,
    _ports: Ports,
}

impl Plan {
    /// Decides everything.
    ///
    /// # Errors
    /// When an option asks for what is not there.
    pub fn decide(options: &Options, programs: &Programs) -> Result<Self> {
        ensure!(
            (1..=MAX_ACCOUNTS).contains(&options.accounts),
            "--accounts is {}, accepted is 1 to {MAX_ACCOUNTS}",
            options.accounts
        );
        let mut ports = Ports::new(u64::from(std::process::id()));
        let bus = bus(options, programs, &mut ports)?;
        let replicas = replicas(&options.replicas)?;
        let mut services = Vec::new();
        let mut next_metrics = FIRST_METRICS_PORT;
        for name in SERVICES {
            for replica in 0..replicas.get(name).copied().unwrap_or(1) {
                let preferred = match (*name, replica) {
                    ("console", 0) => CONSOLE_PORT,
                    ("ingest", 0) => INGEST_PORT,
                    _ => {
                        next_metrics += 1;
                        next_metrics - 1
                    }
                };
                services.push(ServicePlan { name, replica, port: ports.claim(preferred)? });
            }
        }
        Ok(Self {
            accounts: (0..options.accounts).map(|n| format!("TSTDRV{}", FIRST_ACCOUNT + n)).collect(),
            postgres_port: ports.claim(POSTGRES_PORT)?,
            simulator_port: ports.claim(SIMULATOR_PORT)?,
            bus,
            services,
            _ports: ports,
        })
    }

    /// The word of `dev.json` and of `CONCORD_BUS`.
    pub fn bus_name(&self) -> &'static str {
        match self.bus {
            BusPlan::Postgres => "postgres",
            BusPlan::OwnEmulator(..) | BusPlan::Emulator(_) => "pubsub",
        }
    }

    /// `host:port` of the emulator, when there is one.
    pub fn emulator_host(&self) -> Option<String> {
        match &self.bus {
            BusPlan::Postgres => None,
            BusPlan::OwnEmulator(_, port) => Some(format!("127.0.0.1:{port}")),
            BusPlan::Emulator(host) => Some(host.clone()),
        }
    }

    /// Root of a service's HTTP endpoints.
    ///
    /// # Panics
    /// Never: every service is in every plan.
    pub fn service_url(&self, name: &str) -> String {
        let service = self.services.iter().find(|s| s.name == name).expect("every service is in every plan");
        format!("http://127.0.0.1:{}", service.port)
    }

    /// Root of the simulator.
    pub fn simulator_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.simulator_port)
    }

    /// What `dev.json` will say, but for the processes. `database` gives the URL of a database by name.
    pub fn manifest(&self, state: &StateDir, identity: &Identity, database: &dyn Fn(&str) -> String) -> Manifest {
        let metrics = self.services.iter().map(|s| s.port).chain([self.simulator_port]);
        Manifest {
            version: manifest::VERSION,
            console_url: self.service_url("console"),
            ingest_url: self.service_url("ingest"),
            mirror_url: None,
            search_url: None,
            netsuite_sim_url: self.simulator_url(),
            prometheus_targets: metrics.map(|port| format!("127.0.0.1:{port}")).collect(),
            database_url: database(DATABASE),
            bus: self.bus_name().to_owned(),
            pubsub: self
                .emulator_host()
                .map(|emulator_host| manifest::Pubsub { emulator_host, project: PROJECT.to_owned() }),
            tokens: manifest::Tokens {
                viewer: identity.tokens.viewer.clone(),
                operator: identity.tokens.operator.clone(),
                admin: identity.tokens.admin.clone(),
            },
            accounts: self.accounts.iter().map(|id| self.account(id, state, identity, database)).collect(),
            processes: Vec::new(),
        }
    }

    fn account(
        &self,
        id: &str,
        state: &StateDir,
        identity: &Identity,
        database: &dyn Fn(&str) -> String,
    ) -> manifest::Account {
        let keys = &identity.accounts[id];
        let root = self.simulator_url();
        manifest::Account {
            account_id: id.to_owned(),
            netsuite: manifest::Netsuite {
                restlet_url: format!("{root}{RESTLET}?script={QUERY_SCRIPT}&deploy={QUERY_DEPLOY}"),
                oauth2: manifest::Oauth2 {
                    client_id: keys.client_id.clone(),
                    certificate_id: keys.certificate_id.clone(),
                    private_key_path: state.path(&identity::private_key(id)).to_string_lossy().into_owned(),
                    token_url: format!("{root}{TOKEN}"),
                },
                tba: manifest::Tba {
                    consumer_key: keys.consumer_key.clone(),
                    consumer_secret: keys.consumer_secret.clone(),
                    token_id: keys.token_id.clone(),
                    token_secret: keys.token_secret.clone(),
                    realm: id.to_owned(),
                },
                rest_url: root,
            },
            suitex: manifest::Suitex { database_url: database(&tenant_database(id)) },
            ingest: manifest::Ingest { signing_secret: keys.signing_secret.clone() },
        }
    }
}

/// Concord's own database.
pub const DATABASE: &str = "concord";
/// Path of the simulator's RESTlets.
pub const RESTLET: &str = "/app/site/hosting/restlet.nl";
/// Path of the simulator's token endpoint.
pub const TOKEN: &str = "/services/rest/auth/oauth2/v1/token";
const QUERY_SCRIPT: &str = "customscript_concord_query";
const QUERY_DEPLOY: &str = "customdeploy_concord_query";

/// The database of one account's application.
pub fn tenant_database(account: &str) -> String {
    format!("suitex_{}", account.to_lowercase().replace('-', "_"))
}

fn bus(options: &Options, programs: &Programs, ports: &mut Ports) -> Result<BusPlan> {
    match (options.bus, &options.emulator_host, &programs.emulator) {
        (BusChoice::Postgres, _, _) | (BusChoice::Auto, None, None) => Ok(BusPlan::Postgres),
        (BusChoice::Auto | BusChoice::Pubsub, Some(host), _) => Ok(BusPlan::Emulator(host.clone())),
        (BusChoice::Auto | BusChoice::Pubsub, None, Some(emulator)) => {
            Ok(BusPlan::OwnEmulator(emulator.clone(), ports.claim(EMULATOR_PORT)?))
        }
        (BusChoice::Pubsub, None, None) => bail!(
            "--bus pubsub needs PUBSUB_EMULATOR_HOST, or java and Google's emulator (google-cloud-cli-pubsub-emulator, or its jar in CONCORD_PUBSUB_EMULATOR_JAR)"
        ),
    }
}

fn replicas(asked: &[(String, usize)]) -> Result<BTreeMap<&'static str, usize>> {
    let mut replicas = BTreeMap::new();
    for (service, count) in asked {
        let Some(name) = SERVICES.iter().find(|name| *name == service) else {
            bail!("--replicas names {service}; services are {} (there is one {SIMULATOR})", SERVICES.join(", "));
        };
        ensure!((1..=MAX_REPLICAS).contains(count), "--replicas {service}={count}, accepted is 1 to {MAX_REPLICAS}");
        replicas.insert(*name, *count);
    }
    Ok(replicas)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs() -> Programs {
        Programs { postgres: "/pg".into(), setpriv: None, emulator: None, services: "/bin".into() }
    }

    fn options() -> Options {
        Options { accounts: 2, bus: BusChoice::Auto, ..Options::default() }
    }

    #[test]
    fn replicas_add_processes_and_every_process_has_its_own_port() {
        let asked = vec![("merge-service".to_owned(), 2), ("netsuite-writer".to_owned(), 3)];
        let plan = Plan::decide(&Options { replicas: asked, ..options() }, &programs()).unwrap();
        assert_eq!(plan.services.len(), SERVICES.len() + 3);
        let mut ports: Vec<u16> = plan.services.iter().map(|s| s.port).collect();
        ports.extend([plan.postgres_port, plan.simulator_port]);
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), plan.services.len() + 2);
        assert_eq!(plan.accounts, ["TSTDRV100001", "TSTDRV100002"]);
    }

    #[test]
    fn what_is_not_there_is_refused_by_name() {
        let refuse = |options: Options| Plan::decide(&options, &programs()).unwrap_err().to_string();
        assert!(refuse(Options { replicas: vec![("merger".to_owned(), 2)], ..options() }).contains("merger"));
        assert!(refuse(Options { replicas: vec![("ingest".to_owned(), 0)], ..options() }).contains("ingest=0"));
        assert!(refuse(Options { accounts: 0, ..options() }).contains("--accounts"));
        assert!(refuse(Options { bus: BusChoice::Pubsub, ..options() }).contains("PUBSUB_EMULATOR_HOST"));
    }

    #[test]
    fn without_an_emulator_the_bus_is_postgres_and_with_one_named_it_is_that_one() {
        assert_eq!(Plan::decide(&options(), &programs()).unwrap().bus_name(), "postgres");
        let named = Options { emulator_host: Some("127.0.0.1:9".to_owned()), ..options() };
        let plan = Plan::decide(&named, &programs()).unwrap();
        assert_eq!((plan.bus_name(), plan.emulator_host().as_deref()), ("pubsub", Some("127.0.0.1:9")));
    }
}

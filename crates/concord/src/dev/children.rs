//! How each process of a stack is run: program, arguments, environment.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::child::ChildSpec;
use super::files::Files;
use super::leftovers::MARK;
use super::manifest::Manifest;
use super::plan::{BusPlan, PROJECT, Plan, ServicePlan};
use super::programs::{Emulator, Programs, SIMULATOR};
use super::state::StateDir;

/// A service drains for up to 20 s.
const SERVICE_GRACE: Duration = Duration::from_secs(25);
/// The simulator and the emulator have nothing to drain.
const WORLD_GRACE: Duration = Duration::from_secs(5);

/// What every child's specification is made from.
#[derive(Debug)]
pub struct Maker<'a> {
    /// The state folder.
    pub state: &'a StateDir,
    /// Where programs lie.
    pub programs: &'a Programs,
    /// Variables that children get from our own environment: `PATH`, `HOME`, `RUST_LOG` and the like.
    pub inherited: &'a [(String, String)],
    /// Settings of the services that differ from the stack's own.
    pub settings: &'a [(String, String)],
}

impl Maker<'_> {
    /// A service.
    pub fn service(&self, service: &ServicePlan, plan: &Plan, manifest: &Manifest, files: &Files) -> ChildSpec {
        let mut env = vec![
            ("DATABASE_URL".to_owned(), manifest.database_url.clone()),
            ("CONCORD_ACCOUNTS".to_owned(), files.accounts.to_string_lossy().into_owned()),
            ("CONCORD_TOKENS".to_owned(), files.tokens.to_string_lossy().into_owned()),
            ("CONCORD_HTTP".to_owned(), format!("127.0.0.1:{}", service.port)),
            ("CONCORD_BUS".to_owned(), plan.bus_name().to_owned()),
            ("CONCORD_REPLICA".to_owned(), service.replica.to_string()),
            ("CONCORD_LOG".to_owned(), "text".to_owned()),
            ("COALESCE_WINDOW_MS".to_owned(), "200".to_owned()),
            ("COALESCE_IDLE_MS".to_owned(), "50".to_owned()),
            ("POLL_INTERVAL_SECONDS".to_owned(), "5".to_owned()),
            ("POLL_OVERLAP_SECONDS".to_owned(), "30".to_owned()),
            // The simulator answers at once or never: no need to wait as long as for NetSuite.
            ("WRITE_TIMEOUT_SECONDS".to_owned(), "10".to_owned()),
            ("WRITE_DEADLINE_SECONDS".to_owned(), "15".to_owned()),
            // Of a few hundred demo records some dozens may go in an afternoon's play.
            ("DELETE_BRAKE_RECORDS".to_owned(), "100".to_owned()),
        ];
        if let Some(host) = plan.emulator_host() {
            env.push(("PUBSUB_EMULATOR_HOST".to_owned(), host));
            env.push(("PUBSUB_PROJECT".to_owned(), PROJECT.to_owned()));
        }
        env.extend(self.settings.iter().cloned());
        let http = Some(format!("http://127.0.0.1:{}", service.port));
        let program = self.programs.services.join(service.name);
        ChildSpec {
            replica: service.replica,
            log: self.state.log(service.name, service.replica),
            grace: SERVICE_GRACE,
            http,
            env: [self.environment(), env].concat(),
            ..self.child(service.name, program)
        }
    }

    /// The simulator.
    pub fn simulator(&self, plan: &Plan, files: &Files) -> ChildSpec {
        ChildSpec {
            args: vec!["--config".to_owned(), files.simulator.to_string_lossy().into_owned()],
            http: Some(plan.simulator_url()),
            ..self.child(SIMULATOR, self.programs.services.join(SIMULATOR))
        }
    }

    /// The emulator, when it is ours to run, with so many percent of the machine's memory for its heap: it keeps what
    /// nobody has taken yet, and comes to a stand when that is full.
    pub fn emulator(&self, plan: &Plan, heap_percent: u8) -> Option<ChildSpec> {
        match &plan.bus {
            BusPlan::Postgres | BusPlan::Emulator(_) => None,
            BusPlan::OwnEmulator(Emulator { java, jar }, port) => Some(ChildSpec {
                args: vec![
                    format!("-XX:MaxRAMPercentage={heap_percent}"),
                    "-jar".to_owned(),
                    jar.to_string_lossy().into_owned(),
                    "--host=127.0.0.1".to_owned(),
                    format!("--port={port}"),
                ],
                ..self.child("pubsub-emulator", java.clone())
            }),
        }
    }

    fn child(&self, name: &str, program: std::path::PathBuf) -> ChildSpec {
        ChildSpec {
            name: name.to_owned(),
            replica: 0,
            program,
            args: Vec::new(),
            env: self.environment(),
            log: self.state.log(name, 0),
            http: None,
            run_as: None,
            stop: Signal::SIGTERM,
            grace: WORLD_GRACE,
            setpriv: self.programs.setpriv.clone(),
        }
    }

    fn environment(&self) -> Vec<(String, String)> {
        let mark = (MARK.to_owned(), self.state.root().to_string_lossy().into_owned());
        self.inherited.iter().cloned().chain([mark]).collect()
    }
}

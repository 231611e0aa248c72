//! The world around Concord: faults and clock of the simulator, services that stand still, go on or die at a crash point.

use std::path::PathBuf;

use concord::dev::manifest::Process;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::Method;
use serde_json::{Value, json};

use crate::play::Play;

/// A service of which a process will die at a point.
#[derive(Debug)]
pub(crate) struct Armed {
    service: String,
    /// Any of them.
    processes: Vec<Process>,
    file: PathBuf,
}

impl Play {
    /// The simulator's control API below the account.
    pub(crate) async fn control(&self, account: usize, method: Method, path: &str, body: Value) -> Value {
        let account = &self.sides[account].account;
        let url = format!("{}/_sim/v1/accounts/{account}/{path}", self.manifest.netsuite_sim_url);
        let answer = self.http.request(method, &url).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{url}: {}", answer.status());
        answer.json().await.unwrap_or_default()
    }

    /// The simulator's clock stands still at this moment, or goes on.
    pub(crate) async fn clock(&self, mode: &str) {
        let url = format!("{}/_sim/v1/clock", self.manifest.netsuite_sim_url);
        let answer = self.http.post(&url).json(&json!({ "mode": mode })).send().await.unwrap();
        assert!(answer.status().is_success(), "{url}: {}", answer.status());
    }

    /// One thing that goes wrong.
    pub(crate) async fn fault(&self, account: usize, rule: Value) {
        self.sides[account].netsuite.set_faults(json!([rule])).await.unwrap();
    }

    /// Waits until the account's first fault has struck so often.
    pub(crate) async fn struck(&self, account: usize, times: u64) {
        let look = || async {
            let rules = self.control(account, Method::GET, "faults", json!({})).await;
            (rules["rules"][0]["fired"].as_u64()? >= times).then_some(())
        };
        self.fact(&format!("a fault that strikes {times} times"), look).await;
    }

    /// The first process of a service.
    pub(crate) fn process(&self, service: &str) -> Process {
        self.processes(service).swap_remove(0)
    }

    /// All processes of a service.
    fn processes(&self, service: &str) -> Vec<Process> {
        let found: Vec<Process> = self.stack.manifest().processes.into_iter().filter(|p| p.name == service).collect();
        assert!(!found.is_empty(), "{service} runs");
        found
    }

    fn signal(&self, service: &str, signal: Signal) {
        for process in self.processes(service) {
            kill(Pid::from_raw(process.pid.cast_signed()), signal).unwrap();
        }
    }

    /// A service stands still.
    pub(crate) fn stop(&self, service: &str) {
        self.signal(service, Signal::SIGSTOP);
    }

    /// A service goes on.
    pub(crate) fn go(&self, service: &str) {
        self.signal(service, Signal::SIGCONT);
    }

    /// Everything goes on and nothing goes wrong any more, whatever a scenario left behind.
    pub(crate) async fn tidy(&self) {
        for process in self.stack.manifest().processes {
            let _ = kill(Pid::from_raw(process.pid.cast_signed()), Signal::SIGCONT);
        }
        for sides in &self.sides {
            sides.netsuite.clear_faults().await.unwrap();
            // Scripts would wait for an ingest that was away.
            sides.netsuite.forget_script_cache().await.unwrap();
        }
        for left in std::fs::read_dir(&self.points).unwrap() {
            std::fs::remove_file(left.unwrap().path()).unwrap();
        }
        self.clock("real").await;
    }

    /// The next process of this service that comes by this crash point dies there.
    pub(crate) fn arm(&self, service: &str, point: &str) -> Armed {
        let file = self.points.join(format!("{service}.{point}"));
        let armed = Armed { service: service.to_owned(), processes: self.processes(service), file };
        std::fs::File::create_new(&armed.file).unwrap();
        armed
    }

    /// Waits until a process has died at the point and its successor is ready.
    pub(crate) async fn died(&self, armed: &Armed) {
        let died = self.struck_down(armed).await;
        self.stack.back(&died).await;
    }

    /// Waits until a process has died at the point; which one.
    async fn struck_down(&self, armed: &Armed) -> Process {
        let what = format!("{} dies at {}", armed.service, armed.file.display());
        self.fact(&what, || async { (!armed.file.exists()).then_some(()) }).await;
        let gone = |process: &&Process| kill(Pid::from_raw(process.pid.cast_signed()), None).is_err();
        let look = || async { armed.processes.iter().find(gone).cloned() };
        let died = self.fact(&format!("the end of {what}"), look).await;
        let log = self.folder.path().join("logs").join(format!("{}-{}.log", died.name, died.replica));
        let said = std::fs::read_to_string(log).unwrap();
        let point = armed.file.extension().unwrap().to_string_lossy().into_owned();
        assert!(said.contains(&format!("dies at its crash point {point}")), "{} died elsewhere", died.name);
        died
    }
}

//! A whole stack for a test: `concord dev --headless --no-traffic` in a folder of its own, with real processes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use concord::dev::leftovers::marked;
use concord::dev::manifest::{Manifest, Process};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// Longest wait for a stack to be ready; a cold one makes a cluster first.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// Longest wait for a line of the story; each of its steps has a minute of its own.
const SAID_WITHIN: Duration = Duration::from_secs(180);
/// What the contract allows for a stop.
const STOPPED_WITHIN: Duration = Duration::from_secs(60);
/// Longest wait for a killed process to be there again.
const BACK_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A running stack; ended when dropped.
pub(crate) struct TestStack {
    child: Child,
    folder: PathBuf,
    // None when the folder belongs to the test, or is kept after a failure.
    temporary: Option<TempDir>,
}

/// A folder that other accounts may enter, as the one that runs Postgres when we are root.
pub(crate) fn folder() -> TempDir {
    let open = fs::Permissions::from_mode(0o755);
    tempfile::Builder::new().prefix("concord-").permissions(open).tempdir().expect("a folder for the stack")
}

impl TestStack {
    /// Starts a stack in a new folder and waits until everything is ready.
    pub(crate) fn start(options: &[&str]) -> Self {
        let temporary = folder();
        let mut stack = Self::start_in(temporary.path(), options);
        stack.temporary = Some(temporary);
        stack
    }

    /// Starts a stack in the test's own folder.
    pub(crate) fn start_in(folder: &Path, options: &[&str]) -> Self {
        Self::begin(folder, &[&["--headless"], options].concat())
    }

    /// Starts a stack that plays its story, as `make run` does.
    #[allow(dead_code)] // the tests of the stack itself use it
    pub(crate) fn visit(folder: &Path, options: &[&str]) -> Self {
        Self::begin(folder, options)
    }

    /// Waits until the stack has said this.
    #[allow(dead_code)]
    pub(crate) fn says(&mut self, text: &str) {
        let start = Instant::now();
        while !self.output().contains(text) {
            if let Some(status) = self.child.try_wait().expect("the stack can be looked at") {
                panic!("the stack ended ({status}) and never said {text:?}:\n{}", self.output());
            }
            assert!(start.elapsed() < SAID_WITHIN, "{text:?} is not said in {SAID_WITHIN:?}:\n{}", self.output());
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn begin(folder: &Path, options: &[&str]) -> Self {
        // A stack that was killed leaves its addresses behind, until the next one has cleared up.
        let stale = fs::read(folder.join("dev.json")).ok();
        let output = fs::File::options().create(true).append(true).open(folder.join("output")).expect("an output file");
        let child = Command::new(env!("CARGO_BIN_EXE_concord"))
            .args(["dev", "--no-traffic", "--state-dir"])
            .arg(folder)
            .args(options)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("one file for both outputs"))
            .stderr(output)
            .spawn()
            .expect("concord can be started");
        let mut stack = Self { child, folder: folder.to_owned(), temporary: None };
        let start = Instant::now();
        let written =
            |stack: &Self| fs::read(stack.folder.join("dev.json")).ok().filter(|now| Some(now) != stale.as_ref());
        while written(&stack).is_none() {
            if let Some(status) = stack.child.try_wait().expect("the stack can be looked at") {
                panic!("the stack ended while it started ({status}):\n{}", stack.output());
            }
            assert!(start.elapsed() < READY_WITHIN, "not ready in {READY_WITHIN:?}:\n{}", stack.output());
            std::thread::sleep(LOOK_EVERY);
        }
        stack
    }

    /// `dev.json` as it is now.
    pub(crate) fn manifest(&self) -> Manifest {
        Manifest::read(&self.folder.join("dev.json")).expect("dev.json of a running stack can be read")
    }

    /// What the stack has said.
    pub(crate) fn output(&self) -> String {
        fs::read_to_string(self.folder.join("output")).unwrap_or_default()
    }

    /// The stack's own process id.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Processes of the stack that run.
    pub(crate) fn processes(&self) -> Vec<Pid> {
        marked(&self.folder.canonicalize().expect("the folder is there"))
    }

    /// Kills a process (SIGKILL) and waits until its successor stands in `dev.json` and is ready.
    #[allow(dead_code)] // not every test kills
    pub(crate) async fn kill(&self, process: &Process) {
        kill(Pid::from_raw(process.pid.cast_signed()), Signal::SIGKILL).expect("a running process can be killed");
        self.back(process).await;
    }

    /// Waits until the successor of a process that died stands in `dev.json` and is ready.
    pub(crate) async fn back(&self, process: &Process) {
        let start = Instant::now();
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(3)).build().expect("a client");
        loop {
            let same = |p: &&Process| p.name == process.name && p.replica == process.replica;
            let successor = self.manifest().processes.iter().find(same).cloned();
            if let Some(successor) = successor.filter(|p| p.pid != process.pid) {
                let asked = client.get(format!("{}/readyz", successor.http)).send().await;
                if asked.is_ok_and(|answer| answer.status().is_success()) {
                    return;
                }
            }
            assert!(start.elapsed() < BACK_WITHIN, "{} is not back:\n{}", process.name, self.output());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Asks the stack to stop and checks that it does as promised: exit code 0, nothing left, all within a minute.
    pub(crate) fn stop(mut self) {
        let start = Instant::now();
        kill(self.pid(), Signal::SIGTERM).expect("a running stack can be asked to stop");
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("the stack can be looked at") {
                break status;
            }
            assert!(start.elapsed() < STOPPED_WITHIN, "not stopped in {STOPPED_WITHIN:?}:\n{}", self.output());
            std::thread::sleep(LOOK_EVERY);
        };
        assert!(status.success(), "the stack ended with {status}:\n{}", self.output());
        assert_eq!(self.processes(), [], "processes that outlived the stack");
        assert!(!self.folder.join("dev.json").exists(), "dev.json speaks of a stack that has stopped");
    }
}

impl Drop for TestStack {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill(self.pid(), Signal::SIGTERM);
            let _ = self.child.wait();
        }
        if std::thread::panicking()
            && let Some(folder) = self.temporary.take()
        {
            eprintln!("logs are kept in {}", folder.keep().join("logs").display());
        }
    }
}

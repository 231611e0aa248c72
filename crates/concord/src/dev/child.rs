//! One process of the stack: how it is started, watched, started again and stopped.

use std::fs::OpenOptions;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Waits before a child is started again: the first is short, because a kill is what it most often was.
const BACKOFF: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
];
/// A child that lived this long starts the backoff afresh.
const STEADY: Duration = Duration::from_secs(30);

/// The account a child runs as, when it is not ours.
#[derive(Debug, Clone)]
pub struct RunAs {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// How a child is run.
#[derive(Debug, Clone)]
pub struct ChildSpec {
    /// Process name; for a service the service's name.
    pub name: String,
    /// Which of several alike, from 0.
    pub replica: usize,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its whole environment: nothing is inherited.
    pub env: Vec<(String, String)>,
    /// Where its output goes.
    pub log: PathBuf,
    /// Root of its HTTP endpoints, when it has them.
    pub http: Option<String>,
    /// The account it runs as, when not ours.
    pub run_as: Option<RunAs>,
    /// The signal that asks it to end.
    pub stop: Signal,
    /// How long it may take over that before it is killed.
    pub grace: Duration,
    /// `setpriv`, which has the kernel pass on our own death.
    pub setpriv: Option<PathBuf>,
}

/// What happened to a child.
#[derive(Debug, Clone)]
pub enum Report {
    /// It runs.
    Started {
        /// Index of the child in the supervisor.
        child: usize,
        /// Its process id.
        pid: u32,
    },
    /// It ended although nobody asked, and will be started again after `again_in`.
    Died {
        /// Index of the child in the supervisor.
        child: usize,
        /// In words: exit code or signal.
        how: String,
        /// The wait before the next start.
        again_in: Duration,
    },
    /// It could not be started at all; the next try follows after `again_in`.
    Failed {
        /// Index of the child in the supervisor.
        child: usize,
        /// Why.
        why: String,
        /// The wait before the next start.
        again_in: Duration,
    },
}

impl ChildSpec {
    /// Name and replica, as people read it.
    pub fn title(&self) -> String {
        format!("{}-{}", self.name, self.replica)
    }

    fn command(&self) -> Result<Command> {
        let log = || {
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(&self.log)
                .with_context(|| format!("the log {} cannot be opened", self.log.display()))
        };
        let mut command = match &self.setpriv {
            // Set by the child itself before it becomes the program; the process id stays the same.
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command
                    .arg("--pdeathsig")
                    .arg(self.stop.as_str().trim_start_matches("SIG"))
                    .arg("--")
                    .arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        command
            .args(&self.args)
            .env_clear()
            .envs(self.env.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null())
            .stdout(log()?)
            .stderr(log()?)
            // Its own group: Ctrl-C in a terminal reaches us alone, and we stop the children in order.
            .process_group(0)
            .kill_on_drop(true);
        if let Some(account) = &self.run_as {
            command.uid(account.uid).gid(account.gid);
        }
        Ok(command)
    }

    fn spawn(&self) -> Result<Child> {
        self.command()?.spawn().with_context(|| format!("{} cannot be started", self.program.display()))
    }
}

/// Keeps one child running until `stop`; then asks it to end, waits, and kills what will not.
///
/// Only the end of the process counts as death: one that was stopped for a while (SIGSTOP, a debugger) is left alone.
/// Must run on the thread that lives as long as this program, because the kernel's parent-death signal is per thread.
pub async fn tend(child: usize, spec: ChildSpec, stop: CancellationToken, reports: mpsc::Sender<Report>) {
    let mut failures = 0;
    loop {
        let started = Instant::now();
        let report = match spec.spawn() {
            Ok(mut process) => {
                if let Some(pid) = process.id() {
                    let _ = reports.send(Report::Started { child, pid }).await;
                }
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return end(&mut process, &spec).await,
                    status = process.wait() => {
                        failures = if started.elapsed() >= STEADY { 0 } else { failures };
                        let how = status.map_or_else(|e| e.to_string(), describe);
                        Report::Died { child, how, again_in: wait_after(failures) }
                    }
                }
            }
            Err(error) => Report::Failed { child, why: format!("{error:#}"), again_in: wait_after(failures) },
        };
        let again_in = wait_after(failures);
        failures += 1;
        let _ = reports.send(report).await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(again_in) => {}
        }
    }
}

fn wait_after(failures: usize) -> Duration {
    BACKOFF[failures.min(BACKOFF.len() - 1)]
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal().and_then(|s| Signal::try_from(s).ok())) {
        (Some(code), _) => format!("it ended with code {code}"),
        (None, Some(signal)) => format!("it was ended by {signal}"),
        (None, None) => format!("it ended: {status}"),
    }
}

async fn end(process: &mut Child, spec: &ChildSpec) {
    let Some(pid) = process.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw) else { return };
    let _ = kill(pid, spec.stop);
    // One that is stopped would never see the signal.
    let _ = kill(pid, Signal::SIGCONT);
    if tokio::time::timeout(spec.grace, process.wait()).await.is_err() {
        let _ = process.kill().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(folder: &std::path::Path, script: &str) -> ChildSpec {
        ChildSpec {
            name: "shell".to_owned(),
            replica: 0,
            program: "/bin/sh".into(),
            args: vec!["-c".to_owned(), script.to_owned()],
            env: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
            log: folder.join("shell-0.log"),
            http: None,
            run_as: None,
            stop: Signal::SIGTERM,
            grace: Duration::from_secs(5),
            setpriv: None,
        }
    }

    fn alive(pid: u32) -> bool {
        kill(Pid::from_raw(i32::try_from(pid).unwrap()), None).is_ok()
    }

    async fn next_pid(reports: &mut mpsc::Receiver<Report>) -> u32 {
        loop {
            match reports.recv().await.expect("the child is tended") {
                Report::Started { pid, .. } => return pid,
                Report::Died { .. } | Report::Failed { .. } => {}
            }
        }
    }

    #[tokio::test]
    async fn a_killed_child_is_started_again_and_a_stopped_one_is_left_alone_until_it_is_asked_to_end() {
        let folder = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        let (sender, mut reports) = mpsc::channel(16);
        let spec = shell(folder.path(), "exec sleep 600");
        let tended = tokio::spawn(tend(3, spec, stop.clone(), sender));
        let first = next_pid(&mut reports).await;
        kill(Pid::from_raw(i32::try_from(first).unwrap()), Signal::SIGKILL).unwrap();
        match reports.recv().await.unwrap() {
            Report::Died { child: 3, how, .. } => assert!(how.contains("SIGKILL"), "{how}"),
            other => panic!("a death was expected, not {other:?}"),
        }
        let second = next_pid(&mut reports).await;
        assert_ne!(first, second);
        kill(Pid::from_raw(i32::try_from(second).unwrap()), Signal::SIGSTOP).unwrap();
        let quiet = tokio::time::timeout(Duration::from_millis(500), reports.recv()).await;
        assert!(quiet.is_err(), "a stopped child was reported: {quiet:?}");
        assert!(alive(second));
        stop.cancel();
        tended.await.unwrap();
        assert!(!alive(second));
    }

    #[tokio::test]
    async fn a_child_that_ignores_the_signal_is_killed_after_its_grace() {
        let folder = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        let (sender, mut reports) = mpsc::channel(16);
        let mut spec = shell(folder.path(), "trap '' TERM; echo deaf; while :; do sleep 1; done");
        spec.grace = Duration::from_millis(200);
        let log = spec.log.clone();
        let tended = tokio::spawn(tend(0, spec, stop.clone(), sender));
        let pid = next_pid(&mut reports).await;
        while !std::fs::read_to_string(&log).unwrap_or_default().contains("deaf") {
            tokio::task::yield_now().await;
        }
        stop.cancel();
        tended.await.unwrap();
        assert!(!alive(pid));
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_reported_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        let (sender, mut reports) = mpsc::channel(16);
        let mut spec = shell(folder.path(), "");
        spec.program = "/nonexistent/service".into();
        let tended = tokio::spawn(tend(0, spec, stop.clone(), sender));
        match reports.recv().await.unwrap() {
            Report::Failed { why, .. } => assert!(why.contains("/nonexistent/service"), "{why}"),
            other => panic!("a failure was expected, not {other:?}"),
        }
        stop.cancel();
        tended.await.unwrap();
    }
}

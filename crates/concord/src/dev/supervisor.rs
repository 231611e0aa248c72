//! All children of a stack: which run, with which process id, and their orderly end.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::child::{ChildSpec, Report, tend};
use super::manifest::{Manifest, Process};
use crate::say::warn;

/// Reports that may wait to be read; children wait for room.
const REPORTS: usize = 256;
/// Longest wait for a child to answer `/readyz` when the stack starts.
const READY_WITHIN: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_millis(50);
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// Which part of the stack a child is: they end in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Concord's services: they drain while everything they need still answers.
    Service,
    /// The outside world: the simulator and the broker.
    World,
    /// Postgres, last.
    Database,
}

#[derive(Debug)]
struct Handle {
    spec: ChildSpec,
    stage: Stage,
    pid: Option<u32>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// All children.
#[derive(Debug)]
pub struct Supervisor {
    children: Vec<Handle>,
    sender: mpsc::Sender<Report>,
    reports: mpsc::Receiver<Report>,
    http: reqwest::Client,
    manifest: Option<(Manifest, PathBuf)>,
}

impl Supervisor {
    /// No children yet.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new() -> Result<Self> {
        let (sender, reports) = mpsc::channel(REPORTS);
        let http = reqwest::Client::builder().timeout(ANSWER_WITHIN).no_proxy().build()?;
        Ok(Self { children: Vec::new(), sender, reports, http, manifest: None })
    }

    /// Starts a child and keeps it running.
    pub fn run(&mut self, stage: Stage, spec: ChildSpec) {
        let stop = CancellationToken::new();
        let task = tokio::spawn(tend(self.children.len(), spec.clone(), stop.clone(), self.sender.clone()));
        self.children.push(Handle { spec, stage, pid: None, stop, task });
    }

    /// Waits for the next thing that happens to a child, says it on standard error (a bench's JSON stands alone on the
    /// other), and keeps `dev.json` true.
    ///
    /// # Errors
    /// When `dev.json` cannot be rewritten.
    pub async fn turn(&mut self) -> Result<()> {
        match self.reports.recv().await {
            Some(report) => self.note(report),
            None => bail!("no child reports any more"),
        }
    }

    fn note(&mut self, report: Report) -> Result<()> {
        match report {
            Report::Started { child, pid } => {
                self.children[child].pid = Some(pid);
                self.write_manifest()
            }
            Report::Died { child, how, again_in } => {
                let child = &mut self.children[child];
                child.pid = None;
                warn(format_args!(
                    "{} died: {how}; started again in {} ms (log: {})",
                    child.spec.title(),
                    again_in.as_millis(),
                    child.spec.log.display()
                ));
                Ok(())
            }
            Report::Failed { child, why, again_in } => {
                let child = &self.children[child];
                warn(format_args!(
                    "{} does not start: {why}; next try in {} ms",
                    child.spec.title(),
                    again_in.as_millis()
                ));
                Ok(())
            }
        }
    }

    /// From here on `dev.json` is kept at `path`, with the processes as they are.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn publish(&mut self, manifest: Manifest, path: PathBuf) -> Result<()> {
        self.manifest = Some((manifest, path));
        self.write_manifest()
    }

    fn write_manifest(&mut self) -> Result<()> {
        let processes = self.processes();
        let Some((manifest, path)) = &mut self.manifest else { return Ok(()) };
        if manifest.processes != processes {
            manifest.processes = processes;
            manifest.write(path)?;
        }
        Ok(())
    }

    fn processes(&self) -> Vec<Process> {
        self.children
            .iter()
            .filter_map(|child| {
                Some(Process {
                    name: child.spec.name.clone(),
                    replica: child.spec.replica,
                    pid: child.pid?,
                    http: child.spec.http.clone()?,
                })
            })
            .collect()
    }

    /// Waits until every child that has `/readyz` answers it with success.
    ///
    /// # Errors
    /// After a limit with a name (`READY_WITHIN`): names the children that did not, what they said, and where their logs are.
    pub async fn ready(&mut self) -> Result<()> {
        let deadline = tokio::time::Instant::now() + READY_WITHIN;
        let mut waiting: Vec<(usize, String)> = (0..self.children.len()).map(|i| (i, String::new())).collect();
        waiting.retain(|(i, _)| self.children[*i].spec.http.is_some());
        loop {
            self.drain_reports()?;
            let asked = waiting.iter().map(|(i, _)| self.ask(*i));
            let answers = futures::future::join_all(asked).await;
            waiting = answers.into_iter().flatten().collect();
            if waiting.is_empty() {
                // Everything that answered also has a process id to show.
                return self.drain_reports();
            }
            if tokio::time::Instant::now() >= deadline {
                bail!("not ready after {} s:\n{}", READY_WITHIN.as_secs(), self.complaints(&waiting));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn drain_reports(&mut self) -> Result<()> {
        while let Ok(report) = self.reports.try_recv() {
            self.note(report)?;
        }
        Ok(())
    }

    /// `None` when the child is ready, else its index and what it said.
    async fn ask(&self, child: usize) -> Option<(usize, String)> {
        let root = self.children[child].spec.http.as_ref()?;
        match self.http.get(format!("{root}/readyz")).send().await {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => {
                let status = answer.status();
                Some((child, format!("{status}: {}", answer.text().await.unwrap_or_default())))
            }
            Err(error) => Some((child, error.to_string())),
        }
    }

    fn complaints(&self, waiting: &[(usize, String)]) -> String {
        let line = |(child, said): &(usize, String)| {
            let spec = &self.children[*child].spec;
            format!("  {}: {said} (log: {})\n{}", spec.title(), spec.log.display(), tail(&spec.log))
        };
        waiting.iter().map(line).collect()
    }

    /// Ends all children, stage by stage. Each has its own grace, after which it is killed.
    pub async fn end(mut self) {
        if let Some((_, path)) = self.manifest.take() {
            let _ = std::fs::remove_file(path);
        }
        self.children.sort_by_key(|child| child.stage);
        while let Some(stage) = self.children.first().map(|child| child.stage) {
            let rest = self.children.iter().position(|child| child.stage != stage).unwrap_or(self.children.len());
            let ending: Vec<Handle> = self.children.drain(..rest).collect();
            for child in &ending {
                child.stop.cancel();
            }
            let all = futures::future::join_all(ending.into_iter().map(|child| child.task));
            tokio::pin!(all);
            loop {
                // Reports are read on, so that no child waits for room to say that it ended.
                tokio::select! {
                    _ = &mut all => break,
                    _ = self.reports.recv() => {}
                }
            }
        }
    }
}

/// The last lines of a log, indented.
pub fn tail(log: &std::path::Path) -> String {
    const LINES: usize = 8;
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].iter().map(|line| format!("    {line}\n")).collect()
}

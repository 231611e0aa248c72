//! What processes use, from `/proc`: our own children by name, with everything below them.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::report::{Rows, rounded};

/// Length of the kernel's unit of processor time as `/proc` shows it: a hundredth of a second wherever Linux runs today.
const TICK: Duration = Duration::from_millis(10);

/// Others may use so much of the machine before a measurement is called disturbed.
const QUIET: f64 = 0.05;

/// Names of the world around Concord; every other child is one of its services.
const POSTGRES: &str = "postgres";
const EMULATOR: &str = "java";
const SIMULATOR: &str = "netsuite-sim";

/// One of our children at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Program name, as the kernel keeps it (15 characters).
    pub name: String,
    /// Processor time of it and of everything below it, ended children included.
    pub cpu: Duration,
    /// Memory in RAM now, without what is below it, in KiB.
    pub resident_kib: u64,
    /// Most memory in RAM so far, in KiB.
    pub peak_kib: u64,
}

/// All children at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    at: Instant,
    /// By process id.
    processes: BTreeMap<u32, Process>,
    own: Duration,
    busy_ticks: u64,
    all_ticks: u64,
}

struct Stat {
    pid: u32,
    parent: u32,
    name: String,
    ticks: u64,
    reaped: u64,
}

impl Snapshot {
    /// Looks now.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn take() -> Result<Self> {
        let own = std::process::id();
        let stats: Vec<Stat> = fs::read_dir("/proc")
            .context("/proc cannot be read")?
            .filter_map(|entry| parse_stat(&fs::read_to_string(entry.ok()?.path().join("stat")).ok()?))
            .collect();
        let mut processes = BTreeMap::new();
        for child in stats.iter().filter(|stat| stat.parent == own) {
            let ticks = child.ticks + child.reaped + below(child.pid, &stats);
            let status = fs::read_to_string(format!("/proc/{}/status", child.pid)).unwrap_or_default();
            let process = Process {
                name: child.name.clone(),
                cpu: in_time(ticks),
                resident_kib: kib(&status, "VmRSS"),
                peak_kib: kib(&status, "VmHWM"),
            };
            processes.insert(child.pid, process);
        }
        let (busy_ticks, all_ticks) = machine_ticks().context("/proc/stat cannot be read")?;
        let own = stats.iter().find(|stat| stat.pid == own).map_or(0, |stat| stat.ticks);
        Ok(Self { at: Instant::now(), processes, own: in_time(own), busy_ticks, all_ticks })
    }
}

/// Ticks of everything below a process.
fn below(pid: u32, stats: &[Stat]) -> u64 {
    let children = stats.iter().filter(|stat| stat.parent == pid);
    children.map(|stat| stat.ticks + stat.reaped + below(stat.pid, stats)).sum()
}

/// A line of `/proc/PID/stat`; the name may hold spaces and brackets.
fn parse_stat(text: &str) -> Option<Stat> {
    let (pid, rest) = text.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    // After the name: state, parent, … utime, stime, cutime, cstime are fields 14 to 17 of the whole line.
    let number = |place: usize| fields.get(place)?.parse::<u64>().ok();
    Some(Stat {
        pid: pid.parse().ok()?,
        parent: fields.get(1)?.parse().ok()?,
        name: name.to_owned(),
        ticks: number(11)? + number(12)?,
        reaped: number(13)? + number(14)?,
    })
}

fn in_time(ticks: u64) -> Duration {
    TICK * u32::try_from(ticks).unwrap_or(u32::MAX)
}

fn kib(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|value| value.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0)
}

/// Busy and all ticks of the machine's processors together.
fn machine_ticks() -> Option<(u64, u64)> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line.split_whitespace().take(8).filter_map(|n| n.parse().ok()).collect();
    let idle = ticks.get(3)? + ticks.get(4)?;
    let all: u64 = ticks.iter().sum();
    Some((all - idle, all))
}

/// What was used between two moments.
#[derive(Debug, Clone)]
pub struct Used {
    /// Length of the interval.
    pub wall: Duration,
    /// By child: the process at the end, with the processor time of the interval.
    pub processes: Vec<Process>,
    /// Our own processor time: making load and watching.
    pub own: Duration,
    /// Share of the machine's processors that was busy, 0 to 1.
    pub machine_busy: f64,
    /// Share of the machine's processors that others than we and our children used, 0 to 1.
    pub others_busy: f64,
}

impl Used {
    /// What was used between two snapshots.
    ///
    /// # Errors
    /// When the children are not the same at both: one died, and the figures would mean nothing.
    pub fn between(before: &Snapshot, after: &Snapshot) -> Result<Self> {
        let mut processes = Vec::new();
        for (pid, process) in &after.processes {
            let Some(start) = before.processes.get(pid) else {
                bail!("{} was started again during the measurement", process.name);
            };
            processes.push(Process { cpu: process.cpu.saturating_sub(start.cpu), ..process.clone() });
        }
        if let Some((_, gone)) = before.processes.iter().find(|(pid, _)| !after.processes.contains_key(*pid)) {
            bail!("{} died during the measurement", gone.name);
        }
        processes.sort_by(|a, b| (b.cpu, &a.name).cmp(&(a.cpu, &b.name)));
        let own = after.own.saturating_sub(before.own);
        let all = in_time(after.all_ticks.saturating_sub(before.all_ticks).max(1)).as_secs_f64();
        let busy = in_time(after.busy_ticks.saturating_sub(before.busy_ticks));
        let ours = processes.iter().fold(own, |sum: Duration, process| sum + process.cpu);
        Ok(Self {
            wall: after.at.duration_since(before.at),
            processes,
            own,
            machine_busy: busy.as_secs_f64() / all,
            others_busy: busy.saturating_sub(ours).as_secs_f64() / all,
        })
    }

    /// Processor time of all processes of Concord.
    pub fn concord(&self) -> Duration {
        self.services().map(|process| process.cpu).sum()
    }

    /// Processor time of Postgres with all its processes.
    pub fn postgres(&self) -> Duration {
        self.processes.iter().filter(|process| process.name == POSTGRES).map(|process| process.cpu).sum()
    }

    /// Most memory any service of Concord held, in MiB.
    pub fn peak_service_mib(&self) -> f64 {
        self.services().map(|process| process.peak_kib).max().unwrap_or(0) as f64 / 1024.0
    }

    fn services(&self) -> impl Iterator<Item = &Process> {
        self.processes.iter().filter(|process| ![POSTGRES, EMULATOR, SIMULATOR].contains(&process.name.as_str()))
    }

    /// A sentence when others took so much of the machine that the figures tell less than it can do.
    pub fn disturbed(&self) -> Option<String> {
        let share = (self.others_busy * 100.0).round();
        (self.others_busy > QUIET).then(|| {
            format!(
                "DISTURBED: other programs used {share} % of the processors meanwhile; rates are lower and waits longer \
                 than on a quiet machine."
            )
        })
    }

    /// By process: cores used and memory; `events` adds the cost of one in microseconds.
    pub fn table(&self, events: Option<u64>) -> Rows {
        let per_event = |cpu: Duration| events.map(|n| rounded(cpu.as_secs_f64() * 1e6 / n.max(1) as f64, 1));
        let cores = |cpu: Duration| rounded(cpu.as_secs_f64() / self.wall.as_secs_f64(), 3);
        let rows = self.processes.iter().map(|process| {
            json!({
                "name": process.name,
                "cores": cores(process.cpu),
                "cpu_us_per_event": per_event(process.cpu),
                "resident_mib": process.resident_kib / 1024,
                "peak_mib": process.peak_kib / 1024,
            })
        });
        let own = json!({
            "name": "bench (load and watching)",
            "cores": cores(self.own),
            "cpu_us_per_event": per_event(self.own),
        });
        let columns = &["name", "cores", "cpu_us_per_event", "resident_mib", "peak_mib"];
        Rows { title: "processes", columns, rows: rows.chain([own]).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let line = "42 (a) b (c) S 7 42 42 0 -1 4194560 100 0 0 0 11 22 33 44 20 0 1 0 5 6 7";
        let stat = parse_stat(line).unwrap();
        assert_eq!((stat.pid, stat.parent, stat.name.as_str()), (42, 7, "a) b (c"));
        assert_eq!((stat.ticks, stat.reaped), (33, 77));
    }

    #[test]
    fn a_busy_child_is_seen_with_its_processor_time_and_a_new_one_spoils_the_interval() {
        let shell = |script: &str| std::process::Command::new("/bin/sh").args(["-c", script]).spawn().unwrap();
        let mut child = shell("while :; do :; done");
        let cpu_of = |snapshot: &Snapshot, pid| snapshot.processes.get(&pid).map_or(Duration::ZERO, |p| p.cpu);
        let before = Snapshot::take().unwrap();
        let mut after = Snapshot::take().unwrap();
        while cpu_of(&after, child.id()) < cpu_of(&before, child.id()) + Duration::from_millis(50) {
            std::thread::yield_now();
            after = Snapshot::take().unwrap();
        }
        // Other tests of this process may start children too; only this one is looked at.
        let own = |snapshot: &Snapshot| {
            let mut own = snapshot.clone();
            own.processes.retain(|pid, _| *pid == child.id());
            own
        };
        let used = Used::between(&own(&before), &own(&after)).unwrap();
        assert!(used.concord() >= Duration::from_millis(50) && used.machine_busy > 0.0, "{used:?}");
        let mut empty = before.clone();
        empty.processes.clear();
        assert!(Used::between(&empty, &own(&after)).unwrap_err().to_string().contains("started again"));
        assert!(Used::between(&own(&before), &empty).unwrap_err().to_string().contains("died"));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

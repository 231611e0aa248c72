//! Runs of the seeded world: one integer repeats one run to the letter.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use model::limits::Limits;
use model::record::Entry;
use model::spec::World;
use model::{AccountId, ManualClock, PerSide, SeededIds, Side, Timestamp};
use steps::Core;
use store::records::Records;

use crate::checks::check;
use crate::memory::MemRecords;
use crate::pause::Paced;
use crate::world::bus::Bus;
use crate::world::coverage::Coverage;
use crate::world::poller::Watermarks;
use crate::world::remote::{SimRemote, lock};
use crate::world::run::Run;
use crate::world::stage::Stage;
use crate::world::types::types;
pub use crate::world::vary::Profile;
use crate::world::vary::Vary;

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimArgs {
    /// The first seed; the others follow it.
    pub seed: u64,
    /// How many runs.
    pub runs: u64,
    /// Which worlds.
    pub profile: Profile,
    /// No run begins after this long.
    pub time_limit: Option<Duration>,
    /// Tell the story of every run that fails.
    pub verbose: bool,
    /// Stop at the first run that breaks an invariant.
    pub until_broken: bool,
}

impl SimArgs {
    /// So many runs from a seed, whatever comes of them.
    pub fn of(seed: u64, runs: u64) -> Self {
        Self { seed, runs, profile: Profile::Default, time_limit: None, verbose: false, until_broken: false }
    }
}

/// A run that broke an invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Its seed.
    pub seed: u64,
    /// Drawn as.
    pub profile: Profile,
    /// What broke, each with the invariant's number.
    pub breaches: Vec<String>,
    /// The run's story, when asked for.
    pub story: Vec<String>,
}

impl Broken {
    /// The command that repeats it.
    pub fn command(&self) -> String {
        let profile = match self.profile {
            Profile::Default => String::new(),
            other => format!(" --profile {}", other.as_str()),
        };
        format!("concord sim --seed {}{profile} --runs 1 --verbose", self.seed)
    }
}

/// What a batch of runs found.
#[derive(Debug, Clone, Default)]
pub struct SimReport {
    /// Runs made.
    pub runs: u64,
    /// Runs that broke an invariant; at most [`MOST_BROKEN`] are kept.
    pub broken: Vec<Broken>,
    /// How many runs broke one.
    pub broken_runs: u64,
    /// What happened in them.
    pub coverage: Coverage,
    /// How long it took.
    pub took: Duration,
}

/// Broken runs kept with their story.
pub const MOST_BROKEN: usize = 20;

impl SimReport {
    /// Worlds per minute.
    pub fn per_minute(&self) -> f64 {
        let seconds = self.took.as_secs_f64();
        if seconds > 0.0 { self.runs as f64 * 60.0 / seconds } else { 0.0 }
    }
}

/// What one run came to.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What broke.
    pub breaches: Vec<String>,
    /// What happened.
    pub coverage: Coverage,
    /// The story, when asked for.
    pub story: Vec<String>,
}

/// Runs worlds on all processors, each its stretch of the seeds: the same worlds as [`run`], in whatever order.
///
/// # Panics
/// When a world panics: what a world breaks is reported, so that is a mistake of the world itself.
pub fn run_parallel(args: &SimArgs) -> SimReport {
    let most = usize::try_from(args.runs).unwrap_or(usize::MAX).max(1);
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(most) as u64;
    let share = args.runs.div_ceil(workers);
    let stretch = |worker: u64| SimArgs {
        seed: args.seed.saturating_add(worker * share),
        runs: share.min(args.runs.saturating_sub(worker * share)),
        ..args.clone()
    };
    let workers: Vec<_> = (0..workers).map(stretch).map(|args| std::thread::spawn(move || run(&args))).collect();
    let mut whole = SimReport::default();
    for worker in workers {
        let part = worker.join().expect("a world that breaks is reported, not a panic");
        whole.runs += part.runs;
        whole.broken_runs += part.broken_runs;
        whole.coverage.merge(&part.coverage);
        whole.took = whole.took.max(part.took);
        whole.broken.extend(part.broken);
    }
    whole.broken.sort_by_key(|broken| broken.seed);
    whole.broken.truncate(MOST_BROKEN);
    whole
}

/// Runs worlds one after another, from `seed` on.
pub fn run(args: &SimArgs) -> SimReport {
    #[allow(clippy::disallowed_methods)] // how long the batch took is no part of any run
    let begin = Instant::now();
    let mut report = SimReport::default();
    for seed in args.seed..args.seed.saturating_add(args.runs) {
        if args.time_limit.is_some_and(|limit| begin.elapsed() >= limit) {
            break;
        }
        let outcome = run_as(args.profile, seed, args.verbose);
        report.runs += 1;
        report.coverage.merge(&outcome.coverage);
        if !outcome.breaches.is_empty() {
            report.broken_runs += 1;
            if report.broken.len() < MOST_BROKEN {
                report.broken.push(Broken {
                    seed,
                    profile: args.profile,
                    breaches: outcome.breaches,
                    story: outcome.story,
                });
            }
            if args.until_broken {
                break;
            }
        }
    }
    report.took = begin.elapsed();
    report
}

/// The instant at which every world begins.
fn beginning() -> Timestamp {
    Timestamp::from_second(1_800_000_000).expect("a constant within the calendar")
}

/// One run of the default profile.
pub fn run_one(seed: u64, story: bool) -> Outcome {
    run_as(Profile::Default, seed, story)
}

/// One run.
pub fn run_as(profile: Profile, seed: u64, story: bool) -> Outcome {
    let mut rng = fastrand::Rng::with_seed(seed);
    let vary = profile.draw(&mut rng);
    run_world(seed, rng, vary, story)
}

/// The `n`th account.
pub fn account(n: usize) -> AccountId {
    AccountId::parse(&format!("ACCT{n}")).expect("letters and digits are an account id")
}

/// What a run is asked about once it has come to rest, before the invariants are checked: further breaches.
pub type AtRest<'a> = dyn FnMut(&MemRecords) -> Vec<String> + 'a;

fn run_world(seed: u64, rng: fastrand::Rng, vary: Vary, story: bool) -> Outcome {
    let book = MemRecords::new();
    let ports = Ports { seed, rng, vary, story, book: &book, records: &book, bus: Bus::default() };
    run_over(ports, &mut |_| Vec::new())
}

/// One run over ports of the caller's. `at_rest` is asked before the invariants are.
pub fn run_over(ports: Ports<'_>, at_rest: &mut AtRest<'_>) -> Outcome {
    let (vary, story) = (ports.vary.clone(), ports.story);
    let world = types(vary.delete, vary.line_delete, vary.lock);
    let mut breaches = Vec::new();
    let mut stage = with_ports(ports, world, |run| {
        breaches = play(run, &vary, at_rest);
        breaches.append(&mut run.failures);
        if story && !breaches.is_empty() {
            let mut stage = lock(run.stage);
            for kept in run.records.book().records.values() {
                stage.note(|| format!("at the end: {kept:#?}"));
            }
        }
    });
    Outcome { breaches, coverage: stage.coverage, story: stage.trace.take().unwrap_or_default() }
}

/// What a run is made of beside its record types.
pub struct Ports<'a> {
    /// The run's integer.
    pub seed: u64,
    /// Its only source of chance.
    pub rng: fastrand::Rng,
    /// Its circumstances.
    pub vary: Vary,
    /// Tell its story.
    pub story: bool,
    /// What the scheduler looks at and the invariants are checked on.
    pub book: &'a MemRecords,
    /// What the steps run over: `book` itself, or a store that keeps `book` to the letter.
    pub records: &'a dyn Records,
    /// What carries its messages: `Bus::default()`, or one that a broker stands behind.
    pub bus: Bus,
}

/// Builds the ports of one run over memory, hands it over, and gives back what the systems came to.
pub fn with_run(
    seed: u64,
    rng: fastrand::Rng,
    vary: Vary,
    world: World,
    story: bool,
    play: impl FnOnce(&mut Run<'_>),
) -> Stage {
    let book = MemRecords::new();
    with_ports(Ports { seed, rng, vary, story, book: &book, records: &book, bus: Bus::default() }, world, play)
}

/// [`with_run`] over ports of the caller's.
pub fn with_ports(ports: Ports<'_>, world: World, play: impl FnOnce(&mut Run<'_>)) -> Stage {
    let Ports { seed, rng, vary, story, book, records, bus } = ports;
    let world = Arc::new(world);
    let clock = Arc::new(ManualClock::at(beginning()));
    let ids = Arc::new(SeededIds::new(seed));
    let settings = Limits { fast_delta: vary.fast_delta, ..Limits::default() };
    let accounts: Vec<AccountId> = (1..=vary.accounts).map(account).collect();
    let records = Paced(records);
    let mut stage = Stage::new(Arc::clone(&clock), Arc::clone(&ids), rng, vary.clone(), Arc::clone(&world));
    stage.bus = bus;
    if story {
        stage.trace = Some(vec![format!("{vary:?}")]);
    }
    let (stage, marks) = (Mutex::new(stage), Mutex::new(Watermarks::new()));
    {
        let (suitex, netsuite) = (SimRemote::new(Side::Suitex, &stage), SimRemote::new(Side::Netsuite, &stage));
        let core = Core {
            records: &records,
            remotes: PerSide { suitex: &suitex, netsuite: &netsuite },
            world: &world,
            clock: clock.as_ref(),
            ids: ids.as_ref(),
            settings: &settings,
        };
        play(&mut Run::new(core, book, &stage, &marks, &clock, accounts));
    }
    stage.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Beginning, storm, end, and everything once more.
fn play(run: &mut Run<'_>, vary: &Vary, at_rest: &mut AtRest<'_>) -> Vec<String> {
    run.populate();
    if vary.begin_agreed {
        if !run.drain(true) {
            return vec!["before anything went wrong".to_owned()];
        }
        lock(run.stage).faults = vary.faults;
    }
    run.storm();
    if !run.failures.is_empty() || !run.drain(true) {
        return Vec::new();
    }
    let mut breaches = at_rest(run.records);
    breaches.extend({
        let (book, mut stage) = (run.records.book(), lock(run.stage));
        tally(&book, &mut stage);
        check(&book, &stage)
    });
    if breaches.is_empty() {
        breaches.extend(run.repeat());
    }
    breaches
}

fn tally(book: &crate::memory::Book, stage: &mut Stage) {
    let records = || book.records.values().map(|kept| &kept.record);
    let adopted = records().filter(|record| record.head.merged_into.is_some()).count();
    stage.coverage.add("adopted", adopted);
    let entries = book.records.values().flat_map(|kept| &kept.log).map(|row| &row.entry);
    let renamed = |entry: &&Entry| matches!(entry, Entry::Renormalisation(other) if !other.heirs.is_empty());
    stage.coverage.add("a stranger was ours", entries.filter(renamed).count());
    let again = |record: &&model::record::Record| Side::BOTH.iter().any(|side| record.shadows[*side].generation > 1);
    stage.coverage.add("recreated", records().filter(again).count());
    if stage.vary.accounts > 1 {
        stage.coverage.hit("two tenants");
    }
}

//! The JavaScript engine: contexts that have a script loaded, and the calls of its entry points.
//!
//! A context belongs to one script and is used again: its files are parsed once, the modules they define are made anew
//! for every run, as each of NetSuite's runs has its own. A context goes when a script has left something behind in it
//! (a global, a limit it ran into) and after some thousand runs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use fastrand::Rng;
use rquickjs::context::EvalOptions;
use rquickjs::{CatchResultExt, Context, Ctx, Function, Object, Runtime};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::fault::Fault;
use super::objects::Script;
use super::project::Project;
use super::run::Run;

/// Runs of one context; memory that a script leaks inside the engine goes with it.
const MOST_RUNS: u32 = 5_000;
/// Oracle gives no figure; a script of this size is a mistake.
const MEMORY: usize = 64 * 1024 * 1024;
/// A save made by a RESTlet runs user events on the same thread: two of these fit its two mebibytes.
const STACK: usize = 512 * 1024;
/// Jobs (steps of promises) of one run.
const MOST_JOBS: u32 = 100_000;
/// Contexts of one script that wait for work.
const MOST_IDLE: usize = 16;

const PLATFORM: [(&str, &str); 3] = [
    ("platform/record.js", include_str!("platform/record.js")),
    ("platform/services.js", include_str!("platform/services.js")),
    ("platform/calls.js", include_str!("platform/calls.js")),
];
const BOOT: &str = include_str!("platform/boot.js");
/// Where the platform is kept in a context; scripts have no business there.
const HIDDEN: &str = "\u{1}platform";

/// What came of a call.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The entry point's answer.
    Done(Json),
    /// The script has no such entry point.
    Absent,
    /// It threw, or ran into a limit.
    Failed(Fault),
}

/// Where the run that a context is busy with can be found by the functions in it.
type Desk = Arc<Mutex<Option<Run>>>;

/// One context with one script.
struct Engine {
    context: Context,
    desk: Desk,
    deadline: Arc<Mutex<Option<Instant>>>,
    runs: u32,
}

/// The idle contexts of one script.
pub(crate) struct Pool {
    project: Arc<Project>,
    script: Arc<Script>,
    idle: Mutex<Vec<Engine>>,
}

/// The platform's word for what came of a call.
#[derive(Debug, Deserialize)]
struct Settled {
    kind: String,
    #[serde(default)]
    value: Json,
    leaks: bool,
}

/// The platform's word for what is in a script.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Entries {
    Names(Vec<String>),
    Error(Json),
}

impl Pool {
    pub(crate) fn new(project: Arc<Project>, script: Arc<Script>) -> Self {
        Self { project, script, idle: Mutex::default() }
    }

    /// Gets contexts ready, so that the first calls need not wait for them.
    ///
    /// # Errors
    /// What is wrong with the script.
    pub(crate) fn warm(&self, contexts: usize) -> Result<Vec<String>, Fault> {
        let mut entries = Vec::new();
        for _ in 0..contexts {
            let engine = Engine::new(self.project.clone())?;
            entries = engine.entries(&self.script.file)?;
            self.put(engine);
        }
        Ok(entries)
    }

    /// Calls an entry point; whatever comes of it, the run comes back with what it used.
    pub(crate) fn call(&self, run: Run, entry: &str, shape: &str, argument: &str) -> (Outcome, Run) {
        let idle = self.lock().pop();
        let mut engine = match idle.map_or_else(|| Engine::new(self.project.clone()), Ok) {
            Ok(engine) => engine,
            Err(fault) => return (Outcome::Failed(fault), run),
        };
        let (outcome, run, is_clean) = engine.call(run, &self.script.file, entry, shape, argument);
        if is_clean && engine.runs < MOST_RUNS {
            self.put(engine);
        }
        (outcome, run)
    }

    fn put(&self, engine: Engine) {
        let mut idle = self.lock();
        if idle.len() < MOST_IDLE {
            idle.push(engine);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Engine>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    fn new(project: Arc<Project>) -> Result<Self, Fault> {
        let broken = |error: rquickjs::Error| Fault::broken(&error.to_string());
        let runtime = Runtime::new().map_err(broken)?;
        runtime.set_memory_limit(MEMORY);
        runtime.set_max_stack_size(STACK);
        let deadline: Arc<Mutex<Option<Instant>>> = Arc::default();
        let watched = deadline.clone();
        runtime.set_interrupt_handler(Some(Box::new(move || {
            let deadline = watched.lock().unwrap_or_else(PoisonError::into_inner);
            deadline.is_some_and(|deadline| Instant::now() >= deadline)
        })));
        let context = Context::full(&runtime).map_err(broken)?;
        let desk: Desk = Arc::default();
        let at_hand = desk.clone();
        context.with(|ctx| {
            let booted = boot(&ctx, at_hand, project).catch(&ctx);
            booted.map_err(|error| Fault::broken(&error.to_string()))
        })?;
        Ok(Self { context, desk, deadline, runs: 0 })
    }

    fn entries(&self, path: &str) -> Result<Vec<String>, Fault> {
        let text = self.context.with(|ctx| {
            let text = platform(&ctx).and_then(|platform| {
                let entries: Function<'_> = platform.get("entries")?;
                entries.call::<_, String>((path,))
            });
            text.catch(&ctx).map_err(|error| Fault::broken(&format!("{path}: {error}")))
        })?;
        match serde_json::from_str(&text) {
            Ok(Entries::Names(names)) => Ok(names),
            Ok(Entries::Error(error)) => Err(Fault::thrown(error)),
            Err(error) => Err(Fault::broken(&error.to_string())),
        }
    }

    /// Whether the context can be used again stands last.
    fn call(&mut self, run: Run, path: &str, entry: &str, shape: &str, argument: &str) -> (Outcome, Run, bool) {
        self.runs += 1;
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = Some(run.deadline);
        *self.lock() = Some(run);
        let settled = self.context.with(|ctx| {
            let settled = settled(&ctx, path, entry, shape, argument);
            settled.catch(&ctx).map_err(|error| error.to_string())
        });
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let run = self.lock().take().expect("a run stays at the desk until its call is over");
        let is_late = Instant::now() >= run.deadline;
        let settled = settled.and_then(|text| serde_json::from_str::<Settled>(&text).map_err(|e| e.to_string()));
        let (outcome, is_clean) = match settled {
            Ok(settled) => (told(&settled), !settled.leaks),
            Err(_) if is_late => (Outcome::Failed(Fault::out_of_time()), false),
            Err(text) => (Outcome::Failed(Fault::broken(&text)), false),
        };
        // What a script caught does not save it: it has no units left to go on with.
        let outcome = if run.is_spent { Outcome::Failed(Fault::out_of_units()) } else { outcome };
        (outcome, run, is_clean)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Run>> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn told(settled: &Settled) -> Outcome {
    match settled.kind.as_str() {
        "done" => Outcome::Done(settled.value.clone()),
        "absent" => Outcome::Absent,
        "failed" => Outcome::Failed(Fault::thrown(settled.value.clone())),
        // A promise that nothing will settle any more.
        _ => Outcome::Failed(Fault::broken("the script's promise is never settled")),
    }
}

fn platform<'js>(ctx: &Ctx<'js>) -> rquickjs::Result<Object<'js>> {
    ctx.globals().get(HIDDEN)
}

fn settled(ctx: &Ctx<'_>, path: &str, entry: &str, shape: &str, argument: &str) -> rquickjs::Result<String> {
    let platform = platform(ctx)?;
    let call: Function<'_> = platform.get("call")?;
    call.call::<_, ()>((path, entry, shape, argument))?;
    let mut jobs = 0;
    while jobs < MOST_JOBS && ctx.execute_pending_job() {
        jobs += 1;
    }
    let outcome: Function<'_> = platform.get("outcome")?;
    outcome.call(())
}

/// Puts the platform into a new context.
fn boot(ctx: &Ctx<'_>, desk: Desk, project: Arc<Project>) -> rquickjs::Result<()> {
    let native = Object::new(ctx.clone())?;
    native.set(
        "op",
        Function::new(ctx.clone(), move |name: String, arguments: String| answer(&desk, &name, &arguments))?,
    )?;
    let compile = move |ctx: Ctx<'_>, path: String| -> rquickjs::Result<()> {
        let Some(source) = project.source(&path) else {
            let text = json!(format!("Module does not exist: {path}"));
            let thrown = format!("throw Object.assign(new Error({text}), {{ name: 'MODULE_DOES_NOT_EXIST' }})");
            return ctx.eval(thrown);
        };
        evaluate(&ctx, &path, source)
    };
    native.set("compile", Function::new(ctx.clone(), compile)?)?;
    let mut rng = Rng::new();
    native.set("random", Function::new(ctx.clone(), rquickjs::function::MutFn::new(move || rng.f64()))?)?;
    let boot: Function<'_> = evaluate(ctx, "platform/boot.js", BOOT)?;
    let platform: Object<'_> = boot.call((native,))?;
    for (name, source) in PLATFORM {
        evaluate::<Function<'_>>(ctx, name, source)?.call::<_, ()>((platform.clone(),))?;
    }
    ctx.globals().set(HIDDEN, platform)
}

fn evaluate<'js, T: rquickjs::FromJs<'js>>(ctx: &Ctx<'js>, path: &str, source: &str) -> rquickjs::Result<T> {
    let mut options = EvalOptions::default();
    options.strict = false;
    options.filename = Some(path.to_owned());
    ctx.eval_with_options(source, options)
}

/// One call of the platform, answered by the run at the desk.
///
/// The run is taken off the desk while it works: what it does may make other scripts run, and take long.
fn answer(desk: &Desk, name: &str, arguments: &str) -> String {
    let taken = desk.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut run) = taken else {
        return json!({ "error": { "name": "UNEXPECTED_ERROR", "message": "no script is running" } }).to_string();
    };
    let answer = match serde_json::from_str(arguments) {
        Ok(arguments) => run.answer(name, &arguments),
        Err(_) => Err(Fault::new("SSS_INVALID_TYPE_ARG", "an argument holds text that is no text")),
    };
    *desk.lock().unwrap_or_else(PoisonError::into_inner) = Some(run);
    match answer {
        Ok(value) => json!({ "value": value }).to_string(),
        Err(fault) => json!({ "error": { "name": fault.name, "message": fault.message } }).to_string(),
    }
}

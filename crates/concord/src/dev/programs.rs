//! The programs a local stack is made of, and where they are found on this machine.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Services in the order in which they are listed; every one runs in every stack.
pub const SERVICES: &[&str] = &[
    "ingest",
    "outbox-relay",
    "poller",
    "merge-service",
    "netsuite-writer",
    "suitex-writer",
    "reconciler",
    "dlq-handler",
    "console",
];

/// The simulator's program and process name.
pub const SIMULATOR: &str = "netsuite-sim";

/// Google's Pub/Sub emulator: its jar, run by java directly (the `gcloud` wrapper leaves java behind when it is stopped).
#[derive(Debug, Clone)]
pub struct Emulator {
    /// The java program.
    pub java: PathBuf,
    /// `cloud-pubsub-emulator-*.jar`.
    pub jar: PathBuf,
}

/// Everything that was found.
#[derive(Debug, Clone)]
pub struct Programs {
    /// Folder with `postgres` and `initdb`.
    pub postgres: PathBuf,
    /// `setpriv`, which makes a child end with us; Debian always has it.
    pub setpriv: Option<PathBuf>,
    /// The emulator, where it and java are installed.
    pub emulator: Option<Emulator>,
    /// Folder of the services: the one our own executable lies in.
    pub services: PathBuf,
}

/// Places named by the environment; all optional.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    /// `CONCORD_PG_BIN`: folder of the Postgres programs.
    pub postgres: Option<PathBuf>,
    /// `CONCORD_PUBSUB_EMULATOR_JAR`: the emulator's jar.
    pub emulator_jar: Option<PathBuf>,
    /// `PATH`, split.
    pub path: Vec<PathBuf>,
    /// The home folder.
    pub home: Option<PathBuf>,
}

impl Programs {
    /// Looks for everything a stack may need.
    ///
    /// # Errors
    /// When Postgres, or a service beside our own executable, is missing; the sentence says how to get it.
    pub fn find(hints: &Hints) -> Result<Self> {
        let own = env::current_exe().context("the path of this program cannot be read")?;
        let services = own.parent().context("this program lies in no folder")?.to_owned();
        for name in SERVICES.iter().chain([&SIMULATOR]) {
            if !services.join(name).is_file() {
                bail!("{name} is not built beside {}: run `cargo build --workspace --bins`", own.display());
            }
        }
        Ok(Self { postgres: postgres(hints)?, setpriv: on_path("setpriv", hints), emulator: emulator(hints), services })
    }
}

fn on_path(name: &str, hints: &Hints) -> Option<PathBuf> {
    hints.path.iter().map(|folder| folder.join(name)).find(|p| p.is_file())
}

/// The folder of the Postgres programs: `CONCORD_PG_BIN`, `PATH`, Debian's folders (newest first), what set-up unpacked.
fn postgres(hints: &Hints) -> Result<PathBuf> {
    if let Some(folder) = &hints.postgres {
        if complete(folder) {
            return Ok(folder.clone());
        }
        bail!("CONCORD_PG_BIN is {}, where postgres and initdb are not both found", folder.display());
    }
    let from_path = on_path("postgres", hints).and_then(|p| p.canonicalize().ok()?.parent().map(Path::to_owned));
    let mut candidates: Vec<PathBuf> = from_path.into_iter().collect();
    candidates.extend(debian_folders());
    for unpacked in ["/var/lib/concord/postgres", ".concord/postgres-programs"] {
        candidates.push(Path::new(unpacked).join("pgserver/pginstall/bin"));
        candidates.push(Path::new(unpacked).join("package/native/bin"));
    }
    candidates
        .into_iter()
        .find(|folder| complete(folder))
        .map(|folder| folder.canonicalize().unwrap_or(folder))
        .context("no Postgres programs were found (PATH, /usr/lib/postgresql/*/bin, CONCORD_PG_BIN): run `.ci/setup`")
}

fn complete(folder: &Path) -> bool {
    folder.join("postgres").is_file() && folder.join("initdb").is_file()
}

fn debian_folders() -> Vec<PathBuf> {
    let mut versions: Vec<u32> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions.into_iter().map(|v| PathBuf::from(format!("/usr/lib/postgresql/{v}/bin"))).collect()
}

fn emulator(hints: &Hints) -> Option<Emulator> {
    let java = on_path("java", hints)?;
    let jar = match &hints.emulator_jar {
        Some(jar) => jar.is_file().then(|| jar.clone())?,
        None => sdk_roots(hints).iter().find_map(|root| jar_below(root))?,
    };
    Some(Emulator { java, jar })
}

fn sdk_roots(hints: &Hints) -> Vec<PathBuf> {
    let gcloud = on_path("gcloud", hints).and_then(|p| Some(p.canonicalize().ok()?.parent()?.parent()?.to_owned()));
    gcloud
        .into_iter()
        .chain([PathBuf::from("/usr/lib/google-cloud-sdk")])
        .chain(hints.home.iter().map(|home| home.join("google-cloud-sdk")))
        .collect()
}

fn jar_below(root: &Path) -> Option<PathBuf> {
    let folder = root.join("platform/pubsub-emulator/lib");
    let mut jars: Vec<PathBuf> = fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.starts_with("cloud-pubsub-emulator-") && name.ends_with(".jar")
        })
        .collect();
    jars.sort();
    jars.pop()
}

//! The named mutations of the semantics (§4): a copy of the sources with a switch at every line a mutation breaks, so that
//! one build runs them all. The product's own sources know nothing of it, and nothing of it can be shipped.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use toml::{Table, Value};

/// The list, compiled in.
const LIST: &str = include_str!("../mutants/list.toml");
/// What the copy's `model` gets as its module `mutation`.
const SWITCH: &str = include_str!("../mutants/switch.rs");
/// What a patch's text has where the switch comes.
const PLACEHOLDER: &str = "ON";
/// Most mutations one set of switches holds.
const MOST: usize = 128;
/// What of the workspace is copied.
const COPIED: [&str; 8] =
    [".cargo", "Cargo.lock", "Cargo.toml", "crates", "migrations", "proto", "rust-toolchain.toml", "tests"];

/// One line of a source made wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// The source, from the workspace's folder.
    pub file: String,
    /// Text that stands in it exactly once.
    pub find: String,
    /// What stands there instead.
    pub replace: String,
}

/// A named way to be wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutation {
    /// Its name.
    pub name: String,
    /// The list's words for it.
    pub what: String,
    /// Where.
    pub patches: Vec<Patch>,
}

/// The list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// Every mutation.
    pub mutations: Vec<Mutation>,
    /// Mutations switched on together: safeties that back each other up.
    pub together: Vec<Vec<String>>,
    /// What has no place in this design, and why.
    pub absent: Vec<(String, String)>,
}

/// Why the sources could not be mutated.
#[derive(Debug, thiserror::Error)]
pub enum MutantError {
    /// The list is wrong.
    #[error("the list of mutations: {0}")]
    List(String),
    /// A patch does not fit the source.
    #[error("mutation {name}: what it looks for stands {times} times in {file}, and should stand there once")]
    Fit {
        /// The mutation.
        name: String,
        /// The source.
        file: String,
        /// How often its text was found.
        times: usize,
    },
    /// The disk.
    #[error("{path}: {source}", path = .path.display())]
    Disk {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn disk(path: &Path) -> impl FnOnce(io::Error) -> MutantError {
    move |source| MutantError::Disk { path: path.to_owned(), source }
}

fn text(table: &Table, name: &str) -> Result<String, MutantError> {
    let found = table.get(name).and_then(Value::as_str).map(|text| text.strip_prefix('\n').unwrap_or(text).to_owned());
    found.ok_or_else(|| MutantError::List(format!("{name} is missing in {table}")))
}

fn tables<'a>(table: &'a Table, name: &str) -> impl Iterator<Item = &'a Table> {
    table.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_table)
}

impl List {
    /// The list as it is compiled in.
    ///
    /// # Errors
    /// A list that cannot be read, or names a mutation it does not have.
    pub fn read() -> Result<Self, MutantError> {
        let whole: Table = LIST.parse().map_err(|error: toml::de::Error| MutantError::List(error.to_string()))?;
        let mut mutations = Vec::new();
        for table in tables(&whole, "mutation") {
            let patch = |table| {
                let (file, find, replace) = (text(table, "file")?, text(table, "find")?, text(table, "replace")?);
                Ok(Patch { file, find, replace })
            };
            let patches = tables(table, "patch").map(patch).collect::<Result<_, MutantError>>()?;
            mutations.push(Mutation { name: text(table, "name")?, what: text(table, "what")?, patches });
        }
        let mut together = Vec::new();
        for table in tables(&whole, "together") {
            let names = table.get("names").and_then(Value::as_array).into_iter().flatten();
            let names: Vec<String> = names.filter_map(|name| name.as_str().map(str::to_owned)).collect();
            if let Some(name) = names.iter().find(|name| !mutations.iter().any(|m| m.name == **name)) {
                return Err(MutantError::List(format!("there is no mutation {name}")));
            }
            together.push(names);
        }
        let absent = tables(&whole, "absent").map(|table| Ok((text(table, "what")?, text(table, "why")?)));
        let absent = absent.collect::<Result<_, MutantError>>()?;
        if mutations.len() > MOST {
            return Err(MutantError::List(format!("{} mutations, at most {MOST}", mutations.len())));
        }
        Ok(Self { mutations, together, absent })
    }

    /// Sources with every switch in place: file and new text. `read` answers a source's text.
    ///
    /// # Errors
    /// A patch that does not fit.
    pub fn patched(
        &self,
        read: &dyn Fn(&str) -> Result<String, MutantError>,
    ) -> Result<Vec<(String, String)>, MutantError> {
        let mut changed: Vec<(String, String)> = Vec::new();
        for (number, mutation) in self.mutations.iter().enumerate() {
            let switch = format!("model::mutation::on({number})");
            for patch in &mutation.patches {
                let at = match changed.iter().position(|(file, _)| *file == patch.file) {
                    Some(at) => at,
                    None => {
                        changed.push((patch.file.clone(), read(&patch.file)?));
                        changed.len() - 1
                    }
                };
                let source = &mut changed[at].1;
                let times = source.matches(&patch.find).count();
                if times != 1 {
                    return Err(MutantError::Fit { name: mutation.name.clone(), file: patch.file.clone(), times });
                }
                *source = source.replacen(&patch.find, &patch.replace.replace(PLACEHOLDER, &switch), 1);
            }
        }
        Ok(changed)
    }

    /// Writes the mutated copy of the workspace in `from` into the folder `to`; files that are right are left alone.
    ///
    /// # Errors
    /// A patch that does not fit, or the disk.
    pub fn prepare(&self, from: &Path, to: &Path) -> Result<(), MutantError> {
        let read = |file: &str| fs::read_to_string(from.join(file)).map_err(disk(&from.join(file)));
        let mut sources = self.patched(&read)?;
        let names: Vec<&str> = self.mutations.iter().map(|mutation| mutation.name.as_str()).collect();
        sources.push((
            "crates/model/src/mutation.rs".to_owned(),
            format!("{SWITCH}\nconst NAMES: &[&str] = &{names:?};\n"),
        ));
        let library = "crates/model/src/lib.rs".to_owned();
        let with_switch = format!("{}\npub mod mutation;\n", read(&library)?);
        sources.push((library, with_switch));
        let ours: BTreeSet<PathBuf> = sources.iter().map(|(file, _)| to.join(file)).collect();
        for name in COPIED {
            copy(&from.join(name), &to.join(name), &ours)?;
        }
        for (file, source) in sources {
            write(&to.join(file), source.as_bytes())?;
        }
        Ok(())
    }
}

/// Copies what is not in `ours`.
fn copy(from: &Path, to: &Path, ours: &BTreeSet<PathBuf>) -> Result<(), MutantError> {
    if ours.contains(to) {
        return Ok(());
    }
    if from.is_dir() {
        for entry in fs::read_dir(from).map_err(disk(from))? {
            let name = entry.map_err(disk(from))?.file_name();
            if name != "node_modules" && name != "target" {
                copy(&from.join(&name), &to.join(&name), ours)?;
            }
        }
        return Ok(());
    }
    write(to, &fs::read(from).map_err(disk(from))?)
}

/// Leaves a file alone that holds just this: what has not changed is not built again.
fn write(path: &Path, content: &[u8]) -> Result<(), MutantError> {
    if fs::read(path).is_ok_and(|held| held == content) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(disk(folder))?;
    }
    fs::write(path, content).map_err(disk(path))
}

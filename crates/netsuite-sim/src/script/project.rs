//! The SuiteScript project that is deployed in an account: its files, and the scripts its objects describe.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rust_embed::RustEmbed;

use super::objects::{self, ObjectFault, Script};

/// Concord's own project, as it stood when this program was built.
#[derive(RustEmbed)]
#[folder = "../../deploy/netsuite/src"]
struct Embedded;

const CABINET: &str = "FileCabinet";
const MANIFEST: &str = "deploy.xml";
/// Files of a project, folders counted out: SDF itself takes far more.
const MOST_FILES: usize = 2_000;

/// What is deployed in an account.
#[derive(Debug)]
pub(crate) struct Project {
    /// Path in the file cabinet (`/SuiteScripts/concord/delta.js`) → source.
    files: BTreeMap<String, Arc<str>>,
    pub(crate) scripts: Vec<Arc<Script>>,
}

/// Why a project cannot be deployed.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// A file or folder cannot be read.
    #[error("the file {path} of the SuiteScript project cannot be read")]
    Unreadable {
        /// Path as looked for.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is no text.
    #[error("the file {0} of the SuiteScript project is not UTF-8")]
    NoText(String),
    /// More files than a project has.
    #[error("the SuiteScript project has more than {MOST_FILES} files: is its folder the right one?")]
    TooLarge,
    /// An object is not what SDF takes.
    #[error("{path}: {source}")]
    Object {
        /// Path inside the project.
        path: String,
        /// What is wrong.
        #[source]
        source: Box<ObjectFault>,
    },
    /// A script names a file that is not there.
    #[error("the script {script} names the file {file}, which the project does not have")]
    MissingFile {
        /// Script id.
        script: String,
        /// Path in the file cabinet.
        file: String,
    },
}

impl Project {
    /// Reads the project in a folder laid out as SDF wants it (`deploy.xml`, `FileCabinet`, `Objects`), or the one
    /// that this program carries.
    ///
    /// # Errors
    /// A file that cannot be read, or an object that makes no sense.
    pub(crate) fn read(folder: Option<&Path>) -> Result<Self, ProjectError> {
        let texts = match folder {
            Some(folder) => on_disk(folder)?,
            None => embedded()?,
        };
        let fault = |path: &str, source| ProjectError::Object { path: path.to_owned(), source: Box::new(source) };
        let manifest = texts.get(MANIFEST).map_or("", String::as_str);
        let deployed = objects::deployed(manifest).map_err(|source| fault(MANIFEST, source))?;
        let mut scripts = Vec::new();
        for (path, text) in texts.iter().filter(|(path, _)| deployed.names(path)) {
            scripts.extend(objects::script(text).map_err(|source| fault(path, source))?.map(Arc::new));
        }
        let files: BTreeMap<String, Arc<str>> = texts
            .into_iter()
            .filter_map(|(path, text)| Some((path.strip_prefix(CABINET)?.to_owned(), Arc::from(text))))
            .collect();
        if let Some(script) = scripts.iter().find(|script| !files.contains_key(&script.file)) {
            return Err(ProjectError::MissingFile { script: script.id.clone(), file: script.file.clone() });
        }
        Ok(Self { files, scripts })
    }

    /// The source of a file in the cabinet.
    pub(crate) fn source(&self, path: &str) -> Option<&Arc<str>> {
        self.files.get(path)
    }

    /// The script of that id.
    pub(crate) fn script(&self, id: &str) -> Option<&Arc<Script>> {
        self.scripts.iter().find(|script| script.id == id)
    }
}

fn embedded() -> Result<BTreeMap<String, String>, ProjectError> {
    Embedded::iter()
        .filter_map(|path| Embedded::get(&path).map(|file| (path, file)))
        .map(|(path, file)| {
            let text = match file.data {
                Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(str::to_owned),
                Cow::Owned(bytes) => String::from_utf8(bytes).map_err(|error| error.utf8_error()),
            };
            text.map(|text| (path.to_string(), text)).map_err(|_| ProjectError::NoText(path.to_string()))
        })
        .collect()
}

fn on_disk(root: &Path) -> Result<BTreeMap<String, String>, ProjectError> {
    let unreadable = |path: &Path, source| ProjectError::Unreadable { path: path.to_owned(), source };
    let mut texts = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|source| unreadable(&folder, source))? {
            let path = entry.map_err(|source| unreadable(&folder, source))?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if !path.extension().is_some_and(|kind| kind == "js" || kind == "xml") {
                continue;
            }
            let bytes = std::fs::read(&path).map_err(|source| unreadable(&path, source))?;
            let inside = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            let text = String::from_utf8(bytes).map_err(|_| ProjectError::NoText(inside.clone()))?;
            texts.insert(inside, text);
            if texts.len() > MOST_FILES {
                return Err(ProjectError::TooLarge);
            }
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::super::objects::ScriptKind;
    use super::*;

    #[test]
    fn the_program_carries_the_scripts_that_its_objects_deploy() {
        let project = Project::read(None).unwrap();
        let found: Vec<(&str, ScriptKind)> =
            project.scripts.iter().map(|script| (script.id.as_str(), script.kind)).collect();
        assert_eq!(
            found,
            [
                ("customscript_concord_flush", ScriptKind::MapReduce),
                ("customscript_concord_query", ScriptKind::Restlet),
                ("customscript_concord_ue", ScriptKind::UserEvent),
                ("customscript_concord_write", ScriptKind::Restlet),
            ]
        );
        let on_disk = Project::read(Some(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/netsuite/src"))));
        assert_eq!(on_disk.unwrap().files, project.files, "the files in the program are those of the project");
    }

    #[test]
    fn a_script_without_its_file_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| std::fs::write(folder.path().join(path), text).unwrap();
        std::fs::create_dir(folder.path().join("Objects")).unwrap();
        write("deploy.xml", "<deploy><objects><path>~/Objects/*</path></objects></deploy>");
        write(
            "Objects/customscript_a.xml",
            r#"<restlet scriptid="customscript_a"><scriptfile>[/SuiteScripts/a.js]</scriptfile></restlet>"#,
        );
        let error = Project::read(Some(folder.path())).unwrap_err();
        assert!(error.to_string().contains("/SuiteScripts/a.js"), "{error}");
    }
}

//! Google's Pub/Sub emulator as a child process.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::sync::Mutex;

const LIB: &str = "platform/pubsub-emulator/lib";

pub(crate) struct Emulator {
    jar: PathBuf,
    port: u16,
    host: String,
    child: Mutex<Child>,
}

impl Emulator {
    /// Starts the emulator, or explains why the Pub/Sub cases are left out.
    pub(crate) async fn start_if_installed() -> Option<Self> {
        let Some(jar) = find_jar() else {
            let required = std::env::var_os("CONCORD_REQUIRE_PUBSUB").is_some_and(|value| value == "1");
            assert!(!required, "CONCORD_REQUIRE_PUBSUB=1, and Google's Pub/Sub emulator is not installed");
            eprintln!("left out: Google's Pub/Sub emulator is not installed (google-cloud-cli-pubsub-emulator)");
            return None;
        };
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let child = Mutex::new(spawn(&jar, port));
        let emulator = Self { jar, port, host: format!("127.0.0.1:{port}"), child };
        emulator.answers().await;
        Some(emulator)
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) async fn kill(&self) {
        self.child.lock().await.kill().await.expect("the emulator can be killed");
    }

    pub(crate) async fn restart(&self) {
        *self.child.lock().await = spawn(&self.jar, self.port);
        self.answers().await;
    }

    async fn answers(&self) {
        let url = format!("http://{}/", self.host);
        let answered = async {
            while reqwest::get(&url).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), answered).await.expect("the emulator answers within a minute");
    }
}

fn spawn(jar: &Path, port: u16) -> Child {
    Command::new("java")
        .args(["-Xmx512m", "-jar"])
        .arg(jar)
        .args(["--host=127.0.0.1".to_owned(), format!("--port={port}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("java is there when the emulator is installed")
}

/// The emulator's jar: named, beside the `gcloud` of the PATH, or in Debian's place.
fn find_jar() -> Option<PathBuf> {
    if let Some(jar) = std::env::var_os("CONCORD_PUBSUB_EMULATOR_JAR") {
        return Some(PathBuf::from(jar)).filter(|jar| jar.exists());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let beside_gcloud = std::env::split_paths(&path)
        .filter_map(|folder| folder.join("gcloud").canonicalize().ok())
        .filter_map(|gcloud| Some(gcloud.parent()?.parent()?.join(LIB)));
    beside_gcloud.chain([Path::new("/usr/lib/google-cloud-sdk").join(LIB)]).find_map(|folder| {
        let jars = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
        jars.filter(|jar| {
            let name = jar.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with("cloud-pubsub-emulator") && name.ends_with(".jar")
        })
        .max()
    })
}

//! Google's Pub/Sub emulator: is it here?

use std::path::Path;

/// Whether Google's emulator can be started; said aloud when not, and a failure where it must be.
pub(crate) fn the_emulator_is_here() -> bool {
    let here = emulator_is_here();
    let required = setting("CONCORD_REQUIRE_PUBSUB").is_some_and(|value| value == "1");
    assert!(here || !required, "CONCORD_REQUIRE_PUBSUB=1, and Google's emulator or java is not installed");
    if !here {
        println!("skipped: Google's Pub/Sub emulator or java is not installed");
    }
    here
}

/// A variable of the test run; none when it is empty.
#[allow(clippy::disallowed_methods)] // the settings of a test run are read here alone
pub(crate) fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn emulator_is_here() -> bool {
    let path = setting("PATH").unwrap_or_default();
    let java = path.split(':').any(|folder| Path::new(folder).join("java").is_file());
    let named = setting("PUBSUB_EMULATOR_HOST").is_some() || setting("CONCORD_PUBSUB_EMULATOR_JAR").is_some();
    let gcloud = path.split(':').map(|folder| Path::new(folder).join("gcloud")).find(|p| p.is_file());
    let roots = gcloud.and_then(|p| Some(p.canonicalize().ok()?.parent()?.parent()?.to_owned()));
    let root = roots.unwrap_or_else(|| "/usr/lib/google-cloud-sdk".into());
    named || (java && root.join("platform/pubsub-emulator/lib").is_dir())
}

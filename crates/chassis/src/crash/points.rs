//! The points themselves. Nothing but the standard library, so that a test can compile this file alone, as a release build
//! does, and look at what is left of it.
#![allow(unreachable_pub)] // what that test compiles is a library

use std::path::PathBuf;
#[cfg(debug_assertions)]
use std::sync::OnceLock;

#[cfg(debug_assertions)]
struct Armed {
    service: String,
    folder: PathBuf,
}

#[cfg(debug_assertions)]
static ARMED: OnceLock<Armed> = OnceLock::new();

/// Arms the points of this process, once; does nothing where there are none.
pub fn arm(service: &str, folder: PathBuf) {
    #[cfg(debug_assertions)]
    let _ = ARMED.set(Armed { service: service.to_owned(), folder });
    #[cfg(not(debug_assertions))]
    let _ = (service, folder);
}

/// Are the points of this process armed?
#[cfg(debug_assertions)]
pub fn armed() -> bool {
    ARMED.get().is_some()
}

/// Dies here, if a file asks for it.
#[cfg_attr(not(debug_assertions), inline)]
pub fn point(name: &str) {
    #[cfg(debug_assertions)]
    if let Some(Armed { service, folder }) = ARMED.get() {
        // Of all processes that come by, one removes the file.
        if std::fs::remove_file(folder.join(format!("{service}.{name}"))).is_ok() {
            eprintln!("{service} dies at its crash point {name}");
            std::process::abort();
        }
    }
    let _ = name;
}

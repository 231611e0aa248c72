//! The store in memory under the suite every implementation of `Records` is held to.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

use std::sync::Arc;

use store::records::Records;
use testkit::memory::MemRecords;

async fn make() -> (Arc<dyn Records>, ()) {
    (Arc::new(MemRecords::new()), ())
}

store::records_conformance!(make);

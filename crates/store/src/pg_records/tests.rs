//! The conformance suite over Postgres, and what only tables show.

use std::sync::Arc;

use crate::PgRecords;
use crate::records::Records;

/// A store over a database of its own, dropped with the guard.
async fn make() -> (Arc<dyn Records>, pgtest::TestDb) {
    let db = pgtest::database().await;
    let records = PgRecords::new(crate::connect(&db.url, 10, "store-tests").await.expect("Postgres answers"));
    (Arc::new(records), db)
}

mod conformance {
    crate::records_conformance!(super::make);
}

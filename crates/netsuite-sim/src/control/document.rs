//! The OpenAPI document of the control API.

use axum::Json;
use utoipa::OpenApi;

use super::{account, clock, records, scripts, settings};

/// Every call of the control API.
#[derive(OpenApi)]
#[openapi(
    info(title = "netsuite-sim control API", description = "What people and tests do to simulated accounts. Loopback only."),
    servers((url = "/_sim/v1")),
    paths(
        records::edit,
        records::copy,
        records::ids,
        records::record,
        records::dump,
        records::generate,
        records::import,
        records::scenarios,
        records::scenario,
        account::ledger,
        account::clear_ledger,
        account::audit,
        account::faults,
        account::add_faults,
        account::clear_faults,
        account::phantoms,
        account::phantom,
        account::schema,
        account::reset,
        scripts::task,
        scripts::log,
        scripts::clear_cache,
        settings::read,
        settings::change,
        clock::read,
        clock::set,
    )
)]
struct Document;

/// The document.
pub(super) async fn read() -> Json<utoipa::openapi::OpenApi> {
    Json(Document::openapi())
}

//! A record as people name it: by its internal id, `netsuite:12345` or `suitex:67`.

use chassis::problem::Problem;
use http::StatusCode;
use model::{AccountId, NativeId, RecordRef, RecordType, Rid, Side};

use crate::Console;
use crate::answer::{bad, problem, store_failed};

/// The record of a path; 404 when nobody knows it.
pub(crate) async fn find(console: &Console, account: &str, record_type: &str, id: &str) -> Result<RecordRef, Problem> {
    let account = AccountId::parse(account).map_err(|error| bad(error.to_string()))?;
    let record_type = RecordType::parse(record_type).map_err(|error| bad(error.to_string()))?;
    if let Ok(rid) = id.parse() {
        return Ok(RecordRef { account, record_type, rid: Rid(rid) });
    }
    let named = id.split_once(':').and_then(|(side, native)| Some((Side::parse(side)?, native)));
    let Some((side, native)) = named else {
        return Err(bad("the id must be an internal id (a UUID), netsuite:ID or suitex:ID"));
    };
    let native = NativeId::parse(native).map_err(|error| bad(error.to_string()))?;
    let wanted = [(record_type.clone(), native)];
    let found = console.engine.records.lookup(&account, side, &wanted).await.map_err(|error| store_failed(&error))?;
    let rid = found.into_values().next().ok_or_else(|| problem(StatusCode::NOT_FOUND, "not_found"))?;
    Ok(RecordRef { account, record_type, rid })
}

//! `accounts/{a}/settings`: features, what the role sees, tier, language, limits and oddities, while the account runs.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::body::Bytes;
use serde_json::{Map, Value, json};

use super::problem::Problem;
use super::{Named, parse, work};
use crate::account::Account;
use crate::world::Settings;

/// All settings.
#[utoipa::path(get, path = "/accounts/{account}/settings", params(("account" = String, Path)),
    responses((status = 200, description = "all settings")))]
pub(super) async fn read(Named(account): Named) -> Json<Value> {
    Json(shown(&account))
}

/// Changes the settings that the body names; answers all. Beside the members of the schema it takes `features` (name to
/// on or off) and `subsidiaries` (the ids that the role is limited to, or null).
#[utoipa::path(patch, path = "/accounts/{account}/settings", params(("account" = String, Path)), request_body = Settings,
    responses((status = 200, description = "all settings"), (status = 400)))]
pub(super) async fn change(Named(account): Named, body: Bytes) -> Result<Json<Value>, Problem> {
    let mut changes: Map<String, Value> = parse(&body)?;
    let features = taken::<BTreeMap<String, bool>>(&mut changes, "features")?;
    let subsidiaries = taken::<Option<BTreeSet<i64>>>(&mut changes, "subsidiaries")?;
    let next = account.world.settings().changed(&changes).map_err(|(name, text)| Problem::field(&name, &text))?;
    let mut overlay = account.world.overlay().as_ref().clone();
    if let Some(features) = features {
        overlay.switch(&features).map_err(|name| Problem::field("features", &format!("there is no feature {name}")))?;
    }
    if let Some(subsidiaries) = subsidiaries {
        overlay.restrict(subsidiaries);
    }
    work(account.clone(), move |account| account.world.put(overlay, next)).await?;
    account.apply_limit();
    Ok(Json(shown(&account)))
}

fn taken<T: serde::de::DeserializeOwned>(changes: &mut Map<String, Value>, name: &str) -> Result<Option<T>, Problem> {
    let Some(value) = changes.remove(name) else { return Ok(None) };
    serde_json::from_value(value).map(Some).map_err(|error| Problem::field(name, &error.to_string()))
}

fn shown(account: &Account) -> Value {
    let overlay = account.world.overlay();
    let mut settings = json!(*account.world.settings());
    settings["features"] = json!(overlay.features());
    settings["subsidiaries"] = json!(overlay.restricted_to());
    settings["concurrency_limit"] = json!(account.pool.limit());
    settings["time_zone"] = json!(account.config.time_zone);
    settings["date_format"] = json!(account.config.date_format);
    settings
}

//! What users and data loads do to records.

use axum::Json;
use axum::body::Bytes;
use axum::extract::Path;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::problem::Problem;
use super::{Named, kind, parse, work};
use crate::world::{Amounts, Author, Edit, Generated, Import, Operation, SCENARIOS, Script, iso};

const MAX_LATE_SECONDS: f64 = 86_400.0;

/// A user's edit.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EditBody {
    /// Name of the user; an unknown one becomes an employee.
    #[serde(default = "anyone")]
    user: String,
    /// Execution context.
    #[serde(default = "by_hand")]
    context: String,
    operation: Operation,
    /// Record type.
    #[serde(rename = "type")]
    type_name: String,
    /// Internal id, as text or number; not for a create.
    #[serde(default)]
    id: Option<Value>,
    /// Fields in SuiteQL spelling with natural JSON values.
    #[serde(default)]
    #[schema(value_type = Object)]
    changes: Map<String, Value>,
    /// Whether user-event scripts run.
    #[serde(default = "yes")]
    scripts: bool,
    /// Whether it is an inline edit, whose scripts get an `xedit` with the changed fields only.
    #[serde(default)]
    inline: bool,
    /// Whole seconds, as stamps have them; parts are rounded up.
    #[serde(default)]
    visible_after_seconds: f64,
}

/// A record to copy.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CopyBody {
    #[serde(default = "anyone")]
    user: String,
    #[serde(default = "by_hand")]
    context: String,
    #[serde(rename = "type")]
    type_name: String,
    id: String,
    #[serde(default = "yes")]
    scripts: bool,
}

fn anyone() -> String {
    "user".to_owned()
}

fn by_hand() -> String {
    "USERINTERFACE".to_owned()
}

fn yes() -> bool {
    true
}

/// Carries out a user's edit.
#[utoipa::path(post, path = "/accounts/{account}/edit", params(("account" = String, Path)), request_body = EditBody,
    responses((status = 200, description = "id, lastModified and, for orders, lines"), (status = 400), (status = 404)))]
pub(super) async fn edit(Named(account): Named, body: Bytes) -> Result<Json<Value>, Problem> {
    let body: EditBody = parse(&body)?;
    let kind = kind(&body.type_name)?;
    let id = match &body.id {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.parse().map_err(|_| Problem::absent())?),
        Some(Value::Number(number)) => number.as_i64(),
        Some(_) => return Err(Problem::field("id", "an id is text of digits")),
    };
    let late = body.visible_after_seconds.ceil();
    if !(0.0..=MAX_LATE_SECONDS).contains(&late) {
        return Err(Problem::field("visible_after_seconds", "visible_after_seconds is from 0 to 86400"));
    }
    let late = late as u32;
    let edit = Edit {
        user: body.user,
        context: body.context,
        operation: body.operation,
        type_name: kind.name.to_owned(),
        id,
        changes: body.changes,
        scripts: body.scripts,
        inline: body.inline,
        visible_after_seconds: late,
    };
    let saved = work(account, move |account| {
        let saved = account.edit(edit)?;
        account.ledger.user_edit();
        Ok(saved)
    })
    .await?;
    let mut answer = json!({ "id": saved.id.to_string(), "lastModified": iso(saved.at) });
    if kind.has_lines() {
        answer["lines"] = saved.lines.iter().map(|(key, id)| (key.clone(), Value::from(id.to_string()))).collect();
    }
    Ok(Json(answer))
}

/// Copies a record as "Make Copy" does, custom fields included.
#[utoipa::path(post, path = "/accounts/{account}/copy", params(("account" = String, Path)), request_body = CopyBody,
    responses((status = 200, description = "id and lastModified of the copy"), (status = 404)))]
pub(super) async fn copy(Named(account): Named, body: Bytes) -> Result<Json<Value>, Problem> {
    let body: CopyBody = parse(&body)?;
    let kind = kind(&body.type_name)?;
    let id = body.id.parse().map_err(|_| Problem::absent())?;
    let author = Author { user: body.user, context: body.context };
    let saved = work(account, move |account| {
        let (saved, scripted) = account.world.copy(kind, id, &author, body.scripts)?;
        account.scripts.after_submit(&scripted);
        Ok(saved)
    })
    .await?;
    Ok(Json(json!({ "id": saved.id.to_string(), "lastModified": iso(saved.at) })))
}

/// The ids of a type.
#[utoipa::path(get, path = "/accounts/{account}/records/{type}", params(("account" = String, Path), ("type" = String, Path)),
    responses((status = 200, description = "ids")))]
pub(super) async fn ids(
    Named(account): Named,
    Path((_, name)): Path<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let kind = kind(&name)?;
    let ids = work(account, move |account| account.world.ids(kind)).await?;
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    Ok(Json(json!({ "ids": ids })))
}

/// A record's stored fields in SuiteQL spelling.
#[utoipa::path(get, path = "/accounts/{account}/records/{type}/{id}",
    params(("account" = String, Path), ("type" = String, Path), ("id" = String, Path)),
    responses((status = 200, description = "id and fields"), (status = 404)))]
pub(super) async fn record(
    Named(account): Named,
    Path((_, name, id)): Path<(String, String, String)>,
) -> Result<Json<Value>, Problem> {
    let kind = kind(&name)?;
    let id: i64 = id.parse().map_err(|_| Problem::absent())?;
    let stored = work(account, move |account| account.world.find(kind, id)).await?.ok_or_else(Problem::absent)?;
    Ok(Json(json!({ "id": id.to_string(), "fields": stored.to_json(kind) })))
}

/// Every record of a type, from one snapshot.
#[utoipa::path(get, path = "/accounts/{account}/dump/{type}", params(("account" = String, Path), ("type" = String, Path)),
    responses((status = 200, description = "records")))]
pub(super) async fn dump(
    Named(account): Named,
    Path((_, name)): Path<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let kind = kind(&name)?;
    let records = work(account, move |account| account.world.dump(kind)).await?;
    Ok(Json(json!({ "records": records })))
}

/// Makes sample records.
#[utoipa::path(post, path = "/accounts/{account}/generate", params(("account" = String, Path)), request_body = Amounts,
    responses((status = 200, body = Generated), (status = 400)))]
pub(super) async fn generate(Named(account): Named, body: Bytes) -> Result<Json<Generated>, Problem> {
    let amounts: Amounts = parse(&body)?;
    Ok(Json(work(account, move |account| account.world.generate(&amounts)).await?))
}

/// Imports rows of CSV or JSON, without scripts unless told otherwise.
#[utoipa::path(post, path = "/accounts/{account}/import", params(("account" = String, Path)), request_body = Import,
    responses((status = 200, description = "ids, created, updated, errors"), (status = 400)))]
pub(super) async fn import(Named(account): Named, body: Bytes) -> Result<Json<Value>, Problem> {
    let import: Import = parse(&body)?;
    let done = work(account, move |account| {
        let (done, scripted) = account.world.import(&import, account.scripts.has_before_submit())?;
        account.scripts.after_submit(&scripted);
        Ok(done)
    })
    .await?;
    Ok(Json(json!(done)))
}

/// The scenarios there are.
#[utoipa::path(get, path = "/accounts/{account}/scenario", params(("account" = String, Path)),
    responses((status = 200, description = "scenarios: name and pitfall")))]
pub(super) async fn scenarios(Named(_): Named) -> Json<Value> {
    let list = SCENARIOS.iter().map(|scenario| json!({ "name": scenario.name, "pitfall": scenario.pitfall }));
    Json(json!({ "scenarios": list.collect::<Vec<_>>() }))
}

/// Plays a scenario.
#[utoipa::path(post, path = "/accounts/{account}/scenario", params(("account" = String, Path)), request_body = Script,
    responses((status = 200, description = "the ids it was done to"), (status = 400)))]
pub(super) async fn scenario(Named(account): Named, body: Bytes) -> Result<Json<Value>, Problem> {
    let script: Script = parse(&body)?;
    Ok(Json(work(account, move |account| account.world.play(&script)).await?))
}

//! The API described by itself (OpenAPI 3.1), from one table, so that a route cannot be described and missing: a test
//! asks each of them.

use axum::Json;
use serde_json::{Map, Value, json};

/// Method, path, role, what it does.
pub(crate) const CALLS: &[(&str, &str, &str, &str)] = &[
    (
        "get",
        "/api/v1/state/{account}/{type}/{id}",
        "viewer",
        "A canonical record; ETag is its version; ?version= or ?at= for the past",
    ),
    ("get", "/api/v1/records/{account}/{type}/{id}/timeline", "viewer", "Every event, decision and write"),
    ("get", "/api/v1/records/{account}/{type}/{id}/blame", "viewer", "Every field with its cause"),
    (
        "post",
        "/api/v1/records/{account}/{type}/{id}/undo",
        "operator",
        "Put back what a version took from a field: field, version, side, note; header Idempotency-Key",
    ),
    (
        "post",
        "/api/v1/replay",
        "admin",
        "What a period would have come to under other policies: account, from, to, policies; writes nothing",
    ),
    ("get", "/api/v1/events", "viewer", "The immutable log; account, type, record, disposition, cursor, limit"),
    (
        "get",
        "/api/v1/events/{account}/{id}/snapshot",
        "viewer",
        "What the producer saw, where the event only says where that lies (full_snapshot_ref)",
    ),
    ("get", "/api/v1/conflicts", "viewer", "Conflicts; account, status, cursor, limit"),
    ("get", "/api/v1/conflicts/{id}", "viewer", "Base, both sides, suggestion, timeline, revision"),
    (
        "post",
        "/api/v1/conflicts/{id}/resolve",
        "operator",
        "Decide: rev, action, changes, note; 409 with the new context if rev moved",
    ),
    ("get", "/api/v1/locks", "operator", "Locks in force"),
    ("post", "/api/v1/locks", "operator", "Lock a record or a field"),
    ("delete", "/api/v1/locks/{id}", "operator", "Release a lock that no open conflict holds"),
    ("get", "/api/v1/errors", "operator", "The error queue; account, status, cursor, limit"),
    ("post", "/api/v1/errors/{id}/retry", "operator", "Another attempt"),
    ("post", "/api/v1/errors/{id}/discard", "operator", "Give it up, knowingly"),
    (
        "get",
        "/api/v1/certificates/{account}/{type}",
        "viewer",
        "The newest certificate of completeness: verified_through, counts, hashes, and what is not complete",
    ),
    (
        "post",
        "/api/v1/certificates/{account}/{type}",
        "operator",
        "Ask for a sweep now; its certificate has answers >= the asked_at given here",
    ),
    (
        "post",
        "/api/v1/resync",
        "operator",
        "Look at records again: account, type, ids; ?plan=true says what that would write and writes nothing; plan carries one out, 409 if what it stands on has moved",
    ),
    ("get", "/api/v1/resync/{id}", "operator", "How a resync or plan stands, and a plan's writes; cursor, limit"),
    ("get", "/api/v1/accounts", "viewer", "Accounts with what waits for each"),
    ("patch", "/api/v1/accounts/{id}", "admin", "Suspend or resume writes"),
];

/// `GET /openapi.json`.
pub(crate) async fn document() -> Json<Value> {
    let mut paths: Map<String, Value> = Map::new();
    for (method, path, role, summary) in CALLS {
        let parameters: Vec<Value> = path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
            .collect();
        let call = json!({
            "summary": summary,
            "description": format!("Needs the role {role}."),
            "x-role": role,
            "parameters": parameters,
            "security": [{ "bearer": [] }],
            "responses": {
                "2XX": { "description": "Done", "content": { "application/json": { "schema": { "type": "object" } } } },
                "default": {
                    "description": "RFC 9457 problem details",
                    "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } }
                }
            }
        });
        if let Some(item) = paths.entry((*path).to_owned()).or_insert_with(|| json!({})).as_object_mut() {
            item.insert((*method).to_owned(), call);
        }
    }
    Json(json!({
        "openapi": "3.1.0",
        "info": { "title": "Concord", "version": env!("CARGO_PKG_VERSION") },
        "paths": paths,
        "components": {
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer" } },
            "schemas": { "Problem": {
                "type": "object",
                "required": ["type", "title", "status", "code"],
                "properties": {
                    "type": { "type": "string" }, "title": { "type": "string" },
                    "status": { "type": "integer" }, "code": { "type": "string" }, "detail": { "type": "string" }
                }
            } }
        }
    }))
}

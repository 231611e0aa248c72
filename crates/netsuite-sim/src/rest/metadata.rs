//! `/metadata-catalog`: the record types as links, JSON Schema or OpenAPI, as the account's features leave them.

use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value as Json, json};

use super::{Problem, RECORD_PREFIX};
use crate::account::Account;
use crate::catalog::{Field, Kind, RecordType, catalog};
use crate::wire::{Call, json_answer};
use crate::world::Overlay;

const SCHEMA: &str = "application/schema+json";
const SWAGGER: &str = "application/swagger+json";

/// Answers the list or one type.
pub(super) fn answer(account: &Account, call: &Call, name: Option<&str>) -> Result<Response, Problem> {
    let overlay = account.world.overlay();
    let shown: Vec<&RecordType> = catalog().records().iter().copied().filter(|kind| has(kind, &overlay)).collect();
    let find = |name: &str| {
        let found = shown.iter().copied().find(|kind| kind.rest == name);
        found.ok_or_else(|| Problem::unknown_type(name))
    };
    let kinds = match (name, call.param("select")) {
        (Some(name), _) => vec![find(name)?],
        (None, Some(list)) => list.split(',').map(|name| find(name.trim())).collect::<Result<_, _>>()?,
        (None, None) => shown,
    };
    let accept = call.header("accept").unwrap_or_default();
    if accept.contains(SWAGGER) {
        return Ok(json_answer(StatusCode::OK, SWAGGER, &openapi(call, &kinds, &overlay)));
    }
    match (name, kinds.as_slice()) {
        (Some(_), [kind]) if accept.contains(SCHEMA) => {
            Ok(json_answer(StatusCode::OK, SCHEMA, &schema(kind, &overlay)))
        }
        (Some(_), [kind]) => Ok(json_answer(StatusCode::OK, "application/json", &entry(call, kind))),
        _ => {
            let items: Vec<Json> = kinds.iter().map(|kind| entry(call, kind)).collect();
            let href = format!("{}{}", call.origin(), call.path);
            let body = json!({ "items": items, "links": [{ "rel": "self", "href": href }] });
            Ok(json_answer(StatusCode::OK, "application/json", &body))
        }
    }
}

/// Whether the account has the type.
pub(super) fn has(kind: &RecordType, overlay: &Overlay) -> bool {
    kind.feature.is_none_or(|feature| overlay.has(feature))
}

/// The fields of a type that record REST shows in this account.
pub(super) fn fields<'a>(kind: &'a RecordType, overlay: &'a Overlay) -> impl Iterator<Item = &'a Field> {
    kind.fields.iter().filter(|field| field.in_rest && field.feature.is_none_or(|feature| overlay.has(feature)))
}

fn entry(call: &Call, kind: &RecordType) -> Json {
    let canonical = format!("{}{RECORD_PREFIX}metadata-catalog/{}", call.origin(), kind.rest);
    let link = |rel: &str, kind: &str| json!({ "rel": rel, "href": canonical, "mediaType": kind });
    json!({
        "name": kind.rest,
        "links": [
            link("canonical", "application/json"),
            { "rel": "describes", "href": format!("{}{RECORD_PREFIX}{}", call.origin(), kind.rest) },
            link("alternate", SWAGGER),
            link("alternate", SCHEMA),
        ],
    })
}

fn schema(kind: &RecordType, overlay: &Overlay) -> Json {
    let mut properties = properties(kind.fields.iter(), kind, overlay);
    properties.insert("id".to_owned(), json!({ "title": "Internal ID", "type": "string", "nullable": true }));
    properties.insert("links".to_owned(), json!({ "title": "Links", "type": "array", "readOnly": true }));
    for (name, table) in &kind.sublists {
        if let Some(table) = catalog().table(table) {
            properties.insert((*name).to_owned(), sublist(self::properties(table.columns.iter(), kind, overlay)));
        }
    }
    if kind.has_lines() {
        let mut lines = self::properties(kind.line_fields.iter(), kind, overlay);
        lines.insert("line".to_owned(), json!({ "title": "Line", "type": "integer" }));
        properties.insert("item".to_owned(), sublist(lines));
    }
    json!({
        "$schema": "http://json-schema.org/draft-06/hyper-schema#",
        "type": "object",
        "properties": properties,
    })
}

fn sublist(properties: Map<String, Json>) -> Json {
    let items = json!({ "type": "array", "items": { "type": "object", "properties": properties } });
    json!({ "type": "object", "properties": { "items": items, "totalResults": { "type": "integer" } } })
}

fn properties<'a>(fields: impl Iterator<Item = &'a Field>, kind: &RecordType, overlay: &Overlay) -> Map<String, Json> {
    let shown = fields.filter(|field| field.in_rest && field.feature.is_none_or(|feature| overlay.has(feature)));
    shown
        .map(|field| {
            let mut property = json!({
                "title": field.label,
                "nullable": !field.required,
                "x-ns-filterable": !kind.unfilterable.iter().any(|name| name == field.rest),
            });
            describe(field, &mut property);
            if field.read_only {
                property["readOnly"] = Json::from(true);
            }
            if ["custentity_", "custitem_", "custbody_", "custrecord_"].iter().any(|own| field.name.starts_with(own)) {
                property["x-ns-custom-field"] = Json::from(true);
            }
            (field.rest.to_owned(), property)
        })
        .collect()
}

fn describe(field: &Field, property: &mut Json) {
    let (kind, format) = match field.kind {
        Kind::Text(_) if field.codes.is_some() => ("object", None),
        Kind::Text(_) => ("string", None),
        Kind::Bool => ("boolean", None),
        Kind::Integer => ("integer", Some("int64")),
        Kind::Decimal(_) => ("number", Some("double")),
        Kind::Date => ("string", Some("date")),
        Kind::Moment => ("string", Some("date-time")),
        Kind::Reference(_) | Kind::MultiSelect => ("object", None),
    };
    property["type"] = Json::from(kind);
    if let Some(format) = format {
        property["format"] = Json::from(format);
    }
    if let Kind::Text(max) = field.kind {
        property["maxLength"] = Json::from(max);
    }
    if let Kind::Reference(target) = field.kind {
        let of = catalog().records().iter().find(|kind| kind.table == target).map_or(target, |kind| kind.rest);
        property["properties"] = json!({ "id": { "type": "string" }, "refName": { "type": "string" } });
        property["x-ns-reference"] = Json::from(of);
    }
}

fn openapi(call: &Call, kinds: &[&RecordType], overlay: &Overlay) -> Json {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    for kind in kinds {
        schemas.insert(kind.rest.to_owned(), schema(kind, overlay));
        let reference = json!({ "schema": { "$ref": format!("#/components/schemas/{}", kind.rest) } });
        let body = json!({ "content": { "application/vnd.oracle.resource+json; type=singular": reference } });
        let done = json!({ "204": { "description": "Done." }, "400": { "description": "Refused." } });
        let one = json!({ "200": { "description": "The record.", "content": body["content"] } });
        let ids = json!({ "200": { "description": "A page of ids." } });
        let tags = json!([kind.rest]);
        let operation = |summary: &str, responses: &Json| json!({ "tags": tags, "summary": format!("{summary} {}", kind.rest), "responses": responses });
        let with_body = |summary: &str| {
            let mut operation = operation(summary, &done);
            operation["requestBody"] = body.clone();
            operation
        };
        paths.insert(format!("/{}", kind.rest), json!({ "get": operation("List", &ids), "post": with_body("Create") }));
        paths.insert(
            format!("/{}/{{id}}", kind.rest),
            json!({
                "get": operation("Read", &one), "patch": with_body("Change"), "put": with_body("Upsert"),
                "delete": operation("Delete", &done),
            }),
        );
    }
    json!({
        "openapi": "3.0.1",
        "info": { "title": "NetSuite REST Record API", "version": "v1" },
        "servers": [{ "url": format!("{}{}", call.origin(), RECORD_PREFIX.trim_end_matches('/')) }],
        "paths": paths,
        "components": { "schemas": schemas },
    })
}

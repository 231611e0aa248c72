//! Errors of the control API (RFC 9457).

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

use crate::script::Fault;
use crate::wire::json_answer;
use crate::world::WorldError;

/// Why the control API did not do it.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: String,
    detail: String,
    /// The field at fault, in SuiteQL spelling.
    field: Option<String>,
}

impl Problem {
    fn new(status: StatusCode, code: &str, detail: &str) -> Self {
        Self { status, code: code.to_owned(), detail: detail.to_owned(), field: None }
    }

    /// There is no such record.
    pub(super) fn absent() -> Self {
        Self::new(StatusCode::NOT_FOUND, "RCRD_DSNT_EXIST", "that record does not exist")
    }

    pub(super) fn not_found(detail: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", detail)
    }

    pub(super) fn forbidden(detail: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "FORBIDDEN", detail)
    }

    /// A member of the request that is not accepted.
    pub(super) fn field(name: &str, detail: &str) -> Self {
        Self { field: Some(name.to_owned()), ..Self::new(StatusCode::BAD_REQUEST, "INVALID_CONTENT", detail) }
    }

    /// A script that does not run.
    pub(super) fn fault(fault: &Fault) -> Self {
        let status = match fault.name.as_str() {
            "MAP_REDUCE_ALREADY_RUNNING" => StatusCode::CONFLICT,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, &fault.name, &fault.message)
    }

    /// A body that is not what the resource takes.
    pub(super) fn malformed(error: &serde_json::Error) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_CONTENT", &error.to_string())
    }

    /// A failure of the simulator itself.
    pub(super) fn failed(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "a control call failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "UNEXPECTED_ERROR", "the simulator failed: see its log")
    }
}

impl From<WorldError> for Problem {
    fn from(error: WorldError) -> Self {
        match error {
            WorldError::Absent => Self::absent(),
            WorldError::Refused(refusal) => Self {
                status: StatusCode::BAD_REQUEST,
                code: refusal.code.to_owned(),
                detail: refusal.message,
                field: refusal.field,
            },
            other @ (WorldError::Storage(_) | WorldError::Damaged(_)) => Self::failed(&other),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let slug = self.code.to_lowercase().replace('_', "-");
        let mut body = json!({
            "type": format!("urn:concord:netsuite-sim:{slug}"),
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
        });
        if let Some(field) = &self.field {
            body["field"] = Value::from(field.as_str());
            body["errors"] = json!([{ "pointer": format!("/changes/{field}"), "detail": self.detail }]);
        }
        json_answer(self.status, "application/problem+json", &body)
    }
}

//! How every call is answered: who asks is settled first, then what is asked; errors are problem details.

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use chassis::problem::Problem;
use http::StatusCode;
use http::request::Parts;
use std::sync::Arc;
use store::StoreError;

use crate::Console;
use crate::config::Role;

/// The answer of a call.
pub(crate) type Answer = Result<Response, Problem>;

/// A problem by its code.
pub(crate) fn problem(status: StatusCode, code: &'static str) -> Problem {
    let title = match code {
        "unauthenticated" => "A bearer token is needed",
        "forbidden" => "This token's role may not do that",
        "no_such_address" => "The API has no such address",
        "not_found" => "There is nothing here",
        "method_not_allowed" => "This address takes other methods",
        "bad_request" => "The request cannot be read",
        "too_large" => "The request is too large",
        "conflict_moved" => "The values have moved since you saw them",
        "conflict_closed" => "The conflict is not open any more",
        "locked_by_conflict" => "The lock belongs to an open conflict",
        "not_open" => "It is not open any more",
        "plan_moved" => "The plan stands on a state that has moved",
        "plan_applied" => "The plan was applied already",
        "plan_not_ready" => "The plan is not ready yet",
        "plan_failed" => "The plan could not be made",
        "nothing_to_undo" => "There is nothing to undo",
        "side_needed" => "Both sides lost a value",
        "key_reused" => "The Idempotency-Key belongs to another request",
        "locked" => "The record or the field is locked",
        "in_conflict" => "The field waits for a decision",
        "deleted" => "The record is deleted",
        "log_broken" => "The log cannot be folded",
        "period_too_long" => "The period is too long for one answer",
        "no_snapshot" => "The event has no snapshot",
        "snapshot_gone" => "The snapshot is there no more",
        "snapshot_unusable" => "The snapshot cannot be shown",
        "type_not_synced" => "The record's type is not synced",
        "unavailable" => "Concord's database does not answer",
        _ => "The request could not be carried out",
    };
    Problem::new(status, code, title)
}

/// A request whose content is wrong, with a sentence naming the member and what is accepted.
pub(crate) fn bad(detail: impl Into<String>) -> Problem {
    problem(StatusCode::BAD_REQUEST, "bad_request").detail(detail)
}

/// A failure of our own parts: logged here, once; the caller learns no more than that.
pub(crate) fn store_failed(error: &StoreError) -> Problem {
    tracing::error!(%error, "a request could not be answered: {error}");
    problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable").retry_after(2)
}

/// Refusals of the framework itself (a path or query that cannot be read, a body too large) as problems like any other.
pub(crate) async fn as_problem(response: Response) -> Response {
    let status = response.status();
    let told =
        response.headers().get(http::header::CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json");
    if told || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let code = match status {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => "bad_request",
        StatusCode::PAYLOAD_TOO_LARGE => "too_large",
        _ => "failed",
    };
    problem(status, code).into_response()
}

/// Who asks, with at least this role. Taken before body and lookup, so a stranger learns nothing.
pub(crate) struct Asker<const ROLE: u8> {
    pub(crate) name: String,
}

/// Readers.
pub(crate) type Viewer = Asker<0>;
/// People who decide.
pub(crate) type Operator = Asker<1>;
/// People who run the installation.
pub(crate) type Admin = Asker<2>;

impl<const ROLE: u8> FromRequestParts<Arc<Console>> for Asker<ROLE> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, console: &Arc<Console>) -> Result<Self, Response> {
        let token = parts
            .headers
            .get(http::header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        let Some((name, role)) = token.and_then(|token| console.tokens.find(token)) else {
            let mut response = problem(StatusCode::UNAUTHORIZED, "unauthenticated").into_response();
            response.headers_mut().insert(http::header::WWW_AUTHENTICATE, http::HeaderValue::from_static("Bearer"));
            return Err(response);
        };
        let needed = [Role::Viewer, Role::Operator, Role::Admin][usize::from(ROLE.min(2))];
        if role < needed {
            return Err(problem(StatusCode::FORBIDDEN, "forbidden").into_response());
        }
        Ok(Self { name: name.to_owned() })
    }
}

//! Errors as scripts throw and meet them.

use serde_json::{Value as Json, json};

use crate::suiteql::QueryError;
use crate::world::{Refusal, WorldError};

/// A script error: what a script can catch, and what its caller is told when it does not.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{name}: {message}")]
pub(crate) struct Fault {
    pub(crate) name: String,
    pub(crate) message: String,
    /// The whole error as NetSuite shows it to a RESTlet's caller.
    shown: Option<Json>,
}

impl Fault {
    pub(crate) fn new(name: &str, message: &str) -> Self {
        Self { name: name.to_owned(), message: message.to_owned(), shown: None }
    }

    /// What a script threw, in the platform's shape.
    pub(crate) fn thrown(shown: Json) -> Self {
        let text = |member: &str| shown[member].as_str().unwrap_or_default().to_owned();
        Self { name: text("name"), message: text("message"), shown: Some(shown) }
    }

    /// A script that cannot be run, or that broke out of the engine.
    pub(crate) fn broken(text: &str) -> Self {
        Self::new("UNEXPECTED_ERROR", text)
    }

    pub(crate) fn out_of_time() -> Self {
        Self::new("SSS_TIME_LIMIT_EXCEEDED", "Script Execution Time Exceeded.")
    }

    pub(crate) fn out_of_units() -> Self {
        Self::new("SSS_USAGE_LIMIT_EXCEEDED", "Script Execution Usage Limit Exceeded")
    }

    pub(crate) fn absent() -> Self {
        Self::new("RCRD_DSNT_EXIST", "That record does not exist.")
    }

    /// The error's JSON, which NetSuite puts into the `message` of a RESTlet's error as text.
    pub(crate) fn shown(&self) -> String {
        let shown = self.shown.clone().unwrap_or_else(|| {
            json!({
                "type": "error.SuiteScriptError", "name": self.name, "message": self.message, "stack": [], "id": "",
                "notifyOff": false, "userFacing": false,
            })
        });
        shown.to_string()
    }
}

impl From<WorldError> for Fault {
    fn from(error: WorldError) -> Self {
        match error {
            WorldError::Absent => Self::absent(),
            WorldError::Refused(refusal) => refusal.into(),
            other @ (WorldError::Storage(_) | WorldError::Damaged(_)) => {
                tracing::error!(
                    error = &other as &dyn std::error::Error,
                    "a script's call failed inside the simulator"
                );
                Self::new("UNEXPECTED_ERROR", "An unexpected error occurred. Error ID: simulator")
            }
        }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code, &refusal.message)
    }
}

impl From<QueryError> for Fault {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::World(error) => error.into(),
            refused => Self::new("SSS_SEARCH_ERROR_OCCURRED", &refused.detail().unwrap_or_default()),
        }
    }
}

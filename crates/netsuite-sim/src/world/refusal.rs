//! Why NetSuite would not do something, and how that differs from the simulator being broken.

use serde_json::Value as Json;

use crate::catalog::Field;

const SHOWN_CHARS: usize = 60;

/// A business refusal, worded as NetSuite words it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub(crate) struct Refusal {
    /// SuiteScript error name.
    pub(crate) code: &'static str,
    /// What the user reads.
    pub(crate) message: String,
    /// The field it is about, in SuiteQL spelling; line fields as `lines/5/quantity`.
    pub(crate) field: Option<String>,
}

impl Refusal {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: None }
    }

    /// The same refusal, about that field.
    pub(crate) fn at(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// The same refusal, about a field of that line.
    pub(crate) fn on_line(mut self, key: &str) -> Self {
        self.field = Some(match self.field {
            Some(field) => format!("lines/{key}/{field}"),
            None => format!("lines/{key}"),
        });
        self
    }

    pub(crate) fn invalid_value(field: &Field, json: &Json) -> Self {
        let message =
            format!("You have entered an Invalid Field Value {} for the following field: {}", shown(json), field.name);
        Self::new("USER_ERROR", message).at(field.name)
    }

    pub(crate) fn bad_reference(field: &Field, json: &Json) -> Self {
        let message = format!("Invalid {} reference key {}.", field.name, shown(json));
        Self::new("INVALID_KEY_OR_REF", message).at(field.name)
    }

    pub(crate) fn missing(field: &Field) -> Self {
        Self::new("USER_ERROR", format!("Please enter value(s) for: {}", field.label)).at(field.name)
    }

    pub(crate) fn read_only(field: &Field) -> Self {
        let message = format!(
            "You do not have permissions to set a value for element {} due to one of the following reasons: 1) The \
             field is read-only; 2) An associated feature is disabled; 3) The field is available either when a record \
             is created or updated, but not in both cases.",
            field.name
        );
        Self::new("INSUFFICIENT_PERMISSION", message).at(field.name)
    }

    pub(crate) fn unknown_field(name: &str) -> Self {
        Self::new("NONEXISTENT_FIELD", format!("Field '{name}' does not exist on this record.")).at(name)
    }

    pub(crate) fn locked() -> Self {
        Self::new("RCRD_HAS_BEEN_CHANGED", "Record has been changed")
    }
}

/// What can become of an attempt to change or read the world.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorldError {
    /// NetSuite says no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There is no such record.
    #[error("the record does not exist")]
    Absent,
    /// The simulator's own storage failed.
    #[error("the simulator's storage failed")]
    Storage(#[from] rusqlite::Error),
    /// A stored document of the simulator does not read back.
    #[error("a stored document is damaged")]
    Damaged(#[from] serde_json::Error),
}

fn shown(json: &Json) -> String {
    let text = json.as_str().map_or_else(|| json.to_string(), str::to_owned);
    if text.chars().count() <= SHOWN_CHARS {
        return text;
    }
    let head: String = text.chars().take(SHOWN_CHARS).collect();
    format!("{head}…")
}

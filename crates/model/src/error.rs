//! The five error classes. What each means for a message is decided in `chassis/src/policy.rs`, nowhere else.

use std::fmt;

/// Why something failed, as far as it matters for what happens next (seed 002, appendix G).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorClass {
    /// Governance, timeout, network: the same request may succeed later.
    Transient,
    /// The content is refused: only a person or another event can mend it.
    Validation,
    /// Both sides changed and no policy decides.
    Conflict,
    /// The message can never be carried out.
    Irrecoverable,
    /// Our own parts (database, broker, credentials) fail; says nothing about the message.
    Operational,
}

impl ErrorClass {
    /// All classes, in order.
    pub const ALL: [Self; 5] =
        [Self::Transient, Self::Validation, Self::Conflict, Self::Irrecoverable, Self::Operational];

    /// The word on attributes, labels and rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Validation => "validation",
            Self::Conflict => "conflict",
            Self::Irrecoverable => "irrecoverable",
            Self::Operational => "operational",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == word)
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failure on its way to a queue a person can see.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{class}: {reason}")]
pub struct Failure {
    /// The class, which alone decides what becomes of the message.
    pub class: ErrorClass,
    /// A stable short code for labels and grouping, e.g. `bad_value`; bounded in number.
    pub code: &'static str,
    /// One sentence naming the field, the value's shape and what is accepted; never the value itself.
    pub reason: String,
}

impl Failure {
    /// A failure of this class.
    pub fn new(class: ErrorClass, code: &'static str, reason: impl Into<String>) -> Self {
        Self { class, code, reason: reason.into() }
    }
}

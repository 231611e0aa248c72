//! Logging in: both schemes really verified, with the reason in the audit trail and never in the answer.

mod audit;
mod bearer;
mod oauth1;
mod oauth2;

pub(crate) use audit::{AuditTrail, Entry, Reason};
pub(crate) use bearer::{Grant, TokenKey};
pub(crate) use oauth1::{OAuth1, Tba, parse_header, signature};
pub use oauth2::MappingError;
pub(crate) use oauth2::{Assertion, Mapping};

/// What a token or passport allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    RestWebServices,
    Restlets,
}

impl Scope {
    /// The scope's word in assertions.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::RestWebServices => "rest_webservices",
            Self::Restlets => "restlets",
        }
    }
}

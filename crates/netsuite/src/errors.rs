//! What NetSuite's refusals mean: every error body of the fact sheet (§2.3, §3.7, §3.9, §5.4, §6.2) in one table.
//!
//! NetSuite's own sentences often quote what a user typed, so none of them is passed on: a refusal has a bounded
//! code and a sentence of ours, which may name fields and columns but never values.

mod body;
mod codes;

use std::time::Duration;

use http::StatusCode;
use model::{ErrorClass, Failure, RemoteError, Side};

use body::Told;
pub(crate) use codes::record_code;

/// Which of NetSuite's doors was knocked at: the same status means different things there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    /// SuiteTalk REST: records and SuiteQL.
    Rest,
    /// A RESTlet of ours.
    Restlet,
    /// The token endpoint.
    Token,
}

/// What a refusal says about the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// We were not let in; the reason is only in the account's Login Audit Trail.
    Login,
    /// We are known, but the role may not do this.
    Permission,
    /// Too many requests at once, or no units left.
    TooMany,
    /// The record is not there: a direct answer about this one record.
    Absent,
    /// Somebody else changed or holds the record.
    Changed,
    /// The content was refused.
    Content,
    /// The query does not fit this account's tables and columns.
    Query,
    /// Scripts, addresses or headers are not set up as we expect.
    Setup,
    /// NetSuite's own trouble.
    Trouble,
    /// The account lives in another data centre; redirects are not followed with credentials in hand.
    Redirected,
}

/// A refusal, understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("NetSuite refused with {code} (status {status}): {sentence}")]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// What it means.
    pub meaning: Meaning,
    /// Bounded code, fit for labels.
    pub code: &'static str,
    /// A sentence for operators; names of fields at most, never values.
    pub sentence: String,
    /// What the remote asked for, if it did.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// The class, which alone decides what becomes of a message.
    pub fn class(&self) -> ErrorClass {
        match self.meaning {
            Meaning::TooMany | Meaning::Trouble => ErrorClass::Transient,
            Meaning::Content => ErrorClass::Validation,
            Meaning::Changed => ErrorClass::Conflict,
            Meaning::Absent => ErrorClass::Irrecoverable,
            Meaning::Login | Meaning::Permission | Meaning::Query | Meaning::Setup | Meaning::Redirected => {
                ErrorClass::Operational
            }
        }
    }

    /// The refusal on its way to a queue a person can see.
    pub fn failure(&self) -> Failure {
        Failure::new(self.class(), self.code, self.sentence.clone())
    }

    /// True where NetSuite turned the request away before any script or save ran. Anything else sent to the write
    /// RESTlet may have been carried out in part (semantics R8).
    pub fn before_any_work(&self) -> bool {
        match self.meaning {
            Meaning::Login | Meaning::Redirected => true,
            Meaning::Permission => self.status == StatusCode::FORBIDDEN.as_u16(),
            Meaning::TooMany => codes::REFUSED_AT_THE_DOOR.contains(&self.code),
            Meaning::Setup => codes::NEVER_RAN.contains(&self.code),
            Meaning::Absent | Meaning::Changed | Meaning::Content | Meaning::Query | Meaning::Trouble => false,
        }
    }

    /// Nothing was sent, since a login was refused a moment ago.
    pub(crate) fn login_held(rest: Duration) -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED.as_u16(),
            meaning: Meaning::Login,
            code: "login_held",
            sentence: "A login was refused a moment ago; nothing is sent until the pause is over, so that the user \
                       is not locked."
                .to_owned(),
            retry_after: Some(rest),
        }
    }

    /// The refusal as the answer to a read.
    pub(crate) fn into_read_error(self) -> RemoteError {
        let side = Side::Netsuite;
        match self.meaning {
            Meaning::Login | Meaning::Permission | Meaning::Redirected => {
                RemoteError::Forbidden { side, code: self.code.to_owned() }
            }
            Meaning::TooMany | Meaning::Trouble => {
                RemoteError::Unavailable { side, code: self.code.to_owned(), retry_after: self.retry_after }
            }
            Meaning::Absent | Meaning::Changed | Meaning::Content | Meaning::Query | Meaning::Setup => {
                RemoteError::Unreadable { side, failure: self.failure() }
            }
        }
    }
}

/// Understands an answer that is no success. `body` may be JSON in any of NetSuite's shapes, XML, text or nothing.
pub fn refusal(surface: Surface, status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Refusal {
    let told = Told::read(body);
    let (meaning, code) = weigh(surface, status, &told);
    let sentence = codes::sentence(meaning, code, &told);
    Refusal { status: status.as_u16(), meaning, code, sentence, retry_after }
}

/// Understands the refusal of one record inside an answered write: there is no status, only a code and a text.
pub(crate) fn record_refusal(code: Option<&str>, message: Option<&str>) -> Refusal {
    let told = Told::of_record(code, message);
    let known = told.code.as_deref().and_then(codes::known);
    let (code, meaning) = known.unwrap_or(("record_refused", Meaning::Content));
    let sentence = codes::sentence(meaning, code, &told);
    Refusal { status: StatusCode::OK.as_u16(), meaning, code, sentence, retry_after: None }
}

/// The status decides where it is sharper than the code; else the code; else the status again.
fn weigh(surface: Surface, status: StatusCode, told: &Told) -> (Meaning, &'static str) {
    let known = told.code.as_deref().and_then(codes::known);
    match (status.as_u16(), known) {
        (300..=399, _) => (Meaning::Redirected, "wrong_data_centre"),
        (429, known) => (Meaning::TooMany, known.map_or("CONCURRENCY_LIMIT_EXCEEDED", |(code, _)| code)),
        (401, known) => (Meaning::Login, known.map_or("http_401", |(code, _)| code)),
        (_, Some((code @ "INVALID_PARAMETER", meaning))) => codes::query_fault(told).unwrap_or((meaning, code)),
        // Our external id is taken, or a name that must be its own: which of the two the next read tells.
        (400, Some(("USER_ERROR" | "DUP_RCRD", _))) if told.says("already exists") => {
            (Meaning::Content, "already_exists")
        }
        // A name that a script gave its own error is no statement about our role.
        (400, Some((code, Meaning::Permission))) => (Meaning::Content, code),
        (_, Some((code, meaning))) => (meaning, code),
        (403, None) => (Meaning::Permission, "http_403"),
        (400, None) => codes::query_fault(told).unwrap_or(match surface {
            Surface::Rest => (Meaning::Content, "http_400"),
            Surface::Restlet => (Meaning::Setup, "script_error"),
            Surface::Token => (Meaning::Login, "http_400"),
        }),
        (404, None) if told.says("record instance does not exist") || told.says("Record does not exist") => {
            (Meaning::Absent, "NONEXISTENT_ID")
        }
        (404, None) => (Meaning::Setup, "http_404"),
        (405, None) => (Meaning::Setup, "http_405"),
        (406, None) => (Meaning::Setup, "http_406"),
        (413, None) => (Meaning::Setup, "http_413"),
        (415, None) => (Meaning::Setup, "http_415"),
        (408, None) => (Meaning::Trouble, "http_408"),
        (500, None) => (Meaning::Trouble, "http_500"),
        (502, None) => (Meaning::Trouble, "http_502"),
        (503, None) => (Meaning::Trouble, "http_503"),
        (504, None) => (Meaning::Trouble, "http_504"),
        (505..=599, None) | (501, None) => (Meaning::Trouble, "http_5xx"),
        _ => (Meaning::Setup, "http_other"),
    }
}

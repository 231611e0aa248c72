//! The login audit trail: the only place that says why a login failed.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;

const MAX_FAILURES: usize = 1_000;
const MAX_SUCCESSES: usize = 200;

/// Why a login failed, in the words of NetSuite's trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Reason {
    #[serde(rename = "consumer_key_unknown")]
    ConsumerKeyUnknown,
    MissingTokenPassportRequiredFields,
    #[serde(rename = "nonce_rejected")]
    NonceRejected,
    NonceUsed,
    InvalidSignature,
    UnknownAlgorithm,
    #[serde(rename = "temporary_locked")]
    TemporaryLocked,
    InvalidTimestamp,
    #[serde(rename = "token_rejected")]
    TokenRejected,
    VersionRejected,
    FeatureDisabled,
    #[serde(rename = "permission_denied")]
    PermissionDenied,
    /// The certificate id is not mapped.
    CertificateUnknown,
    /// The assertion's audience is not this token endpoint.
    InvalidAudience,
    /// The assertion is over, not yet begun, or meant to last longer than an hour.
    InvalidLifetime,
    /// No scope, or one that does not exist.
    InvalidScope,
    /// The assertion is no JWT with the required claims.
    MalformedAssertion,
    /// The access token is over.
    TokenExpired,
}

/// One line of the trail.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Entry {
    /// UTC, on the machine's clock.
    pub(crate) at: Timestamp,
    /// `TBA`, `OAuth2` (a grant) or `Bearer`.
    pub(crate) scheme: &'static str,
    pub(crate) success: bool,
    /// Absent when the login succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<Reason>,
    pub(crate) path: String,
}

/// The last logins of an account; kept in memory.
#[derive(Debug, Default)]
pub(crate) struct AuditTrail {
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    failures: VecDeque<Entry>,
    successes: VecDeque<Entry>,
}

impl AuditTrail {
    /// Notes a login.
    pub(crate) fn note(&self, entry: Entry) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        // Successes come by the thousand and must not push the failures out.
        let (list, max) = match entry.success {
            true => (&mut lines.successes, MAX_SUCCESSES),
            false => (&mut lines.failures, MAX_FAILURES),
        };
        if list.len() == max {
            list.pop_front();
        }
        list.push_back(entry);
    }

    /// The trail, oldest first.
    pub(crate) fn read(&self) -> Vec<Entry> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Entry> = lines.failures.iter().chain(&lines.successes).cloned().collect();
        all.sort_by_key(|entry| entry.at);
        all
    }
}

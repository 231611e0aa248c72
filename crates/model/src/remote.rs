//! One side as a port: read many, write some. Living implementations: the NetSuite client, the SuiteX adapter and the
//! seeded world's.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::spec::TypeSpec;
use crate::{AccountId, Failure, Fields, LineIds, NativeId, Rid, Side, Timestamp, WriteId};

/// What is wanted of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadRequest {
    /// The record, to find it by our own marks where the side's id is not known yet.
    pub rid: Rid,
    /// The side's id; `None` while a create is unresolved.
    pub native_id: Option<NativeId>,
    /// Generation of the create being looked for.
    pub generation: u32,
    /// Writes whose fate is not known.
    pub unresolved: Vec<WriteId>,
    /// The newest trace of changes the record's shadow knows of ([`Observed::note`]): what is newer came after it.
    pub note: u64,
}

/// What one side holds, in canonical form except that references are the side's own ids and lines are by the
/// side's line ids.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Observed {
    /// False = a direct read found it absent (not: forbidden, not: missing from a list).
    pub exists: bool,
    /// The side's id.
    pub native_id: Option<NativeId>,
    /// All synced fields, empty ones as null.
    pub fields: Fields,
    /// SuiteX row_version, or NetSuite's last-modified as seconds since 1970.
    pub token: Option<i64>,
    /// The stamp found on the record: whose, and which.
    pub stamp: Option<(Rid, u64)>,
    /// The rid our external id (NetSuite) or inbox row (SuiteX) names.
    pub external_rid: Option<Rid>,
    /// Which of the asked-for writes have landed.
    pub landed: Vec<WriteId>,
    /// Number of the newest trace of a change that the side keeps beside the record and numbers (NetSuite's system notes),
    /// taken before the fields were read. `None` where our marks on the record itself tell our writes (semantics §2.9).
    pub note: Option<u64>,
    /// Where those traces tell that a write of `landed` replaced values other than its `pre`: the record as a user had left
    /// it, in the fields concerned, just before.
    pub before: Option<Box<Observed>>,
    /// Fields of which nobody can say whether such a write replaced a user's edit.
    pub unproven: Vec<String>,
    /// How long before the read the record was last modified, by that side's clock.
    pub age: Option<Duration>,
    /// The side's clock at the read, so that times in its hints can be put into ours.
    pub clock: Option<Timestamp>,
}

/// Kind of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WriteKind {
    /// Create only; never an upsert (semantics §2.6).
    Create,
    /// Change fields of an existing record.
    Update,
    /// Delete.
    Delete,
}

impl WriteKind {
    /// The word in rows and bodies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Create, Self::Update, Self::Delete].into_iter().find(|k| k.as_str() == word)
    }
}

/// One guarded write. References are the side's own ids; lines are by line key, their ids in `line_ids`.
#[derive(Debug, Clone, PartialEq)]
pub struct WriteRequest {
    /// Recognised by the remote when repeated.
    pub write_id: WriteId,
    /// The record.
    pub rid: Rid,
    /// Kind.
    pub kind: WriteKind,
    /// The side's id; `None` for a create.
    pub native_id: Option<NativeId>,
    /// Generation of a create.
    pub generation: u32,
    /// Our fencing token.
    pub stamp: u64,
    /// The stamp the remote must still carry (NetSuite).
    pub expect: u64,
    /// The row_version the remote must still have (SuiteX).
    pub token: Option<i64>,
    /// Values to set (null clears). Lines: only changed lines, with only changed fields; `None` = remove.
    pub changes: Fields,
    /// Values the remote must still hold, in the shape of `changes`; the whole shadow for a delete.
    pub pre: Fields,
    /// Line key → line id for lines that exist there.
    pub line_ids: LineIds,
    /// As [`ReadRequest::note`].
    pub note: u64,
    /// Not to be sent after this instant.
    pub deadline: Timestamp,
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq)]
pub enum WriteOutcome {
    /// Landed.
    Ok {
        /// The side's id.
        native_id: NativeId,
        /// The row's version after it.
        token: Option<i64>,
        /// Line key → line id of lines written.
        line_ids: LineIds,
        /// The row as it stands after the write, read in the same atomic step; saves the verify read.
        observed: Option<Box<Observed>>,
        /// What a user had made of the record between our look and our write, where that is not refused but found out
        /// afterwards (semantics §2.9, guard 2). To be folded before the write is.
        before: Option<Box<Observed>>,
        /// Fields of which the side keeps no trace: nobody can say that no user's edit was replaced there.
        unproven: Vec<String>,
    },
    /// The guard refused: the remote is not as we thought. It cannot land any more.
    Stale,
    /// A later stamp is there already. It cannot land any more.
    Fenced,
    /// The record is not there.
    Gone,
    /// A create met our own external id: an earlier attempt landed. Treated as unknown, then read.
    Duplicate,
    /// Not carried out: too many requests or no units left.
    Throttled {
        /// What the remote asked for, if it did.
        retry_after: Option<Duration>,
    },
    /// Refused for its content.
    Invalid {
        /// The remote's code.
        code: String,
        /// A sentence fit for operators; no values.
        message: String,
    },
    /// Not carried out: credentials or permissions; the account needs a person.
    Refused {
        /// The remote's code.
        code: String,
    },
    /// Not sent (deadline passed, connection could not be opened): cannot have landed.
    NotSent,
    /// Sent, and no answer that can be trusted: neither success nor failure (R8).
    Unknown,
}

/// A read that gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// The same read may succeed later.
    #[error("{side} did not answer: {code}")]
    Unavailable {
        /// Which side.
        side: Side,
        /// Bounded code: `timeout`, `429`, `500`…
        code: String,
        /// What the remote asked for.
        retry_after: Option<Duration>,
    },
    /// Credentials or permission: never the same as "deleted".
    #[error("{side} refused the read: {code}")]
    Forbidden {
        /// Which side.
        side: Side,
        /// The remote's code.
        code: String,
    },
    /// The answer could not be read as the model expects.
    #[error("{side} answered what cannot be read: {failure}")]
    Unreadable {
        /// Which side.
        side: Side,
        /// What is wrong, without values.
        failure: Failure,
    },
}

/// One side of an account. Implementations never spawn, and look at no clock but the one they were given.
#[async_trait]
pub trait Remote: Send + Sync {
    /// Which side this is.
    fn side(&self) -> Side;

    /// Reads records directly. One answer per request, in order. The read of each began after the call did.
    async fn read(
        &self,
        account: &AccountId,
        spec: &TypeSpec,
        wants: &[ReadRequest],
    ) -> Vec<Result<Observed, RemoteError>>;

    /// Carries out guarded writes. One outcome per request, in order.
    async fn write(&self, account: &AccountId, spec: &TypeSpec, writes: &[WriteRequest]) -> Vec<WriteOutcome>;

    /// How long after its deadline a write of the type may still land with nothing on the side that would refuse it. Until
    /// then a write of unknown outcome keeps the side closed (semantics §2.9, guard 2). Zero where a stamp or a row's version
    /// fences what comes late.
    fn quarantine(&self, account: &AccountId, spec: &TypeSpec) -> Duration;

    /// Native ids that exist, by (type, id) order from `after`, at most `limit`: for the reconciler.
    async fn list(
        &self,
        account: &AccountId,
        spec: &TypeSpec,
        after: Option<&NativeId>,
        limit: usize,
    ) -> Result<Vec<NativeId>, RemoteError>;
}

impl WriteOutcome {
    /// It landed, and nothing more is known of it.
    pub fn landed(native_id: NativeId, token: Option<i64>, line_ids: LineIds) -> Self {
        Self::Ok { native_id, token, line_ids, observed: None, before: None, unproven: Vec::new() }
    }

    /// A bounded word for labels and audit rows.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Ok { .. } => "ok",
            Self::Stale => "stale",
            Self::Fenced => "fenced",
            Self::Gone => "gone",
            Self::Duplicate => "duplicate",
            Self::Throttled { .. } => "throttled",
            Self::Invalid { .. } => "invalid",
            Self::Refused { .. } => "refused",
            Self::NotSent => "not_sent",
            Self::Unknown => "unknown",
        }
    }
}

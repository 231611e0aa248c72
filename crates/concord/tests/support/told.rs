//! What Concord says: the console, the log, what was written; and what a person decides.

use std::ops::Sub;

use concord::sides::Side;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::play::{Pair, Play};

/// Concord's writes that landed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Writes {
    pub(crate) creates: i64,
    pub(crate) updates: i64,
    pub(crate) deletes: i64,
    pub(crate) suitex: i64,
}

impl Sub for Writes {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            creates: self.creates - before.creates,
            updates: self.updates - before.updates,
            deletes: self.deletes - before.deletes,
            suitex: self.suitex - before.suitex,
        }
    }
}

/// A value that lost: field, value, side.
pub(crate) type Lost = (String, Value, String);

impl Play {
    /// The canonical version, as the console tells it.
    pub(crate) async fn version(&self, pair: &Pair) -> u64 {
        let account = &self.sides[pair.account].account;
        let path = format!("/api/v1/state/{account}/{}/{}", pair.kind, pair.rid);
        let (status, state) = self.ask(Method::GET, &path, None).await;
        assert_eq!(status, 200, "{path}: {state}");
        state["version"].as_u64().expect("a state has a version")
    }

    /// Waits until the canonical version is this one.
    pub(crate) async fn reaches(&self, pair: &Pair, version: u64) {
        let what = format!("version {version} of {pair:?}");
        self.fact(&what, || async { (self.version(pair).await == version).then_some(()) }).await;
    }

    /// Values that lost, oldest first.
    pub(crate) async fn overrides(&self, pair: &Pair) -> Vec<Lost> {
        sqlx::query_as("select field, losing_value, losing_side from sync.overrides where rid = $1 order by id")
            .bind(pair.rid)
            .fetch_all(&self.sides[0].concord)
            .await
            .unwrap()
    }

    /// Concord's writes to the account that landed so far.
    pub(crate) async fn writes(&self, account: usize) -> Writes {
        let sides = &self.sides[account];
        let ledger = sides.netsuite.ledger().await.unwrap();
        let of = |what: &str| ledger[what].as_i64().expect("the ledger counts writes");
        let inbox = sqlx::query_scalar("select count(*) from concord.sync_inbox").fetch_one(&sides.suitex).await;
        Writes { creates: of("creates"), updates: of("updates"), deletes: of("deletes"), suitex: inbox.unwrap() }
    }

    /// Outcomes of the writes to a side of the record, and the fields each carried, oldest first.
    pub(crate) async fn audit(&self, pair: &Pair, side: Side) -> Vec<(String, Value)> {
        sqlx::query_as(
            "select outcome, payload->'fields' from sync.event_audit_log where rid = $1 and side = $2 order by id",
        )
        .bind(pair.rid)
        .bind(side.as_str())
        .fetch_all(&self.sides[0].concord)
        .await
        .unwrap()
    }

    /// Dispositions of the record's hints from one side that came after `since`.
    pub(crate) async fn dispositions(&self, pair: &Pair, side: Side, since: i64) -> Vec<Option<String>> {
        sqlx::query_scalar(
            "select disposition from sync.events where rid = $1 and side = $2 and kind = 'hint' and seq > $3 order by seq",
        )
        .bind(pair.rid)
        .bind(side.as_str())
        .bind(since)
        .fetch_all(&self.sides[0].concord)
        .await
        .unwrap()
    }

    /// The last hint of the record from one side.
    pub(crate) async fn last_hint(&self, pair: &Pair, side: Side) -> i64 {
        sqlx::query_scalar(
            "select coalesce(max(seq), 0) from sync.events where rid = $1 and side = $2 and kind = 'hint'",
        )
        .bind(pair.rid)
        .bind(side.as_str())
        .fetch_one(&self.sides[0].concord)
        .await
        .unwrap()
    }

    /// The open conflict of the record, with what a person sees of it, once there is one of this revision.
    pub(crate) async fn conflict(&self, pair: &Pair, rev: u64) -> Value {
        let what = format!("an open conflict of {pair:?} at revision {rev}");
        let look = || async {
            let query = "select conflict_id from sync.conflicts where rid = $1 and status = 'open'";
            let found: Vec<Uuid> =
                sqlx::query_scalar(query).bind(pair.rid).fetch_all(&self.sides[0].concord).await.unwrap();
            assert!(found.len() <= 1, "{} conflicts", found.len());
            let (status, seen) = self.ask(Method::GET, &format!("/api/v1/conflicts/{}", found.first()?), None).await;
            assert_eq!(status, 200, "{seen}");
            (seen["rev"] == rev).then_some(seen)
        };
        self.fact(&what, look).await
    }

    /// Decides a conflict as it was seen; the console's answer.
    pub(crate) async fn decide(&self, seen: &Value, decision: Value) -> (u16, Value) {
        let mut body = json!({ "rev": seen["rev"] });
        body.as_object_mut().unwrap().extend(decision.as_object().unwrap().clone());
        let id = seen["conflict_id"].as_str().expect("a conflict has an id");
        self.ask(Method::POST, &format!("/api/v1/conflicts/{id}/resolve"), Some(body)).await
    }

    /// Asks the console as an operator; 0 when it does not answer.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self.http.request(method, format!("{}{path}", self.manifest.console_url));
        request = request.bearer_auth(&self.manifest.tokens.operator);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let Ok(answer) = request.send().await else { return (0, Value::Null) };
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or_default())
    }
}

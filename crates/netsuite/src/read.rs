//! Reading records directly: what is there, what is certainly not there, and what we may not see.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::FutureExt;
use futures::stream::{self, StreamExt};
use http::Method;
use model::spec::{TypeSpec, Unproven};
use model::{
    AccountId, ErrorClass, Failure, NativeId, Observed, ReadRequest, RecordRef, RemoteError, Rid, Side, write_id,
};

use crate::columns;
use crate::connection::{Call, CallError, Connection};
use crate::encode::external_id;
use crate::errors::{Meaning, Surface};
use crate::notes;
use crate::snapshot::{Snapshot, add_lines};
use crate::suiteql::{IN_LIST, PAGE_ROWS, query, refused, unreadable};

/// How often a record that changes between the two queries of its body and lines is read before we come back later.
const ROUNDS: usize = 3;
/// Most records of one call whose absence is looked into; the others are asked to come again.
const PROBES: usize = 200;
/// Looks at single records under way at once; the gate has the last word.
const PROBES_AT_ONCE: usize = 4;

type Answer = Result<Observed, RemoteError>;
type Found = BTreeMap<i64, Result<Snapshot, RemoteError>>;

/// One answer per request, in order.
pub(crate) async fn read(connection: &Arc<Connection>, spec: &TypeSpec, wants: &[ReadRequest]) -> Vec<Answer> {
    let mut answers: Vec<Option<Answer>> = vec![None; wants.len()];
    let mut by_id: Vec<(usize, i64)> = Vec::new();
    let mut by_external: Vec<usize> = Vec::new();
    for (index, want) in wants.iter().enumerate() {
        match &want.native_id {
            None => by_external.push(index),
            Some(native_id) => match internal_id(native_id) {
                Some(id) => by_id.push((index, id)),
                // No record of NetSuite's can have such an id.
                None => answers[index] = Some(Ok(Observed::default())),
            },
        }
    }
    read_by_id(connection, spec, wants, &by_id, &mut answers).await;
    read_by_external_id(connection, spec, wants, &by_external, &mut answers).await;
    confirm_absent(connection, spec, wants, &mut answers).await;
    answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(later("unconfirmed")))).collect()
}

/// NetSuite's internal ids are whole numbers, some of them negative.
pub(crate) fn internal_id(id: &NativeId) -> Option<i64> {
    let number: i64 = id.as_str().parse().ok()?;
    (number.to_string() == id.as_str()).then_some(number)
}

async fn read_by_id(
    connection: &Connection,
    spec: &TypeSpec,
    wants: &[ReadRequest],
    asked: &[(usize, i64)],
    answers: &mut [Option<Answer>],
) {
    let ids: Vec<i64> = asked.iter().map(|(_, id)| *id).collect::<BTreeSet<_>>().into_iter().collect();
    for batch in ids.chunks(IN_LIST) {
        // Before the fields are read: a note that is known is then in the fields, if it is not older.
        let traces = traces(connection, spec, wants, asked, batch).await;
        let found = snapshots(connection, spec, &format!("t.id IN ({})", columns::list(batch))).await;
        for (index, id) in asked.iter().filter(|(_, id)| batch.binary_search(id).is_ok()) {
            answers[*index] = match &found {
                Err(error) => Some(Err(error.clone())),
                Ok(found) => found.get(id).map(|one| {
                    let answer = observed(connection.account(), spec, &wants[*index], one)?;
                    traced(spec, &wants[*index], *id, answer, &traces)
                }),
            };
        }
    }
}

/// What system notes tell of a batch, where they are what tells our writes.
#[derive(Default)]
struct Traces {
    newest: BTreeMap<i64, u64>,
    /// Of records with a write of unknown outcome: what came after the note known before it.
    newer: BTreeMap<i64, Vec<notes::Note>>,
}

async fn traces(
    connection: &Connection,
    spec: &TypeSpec,
    wants: &[ReadRequest],
    asked: &[(usize, i64)],
    batch: &[i64],
) -> Result<Traces, RemoteError> {
    let Some(of_type) = &spec.netsuite.notes else { return Ok(Traces::default()) };
    let newest = notes::newest(connection, of_type, batch).await?;
    let open = asked.iter().filter(|(index, id)| batch.contains(id) && !wants[*index].unresolved.is_empty());
    let open: Vec<(i64, u64)> = open.map(|(index, id)| (*id, wants[*index].note)).collect();
    let newer = if open.is_empty() { BTreeMap::new() } else { notes::since(connection, of_type, &open).await? };
    Ok(Traces { newest, newer })
}

/// The record with what its notes tell.
fn traced(
    spec: &TypeSpec,
    want: &ReadRequest,
    id: i64,
    mut observed: Observed,
    traces: &Result<Traces, RemoteError>,
) -> Answer {
    if spec.netsuite.notes.is_none() {
        return Ok(observed);
    }
    let traces = traces.as_ref().map_err(Clone::clone)?;
    observed.note = traces.newest.get(&id).copied();
    if let Some(newer) = traces.newer.get(&id).filter(|newer| notes::landed(newer)) {
        observed.landed.clone_from(&want.unresolved);
        let told = notes::tell(spec, newer, None);
        if spec.netsuite.notes.as_ref().is_some_and(|notes| notes.unproven == Unproven::Report) {
            observed.unproven = told.unproven;
        }
        let fields = told.before;
        observed.before = Some(Box::new(Observed { fields, landed: Vec::new(), before: None, ..observed.clone() }));
    }
    Ok(observed)
}

async fn read_by_external_id(
    connection: &Connection,
    spec: &TypeSpec,
    wants: &[ReadRequest],
    asked: &[usize],
    answers: &mut [Option<Answer>],
) {
    for batch in asked.chunks(IN_LIST) {
        let externals = batch.iter().map(|index| format!("'{}'", external_id(wants[*index].rid)));
        let condition = format!("t.externalid IN ({})", columns::list(externals));
        let found = match snapshots(connection, spec, &condition).await {
            Ok(found) => found,
            Err(error) => {
                batch.iter().for_each(|index| answers[*index] = Some(Err(error.clone())));
                continue;
            }
        };
        let unreadable_one = found.values().find_map(|one| one.as_ref().err());
        for index in batch {
            let rid = wants[*index].rid;
            let mut ours = found.values().filter(|one| one.as_ref().is_ok_and(|one| one.external_rid == Some(rid)));
            answers[*index] = match (ours.next(), ours.next()) {
                (Some(one), None) => Some(observed(connection.account(), spec, &wants[*index], one).map(|found| {
                    // No stamp says so, but nobody else gives out our external ids.
                    let landed = match spec.netsuite.notes {
                        Some(_) => wants[*index].unresolved.clone(),
                        None => found.landed,
                    };
                    Observed { landed, ..found }
                })),
                (Some(_), Some(_)) => Some(Err(refused(twice(spec, rid)))),
                // It may be the one that cannot be read, since that one does not say whose it is.
                (None, _) => unreadable_one.map(|error| Err(error.clone())),
            };
        }
    }
}

fn twice(spec: &TypeSpec, rid: Rid) -> Failure {
    let reason = format!("two records of type {} carry the external id of {rid}", spec.name);
    Failure::new(ErrorClass::Irrecoverable, "external_id_twice", reason)
}

/// Bodies and lines of one instant each, by internal id. A single value that cannot be read spoils its record only.
pub(crate) async fn snapshots(connection: &Connection, spec: &TypeSpec, condition: &str) -> Result<Found, RemoteError> {
    let mut settled = Found::new();
    let mut condition = condition.to_owned();
    let mut torn = BTreeSet::new();
    for _ in 0..ROUNDS {
        let statement = columns::select(spec, &condition).map_err(refused)?;
        let rows = query(connection, &statement, PAGE_ROWS).await?;
        let mut found = Found::new();
        for row in &rows {
            let id = row.number(columns::ID).map_err(refused)?;
            if found.insert(id, Snapshot::read(spec, row).map_err(refused)).is_some() {
                return Err(refused(unreadable("a record stands twice in one page".to_owned())));
            }
        }
        torn = add_lines(connection, spec, &mut found).await?;
        settled.extend(found.into_iter().filter(|(id, _)| !torn.contains(id)));
        if torn.is_empty() {
            return Ok(settled);
        }
        condition = format!("t.id IN ({})", columns::list(&torn));
    }
    let moving = torn.into_iter().map(|id| (id, Err(later("changed_while_reading"))));
    settled.extend(moving);
    Ok(settled)
}

fn observed(account: &AccountId, spec: &TypeSpec, want: &ReadRequest, found: &Result<Snapshot, RemoteError>) -> Answer {
    let one = found.as_ref().map_err(Clone::clone)?;
    let record = RecordRef { account: account.clone(), record_type: spec.name.clone(), rid: want.rid };
    // A copied record carries the stamp of its original: only a stamp of this rid proves a write to it.
    let stamped = one.stamp.filter(|(rid, _)| *rid == want.rid);
    let proven = stamped.map(|(_, n)| write_id(&record, Side::Netsuite, n));
    Ok(Observed {
        exists: true,
        native_id: Some(one.native_id.clone()),
        fields: one.fields.clone(),
        token: Some(one.modified.as_second()),
        stamp: one.stamp,
        external_rid: one.external_rid,
        landed: want.unresolved.iter().copied().filter(|id| Some(*id) == proven).collect(),
        note: None,
        before: None,
        unproven: Vec::new(),
        age: Some(one.age()),
        clock: Some(one.now),
    })
}

/// A record that no row shows may be deleted, or hidden from the role's queries. Only the direct answer "does not
/// exist" about this very record counts as absence.
async fn confirm_absent(
    connection: &Arc<Connection>,
    spec: &TypeSpec,
    wants: &[ReadRequest],
    answers: &mut [Option<Answer>],
) {
    let missing: Vec<usize> =
        answers.iter().enumerate().filter(|(_, a)| a.is_none()).map(|(index, _)| index).take(PROBES).collect();
    let Some((first, others)) = missing.split_first() else { return };
    // One goes ahead: where the role is not let in at all, the others need not knock.
    let answer = probe(connection, spec, &wants[*first]).await;
    let shut_out = matches!(answer, Err(RemoteError::Forbidden { .. })).then(|| answer.clone());
    answers[*first] = Some(answer);
    if let Some(refused) = shut_out {
        others.iter().for_each(|index| answers[*index] = Some(refused.clone()));
        return;
    }
    let mut probes = Vec::new();
    for index in others.iter().copied() {
        probes.push(async move { (index, probe(connection, spec, &wants[index]).await) }.boxed());
    }
    let mut probes = stream::iter(probes).buffer_unordered(PROBES_AT_ONCE);
    while let Some((index, answer)) = probes.next().await {
        answers[index] = Some(answer);
    }
}

async fn probe(connection: &Connection, spec: &TypeSpec, want: &ReadRequest) -> Answer {
    let id = match &want.native_id {
        Some(id) => id.to_string(),
        None => format!("eid:{}", external_id(want.rid)),
    };
    let url = connection.endpoints().record(&spec.netsuite.rest, &id);
    let url = url.ok_or_else(|| refused(unreadable("the record's address cannot be formed".to_owned())))?;
    let call = Call { surface: Surface::Rest, method: Method::GET, url, body: None, transient: false, deadline: None };
    match connection.read(&call).await {
        // It is there after all: seen by one door and not (yet) by the other.
        Ok(_) => Err(later("not_in_query")),
        Err(CallError::Refused(refusal)) if refusal.meaning == Meaning::Absent => Ok(Observed::default()),
        Err(error) => Err(error.into_read_error()),
    }
}

fn later(code: &str) -> RemoteError {
    RemoteError::Unavailable { side: Side::Netsuite, code: code.to_owned(), retry_after: None }
}

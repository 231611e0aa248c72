//! Records as they are after a long life: linked, read on both sides, nothing owed. Made by the core's own steps over two
//! sides on paper, so that every row is one the core wrote.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use model::limits::Limits;
use model::spec::{TypeSpec, World};
use model::{
    AccountId, ChangeEvent, Fields, NativeId, Observed, Operation, PerSide, RandomIds, ReadRequest, RecordRef, Remote,
    RemoteError, Side, SystemClock, Value, WriteOutcome, WriteRequest,
};
use sqlx::PgPool;
use steps::Engine;
use store::PgRecords;
use store::records::{Intake, Pick};

use super::feed::Feed;

/// Records made in one transaction.
const BATCH: u32 = 500;
/// Version of every record afterwards, as SuiteX counts.
const VERSION: u32 = 1;

/// Makes all records of a feed and returns once nothing is owed, dirty or in flight.
///
/// # Errors
/// When a record did not come out as it must.
pub async fn make(pool: &PgPool, feed: &Feed) -> Result<()> {
    let engine = on_paper(pool);
    let mut record = 0;
    while record < feed.records() {
        let end = (record + BATCH).min(feed.records());
        batch(&engine, feed, record..end).await.context("a batch of records could not be made")?;
        record = end;
    }
    settled(pool, feed).await
}

fn on_paper(pool: &PgPool) -> Engine {
    Engine {
        records: Arc::new(PgRecords::new(pool.clone())),
        remotes: PerSide { suitex: Arc::new(Paper::of(Side::Suitex)), netsuite: Arc::new(Paper::of(Side::Netsuite)) },
        world: Arc::new(World::sample()),
        clock: Arc::new(SystemClock),
        ids: Arc::new(RandomIds),
        settings: Limits { owner: "bench".to_owned(), ..Limits::default() },
    }
}

/// Edits every record of a feed once, as this version of SuiteX: folded by the intake that stores them.
///
/// # Errors
/// When an event was not folded.
pub async fn edit(pool: &PgPool, feed: &Feed, version: u32) -> Result<()> {
    let engine = on_paper(pool);
    let core = engine.core();
    let mut record = 0;
    while record < feed.records() {
        let end = (record + BATCH).min(feed.records());
        let hints = (record..end)
            .map(|record| Ok(steps::to_hint(&core, &feed.event(record, version, core.ids, core.clock)?)?))
            .collect::<Result<Vec<_>>>()?;
        let (_, folded) = steps::intake(&core, &hints.iter().collect::<Vec<_>>()).await?;
        ensure!(folded.applied == hints.len(), "{} of {} edits were folded", folded.applied, hints.len());
        record = end;
    }
    // Nobody writes what they owe NetSuite, so their doorbells only pile up.
    sqlx::query("truncate sync.outbox").execute(pool).await?;
    Ok(())
}

async fn batch(engine: &Engine, feed: &Feed, records: std::ops::Range<u32>) -> Result<()> {
    let core = engine.core();
    let hints = records
        .map(|record| {
            let event = feed.event(record, VERSION, core.ids, core.clock)?;
            let created = ChangeEvent { operation: Operation::Create, ..event };
            Ok(steps::to_hint(&core, &created)?)
        })
        .collect::<Result<Vec<_>>>()?;
    let (stored, _) = steps::intake(&core, &hints.iter().collect::<Vec<_>>()).await?;
    let made: Vec<RecordRef> = stored
        .into_iter()
        .filter_map(|outcome| match outcome {
            Intake::Stored(record) => Some(record),
            Intake::Known => None,
        })
        .collect();
    ensure!(made.len() == hints.len(), "{} of {} records were new", made.len(), hints.len());
    let merged = steps::merge_step(&core, &Pick::These(made.clone())).await?;
    ensure!(merged.applied == hints.len(), "{} of {} creates were applied", merged.applied, hints.len());
    let written = steps::write_step(&core, Side::Netsuite, &Pick::These(made.clone()), &|_| true).await?;
    ensure!(written.claimed == hints.len(), "{} of {} creates were written", written.claimed, hints.len());
    let looked = steps::merge_step(&core, &Pick::These(made)).await?;
    ensure!(looked.records == hints.len() && looked.versions == 0, "what was created is not as it was written");
    Ok(())
}

async fn settled(pool: &PgPool, feed: &Feed) -> Result<()> {
    let ready: i64 = sqlx::query_scalar(
        "select count(*) from sync.record_head
         where account_id = $1 and alive and not locked and merge_at is null and not has_unresolved and not has_conflicts
           and sx_exists = 'yes' and sx_complete and sx_token = $2 and sx_dirty_seq = 0 and not sx_owed
           and ns_exists = 'yes' and ns_complete and ns_dirty_seq = 0 and not ns_owed",
    )
    .bind(feed.account().as_str())
    .bind(i64::from(VERSION))
    .fetch_one(pool)
    .await?;
    ensure!(ready == i64::from(feed.records()), "{ready} of {} records are linked and at rest", feed.records());
    // Their doorbells would only wait for writers that do not run.
    sqlx::query("delete from sync.outbox").execute(pool).await?;
    Ok(())
}

/// A side on paper: every record is there, as it was written or as its id says; every create lands.
struct Paper {
    side: Side,
    written: Mutex<HashMap<NativeId, Observed>>,
}

impl Paper {
    fn of(side: Side) -> Self {
        Self { side, written: Mutex::default() }
    }

    fn written(&self) -> std::sync::MutexGuard<'_, HashMap<NativeId, Observed>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fields(spec: &TypeSpec, native_id: &NativeId) -> Fields {
        let mut fields: Fields = spec.fields.iter().map(|field| (field.name.clone(), Value::Null)).collect();
        let known = [
            ("companyname", Value::text(format!("Harbour Supplies {native_id}"))),
            ("email", Value::text(format!("office{native_id}@harbour.example"))),
            ("phone", Value::text("+1 206 0000000000")),
            ("creditlimit", Value::text("2500.00")),
            ("comments", Value::text("Delivers to the pier.")),
            ("custentity_loyalty_points", Value::Int(10)),
            ("isinactive", Value::Bool(false)),
            ("datecreated", Value::text("2026-01-02")),
        ];
        fields.extend(known.map(|(name, value)| (name.to_owned(), value)));
        fields
    }
}

#[async_trait]
impl Remote for Paper {
    fn side(&self) -> Side {
        self.side
    }

    async fn read(&self, _: &AccountId, spec: &TypeSpec, wants: &[ReadRequest]) -> Vec<Result<Observed, RemoteError>> {
        let written = self.written();
        let read = |want: &ReadRequest| match &want.native_id {
            Some(id) if written.contains_key(id) => Ok(written[id].clone()),
            Some(id) => Ok(Observed {
                exists: true,
                native_id: Some(id.clone()),
                fields: Self::fields(spec, id),
                token: Some(i64::from(VERSION)),
                ..Observed::default()
            }),
            None => Ok(Observed::default()),
        };
        wants.iter().map(read).collect()
    }

    async fn write(&self, _: &AccountId, spec: &TypeSpec, writes: &[WriteRequest]) -> Vec<WriteOutcome> {
        let landed = |write: &WriteRequest| {
            // Of the record's own identity, so that no two are alike.
            let id = (write.rid.0.as_u128() % 1_000_000_000_000_000).to_string();
            let Ok(native_id) = NativeId::parse(&id) else { return WriteOutcome::NotSent };
            let mut fields: Fields = spec.fields.iter().map(|field| (field.name.clone(), Value::Null)).collect();
            fields.extend(write.changes.clone());
            fields.insert("datecreated".to_owned(), Value::text("2026-01-02"));
            let observed = Observed {
                exists: true,
                native_id: Some(native_id.clone()),
                fields,
                token: Some(i64::from(VERSION)),
                stamp: Some((write.rid, write.stamp)),
                external_rid: Some(write.rid),
                landed: vec![write.write_id],
                ..Observed::default()
            };
            self.written().insert(native_id.clone(), Observed { landed: Vec::new(), ..observed.clone() });
            WriteOutcome::Ok {
                native_id,
                token: Some(i64::from(VERSION)),
                line_ids: model::LineIds::new(),
                observed: Some(Box::new(observed)),
                before: None,
                unproven: Vec::new(),
            }
        };
        writes.iter().map(landed).collect()
    }

    fn quarantine(&self, _: &AccountId, _: &TypeSpec) -> std::time::Duration {
        std::time::Duration::ZERO
    }

    async fn list(
        &self,
        _: &AccountId,
        _: &TypeSpec,
        _: Option<&NativeId>,
        _: usize,
    ) -> Result<Vec<NativeId>, RemoteError> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use console::operations::replay::{Scope, verify};
    use console::operations::state_at;
    use model::record::Disposition;

    const RECORDS: u32 = 600;

    /// An engine whose sides answer nothing: whatever is merged was merged from its events alone.
    fn blind(pool: &PgPool) -> Engine {
        let (suitex, netsuite) = (steps::Absent(Side::Suitex), steps::Absent(Side::Netsuite));
        Engine {
            records: Arc::new(PgRecords::new(pool.clone())),
            remotes: PerSide { suitex: Arc::new(suitex), netsuite: Arc::new(netsuite) },
            world: Arc::new(World::sample()),
            clock: Arc::new(SystemClock),
            ids: Arc::new(RandomIds),
            settings: Limits::default(),
        }
    }

    #[tokio::test]
    async fn records_that_were_made_are_merged_from_their_next_events_without_a_read() {
        let database = pgtest::database().await;
        let pool = database.pool(4).await;
        let account = AccountId::parse("TSTDRV100001").unwrap();
        let feed = Feed::new(account, RECORDS, 1024, 64).unwrap();
        make(&pool, &feed).await.unwrap();
        let engine = blind(&pool);
        let core = engine.core();
        for version in [2, 3] {
            let events: Vec<ChangeEvent> =
                (0..RECORDS).map(|record| feed.event(record, version, core.ids, core.clock).unwrap()).collect();
            let hints: Vec<_> = events.iter().map(|event| steps::to_hint(&core, event).unwrap()).collect();
            let (_, merged) = steps::intake(&core, &hints.iter().collect::<Vec<_>>()).await.unwrap();
            let all = RECORDS as usize;
            assert_eq!((merged.records, merged.fast, merged.applied, merged.unreadable), (all, all, all, 0));
        }
        let applied: i64 =
            sqlx::query_scalar("select count(*) from sync.events where kind = 'hint' and disposition = $1")
                .bind(Disposition::Applied(1).as_str())
                .fetch_one(&pool)
                .await
                .unwrap();
        assert_eq!(applied, i64::from(RECORDS) * 3, "the create and two changes of each");
    }

    #[tokio::test]
    async fn logs_of_folded_hints_fold_to_their_records_and_the_past_is_read_through_them() {
        let database = pgtest::database().await;
        let pool = database.pool(4).await;
        let account = AccountId::parse("TSTDRV100001").unwrap();
        let feed = Feed::new(account, RECORDS, 1024, 64).unwrap();
        make(&pool, &feed).await.unwrap();
        for version in [2, 3] {
            edit(&pool, &feed, version).await.unwrap();
        }
        let own: i64 = sqlx::query_scalar("select count(*) from sync.event_log where kind = 'hint' and record_seq > 0")
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(own, i64::from(RECORDS) * 2, "each edit is its own entry");
        let mut found = Vec::new();
        let (types, all) = (World::sample(), Scope::default());
        let tally = verify(&pool, &types, &all, None, &mut |finding| found.push(finding)).await.unwrap();
        assert_eq!((found.as_slice(), tally.records), (&[][..], u64::from(RECORDS)));

        let records = engine_records(&pool).await;
        for record in &records[..3] {
            let now = store::listing::state(&pool, record).await.unwrap().unwrap();
            let (version, at) = (now["version"].as_i64().unwrap(), now["last_modified"].as_str().unwrap());
            let by_version = state_at(&pool, record, Some(version), None).await.unwrap().unwrap();
            let by_time = state_at(&pool, record, None, Some(at.parse().unwrap())).await.unwrap().unwrap();
            assert_eq!((&by_version["state"], &by_time), (&now["state"], &by_version));
            let before = state_at(&pool, record, Some(version - 1), None).await.unwrap().unwrap();
            assert_ne!(before["state"], now["state"]);
        }
    }

    async fn engine_records(pool: &PgPool) -> Vec<RecordRef> {
        let rids: Vec<uuid::Uuid> =
            sqlx::query_scalar("select rid from sync.record_head order by rid").fetch_all(pool).await.unwrap();
        let account = AccountId::parse("TSTDRV100001").unwrap();
        let record_type = model::RecordType::parse("customer").unwrap();
        let key = |rid| RecordRef { account: account.clone(), record_type: record_type.clone(), rid: model::Rid(rid) };
        rids.into_iter().map(key).collect()
    }
}

//! SuiteX events as an application's outbox sends them: gap-free versions, one event per record per round.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use chassis::bus::{Bus, Message, lane};
use model::{
    AccountId, ChangeEvent, Clock, Ids, NativeId, Operation, RandomIds, RecordType, Side, Source, SystemClock,
    TypedValue, record_key,
};
use tokio_util::sync::CancellationToken;

use super::pace::Pace;

/// Events handed to the bus in one call.
const BATCH: u32 = 500;
/// Text from which every event takes its own piece; unlike itself, so that nothing compresses it away.
const FILLER_BYTES: usize = 64 * 1024;
/// Length of the text with which the size of everything else is found.
const PROBE: usize = 500;

/// Makes events of one account's customers.
#[derive(Debug, Clone)]
pub struct Feed {
    account: AccountId,
    record_type: RecordType,
    records: u32,
    filler: Arc<str>,
    text_bytes: usize,
    lanes: u16,
}

impl Feed {
    /// Events of `event_bytes` each over so many records, on so many lanes.
    ///
    /// # Errors
    /// When so small an event cannot be made.
    pub fn new(account: AccountId, records: u32, event_bytes: u32, lanes: u16) -> Result<Self> {
        let mut chance = fastrand::Rng::with_seed(u64::from(records));
        let filler: String = std::iter::repeat_with(|| chance.alphanumeric()).take(FILLER_BYTES).collect();
        let record_type = RecordType::parse("customer").context("customer is a type")?;
        let mut feed = Self { account, record_type, records, filler: filler.into(), text_bytes: PROBE, lanes };
        let probe = model::wire::encode_change(&feed.event(records, 1, &RandomIds, &SystemClock)?).len();
        feed.text_bytes = (event_bytes as usize + PROBE).checked_sub(probe).context("an event needs more bytes")?;
        Ok(feed)
    }

    /// How many records.
    pub fn records(&self) -> u32 {
        self.records
    }

    /// The account.
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// The type of all records.
    pub fn record_type(&self) -> &RecordType {
        &self.record_type
    }

    /// SuiteX's id of the n-th record, counted from 0.
    ///
    /// # Errors
    /// Never: a number is an id.
    pub fn native(&self, record: u32) -> Result<NativeId> {
        Ok(NativeId::parse(&(u64::from(record) + 1).to_string())?)
    }

    /// The record's change number `version - 1`, which leaves it at `version`.
    ///
    /// # Errors
    /// Never: a number is an id.
    pub fn event(&self, record: u32, version: u32, ids: &dyn Ids, clock: &dyn Clock) -> Result<ChangeEvent> {
        // A piece of its own per event: a prime step walks through the filler without repeating itself soon.
        let start =
            (record as usize * 7919 + version as usize * 104_729) % (self.filler.len() - self.text_bytes.max(PROBE));
        let text = &self.filler[start..start + self.text_bytes];
        let changes = [
            ("comments".to_owned(), TypedValue::Text(text.to_owned())),
            ("phone".to_owned(), TypedValue::Text(format!("+1 206 {version:010}"))),
        ];
        Ok(ChangeEvent {
            event_id: ids.uuid(),
            account: self.account.clone(),
            record_type: self.record_type.clone(),
            record_id: self.native(record)?,
            operation: Operation::Update,
            source: Source::Suitex,
            side: Side::Suitex,
            occurred_at: clock.now(),
            base_version: None,
            changes: changes.into(),
            full_snapshot_ref: None,
            remote_version: Some(i64::from(version)),
            write_id: None,
            auth_context: None,
            correlation_id: None,
        })
    }

    /// The event as it travels.
    ///
    /// # Errors
    /// Never: a number is an id.
    pub fn message(&self, record: u32, version: u32) -> Result<Message> {
        let event = self.event(record, version, &RandomIds, &SystemClock)?;
        let key = record_key(&event.account, &event.record_type, event.record_id.as_str());
        Ok(Message {
            data: model::wire::encode_change(&event),
            attributes: model::wire::change_attributes(&event),
            ordering_key: Some(lane(&key, self.lanes)),
        })
    }

    /// Publishes round after round until told to stop, never further ahead than the pace allows.
    ///
    /// # Errors
    /// When the bus refuses an event, or nothing moves.
    pub async fn publish(&self, bus: &dyn Bus, topic: &str, pace: &Pace, stop: &CancellationToken) -> Result<()> {
        // Every record begins at version 1.
        for version in 2.. {
            let mut record = 0;
            while record < self.records {
                let end = (record + BATCH).min(self.records);
                match stop.run_until_cancelled(pace.room(u64::from(end - record))).await {
                    None => return Ok(()),
                    Some(room) => room?,
                }
                let messages = (record..end).map(|record| self.message(record, version)).collect::<Result<Vec<_>>>()?;
                // Counted before they are there: a consumer may settle them before the bus has answered us.
                pace.publish(u64::from(end - record));
                for outcome in bus.publish(topic, messages).await {
                    if let Err(error) = outcome {
                        bail!("an event was not published: {error}");
                    }
                }
                record = end;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(bytes: u32) -> Feed {
        Feed::new(AccountId::parse("TSTDRV100001").unwrap(), 10_000, bytes, 64).unwrap()
    }

    #[test]
    fn events_have_the_size_that_was_asked_for_and_are_read_back() {
        for bytes in [600, 1024, 4000] {
            let message = feed(bytes).message(9_999, 7).unwrap();
            let off = message.data.len().abs_diff(bytes as usize);
            assert!(off <= 4, "{} bytes instead of {bytes}", message.data.len());
            let event = model::wire::decode_change_message(&message.data, &message.attributes).unwrap();
            assert_eq!((event.record_id.as_str(), event.remote_version), ("10000", Some(7)));
        }
    }

    #[test]
    fn the_next_round_changes_every_field_it_names() {
        let feed = feed(1024);
        let changes = |version| feed.event(5, version, &RandomIds, &SystemClock).unwrap().changes;
        let (one, two) = (changes(2), changes(3));
        assert!(one.iter().all(|(name, value)| two[name] != *value), "{one:?} {two:?}");
    }
}

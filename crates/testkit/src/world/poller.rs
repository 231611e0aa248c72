//! Sweeps of NetSuite (semantics §2.13): keyset pages over `(lastmodified, id)`, an overlap, a watermark that is stored
//! only after every hint is published, and never beyond the sweep's beginning.

use std::collections::BTreeMap;
use std::sync::Mutex;

use model::spec::TypeSpec;
use model::{AccountId, Fields, NativeId, Operation, RecordType, Side, Source};
use steps::{Core, News, StepError, Swept, news, news_of_deletion};

use super::ledger::Place;
use super::remote::lock;
use super::stage::Stage;
use crate::pause::pause;

/// Watermarks by account and type, in seconds of NetSuite's clock.
pub type Watermarks = BTreeMap<(AccountId, RecordType), i64>;

/// How far before the watermark a sweep begins, beside the longest delay until a change can be seen.
const SAFETY_SECONDS: i64 = 2;

struct Found {
    place: Place,
    modified: i64,
    fields: Fields,
}

/// One sweep of the modified and the deleted stream of a type.
///
/// # Errors
/// Our own database; the watermark stays and everything is seen again.
pub async fn sweep(
    core: &Core<'_>,
    stage: &Mutex<Stage>,
    marks: &Mutex<Watermarks>,
    account: &AccountId,
    spec: &TypeSpec,
) -> Result<(), StepError> {
    let key = (account.clone(), spec.name.clone());
    let mark = marks.lock().expect("nobody panics over watermarks").get(&key).copied().unwrap_or(0);
    let (overlap, began) = {
        let stage = lock(stage);
        (stage.vary.late_seconds + SAFETY_SECONDS, stage.clock_of(Side::Netsuite).as_second())
    };
    let lo = mark - overlap;
    let mut cursor = (lo, 0);
    let mut seen = mark;
    loop {
        let page = page_after(&lock(stage), account, &spec.name, cursor);
        pause().await;
        let Some(last) = page.last() else { break };
        cursor = (last.modified, last.place.id);
        seen = seen.max(last.modified);
        tell(core, stage, account, spec, &page).await?;
        pause().await;
    }
    let gone = tell_deleted(core, stage, account, spec, lo).await?;
    pause().await;
    let mut marks = marks.lock().expect("nobody panics over watermarks");
    let mark = marks.entry(key).or_default();
    *mark = (*mark).max(seen.max(gone).min(began));
    Ok(())
}

fn page_after(stage: &Stage, account: &AccountId, record_type: &RecordType, cursor: (i64, u64)) -> Vec<Found> {
    let mine =
        |place: &&Place| place.side == Side::Netsuite && place.account == *account && place.record_type == *record_type;
    let rows = stage.rows.iter().filter(|(place, _)| mine(place));
    let mut found: Vec<Found> = rows
        .filter(|(place, row)| (row.token, place.id) > cursor)
        .map(|(place, row)| Found { place: place.clone(), modified: row.token, fields: row.fields.clone() })
        .collect();
    found.sort_by_key(|row| (row.modified, row.place.id));
    found.truncate(stage.vary.page);
    found
}

async fn tell(
    core: &Core<'_>,
    stage: &Mutex<Stage>,
    account: &AccountId,
    spec: &TypeSpec,
    page: &[Found],
) -> Result<(), StepError> {
    let full = |fields: &Fields| -> Fields {
        spec.fields.iter().map(|f| (f.name.clone(), fields.get(&f.name).cloned().unwrap_or_default())).collect()
    };
    let rows: Vec<Swept> =
        page.iter().map(|row| Swept { native_id: row.place.native(), fields: Some(full(&row.fields)) }).collect();
    let answers = news(core, account, spec, Side::Netsuite, &rows).await?;
    let mut stage = lock(stage);
    for (row, answer) in page.iter().zip(answers) {
        stage.note(|| format!("  sweep of {}: {answer:?}", row.place));
        if let News::Publish(changes) = answer {
            let at = model::Timestamp::from_second(row.modified).expect("seconds near now are an instant");
            let event =
                stage.event(&row.place, Operation::Update, Source::NetsuitePoll, changes, row.modified, at, None);
            stage.publish(event);
        }
    }
    Ok(())
}

/// The deleted stream. Answers the latest deletion seen.
async fn tell_deleted(
    core: &Core<'_>,
    stage: &Mutex<Stage>,
    account: &AccountId,
    spec: &TypeSpec,
    lo: i64,
) -> Result<i64, StepError> {
    let gone: Vec<(Place, i64)> = {
        let stage = lock(stage);
        let mine = |place: &Place| place.account == *account && place.record_type == spec.name;
        stage.deleted.iter().filter(|d| mine(&d.place) && d.at > lo).map(|d| (d.place.clone(), d.at)).collect()
    };
    let rows: Vec<Swept> = gone.iter().map(|(place, _)| Swept { native_id: place.native(), fields: None }).collect();
    if rows.is_empty() {
        return Ok(0);
    }
    let ids: Vec<NativeId> = rows.iter().map(|row| row.native_id.clone()).collect();
    let is_news = news_of_deletion(core, account, &spec.name, Side::Netsuite, &ids).await?;
    let answers = news(core, account, spec, Side::Netsuite, &rows).await?;
    let mut stage = lock(stage);
    for (((place, at), answer), is_news) in gone.iter().zip(answers).zip(is_news) {
        if let (News::Publish(_), true) = (answer, is_news) {
            let when = model::Timestamp::from_second(*at).expect("seconds near now are an instant");
            let event = stage.event(place, Operation::Delete, Source::NetsuitePoll, Fields::new(), *at, when, None);
            stage.publish(event);
        }
    }
    Ok(gone.iter().map(|(_, at)| *at).max().unwrap_or(0))
}

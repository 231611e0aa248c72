//! Many at once. Where an implementation is one atomic step after another these hold by themselves.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use model::Side;
use model::record::Disposition;

use super::given::{WINDOWS, account, answer, at, hint, known, native, record_type, view};
use crate::records::{Intake, Patch, Pick, Records, View};

const HINTS: u128 = 120;
const RECORDS: u128 = 4;

/// Every hint is settled once, by a step that began after it rang, and at the end nothing is dirty.
pub async fn no_bell_is_lost_between_intake_and_merge(records: Arc<dyn Records>) {
    for n in 0..RECORDS {
        known(&records, hint(10_000 + n, &n.to_string()), 0).await;
    }
    let settled = Arc::new(AtomicUsize::new(0));
    let total = usize::try_from(HINTS * 4 + RECORDS).expect("a small number");
    let mut tasks = tokio::task::JoinSet::new();
    for hand in 0..4 {
        let records = records.clone();
        tasks.spawn(async move {
            for n in 0..HINTS {
                let told = hint(hand * HINTS + n + 1, &(n % RECORDS).to_string());
                let answer = records.intake(&[told], at(1), &WINDOWS).await.expect("the hint is stored");
                assert!(matches!(answer[0], Intake::Stored(_)));
            }
        });
    }
    for _ in 0..3 {
        let (records, settled) = (records.clone(), settled.clone());
        tasks.spawn(async move {
            while settled.load(Ordering::SeqCst) < total {
                let step = settle_everything(&records).await;
                settled.fetch_add(step, Ordering::SeqCst);
                tokio::task::yield_now().await;
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(settled.load(Ordering::SeqCst), total, "each hint was settled once");
    let keys = records.lookup(&account("A"), Side::Netsuite, &native_ids()).await.expect("ids are looked up");
    assert_eq!(keys.len(), native_ids().len());
    for rid in keys.into_values() {
        let record = model::RecordRef { account: account("A"), record_type: record_type(), rid };
        let seen = view(&records, &record).await;
        assert!(seen.pending.is_empty());
        assert!(!seen.record.shadows.netsuite.dirty());
        assert!(seen.record.shadows.netsuite.hint_seq >= HINTS as u64);
    }
}

fn native_ids() -> Vec<(model::RecordType, model::NativeId)> {
    (0..RECORDS).map(|n| (record_type(), native(&n.to_string()))).collect()
}

/// A merge step that answers every bell it sees and settles what rang; how many hints that were.
async fn settle_everything(records: &Arc<dyn Records>) -> usize {
    let mut count = 0;
    let mut plan = |views: &[View]| {
        let settle = |view: &View| {
            let mut patch = Patch::of(view.record.clone());
            patch.settled = view.pending.iter().map(|hint| (hint.event_id, Disposition::NoopEcho)).collect();
            answer(&mut patch.record, Side::Netsuite);
            patch
        };
        let patches: Vec<Patch> = views.iter().map(settle).collect();
        count = patches.iter().map(|patch| patch.settled.len()).sum();
        patches
    };
    let due = Pick::DueMerge { accounts: vec![account("A")], per_account: 3, now: at(1_000) };
    records.transact(&due, true, &mut plan).await.expect("the step is stored");
    count
}

/// Identity is decided once, whoever is first.
pub async fn many_hands_meeting_one_new_id_make_one_record(records: Arc<dyn Records>) {
    let mut tasks = tokio::task::JoinSet::new();
    for hand in 0..8 {
        let records = records.clone();
        tasks.spawn(async move {
            let mut met = Vec::new();
            for n in 0..10_u128 {
                // In turn forwards and backwards, so that who waits for whom goes both ways.
                let ids: Vec<u128> = if hand % 2 == 0 { (0..5).collect() } else { (0..5).rev().collect() };
                let hints: Vec<_> =
                    ids.iter().map(|k| hint(hand * 1_000 + n * 10 + k + 1, &format!("{n}-{k}"))).collect();
                met.extend(records.intake(&hints, at(1), &WINDOWS).await.expect("hints are stored"));
            }
            met
        });
    }
    let answers: Vec<Intake> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(answers.len(), 400);
    let records_made: HashSet<_> = answers.into_iter().map(|answer| format!("{answer:?}")).collect();
    assert_eq!(records_made.len(), 50);
}

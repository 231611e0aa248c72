//! Of those that store one natural key in the same instant one is first.

use std::sync::Barrier;

use crate::records::{Patch, Pick, Records, View};

use super::{hint, known, view, world};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_transactions_that_make_one_thing_one_is_left_out() {
    let (records, _db) = world().await;
    for round in 0..8 {
        let first = known(&records, hint(10 + round, &format!("{round}a"))).await;
        let second = known(&records, hint(50 + round, &format!("{round}b"))).await;
        let key = format!("{round}@b.example");
        // Both have planned before either stores: neither can see the other in its views.
        let both = Barrier::new(2);
        let make = |views: &[View]| -> Vec<Patch> {
            both.wait();
            let real = |view: &View| {
                let mut patch = Patch::of(view.record.clone());
                patch.record.head.natural_key = Some(key.clone());
                patch.record.head.version = 1;
                patch.record.head.alive = true;
                patch.alone = true;
                patch
            };
            views.iter().map(real).collect()
        };
        std::thread::scope(|scope| {
            for record in [&first, &second] {
                let (records, make, handle) = (&records, &make, tokio::runtime::Handle::current());
                let pick = Pick::These(vec![record.clone()]);
                scope.spawn(move || {
                    handle.block_on(async { records.transact(&pick, true, &mut |views| make(views)).await }).unwrap();
                });
            }
        });
        let versions = [view(&records, &first).await, view(&records, &second).await].map(|v| v.record.head.version);
        assert_eq!(versions.iter().sum::<u64>(), 1, "round {round}: {versions:?}");
    }
}

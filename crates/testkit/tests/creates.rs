//! Creates with lost answers, dying writers and two writers at once.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

use testkit::creates::{CreateArgs, run};

#[test]
fn every_record_is_made_once_in_hardly_more_than_one_call() {
    let made = run(&CreateArgs::of(10_000, 1));
    println!("{made:?}");
    assert_eq!(made.breaches, Vec::<String>::new());
    assert_eq!((made.count, made.duplicates, made.lost), (10_000, 0, 0));
    assert!(made.unheard > 250, "{} answers got lost", made.unheard);
    assert!(made.died > 50, "{} writers died", made.died);
    assert!(made.calls_per_create() <= 1.05, "{:.4} calls per create", made.calls_per_create());
}

#[test]
fn a_run_is_its_seed() {
    let (one, again) = (run(&CreateArgs::of(200, 7)), run(&CreateArgs::of(200, 7)));
    assert_eq!((one.calls, one.unheard, one.died), (again.calls, again.unheard, again.died));
    assert_ne!(one.calls, 0);
}

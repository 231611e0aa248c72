//! `concord bench creates`: what a create costs in calls when answers get lost and writers die. Here in virtual time, in
//! [`real`] on real processes; the ceiling is one call a create.

use anyhow::{Result, ensure};
use testkit::creates::{CreateArgs, Created, run as make};

use super::Creates;
use crate::say::say;

mod count;
pub mod real;

/// Records made in virtual time, unless told otherwise.
const COUNT: u64 = 1_000_000;
/// Most calls a create may cost (contracts §12).
const MOST_CALLS: f64 = 1.05;

/// Makes the records, prints, and fails when one is lost, doubled, or too dear.
pub(super) fn run(asked: &Creates) -> Result<()> {
    let common = &asked.common;
    let none = common.replicas.is_empty() && common.settings.is_empty() && !common.keep;
    ensure!(none, "--replicas, --set and --keep are for --real: in virtual time there is no stack");
    let made = make(&CreateArgs::of(asked.count.unwrap_or(COUNT), asked.seed));
    if common.json {
        say(json(&made))
    } else {
        say(text(&made))
    }
    made.breaches.iter().for_each(|breach| eprintln!("{breach}"));
    judge(&made)
}

fn judge(made: &Created) -> Result<()> {
    ensure!(made.breaches.is_empty(), "{} invariants were broken", made.breaches.len());
    ensure!(made.duplicates == 0 && made.lost == 0, "{} duplicates, {} lost", made.duplicates, made.lost);
    let calls = made.calls_per_create();
    ensure!(calls <= MOST_CALLS, "{calls:.4} calls per create, at most {MOST_CALLS}");
    Ok(())
}

fn json(made: &Created) -> serde_json::Value {
    serde_json::json!({
        "creates": made.count,
        "calls": made.calls,
        "calls_per_create": made.calls_per_create(),
        "duplicates": made.duplicates,
        "lost": made.lost,
        "lost_answers": made.unheard,
        "writers_died": made.died,
        "seconds": made.took.as_secs_f64(),
    })
}

fn text(made: &Created) -> String {
    let Created { count, calls, duplicates, lost, unheard, died, took, .. } = made;
    format!(
        "{count} creates in {calls} calls, {:.4} each (at least 1): {duplicates} duplicates, {lost} lost; {unheard} answers \
         got lost, {died} writers died; {:.0} s",
        made.calls_per_create(),
        took.as_secs_f64()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_create_that_is_lost_doubled_or_dear_fails_the_measurement() {
        let well = Created { count: 100, calls: 104, ..Created::default() };
        judge(&well).unwrap();
        assert!(judge(&Created { duplicates: 1, ..well.clone() }).is_err());
        assert!(judge(&Created { lost: 1, ..well.clone() }).is_err());
        assert!(judge(&Created { calls: 106, ..well.clone() }).is_err());
        assert!(judge(&Created { breaches: vec!["I1".to_owned()], ..well }).is_err());
    }
}

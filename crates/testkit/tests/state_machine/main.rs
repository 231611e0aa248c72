//! The world as a state machine: the reference is what users did, the transitions are what a scheduler may do. When a
//! sequence breaks an invariant it is shrunk to the few steps that matter.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

mod forgetful;
mod known;
mod machine;

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::test_runner::{Config, FileFailurePersistence, RngAlgorithm, TestError, TestRng, TestRunner};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};

use known::{Known, Step};
use machine::Machine;

/// Steps of one sequence.
const LONGEST: usize = 60;

fn config(cases: u32) -> Config {
    // A sequence that was found is kept as a scenario, not in a file beside the test.
    Config { cases, failure_persistence: Some(Box::new(FileFailurePersistence::Off)), ..Config::default() }
}

/// Plays sequences until one breaks; answers the shortest like it.
fn find<const FORGETFUL: bool>(cases: u32) -> Option<(String, Vec<Step>)> {
    // What must be found is looked for in the same sequences each time; what must not is looked for in new ones.
    let mut runner = match FORGETFUL {
        true => TestRunner::new_with_rng(config(cases), TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
        false => TestRunner::new(config(cases)),
    };
    let outcome = runner.run(&Known::sequential_strategy(1..LONGEST), |(initial, steps, seen)| {
        Machine::<FORGETFUL>::test_sequential(config(cases), initial, steps, seen);
        Ok(())
    });
    match outcome {
        Ok(()) => None,
        Err(TestError::Fail(reason, (_, steps, _))) => Some((reason.to_string(), steps)),
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}

#[test]
fn no_sequence_of_steps_breaks_an_invariant() {
    if let Some((reason, steps)) = find::<false>(2_000) {
        panic!("{reason}\n{steps:#?}");
    }
}

/// A store that clears a bell whatever rang meanwhile loses an edit: found, and shrunk to what matters.
#[test]
fn a_mutation_is_found_and_shrunk_to_a_short_schedule() {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {
        PANICS.fetch_add(1, Ordering::Relaxed); // each attempt of the shrinking is one; they need not be told
    }));
    let found = find::<true>(20_000);
    std::panic::set_hook(hook);
    let (reason, steps) = found.expect("the mutation shows");
    println!("after {} attempts, {} steps: {steps:#?}\n{reason}", PANICS.load(Ordering::Relaxed), steps.len());
    assert!(steps.len() <= 12, "{} steps: {steps:#?}", steps.len());
    assert!(reason.contains("I1"), "{reason}");
}

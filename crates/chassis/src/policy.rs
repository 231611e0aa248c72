//! What happens when something goes wrong: five classes, one match each.
//!
//! No failure is silent, and this file is the proof: every class ends in a disposition, a listener and a sentence.

use std::time::Duration;

use model::{ErrorClass, Failure};

/// Waits before the second, third, … attempt. Read it aloud: five seconds, fifteen, thirty, a minute, five minutes.
pub const BACKOFF: [Duration; 5] = [
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(300),
];

/// Share of a wait by which chance may shorten or lengthen it, so that what failed together does not return together.
pub const JITTER: f64 = 0.2;

/// What becomes of a message whose handling failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Given back to the bus after this wait; its attempt counts.
    RetryAfter(Duration),
    /// Given back to the bus; the process stops taking messages until its own parts work again. Counts as no attempt.
    HoldUntilWorking,
    /// To `events.error`: it can succeed after a retry or a person's edit.
    ErrorQueue,
    /// To `events.dlq`: it never will.
    DeadLetter,
}

/// Who hears of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Nobody yet: a counter moves, and the last attempt is reported.
    Counter,
    /// Whoever works the error queue (operator).
    Operator,
    /// Whoever decides about records (the conflict screen).
    Decider,
    /// Whoever is on call: the process is not ready.
    OnCall,
}

/// The whole answer of the policy to one failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What becomes of the message.
    pub disposition: Disposition,
    /// Who is told.
    pub told: Told,
    /// The sentence the operator reads.
    pub sentence: String,
}

/// Decides about a failure at its `attempt` (1 for the first), of `max_attempts` (`MAX_RETRY_ATTEMPTS`). `chance` in
/// 0..1 spreads the wait.
pub fn decide(failure: &Failure, attempt: u32, max_attempts: u32, chance: f64) -> Decision {
    let reason = &failure.reason;
    match failure.class {
        ErrorClass::Transient if attempt < max_attempts => Decision {
            disposition: Disposition::RetryAfter(backoff(attempt, chance)),
            told: Told::Counter,
            sentence: format!("Attempt {attempt} of {max_attempts} failed and will be repeated: {reason}"),
        },
        ErrorClass::Transient => Decision {
            disposition: Disposition::ErrorQueue,
            told: Told::Operator,
            sentence: format!("Gave up after {attempt} attempts; retry it when the cause is gone: {reason}"),
        },
        ErrorClass::Validation => Decision {
            disposition: Disposition::ErrorQueue,
            told: Told::Operator,
            sentence: format!("The content was refused; edit it or discard it: {reason}"),
        },
        // A conflict that the merge recorded is an outcome, not a failure. One that arrives here was recorded nowhere.
        ErrorClass::Conflict => Decision {
            disposition: Disposition::ErrorQueue,
            told: Told::Decider,
            sentence: format!("Both sides changed and no policy decides; choose a value: {reason}"),
        },
        ErrorClass::Irrecoverable => Decision {
            disposition: Disposition::DeadLetter,
            told: Told::Operator,
            sentence: format!("This message can never be carried out; it is kept as it came: {reason}"),
        },
        ErrorClass::Operational => Decision {
            disposition: Disposition::HoldUntilWorking,
            told: Told::OnCall,
            sentence: format!("Concord's own parts fail; messages wait, none is lost: {reason}"),
        },
    }
}

/// The wait after the given attempt (1 for the first), spread by [`JITTER`]; `chance` in 0..1.
pub fn backoff(attempt: u32, chance: f64) -> Duration {
    let place = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX).min(BACKOFF.len() - 1);
    BACKOFF[place].mul_f64(1.0 - JITTER + 2.0 * JITTER * chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(class: ErrorClass, attempt: u32) -> Decision {
        decide(&Failure::new(class, "why", "the cause"), attempt, 5, 0.5)
    }

    #[test]
    fn each_class_has_its_disposition() {
        use ErrorClass::{Conflict, Irrecoverable, Operational, Transient, Validation};
        let cases = [
            (Transient, 1, Disposition::RetryAfter(Duration::from_secs(5)), Told::Counter),
            (Transient, 2, Disposition::RetryAfter(Duration::from_secs(15)), Told::Counter),
            (Transient, 4, Disposition::RetryAfter(Duration::from_secs(60)), Told::Counter),
            (Transient, 5, Disposition::ErrorQueue, Told::Operator),
            (Validation, 1, Disposition::ErrorQueue, Told::Operator),
            (Conflict, 1, Disposition::ErrorQueue, Told::Decider),
            (Irrecoverable, 1, Disposition::DeadLetter, Told::Operator),
            (Operational, 99, Disposition::HoldUntilWorking, Told::OnCall),
        ];
        for (class, attempt, disposition, told) in cases {
            let decision = decided(class, attempt);
            assert_eq!((decision.disposition, decision.told), (disposition, told), "{class} at attempt {attempt}");
            assert!(decision.sentence.ends_with("the cause"), "{}", decision.sentence);
        }
    }

    #[test]
    fn the_wait_is_spread_by_a_fifth_and_never_beyond_the_list() {
        assert_eq!(backoff(1, 0.0), Duration::from_secs(4));
        assert_eq!(backoff(1, 1.0), Duration::from_secs(6));
        assert_eq!(backoff(5, 0.5), Duration::from_secs(300));
        assert_eq!(backoff(500, 0.5), Duration::from_secs(300));
        assert_eq!(backoff(0, 0.5), Duration::from_secs(5));
    }
}

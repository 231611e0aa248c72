//! One suite for every bus: what `chassis::bus` promises, held by each implementation.
//!
//! The Pub/Sub cases start Google's emulator themselves. Where it is not installed they say so and pass, unless
//! `CONCORD_REQUIRE_PUBSUB=1`.
#![allow(clippy::unwrap_used, unreachable_pub)] // a test that cannot go on has failed

mod acts;
mod cases;
#[path = "../support/emulator.rs"]
mod emulator;
mod worlds;

/// Makes one test per case and bus.
macro_rules! conformance {
    ($($case:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $case() {
                crate::cases::$case(&crate::worlds::MemoryWorld::new()).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                crate::cases::$case(&crate::worlds::PostgresWorld::new().await).await;
            })+
        }
        mod pubsub {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                // Google's emulator hands what a subscriber gave back, or held when it ended, to nobody for a minute, or
                // out of order; the service promises both. Consumers rely on neither (semantics 2.2).
                if crate::BEYOND_THE_EMULATOR.contains(&stringify!($case)) {
                    println!("{} cannot be shown on the emulator", stringify!($case));
                    return;
                }
                if let Some(world) = crate::worlds::PubSubWorld::new(true).await {
                    crate::cases::$case(&world).await;
                }
            })+
        }
    };
}

/// The cases that ask for no order, with subscriptions that keep none: as every service uses the emulator. That what a
/// killed process held comes again is held by the end-to-end test, with processes that are killed.
macro_rules! without_order {
    ($($case:ident),+ $(,)?) => {
        mod pubsub_without_order {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                if let Some(world) = crate::worlds::PubSubWorld::new(false).await {
                    crate::cases::$case(&world).await;
                }
            })+
        }
    };
}

/// What the emulator's ordered subscriptions do not do as the service does.
const BEYOND_THE_EMULATOR: &[&str] = &[
    "what_a_closed_subscriber_left_comes_again_in_order",
    "what_a_vanished_subscriber_held_comes_again",
    "what_is_given_back_comes_again_before_what_is_behind_it",
    "closing_in_the_middle_of_a_batch_returns_only_the_unfinished_half",
];

conformance!(
    messages_arrive_as_they_were_published,
    a_lane_keeps_its_order_over_batches_in_work,
    what_a_closed_subscriber_left_comes_again_in_order,
    what_a_vanished_subscriber_held_comes_again,
    what_is_given_back_comes_again_before_what_is_behind_it,
    attempts_are_counted,
    filters_admit_only_their_value,
    closing_in_the_middle_of_a_batch_returns_only_the_unfinished_half,
    a_refused_message_pauses_its_lane_for_the_call_only,
    publishing_fails_while_the_broker_is_away_and_resumes_in_order,
    two_subscribers_share_and_never_hold_one_lane_together,
    every_subscription_of_a_topic_gets_every_message,
    no_more_is_handed_out_than_may_be_outstanding,
    messages_without_a_key_pass_one_another,
    an_idle_subscriber_is_woken,
    a_dropped_wait_loses_nothing,
    absent_and_closed_are_errors,
);

without_order!(
    messages_arrive_as_they_were_published,
    attempts_are_counted,
    every_subscription_of_a_topic_gets_every_message,
    messages_without_a_key_pass_one_another,
    a_dropped_wait_loses_nothing,
    absent_and_closed_are_errors,
);

//! The suite every implementation of [`Records`](crate::records::Records) is held to (feature `conformance`).
//!
//! ```ignore
//! async fn make() -> (std::sync::Arc<dyn store::records::Records>, MyGuard) { … }
//! store::records_conformance!(make);
//! ```
//! expands to one test per case. The guard is dropped when the case has ended. Cases look only through the port, so they
//! hold for memory and for Postgres alike; what only tables show is tested beside the tables.
#![allow(clippy::unwrap_used, clippy::cloned_ref_to_slice_refs)] // a case that cannot go on has failed; it compares lists

pub mod folding;
pub(crate) mod given;
pub mod identity;
pub mod intake;
pub mod storing;
pub mod together;
pub mod work;

/// One test per case of the suite; `$make` is an async function answering `(Arc<dyn Records>, guard)`.
#[macro_export]
macro_rules! records_conformance {
    ($make:path) => {
        $crate::records_conformance!(@cases $make;
            intake: an_event_id_is_stored_once;
            intake: a_batch_stores_a_repeated_id_once;
            intake: an_unknown_id_makes_a_provisional_record;
            intake: hints_of_one_batch_for_one_new_id_share_a_record;
            intake: the_same_id_in_two_accounts_is_two_records;
            intake: bells_are_numbered_and_counted;
            intake: a_locked_record_and_a_side_in_flight_are_not_ready;
            intake: only_deltas_of_suitex_count_their_changes;
            intake: a_payload_no_text_can_hold_still_rings;
            folding: a_counted_delta_is_folded_as_it_comes;
            folding: entries_that_are_no_hint_come_back_too;
            folding: known_events_are_not_folded_again;
            folding: what_is_not_folded_stays_dirty;
            folding: only_records_at_rest_are_given;
            folding: a_delete_is_never_folded_as_it_comes;
            storing: what_a_plan_returns_is_stored_exactly;
            storing: a_record_left_out_of_the_patches_stays;
            storing: states_of_every_shape_come_back;
            storing: conflicts_and_locks_come_and_go;
            storing: the_log_comes_back_as_it_was_folded;
            storing: a_patch_of_a_stranger_is_refused;
            storing: hints_settle_in_any_order;
            storing: no_more_than_the_limit_is_pending_at_once;
            work: due_records_are_picked_oldest_first_and_per_account;
            work: a_leased_record_is_nobody_elses;
            work: a_lost_lease_is_told_by_its_token;
            work: only_a_clean_free_side_is_due_for_writing;
            work: a_write_is_overdue_after_its_deadline;
            work: the_next_due_instant_is_the_earliest;
            work: too_many_deaths_put_the_brake_on;
            identity: a_moved_link_retires_the_old_id;
            identity: hints_follow_a_record_that_became_another;
            identity: a_record_that_became_another_by_way_of_others_is_found;
            identity: an_id_of_another_record_is_not_taken;
            identity: our_own_create_takes_its_id_from_a_provisional_record;
            identity: living_records_answer_their_natural_key;
            identity: who_is_not_alone_any_more_stores_nothing;
            together: no_bell_is_lost_between_intake_and_merge;
            together: many_hands_meeting_one_new_id_make_one_record;
        );
    };
    (@cases $make:path; $($module:ident: $case:ident;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let (records, _guard) = $make().await;
                $crate::conformance::$module::$case(records).await;
            }
        )*
    };
}

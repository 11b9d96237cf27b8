//! What every [`domain::ports::BatchStore`] must do.

mod batches;
mod intake;
mod kpis;
mod removal;
mod retries;
mod roll_up;
mod shards;

pub use batches::*;
pub use intake::*;
pub use kpis::*;
pub use removal::*;
pub use retries::*;
pub use roll_up::*;
pub use shards::*;

/// Runs the suite against the store that `$make` answers with: `async fn() -> (Arc<dyn BatchStore>, impl Sized)`.
#[macro_export]
macro_rules! batch_store_contract {
    ($make:path) => {
        $crate::contract_tests!(batch_store, $make,
            a_new_batch_is_stored_as_it_was_given
            a_second_batch_with_the_same_id_leaves_the_first_as_it_was
            of_concurrent_creations_one_creates
            an_unknown_batch_is_none
            batches_are_listed_newest_first
            a_listing_is_cut_into_pages_without_gaps_or_repeats
            a_listing_is_narrowed_by_owner_and_state
            a_listing_of_batches_without_report_forgets_those_that_have_one
            a_narrowed_listing_is_cut_into_pages_too
            a_listing_follows_a_batch_to_its_new_state
            a_move_sets_what_the_change_names_and_the_time
            a_move_leaves_what_the_change_does_not_name
            a_change_without_a_state_keeps_the_state
            a_batch_in_another_state_stays_as_it_is
            a_move_leaves_any_of_several_states
            a_repeated_move_finds_the_batch_moved
            of_concurrent_moves_one_moves
            an_unknown_batch_cannot_move

            a_shard_waits_for_the_parts_it_was_created_with
            a_shard_that_is_there_stays_as_it_is
            shards_are_listed_in_ascending_order
            an_unknown_batch_has_no_shards
            a_part_adds_its_counters
            a_part_is_counted_once
            a_repeat_with_other_counts_changes_nothing
            concurrent_commits_of_one_part_count_once
            concurrent_commits_of_different_parts_all_count
            a_part_with_leftovers_makes_the_shard_wait_for_one_more
            a_repeated_part_with_leftovers_makes_the_shard_wait_for_one_more_once
            the_last_part_completes_the_shard
            a_part_whose_images_are_labelled_makes_the_shard_wait_for_that
            a_repeat_says_whether_the_shard_is_complete
            parts_of_other_shards_and_batches_are_counted_apart
            a_part_of_an_unknown_shard_is_rejected

            an_incomplete_shard_is_not_closed
            a_complete_shard_is_closed_once
            concurrent_closes_of_one_shard_count_once
            concurrent_closes_of_different_shards_all_count
            a_shard_that_does_not_exist_is_not_closed
            a_roll_up_knows_the_shards_in_all_once_the_list_is_split
            a_roll_up_is_complete_when_every_shard_of_a_processing_batch_is_closed
            an_unknown_batch_has_no_roll_up

            indicators_come_back_as_they_were_added
            a_part_adds_its_indicators_once
            a_repeat_in_another_minute_adds_nothing
            indicators_of_one_minute_add_up
            concurrent_parts_all_add_to_their_minute
            concurrent_repeats_of_one_part_add_once
            minutes_are_ascending_both_ends_included_and_empty_ones_left_out

            a_deleted_batch_is_gone_with_its_shards
            a_deleted_batch_can_be_created_anew_and_counts_from_zero
            other_batches_outlive_a_deletion
            indicators_outlive_their_batch
            deleting_a_batch_again_is_no_error

            a_retry_begins_a_new_generation
            of_concurrent_retries_one_begins
            a_retry_that_does_not_follow_the_current_generation_does_not_begin
            only_a_settled_batch_can_be_retried
            a_change_for_another_generation_is_not_made
            a_part_that_begins_a_retry_takes_counts_back_and_is_waited_for
            no_shard_is_closed_while_a_retry_looks_through_its_batch
            a_roll_up_is_complete_when_every_shard_of_a_cancelled_batch_is_closed

            work_is_begun_unless_the_intake_is_paused
            a_key_that_is_claimed_answers_with_its_first_claim
            keys_are_apart_by_owner_and_text
            an_expired_key_is_free_again
            of_concurrent_claims_one_stands
        );
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_function_of_the_suite_is_run() {
        let sources = [
            include_str!("batches.rs"),
            include_str!("intake.rs"),
            include_str!("kpis.rs"),
            include_str!("removal.rs"),
            include_str!("retries.rs"),
            include_str!("roll_up.rs"),
            include_str!("shards.rs"),
        ]
        .concat();
        assert_eq!(
            crate::functions_in(&sources),
            crate::names_listed_in(include_str!("mod.rs"))
        );
    }
}

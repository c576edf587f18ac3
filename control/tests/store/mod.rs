//! Cases that hold on every database, each given stores over an empty one.

#![allow(missing_docs, clippy::unwrap_used)] // cases are tests: they say what they expect by unwrapping

pub(crate) mod conversations;
pub(crate) mod facts;
pub(crate) mod groups;
pub(crate) mod implied;
pub(crate) mod journal;
pub(crate) mod messages;
pub(crate) mod outbox;
pub(crate) mod tokens;
pub(crate) mod users;
pub(crate) mod versions;

/// Unix milliseconds at which tests take place.
pub(crate) const NOW: i64 = 1_800_000_000_000;

pub(crate) fn texts(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

/// Makes a test of every case; `$database` has `create`, `stores` and `drop_database`.
macro_rules! all_cases {
    ($database:ident) => {
        $crate::store::all_cases! { $database:
            conversations::records_are_created_once_and_listed_in_order,
            conversations::saving_bumps_only_what_changed,
            conversations::bounds_show_in_the_record,
            facts::every_kind_is_answered_in_order,
            groups::a_group_is_created_with_members_and_bumps,
            groups::members_are_listed_by_role_and_filled_from_the_user,
            groups::a_dismissed_group_is_not_listed_as_joined,
            implied::a_batch_stores_everything_it_implies,
            journal::a_replayed_batch_changes_nothing,
            journal::an_overlapping_batch_is_harmless,
            journal::a_gap_in_positions_is_refused,
            journal::a_failing_batch_leaves_nothing_of_the_call,
            journal::another_message_under_a_seq_is_refused,
            journal::a_cancelled_batch_is_stored_whole_or_not_at_all,
            journal::batches_of_several_journals_in_parallel,
            implied::the_first_group_message_makes_records_for_all_members,
            implied::a_deleted_single_chat_record_comes_back_with_the_next_message,
            implied::notification_streams_make_no_records_and_read_seqs,
            implied::text_no_database_likes_is_stored,
            implied::an_id_too_long_for_an_index_holds_up_nothing,
            implied::senders_whose_ids_are_stored_alike_are_stored,
            implied::thousands_of_messages_in_one_batch,
            implied::token_kicks_are_applied_with_the_position,
            journal::positions_and_epochs_are_kept_by_gateway,
            messages::a_state_holds_the_newest_64,
            messages::a_state_names_senders_whose_clocks_ran_ahead,
            messages::duplicates_are_found_by_conversation_sender_and_id,
            messages::ranges_take_the_lowest_or_the_highest,
            messages::seqs_are_found_in_ascending_order,
            messages::windows_of_a_user_hold_chats_and_streams,
            messages::read_seqs_never_decrease,
            outbox::messages_wait_in_order_until_removed,
            tokens::an_issue_carries_out_the_policy,
            tokens::parallel_logins_of_a_user_see_each_other,
            tokens::logins_and_journals_that_kick_do_not_lock_each_other_out,
            tokens::kicks_return_what_changed,
            tokens::load_pages_and_purge,
            users::register_get_and_page,
            users::a_registered_id_refuses_the_whole_list,
            users::an_update_leaves_what_is_not_given,
            users::admins_are_inserted_or_renamed,
            users::registrations_are_counted_by_day,
            users::client_config_is_kept_by_user_and_key,
            versions::a_log_answers_what_changed_since,
            versions::what_a_client_cannot_have_gets_everything,
            versions::more_than_200_changes_get_everything,
            versions::the_last_state_of_an_element_wins,
            versions::parallel_bumps_lose_none,
            versions::crossing_bumps_do_not_block_each_other,
            versions::full_ids_come_in_display_order,
        }
    };
    ($database:ident: $($module:ident :: $case:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let database = $database::create().await;
                store::$module::$case(&database.stores).await;
                database.drop_database().await;
            }
        )*
    };
}
pub(crate) use all_cases;

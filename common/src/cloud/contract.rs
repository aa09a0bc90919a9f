//! The suite that every cloud must pass: named cases, each on a fresh cloud of its own. [`crate::contract_cases`] hands
//! the list to a macro, so that each case becomes a test with its own name; [`CASES`] is the same list as values.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a suite of tests: a panic is how a case fails")]

mod callback;
mod claims;
pub mod endpoint;
mod fifo;
mod files;
mod limits;
mod lists;
mod mailer;
mod queues;
mod store;
pub mod trace;
mod waiting;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::Cloud;
use endpoint::Endpoint;

use crate::clock::SteppedClock;
use crate::domain::ids::{Nonce, Owner, ProjectId, ProjectUser, WorkerId};
use crate::domain::names::Queue;

/// How the time of a cloud passes.
#[derive(Clone)]
pub enum Passing {
    /// When a case moves it.
    Stepped(SteppedClock),
    /// When a case moves the time of the endpoint.
    Moved(Arc<Endpoint>),
    /// By itself.
    Real,
}

/// What a case plays on.
#[derive(Clone)]
pub struct Stage {
    /// A fresh cloud (on AWS: a prefix that nobody used before).
    pub cloud: Cloud,
    /// How its time passes.
    pub time: Passing,
    /// Makes task tokens that somebody waits for.
    pub tokens: Arc<dyn Fn() -> String + Send + Sync>,
    unique: String,
}

impl Stage {
    /// A stage over a fresh cloud, for tasks that are waited for under any token.
    pub fn new(cloud: Cloud, time: Passing) -> Self {
        let tokens = Arc::new(|| Uuid::new_v4().simple().to_string());
        Self { cloud, time, tokens, unique: Uuid::new_v4().simple().to_string()[..10].to_owned() }
    }

    /// Lets time pass: at once where it can be stepped.
    async fn pass(&self, span: Duration) {
        match &self.time {
            Passing::Stepped(clock) => clock.advance(span),
            Passing::Moved(endpoint) => endpoint.advance(span),
            Passing::Real => tokio::time::sleep(span).await,
        }
    }

    /// An id that no other case uses.
    fn id(&self, name: &str) -> String {
        format!("{name}-{}", self.unique)
    }

    fn project(&self, name: &str) -> ProjectId {
        ProjectId::parse(&self.id(name)).unwrap()
    }

    fn key(&self, name: &str) -> ProjectUser {
        ProjectUser::parse(&format!("{}#scott", self.id(name))).unwrap()
    }

    fn owner(&self, worker: &str, nonce: &str) -> Owner {
        Owner { worker: WorkerId::parse(&self.id(worker)).unwrap(), nonce: Nonce::parse(nonce).unwrap() }
    }

    /// A standard queue without dead letters.
    fn standard(&self) -> Queue {
        Queue::Control(self.owner("worker", "0000"))
    }

    fn fifo(&self) -> Queue {
        Queue::Input(self.key("site"))
    }
}

/// How much time has to pass in a case: on a cloud whose time cannot be stepped, a runner may leave the long ones out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// None to speak of.
    Nothing,
    /// Some seconds.
    Seconds,
    /// More than five minutes.
    Minutes,
}

/// One case.
pub struct Case {
    /// Its door and what holds.
    pub name: &'static str,
    /// How much time has to pass in it.
    pub needs: Needs,
    /// Runs it; a panic is a failure.
    pub run: fn(Stage) -> Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Hands the list of cases to a macro, as `door { fact: Needs, ... } ...`.
#[macro_export]
macro_rules! contract_cases {
    ($then:ident) => {
        $then! {
            queues {
                a_sent_message_is_received: Nothing,
                an_empty_queue_gives_nothing: Nothing,
                a_queue_that_was_never_used_is_empty: Nothing,
                text_comes_out_as_it_went_in: Nothing,
                attributes_come_along: Nothing,
                a_received_message_is_invisible: Nothing,
                a_deleted_message_is_gone: Seconds,
                deleting_twice_is_fine: Nothing,
                an_undeleted_message_comes_again: Seconds,
                a_message_given_back_comes_at_once: Nothing,
                an_extended_message_stays_away: Seconds,
                a_deleted_message_cannot_be_extended: Nothing,
                an_older_receipt_cannot_extend: Nothing,
                a_delayed_message_waits: Seconds,
                a_receive_takes_no_more_than_asked: Nothing,
                depth_tells_visible_from_in_flight_and_delayed: Nothing,
                a_removed_queue_is_empty: Nothing,
                a_message_received_too_often_is_a_dead_letter: Nothing,
                a_message_is_no_dead_letter_before: Nothing,
                queues_do_not_mix: Nothing,
                each_message_goes_to_one_of_many_receivers: Nothing,
            }
            limits {
                more_than_ten_at_a_time_is_invalid: Nothing,
                the_largest_message_is_taken: Nothing,
                a_larger_message_is_carried: Nothing,
                attributes_count_for_the_size: Nothing,
                a_message_beyond_all_bounds_is_invalid: Nothing,
                an_empty_message_is_invalid: Nothing,
                control_characters_are_invalid: Nothing,
                a_group_is_invalid_on_a_standard_queue: Nothing,
                a_delay_beyond_fifteen_minutes_is_invalid: Nothing,
                a_visibility_beyond_twelve_hours_is_invalid: Nothing,
            }
            waiting {
                a_waiting_receive_wakes_when_something_is_sent: Nothing,
                a_waiting_receive_wakes_when_something_is_given_back: Nothing,
                a_waiting_receive_ends_with_its_time: Seconds,
                a_waiting_receive_gets_what_becomes_visible: Seconds,
            }
            fifo {
                order_is_kept: Nothing,
                a_batch_of_one_group_is_in_order: Nothing,
                a_group_is_blocked_while_in_flight: Nothing,
                other_groups_go_on: Nothing,
                the_next_comes_after_the_delete: Nothing,
                a_message_given_back_comes_first_again: Nothing,
                a_message_that_timed_out_comes_first_again: Seconds,
                a_duplicate_changes_nothing: Nothing,
                a_duplicate_changes_nothing_after_the_delete: Nothing,
                a_duplicate_is_known_for_five_minutes: Minutes,
                the_same_id_on_two_queues_is_no_duplicate: Nothing,
                a_void_receipt_cannot_delete: Seconds,
                a_void_receipt_cannot_extend: Seconds,
                a_message_needs_a_group_and_an_id: Nothing,
                a_delay_is_invalid: Nothing,
                a_waiting_receive_wakes_when_its_group_is_free: Nothing,
                two_receivers_never_share_a_group: Nothing,
            }
            claims {
                an_absent_claim_is_none: Nothing,
                an_absent_claim_can_be_taken: Nothing,
                a_live_claim_cannot_be_taken: Nothing,
                the_owner_cannot_take_it_once_more: Nothing,
                a_lost_answer_of_a_take_is_recognised: Nothing,
                two_processes_with_one_id_are_two_owners: Nothing,
                a_renewal_is_a_new_version: Nothing,
                a_stranger_cannot_renew: Nothing,
                nobody_renews_what_is_not_there: Nothing,
                a_released_claim_is_free_and_keeps_its_epoch: Nothing,
                a_free_claim_can_be_taken_with_the_next_epoch: Nothing,
                a_release_works_once: Nothing,
                a_lapsed_claim_can_be_taken_over: Nothing,
                a_renewed_claim_did_not_lapse: Nothing,
                a_former_owner_can_neither_renew_nor_release: Nothing,
                the_sweep_frees_what_lapsed: Nothing,
                the_sweep_leaves_what_moved: Nothing,
                a_worker_finds_its_live_claims: Nothing,
                live_claims_are_listed_in_order: Nothing,
                of_many_takers_one_wins: Nothing,
            }
            store {
                a_row_is_read_as_it_was_written: Nothing,
                an_absent_row_is_none: Nothing,
                a_row_is_made_once: Nothing,
                a_row_is_replaced_on_its_version: Nothing,
                a_stale_version_is_a_conflict: Nothing,
                a_version_of_nothing_is_a_conflict: Nothing,
                a_row_made_again_has_a_new_version: Nothing,
                a_row_is_deleted_on_its_version: Nothing,
                deleting_nothing_is_fine: Nothing,
                a_row_without_its_key_is_invalid: Nothing,
                a_key_of_the_wrong_shape_is_invalid: Nothing,
                a_two_part_key_finds_one_row: Nothing,
                a_row_beyond_400_kb_is_invalid: Nothing,
                a_record_is_read_decided_and_written: Nothing,
                counting_together_loses_nothing: Nothing,
            }
            lists {
                a_partition_is_ordered_by_its_sort_field: Nothing,
                an_index_is_ordered_both_ways: Nothing,
                a_row_without_the_field_is_not_in_the_index: Nothing,
                a_row_leaves_an_index_with_its_field: Nothing,
                pages_show_every_row_once: Nothing,
                pages_of_equal_sort_values_show_every_row_once: Nothing,
                a_scan_shows_every_row_once: Nothing,
                an_unknown_index_is_invalid: Nothing,
                a_foreign_cursor_is_invalid: Nothing,
                a_field_of_an_index_is_text: Nothing,
                every_table_takes_rows: Nothing,
            }
            files {
                bytes_are_read_as_they_were_written: Nothing,
                nothing_is_none: Nothing,
                an_empty_file_is_a_file: Nothing,
                a_large_file_is_kept: Nothing,
                parts_of_a_file_make_the_whole: Nothing,
                a_part_beyond_the_end_is_empty: Nothing,
                a_part_of_nothing_is_none: Nothing,
                a_part_of_other_content_has_another_etag: Nothing,
                a_write_takes_the_place_of_the_old_bytes: Nothing,
                a_file_is_made_once: Nothing,
                a_file_is_replaced_on_its_etag: Nothing,
                an_etag_of_nothing_is_a_conflict: Nothing,
                a_copy_is_a_file_of_its_own: Nothing,
                a_copy_reaches_from_objects_to_sites: Nothing,
                a_copy_is_made_once: Nothing,
                a_copy_replaces_on_its_etag: Nothing,
                a_copy_of_nothing_is_not_found: Nothing,
                a_deleted_file_is_gone: Nothing,
                deleting_nothing_is_fine: Nothing,
                deleting_nothing_is_fine_on_any_condition: Nothing,
                a_file_is_deleted_on_its_etag: Nothing,
                a_page_has_the_type_and_cache_header_of_its_path: Nothing,
                a_list_is_in_order_below_its_prefix: Nothing,
                a_prefix_may_end_within_a_name: Nothing,
                spaces_are_apart: Nothing,
                unclean_keys_are_invalid: Nothing,
                unusual_keys_are_kept: Nothing,
                of_many_makers_one_wins: Nothing,
                a_reader_never_sees_a_mixture: Nothing,
            }
            mailer {
                a_mail_is_sent: Nothing,
                a_second_send_is_fine: Nothing,
                an_unclean_key_is_invalid: Nothing,
                only_whoever_is_known_may_send: Nothing,
            }
            callback {
                a_success_is_heard: Nothing,
                a_failure_is_heard: Nothing,
                only_the_first_answer_is_heard: Nothing,
                a_sign_of_life_is_heard_until_the_answer: Nothing,
                long_errors_are_cut: Nothing,
                output_that_is_no_json_is_invalid: Nothing,
                an_empty_token_is_invalid: Nothing,
            }
        }
    };
}

macro_rules! list {
    ($($door:ident { $($fact:ident: $needs:ident,)+ })+) => {
        /// Every case.
        pub const CASES: &[Case] = &[
            $($(Case {
                name: concat!(stringify!($door), "::", stringify!($fact)),
                needs: Needs::$needs,
                run: |stage| Box::pin($door::$fact(stage)),
            },)+)+
        ];
    };
}

contract_cases!(list);

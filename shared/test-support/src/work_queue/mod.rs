//! What every [`domain::ports::WorkQueue`] must do.
//!
//! Visibility time-outs and delays are whole seconds, as some adapters know no others.

mod dead_letters;
mod delivery;
mod sending;
mod visibility;

use std::time::Duration;

use domain::ports::{Delivery, Outgoing, Queue, WorkQueue};
use tokio::time::Instant;

pub use dead_letters::*;
pub use delivery::*;
pub use sending::*;
pub use visibility::*;

/// Longer than any test.
const LONG: Duration = Duration::from_secs(60);
/// The shortest visibility time-out and delay that every adapter knows.
const SECOND: Duration = Duration::from_secs(1);
/// How long a message that must come may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends messages that must all be accepted.
async fn send_all(work: &dyn WorkQueue, queue: Queue, messages: &[Outgoing]) {
    let refused = work.send(queue, messages).await.unwrap();
    assert!(refused.is_empty(), "{refused:?}");
}

/// Receives until `count` messages have come, for longer than the test.
async fn receive_all(work: &dyn WorkQueue, queue: Queue, count: usize) -> Vec<Delivery> {
    let deadline = Instant::now() + PATIENCE;
    let mut deliveries = Vec::new();
    while deliveries.len() < count {
        assert!(
            Instant::now() < deadline,
            "{} of {count} messages came",
            deliveries.len()
        );
        let missing = (count - deliveries.len()).min(10);
        let more = work.receive(queue, missing, LONG, SECOND).await.unwrap();
        deliveries.extend(more);
    }
    deliveries
}

/// Receives the message that must come, for longer than the test.
async fn receive_one(work: &dyn WorkQueue, queue: Queue) -> Delivery {
    let mut deliveries = receive_all(work, queue, 1).await;
    deliveries.remove(0)
}

/// Waits a little for a message that must not come.
async fn nothing_comes(work: &dyn WorkQueue, queue: Queue) {
    let deliveries = work.receive(queue, 10, LONG, SECOND).await.unwrap();
    assert_eq!(deliveries, []);
}

fn sorted_bodies(deliveries: &[Delivery]) -> Vec<&str> {
    let mut bodies: Vec<&str> = deliveries
        .iter()
        .map(|delivery| delivery.body.as_str())
        .collect();
    bodies.sort_unstable();
    bodies
}

/// Runs the suite against the queues that `$make` answers with: `async fn() -> (Arc<dyn WorkQueue>, impl Sized)`.
#[macro_export]
macro_rules! work_queue_contract {
    ($make:path) => {
        $crate::contract_tests!(work_queue, $make,
            a_message_is_received_as_it_was_sent
            any_number_of_messages_can_be_sent_at_once
            messages_of_concurrent_senders_all_arrive
            a_message_stays_in_its_queue
            a_body_over_the_limit_is_not_accepted_but_the_others_are
            a_body_of_exactly_the_limit_is_accepted
            a_delayed_message_comes_after_its_delay
            a_delayed_message_holds_up_no_other

            an_empty_queue_answers_with_nothing
            a_receive_answers_with_at_most_as_many_as_asked_for
            a_waiting_receive_gets_what_is_sent_meanwhile
            a_waiting_receive_gets_what_becomes_visible_meanwhile
            a_deleted_message_does_not_come_again
            deleting_again_is_no_error
            deleting_some_leaves_the_others
            the_depth_tells_visible_in_flight_and_delayed_messages_apart

            a_held_message_is_hidden
            a_message_comes_again_when_its_visibility_time_out_ends
            every_receive_has_a_receipt_of_its_own
            concurrent_receivers_never_hold_the_same_message
            an_extended_message_stays_hidden
            an_extension_counts_from_now
            an_extension_by_nothing_gives_the_message_back
            a_receipt_of_an_earlier_receive_deletes_nothing
            a_receipt_of_an_earlier_receive_extends_nothing
            a_receipt_of_a_deleted_message_extends_nothing

            a_message_goes_to_the_dead_letters_after_its_last_receive
            a_message_can_be_deleted_on_its_last_receive
            a_message_on_its_last_receive_can_be_extended
            dead_letters_stay_with_their_queue
            a_dead_letter_is_hidden_while_it_is_held
            a_dead_letter_comes_again_however_often_it_was_received
            a_deleted_dead_letter_does_not_come_again
            deleting_a_dead_letter_again_is_no_error
            the_depth_counts_dead_letters_apart
        );
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_function_of_the_suite_is_run() {
        let sources = [
            include_str!("dead_letters.rs"),
            include_str!("delivery.rs"),
            include_str!("sending.rs"),
            include_str!("visibility.rs"),
        ]
        .concat();
        assert_eq!(
            crate::functions_in(&sources),
            crate::names_listed_in(include_str!("mod.rs"))
        );
    }
}

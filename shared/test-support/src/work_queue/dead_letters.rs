use std::sync::Arc;
use std::time::Duration;

use domain::ports::{Delivery, Outgoing, Queue, QueueDepth, WorkQueue};
use tokio::time::{self, Instant};

use super::{LONG, PATIENCE, SECOND, nothing_comes, receive_one, send_all};
use crate::settle::settles_on;

const QUEUE: Queue = Queue::Chunks;

/// Sends a message and gives it back until it is held for the last time.
async fn last_receive(work: &dyn WorkQueue, body: &str) -> Delivery {
    let message = Outgoing::now(body.to_owned());
    send_all(work, QUEUE, &[message]).await;
    for count in 1..Queue::MAX_RECEIVES {
        let delivery = receive_one(work, QUEUE).await;
        assert_eq!(delivery.receive_count, count);
        give_back(work, &delivery).await;
    }
    let last = receive_one(work, QUEUE).await;
    assert_eq!(last.receive_count, Queue::MAX_RECEIVES);
    last
}

async fn give_back(work: &dyn WorkQueue, delivery: &Delivery) {
    let receipt = &delivery.receipt;
    let extended = work.extend(QUEUE, receipt, Duration::ZERO).await;
    assert!(extended.unwrap());
}

/// Sends a message and lets it fail for good.
async fn bury(work: &dyn WorkQueue, body: &str) {
    let last = last_receive(work, body).await;
    give_back(work, &last).await;
    look_once(work).await;
}

/// Looks for a message that must not come. It is in a receive that some adapters move a message to the dead letters.
async fn look_once(work: &dyn WorkQueue) {
    let deliveries = work.receive(QUEUE, 1, LONG, Duration::ZERO).await;
    assert_eq!(deliveries.unwrap(), []);
}

/// The dead letter that must be there.
async fn receive_dead(work: &dyn WorkQueue, visibility: Duration) -> Delivery {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut dead = work.receive_dead(QUEUE, 1, visibility).await.unwrap();
        if let Some(delivery) = dead.pop() {
            return delivery;
        }
        assert!(Instant::now() < deadline, "no dead letter came");
        look_once(work).await;
        time::sleep(Duration::from_millis(100)).await;
    }
}

async fn no_dead_letter(work: &dyn WorkQueue, queue: Queue) {
    let dead = work.receive_dead(queue, 10, SECOND).await.unwrap();
    assert_eq!(dead, []);
}

/// Not before: it could still be done.
pub async fn a_message_goes_to_the_dead_letters_after_its_last_receive(work: Arc<dyn WorkQueue>) {
    let last = last_receive(&*work, "poison").await;
    no_dead_letter(&*work, QUEUE).await;
    give_back(&*work, &last).await;
    nothing_comes(&*work, QUEUE).await;
    assert_eq!(receive_dead(&*work, LONG).await.body, "poison");
    nothing_comes(&*work, QUEUE).await;
}

/// The last receive is as good as the first.
pub async fn a_message_can_be_deleted_on_its_last_receive(work: Arc<dyn WorkQueue>) {
    let last = last_receive(&*work, "hard").await;
    work.delete(QUEUE, &[last.receipt]).await.unwrap();
    nothing_comes(&*work, QUEUE).await;
    no_dead_letter(&*work, QUEUE).await;
}

/// Only a message that becomes visible again has failed.
pub async fn a_message_on_its_last_receive_can_be_extended(work: Arc<dyn WorkQueue>) {
    let last = last_receive(&*work, "slow").await;
    let extended = work.extend(QUEUE, &last.receipt, LONG).await.unwrap();
    assert!(extended);
    nothing_comes(&*work, QUEUE).await;
    no_dead_letter(&*work, QUEUE).await;
}

/// Each queue has its own.
pub async fn dead_letters_stay_with_their_queue(work: Arc<dyn WorkQueue>) {
    bury(&*work, "poison").await;
    for queue in Queue::ALL.iter().filter(|queue| **queue != QUEUE) {
        no_dead_letter(&*work, *queue).await;
    }
    assert_eq!(receive_dead(&*work, LONG).await.body, "poison");
}

/// As any message.
pub async fn a_dead_letter_is_hidden_while_it_is_held(work: Arc<dyn WorkQueue>) {
    bury(&*work, "poison").await;
    receive_dead(&*work, LONG).await;
    no_dead_letter(&*work, QUEUE).await;
}

/// Nothing is ever lost by looking at it.
pub async fn a_dead_letter_comes_again_however_often_it_was_received(work: Arc<dyn WorkQueue>) {
    bury(&*work, "poison").await;
    for _ in 0..2 * Queue::MAX_RECEIVES {
        let delivery = receive_dead(&*work, Duration::ZERO).await;
        assert_eq!(delivery.body, "poison");
    }
}

/// For good.
pub async fn a_deleted_dead_letter_does_not_come_again(work: Arc<dyn WorkQueue>) {
    bury(&*work, "poison").await;
    let delivery = receive_dead(&*work, SECOND).await;
    work.delete_dead(QUEUE, &[delivery.receipt]).await.unwrap();
    time::sleep(SECOND + SECOND / 2).await;
    no_dead_letter(&*work, QUEUE).await;
    nothing_comes(&*work, QUEUE).await;
}

/// Nor is deleting nothing.
pub async fn deleting_a_dead_letter_again_is_no_error(work: Arc<dyn WorkQueue>) {
    bury(&*work, "poison").await;
    let receipts = [receive_dead(&*work, LONG).await.receipt];
    for _ in 0..2 {
        work.delete_dead(QUEUE, &receipts).await.unwrap();
    }
    work.delete_dead(QUEUE, &[]).await.unwrap();
}

/// In the count of dead letters and in no other.
pub async fn the_depth_counts_dead_letters_apart(work: Arc<dyn WorkQueue>) {
    bury(&*work, "poison").await;
    let depth = async || work.depth(QUEUE).await.unwrap();
    let one_dead = QueueDepth {
        dead: 1,
        ..QueueDepth::default()
    };
    settles_on(one_dead, depth).await;
    let delivery = receive_dead(&*work, LONG).await;
    work.delete_dead(QUEUE, &[delivery.receipt]).await.unwrap();
    settles_on(QueueDepth::default(), depth).await;
}

use std::sync::Arc;
use std::time::Duration;

use domain::ports::{Outgoing, Queue, QueueDepth, WorkQueue};
use tokio::time::{self, Instant};

use super::{
    LONG, PATIENCE, SECOND, nothing_comes, receive_all, receive_one, send_all, sorted_bodies,
};
use crate::settle::settles_on;

async fn send(work: &dyn WorkQueue, bodies: &[&str]) {
    let messages: Vec<Outgoing> = bodies
        .iter()
        .map(|body| Outgoing::now((*body).to_owned()))
        .collect();
    send_all(work, Queue::Chunks, &messages).await;
}

/// At once without a wait, after the wait with one.
pub async fn an_empty_queue_answers_with_nothing(work: Arc<dyn WorkQueue>) {
    let asked_at = Instant::now();
    for wait in [Duration::ZERO, SECOND] {
        let answer = work.receive(Queue::Chunks, 10, SECOND, wait).await;
        assert_eq!(answer.unwrap(), []);
    }
    let waited = asked_at.elapsed();
    assert!(waited > Duration::from_millis(900), "{waited:?}");
    assert!(waited < PATIENCE, "{waited:?}");
}

/// From 1 to 10.
pub async fn a_receive_answers_with_at_most_as_many_as_asked_for(work: Arc<dyn WorkQueue>) {
    let bodies: Vec<String> = (10..40).map(|number| number.to_string()).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    send(&*work, &bodies).await;
    let mut all = Vec::new();
    for max in [1, 3, 10] {
        let deliveries = work
            .receive(Queue::Chunks, max, LONG, SECOND)
            .await
            .unwrap();
        assert!((1..=max).contains(&deliveries.len()), "{max}");
        all.extend(deliveries);
    }
    all.extend(receive_all(&*work, Queue::Chunks, 30 - all.len()).await);
    assert_eq!(sorted_bodies(&all), bodies);
}

/// Long before its wait is over.
pub async fn a_waiting_receive_gets_what_is_sent_meanwhile(work: Arc<dyn WorkQueue>) {
    let receiver = Arc::clone(&work);
    let asked_at = Instant::now();
    let waiting =
        tokio::spawn(async move { receiver.receive(Queue::Chunks, 10, LONG, PATIENCE).await });
    time::sleep(Duration::from_millis(300)).await;
    send(&*work, &["sent meanwhile"]).await;
    let deliveries = waiting.await.unwrap().unwrap();
    assert_eq!(sorted_bodies(&deliveries), ["sent meanwhile"]);
    assert!(asked_at.elapsed() < PATIENCE / 2);
}

/// Nothing announces the end of a visibility time-out, and yet it is noticed.
pub async fn a_waiting_receive_gets_what_becomes_visible_meanwhile(work: Arc<dyn WorkQueue>) {
    send(&*work, &["held"]).await;
    let held = work.receive(Queue::Chunks, 1, SECOND, PATIENCE).await;
    assert_eq!(held.unwrap().len(), 1);
    let asked_at = Instant::now();
    let deliveries = work.receive(Queue::Chunks, 10, LONG, PATIENCE).await;
    assert_eq!(sorted_bodies(&deliveries.unwrap()), ["held"]);
    assert!(asked_at.elapsed() < PATIENCE / 2);
}

/// Not even when its visibility time-out ends.
pub async fn a_deleted_message_does_not_come_again(work: Arc<dyn WorkQueue>) {
    send(&*work, &["done"]).await;
    let held = work.receive(Queue::Chunks, 1, SECOND, PATIENCE).await;
    let receipts = held.unwrap().into_iter().map(|delivery| delivery.receipt);
    let receipts: Vec<String> = receipts.collect();
    work.delete(Queue::Chunks, &receipts).await.unwrap();
    time::sleep(SECOND + SECOND / 2).await;
    nothing_comes(&*work, Queue::Chunks).await;
}

/// Nor is deleting nothing.
pub async fn deleting_again_is_no_error(work: Arc<dyn WorkQueue>) {
    send(&*work, &["done", "held"]).await;
    let deliveries = receive_all(&*work, Queue::Chunks, 2).await;
    let receipts = [deliveries[0].receipt.clone()];
    for _ in 0..2 {
        work.delete(Queue::Chunks, &receipts).await.unwrap();
    }
    work.delete(Queue::Chunks, &[]).await.unwrap();
}

/// More receipts than any transport takes in one request.
pub async fn deleting_some_leaves_the_others(work: Arc<dyn WorkQueue>) {
    let bodies: Vec<String> = (10..40).map(|number| number.to_string()).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    send(&*work, &bodies).await;
    let deliveries = receive_all(&*work, Queue::Chunks, 30).await;
    let (done, given_back) = deliveries.split_at(25);
    let receipts: Vec<String> = done
        .iter()
        .map(|delivery| delivery.receipt.clone())
        .collect();
    work.delete(Queue::Chunks, &receipts).await.unwrap();
    for delivery in given_back {
        let receipt = &delivery.receipt;
        let extended = work.extend(Queue::Chunks, receipt, Duration::ZERO).await;
        assert!(extended.unwrap());
    }
    let again = receive_all(&*work, Queue::Chunks, 5).await;
    assert_eq!(sorted_bodies(&again), sorted_bodies(given_back));
    nothing_comes(&*work, Queue::Chunks).await;
}

/// Each message is in exactly one of the counts.
pub async fn the_depth_tells_visible_in_flight_and_delayed_messages_apart(
    work: Arc<dyn WorkQueue>,
) {
    let depth = async || work.depth(Queue::Chunks).await.unwrap();
    settles_on(QueueDepth::default(), depth).await;

    send(&*work, &["a", "b", "c", "d"]).await;
    let delayed = Outgoing {
        body: "later".to_owned(),
        delay: LONG,
    };
    send_all(&*work, Queue::Chunks, &[delayed]).await;
    let done = receive_one(&*work, Queue::Chunks).await;
    let _held = receive_one(&*work, Queue::Chunks).await;
    let before = QueueDepth {
        visible: 2,
        in_flight: 2,
        delayed: 1,
        dead: 0,
    };
    settles_on(before, depth).await;

    work.delete(Queue::Chunks, &[done.receipt]).await.unwrap();
    let after = QueueDepth {
        in_flight: 1,
        ..before
    };
    settles_on(after, depth).await;
    let elsewhere = async || work.depth(Queue::Finalize).await.unwrap();
    settles_on(QueueDepth::default(), elsewhere).await;
}

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use domain::ports::{Delivery, Outgoing, Queue, WorkQueue};
use tokio::task::JoinSet;
use tokio::time::{self, Instant};

use super::{LONG, PATIENCE, SECOND, nothing_comes, receive_one, send_all};

const QUEUE: Queue = Queue::Chunks;

/// Sends one message and receives it for `visibility`.
async fn hold(work: &dyn WorkQueue, visibility: Duration) -> Delivery {
    let message = Outgoing::now("held".to_owned());
    send_all(work, QUEUE, &[message]).await;
    let deliveries = work.receive(QUEUE, 1, visibility, PATIENCE).await.unwrap();
    assert_eq!(deliveries.len(), 1);
    deliveries.into_iter().next().unwrap()
}

async fn extend(work: &dyn WorkQueue, delivery: &Delivery, visibility: Duration) -> bool {
    let receipt = &delivery.receipt;
    work.extend(QUEUE, receipt, visibility).await.unwrap()
}

/// From the same receiver and from others.
pub async fn a_held_message_is_hidden(work: Arc<dyn WorkQueue>) {
    hold(&*work, LONG).await;
    nothing_comes(&*work, QUEUE).await;
}

/// What a receiver that stopped leaves behind is done by another.
pub async fn a_message_comes_again_when_its_visibility_time_out_ends(work: Arc<dyn WorkQueue>) {
    let received_at = Instant::now();
    let first = hold(&*work, SECOND).await;
    let second = receive_one(&*work, QUEUE).await;
    let waited = received_at.elapsed();
    assert!(waited > Duration::from_millis(900), "{waited:?}");
    assert_eq!(second.body, first.body);
    assert_eq!((first.receive_count, second.receive_count), (1, 2));
    assert_eq!(second.interruptions, 0);
}

/// Otherwise one that was too slow could delete what another is at.
pub async fn every_receive_has_a_receipt_of_its_own(work: Arc<dyn WorkQueue>) {
    let mut receipts = BTreeSet::new();
    let mut delivery = hold(&*work, LONG).await;
    for _ in 1..Queue::MAX_RECEIVES {
        receipts.insert(delivery.receipt.clone());
        assert!(extend(&*work, &delivery, Duration::ZERO).await);
        delivery = receive_one(&*work, QUEUE).await;
    }
    receipts.insert(delivery.receipt);
    assert_eq!(receipts.len(), Queue::MAX_RECEIVES as usize);
}

/// Every message comes, each to one receiver.
pub async fn concurrent_receivers_never_hold_the_same_message(work: Arc<dyn WorkQueue>) {
    let messages: Vec<Outgoing> = (0..200)
        .map(|number| Outgoing::now(number.to_string()))
        .collect();
    send_all(&*work, QUEUE, &messages).await;
    let mut receivers = JoinSet::new();
    for _ in 0..8 {
        let work = Arc::clone(&work);
        receivers.spawn(async move {
            let mut bodies = Vec::new();
            loop {
                let deliveries = work.receive(QUEUE, 3, LONG, SECOND).await.unwrap();
                if deliveries.is_empty() {
                    return bodies;
                }
                bodies.extend(deliveries.into_iter().map(|delivery| delivery.body));
            }
        });
    }
    let bodies: Vec<String> = receivers.join_all().await.concat();
    let distinct: BTreeSet<&String> = bodies.iter().collect();
    assert_eq!((bodies.len(), distinct.len()), (200, 200));
}

/// Beyond the time-out it was received with.
pub async fn an_extended_message_stays_hidden(work: Arc<dyn WorkQueue>) {
    let delivery = hold(&*work, SECOND).await;
    assert!(extend(&*work, &delivery, LONG).await);
    time::sleep(SECOND + SECOND / 2).await;
    nothing_comes(&*work, QUEUE).await;
    work.delete(QUEUE, &[delivery.receipt]).await.unwrap();
}

/// It replaces what was left of the time-out, and can make it shorter.
pub async fn an_extension_counts_from_now(work: Arc<dyn WorkQueue>) {
    let delivery = hold(&*work, LONG).await;
    assert!(extend(&*work, &delivery, SECOND).await);
    let again = receive_one(&*work, QUEUE).await;
    assert_eq!(again.receive_count, 2);
}

/// A receiver that cannot do the work makes way for another.
pub async fn an_extension_by_nothing_gives_the_message_back(work: Arc<dyn WorkQueue>) {
    let delivery = hold(&*work, LONG).await;
    assert!(extend(&*work, &delivery, Duration::ZERO).await);
    let again = receive_one(&*work, QUEUE).await;
    assert_eq!((again.receive_count, again.interruptions), (2, 0));
}

/// Passed over without an error; the current receipt works.
pub async fn a_receipt_of_an_earlier_receive_deletes_nothing(work: Arc<dyn WorkQueue>) {
    let first = hold(&*work, LONG).await;
    assert!(extend(&*work, &first, Duration::ZERO).await);
    let second = receive_one(&*work, QUEUE).await;
    work.delete(QUEUE, &[first.receipt]).await.unwrap();
    assert!(extend(&*work, &second, Duration::ZERO).await);
    let third = receive_one(&*work, QUEUE).await;
    assert_eq!(third.receive_count, 3);
    work.delete(QUEUE, std::slice::from_ref(&third.receipt))
        .await
        .unwrap();
    assert!(!extend(&*work, &third, Duration::ZERO).await);
    nothing_comes(&*work, QUEUE).await;
}

/// The slow receiver hears that the message is no longer its own.
pub async fn a_receipt_of_an_earlier_receive_extends_nothing(work: Arc<dyn WorkQueue>) {
    let first = hold(&*work, SECOND).await;
    let second = receive_one(&*work, QUEUE).await;
    assert!(!extend(&*work, &first, Duration::ZERO).await);
    nothing_comes(&*work, QUEUE).await;
    assert!(extend(&*work, &second, LONG).await);
}

/// Nor does it bring the message back.
pub async fn a_receipt_of_a_deleted_message_extends_nothing(work: Arc<dyn WorkQueue>) {
    let delivery = hold(&*work, LONG).await;
    work.delete(QUEUE, std::slice::from_ref(&delivery.receipt))
        .await
        .unwrap();
    assert!(!extend(&*work, &delivery, Duration::ZERO).await);
    nothing_comes(&*work, QUEUE).await;
}

use std::sync::Arc;
use std::time::Duration;

use domain::ports::{Outgoing, Queue, WorkQueue};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{SECOND, nothing_comes, receive_all, receive_one, send_all, sorted_bodies};

const BODY_LIMIT: usize = 256 * 1024;

fn numbered(count: usize) -> Vec<Outgoing> {
    (0..count)
        .map(|number| Outgoing::now(format!("{number:04}")))
        .collect()
}

fn bodies(messages: &[Outgoing]) -> Vec<&str> {
    messages
        .iter()
        .map(|message| message.body.as_str())
        .collect()
}

/// The first receive of a message.
pub async fn a_message_is_received_as_it_was_sent(work: Arc<dyn WorkQueue>) {
    let body = r#"{"batch":"01JGK","note":"é 東京 \"x\"\n"}"#;
    let sent = [Outgoing::now(body.to_owned())];
    send_all(&*work, Queue::Split, &sent).await;
    let delivery = receive_one(&*work, Queue::Split).await;
    assert_eq!(delivery.body, body);
    assert_eq!((delivery.receive_count, delivery.interruptions), (1, 0));
    assert!(!delivery.receipt.is_empty());
}

/// None, and more than any transport takes in one request.
pub async fn any_number_of_messages_can_be_sent_at_once(work: Arc<dyn WorkQueue>) {
    send_all(&*work, Queue::Chunks, &[]).await;
    let sent = numbered(137);
    send_all(&*work, Queue::Chunks, &sent).await;
    let deliveries = receive_all(&*work, Queue::Chunks, sent.len()).await;
    assert_eq!(sorted_bodies(&deliveries), bodies(&sent));
}

/// Senders do not get into each other's way.
pub async fn messages_of_concurrent_senders_all_arrive(work: Arc<dyn WorkQueue>) {
    let sent = numbered(200);
    let mut tasks = JoinSet::new();
    for share in sent.chunks(10) {
        let (work, share) = (Arc::clone(&work), share.to_vec());
        tasks.spawn(async move { send_all(&*work, Queue::Metrics, &share).await });
    }
    tasks.join_all().await;
    let deliveries = receive_all(&*work, Queue::Metrics, sent.len()).await;
    assert_eq!(sorted_bodies(&deliveries), bodies(&sent));
}

/// Queues are apart: to receive from, to extend, to delete from.
pub async fn a_message_stays_in_its_queue(work: Arc<dyn WorkQueue>) {
    for queue in Queue::ALL {
        let message = Outgoing::now(queue.to_string());
        send_all(&*work, *queue, &[message]).await;
    }
    for queue in Queue::ALL {
        let delivery = receive_one(&*work, *queue).await;
        assert_eq!(delivery.body, queue.as_str());
    }
    for queue in Queue::ALL {
        let more = work.receive(*queue, 10, SECOND, Duration::ZERO).await;
        assert_eq!(more.unwrap(), []);
    }
}

/// The caller hears which ones it keeps.
pub async fn a_body_over_the_limit_is_not_accepted_but_the_others_are(work: Arc<dyn WorkQueue>) {
    let mut sent = numbered(12);
    for position in [1, 11] {
        sent[position].body = "x".repeat(BODY_LIMIT + 1);
    }
    let refused = work.send(Queue::Chunks, &sent).await.unwrap();
    assert_eq!(refused, [1, 11]);
    let deliveries = receive_all(&*work, Queue::Chunks, 10).await;
    sent.retain(|message| message.body.len() <= BODY_LIMIT);
    assert_eq!(sorted_bodies(&deliveries), bodies(&sent));
    nothing_comes(&*work, Queue::Chunks).await;
}

/// The limit belongs to what is allowed; bytes count, not characters.
pub async fn a_body_of_exactly_the_limit_is_accepted(work: Arc<dyn WorkQueue>) {
    let limit = "é".repeat(BODY_LIMIT / 2);
    let over = "é".repeat(BODY_LIMIT / 2 + 1);
    let sent = [Outgoing::now(limit.clone()), Outgoing::now(over)];
    assert_eq!(work.send(Queue::Chunks, &sent).await.unwrap(), [1]);
    let delivery = receive_one(&*work, Queue::Chunks).await;
    assert!(delivery.body == limit);
}

/// Not before, and then by itself.
pub async fn a_delayed_message_comes_after_its_delay(work: Arc<dyn WorkQueue>) {
    let sent_at = Instant::now();
    let delayed = Outgoing {
        body: "later".to_owned(),
        delay: 2 * SECOND,
    };
    send_all(&*work, Queue::Chunks, &[delayed]).await;
    let early = work
        .receive(Queue::Chunks, 10, SECOND, Duration::ZERO)
        .await;
    assert_eq!(early.unwrap(), []);
    let delivery = receive_one(&*work, Queue::Chunks).await;
    assert_eq!(
        (delivery.body.as_str(), delivery.receive_count),
        ("later", 1)
    );
    let waited = sent_at.elapsed();
    assert!(waited > Duration::from_millis(1_900), "{waited:?}");
}

/// The longest delay there is, sent first.
pub async fn a_delayed_message_holds_up_no_other(work: Arc<dyn WorkQueue>) {
    let delayed = Outgoing {
        body: "later".to_owned(),
        delay: Duration::from_secs(15 * 60),
    };
    let sent = [delayed, Outgoing::now("now".to_owned())];
    send_all(&*work, Queue::Chunks, &sent).await;
    assert_eq!(receive_one(&*work, Queue::Chunks).await.body, "now");
    nothing_comes(&*work, Queue::Chunks).await;
}

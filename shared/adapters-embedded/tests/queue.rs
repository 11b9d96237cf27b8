//! Queues whose time is in the test's hands, and work that outlives the process that held it.
#![expect(clippy::unwrap_used, reason = "a fault ends the test")]

use std::sync::Arc;
use std::time::Duration;

use adapters_embedded::{Database, SqliteQueue};
use domain::ports::{Delivery, Outgoing, Queue, QueueDepth, WorkQueue};
use tempfile::TempDir;
use test_support::ManualClock;

const QUEUE: Queue = Queue::Chunks;
const MINUTE: Duration = Duration::from_secs(60);

struct Fixture {
    clock: Arc<ManualClock>,
    database: Database,
    queue: SqliteQueue,
    _directory: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(directory.path().join("state.sqlite")).unwrap();
        let clock = Arc::new(ManualClock::default());
        Self {
            queue: SqliteQueue::new(database.clone(), clock.clone()),
            clock,
            database,
            _directory: directory,
        }
    }

    async fn send(&self, body: &str, delay: Duration) {
        let message = Outgoing {
            body: body.to_owned(),
            delay,
        };
        let refused = self.queue.send(QUEUE, &[message]).await.unwrap();
        assert!(refused.is_empty());
    }

    async fn receive(&self, max: usize) -> Vec<Delivery> {
        self.queue
            .receive(QUEUE, max, MINUTE, Duration::ZERO)
            .await
            .unwrap()
    }

    async fn receive_one(&self) -> Delivery {
        let mut deliveries = self.receive(10).await;
        assert_eq!(deliveries.len(), 1);
        deliveries.remove(0)
    }

    async fn extend(&self, delivery: &Delivery, visibility: Duration) -> bool {
        let receipt = &delivery.receipt;
        self.queue.extend(QUEUE, receipt, visibility).await.unwrap()
    }

    async fn release(&self) -> u64 {
        self.database.release_interrupted().await.unwrap()
    }

    async fn depth(&self) -> QueueDepth {
        self.queue.depth(QUEUE).await.unwrap()
    }
}

#[tokio::test]
async fn an_interrupted_receive_is_no_attempt() {
    let fixture = Fixture::new();
    fixture.send("work", Duration::ZERO).await;
    for interruptions in 0..20 {
        let delivery = fixture.receive_one().await;
        assert_eq!(delivery.receive_count, 1);
        assert_eq!(delivery.interruptions, interruptions);
        assert_eq!(fixture.release().await, 1);
    }
    assert_eq!(fixture.depth().await.dead, 0);
}

#[tokio::test]
async fn failed_attempts_count_on_beside_interruptions() {
    let fixture = Fixture::new();
    fixture.send("poison", Duration::ZERO).await;
    for attempt in 1..=Queue::MAX_RECEIVES {
        let interrupted = fixture.receive_one().await;
        assert_eq!(interrupted.receive_count, attempt);
        fixture.release().await;
        let failed = fixture.receive_one().await;
        assert_eq!(
            (failed.receive_count, failed.interruptions),
            (attempt, attempt)
        );
        assert!(fixture.extend(&failed, Duration::ZERO).await);
    }
    assert_eq!(fixture.receive(10).await, []);
    assert_eq!(fixture.depth().await.dead, 1);
}

#[tokio::test]
async fn work_is_interrupted_however_long_ago_the_process_stopped() {
    let fixture = Fixture::new();
    fixture.send("work", Duration::ZERO).await;
    fixture.receive_one().await;
    fixture.clock.advance(100 * MINUTE);
    assert_eq!(fixture.release().await, 1);
    let delivery = fixture.receive_one().await;
    assert_eq!((delivery.receive_count, delivery.interruptions), (1, 1));
}

#[tokio::test]
async fn a_last_receive_that_was_interrupted_is_no_dead_letter() {
    let fixture = Fixture::new();
    fixture.send("work", Duration::ZERO).await;
    for _ in 1..Queue::MAX_RECEIVES {
        let delivery = fixture.receive_one().await;
        assert!(fixture.extend(&delivery, Duration::ZERO).await);
    }
    fixture.receive_one().await;
    fixture.clock.advance(2 * MINUTE);
    assert_eq!(fixture.release().await, 1);
    let delivery = fixture.receive_one().await;
    assert_eq!(delivery.receive_count, Queue::MAX_RECEIVES);
}

#[tokio::test]
async fn only_held_messages_are_interrupted() {
    let fixture = Fixture::new();
    fixture.send("given back", Duration::ZERO).await;
    let delivery = fixture.receive_one().await;
    assert!(fixture.extend(&delivery, Duration::ZERO).await);
    fixture.send("visible", Duration::ZERO).await;
    fixture.send("delayed", MINUTE).await;
    assert_eq!(fixture.release().await, 0);
    let depth = fixture.depth().await;
    assert_eq!((depth.visible, depth.in_flight, depth.delayed), (2, 0, 1));
    let mut counts: Vec<(u32, u32)> = Vec::new();
    for delivery in fixture.receive(10).await {
        counts.push((delivery.receive_count, delivery.interruptions));
    }
    counts.sort_unstable();
    assert_eq!(counts, [(1, 0), (2, 0)]);
}

#[tokio::test]
async fn a_receipt_from_before_the_interruption_is_out_of_date() {
    let fixture = Fixture::new();
    fixture.send("work", Duration::ZERO).await;
    let before = fixture.receive_one().await;
    fixture.release().await;
    let receipts = [before.receipt.clone()];
    fixture.queue.delete(QUEUE, &receipts).await.unwrap();
    assert!(!fixture.extend(&before, MINUTE).await);
    let after = fixture.receive_one().await;
    assert_ne!(after.receipt, before.receipt);
    fixture.queue.delete(QUEUE, &receipts).await.unwrap();
    assert!(fixture.extend(&after, MINUTE).await);
}

#[tokio::test]
async fn a_held_dead_letter_is_released_and_stays_dead() {
    let fixture = Fixture::new();
    fixture.send("poison", Duration::ZERO).await;
    for _ in 0..Queue::MAX_RECEIVES {
        let delivery = fixture.receive_one().await;
        assert!(fixture.extend(&delivery, Duration::ZERO).await);
    }
    let receive_dead = async || fixture.queue.receive_dead(QUEUE, 10, MINUTE).await.unwrap();
    assert_eq!(receive_dead().await.len(), 1);
    assert_eq!(receive_dead().await, []);
    assert_eq!(fixture.release().await, 1);
    assert_eq!(fixture.receive(10).await, []);
    assert_eq!(receive_dead().await.len(), 1);
}

#[tokio::test]
async fn messages_come_oldest_first() {
    let fixture = Fixture::new();
    for number in 0..30 {
        fixture.send(&number.to_string(), Duration::ZERO).await;
        if number % 7 == 0 {
            fixture.clock.advance(Duration::from_millis(1));
        }
    }
    for first in [0, 10, 20] {
        let mut numbers: Vec<u32> = Vec::new();
        for delivery in fixture.receive(10).await {
            numbers.push(delivery.body.parse().unwrap());
        }
        numbers.sort_unstable();
        let expected: Vec<u32> = (first..first + 10).collect();
        assert_eq!(numbers, expected);
    }
}

#[tokio::test]
async fn a_message_that_was_given_back_does_not_wait_behind_newer_ones_for_ever() {
    let fixture = Fixture::new();
    fixture.send("old", Duration::ZERO).await;
    let old = fixture.receive_one().await;
    assert!(fixture.extend(&old, Duration::ZERO).await);
    fixture.clock.advance(Duration::from_millis(1));
    fixture.send("new", Duration::ZERO).await;
    assert_eq!(fixture.receive(1).await[0].body, "old");
}

#[tokio::test]
async fn delays_and_time_outs_end_to_the_millisecond() {
    let fixture = Fixture::new();
    fixture.send("work", Duration::from_millis(500)).await;
    fixture.clock.advance(Duration::from_millis(499));
    assert_eq!(fixture.receive(10).await, []);
    fixture.clock.advance(Duration::from_millis(1));
    fixture.receive_one().await;
    fixture
        .clock
        .advance(MINUTE.checked_sub(Duration::from_millis(1)).unwrap());
    assert_eq!(fixture.receive(10).await, []);
    fixture.clock.advance(Duration::from_millis(1));
    assert_eq!(fixture.receive_one().await.receive_count, 2);
}

#[tokio::test]
async fn after_its_time_out_a_message_can_be_deleted_but_not_extended() {
    let fixture = Fixture::new();
    fixture.send("slow", Duration::ZERO).await;
    let delivery = fixture.receive_one().await;
    fixture.clock.advance(MINUTE);
    assert!(!fixture.extend(&delivery, MINUTE).await);
    assert_eq!(fixture.depth().await.visible, 1);
    let receipts = [delivery.receipt];
    fixture.queue.delete(QUEUE, &receipts).await.unwrap();
    assert_eq!(fixture.depth().await, QueueDepth::default());
}

#[tokio::test]
async fn a_message_that_timed_out_on_its_last_receive_counts_as_dead_at_once() {
    let fixture = Fixture::new();
    fixture.send("poison", Duration::ZERO).await;
    for _ in 0..Queue::MAX_RECEIVES {
        fixture.receive_one().await;
        fixture.clock.advance(MINUTE);
    }
    let depth = fixture.depth().await;
    assert_eq!((depth.visible, depth.dead), (0, 1));
    let dead = fixture.queue.receive_dead(QUEUE, 10, MINUTE).await;
    assert_eq!(dead.unwrap()[0].body, "poison");
}

#[tokio::test]
async fn a_dead_letter_is_held_by_nobody_until_it_is_received() {
    let fixture = Fixture::new();
    fixture.send("poison", Duration::ZERO).await;
    let mut receipts = Vec::new();
    for _ in 0..Queue::MAX_RECEIVES {
        receipts.push(fixture.receive_one().await.receipt);
        fixture.clock.advance(MINUTE);
    }
    assert_eq!(fixture.receive(10).await, []);
    assert_eq!(fixture.release().await, 0);
    fixture.queue.delete_dead(QUEUE, &receipts).await.unwrap();
    assert_eq!(fixture.depth().await.dead, 1);
}

#[tokio::test]
async fn an_extension_ends_to_the_millisecond_from_when_it_was_asked_for() {
    let fixture = Fixture::new();
    fixture.send("slow", Duration::ZERO).await;
    let delivery = fixture.receive_one().await;
    fixture.clock.advance(MINUTE / 2);
    assert!(fixture.extend(&delivery, MINUTE).await);
    fixture.clock.advance(Duration::from_millis(59_999));
    assert_eq!(fixture.receive(10).await, []);
    fixture.clock.advance(Duration::from_millis(1));
    assert_eq!(fixture.receive_one().await.receive_count, 2);
}

#[tokio::test]
async fn a_delay_over_the_limit_is_not_accepted() {
    let fixture = Fixture::new();
    let delayed_by = |delay| Outgoing {
        body: "later".to_owned(),
        delay,
    };
    let messages = [
        delayed_by(15 * MINUTE),
        delayed_by(15 * MINUTE + Duration::from_millis(1)),
    ];
    let refused = fixture.queue.send(QUEUE, &messages).await.unwrap();
    assert_eq!(refused, [1]);
    assert_eq!(fixture.depth().await.delayed, 1);
}

#[tokio::test]
async fn the_number_of_messages_asked_for_is_kept_between_1_and_10() {
    let fixture = Fixture::new();
    for _ in 0..20 {
        fixture.send("work", Duration::ZERO).await;
    }
    assert_eq!(fixture.receive(0).await.len(), 1);
    assert_eq!(fixture.receive(1_000).await.len(), 10);
}

#[tokio::test]
async fn text_that_is_no_receipt_is_passed_over() {
    let fixture = Fixture::new();
    fixture.send("work", Duration::ZERO).await;
    let delivery = fixture.receive_one().await;
    let foreign = ["", "1", "1-", "x-1", "1-1-1", "'; DROP TABLE message"];
    for receipt in foreign {
        assert!(!fixture.queue.extend(QUEUE, receipt, MINUTE).await.unwrap());
    }
    let receipts = foreign.map(str::to_owned);
    fixture.queue.delete(QUEUE, &receipts).await.unwrap();
    fixture.queue.delete_dead(QUEUE, &receipts).await.unwrap();
    assert!(fixture.extend(&delivery, MINUTE).await);
}

#[tokio::test]
async fn a_receipt_counts_in_its_own_queue_and_among_the_living_only() {
    let fixture = Fixture::new();
    fixture.send("work", Duration::ZERO).await;
    let delivery = fixture.receive_one().await;
    let receipts = [delivery.receipt.clone()];
    fixture.queue.delete(Queue::Split, &receipts).await.unwrap();
    fixture.queue.delete_dead(QUEUE, &receipts).await.unwrap();
    let extended = fixture
        .queue
        .extend(Queue::Split, &receipts[0], MINUTE)
        .await;
    assert!(!extended.unwrap());
    assert!(fixture.extend(&delivery, MINUTE).await);
}

#[tokio::test]
async fn queues_of_one_database_share_their_messages() {
    let fixture = Fixture::new();
    let other = SqliteQueue::new(fixture.database.clone(), fixture.clock.clone());
    let waiting = tokio::spawn(async move { other.receive(QUEUE, 1, MINUTE, MINUTE).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    fixture.send("work", Duration::ZERO).await;
    let deliveries = tokio::time::timeout(Duration::from_secs(10), waiting).await;
    assert_eq!(deliveries.unwrap().unwrap().unwrap().len(), 1);
}

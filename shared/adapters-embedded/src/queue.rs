//! Work queues in a table, with the semantics of Amazon SQS standard queues.

use std::fmt;
use std::pin::pin;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::ports::{Clock, Delivery, Outgoing, PortResult, Queue, QueueDepth, WorkQueue};
use rusqlite::{Transaction, named_params, params};
use tokio::sync::Notify;
use tokio::time::{self, Instant};

use crate::Database;
use crate::error::Fault;

/// Longest body of a message.
const MAX_BODY_BYTES: usize = 256 * 1024;
/// Longest delay of a message.
const MAX_DELAY: Duration = Duration::from_secs(15 * 60);
/// Most messages in one answer.
const MAX_BATCH: usize = 10;
/// How often a waiting receive looks for messages whose delay or visibility time-out has ended: nothing announces those.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

// The limit is spelled out, not bound, and the index is named: left to itself SQLite reads every visible message.
const BURY: &str = "
    UPDATE message INDEXED BY message_exhausted SET dead = 1, held = 0
    WHERE queue = :queue AND visible_at <= :now AND dead = 0 AND receive_count >= 5";
const _: () = assert!(
    Queue::MAX_RECEIVES == 5,
    "the limit stands in BURY, DEPTH and schema.sql"
);

const TAKE: &str = "
    UPDATE message
    SET visible_at = :hidden_until, held = 1,
        generation = generation + 1, receive_count = receive_count + 1
    WHERE id IN (
        SELECT id FROM message
        WHERE queue = :queue AND dead = :dead AND visible_at <= :now
        ORDER BY visible_at, id
        LIMIT :max
    )
    RETURNING id, generation, body, receive_count, interruptions";

// Exhausted messages are moved by the next receive; they count as dead already.
const DEPTH: &str = "
    SELECT
        (SELECT count(*) FROM message
         WHERE queue = :queue AND dead = 0 AND visible_at <= :now) AS visible,
        (SELECT count(*) FROM message
         WHERE queue = :queue AND dead = 0 AND visible_at > :now AND held = 1) AS in_flight,
        (SELECT count(*) FROM message
         WHERE queue = :queue AND dead = 0 AND visible_at > :now AND held = 0) AS delayed,
        (SELECT count(*) FROM message
         WHERE queue = :queue AND dead = 1) AS dead,
        (SELECT count(*) FROM message INDEXED BY message_exhausted
         WHERE queue = :queue AND visible_at <= :now AND dead = 0 AND receive_count >= 5) AS exhausted";

/// The work queues of one [`Database`]. Use one value for all senders and receivers of a process: a send wakes the
/// receives that wait on the same value at once, all others within 50 ms.
pub struct SqliteQueue {
    database: Database,
    clock: Arc<dyn Clock>,
    arrival: Notify,
}

/// Which of a queue's two lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Live,
    Dead,
}

impl Side {
    /// Value of the column `dead`.
    const fn dead(self) -> bool {
        matches!(self, Self::Dead)
    }
}

/// Names one receive of one message; in text `<message>-<generation>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Receipt {
    message: i64,
    generation: i64,
}

impl fmt::Display for Receipt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.message, self.generation)
    }
}

/// The text was not handed out as a receipt; no message has it, so it is treated like one out of date.
struct ForeignReceipt;

impl FromStr for Receipt {
    type Err = ForeignReceipt;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (message, generation) = text.split_once('-').ok_or(ForeignReceipt)?;
        Ok(Self {
            message: message.parse().map_err(|_| ForeignReceipt)?,
            generation: generation.parse().map_err(|_| ForeignReceipt)?,
        })
    }
}

impl SqliteQueue {
    /// The queues in `database`; `clock` says when delays and visibility time-outs end.
    pub fn new(database: Database, clock: Arc<dyn Clock>) -> Self {
        Self {
            database,
            clock,
            arrival: Notify::new(),
        }
    }

    fn now(&self) -> i64 {
        self.clock.now().as_millisecond()
    }

    async fn take(
        &self,
        queue: Queue,
        side: Side,
        max: usize,
        visibility: Duration,
    ) -> PortResult<Vec<Delivery>> {
        let now = self.now();
        self.database
            .write("receive messages", move |transaction| {
                bury_exhausted(transaction, queue, now)?;
                take_visible(transaction, queue, side, max, now, later(now, visibility))
            })
            .await
    }

    async fn remove(&self, queue: Queue, side: Side, receipts: &[String]) -> PortResult<()> {
        let current: Vec<Receipt> = receipts
            .iter()
            .filter_map(|receipt| receipt.parse().ok())
            .collect();
        if current.is_empty() {
            return Ok(());
        }
        self.database
            .write("delete messages", move |transaction| {
                let mut delete = transaction.prepare_cached(
                    "DELETE FROM message
                     WHERE id = ? AND generation = ? AND held = 1 AND queue = ? AND dead = ?",
                )?;
                for receipt in current {
                    delete.execute(params![
                        receipt.message,
                        receipt.generation,
                        queue.as_str(),
                        side.dead()
                    ])?;
                }
                Ok(())
            })
            .await
    }
}

#[async_trait]
impl WorkQueue for SqliteQueue {
    async fn send(&self, queue: Queue, messages: &[Outgoing]) -> PortResult<Vec<usize>> {
        let mut refused = Vec::new();
        let mut accepted = Vec::with_capacity(messages.len());
        for (position, message) in messages.iter().enumerate() {
            if message.body.len() > MAX_BODY_BYTES || message.delay > MAX_DELAY {
                refused.push(position);
            } else {
                accepted.push(message.clone());
            }
        }
        if accepted.is_empty() {
            return Ok(refused);
        }

        let now = self.now();
        self.database
            .write("send messages", move |transaction| {
                let mut insert = transaction.prepare_cached(
                    "INSERT INTO message (queue, body, visible_at) VALUES (?, ?, ?)",
                )?;
                for message in accepted {
                    insert.execute(params![
                        queue.as_str(),
                        message.body,
                        later(now, message.delay)
                    ])?;
                }
                Ok(())
            })
            .await?;
        self.arrival.notify_waiters();
        Ok(refused)
    }

    async fn receive(
        &self,
        queue: Queue,
        max: usize,
        visibility: Duration,
        wait: Duration,
    ) -> PortResult<Vec<Delivery>> {
        let deadline = Instant::now() + wait;
        loop {
            // Listens before it looks, so that nothing sent in between is missed.
            let mut arrival = pin!(self.arrival.notified());
            arrival.as_mut().enable();

            let deliveries = self.take(queue, Side::Live, max, visibility).await?;
            let now = Instant::now();
            if !deliveries.is_empty() || now >= deadline {
                return Ok(deliveries);
            }
            let next_look = deadline.min(now + POLL_INTERVAL);
            drop(time::timeout_at(next_look, arrival).await);
        }
    }

    async fn extend(&self, queue: Queue, receipt: &str, visibility: Duration) -> PortResult<bool> {
        let Ok(receipt) = receipt.parse::<Receipt>() else {
            return Ok(false);
        };
        let now = self.now();
        let is_current = self
            .database
            .write("extend visibility", move |transaction| {
                // Given back at once, a message is held by nobody: its receive counts even if the process stops next.
                let changed = transaction
                    .prepare_cached(
                        "UPDATE message SET visible_at = ?, held = ?
                         WHERE id = ? AND generation = ? AND held = 1 AND queue = ? AND dead = 0
                           AND visible_at > ?",
                    )?
                    .execute(params![
                        later(now, visibility),
                        !visibility.is_zero(),
                        receipt.message,
                        receipt.generation,
                        queue.as_str(),
                        now
                    ])?;
                Ok(changed == 1)
            })
            .await?;
        if is_current && visibility.is_zero() {
            self.arrival.notify_waiters();
        }
        Ok(is_current)
    }

    async fn delete(&self, queue: Queue, receipts: &[String]) -> PortResult<()> {
        self.remove(queue, Side::Live, receipts).await
    }

    async fn receive_dead(
        &self,
        queue: Queue,
        max: usize,
        visibility: Duration,
    ) -> PortResult<Vec<Delivery>> {
        self.take(queue, Side::Dead, max, visibility).await
    }

    async fn delete_dead(&self, queue: Queue, receipts: &[String]) -> PortResult<()> {
        self.remove(queue, Side::Dead, receipts).await
    }

    async fn depth(&self, queue: Queue) -> PortResult<QueueDepth> {
        let now = self.now();
        self.database
            .read("measure queue", move |transaction| {
                depth_at(transaction, queue, now)
            })
            .await
    }
}

/// `duration` after `now`, in milliseconds since the Unix epoch.
fn later(now: i64, duration: Duration) -> i64 {
    let milliseconds = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    now.saturating_add(milliseconds)
}

/// Moves messages that were received often enough and are visible again to the dead letters.
fn bury_exhausted(transaction: &Transaction<'_>, queue: Queue, now: i64) -> Result<(), Fault> {
    let buried = transaction
        .prepare_cached(BURY)?
        .execute(named_params! { ":queue": queue.as_str(), ":now": now })?;
    if buried > 0 {
        tracing::warn!(queue.name = %queue, queue.buried = buried, "messages moved to the dead letters");
    }
    Ok(())
}

/// Hides up to `max` messages until `hidden_until` and hands them out, those that became visible first.
fn take_visible(
    transaction: &Transaction<'_>,
    queue: Queue,
    side: Side,
    max: usize,
    now: i64,
    hidden_until: i64,
) -> Result<Vec<Delivery>, Fault> {
    let mut statement = transaction.prepare_cached(TAKE)?;
    let mut rows = statement.query(named_params! {
        ":hidden_until": hidden_until,
        ":queue": queue.as_str(),
        ":dead": side.dead(),
        ":now": now,
        ":max": max.clamp(1, MAX_BATCH) as i64,
    })?;
    let mut deliveries = Vec::new();
    while let Some(row) = rows.next()? {
        let receipt = Receipt {
            message: row.get("id")?,
            generation: row.get("generation")?,
        };
        deliveries.push(Delivery {
            receipt: receipt.to_string(),
            body: row.get("body")?,
            receive_count: row.get("receive_count")?,
            interruptions: row.get("interruptions")?,
        });
    }
    Ok(deliveries)
}

fn depth_at(transaction: &Transaction<'_>, queue: Queue, now: i64) -> Result<QueueDepth, Fault> {
    let mut statement = transaction.prepare_cached(DEPTH)?;
    let depth = statement.query_row(
        named_params! { ":queue": queue.as_str(), ":now": now },
        |row| {
            let count = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
            let exhausted = count("exhausted")?;
            Ok(QueueDepth {
                visible: count("visible")? - exhausted,
                in_flight: count("in_flight")?,
                delayed: count("delayed")?,
                dead: count("dead")? + exhausted,
            })
        },
    )?;
    Ok(depth)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    /// How SQLite goes about a statement, one step a line.
    fn plan(sql: &str) -> String {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(include_str!("schema.sql"))
            .unwrap();
        let mut statement = connection
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
            .unwrap();
        let mut rows = statement.raw_query();
        let mut steps = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            steps.push(row.get::<_, String>("detail").unwrap());
        }
        steps.join("\n")
    }

    #[test]
    fn no_receive_and_no_count_reads_the_whole_table() {
        for sql in [BURY, TAKE, DEPTH] {
            let plan = plan(sql);
            assert!(!plan.contains("SCAN message"), "{plan}");
        }
    }

    #[test]
    fn messages_are_taken_in_the_order_of_an_index() {
        let plan = plan(TAKE);
        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
    }

    #[test]
    fn exhausted_messages_are_found_without_a_look_at_the_others() {
        let plan = plan(BURY);
        assert!(plan.contains("INDEX message_exhausted"), "{plan}");
    }

    #[test]
    fn only_what_was_handed_out_reads_as_a_receipt() {
        let receipt = Receipt {
            message: 12,
            generation: 3,
        };
        assert_eq!(receipt.to_string().parse().ok(), Some(receipt));
        for text in [
            "",
            "12",
            "12-",
            "-3",
            "12-3-4",
            "a-b",
            "99999999999999999999-1",
        ] {
            assert!(text.parse::<Receipt>().is_err(), "{text}");
        }
    }
}

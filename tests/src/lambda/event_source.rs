//! An SQS event source mapping (AWS Lambda developer guide, "Using Lambda with Amazon SQS").

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::ports::{Delivery, PortResult, Queue, WorkQueue};
use serde_json::{Value, json};

use super::Function;

/// How long one receive waits for a message.
const LONG_POLL: Duration = Duration::from_secs(1);
/// Pause after a fault of the queue.
const FAULT_PAUSE: Duration = Duration::from_millis(200);

/// Takes messages from a queue to a function until it is dropped.
#[derive(Clone)]
pub struct EventSource {
    /// The queues.
    pub queue: Arc<dyn WorkQueue>,
    /// Which of them.
    pub from: Queue,
    /// Whether it is that queue's dead letters that are taken.
    pub dead_letters: bool,
    /// Its name, as events tell it.
    pub queue_name: String,
    /// Where to.
    pub function: Arc<Function>,
    /// Messages in an event at most.
    pub batch_size: usize,
    /// How long messages are gathered for an event.
    pub window: Duration,
    /// How long a message stays hidden while it is worked on.
    pub visibility: Duration,
}

impl EventSource {
    /// Polls for ever. Run several of it for several invocations at once.
    pub async fn run(self) {
        loop {
            match self.gather().await {
                Ok(deliveries) if deliveries.is_empty() => {}
                Ok(deliveries) => self.hand_over(deliveries).await,
                Err(error) => {
                    eprintln!("{}: {error}", self.queue_name);
                    tokio::time::sleep(FAULT_PAUSE).await;
                }
            }
        }
    }

    /// Receives until the event is full or its window closed.
    async fn gather(&self) -> PortResult<Vec<Delivery>> {
        let mut gathered = Vec::new();
        let closes = Instant::now() + self.window.max(LONG_POLL);
        loop {
            let wait = closes
                .saturating_duration_since(Instant::now())
                .min(LONG_POLL);
            let room = self.batch_size - gathered.len();
            gathered.extend(self.receive(room, wait).await?);
            let is_full = gathered.len() >= self.batch_size;
            let is_closed =
                Instant::now() >= closes || (self.window.is_zero() && !gathered.is_empty());
            if is_full || is_closed {
                return Ok(gathered);
            }
        }
    }

    async fn receive(&self, room: usize, wait: Duration) -> PortResult<Vec<Delivery>> {
        let Self { queue, from, .. } = self;
        if !self.dead_letters {
            return queue.receive(*from, room, self.visibility, wait).await;
        }
        let received = queue.receive_dead(*from, room, self.visibility).await?;
        if received.is_empty() {
            tokio::time::sleep(wait).await;
        }
        Ok(received)
    }

    /// Invokes the function, and deletes what it did not report as failed. After an error of the function nothing is deleted.
    async fn hand_over(&self, deliveries: Vec<Delivery>) {
        let event = self.event(&deliveries);
        let response = match self.function.invoke(&event).await {
            Ok(response) => response,
            Err(error) => {
                eprintln!("{}: {error}", self.function.name());
                return;
            }
        };
        let Some(failed) = failed_positions(&response) else {
            eprintln!("{}: no batch response: {response}", self.function.name());
            return;
        };
        let done = deliveries.into_iter().enumerate();
        let receipts: Vec<String> = done
            .filter(|(position, _)| !failed.contains(position))
            .map(|(_, delivery)| delivery.receipt)
            .collect();
        let deleted = if self.dead_letters {
            self.queue.delete_dead(self.from, &receipts).await
        } else {
            self.queue.delete(self.from, &receipts).await
        };
        if let Err(error) = deleted {
            eprintln!("{}: {error}", self.queue_name);
        }
    }

    fn event(&self, deliveries: &[Delivery]) -> Value {
        let record = |(position, delivery): (usize, &Delivery)| {
            json!({
                "messageId": position.to_string(),
                "receiptHandle": delivery.receipt,
                "body": delivery.body,
                "attributes": {
                    "ApproximateReceiveCount": delivery.receive_count.to_string(),
                    "SentTimestamp": "1700000000000",
                    "SenderId": "AIDAEXAMPLE",
                    "ApproximateFirstReceiveTimestamp": "1700000000001",
                },
                "messageAttributes": {},
                "md5OfBody": "00000000000000000000000000000000",
                "eventSource": "aws:sqs",
                "eventSourceARN": format!("arn:aws:sqs:eu-central-1:123456789012:{}", self.queue_name),
                "awsRegion": "eu-central-1",
            })
        };
        let records: Vec<Value> = deliveries.iter().enumerate().map(record).collect();
        json!({"Records": records})
    }
}

/// Positions of the messages that a batch response reports; `None` when it is none, and so the whole event failed.
fn failed_positions(response: &Value) -> Option<Vec<usize>> {
    let failures = response.get("batchItemFailures")?.as_array()?;
    let position = |failure: &Value| failure.get("itemIdentifier")?.as_str()?.parse().ok();
    failures.iter().map(position).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_batch_response_lets_messages_be_deleted() {
        let failures = json!({"batchItemFailures": [{"itemIdentifier": "3"}]});
        assert_eq!(failed_positions(&failures), Some(vec![3]));
        assert_eq!(
            failed_positions(&json!({"batchItemFailures": []})),
            Some(vec![])
        );
        for wrong in [
            json!(null),
            json!({}),
            json!({"batchItemFailures": [{"id": "3"}]}),
        ] {
            assert_eq!(failed_positions(&wrong), None);
        }
    }
}

//! An event of SQS messages, answered with those that failed (partial batch response, `ReportBatchItemFailures`).
//!
//! The types hold what the functions use and nothing else, so that nothing else of a record can make the event unreadable.

use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::FutureExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::logging::chain;

/// Kept of every invocation for its answer.
const ANSWER_RESERVE: Duration = Duration::from_millis(500);

/// What the event source hands to a function.
#[derive(Debug, Clone, Deserialize)]
pub struct SqsEvent {
    #[serde(rename = "Records")]
    records: Vec<RawRecord>,
}

impl SqsEvent {
    /// How many messages it holds.
    pub fn count(&self) -> usize {
        self.records.len()
    }
}

/// A message as it came. Its body is any JSON value, so that one that is no text fails alone.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawRecord {
    message_id: String,
    #[serde(default)]
    body: Value,
    #[serde(default)]
    attributes: Value,
    #[serde(default, rename = "eventSourceARN")]
    event_source_arn: Option<String>,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What was sent, as text.
    pub body: String,
    /// How often it has been received, this time included; from 1.
    pub receive_count: u32,
    /// Name of the queue it lay in; empty when the event does not say.
    pub queue_name: String,
}

/// Which messages are to come again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SqsBatchResponse {
    /// One entry a message that failed. Empty: all succeeded.
    pub batch_item_failures: Vec<BatchItemFailure>,
}

/// A message that is to come again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchItemFailure {
    /// The message's id in the event.
    pub item_identifier: String,
}

/// When an invocation has to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLeft {
    /// Nothing new is begun from here on, and what goes on should hand over.
    pub soft_deadline: Instant,
    /// What still goes on here has failed.
    pub hard_deadline: Instant,
}

impl TimeLeft {
    /// The time of an invocation, less `reserve` for handing over. A deadline that is past, or was never given, leaves none.
    pub fn of(context: &lambda_runtime::Context, reserve: Duration) -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        let deadline = Duration::from_millis(context.deadline);
        let remaining = deadline.saturating_sub(since_epoch.unwrap_or_default());
        let after = |pause: Duration| Instant::now() + remaining.saturating_sub(pause);
        Self {
            soft_deadline: after(reserve),
            hard_deadline: after(ANSWER_RESERVE),
        }
    }

    /// Whether nothing new may be begun.
    pub fn is_up(&self) -> bool {
        Instant::now() >= self.soft_deadline
    }
}

/// Handles the messages of an event one after the other. One whose handler fails, panics or does not end in time is reported alone;
/// those that there is no time for are reported without being looked at.
pub async fn each_record<E: Error + 'static>(
    event: SqsEvent,
    time: TimeLeft,
    handle: impl AsyncFn(Record) -> Result<(), E>,
) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    for raw in event.records {
        let message_id = raw.message_id.clone();
        let outcome = if time.is_up() {
            Err("no time is left for it".to_owned())
        } else {
            handle_one(raw, time, &handle).await
        };
        if let Err(fault) = outcome {
            tracing::warn!(message_id, fault, "message failed");
            response.batch_item_failures.push(BatchItemFailure {
                item_identifier: message_id,
            });
        }
    }
    response
}

async fn handle_one<E: Error + 'static>(
    raw: RawRecord,
    time: TimeLeft,
    handle: &impl AsyncFn(Record) -> Result<(), E>,
) -> Result<(), String> {
    let record = Record::try_from(raw)?;
    let guarded = AssertUnwindSafe(handle(record)).catch_unwind();
    match tokio::time::timeout_at(time.hard_deadline.into(), guarded).await {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(error))) => Err(chain(&error)),
        // The panic's own message has been printed by its hook.
        Ok(Err(_)) => Err("its handler panicked".to_owned()),
        Err(_) => Err("its handler did not end in time".to_owned()),
    }
}

impl TryFrom<RawRecord> for Record {
    type Error = String;

    fn try_from(raw: RawRecord) -> Result<Self, Self::Error> {
        let Value::String(body) = raw.body else {
            return Err("its body is no text".to_owned());
        };
        let receive_count = raw.attributes.get("ApproximateReceiveCount");
        let receive_count = receive_count.and_then(Value::as_str);
        let arn = raw.event_source_arn.unwrap_or_default();
        Ok(Self {
            body,
            receive_count: receive_count
                .and_then(|count| count.parse().ok())
                .unwrap_or(1),
            // arn:aws:sqs:<region>:<account>:<name>
            queue_name: arn.rsplit(':').next().unwrap_or_default().to_owned(),
        })
    }
}

//! Work queues on Amazon SQS standard queues.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::error::ProvideErrorMetadata;
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, DeleteMessageBatchRequestEntry, Message, MessageSystemAttributeName,
    QueueAttributeName, SendMessageBatchRequestEntry,
};
use domain::ports::{
    Delivery, Outgoing, PortError, PortErrorKind, PortResult, Queue, QueueDepth, WorkQueue,
};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;

use crate::clients::{Clients, timeouts_with};
use crate::error::{fault, rejected};

/// Most messages in one request.
const MAX_BATCH: usize = 10;
/// Longest body of a message, and of all messages of one request together.
const MAX_BODY_BYTES: usize = 256 * 1024;
/// Longest delay of a message.
const MAX_DELAY: Duration = Duration::from_secs(15 * 60);
/// Longest visibility time-out.
const MAX_VISIBILITY: Duration = Duration::from_secs(12 * 60 * 60);
/// Longest that one request waits for a message.
const MAX_WAIT: Duration = Duration::from_secs(20);
/// Requests of one call under way at once.
const CONCURRENT_REQUESTS: usize = 4;
/// How often what a request left undone for the service's own reasons is tried again.
const MAX_DELETE_ROUNDS: usize = 3;

/// The work queues of a deployment.
///
/// [`Delivery::interruptions`] is always 0: SQS does not tell a receiver that failed from one that stopped, and both are in
/// `receive_count`. Delays and visibility time-outs are rounded up to whole seconds.
pub(crate) struct SqsQueue {
    clients: Arc<Clients>,
}

impl SqsQueue {
    pub(crate) fn new(clients: Arc<Clients>) -> Self {
        Self { clients }
    }

    fn url(&self, operation: &'static str, queue: Queue) -> PortResult<&str> {
        let url = self.clients.settings.queue_url(queue);
        url.map_err(|error| rejected(operation, error))
    }

    fn dead_letters_url(&self, operation: &'static str, queue: Queue) -> PortResult<&str> {
        let url = self.clients.settings.dead_letters_url(queue);
        url.map_err(|error| rejected(operation, error))
    }

    /// Sends up to ten messages, each with its position, and returns the positions that were not accepted.
    async fn send_batch(&self, url: &str, batch: Batch<'_>) -> PortResult<Vec<usize>> {
        const OPERATION: &str = "send messages";
        let mut entries = Vec::with_capacity(batch.len());
        for (position, message) in batch {
            let entry = SendMessageBatchRequestEntry::builder()
                .id(position.to_string())
                .message_body(&message.body)
                .delay_seconds(whole_seconds(message.delay))
                .build()
                .map_err(|error| rejected(OPERATION, error))?;
            entries.push(entry);
        }
        let answer = self
            .clients
            .sqs()
            .send_message_batch()
            .queue_url(url)
            .set_entries(Some(entries))
            .send()
            .await
            .map_err(|error| fault(OPERATION, error))?;
        let refused = answer.failed();
        if let Some(first) = refused.first() {
            tracing::warn!(
                queue.refused = refused.len(),
                error.code = first.code(),
                "messages were not accepted"
            );
        }
        let positions = refused.iter().filter_map(|entry| entry.id().parse().ok());
        Ok(positions.collect())
    }

    async fn receive_once(
        &self,
        operation: &'static str,
        url: &str,
        max: usize,
        visibility: Duration,
        wait: Duration,
    ) -> PortResult<Vec<Delivery>> {
        // Named even when it is zero: left out, the queue's own waiting time applies.
        let wait = whole_seconds(wait.min(MAX_WAIT));
        let timeouts = timeouts_with(Duration::from_secs(wait.unsigned_abs().into()));
        let answer = self
            .clients
            .sqs()
            .receive_message()
            .queue_url(url)
            .max_number_of_messages(max.clamp(1, MAX_BATCH) as i32)
            .visibility_timeout(visibility_seconds(visibility))
            .wait_time_seconds(wait)
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .customize()
            .config_override(aws_sdk_sqs::config::Builder::new().timeout_config(timeouts))
            .send()
            .await
            .map_err(|error| fault(operation, error))?;
        let messages = answer.messages.unwrap_or_default();
        messages
            .into_iter()
            .map(|message| delivery(operation, message))
            .collect()
    }

    async fn delete_from(
        &self,
        operation: &'static str,
        url: &str,
        receipts: &[String],
    ) -> PortResult<()> {
        let mut requests = Vec::new();
        for receipts in receipts.chunks(MAX_BATCH) {
            requests.push(self.delete_batch(operation, url, receipts));
        }
        stream::iter(requests)
            .buffer_unordered(CONCURRENT_REQUESTS)
            .try_collect()
            .await
    }

    async fn delete_batch(
        &self,
        operation: &'static str,
        url: &str,
        receipts: &[String],
    ) -> PortResult<()> {
        let mut open: Vec<usize> = (0..receipts.len()).collect();
        for _ in 0..MAX_DELETE_ROUNDS {
            let mut entries = Vec::with_capacity(open.len());
            for position in &open {
                let entry = DeleteMessageBatchRequestEntry::builder()
                    .id(position.to_string())
                    .receipt_handle(&receipts[*position])
                    .build()
                    .map_err(|error| rejected(operation, error))?;
                entries.push(entry);
            }
            let answer = self
                .clients
                .sqs()
                .delete_message_batch()
                .queue_url(url)
                .set_entries(Some(entries))
                .send()
                .await
                .map_err(|error| fault(operation, error))?;
            // A receipt that is out of date is the sender's fault to SQS, and passed over here.
            open = answer
                .failed()
                .iter()
                .filter(|entry| !entry.sender_fault())
                .filter_map(|entry: &BatchResultErrorEntry| entry.id().parse().ok())
                .filter(|position: &usize| *position < receipts.len())
                .collect();
            if open.is_empty() {
                return Ok(());
            }
        }
        Err(PortError::new(
            PortErrorKind::Unavailable,
            operation,
            format!("{} messages could not be deleted", open.len()),
        ))
    }

    async fn counts(&self, url: &str) -> PortResult<QueueDepth> {
        const OPERATION: &str = "measure queue";
        let answer = self
            .clients
            .sqs()
            .get_queue_attributes()
            .queue_url(url)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessages)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessagesNotVisible)
            .attribute_names(QueueAttributeName::ApproximateNumberOfMessagesDelayed)
            .send()
            .await
            .map_err(|error| fault(OPERATION, error))?;
        let attributes = answer.attributes.unwrap_or_default();
        let count = |name: QueueAttributeName| {
            attributes
                .get(&name)
                .and_then(|digits| digits.parse().ok())
                .ok_or_else(|| {
                    let reason = format!("the answer lacks {name}");
                    PortError::new(PortErrorKind::Corrupt, OPERATION, reason)
                })
        };
        Ok(QueueDepth {
            visible: count(QueueAttributeName::ApproximateNumberOfMessages)?,
            in_flight: count(QueueAttributeName::ApproximateNumberOfMessagesNotVisible)?,
            delayed: count(QueueAttributeName::ApproximateNumberOfMessagesDelayed)?,
            dead: 0,
        })
    }
}

#[async_trait]
impl WorkQueue for SqsQueue {
    async fn send(&self, queue: Queue, messages: &[Outgoing]) -> PortResult<Vec<usize>> {
        let url = self.url("send messages", queue)?;
        let (batches, mut refused) = batches_of(messages);
        let mut requests = Vec::with_capacity(batches.len());
        for batch in batches {
            requests.push(self.send_batch(url, batch));
        }
        let answers: Vec<Vec<usize>> = stream::iter(requests)
            .buffer_unordered(CONCURRENT_REQUESTS)
            .try_collect()
            .await?;
        refused.extend(answers.into_iter().flatten());
        refused.sort_unstable();
        Ok(refused)
    }

    async fn receive(
        &self,
        queue: Queue,
        max: usize,
        visibility: Duration,
        wait: Duration,
    ) -> PortResult<Vec<Delivery>> {
        const OPERATION: &str = "receive messages";
        let url = self.url(OPERATION, queue)?;
        let deadline = Instant::now() + wait;
        loop {
            let rest = deadline.saturating_duration_since(Instant::now());
            let deliveries = self
                .receive_once(OPERATION, url, max, visibility, rest)
                .await?;
            if !deliveries.is_empty() || Instant::now() >= deadline {
                return Ok(deliveries);
            }
        }
    }

    async fn extend(&self, queue: Queue, receipt: &str, visibility: Duration) -> PortResult<bool> {
        const OPERATION: &str = "extend visibility";
        let answer = self
            .clients
            .sqs()
            .change_message_visibility()
            .queue_url(self.url(OPERATION, queue)?)
            .receipt_handle(receipt)
            .visibility_timeout(visibility_seconds(visibility))
            .send()
            .await;
        match answer {
            Ok(_) => Ok(true),
            Err(error) if says_out_of_date(error.code()) => Ok(false),
            Err(error) => Err(fault(OPERATION, error)),
        }
    }

    async fn delete(&self, queue: Queue, receipts: &[String]) -> PortResult<()> {
        const OPERATION: &str = "delete messages";
        let url = self.url(OPERATION, queue)?;
        self.delete_from(OPERATION, url, receipts).await
    }

    async fn receive_dead(
        &self,
        queue: Queue,
        max: usize,
        visibility: Duration,
    ) -> PortResult<Vec<Delivery>> {
        const OPERATION: &str = "receive dead letters";
        let url = self.dead_letters_url(OPERATION, queue)?;
        self.receive_once(OPERATION, url, max, visibility, Duration::ZERO)
            .await
    }

    async fn delete_dead(&self, queue: Queue, receipts: &[String]) -> PortResult<()> {
        const OPERATION: &str = "delete dead letters";
        let url = self.dead_letters_url(OPERATION, queue)?;
        self.delete_from(OPERATION, url, receipts).await
    }

    async fn depth(&self, queue: Queue) -> PortResult<QueueDepth> {
        const OPERATION: &str = "measure queue";
        let live = self.counts(self.url(OPERATION, queue)?);
        let dead = self.counts(self.dead_letters_url(OPERATION, queue)?);
        let (live, dead) = futures::try_join!(live, dead)?;
        Ok(QueueDepth {
            dead: dead.visible + dead.in_flight + dead.delayed,
            ..live
        })
    }
}

/// Messages of one request, each with its position among all that are sent.
type Batch<'a> = Vec<(usize, &'a Outgoing)>;

/// The messages that one request takes each, and the positions that no request would.
fn batches_of(messages: &[Outgoing]) -> (Vec<Batch<'_>>, Vec<usize>) {
    let mut batches = Vec::new();
    let mut refused = Vec::new();
    let mut batch = Vec::new();
    let mut bytes = 0;
    for (position, message) in messages.iter().enumerate() {
        let length = message.body.len();
        if length > MAX_BODY_BYTES || message.delay > MAX_DELAY {
            refused.push(position);
            continue;
        }
        if batch.len() == MAX_BATCH || bytes + length > MAX_BODY_BYTES {
            batches.push(std::mem::take(&mut batch));
            bytes = 0;
        }
        bytes += length;
        batch.push((position, message));
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    (batches, refused)
}

fn delivery(operation: &'static str, message: Message) -> PortResult<Delivery> {
    let receive_count = message
        .attributes
        .as_ref()
        .and_then(|attributes| attributes.get(&MessageSystemAttributeName::ApproximateReceiveCount))
        .and_then(|count| count.parse().ok());
    match (message.receipt_handle, message.body, receive_count) {
        (Some(receipt), Some(body), Some(receive_count)) => Ok(Delivery {
            receipt,
            body,
            receive_count,
            interruptions: 0,
        }),
        _ => Err(PortError::new(
            PortErrorKind::Corrupt,
            operation,
            "a message lacks its receipt, body or receive count",
        )),
    }
}

/// Whether SQS says that a receipt is no longer, or never was, the current one.
fn says_out_of_date(code: Option<&str>) -> bool {
    let name = code.and_then(|code| code.rsplit(['.', '#']).next());
    matches!(
        name,
        Some(
            "MessageNotInflight"
                | "ReceiptHandleIsInvalid"
                | "InvalidParameterValue"
                | "InvalidParameterValueException"
        )
    )
}

fn visibility_seconds(visibility: Duration) -> i32 {
    whole_seconds(visibility.min(MAX_VISIBILITY))
}

fn whole_seconds(duration: Duration) -> i32 {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_lengths(lengths: &[usize]) -> Vec<Outgoing> {
        let message = |length: &usize| Outgoing::now("x".repeat(*length));
        lengths.iter().map(message).collect()
    }

    fn positions(batches: &[Batch<'_>]) -> Vec<Vec<usize>> {
        let of_batch =
            |batch: &Vec<(usize, &Outgoing)>| batch.iter().map(|(position, _)| *position).collect();
        batches.iter().map(of_batch).collect()
    }

    #[test]
    fn a_request_takes_ten_messages() {
        let messages = of_lengths(&[1; 21]);
        let (batches, refused) = batches_of(&messages);
        let lengths: Vec<usize> = batches.iter().map(Vec::len).collect();
        assert_eq!(lengths, [10, 10, 1]);
        assert!(refused.is_empty());
    }

    #[test]
    fn a_request_takes_256_kib_in_all() {
        let half = MAX_BODY_BYTES / 2;
        let messages = of_lengths(&[
            half,
            half,
            1,
            MAX_BODY_BYTES,
            MAX_BODY_BYTES + 1,
            half,
            half + 1,
        ]);
        let (batches, refused) = batches_of(&messages);
        assert_eq!(
            positions(&batches),
            [vec![0, 1], vec![2], vec![3], vec![5], vec![6]]
        );
        assert_eq!(refused, [4]);
    }

    #[test]
    fn a_delay_over_the_limit_is_not_accepted() {
        let delayed_by = |delay| Outgoing {
            body: "later".to_owned(),
            delay,
        };
        let messages = [
            delayed_by(MAX_DELAY),
            delayed_by(MAX_DELAY + Duration::from_millis(1)),
        ];
        let (batches, refused) = batches_of(&messages);
        assert_eq!(positions(&batches), [[0]]);
        assert_eq!(refused, [1]);
    }

    #[test]
    fn durations_are_rounded_up_to_whole_seconds() {
        for (milliseconds, seconds) in [(0, 0), (1, 1), (1_000, 1), (1_001, 2)] {
            assert_eq!(whole_seconds(Duration::from_millis(milliseconds)), seconds);
        }
        assert_eq!(visibility_seconds(Duration::MAX), 43_200);
    }

    #[test]
    fn only_codes_about_the_receipt_say_that_it_is_out_of_date() {
        for code in [
            "ReceiptHandleIsInvalid",
            "com.amazonaws.sqs#MessageNotInflight",
            "AWS.SimpleQueueService.MessageNotInflight",
        ] {
            assert!(says_out_of_date(Some(code)), "{code}");
        }
        for code in [None, Some("AccessDenied"), Some("QueueDoesNotExist")] {
            assert!(!says_out_of_date(code), "{code:?}");
        }
    }
}

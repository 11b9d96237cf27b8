//! Work queues with the semantics of Amazon SQS standard queues.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::PortResult;

/// The queues between the stages. Each has a dead-letter queue of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Queue {
    /// [`crate::SplitMessage`]
    Split,
    /// [`crate::ChunkMessage`]
    Chunks,
    /// [`crate::MetricsMessage`]
    Metrics,
    /// [`crate::FinalizeMessage`]
    Finalize,
    /// [`crate::VisionMessage`]
    Vision,
    /// [`crate::VisionMessage`] of batches that go first.
    VisionHigh,
}

impl Queue {
    /// Every queue.
    pub const ALL: &'static [Self] = &[
        Self::Split,
        Self::Chunks,
        Self::Metrics,
        Self::Finalize,
        Self::Vision,
        Self::VisionHigh,
    ];

    /// Receives after which a message that is still there goes to the dead letters.
    pub const MAX_RECEIVES: u32 = 5;

    /// Its name in logs and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Split => "split",
            Self::Chunks => "chunks",
            Self::Metrics => "metrics",
            Self::Finalize => "finalize",
            Self::Vision => "vision",
            Self::VisionHigh => "visionhigh",
        }
    }
}

impl fmt::Display for Queue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// A message to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// JSON of the queue's message type, at most 256 KiB.
    pub body: String,
    /// How long it stays invisible, at most 15 minutes.
    pub delay: Duration,
}

impl Outgoing {
    /// A message that is visible at once.
    pub const fn now(body: String) -> Self {
        Self {
            body,
            delay: Duration::ZERO,
        }
    }
}

/// A message received. It stays invisible to others until its visibility time-out ends, then comes again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Names this receive of the message, for [`WorkQueue::delete`] and [`WorkQueue::extend`].
    pub receipt: String,
    /// What was sent.
    pub body: String,
    /// How often it has been received, this time included; from 1.
    pub receive_count: u32,
    /// How often a receive ended because the process that held it stopped; from 0. Not part of `receive_count`.
    pub interruptions: u32,
}

/// How much lies in a queue; approximate while others work on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueDepth {
    /// Can be received now.
    pub visible: u64,
    /// Received and not yet deleted.
    pub in_flight: u64,
    /// Waits for its delay to end.
    pub delayed: u64,
    /// Lies in the dead-letter queue.
    pub dead: u64,
}

/// At-least-once delivery in no particular order: a message may come twice, also at the same time, and after it was
/// deleted. Receivers go by what the body names, never by the message.
#[async_trait]
pub trait WorkQueue: Send + Sync + 'static {
    /// Sends `messages`, any number, and returns the positions of those that were not accepted, in ascending order.
    /// The caller sends those again. `Err` means that it is not known which were accepted: sending all again is safe.
    async fn send(&self, queue: Queue, messages: &[Outgoing]) -> PortResult<Vec<usize>>;

    /// Receives up to `max` messages (at least 1, at most 10) and hides them for `visibility`. Waits up to `wait` for the first;
    /// an empty answer says that none came. A message received [`Queue::MAX_RECEIVES`] times that becomes visible again goes
    /// to the dead letters instead of to the caller.
    async fn receive(
        &self,
        queue: Queue,
        max: usize,
        visibility: Duration,
        wait: Duration,
    ) -> PortResult<Vec<Delivery>>;

    /// Hides a received message for another `visibility` from now. `false` when the receipt is no longer the current one.
    async fn extend(&self, queue: Queue, receipt: &str, visibility: Duration) -> PortResult<bool>;

    /// Deletes received messages for good. A receipt that is no longer the current one is passed over: the message may come again.
    async fn delete(&self, queue: Queue, receipts: &[String]) -> PortResult<()>;

    /// As [`WorkQueue::receive`], from the queue's dead letters; these are never dead-lettered again.
    async fn receive_dead(
        &self,
        queue: Queue,
        max: usize,
        visibility: Duration,
    ) -> PortResult<Vec<Delivery>>;

    /// As [`WorkQueue::delete`], from the queue's dead letters.
    async fn delete_dead(&self, queue: Queue, receipts: &[String]) -> PortResult<()>;

    /// How much lies in the queue.
    async fn depth(&self, queue: Queue) -> PortResult<QueueDepth>;
}

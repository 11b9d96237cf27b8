//! Telling whoever subscribed that a batch ended.

use async_trait::async_trait;

use super::PortResult;
use crate::BatchId;

/// A topic that operators, and programs of theirs, subscribe to.
#[async_trait]
pub trait Announcements: Send + Sync + 'static {
    /// Publishes `notice`, which is JSON, of a batch. `kind` says what happened, such as `batch.completed`, for subscribers that want some
    /// kinds only. A repeat publishes again.
    async fn announce(&self, batch: BatchId, kind: &str, notice: &str) -> PortResult<()>;
}

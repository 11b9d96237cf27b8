//! How much of the work a platform does at once.

use async_trait::async_trait;

use super::PortResult;

/// The platform's own bound on workers, where there is one that can be changed while it works. A worker has one chunk under way.
#[async_trait]
pub trait Scaler: Send + Sync + 'static {
    /// Workers that are allowed at once, as it is set now. `Rejected` where nothing of the kind is set.
    async fn allowed(&self) -> PortResult<u64>;

    /// Allows `workers` at once, rounded up to what the platform can do. A repeat changes nothing. The platform takes its time, often a
    /// minute or two, to follow; one that still follows an earlier change may be `Unavailable`. After `TimedOut` it may have been done or not:
    /// [`Self::allowed`] tells.
    async fn allow(&self, workers: u64) -> PortResult<()>;
}

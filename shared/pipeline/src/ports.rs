//! The ports, bundled: every use case takes them as its first argument.

use std::path::PathBuf;
use std::sync::Arc;

use domain::ports::{BatchStore, Clock, Ids, WorkQueue};
use object_store::ObjectStore;

/// Everything outside the process. Cheap to clone.
#[derive(Clone)]
pub struct Ports {
    /// Batches, shards, indicators.
    pub store: Arc<dyn BatchStore>,
    /// Messages between the stages.
    pub queue: Arc<dyn WorkQueue>,
    /// Lists, chunks, results, reports; keys in [`domain::keys`].
    pub objects: Arc<dyn ObjectStore>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Identities.
    pub ids: Arc<dyn Ids>,
    /// A folder for files that live as long as a use case: what does not fit into memory.
    pub scratch: PathBuf,
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Ports").finish_non_exhaustive()
    }
}

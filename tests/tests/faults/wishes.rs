//! What owners and operators ask for while a storm blows.

use domain::{BatchId, Outcome};
use pipeline::cancel::cancel;
use pipeline::delete::{Deletion, delete};
use pipeline::intake::set_paused;
use pipeline::retry::{Retried, retry};
use pipeline::{PipelineResult, Ports};

/// What somebody wants, some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// That the batch is stopped.
    Cancel,
    /// That some of its rows are done again, once it ended.
    Retry,
    /// That another batch is gone, once it ended.
    Delete(BatchId),
    /// That nothing new is begun, or that it is again.
    Pause(bool),
}

impl Wish {
    /// Asks for it, about `batch`. Whether it is fulfilled.
    pub(crate) async fn ask(self, ports: &Ports, batch: BatchId) -> bool {
        match self {
            Self::Cancel => cancel(ports, batch).await.is_ok(),
            Self::Retry => {
                let outcomes = [Outcome::ServerError, Outcome::Poisoned];
                is_retried(&retry(ports, batch, &outcomes).await)
            }
            Self::Delete(other) => {
                let deletion = delete(ports, other).await;
                matches!(deletion, Ok(Deletion::Deleted | Deletion::Missing))
            }
            Self::Pause(is_paused) => set_paused(ports, is_paused).await.is_ok(),
        }
    }
}

/// Whether a wish to retry is fulfilled, or cannot be.
fn is_retried(retried: &PipelineResult<Retried>) -> bool {
    match retried {
        Err(_) | Ok(Retried::Settling) => false,
        // Not ended: it began, and the answer was lost.
        Ok(_) => true,
    }
}

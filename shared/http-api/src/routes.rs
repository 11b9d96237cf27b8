//! The routes, a file for each kind of thing they are about.

pub(crate) mod batches;
pub(crate) mod results;
pub(crate) mod system;
pub(crate) mod upload;

use domain::{Batch, BatchId};

use crate::auth::Owner;
use crate::{ApiState, Problem};

/// The batch that a path names, if it is the caller's. Another's batch is as if it did not exist.
pub(crate) async fn own_batch(state: &ApiState, owner: &Owner, id: &str) -> Result<Batch, Problem> {
    let id: BatchId = id.parse().map_err(|_| Problem::no_such_batch())?;
    let batch = state.ports.store.batch(id).await;
    batch
        .map_err(pipeline::PipelineError::from)?
        .filter(|batch| batch.owner == owner.0)
        .ok_or_else(Problem::no_such_batch)
}

/// Anything that is no route.
pub(crate) async fn not_found() -> Problem {
    Problem::no_such_route()
}

/// A route's wrong method.
pub(crate) async fn method_not_allowed() -> Problem {
    Problem::method_not_allowed()
}

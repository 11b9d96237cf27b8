//! The routes, a file for each kind of thing they are about.

pub(crate) mod batches;
pub(crate) mod control;
pub(crate) mod intake;
pub(crate) mod presigned;
pub(crate) mod results;
pub(crate) mod system;
pub(crate) mod upload;

use domain::{Batch, BatchId};
use http::HeaderMap;
use pipeline::idempotency::IdempotencyKey;

use crate::auth::Owner;
use crate::{ApiState, Problem};

/// The key that a client gave its request, if it gave one.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let key = value.to_str().unwrap_or_default().parse();
    let key: IdempotencyKey = key.map_err(|error: pipeline::idempotency::InvalidKey| {
        Problem::bad_request(format!("Idempotency-Key: {error}."))
    })?;
    Ok(Some(key))
}

/// The batch that a path names, if it is the caller's. Another's batch is as if it did not exist, and so is one on its way out.
pub(crate) async fn own_batch(state: &ApiState, owner: &Owner, id: &str) -> Result<Batch, Problem> {
    let batch = own_batch_or_deleting(state, owner, id).await?;
    if batch.deleting {
        return Err(Problem::no_such_batch());
    }
    Ok(batch)
}

/// As [`own_batch`], also one on its way out.
pub(crate) async fn own_batch_or_deleting(
    state: &ApiState,
    owner: &Owner,
    id: &str,
) -> Result<Batch, Problem> {
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

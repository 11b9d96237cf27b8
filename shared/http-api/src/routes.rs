//! The routes, a file for each kind of thing they are about.

pub(crate) mod answers;
pub(crate) mod batches;
pub(crate) mod control;
pub(crate) mod export;
pub(crate) mod intake;
pub(crate) mod monitoring;
pub(crate) mod parts;
pub(crate) mod presigned;
pub(crate) mod preview;
pub(crate) mod results;
pub(crate) mod system;
pub(crate) mod tokens;
pub(crate) mod upload;

use domain::{Batch, BatchId};
use http::HeaderMap;
use pipeline::idempotency::IdempotencyKey;

use crate::auth::Owner;
use crate::{ApiState, Problem};

/// Which batch.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path; handlers read it as text")]
pub(crate) struct BatchPath {
    /// The batch's id.
    #[param(pattern = "^[0-7][0-9A-HJKMNP-TV-Z]{25}$")]
    id: String,
}

/// The key that makes a repeated request harmless.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(
    dead_code,
    reason = "describes the header; handlers read it themselves"
)]
pub(crate) struct IdempotencyHeader {
    /// Sent again with the same key within 24 hours, the same request answers with the same batch.
    #[param(
        rename = "Idempotency-Key",
        required = false,
        min_length = 1,
        max_length = 255,
        pattern = "^[!-~]([ -~]*[!-~])?$"
    )]
    key: String,
}

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

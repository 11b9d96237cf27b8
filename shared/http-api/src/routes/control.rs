//! What the owner of a batch can do about it: stop it, do rows of it again, change how fast it goes, delete it.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as Answer};
use domain::ports::{Advance, BatchChange};
use domain::{BatchId, BatchStatus, Outcome};
use http::StatusCode;
use pipeline::PipelineError;
use pipeline::cancel;
use pipeline::delete::{self, Deletion};
use pipeline::retry::{self, Retried};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::batches::BatchSummary;
use super::{own_batch, own_batch_or_deleting};
use crate::auth::Owner;
use crate::extract::{Body, Json, Path, of_value};
use crate::openapi::Problems;
use crate::{ApiState, Problem};

/// More requests at once than any engine makes for a batch.
const MAX_CONCURRENCY: u32 = 100_000;

/// Stops a batch: nothing more is fetched; rows without a result end as `cancelled`. May be repeated.
#[utoipa::path(
    post,
    path = "/api/v1/batches/{id}/cancel",
    tag = "batches",
    params(super::BatchPath),
    responses((status = 200, description = "The batch.", body = BatchSummary), Problems)
)]
pub(crate) async fn cancel(
    State(state): State<ApiState>,
    Extension(owner): Extension<Owner>,
    Path(id): Path<String>,
) -> Result<Answer<BatchSummary>, Problem> {
    let batch = own_batch(&state, &owner, &id).await?;
    match cancel::cancel(&state.ports, batch.id).await? {
        Advance::Moved | Advance::Stays(BatchStatus::Cancelled) => {
            Ok(Answer(own_batch(&state, &owner, &id).await?.into()))
        }
        Advance::Stays(status) => {
            let detail = format!("The batch is {status}: it has ended and cannot be cancelled.");
            Err(Problem::conflict(detail))
        }
        Advance::Missing => Err(Problem::no_such_batch()),
    }
}

/// Which rows to do again. Without outcomes: all that are worth it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetryWanted {
    /// Ends of rows that are fetched again.
    #[schema(value_type = Option<Vec<Outcome>>, min_items = 1)]
    outcomes: Option<Vec<String>>,
}

#[derive(Debug, Serialize, ToSchema)]
struct RetryBegun {
    #[schema(value_type = String)]
    batch_id: BatchId,
    /// 1 for the first retry of a batch.
    generation: u32,
    outcomes: Vec<Outcome>,
    /// Rows that are done again.
    rows: u64,
}

/// Does rows again that ended in one of the outcomes, and no others; without a body, all that are worth it.
#[utoipa::path(
    post,
    path = "/api/v1/batches/{id}/retry",
    tag = "batches",
    params(super::BatchPath),
    request_body = Option<RetryWanted>,
    responses((status = 202, description = "What is done again.", body = RetryBegun), Problems)
)]
pub(crate) async fn retry(
    State(state): State<ApiState>,
    Extension(owner): Extension<Owner>,
    Path(id): Path<String>,
    Body(body): Body,
) -> Result<Response, Problem> {
    let outcomes = wanted_outcomes(&body)?;
    let batch = own_batch(&state, &owner, &id).await?;
    let refused = match retry::retry(&state.ports, batch.id, &outcomes).await? {
        Retried::Begun { generation, rows } => {
            let begun = RetryBegun {
                batch_id: batch.id,
                generation,
                outcomes,
                rows,
            };
            return Ok((StatusCode::ACCEPTED, Answer(begun)).into_response());
        }
        Retried::NeverFetched(outcome) => {
            let detail = format!(
                "`{outcome}` is known from the list alone: nothing is ever fetched for such a row."
            );
            return Err(Problem::bad_request(detail));
        }
        Retried::Missing => return Err(Problem::no_such_batch()),
        Retried::NoSuchRows => "No row of the batch ended in one of these outcomes.".to_owned(),
        Retried::NotEnded(status) => {
            format!("The batch is {status}; rows can be done again once it has ended.")
        }
        Retried::Failed => {
            "The batch is FAILED: its list could not be read. Hand in a list that can.".to_owned()
        }
        Retried::Settling => {
            "The batch has ended and its report is being written. Try again in a few seconds."
                .to_owned()
        }
        Retried::TooOften => "The batch has been retried too often; make a new one.".to_owned(),
    };
    Err(Problem::conflict(refused))
}

fn wanted_outcomes(body: &[u8]) -> Result<Vec<Outcome>, Problem> {
    let wanted: Option<RetryWanted> = match body {
        [] => None,
        body => {
            let document = serde_json::from_slice(body).map_err(|error| {
                Problem::bad_request(format!("The body cannot be read: {error}."))
            })?;
            of_value(document)?
        }
    };
    let Some(names) = wanted.and_then(|wanted| wanted.outcomes) else {
        return Ok(retry::worth_a_retry());
    };
    let mut outcomes = Vec::new();
    for name in names {
        let outcome = name.parse::<Outcome>();
        let outcome = outcome.map_err(|error| Problem::bad_request(error.to_string()))?;
        if !outcomes.contains(&outcome) {
            outcomes.push(outcome);
        }
    }
    if outcomes.is_empty() {
        let detail = "`outcomes` is empty: leave it out to retry every outcome that is worth it.";
        return Err(Problem::bad_request(detail));
    }
    Ok(outcomes)
}

/// Removes a batch that has ended, with everything that belongs to it.
#[utoipa::path(
    delete,
    path = "/api/v1/batches/{id}",
    tag = "batches",
    params(super::BatchPath),
    responses((status = 204, description = "It is gone."), Problems)
)]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    Extension(owner): Extension<Owner>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let batch = own_batch_or_deleting(&state, &owner, &id).await?;
    match delete::delete(&state.ports, batch.id).await? {
        Deletion::Deleted => Ok(StatusCode::NO_CONTENT),
        Deletion::NotEnded(status) => {
            let detail = format!("The batch is {status}. Cancel it first.");
            Err(Problem::conflict(detail))
        }
        Deletion::Settling => {
            let detail = "The batch is cancelled and its last rows are being settled. Try again in a few seconds.";
            Err(Problem::conflict(detail))
        }
        Deletion::Missing => Err(Problem::no_such_batch()),
    }
}

/// What can be changed about a batch that runs.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Changes {
    /// Rows that are fetched at once at most.
    #[schema(minimum = 1, maximum = 100_000)]
    max_concurrency: u32,
}

/// Changes how fast a batch goes: within seconds, no more of its rows than this are fetched at once.
#[utoipa::path(
    patch,
    path = "/api/v1/batches/{id}",
    tag = "batches",
    params(super::BatchPath),
    request_body = Changes,
    responses((status = 200, description = "The batch.", body = BatchSummary), Problems)
)]
pub(crate) async fn change(
    State(state): State<ApiState>,
    Extension(owner): Extension<Owner>,
    Path(id): Path<String>,
    Json(changes): Json<Changes>,
) -> Result<Answer<BatchSummary>, Problem> {
    if !(1..=MAX_CONCURRENCY).contains(&changes.max_concurrency) {
        let detail = format!("`max_concurrency` is a number from 1 to {MAX_CONCURRENCY}.");
        return Err(Problem::bad_request(detail));
    }
    let batch = own_batch(&state, &owner, &id).await?;
    let change = BatchChange {
        max_concurrency: Some(changes.max_concurrency),
        ..BatchChange::default()
    };
    let ports = &state.ports;
    // Also of one that has ended: it holds for its retries.
    let changed = ports
        .store
        .advance(batch.id, BatchStatus::ALL, &change, ports.clock.now())
        .await;
    changed.map_err(PipelineError::from)?;
    Ok(Answer(own_batch(&state, &owner, &id).await?.into()))
}

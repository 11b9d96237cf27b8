//! Batches: listed, looked at, started.

use axum::extract::State;
use axum::{Extension, Json};
use domain::ports::{Advance, BatchQuery};
use domain::{Batch, BatchId, BatchOptions, BatchStatus};
use jiff::Timestamp;
use pipeline::progress::Progress;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::auth::Owner;
use crate::extract::{Path, Query, page_limit};
use crate::openapi::Problems;
use crate::routes::own_batch;
use crate::{ApiState, Problem, cursor};

const DEFAULT_PAGE: usize = 50;
const MAX_PAGE: usize = 200;

/// A batch in a listing.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BatchSummary {
    #[schema(value_type = String, pattern = "^[0-7][0-9A-HJKMNP-TV-Z]{25}$")]
    batch_id: BatchId,
    name: String,
    status: BatchStatus,
    failure: Option<String>,
    max_concurrency: Option<u32>,
    retries: u32,
    list: ListSummary,
    timestamps: Timestamps,
}

#[derive(Debug, Serialize, ToSchema)]
struct ListSummary {
    name: String,
    /// `None` while the list is awaited.
    bytes: Option<u64>,
    /// `None` while the list is awaited, and of one that did not pass through the API.
    sha256: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[expect(
    clippy::struct_field_names,
    reason = "they are the names in the answer"
)]
struct Timestamps {
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
}

impl From<Batch> for BatchSummary {
    fn from(batch: Batch) -> Self {
        let retries = batch.generation();
        Self {
            batch_id: batch.id,
            name: batch.name,
            status: batch.status,
            retries,
            failure: batch.failure,
            max_concurrency: batch.max_concurrency,
            list: ListSummary {
                name: batch.list_name,
                bytes: Some(batch.list_bytes).filter(|_| !batch.awaits_list),
                sha256: Some(batch.list_sha256).filter(|hash| !hash.is_empty()),
            },
            timestamps: Timestamps {
                created_at: batch.created_at,
                updated_at: batch.updated_at,
                started_at: batch.started_at,
                ended_at: batch.ended_at,
            },
        }
    }
}

/// A batch by itself.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BatchDetail {
    #[serde(flatten)]
    summary: BatchSummary,
    progress: Progress,
    options: BatchOptions,
    report_ready: bool,
}

/// Which batches.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only those in this state.
    #[param(value_type = Option<BatchStatus>)]
    status: Option<String>,
    /// From `next_cursor` of the page before.
    #[param(pattern = "^[A-Za-z0-9_-]{1,512}$")]
    cursor: Option<String>,
    /// At most so many; 50 when it is not said.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BatchList {
    data: Vec<BatchSummary>,
    next_cursor: Option<String>,
}

/// Lists the caller's batches, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/batches",
    tag = "batches",
    params(ListQuery),
    responses((status = 200, description = "A page of batches.", body = BatchList), Problems)
)]
pub(crate) async fn list(
    State(state): State<ApiState>,
    Extension(owner): Extension<Owner>,
    Query(query): Query<ListQuery>,
) -> Result<Json<BatchList>, Problem> {
    let status = query
        .status
        .as_deref()
        .map(str::parse::<BatchStatus>)
        .transpose();
    let query = BatchQuery {
        owner: Some(owner.0),
        status: status.map_err(|error| Problem::bad_request(error.to_string()))?,
        before: query
            .cursor
            .as_deref()
            .map(cursor::decode_batch)
            .transpose()?,
        limit: page_limit(query.limit, DEFAULT_PAGE, MAX_PAGE)?,
        ..BatchQuery::default()
    };
    let page = state.ports.store.list_batches(&query).await;
    let page = page.map_err(pipeline::PipelineError::from)?;
    let last = page
        .items
        .last()
        .map(|batch| cursor::encode_batch(batch.id));
    Ok(Json(BatchList {
        next_cursor: last.filter(|_| page.more),
        data: page
            .items
            .into_iter()
            .filter(|batch| !batch.deleting)
            .map(BatchSummary::from)
            .collect(),
    }))
}

/// Shows a batch and how far it is.
#[utoipa::path(
    get,
    path = "/api/v1/batches/{id}",
    tag = "batches",
    params(super::BatchPath),
    responses((status = 200, description = "The batch.", body = BatchDetail), Problems)
)]
pub(crate) async fn detail(
    State(state): State<ApiState>,
    Extension(owner): Extension<Owner>,
    Path(id): Path<String>,
) -> Result<Json<BatchDetail>, Problem> {
    let batch = own_batch(&state, &owner, &id).await?;
    let found = pipeline::progress::progress(&state.ports, batch.id).await?;
    let (batch, progress) = found.ok_or_else(Problem::no_such_batch)?;
    Ok(Json(BatchDetail {
        options: batch.options.clone(),
        report_ready: batch.report_ready,
        summary: batch.into(),
        progress,
    }))
}

/// Starts a batch that was handed in with `auto_start=false`.
#[utoipa::path(
    post,
    path = "/api/v1/batches/{id}/start",
    tag = "batches",
    params(super::BatchPath),
    responses((status = 200, description = "The batch.", body = BatchSummary), Problems)
)]
pub(crate) async fn start(
    State(state): State<ApiState>,
    Extension(owner): Extension<Owner>,
    Path(id): Path<String>,
) -> Result<Json<BatchSummary>, Problem> {
    let batch = own_batch(&state, &owner, &id).await?;
    if batch.awaits_list {
        return Err(Problem::conflict("The list is not uploaded yet."));
    }
    match pipeline::accept::start(&state.ports, batch.id).await? {
        Advance::Moved => Ok(Json(own_batch(&state, &owner, &id).await?.into())),
        Advance::Stays(status) => {
            let detail = format!("The batch is {status}; only one that is PENDING can be started.");
            Err(Problem::conflict(detail))
        }
        Advance::Missing => Err(Problem::no_such_batch()),
    }
}

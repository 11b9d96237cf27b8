//! Batches: listed, looked at, started.

use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use domain::ports::{Advance, BatchQuery};
use domain::{Batch, BatchId, BatchOptions, BatchStatus};
use jiff::Timestamp;
use pipeline::progress::Progress;
use serde::{Deserialize, Serialize};

use crate::auth::Owner;
use crate::routes::own_batch;
use crate::{ApiState, Problem, cursor};

const DEFAULT_PAGE: usize = 50;
const MAX_PAGE: usize = 200;

/// A batch in a listing.
#[derive(Debug, Serialize)]
pub(crate) struct BatchSummary {
    batch_id: BatchId,
    name: String,
    status: BatchStatus,
    failure: Option<String>,
    max_concurrency: Option<u32>,
    retries: u32,
    list: ListSummary,
    timestamps: Timestamps,
}

#[derive(Debug, Serialize)]
struct ListSummary {
    name: String,
    /// `None` while the list is awaited.
    bytes: Option<u64>,
    /// `None` while the list is awaited, and of one that did not pass through the API.
    sha256: Option<String>,
}

#[derive(Debug, Serialize)]
#[expect(
    clippy::struct_field_names,
    reason = "they are the names in the answer"
)]
struct Timestamps {
    created_at: Timestamp,
    updated_at: Timestamp,
    started_at: Option<Timestamp>,
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
#[derive(Debug, Serialize)]
pub(crate) struct BatchDetail {
    #[serde(flatten)]
    summary: BatchSummary,
    progress: Progress,
    options: BatchOptions,
    report_ready: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ListQuery {
    status: Option<String>,
    cursor: Option<String>,
    limit: Option<usize>,
}

#[derive(Debug, Serialize)]
pub(crate) struct BatchList {
    data: Vec<BatchSummary>,
    next_cursor: Option<String>,
}

/// `GET /api/v1/batches`: the caller's batches, newest first.
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
        limit: query.limit.unwrap_or(DEFAULT_PAGE).clamp(1, MAX_PAGE),
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

/// `GET /api/v1/batches/{id}`.
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

/// `POST /api/v1/batches/{id}/start`: for batches handed in with `auto_start=false`.
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

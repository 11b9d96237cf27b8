//! `POST /api/v1/batches`: a batch whose list is handed in at an address of its own.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as Answer};
use domain::ports::MAX_PRESIGNED_BYTES;
use domain::{BatchId, BatchOptions, BatchStatus};
use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use pipeline::PipelineError;
use pipeline::accept::{self, NewBatch};
use pipeline::idempotency::{Once, await_list_once};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::idempotency_key;
use super::upload::{check_options, shortened};
use crate::auth::Owner;
use crate::extract::{Json, of_value};
use crate::openapi::Problems;
use crate::{ApiState, Problem};

/// What is asked for. The list's name tells its format, as that of a file would.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BatchWanted)]
pub(crate) struct Wanted {
    /// File name of the list; its ending tells the format.
    #[schema(min_length = 1, pattern = "[^\\x00-\\x1f\\x7f-\\x9f]")]
    list_name: String,
    /// What to call the batch; the list's name when unset.
    name: Option<String>,
    /// What to do with it.
    #[serde(default)]
    #[schema(value_type = BatchOptions)]
    options: Map<String, Value>,
    /// Whether it starts once its list is there.
    #[serde(default = "yes")]
    auto_start: bool,
}

const fn yes() -> bool {
    true
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchCreated)]
struct Created {
    #[schema(value_type = String)]
    batch_id: BatchId,
    name: String,
    status: BatchStatus,
    status_url: String,
    upload: Upload,
}

/// The request that hands the list in: its body is the list as it is, and it needs no token.
#[derive(Debug, Serialize, ToSchema)]
struct Upload {
    method: &'static str,
    url: String,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    max_bytes: u64,
}

/// Creates a batch and answers with the address to put its list at. The batch starts once its list is there, unless `auto_start` is false.
#[utoipa::path(
    post,
    path = "/api/v1/batches",
    tag = "batches",
    params(super::IdempotencyHeader),
    request_body = Wanted,
    responses((status = 201, description = "The batch, and where to put its list.", body = Created), Problems)
)]
pub(crate) async fn create(
    State(state): State<ApiState>,
    Extension(owner): Extension<Owner>,
    headers: HeaderMap,
    Json(wanted): Json<Wanted>,
) -> Result<Response, Problem> {
    let key = idempotency_key(&headers)?;
    let options: BatchOptions = of_value(Value::Object(wanted.options))?;
    check_options(&state, &owner, &options).await?;
    let list_name = shortened(&wanted.list_name);
    if list_name.is_empty() {
        return Err(Problem::bad_request("`list_name` is empty."));
    }
    let name = wanted.name.as_deref().map(shortened);
    let request = NewBatch {
        name: name
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| list_name.clone()),
        owner: owner.0,
        list_name,
        options,
    };
    let (ports, auto_start) = (&state.ports, wanted.auto_start);
    let batch = match key {
        None => accept::await_list(ports, request, auto_start).await?,
        Some(key) => match await_list_once(ports, &key, request, auto_start).await? {
            Once::Batch(batch) => *batch,
            Once::Taken => return Err(Problem::key_reused()),
            Once::Spent => return Err(Problem::key_spent()),
        },
    };
    let upload = state.uploads.upload_url(batch.id).await;
    let upload = upload.map_err(PipelineError::from)?;
    let status_url = format!("/api/v1/batches/{}", batch.id);
    let created = Created {
        batch_id: batch.id,
        name: batch.name,
        status: batch.status,
        status_url: status_url.clone(),
        upload: Upload {
            method: "PUT",
            url: upload.url,
            expires_at: upload.expires_at,
            max_bytes: MAX_PRESIGNED_BYTES,
        },
    };
    let headers = [(header::LOCATION, status_url)];
    Ok((StatusCode::CREATED, headers, Answer(created)).into_response())
}

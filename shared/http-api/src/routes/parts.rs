//! A long list in parts: each has an address of its own, and whatever breaks off, only the parts that are missing are sent again.

use axum::Extension;
use axum::extract::State;
use domain::ports::{MAX_PARTS, MAX_PRESIGNED_BYTES, StoredPart};
use domain::{Batch, BatchId, BatchStatus};
use jiff::Timestamp;
use pipeline::PipelineError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::auth::Owner;
use crate::extract::{Json, Path};
use crate::openapi::Problems;
use crate::routes::own_batch;
use crate::{ApiState, Problem};

/// Addresses handed out at once: by the time that the last is used, the first may have ended.
const ADDRESSES: usize = 16;

/// How long the list is: that says where its parts begin and end.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PartsWanted)]
pub(crate) struct Wanted {
    /// Length of the whole list.
    #[schema(minimum = 1, maximum = 5_368_709_120_i64)]
    bytes: u64,
}

/// How far the list has come, and where its next parts go.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ListParts)]
pub(crate) struct Parts {
    /// Length of every part but the last.
    part_bytes: u64,
    /// How many there are.
    count: u32,
    /// Bytes of the parts that are there.
    bytes_there: u64,
    /// Of the parts that are missing the first, each with its address; none once all are there.
    missing: Vec<MissingPart>,
}

/// A part that is not there, and the PUT that puts it there: its body is that part of the list, and it needs no token.
#[derive(Debug, Serialize, ToSchema)]
struct MissingPart {
    number: u32,
    /// Where it begins in the list.
    offset: u64,
    bytes: u64,
    url: String,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// A batch that has its list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ListTaken)]
pub(crate) struct Taken {
    #[schema(value_type = String)]
    batch_id: BatchId,
    /// As it was when the last part was there; it starts by itself.
    status: BatchStatus,
}

/// How a list of some length is cut.
struct Cut {
    bytes: u64,
    part_bytes: u64,
}

impl Cut {
    fn of(state: &ApiState, wanted: &Wanted) -> Result<Self, Problem> {
        if wanted.bytes == 0 {
            return Err(Problem::bad_request("`bytes` is 0: there is no list."));
        }
        if wanted.bytes > MAX_PRESIGNED_BYTES {
            return Err(Problem::list_too_large(MAX_PRESIGNED_BYTES));
        }
        let least = wanted.bytes.div_ceil(u64::from(MAX_PARTS));
        Ok(Self {
            bytes: wanted.bytes,
            part_bytes: state.settings.part_bytes.max(least),
        })
    }

    const fn parts(&self) -> u32 {
        self.bytes.div_ceil(self.part_bytes) as u32
    }

    fn offset(&self, number: u32) -> u64 {
        u64::from(number - 1) * self.part_bytes
    }

    fn length(&self, number: u32) -> u64 {
        self.part_bytes.min(self.bytes - self.offset(number))
    }

    /// The parts that are not there, ascending; one of another length is not.
    fn missing(&self, there: &[StoredPart]) -> impl Iterator<Item = u32> {
        (1..=self.parts()).filter(|number| {
            let bytes = self.length(*number);
            !there
                .iter()
                .any(|part| part.number == *number && part.bytes == bytes)
        })
    }
}

async fn waiting_batch(state: &ApiState, owner: &Owner, id: &str) -> Result<Batch, Problem> {
    let batch = own_batch(state, owner, id).await?;
    if batch.status == BatchStatus::Pending && batch.awaits_list {
        return Ok(batch);
    }
    Err(Problem::conflict("The batch awaits no list."))
}

/// Answers with the parts of a list that are missing, and where to put the next of them. Asked again after an interruption, it says where
/// to go on.
#[utoipa::path(
    post,
    path = "/api/v1/batches/{id}/parts",
    tag = "batches",
    params(super::BatchPath),
    request_body = Wanted,
    responses((status = 200, description = "What is missing.", body = Parts), Problems)
)]
pub(crate) async fn missing(
    State(state): State<ApiState>,
    Extension(owner): Extension<Owner>,
    Path(id): Path<String>,
    Json(wanted): Json<Wanted>,
) -> Result<axum::Json<Parts>, Problem> {
    let batch = waiting_batch(&state, &owner, &id).await?;
    let cut = Cut::of(&state, &wanted)?;
    let there = state.uploads.parts(batch.id, true).await;
    let there = there.map_err(PipelineError::from)?;
    let mut missing = Vec::new();
    for number in cut.missing(&there).take(ADDRESSES) {
        let bytes = cut.length(number);
        let address = state.uploads.part_url(batch.id, number, bytes).await;
        let Some(address) = address.map_err(PipelineError::from)? else {
            return Err(Problem::conflict("The parts are already put together."));
        };
        missing.push(MissingPart {
            number,
            offset: cut.offset(number),
            bytes,
            url: address.url,
            expires_at: address.expires_at,
        });
    }
    let lost: u64 = cut.missing(&there).map(|number| cut.length(number)).sum();
    Ok(axum::Json(Parts {
        part_bytes: cut.part_bytes,
        count: cut.parts(),
        bytes_there: cut.bytes - lost,
        missing,
    }))
}

/// Puts the parts of a list together once all are there. The batch starts, unless `auto_start` is false.
#[utoipa::path(
    post,
    path = "/api/v1/batches/{id}/parts/complete",
    tag = "batches",
    params(super::BatchPath),
    request_body = Wanted,
    responses((status = 200, description = "The list is there.", body = Taken), Problems)
)]
pub(crate) async fn complete(
    State(state): State<ApiState>,
    Extension(owner): Extension<Owner>,
    Path(id): Path<String>,
    Json(wanted): Json<Wanted>,
) -> Result<axum::Json<Taken>, Problem> {
    let batch = waiting_batch(&state, &owner, &id).await?;
    let cut = Cut::of(&state, &wanted)?;
    let there = state.uploads.parts(batch.id, false).await;
    let there = there.map_err(PipelineError::from)?;
    let missing = cut.missing(&there).count();
    if missing > 0 || there.len() > cut.parts() as usize {
        let parts = cut.parts();
        let detail = if missing > 0 {
            format!("{missing} of the {parts} parts are missing.")
        } else {
            "There are parts of a longer list.".to_owned()
        };
        return Err(Problem::conflict(detail));
    }
    let together = state.uploads.put_together(batch.id).await;
    together.map_err(PipelineError::from)?;
    let batch = own_batch(&state, &owner, &id).await?;
    Ok(axum::Json(Taken {
        batch_id: batch.id,
        status: batch.status,
    }))
}

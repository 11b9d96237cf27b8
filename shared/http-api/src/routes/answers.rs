//! Answers worth keeping, of a model about images.

use std::time::Duration;

use axum::Json as Answer;
use axum::extract::State;
use domain::ports::Invalidation;
use jiff::Timestamp;
use pipeline::PipelineError;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::extract::Json;
use crate::openapi::Problems;
use crate::{ApiState, Problem};

/// Longer than any answer is kept.
const LONGEST: Duration = Duration::from_secs(366 * 4 * 86_400);
/// Longest pattern, in bytes.
const MAX_PATTERN: usize = 200;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = InvalidationWanted)]
pub(crate) struct Wanted {
    /// Keys, `V#<SHA-256>#<question>`, of the answers that are to count for nothing; `*` stands for any characters.
    #[schema(min_length = 1, max_length = 200)]
    invalidate: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Invalidated {
    /// What was asked for.
    pattern: String,
    /// Answers worked out at this time or before count for nothing.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

/// Has answers worked out, and paid, again. Processes under way know it within a minute. For administrators.
#[utoipa::path(
    post,
    path = "/api/v1/system/cache",
    tag = "system",
    request_body = Wanted,
    responses((status = 200, description = "What counts for nothing.", body = Invalidated), Problems)
)]
pub(crate) async fn invalidate(
    State(state): State<ApiState>,
    Json(wanted): Json<Wanted>,
) -> Result<Answer<Invalidated>, Problem> {
    let pattern = wanted.invalidate;
    if pattern.is_empty() || pattern.len() > MAX_PATTERN {
        let detail = format!("`invalidate` is a pattern of 1 to {MAX_PATTERN} bytes.");
        return Err(Problem::bad_request(detail));
    }
    let now = state.ports.clock.now();
    // Stores keep no finer times.
    let at = Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now);
    let rule = Invalidation {
        pattern,
        at,
        expires_at: at + LONGEST,
    };
    let kept = state.answers.invalidate(&rule).await;
    kept.map_err(PipelineError::from)?;
    Ok(Answer(Invalidated {
        pattern: rule.pattern,
        at,
    }))
}

//! Whether new work is begun, in the whole system.

use axum::Json as Answer;
use axum::extract::State;
use domain::ports::Intake;
use jiff::Timestamp;
use pipeline::{PipelineError, intake};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::extract::Json;
use crate::openapi::Problems;
use crate::{ApiState, Problem};

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IntakeState {
    /// Whether batches and chunks that are not begun have to wait.
    paused: bool,
    /// When it was last paused or resumed.
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
}

impl From<Intake> for IntakeState {
    fn from(intake: Intake) -> Self {
        Self {
            paused: intake.is_paused,
            since: intake.since,
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = IntakeWanted)]
pub(crate) struct Wanted {
    /// Whether new work has to wait.
    paused: bool,
}

/// Says whether new work is begun.
#[utoipa::path(
    get,
    path = "/api/v1/system/intake",
    tag = "system",
    responses((status = 200, description = "Whether it is.", body = IntakeState), Problems)
)]
pub(crate) async fn read(State(state): State<ApiState>) -> Result<Answer<IntakeState>, Problem> {
    let intake = state.ports.store.intake().await;
    Ok(Answer(intake.map_err(PipelineError::from)?.into()))
}

/// Holds all new work, or lets it go on: while it is held, lists are taken in and wait; no split and no chunk is begun. For administrators.
#[utoipa::path(
    post,
    path = "/api/v1/system/intake",
    tag = "system",
    request_body = Wanted,
    responses((status = 200, description = "Whether new work is begun.", body = IntakeState), Problems)
)]
pub(crate) async fn set(
    State(state): State<ApiState>,
    Json(wanted): Json<Wanted>,
) -> Result<Answer<IntakeState>, Problem> {
    let intake = intake::set_paused(&state.ports, wanted.paused).await?;
    Ok(Answer(intake.into()))
}

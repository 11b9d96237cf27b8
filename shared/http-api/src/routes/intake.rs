//! Whether new work is begun, in the whole system.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use domain::ports::Intake;
use jiff::Timestamp;
use pipeline::{PipelineError, intake};
use serde::{Deserialize, Serialize};

use crate::{ApiState, Problem};

#[derive(Debug, Serialize)]
pub(crate) struct IntakeState {
    paused: bool,
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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    paused: bool,
}

/// `GET /api/v1/system/intake`.
pub(crate) async fn read(State(state): State<ApiState>) -> Result<Json<IntakeState>, Problem> {
    let intake = state.ports.store.intake().await;
    Ok(Json(intake.map_err(PipelineError::from)?.into()))
}

/// `POST /api/v1/system/intake`: while it is paused, lists are taken in and wait; no split and no chunk is begun.
pub(crate) async fn set(
    State(state): State<ApiState>,
    wanted: Result<Json<Wanted>, JsonRejection>,
) -> Result<Json<IntakeState>, Problem> {
    let Json(wanted) = wanted.map_err(|error| Problem::bad_request(error.body_text()))?;
    let intake = intake::set_paused(&state.ports, wanted.paused).await?;
    Ok(Json(intake.into()))
}

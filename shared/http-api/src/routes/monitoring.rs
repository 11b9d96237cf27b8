//! What operators see: made from the indicators of the last hours, the same on AWS and on one machine.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use domain::Scope;
use http::header;
use monitoring::bottlenecks::Bottlenecks;
use monitoring::exposition::{self, Totals};
use monitoring::kpi::Board;
use monitoring::performance::{Baseline, Performance};
use monitoring::resources::{Cache, Database, System};
use monitoring::slo::Objectives;
use pipeline::observe;

use crate::auth::Caller;
use crate::openapi::Problems;
use crate::{ApiState, Problem};

async fn observed(state: &ApiState) -> Result<monitoring::Observations, Problem> {
    Ok(observe::observe(&state.ports, state.monitoring.as_ref()).await?)
}

/// Rates and latencies, now and over the last hour, beside their baseline.
#[utoipa::path(
    get,
    path = "/api/v1/monitoring/performance",
    tag = "monitoring",
    responses((status = 200, description = "Rates and latencies.", body = Performance), Problems)
)]
pub(crate) async fn performance(
    State(state): State<ApiState>,
) -> Result<Json<Performance>, Problem> {
    let observed = observed(&state).await?;
    Ok(Json(monitoring::performance::performance(&observed)))
}

/// Processors, memory, workers, limits; advice to scale.
#[utoipa::path(
    get,
    path = "/api/v1/monitoring/system",
    tag = "monitoring",
    responses((status = 200, description = "Resources.", body = System), Problems)
)]
pub(crate) async fn system(State(state): State<ApiState>) -> Result<Json<System>, Problem> {
    let observed = observed(&state).await?;
    let limits = state.settings.limits;
    Ok(Json(monitoring::resources::system(&observed, limits)))
}

/// Calls to the database.
#[utoipa::path(
    get,
    path = "/api/v1/monitoring/database",
    tag = "monitoring",
    responses((status = 200, description = "Calls to the database.", body = Database), Problems)
)]
pub(crate) async fn database(State(state): State<ApiState>) -> Result<Json<Database>, Problem> {
    let observed = observed(&state).await?;
    Ok(Json(monitoring::resources::database(&observed)))
}

/// What caches answered, and what that saved.
#[utoipa::path(
    get,
    path = "/api/v1/monitoring/cache",
    tag = "monitoring",
    responses((status = 200, description = "Caches.", body = Cache), Problems)
)]
pub(crate) async fn cache(State(state): State<ApiState>) -> Result<Json<Cache>, Problem> {
    let observed = observed(&state).await?;
    Ok(Json(monitoring::resources::cache(&observed)))
}

/// What is in the way, the worst first, with evidence and what to do. Names of hosts are for administrators.
#[utoipa::path(
    get,
    path = "/api/v1/monitoring/bottlenecks",
    tag = "monitoring",
    responses((status = 200, description = "Bottlenecks.", body = Bottlenecks), Problems)
)]
pub(crate) async fn bottlenecks(
    State(state): State<ApiState>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Bottlenecks>, Problem> {
    let observed = observed(&state).await?;
    let names_hosts = caller.scope == Scope::Admin;
    Ok(Json(monitoring::bottlenecks::bottlenecks(
        &observed,
        names_hosts,
    )))
}

/// Objectives: budget, actual value, how fast the budget burns, violations.
#[utoipa::path(
    get,
    path = "/api/v1/monitoring/slo",
    tag = "monitoring",
    responses((status = 200, description = "Objectives.", body = Objectives), Problems)
)]
pub(crate) async fn slo(State(state): State<ApiState>) -> Result<Json<Objectives>, Problem> {
    let observed = observed(&state).await?;
    Ok(Json(monitoring::slo::objectives(&observed)))
}

/// Indicators with target, critical value and colour, and the last hour minute by minute.
#[utoipa::path(
    get,
    path = "/api/v1/monitoring/dashboard/kpi",
    tag = "monitoring",
    responses((status = 200, description = "The board.", body = Board), Problems)
)]
pub(crate) async fn board(State(state): State<ApiState>) -> Result<Json<Board>, Problem> {
    let observed = observed(&state).await?;
    Ok(Json(monitoring::kpi::board(&observed)))
}

/// Saves the figures of the last hour, for `performance` to compare with from now on. For administrators.
#[utoipa::path(
    post,
    path = "/api/v1/monitoring/baseline",
    tag = "monitoring",
    responses((status = 200, description = "The baseline.", body = Baseline), Problems)
)]
pub(crate) async fn save_baseline(
    State(state): State<ApiState>,
) -> Result<Json<Baseline>, Problem> {
    let saved = observe::save_baseline(&state.ports, state.monitoring.as_ref()).await?;
    saved.map(Json).ok_or_else(Problem::nothing_to_compare)
}

/// Everything that this process counted since it started, for Prometheus. Only where one process does everything.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "monitoring",
    responses((status = 200, description = "Metrics.", body = String, content_type = "text/plain; version=0.0.4; charset=utf-8"), Problems)
)]
pub(crate) async fn metrics(State(state): State<ApiState>) -> Result<Response, Problem> {
    let (sum, last) = state.recorder.totals();
    let totals = Totals {
        sum,
        last,
        repairs: state.recorder.repairs(),
        queues: observe::queues(&state.ports).await?,
    };
    let content_type = [(header::CONTENT_TYPE, exposition::CONTENT_TYPE)];
    Ok((content_type, exposition::text(&totals)).into_response())
}

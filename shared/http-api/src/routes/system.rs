//! How the system is.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use domain::ports::Queue;
use domain::{Counters, Minute};
use pipeline::PipelineError;
use serde::Serialize;
use utoipa::ToSchema;

use crate::openapi::Problems;
use crate::{ApiState, Problem};

/// Minutes that the recent figures cover.
const RECENT_MINUTES: i64 = 60;

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    status: &'static str,
}

/// Says that the process answers.
#[utoipa::path(
    get,
    path = "/health",
    tag = "system",
    security(()),
    responses((status = 200, description = "It does.", body = Health))
)]
pub(crate) async fn health() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Says that the queues and the store answer, too.
#[utoipa::path(
    get,
    path = "/ready",
    tag = "system",
    security(()),
    responses((status = 200, description = "It does.", body = Health), Problems)
)]
pub(crate) async fn ready(State(state): State<ApiState>) -> Result<Json<Health>, Problem> {
    let depth = state.ports.queue.depth(Queue::Chunks);
    // The intake's state is one row that every request for work reads.
    let intake = state.ports.store.intake();
    let (depth, intake) = futures::join!(depth, intake);
    depth.map_err(PipelineError::from)?;
    intake.map_err(PipelineError::from)?;
    Ok(Json(Health { status: "ready" }))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Stats {
    data: StatsData,
}

#[derive(Debug, Serialize, ToSchema)]
struct StatsData {
    queue_stats: QueueStats,
    last_hour: LastHour,
}

/// Messages that wait, are worked on or were given up.
#[derive(Debug, Default, Serialize, ToSchema)]
struct QueueStats {
    pending: u64,
    processing: u64,
    dead_letters: u64,
    total: u64,
    by_queue: BTreeMap<&'static str, QueueFigures>,
}

#[derive(Debug, Serialize, ToSchema)]
struct QueueFigures {
    pending: u64,
    delayed: u64,
    processing: u64,
    dead_letters: u64,
}

/// Rows that ended within the last hour.
#[derive(Debug, Serialize, ToSchema)]
struct LastHour {
    completed: u64,
    ok: u64,
    failed: u64,
    bytes: u64,
    attempts: u64,
    urls_per_minute: f64,
    p50_ms: Option<f64>,
    p95_ms: Option<f64>,
    p99_ms: Option<f64>,
}

/// Shows what lies in the queues, and the last hour.
#[utoipa::path(
    get,
    path = "/api/v1/system/stats",
    tag = "system",
    responses((status = 200, description = "Queues and rates.", body = Stats), Problems)
)]
pub(crate) async fn stats(State(state): State<ApiState>) -> Result<Json<Stats>, Problem> {
    let mut queue_stats = QueueStats::default();
    for queue in Queue::ALL {
        let depth = state.ports.queue.depth(*queue).await;
        let depth = depth.map_err(PipelineError::from)?;
        let pending = depth.visible + depth.delayed;
        queue_stats.pending += pending;
        queue_stats.processing += depth.in_flight;
        queue_stats.dead_letters += depth.dead;
        queue_stats.total += pending + depth.in_flight + depth.dead;
        let figures = QueueFigures {
            pending,
            delayed: depth.delayed,
            processing: depth.in_flight,
            dead_letters: depth.dead,
        };
        queue_stats.by_queue.insert(queue.as_str(), figures);
    }
    let last_hour = last_hour(&state).await?;
    Ok(Json(Stats {
        data: StatsData {
            queue_stats,
            last_hour,
        },
    }))
}

async fn last_hour(state: &ApiState) -> Result<LastHour, PipelineError> {
    let now = Minute::of(state.ports.clock.now());
    let from = Minute(now.0 - RECENT_MINUTES + 1);
    let minutes = state.ports.store.kpis(from, now).await?;
    let active_minutes = minutes.len().max(1) as f64;
    let mut counters = Counters::default();
    let mut latency = domain::LatencyHistogram::default();
    for (_, delta) in &minutes {
        counters += &delta.counters;
        latency += &delta.latency;
    }
    Ok(LastHour {
        completed: counters.rows,
        ok: counters.ok(),
        failed: counters.failed(),
        bytes: counters.bytes,
        attempts: counters.attempts,
        urls_per_minute: counters.rows as f64 / active_minutes,
        p50_ms: latency.quantile(0.5),
        p95_ms: latency.quantile(0.95),
        p99_ms: latency.quantile(0.99),
    })
}

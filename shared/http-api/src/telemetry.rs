//! One span and one line a request, with its id; what it took goes to the recorder.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use domain::Minute;
use http::StatusCode;
use pipeline::recorder::SLOW;
use tracing::Instrument;
use tracing::field::Empty;

use crate::ApiState;

/// Load balancers ask these all the time: not counted.
const NOT_COUNTED: &[&str] = &["/health", "/ready"];

/// Runs the request in a span and records how it ended. Paths are those of the routes, never what was asked: identities and cursors stay out
/// of the log.
pub(crate) async fn record(
    State(state): State<ApiState>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("(none)", MatchedPath::as_str).to_owned();
    let request_id = request
        .headers()
        .get("x-request-id")
        .and_then(|id| id.to_str().ok())
        .unwrap_or_default();
    let span = tracing::info_span!(
        "request",
        request_id,
        method = %request.method(),
        route,
        token = Empty,
    );
    let response = next.run(request).instrument(span.clone()).await;
    let elapsed = started.elapsed();
    let status = response.status();
    let elapsed_ms = elapsed.as_millis() as u64;
    span.in_scope(|| {
        if elapsed > SLOW {
            tracing::warn!(status = status.as_u16(), elapsed_ms, "slow operation");
        } else {
            tracing::debug!(status = status.as_u16(), elapsed_ms, "answered");
        }
    });
    if NOT_COUNTED.contains(&route.as_str()) {
        return response;
    }
    let is_throttled = status == StatusCode::TOO_MANY_REQUESTS;
    state
        .recorder
        .api(elapsed, status.is_server_error(), is_throttled);
    if state.settings.flushes {
        flush_once_a_minute(&state).instrument(span).await;
    }
    response
}

/// A function is frozen between requests, so its counts go out with a request: the first of every minute.
async fn flush_once_a_minute(state: &ApiState) {
    let minute = Minute::of(state.ports.clock.now()).0;
    if !state.recorder.is_first_of(minute) {
        return;
    }
    let flushed = state
        .recorder
        .flush(&state.ports, state.monitoring.as_ref())
        .await;
    if let Err(error) = flushed {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "counts not stored yet"
        );
    }
}

//! Event → route → response.

use axum::Router;

use crate::context::Context;

/// The routes that lists come in by: `lambda_http` makes a request of an event, and of the response its answer.
pub(crate) fn router(context: Context) -> Router {
    http_api::intake_router(context.state)
}

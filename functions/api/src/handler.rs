//! Event → route → response.

use axum::Router;

use crate::context::Context;

/// Every route of the API: `lambda_http` makes a request of an event, and of the response its answer.
pub(crate) fn router(context: Context) -> Router {
    http_api::router(context.state)
}

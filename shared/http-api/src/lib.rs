//! The HTTP API: one router, served by the functions and by `imgsweep serve`.
//!
//! Every route but `/health` and `/ready` needs a bearer token. Errors are RFC 9457 problem details.

mod auth;
mod cursor;
mod local_uploads;
mod problem;
mod routes;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use domain::ports::UploadUrls;
use http::{HeaderName, HeaderValue};
use pipeline::Ports;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::trace::TraceLayer;

pub use auth::{InvalidTokens, Token, TokenSource, Tokens};
pub use local_uploads::LocalUploads;
pub use problem::Problem;

/// Bodies shorter than this are not worth compressing, in bytes.
const MIN_COMPRESSED_BYTES: u64 = 1_000;
/// Longest JSON document that a route takes.
const MAX_JSON_BYTES: usize = 16 * 1024;

/// What the routes need.
#[derive(Clone)]
pub struct ApiState {
    /// Everything outside the process.
    pub ports: Ports,
    /// Who may ask.
    pub tokens: Arc<dyn TokenSource>,
    /// Hands out addresses for lists that are too large for one request.
    pub uploads: Arc<dyn UploadUrls>,
    /// Longest list accepted in one request, in bytes.
    pub max_upload_bytes: u64,
}

/// The router with every route of the API.
pub fn router(state: ApiState) -> Router {
    let protected = Router::new()
        .route("/upload", post(routes::upload::upload))
        .route(
            "/api/v1/batches",
            get(routes::batches::list)
                .post(routes::presigned::create)
                .layer(DefaultBodyLimit::max(MAX_JSON_BYTES)),
        )
        .route(
            "/api/v1/batches/{id}",
            get(routes::batches::detail)
                .patch(routes::control::change)
                .delete(routes::control::delete)
                .layer(DefaultBodyLimit::max(MAX_JSON_BYTES)),
        )
        .route("/api/v1/batches/{id}/start", post(routes::batches::start))
        .route("/api/v1/batches/{id}/cancel", post(routes::control::cancel))
        .route(
            "/api/v1/batches/{id}/retry",
            post(routes::control::retry).layer(DefaultBodyLimit::max(MAX_JSON_BYTES)),
        )
        .route(
            "/api/v1/batches/{id}/results",
            get(routes::results::results),
        )
        .route("/api/v1/batches/{id}/report", get(routes::results::report))
        .route("/api/v1/system/stats", get(routes::system::stats))
        .route(
            "/api/v1/system/intake",
            get(routes::intake::read)
                .post(routes::intake::set)
                .layer(DefaultBodyLimit::max(MAX_JSON_BYTES)),
        )
        .route_layer(axum::middleware::from_fn_with_state(
            state.clone(),
            auth::require_token,
        ));
    let request_id = HeaderName::from_static("x-request-id");
    Router::new()
        .route("/health", get(routes::system::health))
        .route("/ready", get(routes::system::ready))
        .merge(protected)
        .fallback(routes::not_found)
        .method_not_allowed_fallback(routes::method_not_allowed)
        // The upload route enforces its own limit while it streams; routes that take JSON have theirs.
        .layer(DefaultBodyLimit::disable())
        .layer(CompressionLayer::new().compress_when(SizeAbove::new(MIN_COMPRESSED_BYTES)))
        .layer(SetResponseHeaderLayer::overriding(
            http::header::CACHE_CONTROL,
            HeaderValue::from_static("no-store"),
        ))
        .layer(SetResponseHeaderLayer::overriding(
            http::header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ))
        .layer(PropagateRequestIdLayer::new(request_id.clone()))
        .layer(TraceLayer::new_for_http())
        .layer(SetRequestIdLayer::new(request_id, MakeRequestUuid))
        .with_state(state)
}

//! The HTTP API and its page: one router, served by the functions and by `imgsweep serve`.
//!
//! Every route but `/health`, `/ready`, `/openapi.json` and the files of the page needs a bearer token. Errors are RFC 9457 problem
//! details. [`openapi`] is the description, made of the handlers themselves when it is first asked for.

mod auth;
mod cursor;
mod extract;
mod local_uploads;
mod openapi;
mod page;
mod problem;
mod routes;
mod telemetry;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::response::IntoResponse;
use axum::routing::{delete, get, post, put};
use domain::ports::{AccessStore, CacheStore, DownloadUrls, MonitoringStore, UploadUrls};
use http::{HeaderName, HeaderValue, Method, header};
use monitoring::resources::Limits;
use pipeline::Ports;
use pipeline::export::{ExportError, TableCheck, TableExporter, TableRequest};
use pipeline::recorder::Recorder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::set_header::SetResponseHeaderLayer;

pub use auth::{
    InvalidTokens, KnownTokens, QuotaSettings, Quotas, Token, TokenSource, Tokens, new_secret,
};
pub use local_uploads::LocalUploads;
pub use openapi::document as openapi;
pub use problem::Problem;

/// Bodies shorter than this are not worth compressing, in bytes.
const MIN_COMPRESSED_BYTES: u64 = 1_000;
/// Longest JSON document that a route takes.
const MAX_JSON_BYTES: usize = 16 * 1024;
/// Longest JSON document that creates a batch: it may carry rule packs of its own.
const MAX_BATCH_JSON_BYTES: usize = 128 * 1024;
/// Longest beginning of a list that is looked at for a preview.
const MAX_PREVIEW_BYTES: usize = 1024 * 1024;
/// Length of a part of a list: two minutes at 1 Mbit/s, and 320 parts of the longest list. Amazon S3 takes no less than 5 MiB.
const PART_BYTES: u64 = 16 * 1024 * 1024;
/// How long a token of the store is kept in memory, unless said otherwise.
const TOKENS_KEPT_FOR: Duration = Duration::from_secs(2);

/// What the routes need.
#[derive(Clone)]
pub struct ApiState {
    /// Everything outside the process.
    pub ports: Ports,
    /// Who may ask from the start, and do everything.
    pub tokens: Arc<dyn TokenSource>,
    /// Who else may ask.
    pub access: Arc<dyn AccessStore>,
    /// Answers of a model that are worth keeping.
    pub answers: Arc<dyn CacheStore>,
    /// What operators see.
    pub monitoring: Arc<dyn MonitoringStore>,
    /// What this process counts.
    pub recorder: Arc<Recorder>,
    /// Hands out addresses for lists that are too large for one request.
    pub uploads: Arc<dyn UploadUrls>,
    /// Where result tables come from; where there is nothing, there is no export.
    pub tables: Option<TableSource>,
    /// Longest list accepted in one request, in bytes.
    pub max_upload_bytes: u64,
    /// Everything that can be set.
    pub settings: Arc<ApiSettings>,
}

/// Where result tables come from.
#[derive(Clone)]
pub enum TableSource {
    /// They are written into the answer.
    Here(Arc<dyn TableExporter>),
    /// They are ordered, and fetched from another place: an answer of a function is short, and so is its time.
    Elsewhere(TableCheck, Arc<dyn DownloadUrls>),
}

impl TableSource {
    /// As [`TableCheck`].
    pub(crate) fn check(&self, request: &TableRequest) -> Result<(), ExportError> {
        match self {
            Self::Here(exporter) => exporter.check(request),
            Self::Elsewhere(check, _) => check(request),
        }
    }
}

/// What a server has to say about images by a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VisionOffer {
    /// Whether it knows what calls cost: without, no budget would ever be reached.
    pub has_prices: bool,
}

/// What can be set about the API.
#[derive(Debug)]
pub struct ApiSettings {
    /// Origins whose pages may ask (CORS); none by default.
    pub allowed_origins: Vec<HeaderValue>,
    /// How often tokens may ask.
    pub quotas: Quotas,
    /// Tokens that were looked up.
    pub known_tokens: KnownTokens,
    /// What monitoring shows as limits.
    pub limits: Limits,
    /// Where lists are put that are too large for one request, if that is another origin than ours: `https://bucket.s3.amazonaws.com`.
    pub upload_origin: Option<String>,
    /// Length of a part of a list that comes in parts, in bytes.
    pub part_bytes: u64,
    /// Whether `/metrics` is there: where one process does everything.
    pub has_metrics: bool,
    /// Whether the address that a batch names is told of its end; where it is not, none may be named.
    pub has_webhooks: bool,
    /// What may be asked of a model about images; nothing where there is no model.
    pub vision: Option<VisionOffer>,
    /// Whether what is counted goes into the store with the requests, because nothing else puts it there.
    pub flushes: bool,
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            allowed_origins: Vec::new(),
            quotas: Quotas::default(),
            known_tokens: KnownTokens::kept_for(TOKENS_KEPT_FOR),
            limits: Limits::default(),
            upload_origin: None,
            part_bytes: PART_BYTES,
            has_metrics: false,
            has_webhooks: false,
            vision: None,
            flushes: false,
        }
    }
}

/// The routes that lists come in by. They need a token.
fn intake() -> Router<ApiState> {
    let json = || DefaultBodyLimit::max(MAX_JSON_BYTES);
    Router::new()
        .route("/upload", post(routes::upload::upload))
        .route(
            "/api/v1/batches",
            post(routes::presigned::create).layer(DefaultBodyLimit::max(MAX_BATCH_JSON_BYTES)),
        )
        .route(
            "/api/v1/batches/{id}/parts",
            post(routes::parts::missing).layer(json()),
        )
        .route(
            "/api/v1/batches/{id}/parts/complete",
            post(routes::parts::complete).layer(json()),
        )
}

/// All others that need a token.
fn control(state: &ApiState) -> Router<ApiState> {
    let json = || DefaultBodyLimit::max(MAX_JSON_BYTES);
    let routes = Router::new()
        .route("/api/v1/batches", get(routes::batches::list))
        .route(
            "/api/v1/batches/{id}",
            get(routes::batches::detail)
                .patch(routes::control::change)
                .delete(routes::control::delete)
                .layer(json()),
        )
        .route("/api/v1/batches/{id}/start", post(routes::batches::start))
        .route("/api/v1/batches/{id}/cancel", post(routes::control::cancel))
        .route(
            "/api/v1/batches/{id}/retry",
            post(routes::control::retry).layer(json()),
        )
        .route(
            "/api/v1/batches/{id}/results",
            get(routes::results::results),
        )
        .route("/api/v1/batches/{id}/report", get(routes::results::report))
        .route("/api/v1/batches/{id}/export", get(routes::export::export))
        .route(
            "/api/v1/lists/preview",
            post(routes::preview::preview).layer(DefaultBodyLimit::max(MAX_PREVIEW_BYTES)),
        )
        .route("/api/v1/system/stats", get(routes::system::stats))
        .route(
            "/api/v1/system/intake",
            get(routes::intake::read)
                .post(routes::intake::set)
                .layer(json()),
        )
        .route(
            "/api/v1/system/cache",
            post(routes::answers::invalidate).layer(json()),
        )
        .route(
            "/api/v1/monitoring/performance",
            get(routes::monitoring::performance),
        )
        .route("/api/v1/monitoring/system", get(routes::monitoring::system))
        .route(
            "/api/v1/monitoring/database",
            get(routes::monitoring::database),
        )
        .route("/api/v1/monitoring/cache", get(routes::monitoring::cache))
        .route(
            "/api/v1/monitoring/bottlenecks",
            get(routes::monitoring::bottlenecks),
        )
        .route("/api/v1/monitoring/slo", get(routes::monitoring::slo))
        .route(
            "/api/v1/monitoring/dashboard/kpi",
            get(routes::monitoring::board),
        )
        .route(
            "/api/v1/monitoring/baseline",
            post(routes::monitoring::save_baseline),
        )
        .route("/api/v1/token", get(routes::tokens::own))
        .route(
            "/api/v1/tokens",
            get(routes::tokens::list)
                .post(routes::tokens::create)
                .layer(json()),
        )
        .route("/api/v1/tokens/{name}", delete(routes::tokens::revoke));
    if state.settings.has_metrics {
        routes.route("/metrics", get(routes::monitoring::metrics))
    } else {
        routes
    }
}

/// The routes that need no token, beside those that tell whether the process is well.
fn open() -> Router<ApiState> {
    Router::new()
        .route("/openapi.json", get(openapi::serve))
        .route("/", get(page::index))
        .route("/assets/{name}", get(page::asset))
}

/// The routes that lists come in by and no others, for a process that is to be small.
pub fn intake_router(state: ApiState) -> Router {
    router_of(state, intake(), Router::new())
}

/// The router with every route of the API, and the page.
pub fn router(state: ApiState) -> Router {
    whole_router(state, Router::new())
}

/// The same, with the addresses at which `uploads` takes lists.
pub fn router_with_uploads(state: ApiState, uploads: &LocalUploads) -> Router {
    let routes = Router::new()
        .route("/uploads/{id}", put(local_uploads::take))
        .route("/uploads/{id}/{number}", put(local_uploads::take_part))
        .with_state(uploads.clone());
    whole_router(state, routes)
}

fn whole_router(state: ApiState, signed: Router<ApiState>) -> Router {
    let protected = intake().merge(control(&state));
    router_of(state, protected, open().merge(signed))
}

/// Routes that need a token, those that need none, and what all of them have in common.
fn router_of(state: ApiState, protected: Router<ApiState>, open: Router<ApiState>) -> Router {
    let protected = protected.route_layer(axum::middleware::from_fn_with_state(
        state.clone(),
        auth::require_token,
    ));
    let request_id = HeaderName::from_static("x-request-id");
    let router = Router::new()
        .route("/health", get(routes::system::health))
        .route("/ready", get(routes::system::ready))
        .merge(protected)
        .merge(open)
        .fallback(routes::not_found)
        .layer(axum::middleware::map_response(problem::of_refusal))
        // The upload route enforces its own limit while it streams; routes that take JSON have theirs.
        .layer(DefaultBodyLimit::disable())
        .layer(CompressionLayer::new().compress_when(SizeAbove::new(MIN_COMPRESSED_BYTES)))
        .layer(SetResponseHeaderLayer::if_not_present(
            header::CACHE_CONTROL,
            HeaderValue::from_static("no-store"),
        ))
        .layer(SetResponseHeaderLayer::overriding(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(PropagateRequestIdLayer::new(request_id.clone()))
        .layer(axum::middleware::from_fn_with_state(
            state.clone(),
            telemetry::record,
        ))
        .layer(SetRequestIdLayer::new(request_id.clone(), MakeRequestUuid));
    let origins = state.settings.allowed_origins.clone();
    let router = if origins.is_empty() {
        router
    } else {
        router.layer(cors(origins, request_id))
    };
    router.with_state(state)
}

fn cors(origins: Vec<HeaderValue>, request_id: HeaderName) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            HeaderName::from_static("idempotency-key"),
        ])
        .expose_headers([header::LOCATION, header::RETRY_AFTER, request_id])
        .max_age(Duration::from_secs(600))
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the layer hands the panic over by value"
)]
fn panicked(panic: Box<dyn std::any::Any + Send>) -> axum::response::Response {
    let said = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = said.unwrap_or("something"), "a handler panicked");
    Problem::internal().into_response()
}

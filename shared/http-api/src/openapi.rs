//! The description of the API (OpenAPI 3.1), made of the handlers when it is first asked for.

use std::sync::OnceLock;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use utoipa::openapi::response::{Response as Answer, ResponsesBuilder};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr};
use utoipa::{IntoResponses, Modify, OpenApi};

use crate::{ApiState, Problem, local_uploads, routes};

/// Anything that went wrong: problem details, whatever the status.
pub(crate) struct Problems;

impl IntoResponses for Problems {
    fn responses() -> std::collections::BTreeMap<String, RefOr<Answer>> {
        let problem = |description: &str| {
            let schema = Ref::from_schema_name("Problem");
            let content = ContentBuilder::new().schema(Some(schema)).build();
            utoipa::openapi::ResponseBuilder::new()
                .description(description)
                .content("application/problem+json", content)
                .build()
        };
        let responses = ResponsesBuilder::new()
            .response(
                "4XX",
                problem("The request cannot be carried out as it is: the details say why."),
            )
            .response(
                "414",
                utoipa::openapi::ResponseBuilder::new()
                    .description("The address is longer than 64 KB: the server reads no further, and says no more."),
            )
            .response(
                "5XX",
                problem("The service cannot answer now: the same request may succeed later."),
            )
            .build();
        responses.responses.into_iter().collect()
    }
}

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme("bearer", scheme);
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "imgsweep",
        description = "Checks every image of a list of URLs: whether it loads, what it is, whether it is any good.\n\n\
            Every route but /health, /ready and /openapi.json needs a bearer token. Errors are problem details (RFC 9457). Listings are paged by \
            `cursor`: opaque, from `next_cursor` of the page before.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    modifiers(&Bearer),
    security(("bearer" = [])),
    components(schemas(Problem)),
    paths(
        routes::upload::upload,
        routes::presigned::create,
        routes::parts::missing,
        routes::parts::complete,
        local_uploads::take,
        local_uploads::take_part,
        routes::batches::list,
        routes::batches::detail,
        routes::batches::start,
        routes::control::change,
        routes::control::delete,
        routes::control::cancel,
        routes::control::retry,
        routes::results::results,
        routes::results::report,
        routes::export::export,
        routes::preview::preview,
        routes::system::stats,
        routes::intake::read,
        routes::intake::set,
        routes::answers::invalidate,
        routes::monitoring::performance,
        routes::monitoring::system,
        routes::monitoring::database,
        routes::monitoring::cache,
        routes::monitoring::bottlenecks,
        routes::monitoring::slo,
        routes::monitoring::board,
        routes::monitoring::save_baseline,
        routes::monitoring::metrics,
        routes::tokens::own,
        routes::tokens::list,
        routes::tokens::create,
        routes::tokens::revoke,
        routes::system::health,
        routes::system::ready,
        serve,
    )
)]
struct Document;

/// The description of the API, as JSON. `has_metrics` says whether one process does everything, so that `/metrics` and the addresses that
/// take lists are among its routes.
pub fn document(has_metrics: bool) -> serde_json::Result<String> {
    let mut document = Document::openapi();
    if !has_metrics {
        document.paths.paths.retain(|path, _| !of_one_process(path));
    }
    document.to_json()
}

/// Whether a route is there only where one process does everything.
fn of_one_process(path: &str) -> bool {
    path == "/metrics" || path.starts_with("/uploads/")
}

/// This description.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "system",
    security(()),
    responses((status = 200, description = "The description of the API.", content_type = "application/json", body = Object), Problems)
)]
pub(crate) async fn serve(State(state): State<ApiState>) -> Result<Response, Problem> {
    static WITH_METRICS: OnceLock<String> = OnceLock::new();
    static WITHOUT_METRICS: OnceLock<String> = OnceLock::new();
    let has_metrics = state.settings.has_metrics;
    let kept = if has_metrics {
        &WITH_METRICS
    } else {
        &WITHOUT_METRICS
    };
    let text = if let Some(text) = kept.get() {
        text
    } else {
        let text = document(has_metrics).map_err(|_| Problem::internal())?;
        kept.get_or_init(|| text)
    };
    let json = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, json)], text.as_str()).into_response())
}

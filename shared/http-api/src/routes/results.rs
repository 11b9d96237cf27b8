//! What came of a batch: its rows, page by page, and its report.

use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use axum::{Extension, Json};
use domain::{BatchId, Issue, Outcome, ResultRow};
use http::{HeaderMap, HeaderValue, header};
use pipeline::results::{ResultFilter, results_page};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::auth::Owner;
use crate::extract::{Path, Query, page_limit};
use crate::openapi::Problems;
use crate::routes::own_batch;
use crate::{ApiState, Problem, cursor};

const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1_000;

/// Which rows.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ResultsQuery {
    /// Only rows that ended so.
    #[param(value_type = Option<Outcome>)]
    outcome: Option<String>,
    /// Only rows with this flaw.
    #[param(value_type = Option<Issue>)]
    issue: Option<String>,
    /// Only rows of this host, with its port if the URLs name one.
    #[param(max_length = 300)]
    host: Option<String>,
    /// Only rows of this group of duplicates: its first row, and those that are like it.
    group: Option<u64>,
    /// With `group`: the earlier batch whose row names it, as in `duplicate_group_batch`.
    #[param(value_type = Option<String>, pattern = "^[0-7][0-9A-HJKMNP-TV-Z]{25}$")]
    group_batch: Option<String>,
    /// From `next_cursor` of the page before.
    #[param(pattern = "^[A-Za-z0-9_-]{1,512}$")]
    cursor: Option<String>,
    /// At most so many; 100 when it is not said. With a filter a page may have fewer, and more behind it.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ResultList {
    data: Vec<ResultRow>,
    next_cursor: Option<String>,
}

/// Lists rows by chunk and part; of a running batch, those committed so far.
#[utoipa::path(
    get,
    path = "/api/v1/batches/{id}/results",
    tag = "results",
    params(super::BatchPath, ResultsQuery),
    responses((status = 200, description = "A page of rows.", body = ResultList), Problems)
)]
pub(crate) async fn results(
    State(state): State<ApiState>,
    Extension(owner): Extension<Owner>,
    Path(id): Path<String>,
    Query(query): Query<ResultsQuery>,
) -> Result<Json<ResultList>, Problem> {
    let batch = own_batch(&state, &owner, &id).await?;
    let filter = ResultFilter {
        outcome: parse::<Outcome>(query.outcome.as_deref())?,
        issue: parse::<Issue>(query.issue.as_deref())?,
        host: query.host.filter(|host| !host.is_empty()),
        group: query.group,
        group_batch: parse::<BatchId>(query.group_batch.as_deref())?,
    };
    let after = query.cursor.as_deref();
    let after = after
        .map(|text| cursor::decode_results(batch.id, text))
        .transpose()?;
    let limit = page_limit(query.limit, DEFAULT_PAGE, MAX_PAGE)?;
    let page = results_page(&state.ports, batch.id, &filter, after.as_ref(), limit).await?;
    Ok(Json(ResultList {
        next_cursor: page
            .next
            .map(|next| cursor::encode_results(batch.id, &next)),
        data: page.rows,
    }))
}

/// Shows what a batch came to, once it is `COMPLETED`: as JSON, or as a page for whoever accepts `text/html`.
#[utoipa::path(
    get,
    path = "/api/v1/batches/{id}/report",
    tag = "results",
    params(super::BatchPath),
    responses(
        (status = 200, description = "The report.", content(
            (Object = "application/json"),
            (String = "text/html"),
        )),
        Problems
    )
)]
pub(crate) async fn report(
    State(state): State<ApiState>,
    Extension(owner): Extension<Owner>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let batch = own_batch(&state, &owner, &id).await?;
    let report = pipeline::finalize::read_report(&state.ports, batch.id).await?;
    let report = report.ok_or_else(Problem::no_report_yet)?;
    if !accepts_html(&headers) {
        return Ok(Json(report).into_response());
    }
    let policy = HeaderValue::from_str(&report_page::CONTENT_SECURITY_POLICY);
    let policy = policy.map_err(|_| Problem::internal())?;
    let headers = [(header::CONTENT_SECURITY_POLICY, policy)];
    Ok((headers, Html(report_page::render(&report))).into_response())
}

/// Whether a client names HTML, as browsers do, and does not name JSON before it.
fn accepts_html(headers: &HeaderMap) -> bool {
    let accepted = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    let accepted = accepted.unwrap_or_default().to_ascii_lowercase();
    let html = accepted.find("text/html");
    let json = accepted.find("application/json");
    html.is_some_and(|html| json.is_none_or(|json| html < json))
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(
    text: Option<&str>,
) -> Result<Option<T>, Problem> {
    let parsed = text.map(str::parse).transpose();
    parsed.map_err(|error: T::Err| Problem::bad_request(error.to_string()))
}

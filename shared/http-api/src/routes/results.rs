//! What came of a batch: its rows, page by page, and its report.

use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use domain::{Issue, Outcome, ResultRow};
use pipeline::report::Report;
use pipeline::results::{ResultFilter, results_page};
use serde::{Deserialize, Serialize};

use crate::auth::Owner;
use crate::routes::own_batch;
use crate::{ApiState, Problem, cursor};

const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1_000;

#[derive(Debug, Deserialize)]
pub(crate) struct ResultsQuery {
    outcome: Option<String>,
    issue: Option<String>,
    cursor: Option<String>,
    limit: Option<usize>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ResultList {
    data: Vec<ResultRow>,
    next_cursor: Option<String>,
}

/// `GET /api/v1/batches/{id}/results`: rows by chunk and part; of a running batch, those committed so far.
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
    };
    let after = query.cursor.as_deref();
    let after = after
        .map(|text| cursor::decode_results(batch.id, text))
        .transpose()?;
    let limit = query.limit.unwrap_or(DEFAULT_PAGE).clamp(1, MAX_PAGE);
    let page = results_page(&state.ports, batch.id, filter, after.as_ref(), limit).await?;
    Ok(Json(ResultList {
        next_cursor: page
            .next
            .map(|next| cursor::encode_results(batch.id, &next)),
        data: page.rows,
    }))
}

/// `GET /api/v1/batches/{id}/report`.
pub(crate) async fn report(
    State(state): State<ApiState>,
    Extension(owner): Extension<Owner>,
    Path(id): Path<String>,
) -> Result<Json<Report>, Problem> {
    let batch = own_batch(&state, &owner, &id).await?;
    let report = pipeline::finalize::read_report(&state.ports, batch.id).await?;
    report.map(Json).ok_or_else(Problem::no_report_yet)
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(
    text: Option<&str>,
) -> Result<Option<T>, Problem> {
    let parsed = text.map(str::parse).transpose();
    parsed.map_err(|error: T::Err| Problem::bad_request(error.to_string()))
}

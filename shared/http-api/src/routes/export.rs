//! The whole result table in one file, made while it is sent.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use futures::StreamExt;
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use pipeline::downloads::{self, Download};
use pipeline::export::{ExportError, ExportFormat, TableRequest};
use pipeline::table_pieces::table_pieces;
use url::form_urlencoded;
use utoipa::IntoParams;

use crate::auth::Owner;
use crate::extract::Path;
use crate::openapi::Problems;
use crate::routes::own_batch;
use crate::{ApiState, Problem, TableSource};

/// Most conditions of one request.
const MAX_CONDITIONS: usize = 50;

/// What to write.
#[derive(Debug, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExportQuery {
    /// A format of the table; `csv` when it is not said.
    #[param(inline, schema_with = format_schema)]
    format: Option<String>,
    /// Names of columns with commas between them, in the order they are to have; all when it is not said. `exif`, `rules` and `extra`
    /// stand for all columns whose names begin so.
    #[param(max_length = 4000)]
    columns: Option<String>,
    /// A condition that rows have to meet, such as `outcome=ok` or `width>=500`. Said several times, all have to be met.
    #[param(rename = "where", max_items = 50, style = Form, explode)]
    conditions: Vec<String>,
}

/// What is in the query string, each name once but `where`.
impl<S: Send + Sync> FromRequestParts<S> for ExportQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut query = Self::default();
        let text = parts.uri.query().unwrap_or_default();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            let place = match &*name {
                "where" => {
                    query.conditions.push(value.into_owned());
                    continue;
                }
                "format" => &mut query.format,
                "columns" => &mut query.columns,
                _ => continue,
            };
            if place.replace(value.into_owned()).is_some() {
                let detail = format!("`{name}` is said more than once.");
                return Err(Problem::bad_request(detail));
            }
        }
        query.conditions.retain(|condition| !condition.is_empty());
        if query.conditions.len() > MAX_CONDITIONS {
            let detail = format!("There are more than {MAX_CONDITIONS} conditions.");
            return Err(Problem::bad_request(detail));
        }
        Ok(query)
    }
}

fn format_schema() -> utoipa::openapi::schema::Object {
    let names = ExportFormat::ALL.iter().map(|format| format.as_str());
    utoipa::openapi::ObjectBuilder::new()
        .schema_type(utoipa::openapi::Type::String)
        .enum_values(Some(names))
        .build()
}

/// Downloads all rows of a batch, in the order of its list; of a running batch, those committed so far.
#[utoipa::path(
    get,
    path = "/api/v1/batches/{id}/export",
    tag = "results",
    params(super::BatchPath, ExportQuery),
    responses(
        (status = 200, description = "The table.", content(
            (String = "text/csv"),
            (String = "application/x-ndjson"),
            (String = "application/zstd"),
            (String = "application/vnd.apache.parquet"),
            (String = "application/vnd.sqlite3"),
        )),
        (status = 202, description = "The table is large and being written; ask again after `Retry-After` seconds."),
        (status = 303, description = "The table lies at `Location`, which is of use for some minutes, without the token."),
        Problems
    )
)]
pub(crate) async fn export(
    State(state): State<ApiState>,
    Extension(owner): Extension<Owner>,
    Path(id): Path<String>,
    query: ExportQuery,
) -> Result<Response, Problem> {
    let wanted = query.format.as_deref().unwrap_or("csv");
    let mut formats = ExportFormat::ALL.iter().copied();
    let format = formats.find(|format| format.as_str() == wanted);
    let format = format.ok_or_else(|| {
        let names: Vec<&str> = ExportFormat::ALL
            .iter()
            .map(|format| format.as_str())
            .collect();
        Problem::bad_request(format!("`format` is one of {}.", names.join(", ")))
    })?;
    let request = TableRequest {
        columns: parts(query.columns.as_deref()),
        conditions: query.conditions,
    };
    let Some(tables) = &state.tables else {
        return Err(Problem::no_such_route());
    };
    tables.check(&request).map_err(of_export)?;
    let batch = own_batch(&state, &owner, &id).await?;
    let exporter = match tables {
        TableSource::Here(exporter) => Arc::clone(exporter),
        TableSource::Elsewhere(_, urls) => {
            let table = downloads::table(&state.ports, urls.as_ref(), &batch, format, &request);
            return elsewhere(table.await?);
        }
    };
    let name = format!("attachment; filename=\"{}.{}\"", batch.id, format.as_str());
    let mut waiting = table_pieces(exporter, state.ports.clone(), batch, format, request);
    let first = match waiting.recv().await {
        // Nothing is said yet: what went wrong can be.
        Some(Err(error @ (ExportError::Pipeline(_) | ExportError::Request(_)))) => {
            return Err(of_export(error));
        }
        first => first,
    };
    let rest = futures::stream::poll_fn(move |context| waiting.poll_recv(context));
    // A table that breaks off is seen by the client not to be whole.
    let body = futures::stream::iter(first)
        .chain(rest)
        .map(|piece| piece.map_err(|_| io::Error::other("the export broke off")));
    let name = HeaderValue::from_str(&name).map_err(|_| Problem::internal())?;
    let content_type = HeaderValue::from_static(format.content_type());
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((headers, Body::from_stream(body)).into_response())
}

/// What stands between commas.
fn parts(text: Option<&str>) -> Vec<String> {
    let parts = text.unwrap_or_default().split(',').map(str::trim);
    let said = parts.filter(|part| !part.is_empty());
    said.map(str::to_owned).collect()
}

fn of_export(error: ExportError) -> Problem {
    match error {
        ExportError::Pipeline(error) => error.into(),
        ExportError::Request(said) => Problem::bad_request(format!("{said}.")),
        _ => Problem::internal(),
    }
}

/// Says where the table lies, or that it is on its way.
fn elsewhere(download: Download) -> Result<Response, Problem> {
    match download {
        Download::Ready(url) => {
            let location = HeaderValue::from_str(&url).map_err(|_| Problem::internal())?;
            Ok((StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response())
        }
        Download::Later => {
            let retry_after = HeaderValue::from_static("5");
            let body = Json(serde_json::json!({"status": "being_written"}));
            let headers = [(header::RETRY_AFTER, retry_after)];
            Ok((StatusCode::ACCEPTED, headers, body).into_response())
        }
        Download::Refused(said) => Err(Problem::bad_request(format!("{said}."))),
    }
}

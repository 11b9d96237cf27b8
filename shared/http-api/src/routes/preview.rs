//! How a list would be read, before anything is stored or spent.

use axum::Json;
use domain::{Limits, ListFormat};
use list_reader::ListOptions;
use pipeline::preview::Preview;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::Problem;
use crate::extract::{Body, Query};
use crate::openapi::Problems;

/// What is known about the list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PreviewQuery {
    /// File name of the list; its ending tells the format.
    #[serde(default)]
    #[param(max_length = 200)]
    list_name: Option<String>,
    /// The column with the URLs; found by its name or content when it is not said.
    #[param(max_length = 200)]
    url_column: Option<String>,
    /// How the list is written; told from its name or content when it is not said.
    #[param(inline)]
    list_format: Option<ListFormat>,
    /// Whether the body is only the beginning of the list: then its last row, which may be cut, is left out.
    #[serde(default)]
    is_cut: bool,
}

/// Shows the first rows of a list as they would be read, and which column holds the URLs. The body is the list or its beginning, up to 1 MiB.
#[utoipa::path(
    post,
    path = "/api/v1/lists/preview",
    tag = "batches",
    params(PreviewQuery),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The beginning of the list, as it is."),
    responses((status = 200, description = "The first rows.", body = Preview), Problems)
)]
pub(crate) async fn preview(
    Query(query): Query<PreviewQuery>,
    Body(beginning): Body,
) -> Result<Json<Preview>, Problem> {
    let options = ListOptions {
        name: query.list_name.unwrap_or_default(),
        format: query.list_format,
        url_column: query.url_column.filter(|column| !column.is_empty()),
    };
    let read = tokio::task::spawn_blocking(move || {
        pipeline::preview::preview(&beginning, query.is_cut, &options, &Limits::default())
    });
    let preview = read.await.map_err(|_| Problem::internal())?;
    preview
        .map(Json)
        .map_err(|error| Problem::unreadable_list(format!("{error}.")))
}

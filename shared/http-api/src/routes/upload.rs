//! `POST /upload`: a list in a multipart form (RFC 7578).

use std::error::Error;
use std::io;

use axum::extract::multipart::{Field, MultipartError, MultipartRejection};
use axum::extract::{Multipart, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use domain::{
    Batch, BatchId, BatchOptions, BatchStatus, DuplicateOptions, MeasureMode, RulePack,
    VisionOptions,
};
use futures::{Stream, StreamExt};
use http::{HeaderMap, StatusCode, header};
use pipeline::PipelineError;
use pipeline::accept::{self, AcceptError, NewBatch, StoredList};
use pipeline::idempotency::{Once, create_batch_once};
use pipeline::rule_packs::Packs;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::idempotency_key;
use crate::auth::Owner;
use crate::extract::of_value;
use crate::openapi::Problems;
use crate::{ApiState, MAX_BATCH_JSON_BYTES, Problem};

/// Longest value of a field other than the file, in bytes.
const MAX_FIELD_BYTES: usize = 1_024;
/// Longest name of a batch or list kept, in characters.
const MAX_NAME_CHARS: usize = 200;

/// What the form held besides the list.
#[derive(Default)]
struct Form {
    batch_name: Option<String>,
    auto_start: Option<bool>,
    options: BatchOptions,
}

/// The fields of the form, for its description; the handler reads it field by field.
#[derive(serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the form")]
struct UploadForm {
    /// The list: CSV, TSV, NDJSON or plain text, plain or compressed with gzip or zstd.
    #[schema(value_type = String, format = Binary, content_media_type = "application/octet-stream")]
    file: Vec<u8>,
    /// What to call the batch; the list's name when unset.
    #[schema(required = false)]
    batch_name: String,
    /// Whether it starts at once.
    #[schema(
        required = false,
        value_type = String,
        pattern = "^(1|0|[Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]|[Yy][Ee][Ss]|[Nn][Oo]|[Oo][Nn]|[Oo][Ff][Ff])$"
    )]
    auto_start: bool,
    /// The column with the URLs; found by its name or content when unset.
    #[schema(required = false)]
    url_column: String,
    /// How the list is written; told from its name or content when unset.
    #[schema(required = false)]
    list_format: domain::ListFormat,
    /// Rows in a chunk.
    #[schema(required = false, minimum = 1, maximum = 100_000)]
    chunk_size: u32,
    /// How much of each image is looked at.
    #[schema(required = false)]
    measure: domain::MeasureMode,
    /// A batch of yours that has ended, to compare with: every row then says in `change` whether its image changed.
    #[schema(required = false, value_type = String, min_length = 26, max_length = 26)]
    since: BatchId,
    /// Names of rule packs, with commas between them.
    #[schema(required = false)]
    rules: String,
    /// An address that is told, by a signed request, when the report is written.
    #[schema(required = false)]
    webhook: String,
    /// That a model is to say what the images show: `true`, or how, as a JSON object.
    #[schema(required = false, value_type = VisionOptions)]
    vision: VisionOptions,
    /// All options together, as JSON, as `POST /api/v1/batches` takes them; the fields above come after it and change some of them.
    #[schema(required = false)]
    options: BatchOptions,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchAccepted)]
struct Accepted {
    #[schema(value_type = String)]
    batch_id: BatchId,
    name: String,
    status: BatchStatus,
    status_url: String,
}

/// Takes a list in: a form with `file`, and optionally `batch_name`, `auto_start` (default true), `url_column`, `list_format`, `chunk_size`, `measure`, `since`, `rules`, `webhook`, `vision`, or `options` with all that a batch may have.
#[utoipa::path(
    post,
    path = "/upload",
    tag = "batches",
    params(super::IdempotencyHeader),
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses((status = 202, description = "The batch.", body = Accepted), Problems)
)]
pub(crate) async fn upload(
    State(state): State<ApiState>,
    Extension(owner): Extension<Owner>,
    headers: HeaderMap,
    multipart: Result<Multipart, MultipartRejection>,
) -> Result<Response, Problem> {
    let key = idempotency_key(&headers)?;
    let mut multipart = multipart.map_err(|error| Problem::bad_request(error.body_text()))?;
    let mut form = Form::default();
    let mut list: Option<(StoredList, String)> = None;
    let mut read = read_form(&state, &mut multipart, &mut form, &mut list).await;
    if read.is_ok() {
        read = check_options(&state, &owner, &form.options).await;
    }
    let (list, list_name) = match (read, list) {
        (Ok(()), Some(list)) => list,
        (Ok(()), None) => {
            return Err(Problem::bad_request(
                "The form has no field `file` with the list.",
            ));
        }
        (Err(problem), stored) => {
            if let Some((list, _)) = stored {
                accept::discard_list(&state.ports, &list).await?;
            }
            return Err(problem);
        }
    };
    let request = NewBatch {
        name: form.batch_name.unwrap_or_else(|| list_name.clone()),
        owner: owner.0,
        list_name,
        options: form.options,
    };
    let auto_start = form.auto_start.unwrap_or(true);
    let ports = &state.ports;
    let batch = match key {
        None => accept::create_batch(ports, list, request).await?,
        Some(key) => match create_batch_once(ports, &key, list, request, auto_start).await? {
            Once::Batch(batch) => *batch,
            Once::Taken => return Err(Problem::key_reused()),
            Once::Spent => return Err(Problem::key_spent()),
        },
    };
    let mut status = batch.status;
    if auto_start {
        accept::start(&state.ports, batch.id).await?;
        status = BatchStatus::Queued;
    }
    let status_url = format!("/api/v1/batches/{}", batch.id);
    let accepted = Accepted {
        batch_id: batch.id,
        name: batch.name,
        status,
        status_url: status_url.clone(),
    };
    let headers = [(header::LOCATION, status_url)];
    Ok((StatusCode::ACCEPTED, headers, Json(accepted)).into_response())
}

async fn read_form(
    state: &ApiState,
    multipart: &mut Multipart,
    form: &mut Form,
    list: &mut Option<(StoredList, String)>,
) -> Result<(), Problem> {
    while let Some(field) = multipart
        .next_field()
        .await
        .map_err(|error| malformed(&error))?
    {
        let name = field.name().unwrap_or_default().to_owned();
        if name != "file" {
            let most = if name == "options" {
                MAX_BATCH_JSON_BYTES
            } else {
                MAX_FIELD_BYTES
            };
            let value = small_value(field, &name, most).await?;
            form.set(&name, &value)?;
            continue;
        }
        if list.is_some() {
            return Err(Problem::bad_request(
                "The form has more than one field `file`.",
            ));
        }
        let list_name = shortened(field.file_name().unwrap_or("list"));
        let stored = accept::store_list(&state.ports, limited(field, state.max_upload_bytes)).await;
        let stored = stored.map_err(|error| receive_problem(error, state.max_upload_bytes))?;
        *list = Some((stored, list_name));
    }
    Ok(())
}

impl Form {
    fn set(&mut self, name: &str, value: &str) -> Result<(), Problem> {
        match name {
            "batch_name" => {
                self.batch_name = Some(shortened(value)).filter(|name| !name.is_empty());
            }
            "auto_start" => self.auto_start = Some(parse_bool(value)?),
            "url_column" => {
                self.options.url_column = Some(value.to_owned()).filter(|name| !name.is_empty());
            }
            "list_format" => self.options.list_format = Some(parse_option(name, value)?),
            "measure" => self.options.measure = parse_option(name, value)?,
            "rules" => self.options.rules = rule_packs(value),
            "webhook" => self.options.webhook = Some(value.to_owned()),
            "vision" => self.options.vision = vision_options(value)?,
            "options" => {
                if self.options != BatchOptions::default() {
                    let detail = "`options` comes before the fields that change some of it.";
                    return Err(Problem::bad_request(detail));
                }
                let document = serde_json::from_str(value)
                    .map_err(|error| Problem::bad_request(format!("`options`: {error}.")))?;
                self.options = of_value(document)?;
            }
            "since" => self.options.since = Some(parse_option(name, value)?),
            "chunk_size" => {
                let rows = value.parse().unwrap_or(0);
                self.options.chunk_size = Some(checked_chunk_size(rows)?);
            }
            _ => {
                return Err(Problem::bad_request(format!(
                    "The form has no field `{name}`."
                )));
            }
        }
        Ok(())
    }
}

/// Refuses options that cannot be met.
pub(super) async fn check_options(
    state: &ApiState,
    owner: &Owner,
    options: &BatchOptions,
) -> Result<(), Problem> {
    if let Some(rows) = options.chunk_size {
        checked_chunk_size(rows)?;
    }
    check_rules(options)?;
    check_webhook(state, options)?;
    check_vision(state, options)?;
    if let Some(since) = options.since {
        ended_batch(state, owner, "since", since).await?;
    }
    check_duplicates(state, owner, options).await
}

/// A number of rows that a chunk may have.
fn checked_chunk_size(rows: u32) -> Result<u32, Problem> {
    if (1..=100_000).contains(&rows) {
        return Ok(rows);
    }
    let detail = "`chunk_size` is a number of rows from 1 to 100000.";
    Err(Problem::bad_request(detail))
}

/// Names of built-in rule packs, with commas between them.
fn rule_packs(value: &str) -> Vec<RulePack> {
    let names = value.split(',').map(str::trim);
    let said = names.filter(|name| !name.is_empty());
    said.map(|name| RulePack::BuiltIn(name.to_owned()))
        .collect()
}

/// Whether and how a model is to be asked: `true`, `false`, or the options as JSON.
fn vision_options(value: &str) -> Result<Option<VisionOptions>, Problem> {
    match value.trim() {
        "" | "false" => Ok(None),
        "true" => Ok(Some(VisionOptions::default())),
        json => serde_json::from_str(json)
            .map(Some)
            .map_err(|error| Problem::bad_request(format!("`vision`: {error}."))),
    }
}

/// Refuses to promise what no model will say.
fn check_vision(state: &ApiState, options: &BatchOptions) -> Result<(), Problem> {
    let Some(wish) = &options.vision else {
        return Ok(());
    };
    let fault = match state.settings.vision {
        None => "this server asks no model: it has no provider",
        Some(_) if options.measure == MeasureMode::Header => {
            "header mode reads no whole image that a model could be shown"
        }
        Some(offer) if wish.budget_micro_usd.is_some() && !offer.has_prices => {
            "this server knows no prices, so the budget would never be reached"
        }
        Some(_) => return Ok(()),
    };
    Err(Problem::bad_request(format!("`vision`: {fault}.")))
}

/// Refuses rule packs that cannot be used.
fn check_rules(options: &BatchOptions) -> Result<(), Problem> {
    match Packs::parse(options) {
        Ok(_) => Ok(()),
        Err(error) => Err(Problem::bad_request(format!("`rules`: {error}."))),
    }
}

/// Refuses an address that could not be told.
fn check_webhook(state: &ApiState, options: &BatchOptions) -> Result<(), Problem> {
    let Some(address) = options.webhook.as_deref() else {
        return Ok(());
    };
    if !state.settings.has_webhooks {
        let detail =
            "`webhook`: this server sends no webhooks: it has no secret to sign them with.";
        return Err(Problem::bad_request(detail));
    }
    pipeline::notify::check_address(address)
        .map_err(|error| Problem::bad_request(format!("`webhook`: {error}.")))
}

/// A batch of the same owner that has its report, or why there is none to be compared with. `name` is that of the option.
async fn ended_batch(
    state: &ApiState,
    owner: &Owner,
    name: &str,
    id: BatchId,
) -> Result<Batch, Problem> {
    let earlier = state.ports.store.batch(id).await;
    let earlier = earlier.map_err(PipelineError::from)?;
    let is_theirs = |earlier: &Batch| earlier.owner == owner.0 && !earlier.deleting;
    match earlier.filter(is_theirs) {
        Some(earlier) if earlier.report_ready => Ok(earlier),
        Some(_) => Err(Problem::conflict(format!(
            "`{name}` names a batch that has not ended."
        ))),
        None => Err(Problem::bad_request(format!(
            "`{name}` names no batch of yours."
        ))),
    }
}

/// Refuses a search for duplicates that would find something else than was asked for.
async fn check_duplicates(
    state: &ApiState,
    owner: &Owner,
    options: &BatchOptions,
) -> Result<(), Problem> {
    let Some(wanted) = options.duplicates else {
        return Ok(());
    };
    let most = DuplicateOptions::MAX_DISTANCE;
    if wanted.distance > most {
        let detail = format!("`duplicates`: `distance` is a number of bits from 0 to {most}.");
        return Err(Problem::bad_request(detail));
    }
    let Some(against) = wanted.against else {
        return Ok(());
    };
    let earlier = ended_batch(state, owner, "duplicates.against", against).await?;
    let has = earlier.options.duplicates.unwrap_or_default();
    if (has.distance, has.positions) != (wanted.distance, wanted.positions) {
        return Err(Problem::conflict(format!(
            "`duplicates.against` names a batch that was searched with a distance of {} and {:?} positions: only the same can be \
             matched.",
            has.distance, has.positions
        )));
    }
    if !pipeline::duplicate_index::exists(&state.ports, against).await? {
        return Err(Problem::conflict(
            "`duplicates.against` names a batch without an index: none of its images loaded, or it ended before there were any.",
        ));
    }
    Ok(())
}

/// One of the names of an enum of the options.
fn parse_option<T: serde::de::DeserializeOwned>(name: &str, value: &str) -> Result<T, Problem> {
    serde_json::from_value(Value::String(value.to_owned()))
        .map_err(|error| Problem::bad_request(format!("`{name}`: {error}.")))
}

fn parse_bool(value: &str) -> Result<bool, Problem> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(Problem::bad_request("`auto_start` is true or false.")),
    }
}

async fn small_value(mut field: Field<'_>, name: &str, most: usize) -> Result<String, Problem> {
    let mut value = Vec::new();
    while let Some(piece) = field.chunk().await.map_err(|error| malformed(&error))? {
        value.extend_from_slice(&piece);
        if value.len() > most {
            let detail = format!("The field `{name}` is longer than {most} bytes.");
            return Err(Problem::bad_request(detail));
        }
    }
    String::from_utf8(value)
        .map_err(|_| Problem::bad_request(format!("The field `{name}` is not UTF-8.")))
}

/// More bytes came than the route takes.
#[derive(Debug, thiserror::Error)]
#[error("the list is longer than the route takes")]
struct TooLong;

fn limited(field: Field<'_>, max_bytes: u64) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let mut seen = 0;
    field.map(move |piece| {
        let piece = piece.map_err(io::Error::other)?;
        seen += piece.len() as u64;
        if seen > max_bytes {
            return Err(io::Error::other(TooLong));
        }
        Ok(piece)
    })
}

fn receive_problem(error: AcceptError, max_bytes: u64) -> Problem {
    match error {
        AcceptError::Pipeline(error) => error.into(),
        AcceptError::Receive(error)
            if error
                .get_ref()
                .is_some_and(<dyn Error + Send + Sync>::is::<TooLong>) =>
        {
            Problem::too_large(max_bytes)
        }
        _ => Problem::bad_request("The form ended before the list did."),
    }
}

fn malformed(error: &MultipartError) -> Problem {
    Problem::bad_request(format!("The form cannot be read: {}.", error.body_text()))
}

/// A name without control characters, of bounded length.
pub(super) fn shortened(name: &str) -> String {
    name.chars()
        .filter(|character| !character.is_control())
        .take(MAX_NAME_CHARS)
        .collect()
}

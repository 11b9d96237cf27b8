//! Addresses for lists on the embedded engine: what presigned URLs are on S3.
//!
//! An address is good for one batch, for an hour, and until that batch has its list. What it needs instead of a token is its signature:
//! HMAC-SHA256 (RFC 2104) over what may be put there and when it ends, with a key that this process made up. A list in parts has an
//! address for each; the parts lie beside each other until they are put together.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use bytes::Bytes;
use domain::ports::{
    MAX_PRESIGNED_BYTES, PortError, PortErrorKind, PortResult, StoredPart, UploadUrl, UploadUrls,
};
use domain::{BatchId, BatchStatus, keys};
use futures::{Stream, StreamExt, TryStreamExt};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use object_store::path::Path as StorePath;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, WriteMultipart};
use pipeline::uploaded::{Arrival, uploaded};
use pipeline::{PipelineError, Ports};
use serde::Deserialize;
use sha2::Sha256;
use utoipa::IntoParams;

use crate::Problem;
use crate::openapi::Problems;

/// Length of the signing key: the block of SHA-256, beyond which a key gains nothing (RFC 2104, section 3).
const KEY_BYTES: usize = 64;
/// How long an address is good for.
const LIFETIME: Duration = Duration::from_secs(60 * 60);
/// Parts being written at once: with parts of 5 MiB, the bound on memory.
const WRITES_IN_FLIGHT: usize = 2;

/// Hands out addresses below `base_url`, and takes the lists that are put there.
#[derive(Clone)]
pub struct LocalUploads {
    ports: Ports,
    base_url: String,
    key: Arc<[u8; KEY_BYTES]>,
    max_bytes: u64,
}

impl LocalUploads {
    /// Addresses below `base_url`, such as `http://127.0.0.1:8080`, good until this process ends. `Err` when the system gives no
    /// random key.
    pub fn new(ports: Ports, base_url: String) -> io::Result<Self> {
        let mut key = [0; KEY_BYTES];
        getrandom::fill(&mut key).map_err(io::Error::other)?;
        Ok(Self {
            ports,
            base_url,
            key: Arc::new(key),
            max_bytes: MAX_PRESIGNED_BYTES,
        })
    }

    /// The same, for lists of at most `max_bytes`.
    #[must_use]
    pub const fn with_max_bytes(mut self, max_bytes: u64) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    fn mac(&self, place: &Place, expires: i64) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new(&(*self.key).into());
        let (key, most) = (place.key(), place.most_bytes);
        mac.update(format!("PUT {key} {most} {expires}").as_bytes());
        mac
    }

    /// The address of a place.
    fn address(&self, place: &Place) -> UploadUrl {
        let expires = self.ports.clock.now().as_second() + LIFETIME.as_secs() as i64;
        let signature = self.mac(place, expires).finalize().into_bytes();
        let mut digits = String::new();
        for byte in signature {
            use std::fmt::Write;
            // Writing to a string cannot fail.
            let _ = write!(digits, "{byte:02x}");
        }
        let (base, batch) = (&self.base_url, place.batch);
        let path = match place.part {
            None => format!("uploads/{batch}?"),
            Some(number) => format!("uploads/{batch}/{number}?bytes={}&", place.most_bytes),
        };
        UploadUrl {
            url: format!("{base}/{path}expires={expires}&signature={digits}"),
            expires_at: Timestamp::from_second(expires).unwrap_or(Timestamp::MAX),
        }
    }

    /// Whether `signed` is an address of ours that is still good. The comparison takes the same time wherever they differ.
    fn is_good(&self, place: &Place, signed: &Signed) -> bool {
        let Some(signature) = decode_hex(&signed.signature) else {
            return false;
        };
        let is_ours = self
            .mac(place, signed.expires)
            .verify_slice(&signature)
            .is_ok();
        is_ours && self.ports.clock.now().as_second() < signed.expires
    }
}

/// What may be put somewhere: a list, or a part of one.
#[derive(Debug, Clone, Copy)]
struct Place {
    batch: BatchId,
    part: Option<u32>,
    /// Length of the list at most, of a part exactly.
    most_bytes: u64,
}

impl Place {
    fn key(&self) -> String {
        match self.part {
            None => keys::upload(self.batch),
            Some(number) => keys::upload_part(self.batch, number),
        }
    }
}

#[async_trait]
impl UploadUrls for LocalUploads {
    async fn upload_url(&self, batch: BatchId) -> PortResult<UploadUrl> {
        Ok(self.address(&Place {
            batch,
            part: None,
            most_bytes: self.max_bytes,
        }))
    }

    async fn parts(&self, batch: BatchId, _begins: bool) -> PortResult<Vec<StoredPart>> {
        let prefix = StorePath::from(keys::upload_parts(batch));
        let listed: Vec<ObjectMeta> = self
            .ports
            .objects
            .list(Some(&prefix))
            .try_collect()
            .await
            .map_err(of_object)?;
        let parts = listed.into_iter().filter_map(|object| {
            let number = object.location.filename()?.parse().ok()?;
            let bytes = object.size;
            Some(StoredPart { number, bytes })
        });
        let mut parts: Vec<StoredPart> = parts.collect();
        parts.sort_unstable_by_key(|part| part.number);
        Ok(parts)
    }

    async fn part_url(
        &self,
        batch: BatchId,
        number: u32,
        bytes: u64,
    ) -> PortResult<Option<UploadUrl>> {
        Ok(Some(self.address(&Place {
            batch,
            part: Some(number),
            most_bytes: bytes,
        })))
    }

    async fn put_together(&self, batch: BatchId) -> PortResult<()> {
        let parts = self.parts(batch, false).await?;
        if parts.is_empty() {
            return Ok(());
        }
        let objects = &self.ports.objects;
        let path = StorePath::from(keys::upload(batch));
        let upload = objects.put_multipart(&path).await.map_err(of_object)?;
        let mut writer = WriteMultipart::new(upload);
        for part in &parts {
            let part = StorePath::from(keys::upload_part(batch, part.number));
            let mut pieces = objects.get(&part).await.map_err(of_object)?.into_stream();
            while let Some(piece) = pieces.try_next().await.map_err(of_object)? {
                let room = writer.wait_for_capacity(WRITES_IN_FLIGHT).await;
                room.map_err(of_object)?;
                writer.put(piece);
            }
        }
        writer.finish().await.map_err(of_object)?;
        uploaded(&self.ports, batch)
            .await
            .map_err(|error| PortError::new(PortErrorKind::Unavailable, "take the list", error))?;
        for part in &parts {
            let part = StorePath::from(keys::upload_part(batch, part.number));
            objects.delete(&part).await.map_err(of_object)?;
        }
        Ok(())
    }
}

fn of_object(error: object_store::Error) -> PortError {
    PortError::new(PortErrorKind::Unavailable, "store parts of a list", error)
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Signed {
    /// When the address ends, in seconds since 1970.
    expires: i64,
    /// Ours, over all the rest.
    #[param(pattern = "^[0-9a-f]{64}$")]
    signature: String,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PartLength {
    /// Length of the part.
    bytes: u64,
}

/// Which part.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path; the handler reads it as text")]
pub(crate) struct PartPath {
    /// The batch's id.
    #[param(pattern = "^[0-7][0-9A-HJKMNP-TV-Z]{25}$")]
    id: String,
    /// The part's number.
    #[param(minimum = 1, maximum = 10_000)]
    number: u32,
}

/// Takes a list at the address that `POST /api/v1/batches` handed out on one machine; the address carries its signature in place of a token.
#[utoipa::path(
    put,
    path = "/uploads/{id}",
    tag = "batches",
    security(()),
    params(crate::routes::BatchPath, Signed),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The list, as it is."),
    responses((status = 200, description = "It is taken."), Problems)
)]
pub(crate) async fn take(
    State(uploads): State<LocalUploads>,
    Path(id): Path<String>,
    signed: Result<Query<Signed>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let place = Place {
        batch: batch_of(&id)?,
        part: None,
        most_bytes: uploads.max_bytes,
    };
    receive(&uploads, &place, signed, &headers, body).await?;
    match uploaded(&uploads.ports, place.batch).await? {
        Arrival::Started | Arrival::Waiting => Ok(StatusCode::OK),
        Arrival::NotAwaited => Err(Problem::conflict("The batch awaits no list.")),
    }
}

/// Takes a part of a list at the address that `POST /api/v1/batches/{id}/parts` handed out on one machine.
#[utoipa::path(
    put,
    path = "/uploads/{id}/{number}",
    tag = "batches",
    security(()),
    params(PartPath, PartLength, Signed),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The part, as it is."),
    responses((status = 200, description = "It is taken."), Problems)
)]
pub(crate) async fn take_part(
    State(uploads): State<LocalUploads>,
    Path((id, number)): Path<(String, String)>,
    length: Result<Query<PartLength>, QueryRejection>,
    signed: Result<Query<Signed>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let (Ok(Query(length)), Ok(number)) = (length, number.parse()) else {
        return Err(Problem::bad_signature());
    };
    let place = Place {
        batch: batch_of(&id)?,
        part: Some(number),
        most_bytes: length.bytes,
    };
    receive(&uploads, &place, signed, &headers, body).await?;
    Ok(StatusCode::OK)
}

fn batch_of(id: &str) -> Result<BatchId, Problem> {
    id.parse().map_err(|_| Problem::bad_signature())
}

/// Stores what comes, if it may come and its batch awaits it.
async fn receive(
    uploads: &LocalUploads,
    place: &Place,
    signed: Result<Query<Signed>, QueryRejection>,
    headers: &HeaderMap,
    body: Body,
) -> Result<(), Problem> {
    let is_good = signed.is_ok_and(|Query(signed)| uploads.is_good(place, &signed));
    if !is_good {
        return Err(Problem::bad_signature());
    }
    let batch = uploads.ports.store.batch(place.batch).await;
    let batch = batch.map_err(PipelineError::from)?;
    let awaits_list =
        batch.is_some_and(|batch| batch.status == BatchStatus::Pending && batch.awaits_list);
    if !awaits_list {
        return Err(Problem::conflict("The batch awaits no list."));
    }
    let declared = headers.get(header::CONTENT_LENGTH);
    let declared = declared.and_then(|value| value.to_str().ok()?.parse().ok());
    if declared.is_some_and(|bytes: u64| bytes > place.most_bytes) {
        return Err(Problem::list_too_large(place.most_bytes));
    }
    store(uploads, place, body.into_data_stream()).await
}

/// Streams the list to its place, in memory that does not depend on its length. What is kept of one that breaks off is removed.
async fn store(
    uploads: &LocalUploads,
    place: &Place,
    body: impl Stream<Item = Result<Bytes, axum::Error>> + Send,
) -> Result<(), Problem> {
    let key = place.key();
    let fault = |source| PipelineError::Object {
        operation: "written",
        key: key.clone(),
        source,
    };
    let path = StorePath::from(key.as_str());
    let upload = uploads.ports.objects.put_multipart(&path).await;
    let mut writer = WriteMultipart::new(upload.map_err(fault)?);
    let mut seen = 0;
    let mut body = std::pin::pin!(body);
    while let Some(piece) = body.next().await {
        let refusal = match piece {
            Ok(piece) => {
                seen += piece.len() as u64;
                if seen <= place.most_bytes {
                    let room = writer.wait_for_capacity(WRITES_IN_FLIGHT).await;
                    room.map_err(fault)?;
                    writer.put(piece);
                    continue;
                }
                Problem::list_too_large(place.most_bytes)
            }
            Err(_) => Problem::bad_request("The request ended before the list did."),
        };
        drop(writer.abort().await);
        return Err(refusal);
    }
    if place.part.is_some() && seen != place.most_bytes {
        drop(writer.abort().await);
        return Err(Problem::bad_request(
            "The part is shorter than it has to be.",
        ));
    }
    writer.finish().await.map_err(fault)?;
    Ok(())
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || text.len() != 64 {
        return None;
    }
    let pairs = text.as_bytes().chunks_exact(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

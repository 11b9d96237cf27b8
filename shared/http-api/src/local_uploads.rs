//! Addresses for lists on the embedded engine: what presigned URLs are on S3.
//!
//! An address is good for one batch, for an hour, and until that batch has its list. What it needs instead of a token is its signature:
//! HMAC-SHA256 (RFC 2104) over batch and expiry, with a key that this process made up.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::routing::put;
use bytes::Bytes;
use domain::ports::{MAX_PRESIGNED_BYTES, PortResult, UploadUrl, UploadUrls};
use domain::{BatchId, BatchStatus, keys};
use futures::{Stream, StreamExt};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use object_store::{ObjectStoreExt, WriteMultipart};
use pipeline::uploaded::{Arrival, uploaded};
use pipeline::{PipelineError, Ports};
use serde::Deserialize;
use sha2::Sha256;

use crate::Problem;

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

    /// The route that takes the lists: `PUT /uploads/{id}?expires=&signature=`.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/uploads/{id}", put(take))
            .layer(DefaultBodyLimit::disable())
            .with_state(self.clone())
    }

    fn mac(&self, batch: BatchId, expires: i64) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new(&(*self.key).into());
        mac.update(format!("PUT {} {expires}", keys::upload(batch)).as_bytes());
        mac
    }

    /// Whether `signed` is an address of ours that is still good. The comparison takes the same time wherever they differ.
    fn is_good(&self, batch: BatchId, signed: &Signed) -> bool {
        let Some(signature) = decode_hex(&signed.signature) else {
            return false;
        };
        let is_ours = self
            .mac(batch, signed.expires)
            .verify_slice(&signature)
            .is_ok();
        is_ours && self.ports.clock.now().as_second() < signed.expires
    }
}

#[async_trait]
impl UploadUrls for LocalUploads {
    async fn upload_url(&self, batch: BatchId) -> PortResult<UploadUrl> {
        let expires = self.ports.clock.now().as_second() + LIFETIME.as_secs() as i64;
        let signature = self.mac(batch, expires).finalize().into_bytes();
        let mut digits = String::new();
        for byte in signature {
            use std::fmt::Write;
            // Writing to a string cannot fail.
            let _ = write!(digits, "{byte:02x}");
        }
        let (base, key) = (&self.base_url, keys::upload(batch));
        Ok(UploadUrl {
            url: format!("{base}/{key}?expires={expires}&signature={digits}"),
            expires_at: Timestamp::from_second(expires).unwrap_or(Timestamp::MAX),
        })
    }
}

#[derive(Debug, Deserialize)]
struct Signed {
    expires: i64,
    signature: String,
}

async fn take(
    State(uploads): State<LocalUploads>,
    Path(id): Path<String>,
    signed: Result<Query<Signed>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let id = id
        .parse::<BatchId>()
        .map_err(|_| Problem::bad_signature())?;
    let is_good = signed.is_ok_and(|Query(signed)| uploads.is_good(id, &signed));
    if !is_good {
        return Err(Problem::bad_signature());
    }
    let batch = uploads.ports.store.batch(id).await;
    let batch = batch.map_err(PipelineError::from)?;
    let awaits_list =
        batch.is_some_and(|batch| batch.status == BatchStatus::Pending && batch.awaits_list);
    if !awaits_list {
        return Err(Problem::conflict("The batch awaits no list."));
    }
    let declared = headers.get(header::CONTENT_LENGTH);
    let declared = declared.and_then(|value| value.to_str().ok()?.parse().ok());
    if declared.is_some_and(|bytes: u64| bytes > uploads.max_bytes) {
        return Err(Problem::list_too_large(uploads.max_bytes));
    }
    store(&uploads, id, body.into_data_stream()).await?;
    match uploaded(&uploads.ports, id).await? {
        Arrival::Started | Arrival::Waiting => Ok(StatusCode::OK),
        Arrival::NotAwaited => Err(Problem::conflict("The batch awaits no list.")),
    }
}

/// Streams the list to its place, in memory that does not depend on its length. What is kept of one that breaks off is removed.
async fn store(
    uploads: &LocalUploads,
    id: BatchId,
    body: impl Stream<Item = Result<Bytes, axum::Error>> + Send,
) -> Result<(), Problem> {
    let key = keys::upload(id);
    let fault = |source| PipelineError::Object {
        operation: "written",
        key: key.clone(),
        source,
    };
    let path = object_store::path::Path::from(key.as_str());
    let upload = uploads.ports.objects.put_multipart(&path).await;
    let mut writer = WriteMultipart::new(upload.map_err(fault)?);
    let mut seen = 0;
    let mut body = std::pin::pin!(body);
    while let Some(piece) = body.next().await {
        let refusal = match piece {
            Ok(piece) => {
                seen += piece.len() as u64;
                if seen <= uploads.max_bytes {
                    let room = writer.wait_for_capacity(WRITES_IN_FLIGHT).await;
                    room.map_err(fault)?;
                    writer.put(piece);
                    continue;
                }
                Problem::list_too_large(uploads.max_bytes)
            }
            Err(_) => Problem::bad_request("The request ended before the list did."),
        };
        drop(writer.abort().await);
        return Err(refusal);
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

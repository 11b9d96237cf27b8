//! Tables that are too large for an answer: written to the object store by whoever has the time, and fetched from there.
//!
//! Who wants one orders it through the finalize queue and waits a little; then it is there, or its client is told to come again. A table of
//! a batch whose report is written stays what it is, so it is written once.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::ports::{DownloadUrls, Queue};
use domain::{Batch, ExportMessage, keys};
use jiff::Timestamp;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error, ObjectStore, ObjectStoreExt, PutMultipartOptions, WriteMultipart,
};
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::accept::hex;
use crate::delete::remove_object;
use crate::export::{ExportError, ExportFormat, TableExporter, TableRequest};
use crate::objects::{self, written};
use crate::send::send_one;
use crate::table_pieces::table_pieces;
use crate::{PipelineError, PipelineResult, Ports};

/// How long an answer waits for its table: an HTTP API gives a function 30 seconds.
const PATIENCE: Duration = Duration::from_secs(20);
/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// An order that is older is given again: whoever had it is gone.
const ORDER_LASTS: Duration = Duration::from_secs(15 * 60);
/// Parts of an upload under way at once.
const UPLOADS_IN_FLIGHT: usize = 4;
/// Length of the name of a request, in hexadecimal digits.
const NAME_DIGITS: usize = 32;

/// What came of a wish for a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Download {
    /// It lies at this address, which is of use for some minutes.
    Ready(String),
    /// It is being written.
    Later,
    /// It cannot be written; the sentence says why.
    Refused(String),
}

/// Everything that makes a table the table it is.
#[derive(Serialize)]
struct Fingerprint<'a> {
    format: &'a str,
    columns: &'a [String],
    conditions: &'a [String],
    /// Of a batch that is not done: the minute, because the next sees more.
    minute: Option<i64>,
}

fn key_of(batch: &Batch, format: ExportFormat, request: &TableRequest, now: Timestamp) -> String {
    let minute = now.as_second() / 60;
    let fingerprint = Fingerprint {
        format: format.as_str(),
        columns: &request.columns,
        conditions: &request.conditions,
        minute: (!batch.report_ready).then_some(minute),
    };
    // Texts and numbers are always JSON.
    let text = serde_json::to_vec(&fingerprint).unwrap_or_default();
    let digits = hex(&Sha256::digest(&text));
    let name = &digits[..NAME_DIGITS];
    keys::export(batch.id, batch.generation(), name, format.as_str())
}

/// The address of a table, once it is written; orders it where that is needed, and waits for a while.
pub async fn table(
    ports: &Ports,
    urls: &dyn DownloadUrls,
    batch: &Batch,
    format: ExportFormat,
    request: &TableRequest,
) -> PipelineResult<Download> {
    let key = key_of(batch, format, request, ports.clock.now());
    let waits_until = Instant::now() + PATIENCE;
    let mut is_ordered = false;
    loop {
        if age(ports, &key).await?.is_some() {
            return Ok(Download::Ready(urls.download_url(&key).await?));
        }
        if let Some(reason) = objects::get(ports, &keys::export_refusal(&key)).await? {
            let reason = String::from_utf8_lossy(&reason).into_owned();
            return Ok(Download::Refused(reason));
        }
        if !is_ordered {
            order(ports, batch, format, request, &key).await?;
            is_ordered = true;
        }
        if Instant::now() >= waits_until {
            return Ok(Download::Later);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Orders a table, unless somebody did within the last minutes.
async fn order(
    ports: &Ports,
    batch: &Batch,
    format: ExportFormat,
    request: &TableRequest,
    key: &str,
) -> PipelineResult<()> {
    let mark = keys::export_order(key);
    if age(ports, &mark)
        .await?
        .is_some_and(|age| age < ORDER_LASTS)
    {
        return Ok(());
    }
    let message = ExportMessage {
        table_of: batch.id,
        key: key.to_owned(),
        format: format.as_str().to_owned(),
        columns: request.columns.clone(),
        conditions: request.conditions.clone(),
    };
    send_one(ports, Queue::Finalize, &message).await?;
    objects::put(ports, mark, Bytes::from_static(b"ordered")).await
}

/// How long an object has been there; `None` where there is none.
async fn age(ports: &Ports, key: &str) -> PipelineResult<Option<Duration>> {
    match ports.objects.head(&Path::from(key)).await {
        Ok(found) => {
            let now = ports.clock.now().as_millisecond();
            let since = now - found.last_modified.timestamp_millis();
            Ok(Some(Duration::from_millis(since.max(0) as u64)))
        }
        Err(Error::NotFound { .. }) => Ok(None),
        Err(source) => Err(PipelineError::Object {
            operation: "read",
            key: key.to_owned(),
            source,
        }),
    }
}

/// Writes the table that was ordered, unless it is there. One of a batch that is gone is nobody's.
pub async fn write(
    ports: &Ports,
    exporter: &Arc<dyn TableExporter>,
    message: &ExportMessage,
) -> PipelineResult<()> {
    let key = &message.key;
    let batch = ports.store.batch(message.table_of).await?;
    let Some(batch) = batch.filter(|batch| !batch.deleting) else {
        return Ok(());
    };
    let mut formats = ExportFormat::ALL.iter();
    let Some(format) = formats.find(|format| format.as_str() == message.format) else {
        return refuse(ports, key, "there is no such format").await;
    };
    if age(ports, key).await?.is_some() {
        return Ok(());
    }
    let request = TableRequest {
        columns: message.columns.clone(),
        conditions: message.conditions.clone(),
    };
    let id = batch.id;
    match store(ports, exporter, batch, *format, request, key).await {
        Ok(()) => {}
        Err(ExportError::Pipeline(error)) => return Err(error),
        Err(ExportError::Write(error)) => return Err(PipelineError::Scratch(error)),
        Err(error) => return refuse(ports, key, &error.to_string()).await,
    }
    let now = ports.store.batch(id).await?;
    if now.is_none_or(|batch| batch.deleting) {
        remove_object(ports, key).await?;
    }
    Ok(())
}

async fn refuse(ports: &Ports, key: &str, reason: &str) -> PipelineResult<()> {
    let body = Bytes::copy_from_slice(reason.as_bytes());
    objects::put(ports, keys::export_refusal(key), body).await
}

/// The object is there once all of it is.
async fn store(
    ports: &Ports,
    exporter: &Arc<dyn TableExporter>,
    batch: Batch,
    format: ExportFormat,
    request: TableRequest,
    key: &str,
) -> Result<(), ExportError> {
    let fail = |source| ExportError::Pipeline(written(key.to_owned(), source));
    let disposition = format!("attachment; filename=\"{}.{}\"", batch.id, format.as_str());
    let attributes = Attributes::from_iter([
        (Attribute::ContentType, format.content_type().to_owned()),
        (Attribute::ContentDisposition, disposition),
    ]);
    let exporter = Arc::clone(exporter);
    let mut pieces = table_pieces(exporter, ports.clone(), batch, format, request);
    let mut piece = pieces.recv().await.transpose()?;
    let options = PutMultipartOptions::from(attributes);
    let path = Path::from(key);
    let upload = ports.objects.put_multipart_opts(&path, options).await;
    let mut upload = WriteMultipart::new(upload.map_err(fail)?);
    while let Some(bytes) = piece {
        let room = upload.wait_for_capacity(UPLOADS_IN_FLIGHT).await;
        room.map_err(fail)?;
        upload.put(bytes);
        piece = match pieces.recv().await.transpose() {
            Ok(piece) => piece,
            Err(error) => {
                // What is kept of an abandoned upload expires with the bucket's rule for incomplete uploads.
                drop(upload.abort().await);
                return Err(error);
            }
        };
    }
    upload.finish().await.map_err(fail)?;
    Ok(())
}

//! Addresses of S3 at which lists are handed in: whole, or in the parts of a multipart upload.
//!
//! The upload's id is kept in an object of its own, so that whoever asks for the missing parts later goes on with the same upload. S3
//! alone knows which parts are there.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::ports::{PortError, PortErrorKind, PortResult, StoredPart, UploadUrl, UploadUrls};
use domain::{BatchId, keys};
use http::{Method, StatusCode};
use jiff::Timestamp;
use object_store::aws::AmazonS3;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::signer::{SignedUrlOptions, Signer};
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use serde::Deserialize;

use crate::transport::Transport;

/// How long an upload address is of use. Temporary credentials may end before that, and the address with them.
const UPLOAD_URL_LIFETIME: Duration = Duration::from_secs(15 * 60);
/// The same for what we ask ourselves, at once.
const LISTING_LIFETIME: Duration = Duration::from_secs(60);

/// Presigned addresses of S3.
pub(crate) struct PresignedUploads {
    pub(crate) bucket: Arc<AmazonS3>,
    pub(crate) transport: Transport,
}

/// A part as S3 lists it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedPart {
    part_number: u32,
    #[serde(rename = "ETag")]
    etag: String,
    size: u64,
}

/// An answer to `ListParts` (Amazon S3 API Reference).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListPartsResult {
    #[serde(default)]
    is_truncated: bool,
    next_part_number_marker: Option<u32>,
    #[serde(default, rename = "Part")]
    parts: Vec<ListedPart>,
}

fn key(batch: BatchId) -> Path {
    Path::from(keys::upload(batch))
}

/// Where the id of a batch's upload lies.
fn id_key(batch: BatchId) -> Path {
    Path::from(format!("{}/upload", keys::upload_parts(batch)))
}

fn failed(operation: &'static str) -> impl Fn(object_store::Error) -> PortError {
    move |error| PortError::new(PortErrorKind::Unavailable, operation, error)
}

impl PresignedUploads {
    async fn sign(
        &self,
        method: Method,
        batch: BatchId,
        lifetime: Duration,
        query: &[(&str, String)],
    ) -> PortResult<UploadUrl> {
        let expires_at = Timestamp::now() + lifetime;
        let query = query
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()));
        let (key, options) = (key(batch), SignedUrlOptions::new().with_query(query));
        let signed = self
            .bucket
            .signed_url_opts(method, &key, lifetime, &options);
        let url = signed.await.map_err(|error| {
            PortError::new(PortErrorKind::Rejected, "sign upload address", error)
        })?;
        Ok(UploadUrl {
            url: url.into(),
            expires_at,
        })
    }

    /// The id of a batch's upload; `None` where there is none.
    async fn id(&self, batch: BatchId) -> PortResult<Option<String>> {
        let unreadable = failed("read upload id");
        let found = match self.bucket.get(&id_key(batch)).await {
            Ok(found) => found.bytes().await.map_err(unreadable)?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        };
        Ok(Some(String::from_utf8_lossy(&found).into_owned()))
    }

    /// Begins an upload, unless another request just did.
    async fn begin(&self, batch: BatchId) -> PortResult<String> {
        let begun = self.bucket.create_multipart(&key(batch)).await;
        let id = begun.map_err(failed("begin upload"))?;
        let create = PutOptions::from(PutMode::Create);
        let kept = self
            .bucket
            .put_opts(&id_key(batch), id.clone().into(), create)
            .await;
        match kept {
            Ok(_) => Ok(id),
            Err(object_store::Error::AlreadyExists { .. }) => {
                let aborted = self.bucket.abort_multipart(&key(batch), &id).await;
                aborted.map_err(failed("abort upload"))?;
                self.id(batch).await?.ok_or_else(|| {
                    let gone = "the upload ended meanwhile";
                    PortError::new(PortErrorKind::Unavailable, "begin upload", gone)
                })
            }
            Err(error) => Err(failed("keep upload id")(error)),
        }
    }

    /// The parts of an upload that are there, ascending; `None` where S3 knows no such upload: it was put together, or expired.
    async fn listed(&self, batch: BatchId, id: &str) -> PortResult<Option<Vec<ListedPart>>> {
        let mut parts = Vec::new();
        let mut marker: Option<u32> = None;
        loop {
            let mut query = vec![("uploadId", id.to_owned())];
            query.extend(marker.map(|marker| ("part-number-marker", marker.to_string())));
            let address = self
                .sign(Method::GET, batch, LISTING_LIFETIME, &query)
                .await?;
            let asked = self.transport.get(&address.url).await;
            let (status, body) = asked
                .map_err(|error| PortError::new(PortErrorKind::Unavailable, "list parts", error))?;
            if status == StatusCode::NOT_FOUND {
                return Ok(None);
            }
            if !status.is_success() {
                let kind = if status.is_server_error() {
                    PortErrorKind::Unavailable
                } else {
                    PortErrorKind::Rejected
                };
                return Err(PortError::new(kind, "list parts", status.to_string()));
            }
            let page: ListPartsResult = quick_xml::de::from_reader(&*body)
                .map_err(|error| PortError::new(PortErrorKind::Corrupt, "list parts", error))?;
            parts.extend(page.parts);
            let next = page.next_part_number_marker.filter(|_| page.is_truncated);
            if next.is_none() || next <= marker {
                return Ok(Some(parts));
            }
            marker = next;
        }
    }

    async fn forget(&self, batch: BatchId) -> PortResult<()> {
        match self.bucket.delete(&id_key(batch)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed("forget upload id")(error)),
        }
    }
}

#[async_trait]
impl UploadUrls for PresignedUploads {
    async fn upload_url(&self, batch: BatchId) -> PortResult<UploadUrl> {
        self.sign(Method::PUT, batch, UPLOAD_URL_LIFETIME, &[])
            .await
    }

    async fn parts(&self, batch: BatchId, begins: bool) -> PortResult<Vec<StoredPart>> {
        let known = self.id(batch).await?;
        let listed = match &known {
            Some(id) => self.listed(batch, id).await?,
            None => None,
        };
        if listed.is_none() && begins {
            if known.is_some() {
                // S3 has given it up: unfinished uploads end after a day.
                self.forget(batch).await?;
            }
            self.begin(batch).await?;
        }
        let parts = listed.unwrap_or_default().into_iter();
        let parts = parts.map(|part| StoredPart {
            number: part.part_number,
            bytes: part.size,
        });
        Ok(parts.collect())
    }

    async fn part_url(
        &self,
        batch: BatchId,
        number: u32,
        _bytes: u64,
    ) -> PortResult<Option<UploadUrl>> {
        let Some(id) = self.id(batch).await? else {
            return Ok(None);
        };
        let query = [("partNumber", number.to_string()), ("uploadId", id)];
        let signed = self.sign(Method::PUT, batch, UPLOAD_URL_LIFETIME, &query);
        signed.await.map(Some)
    }

    async fn put_together(&self, batch: BatchId) -> PortResult<()> {
        let Some(id) = self.id(batch).await? else {
            return Ok(());
        };
        if let Some(parts) = self.listed(batch, &id).await? {
            let parts = parts.into_iter().map(|part| PartId {
                content_id: part.etag,
            });
            let done = self
                .bucket
                .complete_multipart(&key(batch), &id, parts.collect())
                .await;
            done.map_err(failed("put parts together"))?;
        }
        self.forget(batch).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_read_with_parts_and_without() {
        let text = r#"<?xml version="1.0" encoding="UTF-8"?>
            <ListPartsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Bucket>b</Bucket><Key>uploads/1</Key>
            <UploadId>x</UploadId><PartNumberMarker>0</PartNumberMarker><NextPartNumberMarker>2</NextPartNumberMarker>
            <MaxParts>2</MaxParts><IsTruncated>true</IsTruncated>
            <Part><PartNumber>1</PartNumber><LastModified>2026-01-31T12:00:00.000Z</LastModified><ETag>&quot;a&quot;</ETag><Size>10</Size></Part>
            <Part><PartNumber>2</PartNumber><ETag>"b"</ETag><Size>5</Size></Part></ListPartsResult>"#;
        let page: ListPartsResult = quick_xml::de::from_str(text).unwrap();
        assert_eq!(
            (page.is_truncated, page.next_part_number_marker),
            (true, Some(2))
        );
        let parts: Vec<(u32, &str, u64)> = page
            .parts
            .iter()
            .map(|part| (part.part_number, part.etag.as_str(), part.size))
            .collect();
        assert_eq!(parts, [(1, "\"a\"", 10), (2, "\"b\"", 5)]);
        let none = "<ListPartsResult><IsTruncated>false</IsTruncated></ListPartsResult>";
        let page: ListPartsResult = quick_xml::de::from_str(none).unwrap();
        assert!(page.parts.is_empty() && !page.is_truncated);
    }
}

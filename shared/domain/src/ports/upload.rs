//! Addresses at which lists are handed in, and tables fetched, without passing through the API.

use std::fmt;

use async_trait::async_trait;
use jiff::Timestamp;

use super::PortResult;
use crate::BatchId;

/// Longest list that one request to a presigned address takes, in bytes: what Amazon S3 takes in one PUT.
pub const MAX_PRESIGNED_BYTES: u64 = 5 * 1024 * 1024 * 1024;

/// An address that takes one list. Whoever knows it may use it, so it is kept out of logs.
#[derive(Clone, PartialEq, Eq)]
pub struct UploadUrl {
    /// Where to PUT the list.
    pub url: String,
    /// When it stops being of use.
    pub expires_at: Timestamp,
}

impl fmt::Debug for UploadUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("UploadUrl")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Hands out addresses of objects for whoever may read them.
#[async_trait]
pub trait DownloadUrls: fmt::Debug + Send + Sync + 'static {
    /// An address that answers a GET with the object at `key` within the next minutes, if it is there. Whoever knows it may use it, so it is
    /// kept out of logs.
    async fn download_url(&self, key: &str) -> PortResult<String>;
}

/// Hands out addresses for lists that are too large for the API.
#[async_trait]
pub trait UploadUrls: Send + Sync + 'static {
    /// An address that takes one PUT of at most [`MAX_PRESIGNED_BYTES`], stored at [`crate::keys::upload`] of this batch, within the
    /// next minutes. Asking again hands out another one; both then lead to the same place.
    async fn upload_url(&self, batch: BatchId) -> PortResult<UploadUrl>;
}

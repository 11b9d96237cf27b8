//! Addresses at which lists are handed in, and tables fetched, without passing through the API.

use std::fmt;

use async_trait::async_trait;
use jiff::Timestamp;

use super::PortResult;
use crate::BatchId;

/// Longest list that one request to a presigned address takes, in bytes: what Amazon S3 takes in one PUT.
pub const MAX_PRESIGNED_BYTES: u64 = 5 * 1024 * 1024 * 1024;

/// Most parts of a list, as of Amazon S3.
pub const MAX_PARTS: u32 = 10_000;

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

/// A part of a list that is there, whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredPart {
    /// Its number, from 1.
    pub number: u32,
    /// Its length.
    pub bytes: u64,
}

/// Hands out addresses of objects for whoever may read them.
#[async_trait]
pub trait DownloadUrls: fmt::Debug + Send + Sync + 'static {
    /// An address that answers a GET with the object at `key` within the next minutes, if it is there. Whoever knows it may use it, so it is
    /// kept out of logs.
    async fn download_url(&self, key: &str) -> PortResult<String>;
}

/// Hands out addresses for lists that are too large for the API.
///
/// A list goes in at one address, or in parts, each at an address of its own: whatever breaks off, the parts that are there stay, and
/// the others can be asked for again.
#[async_trait]
pub trait UploadUrls: Send + Sync + 'static {
    /// An address that takes one PUT of at most [`MAX_PRESIGNED_BYTES`], stored at [`crate::keys::upload`] of this batch, within the
    /// next minutes. Asking again hands out another one; both then lead to the same place.
    async fn upload_url(&self, batch: BatchId) -> PortResult<UploadUrl>;

    /// The parts of a batch's list that are there, ascending; none where nobody began. Begins to take parts if `begins`.
    async fn parts(&self, batch: BatchId, begins: bool) -> PortResult<Vec<StoredPart>>;

    /// An address that takes the one PUT of part `number`, from 1 to [`MAX_PARTS`], of exactly `bytes`. Put again, a part replaces itself.
    /// `None` where nobody began to take parts, or they were put together.
    async fn part_url(
        &self,
        batch: BatchId,
        number: u32,
        bytes: u64,
    ) -> PortResult<Option<UploadUrl>>;

    /// Puts the parts that are there together, in their order: the list then lies where one PUT would have put it. Done again, it changes
    /// nothing.
    async fn put_together(&self, batch: BatchId) -> PortResult<()>;
}

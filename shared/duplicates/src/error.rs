//! What can go wrong: the disk, the settings, the row numbers, or an index file of earlier batches.

use std::io;

/// What this crate returns.
pub type DuplicatesResult<T> = Result<T, DuplicatesError>;

/// The search could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DuplicatesError {
    /// The scratch folder failed: full, read-only or gone.
    #[error("scratch space could not be used")]
    Scratch(#[source] io::Error),
    /// A setting is outside its range.
    #[error("{name} must be {range}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// What it may be.
        range: &'static str,
    },
    /// A row number, or the number of batches in an index, is beyond what a key holds.
    #[error("{what} {value} is larger than {most}")]
    TooLarge {
        /// `row` or `batch`.
        what: &'static str,
        /// What it was.
        value: u64,
        /// What it may be.
        most: u64,
    },
    /// An index was offered after rows, or a second time.
    #[error("an index of earlier batches comes before the first row, and once")]
    IndexTooLate,
    /// An index file could not be read or written.
    #[error("the index of earlier batches could not be used")]
    IndexIo(#[source] io::Error),
    /// An index file is no index, damaged, or of another version.
    #[error("the index of earlier batches is not valid: {0}")]
    InvalidIndex(&'static str),
    /// An index was made with other settings: its representatives would mean something else.
    #[error("the index of earlier batches was made with another {0}")]
    OtherSettings(&'static str),
}

impl DuplicatesError {
    /// Whether the same work may succeed later.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Scratch(_) | Self::IndexIo(_))
    }
}

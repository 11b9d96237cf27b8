//! What makes a whole list unreadable.

use std::fmt;
use std::io;

use crate::decompress::{Compression, RatioExceeded};
use crate::source::SourceFailure;
use crate::{RowFault, columns};

/// Why a list cannot be read, or cannot be read any further. Displays as a sentence for the person who handed the list in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// The source failed; says nothing about the list. A retry may help.
    #[error("reading the list failed after {rows} rows: {source}")]
    Source {
        /// Rows read before.
        rows: u64,
        /// The source's own error.
        source: io::Error,
    },
    /// Zero bytes, or white space only.
    #[error("the list is empty")]
    Empty,
    /// A header line and nothing after it.
    #[error("the list has a header line but no rows")]
    NoRows,
    /// No column looks like it holds URLs.
    #[error("no column of the list holds URLs (found: {}); name one with --url-column", columns::shown(.columns))]
    NoUrlColumn {
        /// The columns there are.
        columns: Vec<String>,
    },
    /// The column asked for is not there.
    #[error("the list has no column {asked:?} (found: {})", columns::shown(.columns))]
    UnknownUrlColumn {
        /// The column asked for.
        asked: String,
        /// The columns there are.
        columns: Vec<String>,
    },
    /// The header has more columns than any spreadsheet.
    #[error("the header of the list has more than {limit} columns")]
    TooManyColumns {
        /// Columns allowed.
        limit: usize,
    },
    /// The header line, or the first row of a list without one, cannot be read.
    #[error("the first row of the list cannot be read: {0}")]
    UnreadableFirstRow(#[source] RowFault),
    /// Not one of the first lines is a JSON object or string.
    #[error(
        "no line of the list's first 64 KB is a JSON object or string; NDJSON has one on each line"
    )]
    NoJson,
    /// One JSON document over many lines, or an array.
    #[error(
        "the list is one JSON document, not NDJSON: write one JSON object on each line, without brackets and commas around them"
    )]
    JsonDocument,
    /// The compressed stream stops in the middle.
    #[error("the {compression} stream is truncated: it stops after {rows} rows ({lines} lines)")]
    Truncated {
        /// How the list is compressed.
        compression: Compression,
        /// Rows read before.
        rows: u64,
        /// Lines read before.
        lines: u64,
    },
    /// The compressed stream is damaged.
    #[error("the {compression} stream is corrupt after {rows} rows ({lines} lines): {source}")]
    Corrupt {
        /// How the list is compressed.
        compression: Compression,
        /// Rows read before.
        rows: u64,
        /// Lines read before.
        lines: u64,
        /// The decoder's own error.
        source: io::Error,
    },
    /// The list grows too much when decompressed.
    #[error(
        "the {compression} stream grows more than {limit} times when decompressed; stopped after {rows} rows"
    )]
    TooCompressible {
        /// How the list is compressed.
        compression: Compression,
        /// `Limits::max_decompression_ratio`.
        limit: u64,
        /// Rows read before.
        rows: u64,
    },
    /// A compressed stream inside a compressed stream.
    #[error("the list is compressed twice ({inner} inside {outer}): compress it once")]
    CompressedTwice {
        /// The compression of the list.
        outer: Compression,
        /// The compression of what is inside.
        inner: Compression,
    },
    /// An encoding other than UTF-8 and UTF-16 with a byte order mark.
    #[error("the list looks like {encoding}: save it as UTF-8")]
    UnsupportedEncoding {
        /// What it looks like.
        encoding: &'static str,
    },
    /// Some other kind of file.
    #[error("this is {what}, not a list{advice}")]
    NotAList {
        /// What it is, with its article.
        what: &'static str,
        /// What to do about it, with its punctuation; may be empty.
        advice: &'static str,
    },
}

impl ListError {
    /// Whether the source failed rather than the list: a retry may help, and the list is not to blame.
    pub const fn is_infrastructure(&self) -> bool {
        matches!(self, Self::Source { .. })
    }

    /// Tells apart what came through the chain of readers as one `io::Error`.
    pub(crate) fn from_read(
        error: io::Error,
        compression: Compression,
        rows: u64,
        lines: u64,
    ) -> Self {
        let error = match error.downcast::<SourceFailure>() {
            Ok(failure) => {
                let source = failure.into_inner();
                return Self::Source { rows, source };
            }
            Err(error) => error,
        };
        let error = match error.downcast::<RatioExceeded>() {
            Ok(RatioExceeded { limit }) => {
                return Self::TooCompressible {
                    compression,
                    limit,
                    rows,
                };
            }
            Err(error) => error,
        };
        if compression == Compression::None {
            return Self::Source {
                rows,
                source: error,
            };
        }
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Self::Truncated {
                compression,
                rows,
                lines,
            };
        }
        Self::Corrupt {
            compression,
            rows,
            lines,
            source: error,
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

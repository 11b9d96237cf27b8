//! What can be wrong with one row while the list goes on.

/// Why a row has no usable URL cell. Displays as a sentence with the line number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowFault {
    /// The row ends before the URL column.
    #[error("line {line} ends before the column {column:?}")]
    MissingCell {
        /// Line the row starts on, from 1.
        line: u64,
        /// The URL column, shortened for display.
        column: String,
    },
    /// The URL cell holds nothing, or white space only.
    #[error("the column {column:?} is empty on line {line}")]
    EmptyCell {
        /// Line the row starts on, from 1.
        line: u64,
        /// The URL column, shortened for display.
        column: String,
    },
    /// The URL cell holds a NUL byte.
    #[error("the URL on line {line} contains a NUL byte")]
    Nul {
        /// Line the row starts on, from 1.
        line: u64,
    },
    /// A byte sequence of the row is not UTF-8. Cells that are UTF-8 are still carried.
    #[error("line {line} is not valid UTF-8")]
    NotUtf8 {
        /// Line the row starts on, from 1.
        line: u64,
    },
    /// A cell is longer than `Limits::max_field_bytes`. The other cells are carried where the row's end could be found.
    #[error("a cell of the row on line {line} is longer than {limit} bytes")]
    CellTooLong {
        /// Line the row starts on, from 1.
        line: u64,
        /// Bytes allowed.
        limit: usize,
    },
    /// The URL is longer than `Limits::max_url_bytes`.
    #[error("the URL on line {line} is {bytes} bytes long, more than the {limit} allowed")]
    UrlTooLong {
        /// Line the row starts on, from 1.
        line: u64,
        /// Bytes found.
        bytes: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The row is longer than `Limits::max_row_bytes`. None of its cells is carried.
    #[error("the row on line {line} is longer than {limit} bytes")]
    RowTooLong {
        /// Line the row starts on, from 1.
        line: u64,
        /// Bytes allowed.
        limit: usize,
    },
    /// The row has more cells than any spreadsheet. None of them is carried.
    #[error("the row on line {line} has more than {limit} cells")]
    TooManyCells {
        /// Line the row starts on, from 1.
        line: u64,
        /// Cells allowed.
        limit: usize,
    },
    /// A quoted cell runs into the end of the list, into the cell limit, or into a quote that cannot be its end. Reading goes on with
    /// the line after `quote_line`.
    #[error("the quote opened on line {quote_line} is never closed")]
    UnclosedQuote {
        /// Line the row starts on, from 1.
        line: u64,
        /// Line the quote is on: later than `line` where earlier cells of the row span lines.
        quote_line: u64,
    },
    /// The line is not a JSON object or string.
    #[error("line {line} is not a JSON object or string: {reason}")]
    MalformedJson {
        /// Line of the row, from 1.
        line: u64,
        /// What the JSON parser says.
        reason: String,
    },
    /// The JSON object lacks the URL key.
    #[error("the object on line {line} has no key {key:?}")]
    MissingKey {
        /// Line of the row, from 1.
        line: u64,
        /// The URL key, shortened for display.
        key: String,
    },
    /// The value of the URL key is no string.
    #[error("the value of {key:?} on line {line} is not a string")]
    NotAString {
        /// Line of the row, from 1.
        line: u64,
        /// The URL key, shortened for display.
        key: String,
    },
}

impl RowFault {
    /// Line of the list the row starts on, from 1.
    pub const fn line(&self) -> u64 {
        match self {
            Self::MissingCell { line, .. }
            | Self::EmptyCell { line, .. }
            | Self::Nul { line }
            | Self::NotUtf8 { line }
            | Self::CellTooLong { line, .. }
            | Self::UrlTooLong { line, .. }
            | Self::RowTooLong { line, .. }
            | Self::TooManyCells { line, .. }
            | Self::UnclosedQuote { line, .. }
            | Self::MalformedJson { line, .. }
            | Self::MissingKey { line, .. }
            | Self::NotAString { line, .. } => *line,
        }
    }
}

//! The reader: opens a list, then lends its rows.

use std::fmt;
use std::io::Read;

use domain::{Limits, ListFormat};
use encoding_rs_io::{DecodeReaderBytes, DecodeReaderBytesBuilder};
use memchr::{memchr, memchr2};

use crate::content;
use crate::decompress::{Compression, Decompressor};
use crate::detect::{self, Layout, Sample};
use crate::ndjson::{self, NdjsonParser};
use crate::records::{Record, Records};
use crate::scanner::NO_DELIMITER;
use crate::source::{Peeked, Source};
use crate::table::{TableParser, check_url};
use crate::window::Window;
use crate::{Extra, ListError, ListRow, RowFault};

/// Text looked at to tell how a list is written.
const SAMPLE_BYTES: usize = 64 * 1024;

/// Bytes looked at to tell how a list is compressed.
const MAGIC_BYTES: u64 = 16;

/// Bytes looked at to tell which encoding a text has, and whether it is one.
const CONTENT_BYTES: u64 = 8 * 1024;

/// What is known about a list before it is opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListOptions {
    /// File name, or empty. Its extension tells the format, with or without `.gz` or `.zst` after it.
    pub name: String,
    /// The format, where the user said so.
    pub format: Option<ListFormat>,
    /// Name of the URL column, where the user said so.
    pub url_column: Option<String>,
}

/// How the text of a list is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// UTF-8, with or without a byte order mark.
    Utf8,
    /// UTF-16, little endian, with a byte order mark.
    Utf16Le,
    /// UTF-16, big endian, with a byte order mark.
    Utf16Be,
}

/// What was found out when the list was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Detected {
    /// How rows are written.
    pub format: ListFormat,
    /// How the list is compressed.
    pub compression: Compression,
    /// How the text is encoded.
    pub encoding: Encoding,
    /// What separates cells; none where a row has one cell only, and for JSON and plain text.
    pub delimiter: Option<char>,
    /// Whether the first line names the columns.
    pub has_header: bool,
    /// The column with the URLs: one of `header`.
    pub url_column: String,
    /// Names of the columns, in order: from the header line, made up (`column_1` …) where there is none, the keys of the first
    /// objects for NDJSON, `url` for plain text.
    pub header: Vec<String>,
}

/// The decompressed bytes of a list, transcoded to UTF-8.
type Text<R> = DecodeReaderBytes<Peeked<Decompressor<R>>, Vec<u8>>;

#[derive(Debug)]
enum Parser {
    Text {
        column: String,
        max_url_bytes: usize,
    },
    Table(Box<TableParser>),
    Ndjson(NdjsonParser),
}

/// Reads an untrusted list row by row, in memory bounded by the row and cell limits whatever the list holds.
pub struct ListReader<R> {
    records: Records<Text<R>>,
    parser: Parser,
    detected: Detected,
    rows: u64,
    ended: bool,
}

impl<R: Read> ListReader<R> {
    /// Looks at the beginning of `source` and tells how the list is written.
    ///
    /// A stream that breaks within that beginning is opened all the same: its rows come first, then the error.
    pub fn open(source: R, options: &ListOptions, limits: &Limits) -> Result<Self, ListError> {
        let (content, compression) = decompress(source, limits)?;
        let encoding = content::encoding_of(content.head())?;
        let text = DecodeReaderBytesBuilder::new()
            .bom_override(true)
            .strip_bom(true)
            .utf8_passthru(true)
            .build(content);
        let most = limits.max_row_bytes.max(limits.max_field_bytes);
        let mut window = Window::new(text, most);
        skip_blank_start(&mut window, compression)?;
        look_at_first_line(&mut window, limits.max_row_bytes);

        let sample = Sample {
            text: window.data(),
            is_all: window.at_end(),
            line: window.line(),
            lone_cr: window.lone_cr(),
            max_cell_bytes: limits.max_field_bytes,
        };
        let layout = match detect::layout(sample, options) {
            Ok(layout) => layout,
            // A list that breaks off so early looks like something else for that reason.
            Err(error) => return Err(failure_of(&mut window, compression).unwrap_or(error)),
        };
        let dialect = layout.dialect;
        let mut records = Records::new(
            window,
            dialect,
            limits.max_field_bytes,
            limits.max_row_bytes,
        );
        if layout.has_header {
            skip_header(&mut records, !layout.header.is_empty(), compression)?;
        }
        let parser = parser(&layout, limits);
        let has_delimiter = dialect.quotes && dialect.delimiter != NO_DELIMITER;
        let detected = Detected {
            format: layout.format,
            compression,
            encoding,
            delimiter: has_delimiter.then(|| char::from(dialect.delimiter)),
            has_header: layout.has_header,
            url_column: layout.header.get(layout.url).cloned().unwrap_or_default(),
            header: layout.header,
        };
        Ok(Self {
            records,
            parser,
            detected,
            rows: 0,
            ended: false,
        })
    }

    /// The next row, lent until the next call; `None` at the end of the list and after an error.
    ///
    /// An error means that the list cannot be read from here on; the rows before it are good.
    pub fn next_row(&mut self) -> Option<Result<ListRow<'_>, ListError>> {
        if self.ended {
            return None;
        }
        let record = match self.records.next() {
            Ok(Some(record)) => record,
            Ok(None) => {
                self.ended = true;
                return (self.rows == 0).then_some(Err(ListError::NoRows));
            }
            Err(error) => {
                self.ended = true;
                let lines = self.records.window().line() - 1;
                let compression = self.detected.compression;
                let error = ListError::from_read(error, compression, self.rows, lines);
                return Some(Err(error));
            }
        };
        self.rows += 1;
        let (range, line, quoted) = match record {
            Record::Faulty(fault) => return Some(Ok(ndjson::faulty(fault))),
            Record::Whole {
                range,
                line,
                quoted,
            } => (range, line, quoted),
        };
        let record = self.records.window().slice(range);
        Some(Ok(match &mut self.parser {
            Parser::Text {
                column,
                max_url_bytes,
            } => text_row(record, line, column, *max_url_bytes),
            Parser::Table(parser) => parser.parse(record, line, quoted),
            Parser::Ndjson(parser) => parser.parse(record, line),
        }))
    }

    /// What was found out when the list was opened.
    pub const fn detected(&self) -> &Detected {
        &self.detected
    }

    /// Rows lent so far, faulty ones included.
    pub const fn rows_read(&self) -> u64 {
        self.rows
    }

    /// Bytes in the buffers that grow with the rows, decoders not counted.
    pub fn buffer_bytes(&self) -> usize {
        let parser = match &self.parser {
            Parser::Text { .. } => 0,
            Parser::Table(parser) => parser.capacity(),
            Parser::Ndjson(parser) => parser.capacity(),
        };
        self.records.window().capacity() + parser
    }
}

impl<R> fmt::Debug for ListReader<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ListReader")
            .field("detected", &self.detected)
            .field("rows", &self.rows)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

fn decompress<R: Read>(
    source: R,
    limits: &Limits,
) -> Result<(Peeked<Decompressor<R>>, Compression), ListError> {
    let mut source = Peeked::new(Source::new(source), MAGIC_BYTES);
    if let Some(error) = source.immediate_failure() {
        return Err(ListError::from_read(error, Compression::None, 0, 0));
    }
    let compression = Compression::of(source.head());
    let failed = |error| ListError::from_read(error, compression, 0, 0);
    let content = Decompressor::new(source, limits.max_decompression_ratio).map_err(failed)?;
    let mut content = Peeked::new(content, CONTENT_BYTES);
    if let Some(error) = content.immediate_failure() {
        return Err(failed(error));
    }
    if content.head().is_empty() {
        return Err(ListError::Empty);
    }
    let inner = Compression::of(content.head());
    if inner != Compression::None {
        let outer = compression;
        return Err(ListError::CompressedTwice { outer, inner });
    }
    Ok((content, compression))
}

fn skip_blank_start<R: Read>(
    window: &mut Window<R>,
    compression: Compression,
) -> Result<(), ListError> {
    loop {
        window.look_ahead(SAMPLE_BYTES);
        let data = window.data();
        if !data.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        let lone_cr = memchr(b'\n', data).is_none();
        let length = data.len();
        window.set_lone_cr(lone_cr);
        window.consume(length);
        if let Some(error) = failure_of(window, compression) {
            return Err(error);
        }
        if window.at_end() {
            return Err(ListError::Empty);
        }
    }
}

fn failure_of<R: Read>(window: &mut Window<R>, compression: Compression) -> Option<ListError> {
    let lines = window.line() - 1;
    let failure = window.take_failure()?;
    Some(ListError::from_read(failure, compression, 0, lines))
}

/// Tells how lines end. A first line that is longer than the sample is read to its end, as far as a row may go.
fn look_at_first_line<R: Read>(window: &mut Window<R>, max_row_bytes: usize) {
    let mut length = SAMPLE_BYTES;
    while memchr2(b'\n', b'\r', window.data()).is_none()
        && window.data().len() >= length
        && length < max_row_bytes
    {
        length = length.saturating_mul(2).min(max_row_bytes);
        window.look_ahead(length);
    }
    let has_no_line_feed = memchr(b'\n', window.data()).is_none();
    window.set_lone_cr(has_no_line_feed && memchr(b'\r', window.data()).is_some());
}

fn skip_header<R: Read>(
    records: &mut Records<R>,
    is_known: bool,
    compression: Compression,
) -> Result<(), ListError> {
    match records.next() {
        Ok(Some(Record::Whole { .. })) if is_known => Ok(()),
        Ok(Some(Record::Whole { line, .. })) => {
            let limit = SAMPLE_BYTES;
            let fault = RowFault::RowTooLong { line, limit };
            Err(ListError::UnreadableFirstRow(fault))
        }
        Ok(Some(Record::Faulty(fault))) => Err(ListError::UnreadableFirstRow(fault)),
        Ok(None) => Err(ListError::Empty),
        Err(error) => {
            let lines = records.window().line() - 1;
            Err(ListError::from_read(error, compression, 0, lines))
        }
    }
}

fn parser(layout: &Layout, limits: &Limits) -> Parser {
    let column = layout.header.get(layout.url).cloned().unwrap_or_default();
    match layout.format {
        ListFormat::Text => Parser::Text {
            column,
            max_url_bytes: limits.max_url_bytes,
        },
        ListFormat::Ndjson => Parser::Ndjson(NdjsonParser::new(column, limits)),
        ListFormat::Csv | ListFormat::Tsv => Parser::Table(Box::new(TableParser::new(
            layout.dialect.delimiter,
            layout.header.clone(),
            layout.url,
            limits,
        ))),
    }
}

fn text_row<'a>(record: &'a [u8], line: u64, column: &str, max_url_bytes: usize) -> ListRow<'a> {
    let Ok(text) = str::from_utf8(record) else {
        return ndjson::faulty(RowFault::NotUtf8 { line });
    };
    ListRow {
        line,
        cell: check_url(text, line, column, max_url_bytes),
        extra: Extra::default(),
    }
}

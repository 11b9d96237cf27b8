//! How a list is written, told from its name and its beginning.

use std::collections::HashMap;

use domain::ListFormat;

use crate::columns::{self, MAX_COLUMNS, is_http_url};
use crate::ndjson::{JsonLine, Line};
use crate::records::is_blank;
use crate::scanner::{Dialect, NO_DELIMITER, Scan, Scanner};
use crate::table::{Splitter, Uncuttable};
use crate::{ListError, ListOptions, RowFault};

/// Records looked at, besides the header.
const SAMPLE_RECORDS: usize = 20;

/// What was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) format: ListFormat,
    pub(crate) dialect: Dialect,
    pub(crate) has_header: bool,
    pub(crate) header: Vec<String>,
    /// Index of the URL column in the header.
    pub(crate) url: usize,
}

/// The beginning of the text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample<'a> {
    pub(crate) text: &'a [u8],
    /// Whether this is the whole text.
    pub(crate) is_all: bool,
    /// Line it begins on, from 1.
    pub(crate) line: u64,
    pub(crate) lone_cr: bool,
    pub(crate) max_cell_bytes: usize,
}

/// Tells how the list is written. `sample` is not blank.
pub(crate) fn layout(sample: Sample<'_>, options: &ListOptions) -> Result<Layout, ListError> {
    let wanted = options.url_column.as_deref();
    let lines = sample.records(Dialect::lines(sample.lone_cr))?;
    let format = options
        .format
        .or_else(|| format_of_name(&options.name))
        .unwrap_or_else(|| format_of_content(&lines));
    match format {
        ListFormat::Text => text_layout(sample, wanted),
        ListFormat::Ndjson => ndjson_layout(sample, &lines, wanted),
        ListFormat::Tsv | ListFormat::Csv => table_layout(sample, format, &lines, wanted),
    }
}

/// The format that a file name promises. `.txt` promises nothing: tables are called that too.
fn format_of_name(name: &str) -> Option<ListFormat> {
    let mut parts = name.rsplit('.');
    let mut extension = parts.next()?.to_ascii_lowercase();
    if matches!(extension.as_str(), "gz" | "gzip" | "zst" | "zstd") {
        extension = parts.next()?.to_ascii_lowercase();
    }
    parts.next()?;
    match extension.as_str() {
        "csv" => Some(ListFormat::Csv),
        "tsv" | "tab" => Some(ListFormat::Tsv),
        "ndjson" | "jsonl" | "json" | "ldjson" => Some(ListFormat::Ndjson),
        "urls" => Some(ListFormat::Text),
        _ => None,
    }
}

fn format_of_content(lines: &[Vec<String>]) -> ListFormat {
    let lines: Vec<&str> = lines.iter().flatten().map(|line| line.trim()).collect();
    if lines
        .first()
        .is_some_and(|line| line.starts_with(['{', '[']))
        || are_json_urls(&lines)
    {
        return ListFormat::Ndjson;
    }
    if are_bare_urls(&lines) {
        return ListFormat::Text;
    }
    ListFormat::Csv
}

/// Whether the lines are JSON strings and the first of them is a URL, not a header.
fn are_json_urls(lines: &[&str]) -> bool {
    let Some(first) = lines.first() else {
        return false;
    };
    let mut parsed = JsonLine::default();
    parsed.parse(first) == Ok(Line::String)
        && is_http_url(&parsed.text)
        && lines
            .iter()
            .all(|line| parsed.parse(line) == Ok(Line::String))
}

/// Whether the lines are URLs and nothing else. Lines that are no URL at all may be among them; a URL with white space or a quote in
/// its line is a table.
fn are_bare_urls(lines: &[&str]) -> bool {
    let mut bare = 0;
    for line in lines {
        let has_more = line.contains(|letter: char| letter == '"' || letter.is_whitespace());
        if !has_more && is_http_url(line) {
            bare += 1;
        } else if is_http_url(line.trim_start_matches('"')) {
            return false;
        }
    }
    lines.first().is_some_and(|first| is_http_url(first)) && bare * 2 > lines.len()
}

fn text_layout(sample: Sample<'_>, wanted: Option<&str>) -> Result<Layout, ListError> {
    let header = vec!["url".to_owned()];
    let url = wanted_column(wanted, &header)?.unwrap_or(0);
    Ok(Layout {
        format: ListFormat::Text,
        dialect: Dialect::lines(sample.lone_cr),
        has_header: false,
        header,
        url,
    })
}

fn ndjson_layout(
    sample: Sample<'_>,
    lines: &[Vec<String>],
    wanted: Option<&str>,
) -> Result<Layout, ListError> {
    let mut parsed = JsonLine::default();
    let mut header: Vec<String> = Vec::new();
    let mut columns_by_name = HashMap::new();
    let mut urls: Vec<usize> = Vec::new();
    let (mut objects, mut strings) = (0, 0);
    for line in lines.iter().flatten() {
        match parsed.parse(line) {
            Ok(Line::String) => strings += 1,
            Ok(Line::Object) => {
                objects += 1;
                for pair in parsed.pairs.iter().take(MAX_COLUMNS) {
                    let name = &parsed.text[pair.name.clone()];
                    let value = &parsed.text[pair.value.clone()];
                    let column = *columns_by_name.entry(name.to_owned()).or_insert_with(|| {
                        header.push(name.to_owned());
                        urls.push(0);
                        header.len() - 1
                    });
                    urls[column] += usize::from(is_http_url(value));
                }
            }
            Err(_) => {}
        }
    }
    let first = lines.iter().flatten().next().map_or("", |line| line.trim());
    let readable = objects + strings;
    let is_array = first.starts_with('[') && readable * 2 <= lines.len();
    let is_object = first == "{" && readable == 0;
    if is_array || is_object {
        return Err(ListError::JsonDocument);
    }
    if readable == 0 {
        return Err(ListError::NoJson);
    }
    if header.is_empty() {
        header.push("url".to_owned());
    }
    let url = match wanted_column(wanted, &header)? {
        Some(url) => url,
        None if objects == 0 => 0,
        None => match columns::guess(&header, &urls, objects) {
            Some(url) => url,
            None => return Err(ListError::NoUrlColumn { columns: header }),
        },
    };
    Ok(Layout {
        format: ListFormat::Ndjson,
        dialect: Dialect::lines(sample.lone_cr),
        has_header: false,
        header,
        url,
    })
}

fn table_layout(
    sample: Sample<'_>,
    format: ListFormat,
    lines: &[Vec<String>],
    wanted: Option<&str>,
) -> Result<Layout, ListError> {
    let delimiter = choose_delimiter(sample, format, lines)?;
    let dialect = Dialect::table(delimiter, sample.lone_cr);
    let format = match delimiter {
        NO_DELIMITER => format,
        b'\t' => ListFormat::Tsv,
        _ => ListFormat::Csv,
    };
    let records = sample.records(dialect)?;
    let Some((first, others)) = records.split_first() else {
        // Whoever reads the first row will say why it cannot be read.
        return Ok(Layout {
            format,
            dialect,
            has_header: true,
            header: Vec::new(),
            url: 0,
        });
    };
    let names = columns::header_names(first);
    if names.iter().any(|name| name.len() > sample.max_cell_bytes) {
        let (line, limit) = (sample.line, sample.max_cell_bytes);
        let fault = RowFault::CellTooLong { line, limit };
        return Err(ListError::UnreadableFirstRow(fault));
    }
    let is_wanted = wanted.is_some_and(|wanted| columns::named(wanted, &names).is_some());
    let has_header = is_wanted || !first.iter().any(|cell| is_http_url(cell));
    let (header, data) = if has_header {
        (names, others)
    } else {
        let header = (0..first.len()).map(columns::made_up).collect();
        (header, &records[..])
    };
    let data = &data[..data.len().min(SAMPLE_RECORDS)];
    let url = match wanted_column(wanted, &header)? {
        Some(url) => url,
        None => match columns::guess(&header, &count_urls(data, header.len()), data.len()) {
            Some(url) => url,
            None => return Err(ListError::NoUrlColumn { columns: header }),
        },
    };
    Ok(Layout {
        format,
        dialect,
        has_header,
        header,
        url,
    })
}

fn wanted_column(wanted: Option<&str>, header: &[String]) -> Result<Option<usize>, ListError> {
    let Some(wanted) = wanted else {
        return Ok(None);
    };
    match columns::named(wanted, header) {
        Some(column) => Ok(Some(column)),
        None => Err(ListError::UnknownUrlColumn {
            asked: wanted.to_owned(),
            columns: header.to_vec(),
        }),
    }
}

fn count_urls(records: &[Vec<String>], columns: usize) -> Vec<usize> {
    let mut urls = vec![0; columns];
    for record in records {
        for (count, cell) in urls.iter_mut().zip(record) {
            *count += usize::from(is_http_url(cell));
        }
    }
    urls
}

/// The delimiter that cuts most records into as many cells as the first one; of equals the one with more cells, then the earlier.
///
/// A list of one column has no delimiter, however many commas are in its URLs.
fn choose_delimiter(
    sample: Sample<'_>,
    format: ListFormat,
    lines: &[Vec<String>],
) -> Result<u8, ListError> {
    let delimiters: &[u8] = match format {
        ListFormat::Tsv => b"\t",
        _ => b"\t;,",
    };
    let mut best = NO_DELIMITER;
    let mut best_score = (0, 1);
    let mut best_is_even = false;
    let mut failure = None;
    for &delimiter in delimiters {
        let records = match sample.records(Dialect::table(delimiter, sample.lone_cr)) {
            Ok(records) => records,
            Err(error) => {
                failure = Some(error);
                continue;
            }
        };
        let cells = records.first().map_or(0, Vec::len);
        if cells < 2 {
            continue;
        }
        let alike = records
            .iter()
            .filter(|record| record.len() == cells)
            .count();
        if (alike, cells) > best_score {
            best = delimiter;
            best_score = (alike, cells);
            best_is_even = alike == records.len();
        }
    }
    // Bare URLs, some with commas: cutting them would fetch something else than was asked for.
    let lines: Vec<&str> = lines.iter().flatten().map(|line| line.trim()).collect();
    if !best_is_even && are_bare_urls(&lines) {
        return Ok(NO_DELIMITER);
    }
    match failure {
        Some(error) if best == NO_DELIMITER => Err(error),
        _ => Ok(best),
    }
}

impl Sample<'_> {
    /// The first records, cut into cells, without those that cannot be read.
    fn records(&self, dialect: Dialect) -> Result<Vec<Vec<String>>, ListError> {
        let mut records = Vec::new();
        let mut scanner = Scanner::new(dialect, self.max_cell_bytes);
        let mut splitter = Splitter::new(dialect.delimiter);
        let mut rest = self.text;
        while records.len() <= SAMPLE_RECORDS {
            scanner.restart();
            let (record, next, quoted) = match scanner.step(rest, self.is_all) {
                Scan::Unclosed { next } | Scan::Overlong { next } => {
                    rest = &rest[next..];
                    continue;
                }
                Scan::Record {
                    length,
                    next,
                    quoted,
                } => (&rest[..length], next, quoted),
                // The start of a line tells enough where no line ends within the sample.
                Scan::More if records.is_empty() && !dialect.quotes => (rest, rest.len(), false),
                Scan::More | Scan::End => break,
            };
            rest = &rest[next..];
            if is_blank(record, dialect) {
                continue;
            }
            if !dialect.quotes {
                records.push(vec![String::from_utf8_lossy(record).into_owned()]);
                continue;
            }
            match splitter.split(record, quoted) {
                Ok((bytes, cells)) => {
                    let cells = cells.iter().map(|cell| &bytes[cell.clone()]);
                    let cells = cells.map(|cell| String::from_utf8_lossy(cell).into_owned());
                    records.push(cells.collect());
                }
                Err(Uncuttable::TooManyCells) if records.is_empty() => {
                    let limit = MAX_COLUMNS;
                    return Err(ListError::TooManyColumns { limit });
                }
                Err(_) => {}
            }
        }
        Ok(records)
    }
}

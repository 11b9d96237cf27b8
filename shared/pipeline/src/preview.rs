//! The first rows of a list as they would be read, before anything is stored or spent.

use domain::{Limits, ListFormat};
use fetching::TargetUrl;
use list_reader::{ListError, ListOptions, ListReader};
use serde::Serialize;

/// Rows shown at most.
pub const ROWS_SHOWN: usize = 20;
/// Columns shown of a row at most, that of the URL not counted.
const COLUMNS_SHOWN: usize = 12;
/// Letters shown of a cell at most.
const LETTERS_SHOWN: usize = 200;

/// How a list would be read.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Preview {
    /// How rows are written.
    pub format: ListFormat,
    /// `uncompressed`, `gzip` or `zstd`.
    pub compression: String,
    /// What separates cells, if anything.
    pub delimiter: Option<String>,
    /// Whether the first line names the columns.
    pub has_header: bool,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The column with the URLs.
    pub url_column: String,
    /// The first rows.
    pub rows: Vec<PreviewRow>,
    /// Of the rows shown, those whose cell is a URL that may be fetched.
    pub good_urls: u64,
}

/// A row as it would be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PreviewRow {
    /// Line it begins on, from 1.
    pub line: u64,
    /// The URL cell; null when there is none.
    pub url: Option<String>,
    /// Why the cell is no URL that may be fetched; null when it is one.
    pub fault: Option<String>,
    /// The other columns, name and text, a dozen at most.
    pub extra: Vec<(String, String)>,
}

/// Reads the first rows of the beginning of a list. With `is_cut`, the last row of it is left out: it may not be whole.
pub fn preview(
    beginning: &[u8],
    is_cut: bool,
    options: &ListOptions,
    limits: &Limits,
) -> Result<Preview, ListError> {
    let mut reader = ListReader::open(beginning, options, limits)?;
    let mut rows = Vec::new();
    // One more than is shown tells that the last one shown is whole.
    while rows.len() <= ROWS_SHOWN {
        let row = match reader.next_row() {
            Some(Ok(row)) => row,
            // The beginning of a compressed list always breaks off.
            Some(Err(_)) if is_cut => break,
            Some(Err(error)) => return Err(error),
            None => break,
        };
        let (url, fault) = match row.cell {
            Ok(cell) => {
                let fault = TargetUrl::parse(cell, limits).err();
                (Some(shortened(cell)), fault.map(|fault| fault.to_string()))
            }
            Err(fault) => (None, Some(fault.to_string())),
        };
        let extra = row.extra.iter().take(COLUMNS_SHOWN);
        rows.push(PreviewRow {
            line: row.line,
            url,
            fault,
            extra: extra
                .map(|(name, text)| (shortened(name), shortened(text)))
                .collect(),
        });
    }
    if is_cut || rows.len() > ROWS_SHOWN {
        rows.pop();
    }
    let detected = reader.detected();
    Ok(Preview {
        format: detected.format,
        compression: detected.compression.as_str().to_owned(),
        delimiter: detected.delimiter.map(String::from),
        has_header: detected.has_header,
        columns: detected.header.iter().map(|name| shortened(name)).collect(),
        url_column: detected.url_column.clone(),
        good_urls: rows.iter().filter(|row| row.fault.is_none()).count() as u64,
        rows,
    })
}

/// At most so many letters, without control characters.
fn shortened(text: &str) -> String {
    let letters = text.chars().filter(|letter| !letter.is_control());
    letters.take(LETTERS_SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(list: &str, is_cut: bool, column: Option<&str>) -> Result<Preview, ListError> {
        let options = ListOptions {
            name: "list.csv".to_owned(),
            url_column: column.map(str::to_owned),
            ..ListOptions::default()
        };
        preview(list.as_bytes(), is_cut, &options, &Limits::default())
    }

    const LIST: &str = "sku,image_url,title\n1,http://shop.example/a.jpg,Chair\n2,not a url,Table\n3,http://shop.example/c.j";

    #[test]
    fn a_preview_names_the_column_and_says_what_is_wrong_with_a_cell() {
        let preview = of(LIST, false, None).unwrap();
        assert_eq!(preview.url_column, "image_url");
        assert_eq!(preview.columns, ["sku", "image_url", "title"]);
        assert_eq!((preview.rows.len(), preview.good_urls), (3, 2));
        assert_eq!(
            preview.rows[0].extra[1],
            ("title".to_owned(), "Chair".to_owned())
        );
        assert!(preview.rows[1].fault.is_some());
    }

    #[test]
    fn the_last_row_of_a_cut_list_is_not_shown() {
        let preview = of(LIST, true, None).unwrap();
        assert_eq!(preview.rows.len(), 2);
    }

    #[test]
    fn a_wrong_column_is_told_with_those_there_are() {
        let error = of(LIST, false, Some("picture")).unwrap_err().to_string();
        assert!(error.contains("image_url"), "{error}");
    }
}

//! How a list would be read, shown before anything is stored or spent.

use anyhow::Context;
use comfy_table::{Table, presets};
use domain::{BatchOptions, ListFormat};
use serde::Deserialize;
use serde_json::Value;
use url::form_urlencoded;

use super::submit::List;
use crate::client::ApiClient;

/// Bytes of a list that are looked at.
const LOOKED_AT: u64 = 256 * 1024;
/// Rows shown.
const ROWS_SHOWN: usize = 5;
/// Columns shown beside that of the URLs.
const COLUMNS_SHOWN: usize = 3;
/// Letters shown of a cell.
const CELL_CHARS: usize = 60;

#[derive(Debug, Deserialize)]
struct Preview {
    format: String,
    compression: String,
    has_header: bool,
    url_column: String,
    rows: Vec<Row>,
    good_urls: u64,
}

#[derive(Debug, Deserialize)]
struct Row {
    line: u64,
    url: Option<String>,
    fault: Option<String>,
    extra: Vec<(String, String)>,
}

/// Asks the server how it would read a list, and shows that on standard error. Returns how many of the first rows can be fetched.
pub(super) async fn show(
    client: &ApiClient,
    list: &List,
    options: &BatchOptions,
) -> anyhow::Result<u64> {
    let is_cut = list.bytes > LOOKED_AT;
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("list_name", &shown(&list.name, 200));
    query.append_pair("is_cut", if is_cut { "true" } else { "false" });
    if let Some(column) = &options.url_column {
        query.append_pair("url_column", column);
    }
    if let Some(Value::String(format)) = options.list_format.map(name).transpose()? {
        query.append_pair("list_format", &format);
    }
    let path = format!("/api/v1/lists/preview?{}", query.finish());
    let beginning = list.piece(0, list.bytes.min(LOOKED_AT))?;
    let found = client.post_bytes(&path, beginning.into()).await?;
    let found: Preview = serde_json::from_value(found).context("no preview of the list")?;
    eprintln!("{}", render(&found));
    Ok(found.good_urls)
}

fn name(format: ListFormat) -> serde_json::Result<Value> {
    serde_json::to_value(format)
}

fn render(found: &Preview) -> String {
    let others = found.rows.first().map_or(&[][..], |row| &row.extra);
    let others: Vec<&str> = others
        .iter()
        .map(|(name, _)| name.as_str())
        .take(COLUMNS_SHOWN)
        .collect();
    let mut table = Table::new();
    let head = ["line", &found.url_column].into_iter();
    let head = head.chain(others.iter().copied());
    table
        .load_style(presets::NOTHING)
        .set_header(head.map(|name| shown(name, CELL_CHARS)));
    for row in found.rows.iter().take(ROWS_SHOWN) {
        let url = row.url.as_deref().unwrap_or("(no URL)");
        let mut url = shown(url, CELL_CHARS);
        if let Some(fault) = &row.fault {
            url = format!("{url}\n  {}", shown(fault, CELL_CHARS));
        }
        let mut cells = vec![row.line.to_string(), url];
        for name in &others {
            let cell = row.extra.iter().find(|(column, _)| column == name);
            cells.push(cell.map_or_else(String::new, |(_, text)| shown(text, CELL_CHARS / 2)));
        }
        table.add_row(cells);
    }
    let header = if found.has_header {
        ", with a header"
    } else {
        ""
    };
    format!(
        "URLs are read from {:?} ({}, {}{header}); {} of the first {} rows can be fetched.\n{table}",
        found.url_column,
        found.format,
        found.compression,
        found.good_urls,
        found.rows.len()
    )
}

/// Text of others, safe to show, no longer than `most`.
fn shown(text: &str, most: usize) -> String {
    let mut shown: String = text
        .chars()
        .filter(|one| !one.is_control())
        .take(most)
        .collect();
    if text.chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_column_and_the_first_rows_are_shown_with_what_is_wrong_with_them() {
        let found = Preview {
            format: "csv".to_owned(),
            compression: "gzip".to_owned(),
            has_header: true,
            url_column: "image_link".to_owned(),
            rows: vec![
                Row {
                    line: 2,
                    url: Some("http://a.example/1.jpg".to_owned()),
                    fault: None,
                    extra: vec![("sku".to_owned(), "A\u{1b}1".to_owned())],
                },
                Row {
                    line: 3,
                    url: Some("x".repeat(100)),
                    fault: Some("it is no URL".to_owned()),
                    extra: vec![("sku".to_owned(), "A2".to_owned())],
                },
            ],
            good_urls: 1,
        };
        let text = render(&found);
        for part in [
            "URLs are read from \"image_link\" (csv, gzip, with a header); 1 of the first 2 rows can be fetched.",
            "http://a.example/1.jpg",
            "A1",
            "it is no URL",
            "…",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}

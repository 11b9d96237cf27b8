//! A list and how it is read, in one run of bytes: the first five choose, the rest is the list.

use domain::{Limits, ListFormat};
use list_reader::ListOptions;

/// Bytes in front of the list.
pub const CHOICES: usize = 5;

const FORMATS: [Option<ListFormat>; 5] = [
    None,
    Some(ListFormat::Csv),
    Some(ListFormat::Tsv),
    Some(ListFormat::Ndjson),
    Some(ListFormat::Text),
];

const NAMES: [&str; 8] = [
    "",
    "list.csv",
    "list.tsv",
    "list.ndjson",
    "list.txt",
    "list.csv.gz",
    "list.ndjson.zst",
    "list.xlsx",
];

const URL_COLUMNS: [Option<&str>; 3] = [None, Some("url"), Some("Image Link")];

/// What a fuzz input means to the list reader.
#[derive(Debug)]
pub struct ListInput<'a> {
    /// What is known before the list is opened.
    pub options: ListOptions,
    /// The limits it is read under.
    pub limits: Limits,
    /// Bytes that one read of a slow source gives: 1 … 256.
    pub step: usize,
    /// The list.
    pub list: &'a [u8],
}

impl<'a> ListInput<'a> {
    /// Takes the choices off the front; any byte is a choice. `None` where the input is too short to have them.
    pub fn parse(input: &'a [u8]) -> Option<Self> {
        let ([format, name, url_column, limits, step], list) =
            input.split_first_chunk::<CHOICES>()?;
        let options = ListOptions {
            name: (*pick(&NAMES, *name)).to_owned(),
            format: *pick(&FORMATS, *format),
            url_column: pick(&URL_COLUMNS, *url_column).map(str::to_owned),
        };
        let limits = if limits % 2 == 0 {
            small_limits()
        } else {
            Limits::default()
        };
        Some(Self {
            options,
            limits,
            step: usize::from(*step) + 1,
            list,
        })
    }
}

/// So low that an input of a few kilobytes gets to every one of them.
fn small_limits() -> Limits {
    Limits {
        max_url_bytes: 40,
        max_field_bytes: 100,
        max_row_bytes: 400,
        ..Limits::default()
    }
}

fn pick<T>(choices: &[T], choice: u8) -> &T {
    &choices[usize::from(choice) % choices.len()]
}

//! Names of columns, and which of them holds the URLs.

use std::collections::HashSet;

/// Most cells in a row: what a spreadsheet program holds.
pub(crate) const MAX_COLUMNS: usize = 16_384;

/// Columns named in a message, at most.
const SHOWN_COLUMNS: usize = 20;
/// Letters of a column's name shown in a message, at most.
const SHOWN_LETTERS: usize = 60;

/// Names of columns that hold image URLs, without anything but letters and digits, the more telling first: a product feed has a
/// `link` to the shop beside its `image_link`.
const URL_NAMES: &[&str] = &[
    "imageurl",
    "imagelink",
    "imageuri",
    "imagesrc",
    "imagehref",
    "imgurl",
    "imgsrc",
    "photourl",
    "photoimageurl",
    "pictureurl",
    "mainimageurl",
    "mainimage",
    "mainimagelink",
    "imageurls",
    "url",
    "image",
    "img",
    "uri",
    "link",
    "src",
    "photo",
    "picture",
    "href",
    "mediaurl",
    "fileurl",
    "downloadurl",
    "thumbnailurl",
    "thumbnail",
    "images",
    "pictures",
    "photos",
    "urls",
    "links",
];

/// The name of a column without a name.
pub(crate) fn made_up(column: usize) -> String {
    format!("column_{}", column + 1)
}

/// `name`, or with a number after it where `taken` has it already.
pub(crate) fn unique(name: String, taken: &[String]) -> String {
    if !taken.contains(&name) {
        return name;
    }
    let mut number = 2;
    loop {
        let candidate = format!("{name}_{number}");
        if !taken.contains(&candidate) {
            return candidate;
        }
        number += 1;
    }
}

/// Names for the cells of a header: trimmed, none empty, none twice.
pub(crate) fn header_names(cells: &[String]) -> Vec<String> {
    let mut names = Vec::with_capacity(cells.len());
    let mut taken = HashSet::with_capacity(cells.len());
    for (column, cell) in cells.iter().enumerate() {
        let cell = cell.trim();
        let wanted = if cell.is_empty() {
            made_up(column)
        } else {
            cell.to_owned()
        };
        let mut name = wanted.clone();
        let mut number = 1;
        while !taken.insert(name.clone()) {
            // The position is new each time, so that a thousand columns of one name do not cost a million look-ups.
            number = if number == 1 { column + 1 } else { number + 1 };
            name = format!("{wanted}_{number}");
        }
        names.push(name);
    }
    names
}

/// The column asked for: by its exact name, else by its name in other letters.
pub(crate) fn named(wanted: &str, names: &[String]) -> Option<usize> {
    let wanted = wanted.trim();
    let exact = names.iter().position(|name| name == wanted);
    exact.or_else(|| names.iter().position(|name| same_name(name, wanted)))
}

/// The column with the URLs: by name, else by what most of its first values are.
///
/// `urls` counts, per column, the http(s) URLs among the first `rows` values.
pub(crate) fn guess(names: &[String], urls: &[usize], rows: usize) -> Option<usize> {
    let count = |column: &usize| urls.get(*column).copied().unwrap_or(0);
    let letters: Vec<String> = names.iter().map(|name| letters_of(name)).collect();
    let by_name: Vec<usize> = URL_NAMES
        .iter()
        .flat_map(|known| (0..names.len()).filter(|column| letters[*column] == *known))
        .collect();
    if let Some(column) = by_name.iter().copied().find(|column| count(column) > 0) {
        return Some(column);
    }
    if let Some(column) = by_name.first() {
        return Some(*column);
    }
    let mut best = None;
    for column in 0..names.len() {
        let found = count(&column);
        if found * 2 > rows && best.is_none_or(|(_, most)| found > most) {
            best = Some((column, found));
        }
    }
    best.map(|(column, _)| column)
}

/// Whether a cell holds a URL that can be fetched.
pub(crate) fn is_http_url(cell: &str) -> bool {
    let cell = cell.trim_start().as_bytes();
    [&b"http://"[..], b"https://"].iter().any(|scheme| {
        cell.get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    })
}

/// The columns for a message.
pub(crate) fn shown(columns: &[String]) -> String {
    if columns.is_empty() {
        return "none".to_owned();
    }
    let shown = columns.iter().take(SHOWN_COLUMNS);
    let shown: Vec<String> = shown.map(|name| format!("{:?}", shortened(name))).collect();
    let shown = shown.join(", ");
    match columns.len().checked_sub(SHOWN_COLUMNS) {
        Some(more @ 1..) => format!("{shown} and {more} more"),
        _ => shown,
    }
}

/// A name for a message.
pub(crate) fn shortened(name: &str) -> String {
    match name.char_indices().nth(SHOWN_LETTERS) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

fn same_name(left: &str, right: &str) -> bool {
    left.to_lowercase() == right.to_lowercase()
}

fn letters_of(name: &str) -> String {
    name.chars()
        .filter(|letter| letter.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

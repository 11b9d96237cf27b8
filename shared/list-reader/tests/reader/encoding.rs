//! UTF-8, UTF-16, and files that are no text.

use list_reader::{Encoding, ListError, RowFault};

use crate::support::{open, outcomes, refusal, rows, rows_with, small_limits, urls};

const LIST: &str = "url,title\nhttp://a.example/1,Größe ✓\nhttp://a.example/2,zwei\n";

fn utf16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(to_bytes).collect()
}

#[test]
fn a_utf8_byte_order_mark_is_no_part_of_the_first_column() {
    let list = format!("\u{feff}{LIST}");
    let reader = open("list.csv", list.as_bytes());
    assert_eq!(reader.detected().header, ["url", "title"]);
    assert_eq!(reader.detected().encoding, Encoding::Utf8);
    assert_eq!(rows("list.csv", &list), rows("list.csv", LIST));
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_url() {
    assert_eq!(
        urls("list.txt", "\u{feff}http://a.example/1\n"),
        ["http://a.example/1"]
    );
}

#[test]
fn utf16_with_a_byte_order_mark_is_read_like_utf8() {
    let text = format!("\u{feff}{LIST}");
    for (list, encoding) in [
        (utf16(&text, u16::to_le_bytes), Encoding::Utf16Le),
        (utf16(&text, u16::to_be_bytes), Encoding::Utf16Be),
    ] {
        assert_eq!(open("list.csv", &list).detected().encoding, encoding);
        assert_eq!(rows("list.csv", &list), rows("list.csv", LIST));
    }
}

#[test]
fn utf16_without_a_byte_order_mark_is_refused_with_advice() {
    for list in [utf16(LIST, u16::to_le_bytes), utf16(LIST, u16::to_be_bytes)] {
        let error = refusal("list.csv", list);
        assert!(
            matches!(error, ListError::UnsupportedEncoding { .. }),
            "{error:?}"
        );
        assert_eq!(
            error.to_string(),
            "the list looks like UTF-16 without a byte order mark: save it as UTF-8"
        );
    }
}

#[test]
fn utf32_is_refused_with_advice() {
    let list: Vec<u8> = format!("\u{feff}{LIST}")
        .chars()
        .flat_map(|letter| u32::from(letter).to_le_bytes())
        .collect();
    assert!(refusal("list.csv", list).to_string().contains("UTF-32"));
}

#[test]
fn bytes_that_are_not_utf8_are_the_fault_of_their_row() {
    let list = b"url,title,price\nhttp://a.example/1,Gr\xf6\xdfe,7\nhttp://a.example/\xff,two,8\nhttp://a.example/3,three,9\n";
    let rows = rows("list.csv", list);
    assert_eq!(
        outcomes(&rows),
        [
            (2, Err(&RowFault::NotUtf8 { line: 2 })),
            (3, Err(&RowFault::NotUtf8 { line: 3 })),
            (4, Ok("http://a.example/3")),
        ]
    );
    assert_eq!(rows[0].extra, [("price".to_owned(), "7".to_owned())]);
    assert_eq!(rows[1].extra.len(), 2, "both carried cells are readable");
}

#[test]
fn cells_that_are_utf8_only_side_by_side_are_not_utf8() {
    // C3 A4 is a letter, but its two bytes are in two cells.
    let list = b"url,title\n\"http://a.example/\xc3\",\"\xa4\"\nhttp://a.example/2,b\n";
    let rows = rows("list.csv", list);
    assert_eq!(rows[0].cell, Err(RowFault::NotUtf8 { line: 2 }));
    assert_eq!(rows[0].extra, []);
}

#[test]
fn a_row_that_is_not_utf8_carries_no_cell_beyond_the_limit() {
    let mut list = b"url,title,price\n\xff,".to_vec();
    list.extend([b'x'; 101]);
    list.extend(b",7\n");
    let rows = rows_with("list.csv", list, &small_limits());
    assert_eq!(rows[0].cell, Err(RowFault::NotUtf8 { line: 2 }));
    assert_eq!(rows[0].extra, [("price".to_owned(), "7".to_owned())]);
}

#[test]
fn bytes_that_are_not_utf8_are_faults_in_text_and_json_too() {
    let fault = RowFault::NotUtf8 { line: 2 };
    let text = rows("list.txt", b"http://a.example/1\nhttp://a.example/\xff\n");
    assert_eq!(text[1].cell, Err(fault.clone()));
    let json = rows(
        "list.ndjson",
        b"{\"url\":\"http://a.example/1\"}\n{\"url\":\"\xff\"}\n",
    );
    assert_eq!(json[1].cell, Err(fault));
}

#[test]
fn other_kinds_of_files_are_named() {
    for (magic, words) in [
        (
            &b"PK\x03\x04\x14\0\x06\0"[..],
            "a ZIP archive (perhaps an Excel workbook), not a list: export it as CSV",
        ),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a PNG image, not a list"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "a JPEG image"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"PAR1\x15\x04", "a Parquet file"),
        (b"\xfd7zXZ\0\0", "an xz archive"),
        (b"<!DOCTYPE html>\n<html>", "an HTML or XML document"),
        (
            b"\xef\xbb\xbf<?xml version='1.0'?>",
            "an HTML or XML document",
        ),
        (b"\x01\x02\x03\x04\x05\x06 abc", "a binary file"),
    ] {
        let error = refusal("list.csv", magic);
        assert!(error.to_string().contains(words), "{error}");
        assert!(matches!(error, ListError::NotAList { .. }));
    }
}

#[test]
fn random_bytes_are_a_binary_file() {
    let mut state = 7_u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    let noise: Vec<u8> = noise.take(4_096).collect();
    assert!(matches!(
        refusal("list.csv", noise),
        ListError::NotAList { .. }
    ));
}

//! Memory is bounded by the limits, not by the list.

use std::io::{self, Read};

use domain::Limits;
use list_reader::{ListReader, RowFault};

use crate::support::named;

const MIB: usize = 1024 * 1024;

/// Row limit, cell limit, one read, and as much again for cells taken out of their quotes.
const MOST_BYTES: usize = 4 * MIB;

/// A beginning, a byte repeated, an end; never in memory at once.
fn synthetic(begin: &'static str, fill: u8, length: usize, end: &'static str) -> impl Read {
    begin
        .as_bytes()
        .chain(io::repeat(fill).take(length as u64))
        .chain(end.as_bytes())
}

fn faults(name: &str, list: impl Read, rows_after: usize) -> Vec<RowFault> {
    let mut reader = ListReader::open(list, &named(name), &Limits::default()).unwrap();
    let mut faults = Vec::new();
    let mut good = 0;
    while let Some(row) = reader.next_row() {
        match row.unwrap().cell {
            Ok(_) => good += 1,
            Err(fault) => faults.push(fault),
        }
        assert!(
            reader.buffer_bytes() <= MOST_BYTES,
            "{}",
            reader.buffer_bytes()
        );
    }
    assert_eq!(good, rows_after);
    faults
}

#[test]
fn a_cell_of_200_mb_is_one_fault_in_bounded_memory() {
    for (begin, end) in [
        ("url,a\nhttp://a.example/1,", "\nhttp://a.example/2,x\n"),
        ("url,a\nhttp://a.example/1,\"", "\"\nhttp://a.example/2,x\n"),
        ("url,a\nhttp://a.example/1,\"", "\nhttp://a.example/2,x\n"),
    ] {
        let faults = faults("list.csv", synthetic(begin, b'x', 200 * MIB, end), 1);
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].line(), 2);
    }
}

#[test]
fn a_line_of_50_mb_is_one_fault_in_text_and_json() {
    let text = synthetic(
        "http://a.example/1\nhttp://a.example/",
        b'x',
        50 * MIB,
        "\nhttp://a.example/3\n",
    );
    assert_eq!(faults("list.txt", text, 2).len(), 1);
    let json = synthetic(
        "\"http://a.example/1\"\n{\"url\":\"",
        b'x',
        50 * MIB,
        "\"}\n\"http://a.example/3\"\n",
    );
    assert_eq!(faults("list.ndjson", json, 2).len(), 1);
}

#[test]
fn a_first_line_of_50_mb_is_one_fault_in_text() {
    let text = synthetic(
        "http://a.example/",
        b'x',
        50 * MIB,
        "\nhttp://a.example/2\n",
    );
    assert_eq!(faults("list.txt", text, 1).len(), 1);
}

#[test]
fn megabytes_of_delimiters_quotes_or_line_ends_stay_bounded() {
    for fill in [b',', b'"'] {
        let list = synthetic(
            "url,a\nhttp://a.example/1,",
            fill,
            20 * MIB,
            "\nhttp://a.example/2,x\n",
        );
        assert_eq!(faults("list.csv", list, 1).len(), 1);
    }
    let list = synthetic(
        "url,a\nhttp://a.example/1,x\n",
        b'\n',
        20 * MIB,
        "http://a.example/2,x\n",
    );
    assert_eq!(faults("list.csv", list, 2), []);
}

#[test]
fn rows_at_the_limit_stay_bounded() {
    let cell = "x".repeat(60_000);
    let row = format!("http://a.example/1{}\n", format!(",\"{cell}\"").repeat(16));
    let list = format!("url,a\n{}", row.repeat(5));
    assert_eq!(faults("list.csv", list.as_bytes(), 5), []);
}

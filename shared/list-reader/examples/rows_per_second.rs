//! How fast lists are read: rows a second, one line a kind of list.
//!
//! ```text
//! cargo run --release -p list-reader --example rows_per_second
//! ```
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement prints, and stops at the first fault"
)]

use std::hint::black_box;
use std::io::{Read, Write};
use std::time::Instant;

use domain::Limits;
use list_reader::{ListOptions, ListReader};

const ROWS: usize = 2_000_000;
const ROUNDS: usize = 5;

fn main() {
    let plain = list("id,url,title,price\n", |row| {
        format!(
            "{row},https://images.example.com/catalogue/{row:08}/front.jpg,Garden chair {row},19.90\n"
        )
    });
    report("csv", "list.csv", &plain);
    report(
        "csv.zst",
        "list.csv.zst",
        &zstd::encode_all(&plain[..], 3).unwrap(),
    );
    report("csv.gz", "list.csv.gz", &gzip(&plain));
    let quoted = list("\"id\",\"url\",\"title\",\"price\"\n", |row| {
        format!(
            "\"{row}\",\"https://images.example.com/catalogue/{row:08}/front.jpg\",\"Garden \"\"chair\"\" {row}\",\"19,90\"\n"
        )
    });
    report("csv, quoted", "list.csv", &quoted);
    let json = list("", |row| {
        format!(
            "{{\"id\":{row},\"url\":\"https://images.example.com/catalogue/{row:08}/front.jpg\",\"title\":\"Garden chair {row}\",\"price\":19.9}}\n"
        )
    });
    report("ndjson", "list.ndjson", &json);
    let text = list("", |row| {
        format!("https://images.example.com/catalogue/{row:08}/front.jpg\n")
    });
    report("text", "list.txt", &text);
}

fn list(header: &str, row: impl Fn(usize) -> String) -> Vec<u8> {
    let mut list = header.as_bytes().to_vec();
    for number in 0..ROWS {
        list.extend_from_slice(row(number).as_bytes());
    }
    list
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// The best of some rounds: the others had the machine's company.
fn report(kind: &str, name: &str, list: &[u8]) {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        assert_eq!(read(name, list), ROWS);
        best = best.min(start.elapsed().as_secs_f64());
    }
    let rate = ROWS as f64 / best;
    let cost = best * 1e9 / ROWS as f64;
    println!("{kind:12} {rate:>12.0} rows/s  {cost:>6.0} ns/row");
}

/// Reads a list as the split does: every URL and every carried cell is looked at.
fn read(name: &str, list: impl Read) -> usize {
    let options = ListOptions {
        name: name.to_owned(),
        ..ListOptions::default()
    };
    let mut reader = ListReader::open(list, &options, &Limits::default()).unwrap();
    let mut rows = 0;
    while let Some(row) = reader.next_row() {
        let row = row.unwrap();
        black_box(row.cell.as_ref().unwrap());
        for (name, text) in row.extra {
            black_box((name, text));
        }
        rows += 1;
    }
    rows
}

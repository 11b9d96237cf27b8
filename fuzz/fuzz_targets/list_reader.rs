//! Any bytes as a list: reading ends, in bounded memory, with rows in the order of their lines, however slowly the bytes come.

#![no_main]

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};

use imgsweep_fuzz::list_input::ListInput;
use libfuzzer_sys::fuzz_target;
use list_reader::ListReader;

/// Buffers of the reader that do not grow with the row limit: two reads of 64 KiB.
const FIXED_BUFFER_BYTES: usize = 128 * 1024;

/// Buffers of the reader for one byte of a row at its limit: the byte itself and where its cell is, each doubled by growing.
const BUFFER_BYTES_PER_ROW_BYTE: usize = 128;

/// What the buffers of one row of cells come to at most, whatever its length: a row has no more than 16,384 cells.
const MOST_CELL_BUFFER_BYTES: usize = 4 * 1024 * 1024;

fuzz_target!(|input: &[u8]| {
    let Some(input) = ListInput::parse(input) else {
        return;
    };
    let whole = read(input.list, &input);
    let trickled = read(
        Trickle {
            bytes: input.list,
            step: input.step,
        },
        &input,
    );
    // A decoder that meets damage may have got further the more bytes it was given.
    if !is_compressed(input.list) {
        assert_eq!(whole, trickled, "a list reads differently when it trickles");
    }
});

/// By the magic numbers of gzip, zstd and its skippable frames (RFC 1952, RFC 8878).
fn is_compressed(list: &[u8]) -> bool {
    matches!(
        list,
        [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]
    )
}

/// A source that gives a few bytes at a time.
struct Trickle<'a> {
    bytes: &'a [u8],
    step: usize,
}

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.step.min(buffer.len());
        self.bytes.read(&mut buffer[..length])
    }
}

/// What a list came to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Summary {
    rows: u64,
    digest: u64,
    error: Option<String>,
}

fn read(source: impl Read, input: &ListInput<'_>) -> Summary {
    let limits = &input.limits;
    let mut reader = match ListReader::open(source, &input.options, limits) {
        Ok(reader) => reader,
        Err(error) => {
            return Summary {
                error: Some(error.to_string()),
                ..Summary::default()
            };
        }
    };
    let in_cells = limits
        .max_row_bytes
        .saturating_mul(BUFFER_BYTES_PER_ROW_BYTE);
    let most_buffer_bytes =
        FIXED_BUFFER_BYTES + in_cells.min(limits.max_row_bytes + MOST_CELL_BUFFER_BYTES);
    let mut digest = DefaultHasher::new();
    let mut error = None;
    let mut last_line = 0;
    while let Some(row) = reader.next_row() {
        let row = match row {
            Ok(row) => row,
            Err(failure) => {
                error = Some(failure.to_string());
                break;
            }
        };
        assert!(
            row.line > last_line,
            "line {} after line {last_line}",
            row.line
        );
        last_line = row.line;
        row.line.hash(&mut digest);
        match &row.cell {
            Ok(cell) => {
                assert!(!cell.is_empty() && cell.trim() == *cell, "{cell:?}");
                assert!(
                    cell.len() <= limits.max_url_bytes && !cell.contains('\0'),
                    "{cell:?}"
                );
                cell.hash(&mut digest);
            }
            Err(fault) => {
                assert_eq!(fault.line(), row.line, "{fault}");
                fault.to_string().hash(&mut digest);
            }
        }
        for (name, text) in row.extra {
            assert!(name.len().max(text.len()) <= limits.max_field_bytes.max(limits.max_row_bytes));
            (name, text).hash(&mut digest);
        }
        let buffer_bytes = reader.buffer_bytes();
        assert!(
            buffer_bytes <= most_buffer_bytes,
            "{buffer_bytes} bytes of buffers, more than {most_buffer_bytes}"
        );
    }
    assert!(reader.next_row().is_none(), "a row after the end");
    let rows = reader.rows_read();
    if !is_compressed(input.list) {
        assert!(rows <= input.list.len() as u64, "more rows than bytes");
    }
    Summary {
        rows,
        digest: digest.finish(),
        error,
    }
}

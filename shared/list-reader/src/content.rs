//! What the first bytes of a list are: text in which encoding, or some other kind of file.

use crate::{Encoding, ListError};

/// A share of control bytes no text has, in a beginning too short to be sure.
const CONTROL_SHARE_OF_SHORT: usize = 30;
/// A share of control bytes no text has: compressed and random bytes have 11 %.
const CONTROL_SHARE: usize = 5;
/// From here on a beginning is long enough to be sure.
const LONG_ENOUGH: usize = 512;

const AS_CSV: &str = ": export it as CSV";
const RECOMPRESS: &str = ": compress the list itself with gzip or zstd, or not at all";

/// First bytes of files that people hand in by mistake, what such a file is, and what to do about it.
const KNOWN: &[(&[u8], &str, &str)] = &[
    (
        b"PK\x03\x04",
        "a ZIP archive (perhaps an Excel workbook)",
        AS_CSV,
    ),
    (b"PK\x05\x06", "an empty ZIP archive", ""),
    (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "an old Microsoft Office file (perhaps an Excel workbook)",
        AS_CSV,
    ),
    (b"%PDF-", "a PDF document", AS_CSV),
    (b"{\\rtf", "a rich text document", ": save it as plain text"),
    (b"PAR1", "a Parquet file", AS_CSV),
    (b"ARROW1", "an Arrow file", AS_CSV),
    (b"SQLite format 3\0", "an SQLite database", AS_CSV),
    (b"\x89PNG\r\n\x1a\n", "a PNG image", ""),
    (b"\xff\xd8\xff", "a JPEG image", ""),
    (b"GIF87a", "a GIF image", ""),
    (b"GIF89a", "a GIF image", ""),
    (b"RIFF", "a RIFF file (perhaps a WebP image)", ""),
    (b"II*\0", "a TIFF image", ""),
    (b"MM\0*", "a TIFF image", ""),
    (b"\x7fELF", "a program", ""),
    (b"BZh", "a bzip2 archive", RECOMPRESS),
    (b"\xfd7zXZ\0", "an xz archive", RECOMPRESS),
    (b"\x04\x22\x4d\x18", "an LZ4 archive", RECOMPRESS),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", RECOMPRESS),
    (b"Rar!\x1a\x07", "a RAR archive", RECOMPRESS),
    (b"\0\0\xfe\xff", "text in UTF-32", ": save it as UTF-8"),
    (b"\xff\xfe\0\0", "text in UTF-32", ": save it as UTF-8"),
];

/// The encoding of a text that begins with `head`, or an error where it is not a text.
pub(crate) fn encoding_of(head: &[u8]) -> Result<Encoding, ListError> {
    for (magic, what, advice) in KNOWN {
        if head.starts_with(magic) {
            return Err(ListError::NotAList { what, advice });
        }
    }
    match head {
        [0xff, 0xfe, ..] => return Ok(Encoding::Utf16Le),
        [0xfe, 0xff, ..] => return Ok(Encoding::Utf16Be),
        _ => {}
    }
    if looks_like_utf16(head) {
        let encoding = "UTF-16 without a byte order mark";
        return Err(ListError::UnsupportedEncoding { encoding });
    }
    if is_binary(head) {
        let what = "a binary file";
        return Err(ListError::NotAList {
            what,
            advice: AS_CSV,
        });
    }
    if is_markup(head) {
        let what = "an HTML or XML document";
        return Err(ListError::NotAList {
            what,
            advice: AS_CSV,
        });
    }
    Ok(Encoding::Utf8)
}

/// In UTF-16, every other byte of a text in Latin letters is NUL.
fn looks_like_utf16(head: &[u8]) -> bool {
    let mut nuls = [0_usize; 2];
    for (index, byte) in head.iter().enumerate() {
        if *byte == 0 {
            nuls[index % 2] += 1;
        }
    }
    let [even, odd] = nuls;
    let (more, fewer) = (even.max(odd), even.min(odd));
    // Less than half of the bytes, because of letters that are not Latin.
    head.len() >= 8 && more * 4 >= head.len() && fewer * 10 <= more
}

fn is_binary(head: &[u8]) -> bool {
    let controls = head.iter().filter(|byte| is_control(**byte)).count();
    let share = if head.len() >= LONG_ENOUGH {
        CONTROL_SHARE
    } else {
        CONTROL_SHARE_OF_SHORT
    };
    controls * 100 >= head.len() * share && controls > 0
}

const fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0c)
}

fn is_markup(head: &[u8]) -> bool {
    let head = head
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(head)
        .trim_ascii_start();
    [&b"<!doctype"[..], b"<html", b"<?xml", b"<head", b"<body"]
        .iter()
        .any(|tag| {
            head.get(..tag.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(tag))
        })
}

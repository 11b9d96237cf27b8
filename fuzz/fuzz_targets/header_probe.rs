//! Any bytes as the header of an image: no beginning of a file says anything that the whole denies.

#![no_main]

use std::hash::{DefaultHasher, Hash, Hasher};

use imaging::{Header, ImageError, Probe, probe, probe_prefix, sniff};
use imgsweep_fuzz as _;
use libfuzzer_sys::fuzz_target;

/// What a caller reads at least between two probes.
const READ_BYTES: usize = 256;

/// From so many bytes on, a beginning knows its format: the list of brands of an ISO media file is looked at as far as here.
const FORMAT_BYTES: usize = 256;

/// What is asked for before the format is known. A whole file may have less.
const SNIFF_BYTES: u64 = 64;

fuzz_target!(|bytes: &[u8]| {
    let _ = sniff(bytes);
    let whole = probe(bytes);
    if let Ok(header) = &whole {
        check_header(header);
    }
    for length in lengths(bytes) {
        check_prefix(bytes, length, &whole);
    }
    read_as_callers_do(bytes, &whole);
});

/// Beginnings to look at: the shortest and the longest, and some drawn from the bytes, so that every mutation has others.
fn lengths(bytes: &[u8]) -> [usize; 6] {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    let drawn = hasher.finish() as usize;
    let length = bytes.len();
    [
        0,
        length,
        length.saturating_sub(1),
        drawn % (length + 1),
        (drawn >> 32) % (length + 1),
        (drawn >> 16) % (FORMAT_BYTES + 1).min(length + 1),
    ]
}

fn check_header(header: &Header) {
    assert!(header.width > 0 && header.height > 0, "{header:?}");
    assert!(header.frames != Some(0), "{header:?}");
    assert!(
        header
            .orientation
            .is_none_or(|orientation| (1..=8).contains(&orientation)),
        "{header:?}"
    );
    assert!(header.pixels() >= u64::from(header.width), "{header:?}");
}

fn check_prefix(bytes: &[u8], length: usize, whole: &Result<Header, ImageError>) {
    match probe_prefix(&bytes[..length]) {
        Ok(Probe::Header(header)) => {
            check_header(&header);
            let Ok(whole) = whole else {
                panic!("{length} bytes say {header:?}, the whole {whole:?}");
            };
            let shape = |header: &Header| (header.format, header.width, header.height);
            assert_eq!(shape(&header), shape(whole), "{length} bytes");
            assert!(
                header.frames.is_none() || header.frames == whole.frames,
                "{length} bytes say {header:?}, the whole {whole:?}"
            );
        }
        Ok(Probe::NeedMore { at_least }) => {
            assert!(
                at_least > length as u64,
                "{length} bytes ask for {at_least}"
            );
            let is_there = at_least <= SNIFF_BYTES.max(bytes.len() as u64);
            assert!(
                is_there || whole.is_err(),
                "{length} bytes ask for {at_least}, of which the whole needs none"
            );
        }
        Err(error) => {
            let is_early = length < FORMAT_BYTES;
            assert!(
                is_early || whole.is_err(),
                "{length} bytes say {error:?}, the whole {whole:?}"
            );
        }
    }
}

/// Goes on reading for as long as more bytes are asked for.
fn read_as_callers_do(bytes: &[u8], whole: &Result<Header, ImageError>) {
    let mut length = 0;
    while let Ok(Probe::NeedMore { at_least }) = probe_prefix(&bytes[..length]) {
        if length == bytes.len() {
            assert!(
                whole.is_err(),
                "the whole asks for {at_least} bytes, yet it has a header"
            );
            return;
        }
        let wanted = usize::try_from(at_least).unwrap_or(usize::MAX);
        length = wanted.max(length + READ_BYTES).min(bytes.len());
    }
    check_prefix(bytes, length, whole);
}

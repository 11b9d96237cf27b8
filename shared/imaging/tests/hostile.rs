//! Files that attack a decoder: each ends in its outcome, soon, and in little memory.

use std::time::{Duration, Instant};

use domain::{Limits, MeasureMode, Outcome};
use imaging::{Measurer, probe, probe_prefix};
use sample_origin::{Corpus, hostile};

const MODES: [MeasureMode; 3] = [MeasureMode::Header, MeasureMode::Fast, MeasureMode::Full];

fn outcome(bytes: &[u8], mode: MeasureMode) -> Outcome {
    match Measurer::new(&Limits::default()).measure(bytes, mode) {
        Ok(_) => Outcome::Ok,
        Err(error) => error.outcome(),
    }
}

#[test]
fn every_hostile_file_has_its_outcome_in_both_modes() {
    let expected = [
        ("gif-claims-65535x32767", Outcome::PixelLimit),
        ("gif-ten-thousand-frames", Outcome::Ok),
        ("png-bomb-50000x50000", Outcome::PixelLimit),
        ("png-claimed-iccp-length", Outcome::Truncated),
        ("png-iccp-bomb", Outcome::Ok),
        ("png-ztxt-bomb", Outcome::Ok),
        ("png-truncated", Outcome::Truncated),
        ("png-zero-width", Outcome::DecodeError),
        ("jpeg-truncated", Outcome::Truncated),
        ("jpeg-corrupt-entropy", Outcome::DecodeError),
        ("jpeg-header-only", Outcome::Truncated),
        ("jpeg-zero-width", Outcome::DecodeError),
        ("jpeg-html-polyglot", Outcome::Ok),
        ("jpeg-many-scans", Outcome::DecodeError),
        ("bmp-negative-width", Outcome::DecodeError),
        ("bmp-overflowing-dimensions", Outcome::PixelLimit),
        ("bmp-claimed-palette-length", Outcome::Truncated),
        ("tiff-directory-loop", Outcome::DecodeError),
    ];
    for (name, outcome_of_file) in expected {
        let file = hostile::get(name).unwrap_or_else(|| panic!("{name} is gone"));
        for mode in [MeasureMode::Fast, MeasureMode::Full] {
            assert_eq!(outcome(&file, mode), outcome_of_file, "{name} {mode:?}");
        }
    }
}

#[test]
fn every_hostile_file_is_done_with_quickly() {
    for (name, file) in hostile::all() {
        for mode in MODES {
            let started = Instant::now();
            let _ = outcome(&file, mode);
            assert!(
                started.elapsed() < Duration::from_secs(5),
                "{name} {mode:?}"
            );
        }
        let _ = probe(&file);
        let _ = probe_prefix(&file);
    }
}

/// The peak of this whole test process, which runs every hostile file: a bomb that went off would show.
#[cfg(target_os = "linux")]
#[test]
fn no_hostile_file_takes_memory_by_its_claims() {
    for (_, file) in hostile::all() {
        for mode in MODES {
            let _ = outcome(&file, mode);
        }
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kilobytes: u64 = peak
        .and_then(|line| line.split_whitespace().nth(1))
        .and_then(|number| number.parse().ok())
        .unwrap();
    assert!(kilobytes < 200 * 1024, "{kilobytes} KB");
}

/// A TIFF of one strip with four samples of 32 bits a pixel, all zero, packed.
fn tiff_of_floats(side: u32) -> Vec<u8> {
    /// 128 times zero.
    const RUN: [u8; 2] = [0x81, 0];
    let strip = RUN.repeat((side * side / 8) as usize);
    let mut file = b"II*\0\x08\0\0\0".to_vec();
    let entries: [(u16, u16, u32, u32); 11] = [
        (256, 4, 1, side),
        (257, 4, 1, side),
        (258, 3, 4, 146),
        (259, 3, 1, 32_773),
        (262, 3, 1, 2),
        (273, 4, 1, 162),
        (277, 3, 1, 4),
        (278, 4, 1, side),
        (279, 4, 1, strip.len() as u32),
        (338, 3, 1, 2),
        (339, 3, 4, 154),
    ];
    file.extend((entries.len() as u16).to_le_bytes());
    for (tag, kind, count, value) in entries {
        file.extend(tag.to_le_bytes());
        file.extend(kind.to_le_bytes());
        file.extend(count.to_le_bytes());
        file.extend(value.to_le_bytes());
    }
    file.extend([0; 4]);
    assert_eq!(file.len(), 146);
    for value in [32_u16, 32, 32, 32, 3, 3, 3, 3] {
        file.extend(value.to_le_bytes());
    }
    file.extend(strip);
    file
}

#[test]
fn an_image_that_takes_too_much_memory_is_refused_before_it_takes_it() {
    assert_eq!(
        outcome(&tiff_of_floats(512), MeasureMode::Fast),
        Outcome::Ok
    );
    let large = tiff_of_floats(4_000);
    let error = Measurer::new(&Limits::default())
        .measure(&large, MeasureMode::Fast)
        .unwrap_err();
    assert_eq!(error.outcome(), Outcome::PixelLimit);
    assert!(
        error
            .to_string()
            .contains("it takes 512 MB to decode, more than the 268 MB"),
        "{error}"
    );
}

#[test]
fn a_coding_that_no_decoder_knows_is_named_and_not_called_damaged() {
    let corpus = Corpus::variants(3, 640, 480);
    let bytes = &corpus.get("plain.jpeg").unwrap().bytes;
    let frame = bytes
        .windows(2)
        .position(|pair| pair == [0xff, 0xc0])
        .unwrap();
    for (marker, coding) in [(0xc9, "arithmetic coding"), (0xc3, "lossless coding")] {
        let mut marked = bytes.to_vec();
        marked[frame + 1] = marker;
        for mode in [MeasureMode::Fast, MeasureMode::Full] {
            let error = Measurer::new(&Limits::default())
                .measure(&marked, mode)
                .unwrap_err();
            assert_eq!(error.outcome(), Outcome::UnsupportedFormat, "{error}");
            assert!(error.to_string().contains(coding), "{error}");
        }
    }
}

#[test]
fn frames_count_against_the_limit() {
    let file = hostile::get("gif-ten-thousand-frames").unwrap();
    let limits = Limits {
        max_pixels: 9_999,
        ..Limits::default()
    };
    let error = Measurer::new(&limits)
        .measure(&file, MeasureMode::Fast)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the image claims 10000 frames of 1 × 1 pixels, more than the limit of 9999"
    );
}

#[test]
fn what_is_no_image_is_called_by_its_name() {
    let cases: [(&[u8], &str); 4] = [
        (
            b"<!doctype html><title>Sorry</title>",
            "the answer is an HTML page, not an image",
        ),
        (b"", "the answer is empty, not an image"),
        (
            b"{\"message\": \"Forbidden\"}",
            "the answer is a JSON document, not an image",
        ),
        (b"%PDF-1.4\n", "the answer is a PDF document, not an image"),
    ];
    for (bytes, sentence) in cases {
        for mode in MODES {
            let error = Measurer::new(&Limits::default())
                .measure(bytes, mode)
                .unwrap_err();
            assert_eq!(error.outcome(), Outcome::NotAnImage);
            assert_eq!(error.to_string(), sentence);
        }
    }
}

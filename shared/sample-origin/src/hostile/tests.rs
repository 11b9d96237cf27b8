use std::io::{Cursor, Read};

use image::ImageReader;

use super::*;

fn file(name: &str) -> Bytes {
    get(name).unwrap_or_else(|| panic!("{name} exists"))
}

fn decode(name: &str) -> image::ImageResult<image::DynamicImage> {
    let mut reader = ImageReader::new(Cursor::new(file(name)))
        .with_guessed_format()
        .unwrap();
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(32 * 1024 * 1024);
    reader.limits(limits);
    reader.decode()
}

#[test]
fn every_file_has_its_own_name_and_is_small() {
    let mut names: Vec<_> = all().into_iter().map(|(name, _)| name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    for (name, bytes) in all() {
        assert!(
            !bytes.is_empty() && bytes.len() < 400_000,
            "{name}: {} bytes",
            bytes.len()
        );
    }
    assert_eq!(file("gif-claims-65535x32767").len(), 35);
}

#[test]
fn files_carry_the_magic_bytes_of_the_format_they_are_named_after() {
    for (name, bytes) in all() {
        let magic: &[u8] = match name.split('-').next().unwrap() {
            "gif" => b"GIF89a",
            "png" => b"\x89PNG\r\n\x1a\n",
            "jpeg" => b"\xFF\xD8\xFF",
            "bmp" => b"BM",
            "tiff" => b"II*\0",
            other => panic!("unexpected format {other}"),
        };
        assert!(bytes.starts_with(magic), "{name}");
    }
}

#[test]
fn a_stream_of_zeros_inflates_to_its_stated_length_with_a_valid_checksum() {
    for length in [0, 1, 9, 1_048_576, 3_000_000] {
        let mut inflated = Vec::new();
        // The reader checks Adler-32 at the end.
        flate2::read::ZlibDecoder::new(&deflated_zeros(length)[..])
            .read_to_end(&mut inflated)
            .unwrap();
        assert_eq!(inflated.len() as u64, length);
        assert!(inflated.iter().all(|byte| *byte == 0));
    }
}

#[test]
fn the_bombs_claim_what_they_are_named_for() {
    let dimensions = |name| {
        ImageReader::new(Cursor::new(file(name)))
            .with_guessed_format()
            .unwrap()
            .into_dimensions()
            .unwrap()
    };
    assert_eq!(dimensions("png-bomb-50000x50000"), (50_000, 50_000));
    assert_eq!(dimensions("gif-claims-65535x32767"), (65_535, 32_767));
    assert!(decode("png-bomb-50000x50000").is_err());
}

#[test]
fn the_metadata_bombs_hold_a_small_valid_picture() {
    let picture = decode("png-ztxt-bomb").unwrap();
    assert_eq!((picture.width(), picture.height()), (8, 8));
}

#[test]
fn the_polyglot_is_a_valid_jpeg_that_contains_a_script() {
    assert_eq!(decode("jpeg-html-polyglot").unwrap().width(), SIDE);
    assert!(
        file("jpeg-html-polyglot")
            .windows(8)
            .any(|bytes| bytes == b"<script>")
    );
}

#[test]
fn the_long_animation_has_ten_thousand_frames_that_decode() {
    use image::AnimationDecoder;
    let decoder =
        image::codecs::gif::GifDecoder::new(Cursor::new(file("gif-ten-thousand-frames"))).unwrap();
    let mut frames = 0;
    for frame in decoder.into_frames() {
        frame.unwrap();
        frames += 1;
    }
    assert_eq!(frames, ANIMATION_FRAMES);
}

#[test]
fn the_jpeg_without_entropy_data_ends_right_behind_its_scan_header() {
    let whole = small_jpeg();
    let cut = file("jpeg-header-only");
    assert_eq!(cut, whole[..cut.len()]);
    // Three components, each with its tables, then the spectral selection: ITU-T T.81 section B.2.3.
    assert_eq!(&cut[cut.len() - 14..cut.len() - 9], [0xFF, 0xDA, 0, 12, 3]);
}

#[test]
fn damaged_files_are_refused_by_a_library_decoder() {
    let damaged = [
        "png-claimed-iccp-length",
        "png-wrong-checksum",
        "png-truncated",
        "png-zero-width",
        "jpeg-zero-width",
        "bmp-negative-width",
        "bmp-overflowing-dimensions",
        "tiff-directory-loop",
    ];
    for name in damaged {
        assert!(decode(name).is_err(), "{name}");
    }
}

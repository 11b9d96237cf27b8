//! What the header tells, from whole files and from their first bytes.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod photograph;

use jpeg_encoder::SamplingFactor;
use jpeg_skim::{Coding, Error, Sampling, header};
use photograph::{encode, photograph};

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

const ONE: Sampling = Sampling {
    horizontal: 1,
    vertical: 1,
};

#[test]
fn dimensions_coding_and_sampling_are_read() {
    let baseline = header(&fixture("baseline.jpg")).unwrap();
    assert_eq!(
        (baseline.width, baseline.height, baseline.precision),
        (203, 149, 8)
    );
    assert_eq!(
        baseline.sampling,
        [
            Sampling {
                horizontal: 2,
                vertical: 2
            },
            ONE,
            ONE
        ]
    );
    assert!(baseline.has_jfif && !baseline.is_progressive() && !baseline.has_icc_profile);
    assert_eq!(
        (baseline.coding, baseline.adobe_transform, baseline.exif),
        (Coding::Baseline, None, None)
    );
    assert!(
        header(&fixture("progressive.jpg"))
            .unwrap()
            .is_progressive()
    );
    assert_eq!(
        header(&fixture("extended.jpg")).unwrap().coding,
        Coding::Extended
    );
    assert_eq!(header(&fixture("gray.jpg")).unwrap().sampling, [ONE]);
    assert_eq!(
        header(&fixture("rgb.jpg")).unwrap().adobe_transform,
        Some(0)
    );
    assert_eq!(
        header(&fixture("restarts.jpg")).unwrap().restart_interval,
        13
    );
}

#[test]
fn exif_and_icc_profile_are_located() {
    let bytes = fixture("metadata.jpg");
    let header = header(&bytes).unwrap();
    assert!(header.has_icc_profile);
    let exif = &bytes[header.exif.unwrap()];
    assert!(exif.starts_with(b"MM\0*") || exif.starts_with(b"II*\0"));
    assert!(exif.windows(5).any(|window| window == b"Maker"));
}

#[test]
fn the_first_bytes_are_enough_once_they_hold_the_frame() {
    let bytes = encode(&photograph(72, 65, 1), 75, |encoder| {
        encoder.set_sampling_factor(SamplingFactor::F_2_2);
    });
    let whole = header(&bytes).unwrap();
    let mut enough = None;
    for length in 2..bytes.len() {
        match header(&bytes[..length]) {
            Ok(part) => {
                assert_eq!(part, whole);
                enough.get_or_insert(length);
            }
            Err(error) => assert!(
                matches!(error, Error::Truncated { .. }) && enough.is_none(),
                "{length}: {error}"
            ),
        }
    }
    assert!(enough.unwrap() < 200);
}

#[test]
fn fill_bytes_and_unknown_segments_are_passed_over() {
    let bytes = fixture("baseline.jpg");
    let mut padded = bytes[..2].to_vec();
    padded.extend([
        0xFF, 0xFF, 0xFF, 0xEB, 0x00, 0x06, 0xFF, 0xC0, 0x00, 0x11, 0xFF, 0xFF,
    ]);
    padded.extend(&bytes[2..]);
    assert_eq!(header(&padded).unwrap(), header(&bytes).unwrap());
    let options = jpeg_skim::Options::default();
    assert_eq!(
        jpeg_skim::skim(&padded, &options).unwrap(),
        jpeg_skim::skim(&bytes, &options).unwrap()
    );
}

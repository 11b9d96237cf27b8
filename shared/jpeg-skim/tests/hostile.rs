//! Files that are cut, damaged, unusual or made up: a typed error or a result, never a panic, never much memory.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod photograph;

use jpeg_encoder::SamplingFactor;
use jpeg_skim::{Declined, Error, Flaw, Limits, Options, Skim, header, skim};
use photograph::{encode, photograph};
use proptest::prelude::*;

fn default_skim(bytes: &[u8]) -> Result<Skim, Error> {
    skim(bytes, &Options::default())
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn samples() -> Vec<Vec<u8>> {
    let image = photograph(72, 65, 11);
    let mut samples = vec![
        fixture("progressive.jpg"),
        fixture("gray_progressive.jpg"),
        fixture("rgb.jpg"),
    ];
    for (progressive, interval) in [(false, 0), (false, 2), (true, 0), (true, 3)] {
        samples.push(encode(&image, 75, |encoder| {
            encoder.set_sampling_factor(SamplingFactor::F_2_2);
            encoder.set_progressive(progressive);
            encoder.set_restart_interval(interval);
        }));
    }
    samples
}

/// Offset of the payload of the first segment with a marker.
fn payload_of(bytes: &[u8], marker: u8) -> usize {
    bytes
        .windows(2)
        .position(|pair| pair == [0xFF, marker])
        .unwrap()
        + 4
}

/// Offset of the first byte of the coded data of the first scan.
fn coded_data(bytes: &[u8]) -> usize {
    let payload = payload_of(bytes, 0xDA);
    payload - 2 + usize::from(u16::from_be_bytes([bytes[payload - 2], bytes[payload - 1]]))
}

#[test]
fn a_file_cut_anywhere_is_truncated_or_whole() {
    for bytes in samples() {
        let whole = default_skim(&bytes).unwrap();
        assert!(whole.has_end_of_image);
        for length in 2..bytes.len() {
            match default_skim(&bytes[..length]) {
                Err(Error::Truncated { decoded_fraction }) => {
                    assert!((0.0..=1.0).contains(&decoded_fraction));
                }
                Ok(skim) => {
                    assert!(!skim.has_end_of_image);
                    assert_eq!(skim.components, whole.components);
                    assert_eq!(skim.detail, whole.detail);
                }
                Err(error) => panic!("{length} of {} bytes: {error}", bytes.len()),
            }
        }
    }
}

#[test]
fn the_decoded_fraction_grows_with_the_file() {
    let bytes = encode(&photograph(160, 160, 12), 75, |encoder| {
        encoder.set_sampling_factor(SamplingFactor::F_1_1);
    });
    let start = coded_data(&bytes);
    let mut previous = 0.0;
    for tenth in 1..=9 {
        let end = start + (bytes.len() - start) * tenth / 10;
        let fraction = default_skim(&bytes[..end])
            .unwrap_err()
            .decoded_fraction()
            .unwrap();
        assert!(fraction > previous, "{fraction} after {previous}");
        previous = fraction;
    }
    assert!((0.6..1.0).contains(&previous), "{previous}");
}

#[test]
fn a_cut_file_with_its_end_marker_put_back_is_truncated() {
    let mut bytes = encode(&photograph(160, 160, 12), 75, |_| {});
    bytes.truncate(bytes.len() / 2);
    bytes.extend([0xFF, 0xD9]);
    assert!(matches!(default_skim(&bytes), Err(Error::Truncated { .. })));
}

#[test]
fn a_missing_restart_segment_is_corrupt() {
    let bytes = encode(&photograph(160, 160, 12), 75, |encoder| {
        encoder.set_restart_interval(5);
    });
    let restart = |marker: u8| {
        bytes
            .windows(2)
            .position(|pair| pair == [0xFF, marker])
            .unwrap()
    };
    let mut damaged = bytes[..restart(0xD1)].to_vec();
    damaged.extend(&bytes[restart(0xD2)..]);
    let Err(Error::Corrupt {
        flaw: Flaw::Marker,
        decoded_fraction,
    }) = default_skim(&damaged)
    else {
        panic!()
    };
    assert!(decoded_fraction > 0.0);
}

#[test]
fn coded_data_after_the_last_block_is_corrupt() {
    let bytes = encode(&photograph(160, 160, 12), 75, |_| {});
    let mut damaged = bytes[..bytes.len() - 2].to_vec();
    damaged.extend([0x55; 100]);
    damaged.extend([0xFF, 0xD9]);
    assert!(matches!(
        default_skim(&damaged),
        Err(Error::Corrupt {
            flaw: Flaw::LeftOver,
            ..
        })
    ));
}

#[test]
fn other_codings_are_declined_by_name() {
    let bytes = encode(&photograph(72, 65, 11), 75, |_| {});
    let frame = payload_of(&bytes, 0xC0);
    for (marker, declined) in [
        (0xC3, Declined::Lossless),
        (0xC5, Declined::Hierarchical),
        (0xDE, Declined::Hierarchical),
        (0xC9, Declined::ArithmeticCoding),
        (0xCA, Declined::ArithmeticCoding),
    ] {
        let mut other = bytes.clone();
        other[frame - 3] = marker;
        assert_eq!(default_skim(&other), Err(Error::Declined(declined)));
        assert!(header(&other).is_ok());
    }
    let mut deep = bytes.clone();
    deep[frame] = 12;
    assert_eq!(
        default_skim(&deep),
        Err(Error::Declined(Declined::Precision(12)))
    );
    assert_eq!(header(&deep).unwrap().precision, 12);
    let mut later = bytes.clone();
    later[frame + 1..frame + 3].fill(0);
    assert_eq!(
        default_skim(&later),
        Err(Error::Declined(Declined::UnknownHeight))
    );
    assert_eq!(
        default_skim(&fixture("cmyk.jpg")),
        Err(Error::Declined(Declined::Components(4)))
    );
    assert_eq!(header(&fixture("cmyk.jpg")).unwrap().sampling.len(), 4);
}

#[test]
fn missing_tables_are_declined() {
    let bytes = encode(&photograph(72, 65, 11), 75, |_| {});
    for marker in [0xDB, 0xC4] {
        let mut without = bytes.clone();
        while let Some(at) = without.windows(2).position(|pair| pair == [0xFF, marker]) {
            // An application segment that nobody reads.
            without[at + 1] = 0xEA;
        }
        assert_eq!(
            default_skim(&without),
            Err(Error::Declined(Declined::MissingTables))
        );
    }
}

#[test]
fn a_claim_of_too_many_pixels_is_refused() {
    let mut bytes = encode(&photograph(72, 65, 11), 75, |_| {});
    let frame = payload_of(&bytes, 0xC0);
    bytes[frame + 1..frame + 5].fill(0xFF);
    let pixels = 65_535 * 65_535;
    assert_eq!(
        default_skim(&bytes),
        Err(Error::TooManyPixels {
            pixels,
            limit: 50_000_000
        })
    );
    let limits = Limits { max_pixels: 4_679 };
    let whole = encode(&photograph(72, 65, 11), 75, |_| {});
    let refused = skim(
        &whole,
        &Options {
            limits,
            ..Options::default()
        },
    );
    assert_eq!(
        refused,
        Err(Error::TooManyPixels {
            pixels: 4_680,
            limit: 4_679
        })
    );
}

#[test]
fn repeated_and_disordered_scans_are_corrupt() {
    let bytes = fixture("gray_progressive.jpg");
    let scan = payload_of(&bytes, 0xDA) - 4;
    let next = bytes[scan + 4..]
        .windows(2)
        .position(|pair| pair[0] == 0xFF && pair[1] != 0)
        .unwrap()
        + scan
        + 4;
    let mut repeated = bytes[..next].to_vec();
    repeated.extend(&bytes[scan..]);
    assert!(matches!(
        default_skim(&repeated),
        Err(Error::Corrupt {
            flaw: Flaw::ScanOrder,
            ..
        })
    ));
}

#[test]
fn what_is_no_jpeg_is_told_apart() {
    assert_eq!(default_skim(b""), Err(Error::NotJpeg));
    assert_eq!(default_skim(b"\x89PNG\r\n\x1a\n"), Err(Error::NotJpeg));
    assert!(matches!(
        default_skim(&[0xFF, 0xD8, 0xFF, 0xD9]),
        Err(Error::Corrupt { .. })
    ));
}

#[test]
fn single_damaged_bytes_do_no_harm() {
    // Every fifth byte, each with a few values that are likely to matter.
    for bytes in samples() {
        for position in (0..bytes.len()).step_by(5) {
            for value in [0x00, 0xFF, 0xD9, bytes[position] ^ 0x10] {
                let mut damaged = bytes.clone();
                damaged[position] = value;
                check(&damaged);
            }
        }
    }
}

/// Whatever the bytes are, results have to be consistent.
fn check(bytes: &[u8]) {
    let options = Options {
        limits: Limits {
            max_pixels: 1 << 20,
        },
        measure_detail: true,
    };
    if let Ok(skim) = skim(bytes, &options) {
        assert!(u64::from(skim.width) * u64::from(skim.height) <= 1 << 20);
        for plane in &skim.components {
            assert_eq!(plane.samples.len(), (plane.width * plane.height) as usize);
        }
        let small = skim.to_rgb8();
        assert_eq!(
            small.pixels.len(),
            3 * (skim.width.div_ceil(8) * skim.height.div_ceil(8)) as usize
        );
        assert_eq!(skim.to_luma8().pixels.len() * 3, small.pixels.len());
        let detail = skim.detail.unwrap();
        assert!(detail.sharpness.is_finite() && detail.texture.is_finite());
        let header = header(bytes).unwrap();
        assert_eq!((header.width, header.height), (skim.width, skim.height));
    }
    if let Ok(header) = header(bytes)
        && let Some(exif) = header.exif
    {
        assert!(exif.start <= exif.end && exif.end <= bytes.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_do_no_harm(mut bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        check(&bytes);
        bytes.splice(0..0, [0xFF, 0xD8]);
        check(&bytes);
    }

    #[test]
    fn random_coded_data_does_no_harm(
        sample in 0..7_usize,
        coded in prop::collection::vec(any::<u8>(), 0..3000),
    ) {
        let mut bytes = samples().swap_remove(sample);
        bytes.truncate(coded_data(&bytes));
        bytes.extend(coded);
        check(&bytes);
    }

    #[test]
    fn scattered_damage_does_no_harm(
        sample in 0..7_usize,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let mut bytes = samples().swap_remove(sample);
        for (position, value) in damage {
            let position = position.index(bytes.len());
            bytes[position] = value;
        }
        check(&bytes);
    }

    #[test]
    fn moved_pieces_do_no_harm(
        sample in 0..7_usize,
        from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
        length in 1..400_usize,
    ) {
        let mut bytes = samples().swap_remove(sample);
        let from = from.index(bytes.len());
        let piece = bytes[from..(from + length).min(bytes.len())].to_vec();
        let to = to.index(bytes.len());
        bytes.splice(to..to, piece);
        check(&bytes);
    }
}

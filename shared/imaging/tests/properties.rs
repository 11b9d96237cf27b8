//! Whatever the bytes: an answer, and never a panic, neither in our code nor, behind the net, in a decoder.

use std::sync::LazyLock;

use domain::{Limits, MeasureMode};
use imaging::{ImageError, Measurer, Probe, probe, probe_prefix, sniff};
use proptest::prelude::*;
use sample_origin::Corpus;

/// One small file of each format and coding.
static FILES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut files = Vec::new();
    let samples = Corpus::generate(11, 40).images;
    for sample in samples.into_iter().chain(Corpus::fixtures().images) {
        if sample.bytes.len() < 40_000 {
            files.push(sample.bytes.to_vec());
        }
    }
    assert!(files.len() > 20);
    files
});

fn look_in_every_way(bytes: &[u8]) -> Result<(), TestCaseError> {
    let _ = sniff(bytes);
    let _ = probe(bytes);
    if let Ok(Probe::NeedMore { at_least }) = probe_prefix(bytes) {
        prop_assert!(at_least > bytes.len() as u64);
    }
    let limits = Limits {
        max_pixels: 2_000_000,
        ..Limits::default()
    };
    let measurer = Measurer::new(&limits);
    for mode in [MeasureMode::Header, MeasureMode::Fast, MeasureMode::Full] {
        match measurer.measure(bytes, mode) {
            Ok(measured) => {
                let measurement = measured.measurement;
                prop_assert!(measurement.width > 0 && measurement.height > 0);
                prop_assert!(measurement.sharpness.is_none_or(f32::is_finite));
                prop_assert!(
                    measurement
                        .contrast
                        .is_none_or(|value| (0.0..=0.51).contains(&value))
                );
            }
            Err(ImageError::Decode { source, .. }) => {
                prop_assert!(!source.to_string().contains("error of its own"), "a panic");
            }
            Err(_) => {}
        }
    }
    Ok(())
}

fn a_file() -> impl Strategy<Value = Vec<u8>> {
    (0..FILES.len()).prop_map(|index| FILES[index].clone())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        look_in_every_way(&bytes)?;
    }

    #[test]
    fn random_bytes_behind_a_magic_number_never_panic(
        magic in prop::sample::select(vec![
            &b"\xff\xd8\xff\xe1"[..], b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x10\0\0\0\x10", b"GIF89a\x10\0\x10\0",
            b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x10\0\0\0", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08",
            b"RIFF\xff\0\0\0WEBPVP8L", b"RIFF\xff\0\0\0WEBPVP8X", b"RIFF\xff\0\0\0WEBPVP8 ",
            b"\0\0\0\x14ftypavif\0\0\0\0avif\0\0\0\xffmeta", b"\xff\x0a", b"\0\0\x01\0\x02\0", b"8BPS\0\x01",
            b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51",
        ]),
        bytes in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        look_in_every_way(&[magic, &bytes].concat())?;
    }

    #[test]
    fn flipped_bytes_never_panic(
        mut file in a_file(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        for (index, value) in flips {
            let at = index.index(file.len());
            file[at] = value;
        }
        look_in_every_way(&file)?;
    }

    #[test]
    fn flipped_bytes_of_a_header_never_panic(
        mut file in a_file(),
        flips in prop::collection::vec((0_usize..400, any::<u8>()), 1..6),
    ) {
        for (at, value) in flips {
            let at = at % file.len();
            file[at] = value;
        }
        look_in_every_way(&file)?;
    }

    #[test]
    fn cut_files_never_panic(file in a_file(), at in any::<prop::sample::Index>()) {
        look_in_every_way(&file[..at.index(file.len())])?;
    }
}

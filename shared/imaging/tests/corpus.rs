//! Images of every format, encoding and kind of flaw, measured.

use std::sync::LazyLock;

use domain::{Issue, Limits, MeasureMode, Outcome};
use imaging::{ImageError, Measured, Measurer, Probe, probe, probe_prefix};
use sample_origin::{Corpus, Sample, Variant};

static CORPUS: LazyLock<Vec<Sample>> = LazyLock::new(|| {
    let mut samples = Corpus::generate(7, 60).images;
    samples.extend(Corpus::fixtures().images);
    samples
});

fn measure(bytes: &[u8], mode: MeasureMode) -> Result<Measured, ImageError> {
    Measurer::new(&Limits::default()).measure(bytes, mode)
}

#[test]
fn every_sample_is_what_its_maker_says() {
    for sample in CORPUS.iter() {
        for mode in [MeasureMode::Header, MeasureMode::Fast, MeasureMode::Full] {
            let measured = measure(&sample.bytes, mode).unwrap().measurement;
            let shape = (measured.width, measured.height, measured.frames);
            assert_eq!(measured.format.as_str(), sample.format, "{}", sample.name);
            assert_eq!(
                shape,
                (sample.width, sample.height, Some(sample.frames)),
                "{} {mode:?}",
                sample.name
            );
        }
    }
}

#[test]
fn the_fast_way_sees_what_the_full_way_sees() {
    for sample in CORPUS.iter() {
        let fast = measure(&sample.bytes, MeasureMode::Fast).unwrap();
        let full = measure(&sample.bytes, MeasureMode::Full).unwrap();
        assert_eq!(fast.sha256, full.sha256);
        let (fast, full) = (fast.measurement, full.measurement);
        let (Some(fast_hash), Some(full_hash)) = (fast.phash, full.phash) else {
            assert_eq!(sample.format, "avif");
            continue;
        };
        let is_flat = full.entropy.unwrap() < 0.5;
        let bits =
            fast_hash.distance(full_hash) + fast.dhash.unwrap().distance(full.dhash.unwrap());
        assert!(is_flat || bits <= 8, "{}: {bits} bits", sample.name);
        let difference = |of: fn(&domain::Measurement) -> Option<f32>| {
            (of(&fast).unwrap() - of(&full).unwrap()).abs()
        };
        assert!(difference(|m| m.brightness) < 0.02, "{}", sample.name);
        assert!(difference(|m| m.contrast) < 0.03, "{}", sample.name);
        assert!(difference(|m| m.saturation) < 0.06, "{}", sample.name);
        assert!(!fast.palette.is_empty() && fast.palette.len() <= 5);
        assert!(fast.thumbhash.is_some());
    }
}

#[test]
fn measuring_twice_gives_the_same() {
    for sample in CORPUS.iter().take(20) {
        let [once, twice] = [(); 2].map(|()| measure(&sample.bytes, MeasureMode::Fast).unwrap());
        assert_eq!(once, twice);
    }
}

#[test]
fn header_mode_takes_no_hash_and_needs_only_a_beginning() {
    for sample in CORPUS.iter() {
        let mut have = 0;
        // What a caller does: fetch as much as is asked for, until the header is there.
        let header = loop {
            match probe_prefix(&sample.bytes[..have]).unwrap() {
                Probe::Header(header) => break header,
                Probe::NeedMore { at_least } => {
                    assert!(at_least as usize > have, "{}", sample.name);
                    have = (at_least as usize).min(sample.bytes.len());
                }
            }
        };
        assert_eq!((header.width, header.height), (sample.width, sample.height));
        let measured = measure(&sample.bytes[..have], MeasureMode::Header).unwrap();
        assert_eq!(measured.sha256, None);
        assert_eq!(measured.measurement.phash, None);
        assert_eq!(measured.measurement.width, sample.width);
        let counted = measured.measurement.frames;
        assert!(
            counted.is_none() || counted == Some(sample.frames),
            "{}",
            sample.name
        );
    }
}

#[test]
fn no_prefix_contradicts_the_whole() {
    for sample in CORPUS.iter().take(30) {
        let whole = probe(&sample.bytes).unwrap();
        let step = (sample.bytes.len() / 150).max(1);
        for length in
            (0..sample.bytes.len().min(600)).chain((600..sample.bytes.len()).step_by(step))
        {
            match probe_prefix(&sample.bytes[..length]).unwrap() {
                Probe::Header(header) => {
                    assert_eq!((header.width, header.height), (whole.width, whole.height));
                    assert!(header.frames.is_none() || header.frames == whole.frames);
                }
                Probe::NeedMore { at_least } => {
                    assert!(at_least > length as u64 && at_least <= sample.bytes.len() as u64);
                }
            }
        }
    }
}

#[test]
fn a_truncated_file_is_reported_as_truncated() {
    for sample in CORPUS.iter() {
        for kept in [30, 50, 90] {
            let cut = &sample.bytes[..sample.bytes.len() * kept / 100];
            for mode in [MeasureMode::Fast, MeasureMode::Full] {
                let result = measure(cut, mode);
                assert!(
                    matches!(result, Err(ImageError::Truncated { .. })),
                    "{} cut at {kept} %, {mode:?}: {result:?}",
                    sample.name
                );
            }
        }
    }
}

#[test]
fn flaws_put_into_a_picture_are_found_and_no_others() {
    let expected = |variant| match variant {
        Variant::Blurred => vec![Issue::Blurry],
        Variant::Dark => vec![Issue::Dark],
        Variant::Bright => vec![Issue::Bright],
        Variant::Grayscale => vec![Issue::Grayscale],
        Variant::Flat => vec![Issue::LowContrast, Issue::LowInformation],
        _ => vec![],
    };
    for seed in 0..4 {
        for sample in Corpus::variants(seed, 960, 640).images {
            for mode in [MeasureMode::Fast, MeasureMode::Full] {
                let found = measure(&sample.bytes, mode).unwrap().measurement.issues;
                for issue in expected(sample.variant) {
                    assert!(
                        found.contains(&issue),
                        "{} {mode:?}: {found:?}",
                        sample.name
                    );
                }
                if expected(sample.variant).is_empty() {
                    assert_eq!(found, [], "{} {mode:?}", sample.name);
                }
            }
        }
    }
}

#[test]
fn copies_are_near_and_other_pictures_far() {
    let samples = Corpus::variants(3, 960, 640);
    let hashes = |name: &str| {
        let sample = samples.get(name).unwrap();
        let measured = measure(&sample.bytes, MeasureMode::Fast)
            .unwrap()
            .measurement;
        (measured.phash.unwrap(), measured.dhash.unwrap())
    };
    let (plain, copy) = (hashes("plain.jpeg"), hashes("near-copy.jpeg"));
    assert!(plain.0.distance(copy.0) <= 4 && plain.1.distance(copy.1) <= 4);
    let other = Corpus::variants(4, 960, 640)
        .get("plain.jpeg")
        .unwrap()
        .bytes
        .clone();
    let other = measure(&other, MeasureMode::Fast).unwrap().measurement;
    assert!(plain.0.distance(other.phash.unwrap()) > 12);
}

#[test]
fn a_lower_limit_stops_before_the_decode() {
    let limits = Limits {
        max_pixels: 5_000,
        ..Limits::default()
    };
    for sample in CORPUS.iter() {
        let pixels = u64::from(sample.width) * u64::from(sample.height) * u64::from(sample.frames);
        let result = Measurer::new(&limits).measure(&sample.bytes, MeasureMode::Fast);
        let is_refused = result.is_err_and(|error| error.outcome() == Outcome::PixelLimit);
        assert_eq!(is_refused, pixels > 5_000, "{}", sample.name);
    }
}

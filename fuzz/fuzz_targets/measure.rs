//! Any bytes as an image, in every mode: an error or a measurement, each field of which is within its documented range.

#![no_main]

use domain::{Issue, Limits, MeasureMode, Measurement};
use imaging::{ImageError, Measured, Measurer};
use imgsweep_fuzz as _;
use libfuzzer_sys::fuzz_target;

/// Small, so that an input takes milliseconds, and that claims beyond it are often made.
const MAX_PIXELS: u64 = 200_000;

/// A Laplacian of 8-bit samples is at most 4 × 255 in size.
const MOST_SHARPNESS: f32 = 1020.0 * 1020.0;

fuzz_target!(|bytes: &[u8]| {
    let measurer = Measurer::new(&Limits {
        max_pixels: MAX_PIXELS,
        ..Limits::default()
    });
    let header = measurer.measure(bytes, MeasureMode::Header);
    let fast = measurer.measure(bytes, MeasureMode::Fast);
    let full = measurer.measure(bytes, MeasureMode::Full);
    check(&header, MeasureMode::Header);
    check(&fast, MeasureMode::Fast);
    check(&full, MeasureMode::Full);
    let shape = |measured: &Measured| {
        let measurement = &measured.measurement;
        (measurement.format, measurement.width, measurement.height)
    };
    for decoded in [&fast, &full].into_iter().flatten() {
        let header = header.as_ref().expect("what can be decoded has a header");
        assert_eq!(shape(decoded), shape(header));
    }
    if let (Ok(fast), Ok(full)) = (&fast, &full) {
        assert_eq!(fast.sha256, full.sha256);
    }
});

fn check(measured: &Result<Measured, ImageError>, mode: MeasureMode) {
    let measured = match measured {
        Ok(measured) => measured,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let measurement = &measured.measurement;
    assert_eq!(measured.sha256.is_some(), mode != MeasureMode::Header);
    check_header(measurement);
    check_pixels(measurement, mode);
    check_issues(&measurement.issues);
}

fn check_header(measurement: &Measurement) {
    assert!(
        measurement.width > 0 && measurement.height > 0,
        "{measurement:?}"
    );
    let frames = measurement.frames.unwrap_or(1);
    let pixels = u64::from(measurement.width) * u64::from(measurement.height) * u64::from(frames);
    assert!((1..=MAX_PIXELS).contains(&pixels), "{measurement:?}");
    assert!(
        measurement
            .orientation
            .is_none_or(|value| (1..=8).contains(&value)),
        "{measurement:?}"
    );
    let Some(exif) = &measurement.exif else {
        return;
    };
    for name in [&exif.make, &exif.model].into_iter().flatten() {
        assert!(
            !name.is_empty() && name.chars().count() <= 128 && !name.contains(char::is_control),
            "{name:?}"
        );
    }
    assert!(
        exif.taken_at
            .as_ref()
            .is_none_or(|time| time.len() == "YYYY-MM-DDThh:mm:ss".len()),
        "{exif:?}"
    );
}

fn check_pixels(measurement: &Measurement, mode: MeasureMode) {
    let within =
        |value: Option<f32>, most: f32| value.is_none_or(|value| (0.0..=most).contains(&value));
    assert!(within(measurement.brightness, 1.0), "{measurement:?}");
    assert!(within(measurement.contrast, 0.5), "{measurement:?}");
    assert!(within(measurement.saturation, 1.0), "{measurement:?}");
    assert!(within(measurement.entropy, 8.0), "{measurement:?}");
    // Coefficients can say more than pixels can hold: the estimate of the fast mode has no such bound.
    let most_sharpness = if mode == MeasureMode::Full {
        MOST_SHARPNESS
    } else {
        f32::MAX
    };
    assert!(
        within(measurement.sharpness, most_sharpness),
        "{measurement:?}"
    );
    assert!(measurement.palette.len() <= 5, "{measurement:?}");
    for (index, color) in measurement.palette.iter().enumerate() {
        assert!(
            !measurement.palette[..index].contains(color),
            "{measurement:?}"
        );
    }
    assert!(
        measurement
            .thumbhash
            .as_ref()
            .is_none_or(|hash| (8..=36).contains(&hash.len())),
        "{measurement:?}"
    );
    let is_decoded = [
        measurement.phash.is_some(),
        measurement.dhash.is_some(),
        measurement.thumbhash.is_some(),
        measurement.mean_rgb.is_some(),
        !measurement.palette.is_empty(),
        measurement.brightness.is_some(),
        measurement.contrast.is_some(),
        measurement.saturation.is_some(),
        measurement.entropy.is_some(),
    ];
    let is_expected =
        mode != MeasureMode::Header && measurement.format != domain::ImageFormat::Avif;
    assert_eq!(is_decoded, [is_expected; 9], "{measurement:?}");
}

fn check_issues(issues: &[Issue]) {
    let order = |issue: &Issue| Issue::ALL.iter().position(|known| known == issue);
    assert!(
        issues.is_sorted_by(|left, right| order(left) < order(right)),
        "{issues:?}"
    );
}

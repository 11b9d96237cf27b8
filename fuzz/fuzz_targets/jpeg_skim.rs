//! Any bytes as a JPEG to skim: an error or a result of the size that the header says, with and without the detail.

#![no_main]

use imgsweep_fuzz as _;
use jpeg_skim::{Error, Limits, Options, Skim, SmallImage, header, skim};
use libfuzzer_sys::fuzz_target;

/// Small, so that an input takes milliseconds, and that claims beyond it are often made.
const MAX_PIXELS: u64 = 1024 * 1024;

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits {
        max_pixels: MAX_PIXELS,
    };
    let with_detail = skim(
        bytes,
        &Options {
            limits,
            measure_detail: true,
        },
    );
    let without_detail = skim(
        bytes,
        &Options {
            limits,
            measure_detail: false,
        },
    );
    for result in [&with_detail, &without_detail] {
        match result {
            Ok(skim) => check(bytes, skim),
            Err(error) => check_error(error),
        }
    }
    if let Ok(skim) = &without_detail {
        assert_eq!(skim.detail, None);
    }
    if let (Ok(with_detail), Ok(without_detail)) = (&with_detail, &without_detail) {
        assert_eq!(with_detail.components, without_detail.components);
        let detail = with_detail.detail.expect("the detail was asked for");
        for value in [detail.sharpness, detail.texture] {
            assert!(value.is_finite() && value >= 0.0, "{detail:?}");
        }
    }
});

fn check(bytes: &[u8], skim: &Skim) {
    let header = header(bytes).expect("what can be skimmed has a header");
    assert_eq!((skim.width, skim.height), (header.width, header.height));
    assert!((1..=MAX_PIXELS).contains(&(u64::from(skim.width) * u64::from(skim.height))));
    assert!(matches!(skim.components.len(), 1 | 3));
    assert_eq!(skim.components.len(), header.sampling.len());
    for plane in &skim.components {
        assert_eq!(
            plane.samples.len(),
            plane.width as usize * plane.height as usize
        );
    }
    check_small(skim, &skim.to_luma8(), 1);
    check_small(skim, &skim.to_rgb8(), 3);
}

fn check_small(skim: &Skim, small: &SmallImage, channels: usize) {
    assert_eq!(
        (small.width, small.height),
        (skim.width.div_ceil(8), skim.height.div_ceil(8))
    );
    assert_eq!(
        small.pixels.len(),
        small.width as usize * small.height as usize * channels
    );
}

fn check_error(error: &Error) {
    let fraction = error.decoded_fraction();
    assert!(
        fraction.is_none_or(|fraction| (0.0..=1.0).contains(&fraction)),
        "{error:?}"
    );
    assert!(!error.to_string().is_empty());
}

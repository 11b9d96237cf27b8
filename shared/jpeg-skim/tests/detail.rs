//! Sharpness and texture against measures of the decoded pixels.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod photograph;

use image::{GrayImage, RgbImage, imageops};
use jpeg_encoder::SamplingFactor;
use jpeg_skim::{Detail, Options, skim};
use photograph::{encode, photograph};

fn detail(bytes: &[u8]) -> Detail {
    skim(bytes, &Options::default()).unwrap().detail.unwrap()
}

/// The luma that JPEG codes (ITU-R BT.601), rather than what the library makes of RGB.
fn decoded_luma(bytes: &[u8]) -> GrayImage {
    let decoded = image::load_from_memory(bytes).unwrap().to_rgb8();
    GrayImage::from_fn(decoded.width(), decoded.height(), |x, y| {
        let [r, g, b] = decoded.get_pixel(x, y).0.map(f32::from);
        image::Luma([(0.299 * r + 0.587 * g + 0.114 * b).round() as u8])
    })
}

fn variance(values: impl Iterator<Item = f64>) -> f64 {
    let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for value in values {
        count += 1.0;
        sum += value;
        squares += value * value;
    }
    squares / count - (sum / count) * (sum / count)
}

fn laplacian_variance(image: &GrayImage) -> f64 {
    let (width, height) = image.dimensions();
    let at = |x: u32, y: u32| f64::from(image.get_pixel(x, y).0[0]);
    variance(
        (1..height - 1)
            .flat_map(|y| (1..width - 1).map(move |x| (x, y)))
            .map(|(x, y)| {
                at(x - 1, y) + at(x + 1, y) + at(x, y - 1) + at(x, y + 1) - 4.0 * at(x, y)
            }),
    )
}

fn ranks(values: &[f64]) -> Vec<f64> {
    values
        .iter()
        .map(|value| values.iter().filter(|other| *other < value).count() as f64)
        .collect()
}

/// Spearman's rank correlation, without ties.
fn spearman(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len() as f64;
    let squares: f64 = ranks(a)
        .iter()
        .zip(ranks(b))
        .map(|(a, b)| (a - b) * (a - b))
        .sum();
    1.0 - 6.0 * squares / (n * (n * n - 1.0))
}

fn encoded(image: &RgbImage, quality: u8, progressive: bool) -> Vec<u8> {
    encode(image, quality, |encoder| {
        encoder.set_sampling_factor(SamplingFactor::F_2_2);
        encoder.set_progressive(progressive);
    })
}

#[test]
fn sharpness_falls_with_every_step_of_blur() {
    for seed in 0..6 {
        let sharp = photograph(256, 192, seed);
        let mut previous = f32::INFINITY;
        for sigma in [0.0, 0.5, 0.8, 1.2, 2.0, 3.0, 5.0] {
            let image = if sigma > 0.0 {
                imageops::blur(&sharp, sigma)
            } else {
                sharp.clone()
            };
            let sharpness = detail(&encoded(&image, 85, false)).sharpness;
            assert!(
                sharpness < previous,
                "photograph {seed}, blur {sigma}: {sharpness} after {previous}"
            );
            previous = sharpness;
        }
    }
}

/// Of large pictures a part is measured: rows of units of a sequential file, the first half of a progressive one's bytes.
#[test]
fn the_sharpness_of_a_large_photograph_is_near_that_of_its_pixels() {
    for seed in 0..3 {
        let image = photograph(1600, 1200, 40 + seed);
        let sequential = encoded(&image, 85, false);
        let pixels = laplacian_variance(&decoded_luma(&sequential));
        let of_rows = f64::from(detail(&sequential).sharpness) / pixels;
        assert!(
            (0.5..=1.1).contains(&of_rows),
            "photograph {seed}: {of_rows}"
        );
        let of_bytes = f64::from(detail(&encoded(&image, 85, true)).sharpness) / pixels;
        let difference = of_bytes / of_rows;
        assert!(
            (0.6..=1.6).contains(&difference),
            "photograph {seed}: {difference}"
        );
    }
}

#[test]
fn sharpness_ranks_images_as_the_laplacian_of_the_pixels_does() {
    let (mut skimmed, mut measured) = (Vec::new(), Vec::new());
    for seed in 0..24 {
        let sharp = photograph(256, 192, 100 + seed);
        for sigma in [0.0, 0.7, 1.5, 3.0] {
            let image = if sigma > 0.0 {
                imageops::blur(&sharp, sigma)
            } else {
                sharp.clone()
            };
            let quality = [60, 75, 85, 92][seed as usize % 4];
            let bytes = encoded(&image, quality, seed % 3 == 0);
            skimmed.push(f64::from(detail(&bytes).sharpness));
            measured.push(laplacian_variance(&decoded_luma(&bytes)));
        }
    }
    let correlation = spearman(&skimmed, &measured);
    assert!(correlation >= 0.97, "Spearman {correlation}");
    let mut ratios: Vec<f64> = skimmed
        .iter()
        .zip(&measured)
        .map(|(skimmed, measured)| skimmed / measured)
        .collect();
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ratios.len() / 2];
    assert!((0.5..=1.1).contains(&median), "median ratio {median}");
}

#[test]
fn texture_and_the_small_luma_make_up_the_variance_of_the_pixels() {
    for seed in 0..8 {
        let bytes = encoded(&photograph(256, 192, 200 + seed), 90, false);
        let skim = skim(&bytes, &Options::default()).unwrap();
        let of_blocks = variance(skim.to_luma8().pixels.iter().map(|&value| f64::from(value)));
        let total = of_blocks + f64::from(skim.detail.unwrap().texture);
        let expected = variance(
            decoded_luma(&bytes)
                .as_raw()
                .iter()
                .map(|&value| f64::from(value)),
        );
        assert!(
            (total / expected - 1.0).abs() < 0.02,
            "photograph {seed}: {total} instead of {expected}"
        );
    }
}

/// Sharpness and texture of a progressive fixture relative to those of its sequential twin.
fn ratios(sequential: &str, progressive: &str) -> [f32; 2] {
    let fixture = |name| format!("{}/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    let of = |name| detail(&std::fs::read(fixture(name)).unwrap());
    let (sequential, progressive) = (of(sequential), of(progressive));
    [
        progressive.sharpness / sequential.sharpness,
        progressive.texture / sequential.texture,
    ]
}

#[test]
fn a_progressive_file_measures_like_its_sequential_twin() {
    for (sequential, progressive) in [
        ("baseline.jpg", "progressive.jpg"),
        ("baseline.jpg", "progressive_restarts.jpg"),
        ("gray.jpg", "gray_progressive.jpg"),
    ] {
        for ratio in ratios(sequential, progressive) {
            assert!((ratio - 1.0).abs() < 0.02, "{progressive}: {ratio}");
        }
    }
}

#[test]
fn long_refinements_are_extrapolated_from_their_beginning() {
    for ratio in ratios("textured.jpg", "textured_progressive.jpg") {
        assert!((ratio - 1.0).abs() < 0.05, "{ratio}");
    }
}

#[test]
fn spectral_selection_alone_measures_exactly() {
    let image = photograph(203, 117, 9);
    let sequential = detail(&encoded(&image, 80, false));
    for scans in [2, 4, 20] {
        let bytes = encode(&image, 80, |encoder| {
            encoder.set_sampling_factor(SamplingFactor::F_2_2);
            encoder.set_progressive_scans(scans);
        });
        assert_eq!(detail(&bytes), sequential, "{scans} scans");
    }
}

#[test]
fn a_flat_image_has_neither_sharpness_nor_texture() {
    let flat = RgbImage::from_pixel(100, 100, image::Rgb([10, 200, 90]));
    let detail = detail(&encoded(&flat, 75, false));
    assert!(detail.sharpness == 0.0 && detail.texture == 0.0);
}

#[test]
fn detail_is_absent_when_not_asked_for() {
    let options = Options {
        measure_detail: false,
        ..Options::default()
    };
    for progressive in [false, true] {
        let bytes = encoded(&photograph(120, 90, 1), 75, progressive);
        let without = skim(&bytes, &options).unwrap();
        let with = skim(&bytes, &Options::default()).unwrap();
        assert_eq!(without.detail, None);
        assert_eq!(without.components, with.components);
    }
}

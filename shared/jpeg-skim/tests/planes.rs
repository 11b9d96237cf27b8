//! The one-eighth-scale planes against the pixels that were encoded, and against a library's decoding.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod photograph;

use image::{GrayImage, RgbImage};
use jpeg_encoder::{ChromaSubsamplingMethod, ColorType, Encoder, SamplingFactor};
use jpeg_skim::{ColorModel, Options, Skim, skim};
use photograph::{encode, photograph};

const SAMPLINGS: [(SamplingFactor, (u32, u32)); 16] = [
    (SamplingFactor::F_1_1, (1, 1)),
    (SamplingFactor::F_2_1, (2, 1)),
    (SamplingFactor::F_1_2, (1, 2)),
    (SamplingFactor::F_2_2, (2, 2)),
    (SamplingFactor::F_4_1, (4, 1)),
    (SamplingFactor::F_4_2, (4, 2)),
    (SamplingFactor::F_1_4, (1, 4)),
    (SamplingFactor::F_2_4, (2, 4)),
    (SamplingFactor::R_4_4_4, (1, 1)),
    (SamplingFactor::R_4_4_0, (1, 2)),
    (SamplingFactor::R_4_4_1, (1, 4)),
    (SamplingFactor::R_4_2_2, (2, 1)),
    (SamplingFactor::R_4_2_0, (2, 2)),
    (SamplingFactor::R_4_2_1, (2, 4)),
    (SamplingFactor::R_4_1_1, (4, 1)),
    (SamplingFactor::R_4_1_0, (4, 2)),
];

fn skimmed(bytes: &[u8]) -> Skim {
    skim(bytes, &Options::default()).unwrap()
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Luma and colour differences of each pixel, as JFIF defines them.
fn ycbcr(image: &RgbImage) -> [Vec<f32>; 3] {
    let mut planes = [Vec::new(), Vec::new(), Vec::new()];
    for pixel in image.pixels() {
        let [r, g, b] = pixel.0.map(f32::from);
        planes[0].push(0.299 * r + 0.587 * g + 0.114 * b);
        planes[1].push(128.0 - 0.168_736 * r - 0.331_264 * g + 0.5 * b);
        planes[2].push(128.0 + 0.5 * r - 0.418_688 * g - 0.081_312 * b);
    }
    planes
}

/// Means of blocks of pixels, the last ones filled up by repeating the edge as encoders do.
fn block_means(
    values: &[f32],
    (width, height): (u32, u32),
    (block_width, block_height): (u32, u32),
) -> Vec<f32> {
    let mut means = Vec::new();
    for top in (0..height).step_by(block_height as usize) {
        for left in (0..width).step_by(block_width as usize) {
            let mut sum = 0.0;
            for row in top..top + block_height {
                for column in left..left + block_width {
                    sum += values[(row.min(height - 1) * width + column.min(width - 1)) as usize];
                }
            }
            means.push(sum / (block_width * block_height) as f32);
        }
    }
    means
}

fn largest_difference(samples: &[u8], means: &[f32]) -> f32 {
    assert_eq!(samples.len(), means.len());
    let differences = samples
        .iter()
        .zip(means)
        .map(|(&sample, mean)| (f32::from(sample) - mean).abs());
    differences.fold(0.0, f32::max)
}

/// Compares every plane with the means of the pixels it was made from.
fn assert_planes_match(
    skim: &Skim,
    image: &RgbImage,
    (across, down): (u32, u32),
    tolerance: f32,
    what: &str,
) {
    assert_eq!((skim.width, skim.height), image.dimensions());
    assert_eq!(skim.color, ColorModel::YCbCr);
    let planes = ycbcr(image);
    for (index, (plane, values)) in skim.components.iter().zip(&planes).enumerate() {
        let block = if index == 0 {
            (8, 8)
        } else {
            (8 * across, 8 * down)
        };
        assert_eq!(
            (plane.width, plane.height),
            (skim.width.div_ceil(block.0), skim.height.div_ceil(block.1)),
            "{what}"
        );
        let difference = largest_difference(
            &plane.samples,
            &block_means(values, image.dimensions(), block),
        );
        assert!(
            difference <= tolerance,
            "{what}: component {index} differs by {difference}"
        );
    }
}

#[test]
fn every_sampling_gives_the_means_of_its_blocks() {
    for (width, height) in [(160, 128), (203, 117), (65, 66)] {
        let image = photograph(width, height, u64::from(width));
        for (index, (sampling, factors)) in SAMPLINGS.into_iter().enumerate() {
            for (progressive, optimized) in [(false, false), (false, true), (true, false)] {
                let bytes = encode(&image, 92, |encoder| {
                    encoder.set_sampling_factor(sampling);
                    encoder.set_chroma_subsampling_method(ChromaSubsamplingMethod::Average);
                    encoder.set_optimized_huffman_tables(optimized);
                    encoder.set_progressive(progressive);
                });
                let what = format!(
                    "{width}×{height}, sampling {index}, progressive {progressive}, optimized {optimized}"
                );
                assert_planes_match(&skimmed(&bytes), &image, factors, 2.0, &what);
            }
        }
    }
}

#[test]
fn coarser_quantization_only_rounds_the_means() {
    let image = photograph(200, 150, 3);
    for (quality, tolerance) in [(20, 4.5), (50, 2.5), (75, 2.0), (100, 1.5)] {
        let bytes = encode(&image, quality, |encoder| {
            encoder.set_sampling_factor(SamplingFactor::F_1_1);
        });
        assert_planes_match(
            &skimmed(&bytes),
            &image,
            (1, 1),
            tolerance,
            &format!("quality {quality}"),
        );
    }
}

#[test]
fn restart_intervals_change_nothing() {
    let image = photograph(203, 117, 4);
    for progressive in [false, true] {
        let configure = |interval: u16| {
            move |encoder: &mut Encoder<&mut Vec<u8>>| {
                encoder.set_sampling_factor(SamplingFactor::F_2_2);
                encoder.set_progressive(progressive);
                encoder.set_restart_interval(interval);
            }
        };
        let without = skimmed(&encode(&image, 80, configure(0)));
        for interval in [1, 2, 7, 13, 1000] {
            let with = skimmed(&encode(&image, 80, configure(interval)));
            assert_eq!(
                with, without,
                "interval {interval}, progressive {progressive}"
            );
        }
    }
}

#[test]
fn grayscale_has_one_plane() {
    let image: GrayImage = image::imageops::grayscale(&photograph(203, 117, 5));
    for progressive in [false, true] {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, 90);
        encoder.set_progressive(progressive);
        encoder
            .encode(image.as_raw(), 203, 117, ColorType::Luma)
            .unwrap();
        let skim = skimmed(&bytes);
        assert_eq!(skim.color, ColorModel::Grayscale);
        assert_eq!(skim.components.len(), 1);
        let values: Vec<f32> = image
            .as_raw()
            .iter()
            .map(|&value| f32::from(value))
            .collect();
        assert!(
            largest_difference(
                &skim.components[0].samples,
                &block_means(&values, (203, 117), (8, 8))
            ) <= 2.0
        );
        assert_eq!(skim.to_luma8().pixels, skim.components[0].samples);
        assert!(
            skim.to_rgb8()
                .pixels
                .as_chunks::<3>()
                .0
                .iter()
                .all(|[r, g, b]| r == g && g == b)
        );
    }
}

/// The differences between an interleaved small image and the block means of the decoded one, without the blocks at the
/// edges: those are filled up as the encoder liked, which the decoded image does not show.
fn differences(small: &[u8], decoded: &RgbImage) -> Vec<f32> {
    let mut differences = Vec::new();
    for channel in 0..3 {
        let values: Vec<f32> = decoded
            .pixels()
            .map(|pixel| f32::from(pixel.0[channel]))
            .collect();
        let means = block_means(&values, decoded.dimensions(), (8, 8));
        for row in 0..decoded.height() / 8 {
            for column in 0..decoded.width() / 8 {
                let index = (row * decoded.width().div_ceil(8) + column) as usize;
                differences.push((f32::from(small[3 * index + channel]) - means[index]).abs());
            }
        }
    }
    differences
}

fn decoded(bytes: &[u8]) -> RgbImage {
    image::load_from_memory(bytes).unwrap().to_rgb8()
}

#[test]
fn without_subsampling_the_small_image_is_the_decoded_one_reduced() {
    for name in [
        "optimized_444.jpg",
        "rgb.jpg",
        "gray.jpg",
        "gray_progressive.jpg",
    ] {
        let bytes = fixture(name);
        let (small, decoded) = (skimmed(&bytes).to_rgb8(), decoded(&bytes));
        assert_eq!(
            (small.width, small.height),
            (decoded.width().div_ceil(8), decoded.height().div_ceil(8))
        );
        let largest = differences(&small.pixels, &decoded)
            .into_iter()
            .fold(0.0, f32::max);
        assert!(largest <= 2.5, "{name}: differs by {largest}");
    }
}

#[test]
fn subsampled_chroma_is_interpolated() {
    let image = image::imageops::blur(&photograph(320, 240, 8), 25.0);
    for sampling in [
        SamplingFactor::F_2_2,
        SamplingFactor::F_2_1,
        SamplingFactor::F_1_2,
    ] {
        let bytes = encode(&image, 95, |encoder| {
            encoder.set_sampling_factor(sampling);
            encoder.set_chroma_subsampling_method(ChromaSubsamplingMethod::Average);
        });
        let differences = differences(&skimmed(&bytes).to_rgb8().pixels, &decoded(&bytes));
        let mean = differences.iter().sum::<f32>() / differences.len() as f32;
        assert!(mean <= 1.0, "mean difference {mean}");
    }
}

#[test]
fn the_small_luma_is_the_decoded_one_reduced() {
    for name in [
        "baseline.jpg",
        "progressive.jpg",
        "progressive_restarts.jpg",
        "restarts.jpg",
        "optimized_444.jpg",
        "rgb.jpg",
        "gray.jpg",
        "gray_progressive.jpg",
        "extended.jpg",
    ] {
        let bytes = fixture(name);
        let (small, decoded) = (skimmed(&bytes).to_luma8(), decoded(&bytes));
        let means = block_means(&ycbcr(&decoded)[0], decoded.dimensions(), (8, 8));
        for row in 0..decoded.height() / 8 {
            for column in 0..decoded.width() / 8 {
                let index = (row * small.width + column) as usize;
                let difference = (f32::from(small.pixels[index]) - means[index]).abs();
                assert!(
                    difference <= 2.0,
                    "{name}: block {column}, {row} differs by {difference}"
                );
            }
        }
    }
}

#[test]
fn successive_approximation_ends_at_the_same_coefficients() {
    for (sequential, progressive) in [
        ("baseline.jpg", "progressive.jpg"),
        ("baseline.jpg", "progressive_restarts.jpg"),
        ("gray.jpg", "gray_progressive.jpg"),
        ("textured.jpg", "textured_progressive.jpg"),
    ] {
        let [sequential, progressive] =
            [sequential, progressive].map(|name| skimmed(&fixture(name)));
        assert_eq!(sequential.components, progressive.components);
    }
}

#[test]
fn rgb_components_are_taken_as_they_are() {
    let skim = skimmed(&fixture("rgb.jpg"));
    assert_eq!(skim.color, ColorModel::Rgb);
    let interleaved: Vec<u8> = (0..skim.components[0].samples.len())
        .flat_map(|index| [0, 1, 2].map(|channel: usize| skim.components[channel].samples[index]))
        .collect();
    assert_eq!(skim.to_rgb8().pixels, interleaved);
}

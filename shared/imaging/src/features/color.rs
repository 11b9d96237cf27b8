//! Means and distributions of what is seen.

use std::borrow::Cow;

use domain::Rgb;

use crate::decode::{Working, luma, over_white as channel_over_white};
use crate::issues::{THRESHOLDS, Tones};

/// The working image's colours over white.
pub(super) fn over_white(working: &Working) -> Cow<'_, [[u8; 3]]> {
    let Some(alpha) = &working.alpha else {
        return Cow::Borrowed(&working.rgb);
    };
    working
        .rgb
        .iter()
        .zip(alpha)
        .map(|(color, alpha)| color.map(|channel| channel_over_white(channel, *alpha)))
        .collect()
}

/// Sums over all pixels, as result rows have them.
#[derive(Debug)]
pub(super) struct Statistics {
    pub(super) mean: Rgb,
    /// 0 … 1.
    pub(super) brightness: f32,
    /// 0 … 0.5.
    pub(super) contrast: f32,
    /// 0 … 1.
    pub(super) saturation: f32,
    /// Bits, 0 … 8.
    pub(super) entropy: f32,
    pub(super) tones: Tones,
}

impl Statistics {
    pub(super) fn of(pixels: &[[u8; 3]]) -> Self {
        let mut sums = [0_u64; 3];
        // Neighbours are alike: two tables, taken in turns, do not wait for each other's last addition.
        let mut tallies = [Tally::default(), Tally::default()];
        for pair in pixels.chunks(2) {
            for (color, tally) in pair.iter().zip(&mut tallies) {
                tally.add(*color);
                for (sum, channel) in sums.iter_mut().zip(color) {
                    *sum += u64::from(*channel);
                }
            }
        }
        let [mut tally, other] = tallies;
        tally.merge(&other);
        let Tally {
            histogram,
            spreads,
            coloured,
        } = tally;
        let saturation: f64 = (1..256)
            .map(|largest| f64::from(spreads[largest]) / largest as f64)
            .sum();
        let count = pixels.len().max(1) as u64;
        let (brightness, contrast, entropy) = of_histogram(&histogram, count);
        Self {
            mean: Rgb(sums.map(|sum| ((sum + count / 2) / count) as u8)),
            brightness,
            contrast,
            saturation: (saturation / count as f64) as f32,
            entropy,
            tones: Tones {
                shadows: percentile(&histogram, count.div_ceil(20)),
                highlights: percentile(&histogram, count - count / 20),
                coloured_share: coloured as f32 / count as f32,
            },
        }
    }
}

/// What is counted pixel by pixel.
struct Tally {
    /// Pixels of each luma.
    histogram: [u32; 256],
    /// By the largest channel, the sum of largest minus smallest.
    spreads: [u32; 256],
    /// Pixels with a colour.
    coloured: u32,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            histogram: [0; 256],
            spreads: [0; 256],
            coloured: 0,
        }
    }
}

impl Tally {
    fn add(&mut self, [red, green, blue]: [u8; 3]) {
        self.histogram[usize::from(luma(red, green, blue))] += 1;
        let largest = red.max(green).max(blue);
        let spread = largest - red.min(green).min(blue);
        self.spreads[usize::from(largest)] += u32::from(spread);
        self.coloured += u32::from(spread > THRESHOLDS.coloured_above_spread);
    }

    fn merge(&mut self, other: &Self) {
        for (count, more) in self.histogram.iter_mut().zip(other.histogram) {
            *count += more;
        }
        for (sum, more) in self.spreads.iter_mut().zip(other.spreads) {
            *sum += more;
        }
        self.coloured += other.coloured;
    }
}

/// The luma, 0 … 1, at which so many pixels are counted from the dark end.
fn percentile(histogram: &[u32; 256], wanted: u64) -> f32 {
    let mut counted = 0;
    for (value, pixels) in histogram.iter().enumerate() {
        counted += u64::from(*pixels);
        if counted >= wanted {
            return value as f32 / 255.0;
        }
    }
    1.0
}

/// Mean and standard deviation on a scale of 0 … 1, entropy in bits.
fn of_histogram(histogram: &[u32; 256], count: u64) -> (f32, f32, f32) {
    let (mut sum, mut squares, mut entropy) = (0.0, 0.0, 0.0);
    for (value, pixels) in histogram.iter().enumerate() {
        if *pixels == 0 {
            continue;
        }
        let value = value as f64 / 255.0;
        let share = f64::from(*pixels) / count as f64;
        sum += share * value;
        squares += share * value * value;
        entropy -= share * share.log2();
    }
    let deviation = (squares - sum * sum).max(0.0).sqrt();
    // A single value's entropy would come out as minus zero.
    (sum as f32, deviation as f32, entropy.max(0.0) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_black_half_white_has_the_greatest_contrast_and_one_bit() {
        let statistics = Statistics::of(&[[0; 3], [255; 3]]);
        assert!((statistics.brightness - 0.5).abs() < 1e-6);
        assert!((statistics.contrast - 0.5).abs() < 1e-6);
        assert!((statistics.entropy - 1.0).abs() < 1e-6);
        assert!(statistics.saturation.abs() < 1e-6);
        assert!(statistics.tones.coloured_share.abs() < 1e-6);
        assert_eq!(statistics.mean, Rgb([128; 3]));
    }

    #[test]
    fn shadows_and_highlights_leave_a_twentieth_on_either_side() {
        let ramp: Vec<[u8; 3]> = (1..=100).map(|value| [value; 3]).collect();
        let tones = Statistics::of(&ramp).tones;
        assert!((tones.shadows - 5.0 / 255.0).abs() < 1e-6);
        assert!((tones.highlights - 95.0 / 255.0).abs() < 1e-6);
    }

    #[test]
    fn a_pure_colour_is_saturated() {
        let statistics = Statistics::of(&[[200, 0, 0]; 4]);
        assert!((statistics.saturation - 1.0).abs() < 1e-6);
        assert!((statistics.tones.coloured_share - 1.0).abs() < 1e-6);
        assert_eq!(statistics.entropy.to_bits(), 0.0_f32.to_bits());
    }
}

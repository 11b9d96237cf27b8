//! Resampling as Pillow does it (`Image.resize` with LANCZOS): a windowed sinc of three lobes, stretched when the image
//! shrinks, first across, then down, rounded to 8 bits after each.

use std::f64::consts::PI;

/// Lobes of the filter on either side.
const LOBES: f64 = 3.0;

/// A plane of luma, `extent` of its pixels wide and high, as 8-bit samples of `to` columns and rows.
pub(super) fn lanczos(
    plane: &[f32],
    from: (usize, usize),
    extent: (f64, f64),
    to: (usize, usize),
) -> Vec<u8> {
    let (from_width, from_height) = from;
    let (to_width, to_height) = to;
    let columns = taps(from_width, extent.0, to_width);
    let rows = taps(from_height, extent.1, to_height);
    let mut narrow = Vec::with_capacity(to_width * from_height);
    for line in plane.chunks_exact(from_width) {
        for tap in &columns {
            let samples = &line[tap.first..tap.first + tap.weights.len()];
            let sum: f32 = dot(samples, &tap.weights);
            narrow.push(round(sum));
        }
    }
    let mut result = Vec::with_capacity(to_width * to_height);
    let mut sums = vec![0.0_f32; to_width];
    for tap in &rows {
        sums.fill(0.0);
        let lines = narrow[tap.first * to_width..].chunks_exact(to_width);
        for (weight, line) in tap.weights.iter().zip(lines) {
            for (sum, sample) in sums.iter_mut().zip(line) {
                *sum += weight * sample;
            }
        }
        result.extend(sums.iter().map(|sum| round(*sum) as u8));
    }
    result
}

/// Eight sums side by side, so that the loop needs no order of additions and becomes vector instructions.
fn dot(samples: &[f32], weights: &[f32]) -> f32 {
    let (sample_blocks, sample_rest) = samples.as_chunks::<8>();
    let (weight_blocks, weight_rest) = weights.as_chunks::<8>();
    let mut sums = [0.0_f32; 8];
    for (samples, weights) in sample_blocks.iter().zip(weight_blocks) {
        for lane in 0..8 {
            sums[lane] += samples[lane] * weights[lane];
        }
    }
    let mut total: f32 = sums.iter().sum();
    for (sample, weight) in sample_rest.iter().zip(weight_rest) {
        total += sample * weight;
    }
    total
}

fn round(value: f32) -> f32 {
    // What is not negative is rounded down by the conversion, without a call.
    f32::from((value + 0.5).clamp(0.0, 255.0) as u8)
}

/// The source samples of one target sample, and how much each weighs.
struct Tap {
    first: usize,
    weights: Vec<f32>,
}

fn taps(from: usize, extent: f64, to: usize) -> Vec<Tap> {
    let scale = extent / to as f64;
    let stretch = scale.max(1.0);
    let support = LOBES * stretch;
    (0..to)
        .map(|index| {
            let center = (index as f64 + 0.5) * scale;
            let first = ((center - support + 0.5).max(0.0) as usize).min(from - 1);
            let end = ((center + support + 0.5) as usize).clamp(first + 1, from);
            let start = (first as f64 - center + 0.5) / stretch;
            let weights = windowed_sincs(start, 1.0 / stretch, end - first);
            let total: f64 = weights.iter().sum();
            let weights = weights
                .iter()
                .map(|weight| (weight / total) as f32)
                .collect();
            Tap { first, weights }
        })
        .collect()
}

/// sinc(x) × sinc(x / 3) at `count` places from `start` on. Both are had from one sine, sin 3a = 3 sin a − 4 sin³ a, and
/// each sine from the one before, turned by a step.
fn windowed_sincs(start: f64, step: f64, count: usize) -> Vec<f64> {
    // Closer to 0 than rounding errors may take it.
    const ZERO: f64 = 1e-9;
    let (mut sine, mut cosine) = (PI * start / LOBES).sin_cos();
    let (step_sine, step_cosine) = (PI * step / LOBES).sin_cos();
    let mut values = Vec::with_capacity(count);
    for index in 0..count {
        let x = start + index as f64 * step;
        let angle = PI * x / LOBES;
        values.push(if x.abs() < ZERO {
            1.0
        } else if x.abs() >= LOBES {
            0.0
        } else {
            sine * sine * (3.0 - 4.0 * sine * sine) / (LOBES * angle * angle)
        });
        (sine, cosine) = (
            sine * step_cosine + cosine * step_sine,
            cosine * step_cosine - sine * step_sine,
        );
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_of_one_value_stays_one() {
        let plane = vec![77.0; 50 * 20];
        let small = lanczos(&plane, (50, 20), (49.5, 20.0), (9, 8));
        assert_eq!(small, vec![77; 72]);
        let large = lanczos(&[3.0], (1, 1), (1.0, 1.0), (32, 32));
        assert_eq!(large, vec![3; 1024]);
    }

    #[test]
    fn a_ramp_is_what_pillow_makes_of_it() {
        // Image.frombytes("L", (16, 1), bytes(range(0, 256, 16))).resize((4, 1), LANCZOS)
        let plane: Vec<f32> = (0..16_u8).map(|step| f32::from(step * 16)).collect();
        let small = lanczos(&plane, (16, 1), (16.0, 1.0), (4, 1));
        assert_eq!(small, [24, 86, 154, 216]);
    }
}

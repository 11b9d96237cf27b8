//! The `ThumbHash` format (<https://evanw.github.io/thumbhash/>), written: the lowest frequencies of lightness, of two colour
//! differences and of alpha, four bits each.
//!
//! Every frequency is a product of a wave across and one down, so that rows are summed up first, and columns of those sums. The
//! public encoder goes through all pixels for every frequency, some ten times the work; tests hold this one against it.

use std::f32::consts::PI;

/// Frequencies of lightness along the longer side, without and with alpha.
const LIGHTNESS: (usize, usize) = (7, 5);
/// Frequencies of either colour difference along each side.
const COLOR: usize = 3;
/// Frequencies of alpha along each side.
const ALPHA: usize = 5;

/// The hash of rows of red, green, blue and alpha, `width` pixels each: 5 bytes and half a byte for each frequency.
pub(super) fn encode(width: usize, pixels: &[[u8; 4]]) -> Vec<u8> {
    let height = pixels.len() / width.max(1);
    let longer = width.max(height);
    let has_alpha = pixels.iter().any(|pixel| pixel[3] < 255);
    let most = if has_alpha { LIGHTNESS.1 } else { LIGHTNESS.0 };
    let along = |side: usize| ((most * side) as f32 / longer as f32).round().max(1.0) as usize;
    let (across, down) = (along(width), along(height));

    let waves = (Waves::new(width), Waves::new(height));
    let planes = planes(pixels);
    let channel = |plane: usize, across: usize, down: usize| {
        Channel::new(&planes[plane], &waves, across, down)
    };
    let lightness = channel(0, across.max(3), down.max(3));
    let yellow_blue = channel(1, COLOR, COLOR);
    let red_green = channel(2, COLOR, COLOR);

    let is_landscape = width > height;
    let first = scaled(63.0, lightness.mean)
        | scaled(31.5, 1.0 + yellow_blue.mean) << 6
        | scaled(31.5, 1.0 + red_green.mean) << 12
        | scaled(31.0, lightness.scale) << 18
        | u32::from(has_alpha) << 23;
    let second = if is_landscape { down } else { across } as u32
        | scaled(63.0, yellow_blue.scale) << 3
        | scaled(63.0, red_green.scale) << 9
        | u32::from(is_landscape) << 15;
    let mut hash = first.to_le_bytes()[..3].to_vec();
    hash.extend(&second.to_le_bytes()[..2]);
    let mut waves_of = vec![lightness.waves, yellow_blue.waves, red_green.waves];
    if has_alpha {
        let alpha = channel(3, ALPHA, ALPHA);
        hash.push((scaled(15.0, alpha.mean) | scaled(15.0, alpha.scale) << 4) as u8);
        waves_of.push(alpha.waves);
    }
    let nibbles: Vec<u32> = waves_of
        .concat()
        .iter()
        .map(|wave| scaled(15.0, *wave))
        .collect();
    hash.extend(nibbles.chunks(2).map(|pair| match pair {
        [low, high] => (low | high << 4) as u8,
        rest => rest.iter().sum::<u32>() as u8,
    }));
    hash
}

fn scaled(largest: f32, value: f32) -> u32 {
    (largest * value + 0.5) as u32
}

/// Lightness, yellow minus blue, red minus green and alpha, of colours over the mean colour of what is opaque.
fn planes(pixels: &[[u8; 4]]) -> [Vec<f32>; 4] {
    let (mut sums, mut opacity) = ([0_u32; 3], 0_u32);
    for [colors @ .., alpha] in pixels {
        for (sum, channel) in sums.iter_mut().zip(colors) {
            *sum += u32::from(*channel) * u32::from(*alpha);
        }
        opacity += u32::from(*alpha);
    }
    let mean = sums.map(|sum| sum as f32 / (opacity.max(1) as f32 * 255.0));
    let mut planes = [const { Vec::new() }; 4];
    for plane in &mut planes {
        plane.reserve(pixels.len());
    }
    for [red, green, blue, alpha] in pixels {
        let opacity = f32::from(*alpha) / 255.0;
        let over =
            |channel: u8, mean: f32| mean * (1.0 - opacity) + opacity / 255.0 * f32::from(channel);
        let [red, green, blue] = [
            over(*red, mean[0]),
            over(*green, mean[1]),
            over(*blue, mean[2]),
        ];
        planes[0].push((red + green + blue) / 3.0);
        planes[1].push(f32::midpoint(red, green) - blue);
        planes[2].push(red - green);
        planes[3].push(opacity);
    }
    planes
}

/// The cosines of the DCT-II, one row for each frequency.
struct Waves(Vec<Vec<f32>>);

impl Waves {
    fn new(side: usize) -> Self {
        let first = |at: usize| (PI * (at as f32 + 0.5) / side as f32).cos();
        let mut rows = vec![vec![1.0; side], (0..side).map(first).collect()];
        for frequency in 2..LIGHTNESS.0 {
            // cos (k + 1)a = 2 cos a cos ka − cos (k − 1)a
            let next = (0..side)
                .map(|at| 2.0 * rows[1][at] * rows[frequency - 1][at] - rows[frequency - 2][at])
                .collect();
            rows.push(next);
        }
        Self(rows)
    }
}

/// The frequencies of one plane.
struct Channel {
    mean: f32,
    /// The size of the largest of the others.
    scale: f32,
    /// The others, from 0 (the negative scale) to 1.
    waves: Vec<f32>,
}

impl Channel {
    /// Keeps those below the diagonal between so many frequencies across and down.
    fn new(plane: &[f32], (columns, rows): &(Waves, Waves), across: usize, down: usize) -> Self {
        let width = columns.0[0].len();
        let mut sums = vec![[0.0; LIGHTNESS.0]; rows.0[0].len()];
        for (line, sums) in plane.chunks_exact(width).zip(&mut sums) {
            for (sum, wave) in sums.iter_mut().zip(&columns.0[..across]) {
                *sum = line
                    .iter()
                    .zip(wave)
                    .map(|(value, wave)| value * wave)
                    .sum();
            }
        }
        let mut found = Vec::with_capacity(across * down);
        for (y, wave) in rows.0[..down].iter().enumerate() {
            for x in (0..across).take_while(|x| x * down < across * (down - y)) {
                let sum: f32 = sums
                    .iter()
                    .zip(wave)
                    .map(|(sums, wave)| sums[x] * wave)
                    .sum();
                found.push(sum / plane.len() as f32);
            }
        }
        let mean = found.remove(0);
        let scale = found
            .iter()
            .fold(0.0, |scale: f32, wave| scale.max(wave.abs()));
        if scale > 0.0 {
            for wave in &mut found {
                *wave = 0.5 + 0.5 / scale * *wave;
            }
        }
        Self {
            mean,
            scale,
            waves: found,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nibbles(hash: &[u8]) -> impl Iterator<Item = u8> {
        hash.iter().flat_map(|byte| [byte & 15, byte >> 4])
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn hashes_are_those_of_the_public_encoder(
            width in 1..=32_usize,
            height in 1..=32_usize,
            is_opaque: bool,
            bytes in prop::collection::vec(any::<[u8; 4]>(), 32 * 32),
        ) {
            let mut pixels = bytes[..width * height].to_vec();
            if is_opaque {
                for pixel in &mut pixels {
                    pixel[3] = 255;
                }
            }
            let ours = encode(width, &pixels);
            let theirs = ::thumbhash::rgba_to_thumb_hash(width, height, pixels.as_flattened());
            prop_assert_eq!(ours.len(), theirs.len());
            // A value in the middle between two steps, such as a wave that is not there, may be rounded to either.
            let is_near = nibbles(&ours[5..]).zip(nibbles(&theirs[5..])).all(|(a, b)| a.abs_diff(b) <= 1);
            prop_assert!(is_near, "{ours:?} {theirs:?}");
            let (our_header, their_header) = (header(&ours), header(&theirs));
            let is_near = our_header.iter().zip(their_header).all(|(a, b)| a.abs_diff(b) <= 1);
            prop_assert!(is_near, "{our_header:?} {their_header:?}");
        }
    }

    /// Means, scales and flags of a hash.
    fn header(hash: &[u8]) -> [u32; 9] {
        let first = u32::from_le_bytes([hash[0], hash[1], hash[2], 0]);
        let second = u32::from_le_bytes([hash[3], hash[4], 0, 0]);
        [
            first & 63,
            first >> 6 & 63,
            first >> 12 & 63,
            first >> 18 & 31,
            first >> 23,
            second & 7,
            second >> 3 & 63,
            second >> 9 & 63,
            second >> 15,
        ]
    }
}

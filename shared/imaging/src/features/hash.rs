//! Perceptual hashes, bit for bit as the Python package `imagehash` defines them.

use std::f64::consts::PI;
use std::sync::LazyLock;

use domain::Hash64;

use super::resample::lanczos;
use crate::decode::Working;

/// Side of the square the transform is taken of.
const SIDE: usize = 32;
/// Frequencies kept in each direction.
const LOW: usize = 8;

/// `imagehash.phash`: luma of 32 × 32, two-dimensional DCT-II, the 8 × 8 lowest frequencies each compared with the median
/// of all; rows from the top, the first bit the most significant.
pub(super) fn phash(working: &Working) -> Hash64 {
    let luma = shrink(working, (SIDE, SIDE));
    let low = low_frequencies(&luma);
    let mut sorted = low;
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = LOW * LOW / 2;
    let median = f64::midpoint(sorted[middle - 1], sorted[middle]);
    pack(low.iter().map(|value| *value > median))
}

/// `imagehash.dhash`: luma of 9 × 8, each pixel compared with its right neighbour.
pub(super) fn dhash(working: &Working) -> Hash64 {
    let luma = shrink(working, (LOW + 1, LOW));
    let rows = luma.chunks_exact(LOW + 1);
    pack(rows.flat_map(|row| row.windows(2).map(|pair| pair[1] > pair[0])))
}

fn shrink(working: &Working, to: (usize, usize)) -> Vec<u8> {
    let from = (working.width, working.height);
    lanczos(&working.luma, from, working.extent, to)
}

fn pack(bits: impl Iterator<Item = bool>) -> Hash64 {
    Hash64(bits.fold(0, |hash, bit| hash << 1 | u64::from(bit)))
}

/// The cosines of the DCT-II, one row for each frequency. Its scale is left out: no comparison depends on it.
static COSINES: LazyLock<[[f64; SIDE]; LOW]> = LazyLock::new(|| {
    let mut cosines = [[0.0; SIDE]; LOW];
    for (frequency, row) in cosines.iter_mut().enumerate() {
        for (position, cosine) in row.iter_mut().enumerate() {
            let angle = PI * frequency as f64 * (2 * position + 1) as f64 / (2 * SIDE) as f64;
            *cosine = angle.cos();
        }
    }
    cosines
});

fn low_frequencies(luma: &[u8]) -> [f64; LOW * LOW] {
    // Sums of cosines that should cancel leave some 1e-11; the smallest true coefficient of an 8-bit image is far larger.
    const NOISE: f64 = 1e-6;
    let mut down = [[0.0; SIDE]; LOW];
    for (cosines, sums) in COSINES.iter().zip(&mut down) {
        for (cosine, row) in cosines.iter().zip(luma.chunks_exact(SIDE)) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += cosine * f64::from(*value);
            }
        }
    }
    let mut low = [0.0; LOW * LOW];
    for (row, out) in down.iter().zip(low.as_chunks_mut::<LOW>().0) {
        for (cosines, out) in COSINES.iter().zip(out) {
            let sum: f64 = row
                .iter()
                .zip(cosines)
                .map(|(value, cosine)| value * cosine)
                .sum();
            *out = if sum.abs() < NOISE { 0.0 } else { sum };
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::working_of_luma;

    #[test]
    fn hashes_are_those_imagehash_gives_for_the_same_pixels() {
        // imagehash 4.3.2 of Image.frombytes("L", (64, 48), bytes((x * x * 7 + y * 13 + x * y) % 251 for y, for x)))
        let working = working_of_luma(64, 48, |x, y| ((x * x * 7 + y * 13 + x * y) % 251) as u8);
        assert_eq!(phash(&working).to_string(), "9cb41eac1000fff7");
        assert_eq!(dhash(&working).to_string(), "b66655922a2bd171");
    }

    #[test]
    fn one_colour_has_the_hashes_of_nothing() {
        let working = working_of_luma(40, 40, |_, _| 128);
        assert_eq!(phash(&working).to_string(), "8000000000000000");
        assert_eq!(dhash(&working), Hash64(0));
    }
}

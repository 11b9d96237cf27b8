//! What the AC coefficients of the luma say about the full-resolution image: its sharpness and its texture.

use std::f64::consts::PI;

use crate::tables::Quantization;

/// Row-major index (row is the vertical frequency) of each coefficient in zigzag order (T.81, figure A.6).
const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// Measures of what is too fine for the one-eighth-scale planes, from the AC coefficients of the luma (of an RGB file:
/// of the green component).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Detail {
    /// Estimate of the variance of the Laplacian (four neighbours, centre −4) of the full-resolution luma, in squared grey
    /// levels.
    ///
    /// The Laplacian with mirrored borders is diagonal in the DCT basis, with eigenvalues
    /// `(2 − 2 cos πu/8) + (2 − 2 cos πv/8)`: the variance within blocks is the mean over blocks of
    /// `Σ (coefficient × eigenvalue)² / 64`. Steps between blocks are left out, which keeps blocking artefacts of strong
    /// compression from passing for sharpness and makes the value lower than the pixel measure of such files.
    pub sharpness: f32,
    /// Mean variance of the samples within a block, in squared grey levels (Parseval: the mean of `Σ AC² / 64`). Added to
    /// the variance of the one-eighth-scale luma it gives the variance of the full-resolution luma.
    pub texture: f32,
}

/// Sums of squared coefficients, per frequency, over blocks of a component.
pub(crate) struct FrequencyEnergy {
    /// In zigzag order, in units of the squared quantization step times [`Self::unit`].
    pub(crate) sums: [u64; 64],
    pub(crate) unit: f64,
    /// Blocks that were summed.
    pub(crate) blocks: usize,
}

impl FrequencyEnergy {
    pub(crate) fn detail(&self, quantization: &Quantization) -> Detail {
        let samples = self.blocks.max(1) as f64 * 64.0;
        let (mut sharpness, mut texture) = (0.0, 0.0);
        for k in 1..64 {
            let step = f64::from(quantization[k]);
            let energy = self.sums[k] as f64 * self.unit * step * step / samples;
            let eigenvalue = second_difference(ZIGZAG[k] % 8) + second_difference(ZIGZAG[k] / 8);
            texture += energy;
            sharpness += energy * eigenvalue * eigenvalue;
        }
        Detail {
            sharpness: sharpness as f32,
            texture: texture as f32,
        }
    }
}

/// Eigenvalue of the negative second difference, with mirrored borders, for one of eight frequencies.
fn second_difference(frequency: u8) -> f64 {
    2.0 - 2.0 * (PI * f64::from(frequency) / 8.0).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zigzag_visits_every_frequency_once_in_order_of_diagonals() {
        let mut sorted = ZIGZAG;
        sorted.sort_unstable();
        assert!(
            sorted
                .iter()
                .enumerate()
                .all(|(index, &value)| index == usize::from(value))
        );
        assert!(ZIGZAG.is_sorted_by_key(|&index| index / 8 + index % 8));
    }

    #[test]
    fn a_single_frequency_gives_its_eigenvalue() {
        // One block with coefficient 10 at horizontal frequency 4, whose eigenvalue is 2.
        let mut energy = FrequencyEnergy {
            sums: [0; 64],
            unit: 1.0,
            blocks: 1,
        };
        energy.sums[14] = 25;
        let detail = energy.detail(&[2; 64]);
        assert!((detail.texture - 100.0 / 64.0).abs() < 1e-5);
        assert!((detail.sharpness - 400.0 / 64.0).abs() < 1e-4);
    }
}

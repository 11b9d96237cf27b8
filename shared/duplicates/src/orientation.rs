//! The perceptual hash of a mirrored or turned image, from that of the upright one.
//!
//! Bit `8 v + u` of a pHash, the first the most significant, tells whether the DCT coefficient of vertical frequency `v` and
//! horizontal frequency `u` is above the median. Mirroring left to right turns the sign of every coefficient with an odd `u`,
//! upside down with an odd `v`; swapping the axes swaps `u` and `v`. The swap is exact. A turned sign is a turned bit only for
//! coefficients farther from zero than the median is, so a mirrored image is found at a distance that is a few bits larger.

use crate::Orientation;

/// Coefficients of odd horizontal frequency.
const ODD_COLUMNS: u64 = 0x5555_5555_5555_5555;
/// Coefficients of odd vertical frequency.
const ODD_ROWS: u64 = 0x00ff_00ff_00ff_00ff;

/// The hashes that `phash` has in the positions that `orientation` allows, the upright one first.
///
/// If the hash of one image in some position is near that of another, so is that of the other in some position near that of the
/// one: the positions form a group, and each keeps distances.
pub fn positions(phash: u64, orientation: Orientation) -> impl Iterator<Item = u64> {
    let transposed = transpose(phash);
    let all = [
        phash,
        phash ^ ODD_COLUMNS,
        phash ^ ODD_ROWS,
        phash ^ ODD_COLUMNS ^ ODD_ROWS,
        transposed,
        transposed ^ ODD_COLUMNS,
        transposed ^ ODD_ROWS,
        transposed ^ ODD_COLUMNS ^ ODD_ROWS,
    ];
    let taken = match orientation {
        Orientation::Upright => 1,
        Orientation::Mirrored => 2,
        Orientation::Turned => 8,
    };
    all.into_iter().take(taken)
}

/// Swaps rows and columns of an 8 × 8 bit matrix: quarters, then quarters of these, then single bits (Warren, *Hacker's
/// Delight*, 7-3).
fn transpose(matrix: u64) -> u64 {
    let swapped = swap(matrix, 28, 0x0000_0000_f0f0_f0f0);
    let swapped = swap(swapped, 14, 0x0000_cccc_0000_cccc);
    swap(swapped, 7, 0x00aa_00aa_00aa_00aa)
}

/// Exchanges the bits under `mask` with those `by` places above them.
const fn swap(value: u64, by: u32, mask: u64) -> u64 {
    let differing = (value ^ (value >> by)) & mask;
    value ^ differing ^ (differing << by)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bit(row: u32, column: u32) -> u64 {
        1 << (63 - (8 * row + column))
    }

    #[test]
    fn a_transposed_hash_has_rows_and_columns_swapped() {
        for row in 0..8 {
            for column in 0..8 {
                assert_eq!(transpose(bit(row, column)), bit(column, row));
            }
        }
    }

    #[test]
    fn mirroring_turns_odd_frequencies_of_its_axis() {
        let hash = 0x9cb4_1eac_1000_fff7;
        let mirrored: Vec<u64> = positions(hash, Orientation::Mirrored).collect();
        for row in 0..8 {
            for column in 0..8 {
                let changed = (mirrored[0] ^ mirrored[1]) & bit(row, column) != 0;
                assert_eq!(changed, column % 2 == 1);
            }
        }
    }

    #[test]
    fn the_positions_are_closed_under_themselves() {
        let hash = 0x9cb4_1eac_1000_fff7;
        let all: std::collections::BTreeSet<u64> = positions(hash, Orientation::Turned).collect();
        for position in &all {
            let again = positions(*position, Orientation::Turned).collect();
            assert_eq!(all, again);
        }
    }
}

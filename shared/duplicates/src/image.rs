//! What goes in: one row's image. And the key that orders all rows the search ever sees.

use domain::{Hash64, RowNumber};

use crate::{DuplicatesError, DuplicatesResult};

/// Bits of a row number in a [`Key`]; a list of more rows (a million million) is not one we could read.
const ROW_BITS: u32 = 40;
const MAX_ROW: u64 = (1 << ROW_BITS) - 1;
const MAX_BATCH: u64 = (1 << (64 - ROW_BITS)) - 1;

/// A row whose image loaded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Image {
    /// Position in the list. A row is added once, in any order.
    pub row: RowNumber,
    /// SHA-256 of the body.
    pub sha256: [u8; 32],
    /// Perceptual hash; an image without one has only exact duplicates.
    pub phash: Option<Hash64>,
    /// Entropy of luma in bits.
    pub entropy: Option<f32>,
    /// Standard deviation of luma, 0 … 0.5.
    pub contrast: Option<f32>,
    /// The host it came from, as a number of the caller's choice such as a hash of its name.
    pub host: u64,
    /// Width × height.
    pub pixels: u64,
    /// Length of the body.
    pub bytes: u64,
}

/// A row of this batch or of an earlier one. Rows of earlier batches come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// Position of the batch in the index; the batch at hand comes after all of the index, and is 0 where there is none.
    pub batch: u32,
    /// Position in that batch's list.
    pub row: RowNumber,
}

/// An [`Origin`] in 64 bits, of the same order: the batch in the upper 24, the row in the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(pub(crate) u64);

impl Key {
    pub(crate) fn new(batch: u32, row: RowNumber) -> DuplicatesResult<Self> {
        let too_large = |what, value, most| DuplicatesError::TooLarge { what, value, most };
        if row > MAX_ROW {
            return Err(too_large("row", row, MAX_ROW));
        }
        if u64::from(batch) > MAX_BATCH {
            return Err(too_large("batch", u64::from(batch), MAX_BATCH));
        }
        Ok(Self(u64::from(batch) << ROW_BITS | row))
    }

    pub(crate) const fn batch(self) -> u32 {
        (self.0 >> ROW_BITS) as u32
    }

    pub(crate) const fn row(self) -> RowNumber {
        self.0 & MAX_ROW
    }

    pub(crate) const fn origin(self) -> Origin {
        Origin {
            batch: self.batch(),
            row: self.row(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_by_batch_and_row() {
        let key = |batch, row| Key::new(batch, row).unwrap();
        let keys = [key(0, 0), key(0, MAX_ROW), key(1, 0), key(1, 7)];
        assert!(keys.is_sorted(), "{keys:?}");
        assert_eq!((keys[3].batch(), keys[3].row()), (1, 7));
    }

    #[test]
    fn a_row_beyond_the_key_is_refused() {
        assert!(Key::new(0, MAX_ROW + 1).is_err());
        assert!(Key::new(1 << 24, 0).is_err());
    }
}

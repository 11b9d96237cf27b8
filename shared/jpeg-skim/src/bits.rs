//! Reading bits from entropy-coded data (ITU-T T.81, F.2.2.5 and B.1.1.5): byte stuffing is undone on the way and
//! nothing beyond a marker is ever consumed.

/// Bits that are sure to be available after [`BitReader::refill`].
pub(crate) const REFILLED_BITS: u32 = 56;

/// Entropy-coded data and a place in it.
///
/// What changes is apart in a [`Cursor`], which goes through the rare paths by value: so the hot loops, where all else is
/// inlined, keep it in registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BitReader<'a> {
    data: &'a [u8],
    cursor: Cursor,
}

#[derive(Clone, Copy, Debug)]
struct Cursor {
    /// Next byte to load.
    position: usize,
    /// Unread bits, left-aligned. Below `available` there may be a part of the byte at `position`, which the next refill
    /// sets again to the same bits.
    buffer: u64,
    /// Bits of `buffer` that count, at most 63.
    available: u32,
    /// Zero bits made up because a marker or the end of the data was met.
    phantom: u32,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(data: &'a [u8], position: usize) -> Self {
        Self {
            data,
            cursor: Cursor {
                position,
                buffer: 0,
                available: 0,
                phantom: 0,
            },
        }
    }

    /// Loads bytes until at least [`REFILLED_BITS`] bits are available. Past a marker or the end the bits are zeros, which
    /// [`Self::is_exhausted`] tells.
    #[inline(always)]
    pub(crate) fn refill(&mut self) {
        let Cursor {
            position,
            available,
            ..
        } = self.cursor;
        if let Some(bytes) = self.data.get(position..position + 8)
            && let Ok(bytes) = <[u8; 8]>::try_from(bytes)
        {
            let word = u64::from_be_bytes(bytes);
            let loaded = (63 - available) >> 3;
            let ff = ff_bytes(word);
            // Of the bytes behind those that are loaded the first may count in part.
            if ff == 0 || ff.leading_zeros() >> 3 > loaded {
                self.cursor.buffer |= word >> available;
                self.cursor.position += loaded as usize;
                self.cursor.available |= REFILLED_BITS;
                return;
            }
        }
        self.cursor = refilled_bytewise(self.data, self.cursor);
    }

    /// Does something rare that takes much code, without making the caller keep the cursor in memory.
    #[inline(always)]
    pub(crate) fn aside<T>(&mut self, work: impl FnOnce(BitReader<'a>) -> (BitReader<'a>, T)) -> T {
        let (after, result) = work(*self);
        self.cursor = after.cursor;
        result
    }

    /// The next `count` bits (1 to 32) without consuming them.
    #[inline(always)]
    pub(crate) fn peek(&self, count: u32) -> u32 {
        (self.cursor.buffer >> (64 - count)) as u32
    }

    /// Drops `count` bits, which must be available.
    #[inline(always)]
    pub(crate) fn consume(&mut self, count: u32) {
        self.cursor.buffer <<= count;
        self.cursor.available -= count;
    }

    /// Takes `count` bits (0 to 31), which must be available.
    #[inline(always)]
    pub(crate) fn take(&mut self, count: u32) -> u32 {
        // Two shifts, so that no bits at all is not a shift by 64.
        let bits = (self.cursor.buffer >> 1 >> (63 - count)) as u32;
        self.consume(count);
        bits
    }

    /// Drops any number of bits, refilling as needed. Stops early where the data does.
    #[inline(always)]
    pub(crate) fn skip(&mut self, mut count: u32) {
        while count > self.cursor.available {
            count -= self.cursor.available;
            self.cursor.buffer = 0;
            self.cursor.available = 0;
            self.refill();
            if self.is_exhausted() {
                return;
            }
        }
        self.consume(count);
    }

    /// Whether bits were consumed that the data does not have.
    #[inline(always)]
    pub(crate) fn is_exhausted(&self) -> bool {
        self.cursor.phantom > self.cursor.available
    }

    /// Whether the end of the data, or a marker, is within the bits already loaded.
    pub(crate) fn has_seen_the_end(&self) -> bool {
        self.cursor.phantom > 0
    }

    /// Whole bytes that are loaded but unread.
    pub(crate) fn unread_bytes(&self) -> usize {
        (self.cursor.available.saturating_sub(self.cursor.phantom) / 8) as usize
    }

    /// Where loading stopped: never beyond the first marker.
    pub(crate) fn position(&self) -> usize {
        self.cursor.position
    }
}

#[cold]
#[inline(never)]
fn refilled_bytewise(data: &[u8], mut cursor: Cursor) -> Cursor {
    while cursor.available < REFILLED_BITS {
        let byte = match (data.get(cursor.position), data.get(cursor.position + 1)) {
            (Some(0xFF), Some(0x00)) => {
                cursor.position += 2;
                0xFF
            }
            (Some(0xFF) | None, _) => {
                cursor.phantom += 8;
                0x00
            }
            (Some(&byte), _) => {
                cursor.position += 1;
                byte
            }
        };
        cursor.buffer |= u64::from(byte) << (REFILLED_BITS - cursor.available);
        cursor.available += 8;
    }
    cursor
}

/// Not 0 if any of the eight bytes is 0xFF: the classic zero-byte test on the complement. The first byte marked is the first 0xFF, or one
/// before it.
#[inline(always)]
fn ff_bytes(word: u64) -> u64 {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    (!word).wrapping_sub(LOW) & word & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(data: &[u8], step: u32) -> Vec<u32> {
        let mut reader = BitReader::new(data, 0);
        let mut values = Vec::new();
        loop {
            reader.refill();
            let value = reader.take(step);
            if reader.is_exhausted() {
                return values;
            }
            values.push(value);
        }
    }

    #[test]
    fn stuffed_bytes_are_read_as_one() {
        let data = [
            0x12, 0xFF, 0x00, 0x34, 1, 2, 3, 4, 5, 6, 7, 8, 0xFF, 0x00, 0x9A,
        ];
        let expected = [0x12, 0xFF, 0x34, 1, 2, 3, 4, 5, 6, 7, 8, 0xFF, 0x9A];
        assert_eq!(read_all(&data, 8), expected);
    }

    #[test]
    fn stuffed_bytes_are_read_as_one_wherever_they_stand() {
        for gap in 1..=17 {
            let mut data = Vec::new();
            let mut expected = Vec::new();
            for number in 0..200_u32 {
                let byte = if number % gap == 0 {
                    0xFF
                } else {
                    number as u8 & 0x7F
                };
                data.push(byte);
                if byte == 0xFF {
                    data.push(0);
                }
                expected.push(u32::from(byte));
            }
            assert_eq!(read_all(&data, 8), expected, "every {gap}");
        }
    }

    #[test]
    fn every_bit_is_read_once_whatever_the_step() {
        let data: Vec<u8> = (0..200_u32).map(|i| (i * 37 % 255) as u8).collect();
        let bits: Vec<u32> = data
            .iter()
            .flat_map(|&byte| (0..8).rev().map(move |bit| u32::from(byte >> bit) & 1))
            .collect();
        for step in 1..=31 {
            let expected: Vec<u32> = bits
                .chunks_exact(step as usize)
                .map(|chunk| chunk.iter().fold(0, |all, bit| all << 1 | bit))
                .collect();
            assert_eq!(read_all(&data, step), expected, "step {step}");
        }
    }

    #[test]
    fn reading_stops_at_a_marker() {
        let data = [
            0xAB, 0xCD, 0xFF, 0xD9, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
        ];
        assert_eq!(read_all(&data, 8), [0xAB, 0xCD]);
        let mut reader = BitReader::new(&data, 0);
        reader.refill();
        assert_eq!(reader.position(), 2);
        assert_eq!(reader.unread_bytes(), 2);
    }

    #[test]
    fn long_skips_land_on_the_right_bit() {
        let data: Vec<u8> = (0..100).collect();
        let mut reader = BitReader::new(&data, 0);
        reader.refill();
        reader.skip(8 * 61);
        reader.refill();
        assert_eq!(reader.take(8), 61);
        reader.skip(8 * 1000);
        assert!(reader.is_exhausted());
    }

    #[test]
    fn the_test_for_ff_is_exact() {
        for position in 0..8 {
            for byte in 0..=255_u8 {
                let mut bytes = [0xFE, 0x00, 0x7F, 0x80, 0x01, 0xFE, 0xFE, 0x00];
                bytes[position] = byte;
                let found = ff_bytes(u64::from_be_bytes(bytes));
                assert_eq!(found != 0, byte == 0xFF);
                assert!(found == 0 || (found.leading_zeros() >> 3) as usize <= position);
            }
        }
    }
}

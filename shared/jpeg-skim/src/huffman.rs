//! Huffman codes (T.81, annex C) and the differences of DC coefficients.

use crate::bits::BitReader;
use crate::error::Flaw;

/// Index width of every look-up table. With eleven bits the tables of one image stay in the first-level cache and are
/// cheap to build; ten and twelve were measured and are slower.
pub(crate) const LOOKUP_BITS: u32 = 11;
pub(crate) const LOOKUP_SIZE: usize = 1 << LOOKUP_BITS;

/// A Huffman code as a DHT segment defines it (T.81, B.2.4.2 and annex C).
#[derive(Clone, Debug)]
pub(crate) struct HuffmanCode {
    symbols: Vec<u8>,
    /// Per code length, the first 16-bit window beyond the codes of that length.
    limits: [u32; 17],
    /// Per code length, what to add to a code to get its index in `symbols`.
    offsets: [i32; 17],
    /// For each index, length and symbol of the code it starts with; length 0 where the code is longer than the index.
    short: Box<[ShortCode; LOOKUP_SIZE]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct ShortCode {
    length: u8,
    symbol: u8,
}

impl HuffmanCode {
    /// Builds the code from the number of codes of each length 1 to 16 and the symbols in order.
    pub(crate) fn new(counts: &[u8; 16], symbols: &[u8]) -> Result<Self, Flaw> {
        let mut limits = [0; 17];
        let mut offsets = [0; 17];
        let mut short = boxed([ShortCode::default(); LOOKUP_SIZE]);
        let mut code = 0_u32;
        let mut index = 0_usize;
        for length in 1..=16_u32 {
            let count = usize::from(counts[length as usize - 1]);
            if code as usize + count > 1 << length {
                return Err(Flaw::HuffmanTable);
            }
            let Some(of_this_length) = symbols.get(index..index + count) else {
                return Err(Flaw::HuffmanTable);
            };
            offsets[length as usize] = index as i32 - code as i32;
            for &symbol in of_this_length {
                if length <= LOOKUP_BITS {
                    let spread = 1 << (LOOKUP_BITS - length);
                    let start = code as usize * spread;
                    short[start..start + spread].fill(ShortCode {
                        length: length as u8,
                        symbol,
                    });
                }
                code += 1;
            }
            limits[length as usize] = code << (16 - length);
            index += count;
            code <<= 1;
        }
        Ok(Self {
            symbols: symbols[..index].to_vec(),
            limits,
            offsets,
            short,
        })
    }

    /// Reads one symbol; 16 bits must be available.
    #[inline(always)]
    pub(crate) fn decode(&self, reader: &mut BitReader<'_>) -> Result<u8, Flaw> {
        let code = self.short[reader.peek(LOOKUP_BITS) as usize];
        if code.length > 0 {
            reader.consume(u32::from(code.length));
            return Ok(code.symbol);
        }
        let (length, symbol) = self.decode_long(reader.peek(16)).ok_or(Flaw::HuffmanCode)?;
        reader.consume(length);
        Ok(symbol)
    }

    /// Length and symbol of the code that a [`LOOKUP_BITS`]-bit index starts with, if it is not longer than that.
    pub(crate) fn short(&self, index: u32) -> Option<(u32, u8)> {
        let ShortCode { length, symbol } = self.short[index as usize];
        (length > 0).then_some((u32::from(length), symbol))
    }

    /// The codes that are not longer than an index, in order: the first index of each, its length and its symbol.
    pub(crate) fn short_codes(&self) -> impl Iterator<Item = (usize, u32, u8)> {
        let mut index = 0;
        std::iter::from_fn(move || {
            let ShortCode { length, symbol } =
                *self.short.get(index).filter(|code| code.length > 0)?;
            let first = index;
            index += 1 << (LOOKUP_BITS - u32::from(length));
            Some((first, u32::from(length), symbol))
        })
    }

    #[cold]
    #[inline(never)]
    fn decode_long(&self, window: u32) -> Option<(u32, u8)> {
        let length =
            (LOOKUP_BITS + 1..=16).find(|&length| window < self.limits[length as usize])?;
        let code = (window >> (16 - length)) as i32;
        let index = usize::try_from(code + self.offsets[length as usize]).ok()?;
        Some((length, *self.symbols.get(index)?))
    }
}

/// Splits an AC symbol into the run of zeros before the coefficient and the coefficient's size in bits.
#[inline(always)]
pub(crate) fn run_and_size(symbol: u8) -> (u32, u32) {
    (u32::from(symbol >> 4), u32::from(symbol & 15))
}

/// A coefficient's magnitude from its additional bits (T.81, F.2.2.1: a leading zero bit means negative).
#[inline(always)]
pub(crate) fn magnitude(bits: u32, size: u32) -> u32 {
    let ones = (1_u32 << size) - 1;
    if bits > ones >> 1 { bits } else { ones - bits }
}

/// A coefficient's value from its additional bits.
#[inline(always)]
pub(crate) fn extend(bits: u32, size: u32) -> i32 {
    let ones = (1_i32 << size) - 1;
    if bits as i32 > ones >> 1 {
        bits as i32
    } else {
        bits as i32 - ones
    }
}

pub(crate) fn boxed<T: Copy>(array: [T; LOOKUP_SIZE]) -> Box<[T; LOOKUP_SIZE]> {
    Box::new(array)
}

/// DC differences (T.81, F.2.2.1).
pub(crate) struct DcTable<'a> {
    code: &'a HuffmanCode,
    /// Total bits in the low byte, the difference above; 0 where the index does not hold both code and difference.
    lookup: Box<[i32; LOOKUP_SIZE]>,
}

impl<'a> DcTable<'a> {
    /// The largest difference is 11 bits at 8-bit precision; 16 leaves room for what sloppy encoders write.
    const MAX_SIZE: u32 = 15;

    pub(crate) fn new(code: &'a HuffmanCode) -> Self {
        let mut lookup = boxed([0; LOOKUP_SIZE]);
        for (first, length, size) in code.short_codes() {
            let size = u32::from(size);
            let total = length + size;
            if total > LOOKUP_BITS {
                continue;
            }
            let of_code = &mut lookup[first..][..1 << (LOOKUP_BITS - length)];
            let by_additional_bits = of_code.chunks_exact_mut(1 << (LOOKUP_BITS - total));
            for (bits, entries) in by_additional_bits.enumerate() {
                entries.fill(extend(bits as u32, size) << 8 | total as i32);
            }
        }
        Self { code, lookup }
    }

    /// Bits and value of the difference that an index starts with, if both its code and its additional bits are in there.
    pub(crate) fn short(&self, index: u32) -> Option<(u32, i32)> {
        let entry = self.lookup[index as usize];
        (entry != 0).then_some((entry as u32 & 0xFF, entry >> 8))
    }

    /// Reads a difference. Needs a refilled reader and leaves at least `REFILLED_BITS - LOOKUP_BITS` bits available.
    #[inline(always)]
    pub(crate) fn read(&self, reader: &mut BitReader<'_>) -> Result<i32, Flaw> {
        let entry = self.lookup[reader.peek(LOOKUP_BITS) as usize];
        if entry != 0 {
            reader.consume(entry as u32 & 0xFF);
            return Ok(entry >> 8);
        }
        let size = u32::from(self.code.decode(reader)?);
        if size > Self::MAX_SIZE {
            return Err(Flaw::HuffmanCode);
        }
        let bits = reader.take(size);
        reader.refill();
        Ok(extend(bits, size))
    }
}

//! Huffman codes and the look-up tables that walk them several symbols at a time.
//!
//! A table is indexed by the next [`LOOKUP_BITS`] bits of the stream. What an entry holds depends on what is wanted of the
//! coefficients: the difference of a DC coefficient, the squares of up to two AC coefficients, or only how far as many
//! whole AC coefficients as fit reach. An entry only ever covers bits that were in its index; whatever needs more bits takes
//! the slow way through [`HuffmanCode::decode`].

use crate::bits::BitReader;
use crate::error::Flaw;

/// Index width of every look-up table. Ten bits keep the tables of one image in the first-level cache and make them cheap to
/// build; wider ones were measured and gain nothing.
pub(crate) const LOOKUP_BITS: u32 = 11;
const LOOKUP_SIZE: usize = 1 << LOOKUP_BITS;

/// Marks an entry the table cannot answer; it carries the position in the block beyond the last coefficient.
const SPAN_SLOW: u32 = 64;
/// Added to the span of an entry that ends with an end-of-block code.
const SPAN_END: u32 = 128;
const LAST_COEFFICIENT: u32 = 63;

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
                    short[start..start + spread].fill(ShortCode { length: length as u8, symbol });
                }
                code += 1;
            }
            limits[length as usize] = code << (16 - length);
            index += count;
            code <<= 1;
        }
        Ok(Self { symbols: symbols[..index].to_vec(), limits, offsets, short })
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

    #[cold]
    #[inline(never)]
    fn decode_long(&self, window: u32) -> Option<(u32, u8)> {
        let length = (LOOKUP_BITS + 1..=16).find(|&length| window < self.limits[length as usize])?;
        let code = (window >> (16 - length)) as i32;
        let index = usize::try_from(code + self.offsets[length as usize]).ok()?;
        Some((length, *self.symbols.get(index)?))
    }

    /// The AC coefficient at the start of `window`, a [`LOOKUP_BITS`]-bit index of which only the first `known` bits count.
    fn whole_coefficient(&self, window: u32, known: u32) -> Option<WholeCoefficient> {
        let ShortCode { length, symbol } = self.short[window as usize];
        let (run, size) = run_and_size(symbol);
        let total = u32::from(length) + size;
        if length == 0 || total > known {
            return None;
        }
        let bits = (window >> (LOOKUP_BITS - total)) & ((1 << size) - 1);
        let is_end = size == 0 && run < 15;
        Some(WholeCoefficient {
            bits: total,
            advance: if is_end { 0 } else { run + 1 },
            magnitude: magnitude(bits, size),
            is_end,
        })
    }
}

struct WholeCoefficient {
    bits: u32,
    advance: u32,
    magnitude: u32,
    is_end: bool,
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
    if bits as i32 > ones >> 1 { bits as i32 } else { bits as i32 - ones }
}

fn boxed<T: Copy>(array: [T; LOOKUP_SIZE]) -> Box<[T; LOOKUP_SIZE]> {
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
        for (window, entry) in lookup.iter_mut().enumerate() {
            let ShortCode { length, symbol: size } = code.short[window];
            let total = u32::from(length) + u32::from(size);
            if length > 0 && total <= LOOKUP_BITS {
                let size = u32::from(size);
                let bits = (window as u32 >> (LOOKUP_BITS - total)) & ((1 << size) - 1);
                *entry = extend(bits, size) << 8 | total as i32;
            }
        }
        Self { code, lookup }
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

/// AC coefficients of which the squares are wanted: up to two per look-up.
pub(crate) struct AcSquares<'a> {
    code: &'a HuffmanCode,
    lookup: Box<[SquaresEntry; LOOKUP_SIZE]>,
}

/// `bits` (8), `span` (8), advance to the first coefficient (6), the two squares (21 each).
#[derive(Clone, Copy)]
struct SquaresEntry(u64);

impl SquaresEntry {
    const SLOW: Self = Self((SPAN_SLOW as u64) << 8);

    fn new(bits: u32, span: u32, first_advance: u32, magnitudes: [u32; 2]) -> Self {
        let [first, second] = magnitudes.map(|magnitude| u64::from(magnitude) * u64::from(magnitude));
        Self(u64::from(bits) | u64::from(span) << 8 | u64::from(first_advance) << 16 | first << 22 | second << 43)
    }
}

impl<'a> AcSquares<'a> {
    pub(crate) fn new(code: &'a HuffmanCode) -> Self {
        let mut lookup = boxed([SquaresEntry::SLOW; LOOKUP_SIZE]);
        for (window, entry) in lookup.iter_mut().enumerate() {
            let window = window as u32;
            let Some(first) = code.whole_coefficient(window, LOOKUP_BITS) else { continue };
            if first.is_end {
                *entry = SquaresEntry::new(first.bits, SPAN_END, 0, [0, 0]);
                continue;
            }
            let rest = window << first.bits & (LOOKUP_SIZE as u32 - 1);
            let (bits, span, second) = match code.whole_coefficient(rest, LOOKUP_BITS - first.bits) {
                None => (first.bits, first.advance, 0),
                // One more, because there has to be a coefficient left for the code to be there at all.
                Some(end) if end.is_end => (first.bits + end.bits, first.advance + 1 + SPAN_END, 0),
                Some(second) => (first.bits + second.bits, first.advance + second.advance, second.magnitude),
            };
            *entry = SquaresEntry::new(bits, span, first.advance, [first.magnitude, second]);
        }
        Self { code, lookup }
    }

    /// Walks the AC coefficients of a block and adds the square of each to `sums` at its zigzag index.
    ///
    /// Needs `REFILLED_BITS - LOOKUP_BITS` bits available, as after reading a DC difference.
    #[inline(always)]
    pub(crate) fn walk<'r>(&self, mut reader: BitReader<'r>, sums: &mut [u64; 64]) -> Result<BitReader<'r>, Flaw> {
        let mut k = 0_u32;
        loop {
            for _ in 0..LOOKUPS_PER_REFILL {
                let SquaresEntry(entry) = self.lookup[reader.peek(LOOKUP_BITS) as usize];
                let next = k + (entry >> 8 & 0xFF) as u32;
                if next < LAST_COEFFICIENT || is_last(next) {
                    reader.consume(entry as u32 & 0xFF);
                    let first = k + (entry >> 16 & 0x3F) as u32;
                    sums[(first & 63) as usize] += entry >> 22 & 0x1F_FFFF;
                    sums[(next & 63) as usize] += entry >> 43;
                    if next >= LAST_COEFFICIENT {
                        return Ok(reader);
                    }
                    k = next;
                } else {
                    let (after, coefficient) = read_coefficient(self.code, reader, k)?;
                    reader = after;
                    let Some(Coefficient { index, magnitude }) = coefficient else { return Ok(reader) };
                    sums[(index & 63) as usize] += u64::from(magnitude) * u64::from(magnitude);
                    if index == LAST_COEFFICIENT {
                        return Ok(reader);
                    }
                    k = index;
                }
            }
            reader.refill();
        }
    }
}

/// AC coefficients nobody wants: as many per look-up as fit.
pub(crate) struct AcSkips<'a> {
    code: &'a HuffmanCode,
    /// Bits in the low byte, span in the high one.
    lookup: Box<[u16; LOOKUP_SIZE]>,
}

impl<'a> AcSkips<'a> {
    pub(crate) fn new(code: &'a HuffmanCode) -> Self {
        let mut lookup = boxed([(SPAN_SLOW << 8) as u16; LOOKUP_SIZE]);
        for (window, entry) in lookup.iter_mut().enumerate() {
            let (mut bits, mut span) = (0, 0);
            while bits < LOOKUP_BITS {
                let rest = (window as u32) << bits & (LOOKUP_SIZE as u32 - 1);
                let Some(next) = code.whole_coefficient(rest, LOOKUP_BITS - bits) else { break };
                let reach = if next.is_end { span + u32::from(span > 0) } else { span + next.advance };
                if reach > LAST_COEFFICIENT {
                    break;
                }
                bits += next.bits;
                span = reach;
                if next.is_end {
                    span += SPAN_END;
                    break;
                }
            }
            if bits > 0 {
                *entry = (span << 8 | bits) as u16;
            }
        }
        Self { code, lookup }
    }

    /// Walks the AC coefficients of a block. Same need as [`AcSquares::walk`].
    #[inline(always)]
    pub(crate) fn walk<'r>(&self, mut reader: BitReader<'r>) -> Result<BitReader<'r>, Flaw> {
        let mut k = 0_u32;
        loop {
            for _ in 0..LOOKUPS_PER_REFILL {
                let entry = u32::from(self.lookup[reader.peek(LOOKUP_BITS) as usize]);
                let next = k + (entry >> 8);
                if next < LAST_COEFFICIENT {
                    reader.consume(entry & 0xFF);
                    k = next;
                } else if is_last(next) {
                    reader.consume(entry & 0xFF);
                    return Ok(reader);
                } else {
                    let (after, coefficient) = read_coefficient(self.code, reader, k)?;
                    reader = after;
                    match coefficient {
                        Some(Coefficient { index, .. }) if index < LAST_COEFFICIENT => k = index,
                        _ => return Ok(reader),
                    }
                }
            }
            reader.refill();
        }
    }
}

/// A DC difference and this many look-ups are covered by one refill.
const LOOKUPS_PER_REFILL: u32 = crate::bits::REFILLED_BITS / LOOKUP_BITS - 1;

/// Whether an entry that was looked up at some coefficient and reaches `next` ends the block there, rather than spilling over
/// into the following block (or being [`SPAN_SLOW`]).
#[inline(always)]
fn is_last(next: u32) -> bool {
    next == LAST_COEFFICIENT || (SPAN_END..SPAN_END + 64).contains(&next)
}

struct Coefficient {
    index: u32,
    magnitude: u32,
}

/// Reads one AC coefficient after zigzag index `k` the slow way; `None` at the end of the block. Returns a refilled reader.
#[inline(never)]
fn read_coefficient<'r>(
    code: &HuffmanCode,
    mut reader: BitReader<'r>,
    k: u32,
) -> Result<(BitReader<'r>, Option<Coefficient>), Flaw> {
    reader.refill();
    let (run, size) = run_and_size(code.decode(&mut reader)?);
    if size == 0 && run < 15 {
        return Ok((reader, None));
    }
    let index = k + run + 1;
    if index > LAST_COEFFICIENT {
        return Err(Flaw::Coefficients);
    }
    let bits = reader.take(size);
    reader.refill();
    Ok((reader, Some(Coefficient { index, magnitude: magnitude(bits, size) })))
}

//! Walking AC coefficients several at a time.
//!
//! A table is indexed by the next [`LOOKUP_BITS`] bits of the stream. An entry covers one or more whole coefficients, code
//! and additional bits: whatever needs bits beyond the index takes the slow way. What an entry says depends on what is
//! wanted: the energies of up to two coefficients, or only how far as many as fit reach.
//!
//! Positions in a block are zigzag indices, shifted so that the last coefficient of the scan's band is at [`LAST`]. An
//! entry's *span* is how far it advances, encoded so that a single comparison tells the common case from all others.

use std::rc::Rc;

use crate::bits::{BitReader, REFILLED_BITS};
use crate::error::Flaw;
use crate::huffman::{
    DcTable, HuffmanCode, LOOKUP_BITS, LOOKUP_SIZE, boxed, magnitude, run_and_size,
};

const LAST: u32 = 63;
/// The span of an entry that the table cannot answer: beyond the last coefficient from anywhere.
const SPAN_SLOW: u32 = 64;
/// Bits of the largest coefficient. The standard has ten for 8-bit samples; no sum of squares overflows with these.
const MAX_SIZE: u32 = 15;
/// Added to the span of an entry that ends with an end-of-block code.
const SPAN_END: u32 = 128;
/// This many look-ups are covered by one refill, even when a look-up went before them.
const LOOKUPS_PER_REFILL: u32 = REFILLED_BITS / LOOKUP_BITS - 1;

/// Whether an entry that reaches `position` ends the block there, rather than spilling over into the following block or
/// being unanswered.
#[inline(always)]
fn is_end(position: u32) -> bool {
    position == LAST || (SPAN_END..SPAN_END + 64).contains(&position)
}

/// How a code's symbols are to be read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Syntax {
    /// Sequential (T.81, F.1.2.2): a run below 15 without a coefficient ends the block.
    Sequential,
    /// First progressive scan (G.1.2.2): it ends several blocks, unless the run is 0.
    First,
    /// Refinement (G.1.2.3): likewise, and a coefficient is one bit, its sign.
    Refinement,
}

/// A symbol that lies wholly within an index.
struct Whole {
    bits: u32,
    advance: u32,
    magnitude: u32,
    is_end: bool,
}

impl Whole {
    /// The symbol at the start of `index`, of which only the first `known` bits count.
    fn read(code: &HuffmanCode, syntax: Syntax, index: u32, known: u32) -> Option<Self> {
        let (length, symbol) = code.short(index)?;
        let (run, size) = run_and_size(symbol);
        let bits = length + size;
        let is_end = size == 0 && run < 15;
        let is_many_ends = is_end && run > 0 && syntax != Syntax::Sequential;
        let is_large = size > 1 && syntax == Syntax::Refinement;
        if bits > known || is_many_ends || is_large {
            return None;
        }
        let additional = (index >> (LOOKUP_BITS - bits)) & ((1 << size) - 1);
        let advance = if is_end { 0 } else { run + 1 };
        Some(Self {
            bits,
            advance,
            magnitude: magnitude(additional, size),
            is_end,
        })
    }
}

/// `bits` (8), `span` (8), advance to the first coefficient (6), two energies (21 each).
#[derive(Clone, Copy)]
struct EnergyEntry(u64);

impl EnergyEntry {
    const SLOW: Self = Self((SPAN_SLOW as u64) << 8);
    const ENERGY_BITS: u32 = 21;

    fn new(bits: u32, span: u32, first_advance: u32, energies: [u64; 2]) -> Self {
        if energies
            .iter()
            .any(|energy| energy >> Self::ENERGY_BITS > 0)
        {
            return Self::SLOW;
        }
        let [first, second] = energies;
        Self(
            u64::from(bits)
                | u64::from(span) << 8
                | u64::from(first_advance) << 16
                | first << 22
                | second << 43,
        )
    }

    #[inline(always)]
    fn bits(self) -> u32 {
        self.0 as u32 & 0xFF
    }

    #[inline(always)]
    fn span(self) -> u32 {
        self.0 as u32 >> 8 & 0xFF
    }

    #[inline(always)]
    fn first_advance(self) -> u32 {
        self.0 as u32 >> 16 & 0x3F
    }

    #[inline(always)]
    fn energies(self) -> (u64, u64) {
        (self.0 >> 22 & 0x1F_FFFF, self.0 >> 43)
    }
}

fn energy_lookup(
    code: &HuffmanCode,
    syntax: Syntax,
    energy_of: impl Fn(u32) -> u64,
) -> Box<[EnergyEntry; LOOKUP_SIZE]> {
    let energy_of = |magnitude| {
        if magnitude == 0 {
            0
        } else {
            energy_of(magnitude)
        }
    };
    let mut lookup = boxed([EnergyEntry::SLOW; LOOKUP_SIZE]);
    for (index, entry) in lookup.iter_mut().enumerate() {
        let index = index as u32;
        let Some(first) = Whole::read(code, syntax, index, LOOKUP_BITS) else {
            continue;
        };
        if first.is_end {
            *entry = EnergyEntry::new(first.bits, SPAN_END, 0, [0, 0]);
            continue;
        }
        let rest = index << first.bits & (LOOKUP_SIZE as u32 - 1);
        let (bits, span, second) = match Whole::read(code, syntax, rest, LOOKUP_BITS - first.bits) {
            None => (first.bits, first.advance, 0),
            // One more, because there has to be a coefficient left for the end to be coded at all.
            Some(end) if end.is_end => (first.bits + end.bits, first.advance + 1 + SPAN_END, 0),
            Some(second) => (
                first.bits + second.bits,
                first.advance + second.advance,
                energy_of(second.magnitude),
            ),
        };
        *entry = EnergyEntry::new(
            bits,
            span,
            first.advance,
            [energy_of(first.magnitude), second],
        );
    }
    lookup
}

/// What the slow way found.
enum Slow {
    /// A coefficient, or 16 zeros if the magnitude is 0, that ends at `position`.
    Coefficient { position: u32, magnitude: u32 },
    /// The end of this block and of a number of blocks after it.
    End { more_blocks: u32 },
}

/// Reads one symbol after `position` and refills the reader.
#[inline(never)]
fn read_slowly<'a>(
    code: &HuffmanCode,
    syntax: Syntax,
    low_bits: u32,
    mut reader: BitReader<'a>,
    position: u32,
) -> (BitReader<'a>, Result<Slow, Flaw>) {
    reader.refill();
    let slow = read_symbol(code, syntax, low_bits, &mut reader, position);
    reader.refill();
    (reader, slow)
}

#[inline(always)]
fn read_symbol(
    code: &HuffmanCode,
    syntax: Syntax,
    low_bits: u32,
    reader: &mut BitReader<'_>,
    position: u32,
) -> Result<Slow, Flaw> {
    let (run, size) = run_and_size(code.decode(reader)?);
    if size == 0 && run < 15 {
        let more_blocks = if syntax == Syntax::Sequential {
            0
        } else {
            (1 << run) - 1 + reader.take(run)
        };
        return Ok(Slow::End { more_blocks });
    }
    let position = position + run + 1;
    if position > LAST || size + low_bits > MAX_SIZE {
        return Err(Flaw::Coefficients);
    }
    Ok(Slow::Coefficient {
        position,
        magnitude: magnitude(reader.take(size), size),
    })
}

/// AC coefficients of which the energies are wanted: up to two per look-up.
pub(crate) struct AcEnergies<'a> {
    code: &'a HuffmanCode,
    syntax: Syntax,
    /// The low bits of the coefficients that a later scan sends.
    low_bits: u32,
    lookup: Box<[EnergyEntry; LOOKUP_SIZE]>,
}

impl<'a> AcEnergies<'a> {
    /// For sequential scans. Energies are squares.
    pub(crate) fn sequential(code: &'a HuffmanCode) -> Self {
        let lookup = energy_lookup(code, Syntax::Sequential, |magnitude| {
            u64::from(magnitude).pow(2)
        });
        Self {
            code,
            syntax: Syntax::Sequential,
            low_bits: 0,
            lookup,
        }
    }

    /// For the first progressive scan of a band. Energies are as [`open_energy`] gives them.
    pub(crate) fn first(code: &'a HuffmanCode, low_bits: u32) -> Self {
        let lookup = energy_lookup(code, Syntax::First, |magnitude| {
            open_energy(magnitude, low_bits)
        });
        Self {
            code,
            syntax: Syntax::First,
            low_bits,
            lookup,
        }
    }

    fn energy_of(&self, magnitude: u32) -> u64 {
        match self.syntax {
            Syntax::Sequential => u64::from(magnitude).pow(2),
            _ if magnitude == 0 => 0,
            _ => open_energy(magnitude, self.low_bits),
        }
    }

    /// Walks the coefficients of a block after `position` and calls `record` with the position and energy of each, and
    /// sometimes with no energy and any position. Returns how many blocks that follow are ended with this one.
    ///
    /// Needs [`REFILLED_BITS`] bits less a look-up.
    #[inline(always)]
    pub(crate) fn walk(
        &self,
        reader: &mut BitReader<'_>,
        mut position: u32,
        mut record: impl FnMut(u32, u64),
    ) -> Result<u32, Flaw> {
        loop {
            for _ in 0..LOOKUPS_PER_REFILL {
                let entry = self.lookup[reader.peek(LOOKUP_BITS) as usize];
                let next = position + entry.span();
                if next < LAST || is_end(next) {
                    reader.consume(entry.bits());
                    let (first, second) = entry.energies();
                    record(position + entry.first_advance(), first);
                    record(next, second);
                    if next >= LAST {
                        return Ok(0);
                    }
                    position = next;
                } else {
                    let slow = reader.aside(|reader| {
                        read_slowly(self.code, self.syntax, self.low_bits, reader, position)
                    })?;
                    match slow {
                        Slow::End { more_blocks } => return Ok(more_blocks),
                        Slow::Coefficient {
                            position: reached,
                            magnitude,
                        } => {
                            record(reached, self.energy_of(magnitude));
                            position = reached;
                            if position == LAST {
                                return Ok(0);
                            }
                        }
                    }
                }
            }
            reader.refill();
        }
    }
}

/// [`open_energy`] is in units of this.
pub(crate) const OPEN_ENERGY_UNIT: f64 = 1.0 / 16.0;

/// What a coefficient counts of which `magnitude` is known and `low_bits` more bits are not: the square of a value from the
/// range left open. Its middle, except that among the smallest the lower ones are much more frequent: there, a quarter up.
pub(crate) fn open_energy(magnitude: u32, low_bits: u32) -> u64 {
    let known = u64::from(magnitude) << low_bits;
    let open = (1 << low_bits) - 1;
    let quarters = if magnitude == 1 { 1 } else { 2 };
    (4 * known + quarters * open).pow(2)
}

/// Blocks of which only the DC coefficient is wanted: as many of the others per look-up as fit. Sequential scans only.
pub(crate) struct Skips<'a> {
    dc: Rc<DcTable<'a>>,
    ac: &'a HuffmanCode,
    starts: Box<[StartEntry; LOOKUP_SIZE]>,
    lookup: Box<[SkipEntry; LOOKUP_SIZE]>,
}

/// Bits in the low byte, span in the high one. The additional bits of the last coefficient need not be in the index, since
/// nobody asks for its value.
#[derive(Clone, Copy)]
struct SkipEntry(u16);

impl SkipEntry {
    const NOTHING: Self = Self(0);
    const SLOW: Self = Self((SPAN_SLOW << 8) as u16);
    /// Additional bits that may lie beyond the index.
    const BITS_BEYOND: u32 = 3;
    /// This many look-ups are covered by one refill, even when a look-up went before them.
    const PER_REFILL: u32 = REFILLED_BITS / (LOOKUP_BITS + Self::BITS_BEYOND) - 1;

    fn new(bits: u32, span: u32) -> Self {
        Self((span << 8 | bits) as u16)
    }

    #[inline(always)]
    fn bits(self) -> u32 {
        u32::from(self.0 & 0xFF)
    }

    #[inline(always)]
    fn span(self) -> u32 {
        u32::from(self.0 >> 8)
    }

    /// A coefficient and what follows it, if that is within a block.
    fn after(self, bits: u32, advance: u32) -> Self {
        // One more before an end, as in `energy_lookup`.
        let to_end = u32::from(self.span() == SPAN_END);
        let span = self.span() + advance + to_end;
        if span % SPAN_END > LAST {
            return Self::new(bits, advance);
        }
        Self::new(bits + self.bits(), span)
    }
}

/// The beginning of a block: the difference of its DC coefficient (16), span (8) and bits (8) of it and of what is skipped behind it.
#[derive(Clone, Copy)]
struct StartEntry(i32);

impl StartEntry {
    /// Has no bits.
    const SLOW: Self = Self(0);

    fn new(difference: i32, bits: u32, rest: SkipEntry) -> Self {
        let spans_and_bits = (rest.span() << 8 | (bits + rest.bits())).cast_signed();
        Self(difference << 16 | spans_and_bits)
    }

    #[inline(always)]
    fn bits(self) -> u32 {
        self.0 as u32 & 0xFF
    }

    #[inline(always)]
    fn span(self) -> u32 {
        self.0 as u32 >> 8 & 0xFF
    }

    #[inline(always)]
    fn difference(self) -> i32 {
        self.0 >> 16
    }
}

/// What each sequence of up to [`LOOKUP_BITS`] bits covers: those of `length` bits begin at `1 << length`. The entry of a sequence
/// is its first symbol and the entry of what is left of it.
fn skip_entries(code: &HuffmanCode) -> [SkipEntry; 2 * LOOKUP_SIZE] {
    let mut entries = [SkipEntry::NOTHING; 2 * LOOKUP_SIZE];
    for known in 1..=LOOKUP_BITS {
        let (shorter, longer) = entries.split_at_mut(1 << known);
        for (first, length, symbol) in code.short_codes() {
            let (run, size) = run_and_size(symbol);
            let bits = length + size;
            if length > known || bits > known + SkipEntry::BITS_BEYOND {
                continue;
            }
            // All sequences that begin with this code.
            let sequences = &mut longer[first >> (LOOKUP_BITS - known)..][..1 << (known - length)];
            if size == 0 && run < 15 {
                sequences.fill(SkipEntry::new(bits, SPAN_END));
                continue;
            }
            let left = 1 << known.saturating_sub(bits);
            let (rests, repeated) = sequences.split_at_mut(left);
            for (entry, rest) in rests.iter_mut().zip(&shorter[left..]) {
                *entry = rest.after(bits, run + 1);
            }
            // Whatever the additional bits are.
            for others in repeated.chunks_exact_mut(left) {
                others.copy_from_slice(rests);
            }
        }
    }
    entries
}

impl<'a> Skips<'a> {
    pub(crate) fn new(dc: Rc<DcTable<'a>>, ac: &'a HuffmanCode) -> Self {
        let entries = skip_entries(ac);
        let mut lookup = boxed([SkipEntry::SLOW; LOOKUP_SIZE]);
        for (entry, found) in lookup.iter_mut().zip(&entries[LOOKUP_SIZE..]) {
            if found.bits() > 0 {
                *entry = *found;
            }
        }
        let mut starts = boxed([StartEntry::SLOW; LOOKUP_SIZE]);
        for (sequence, start) in starts.iter_mut().enumerate() {
            if let Some((bits, difference)) = dc.short(sequence as u32) {
                let left = LOOKUP_BITS - bits;
                let rest = 1 << left | sequence & ((1 << left) - 1);
                *start = StartEntry::new(difference, bits, entries[rest]);
            }
        }
        Self {
            dc,
            ac,
            starts,
            lookup,
        }
    }

    /// Walks a block and returns the difference of its DC coefficient. Needs a refilled reader.
    #[inline(always)]
    pub(crate) fn walk(&self, reader: &mut BitReader<'_>) -> Result<i32, Flaw> {
        let start = self.starts[reader.peek(LOOKUP_BITS) as usize];
        if start.bits() == 0 {
            let difference = self.dc.read(reader)?;
            self.walk_from(reader, 0)?;
            return Ok(difference);
        }
        reader.consume(start.bits());
        if !is_end(start.span()) {
            self.walk_from(reader, start.span())?;
        }
        Ok(start.difference())
    }

    /// Walks the coefficients of a block after `position`. Needs [`REFILLED_BITS`] bits less a look-up.
    #[inline(always)]
    fn walk_from(&self, reader: &mut BitReader<'_>, mut position: u32) -> Result<(), Flaw> {
        loop {
            for _ in 0..SkipEntry::PER_REFILL {
                let entry = self.lookup[reader.peek(LOOKUP_BITS) as usize];
                let next = position + entry.span();
                if next < LAST {
                    reader.consume(entry.bits());
                    position = next;
                } else if is_end(next) {
                    reader.consume(entry.bits());
                    return Ok(());
                } else {
                    let slow = reader.aside(|reader| {
                        read_slowly(self.ac, Syntax::Sequential, 0, reader, position)
                    })?;
                    match slow {
                        Slow::Coefficient {
                            position: reached, ..
                        } if reached < LAST => position = reached,
                        _ => return Ok(()),
                    }
                }
            }
            reader.refill();
        }
    }
}

/// Progressive refinements: new coefficients of magnitude one, and between them one correction bit for each coefficient that
/// was nonzero before.
pub(crate) struct AcRefinements<'a> {
    code: &'a HuffmanCode,
    /// What a new coefficient counts.
    energy: u64,
    lookup: Box<[EnergyEntry; LOOKUP_SIZE]>,
}

impl<'a> AcRefinements<'a> {
    pub(crate) fn new(code: &'a HuffmanCode, low_bits: u32) -> Self {
        let energy = open_energy(1, low_bits);
        Self {
            code,
            energy,
            lookup: energy_lookup(code, Syntax::Refinement, |_| energy),
        }
    }

    /// As [`AcEnergies::walk`]; `old` has the bits set at whose positions there is a coefficient already.
    #[inline(always)]
    pub(crate) fn walk(
        &self,
        reader: &mut BitReader<'_>,
        mut position: u32,
        mut old: u64,
        mut record: impl FnMut(u32, u64),
    ) -> Result<u32, Flaw> {
        let mut next_old = old.trailing_zeros();
        loop {
            reader.refill();
            let entry = self.lookup[reader.peek(LOOKUP_BITS) as usize];
            let next = position + entry.span();
            // Only a stretch without correction bits is what the table took it for.
            let is_clear = next % SPAN_END < next_old || entry.span() == SPAN_END;
            if is_clear && (next < LAST || is_end(next)) {
                reader.consume(entry.bits());
                let (first, second) = entry.energies();
                record(position + entry.first_advance(), first);
                record(next, second);
                if next >= LAST {
                    reader.skip(old.count_ones());
                    return Ok(0);
                }
                position = next;
                continue;
            }
            let (run, size) = run_and_size(self.code.decode(reader)?);
            if size == 0 && run < 15 {
                let more_blocks = (1 << run) - 1 + reader.take(run);
                reader.skip(old.count_ones());
                return Ok(more_blocks);
            }
            // The sign; no size other than one is allowed.
            reader.consume(u32::from(size > 0));
            position += run + 1;
            let mut corrections = 0;
            while old != 0 && next_old <= position {
                old &= old - 1;
                next_old = old.trailing_zeros();
                corrections += 1;
                position += 1;
            }
            if position > LAST {
                return Err(Flaw::Coefficients);
            }
            reader.skip(corrections);
            if size > 0 {
                record(position, self.energy);
            }
            if position == LAST {
                return Ok(0);
            }
        }
    }
}

#[cfg(test)]
mod tests;

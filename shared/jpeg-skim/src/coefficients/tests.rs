//! Blocks are encoded with random codes and must be walked to exactly the same coefficients and bits.

use proptest::prelude::*;

use super::*;

/// Symbols in the order of their codes, of which the first two have two and three bits, then two each of every length.
struct Code {
    symbols: Vec<u8>,
    lengths: Vec<u32>,
    decoder: HuffmanCode,
}

impl Code {
    fn new(symbols: Vec<u8>) -> Self {
        let mut counts = [0, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 0];
        counts[15] = symbols.len() as u8 - counts.iter().sum::<u8>();
        let lengths = (1..=16)
            .zip(counts)
            .flat_map(|(length, count)| vec![length; usize::from(count)]);
        let lengths = lengths.collect();
        let decoder = HuffmanCode::new(&counts, &symbols).unwrap();
        Self {
            symbols,
            lengths,
            decoder,
        }
    }

    fn write(&self, bits: &mut Bits, symbol: u8) {
        let index = self
            .symbols
            .iter()
            .position(|&other| other == symbol)
            .unwrap();
        let mut code = 0;
        for pair in self.lengths[..=index].windows(2) {
            code = (code + 1) << (pair[1] - pair[0]);
        }
        bits.write(code, self.lengths[index]);
    }
}

#[derive(Default)]
struct Bits(Vec<bool>);

impl Bits {
    fn write(&mut self, value: u32, count: u32) {
        self.0
            .extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
    }

    /// Alternating bits, of which none taken for a code goes unnoticed.
    fn write_corrections(&mut self, count: u32) {
        self.0.extend((0..count).map(|index| index % 2 == 0));
    }

    /// Whole bytes, stuffed, and an end-of-image marker.
    fn into_bytes(mut self) -> Vec<u8> {
        while !self.0.len().is_multiple_of(8) {
            self.0.push(true);
        }
        let mut bytes = Vec::new();
        for byte in self.0.chunks(8) {
            let byte = byte.iter().fold(0, |byte, &bit| byte << 1 | u8::from(bit));
            bytes.push(byte);
            if byte == 0xFF {
                bytes.push(0x00);
            }
        }
        bytes.extend([0xFF, 0xD9]);
        bytes
    }
}

/// Positions and nonzero values of a block.
type Block = Vec<(u32, i32)>;

fn size_of(value: i32) -> u32 {
    32 - value.unsigned_abs().leading_zeros()
}

fn write_value(bits: &mut Bits, value: i32) {
    let size = size_of(value);
    let additional = if value < 0 { value - 1 } else { value };
    bits.write(additional as u32 & ((1 << size) - 1), size);
}

/// Writes what comes before a coefficient that follows a run of zeros.
fn write_run(code: &Code, bits: &mut Bits, mut run: u32, size: u32) {
    while run > 15 {
        code.write(bits, 0xF0);
        run -= 16;
    }
    code.write(bits, (run << 4 | size) as u8);
}

fn write_block(code: &Code, bits: &mut Bits, block: &Block) {
    let mut previous = 0;
    for &(position, value) in block {
        write_run(code, bits, position - previous - 1, size_of(value));
        write_value(bits, value);
        previous = position;
    }
    if previous < LAST {
        code.write(bits, 0x00);
    }
}

fn energies(block: &Block, energy_of: impl Fn(u32) -> u64) -> [u64; 64] {
    let mut energies = [0; 64];
    for &(position, value) in block {
        energies[position as usize] = energy_of(value.unsigned_abs());
    }
    energies
}

/// Orders in which the symbols that matter most mostly have short codes.
fn symbols() -> impl Strategy<Value = Vec<u8>> {
    let frequent = Just(vec![0x00, 0x01, 0x02, 0x11, 0x21, 0xF0]).prop_shuffle();
    let all = (0..16_u8).flat_map(|run| (0..=10).map(move |size| run << 4 | size));
    let all = Just(all.collect::<Vec<u8>>()).prop_shuffle();
    (frequent, all).prop_map(|(mut symbols, all)| {
        for symbol in all {
            if !symbols.contains(&symbol) {
                symbols.push(symbol);
            }
        }
        symbols
    })
}

/// Blocks of coefficients of these sizes: sparse or dense, many of them empty, many full to the end.
fn blocks(sizes: std::ops::RangeInclusive<u32>) -> impl Strategy<Value = Vec<Block>> {
    let first = *sizes.start();
    let size = prop_oneof![Just(first), sizes];
    let value = (size, any::<u32>(), any::<bool>()).prop_map(|(size, bits, is_negative)| {
        let magnitude = (1 << (size - 1) | bits & ((1 << (size - 1)) - 1)) as i32;
        if is_negative { -magnitude } else { magnitude }
    });
    let block = |positions, count| prop::collection::btree_map(positions, value.clone(), count);
    let block = prop_oneof![
        block(1..=LAST, 0..1),
        block(1..=LAST, 1..8),
        block(1..=LAST, 8..64),
        block(50..=LAST, 10..14),
        block(LAST..=LAST, 1..2),
    ];
    prop::collection::vec(block.prop_map(|block| block.into_iter().collect()), 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sequential_blocks_are_walked_exactly(symbols in symbols(), blocks in blocks(1..=10)) {
        let code = Code::new(symbols);
        let dc_code = Code::new((0..40).collect());
        let mut bits = Bits::default();
        // Any difference will do.
        let difference_of = |block: &Block| block.first().map_or(0, |&(_, value)| value);
        for block in &blocks {
            let difference = difference_of(block);
            dc_code.write(&mut bits, size_of(difference) as u8);
            write_value(&mut bits, difference);
            write_block(&code, &mut bits, block);
        }
        let bytes = bits.into_bytes();
        let dc = Rc::new(DcTable::new(&dc_code.decoder));
        let measuring = AcEnergies::sequential(&code.decoder);
        let skipping = Skips::new(Rc::clone(&dc), &code.decoder);
        let (mut measured, mut skipped) = (BitReader::new(&bytes, 0), BitReader::new(&bytes, 0));
        for block in &blocks {
            let mut sums = [0; 64];
            measured.refill();
            prop_assert_eq!(dc.read(&mut measured).unwrap(), difference_of(block));
            let record = |position: u32, energy| sums[position as usize & 63] += energy;
            prop_assert_eq!(measuring.walk(&mut measured, 0, record).unwrap(), 0);
            prop_assert_eq!(sums, energies(block, |magnitude| u64::from(magnitude).pow(2)));
            skipped.refill();
            prop_assert_eq!(skipping.walk(&mut skipped).unwrap(), difference_of(block));
        }
        for mut reader in [measured, skipped] {
            reader.refill();
            prop_assert!(reader.unread_bytes() == 0 && !reader.is_exhausted());
        }
    }

    #[test]
    fn first_scans_are_walked_exactly(symbols in symbols(), blocks in blocks(1..=8), more_blocks in 1..30_000_u32) {
        let code = Code::new(symbols);
        let mut bits = Bits::default();
        for block in &blocks {
            write_block(&code, &mut bits, block);
        }
        // An end of this block and of more after it.
        let run = (more_blocks + 1).ilog2();
        code.write(&mut bits, (run << 4) as u8);
        bits.write(more_blocks + 1 - (1 << run), run);
        let bytes = bits.into_bytes();
        let table = AcEnergies::first(&code.decoder, 2);
        let mut reader = BitReader::new(&bytes, 0);
        for block in &blocks {
            let mut sums = [0; 64];
            reader.refill();
            let record = |position: u32, energy| sums[position as usize & 63] += energy;
            prop_assert_eq!(table.walk(&mut reader, 0, record).unwrap(), 0);
            prop_assert_eq!(sums, energies(block, |magnitude| open_energy(magnitude, 2)));
        }
        reader.refill();
        prop_assert_eq!(table.walk(&mut reader, 0, |_, _| {}).unwrap(), more_blocks);
        reader.refill();
        prop_assert!(reader.unread_bytes() == 0 && !reader.is_exhausted());
    }

    #[test]
    fn refinements_are_walked_exactly(
        symbols in symbols(),
        news in blocks(1..=1),
        olds in prop::collection::vec((any::<u64>(), any::<u64>()), 8),
    ) {
        let code = Code::new(symbols);
        let mut bits = Bits::default();
        let mut walks = Vec::new();
        for (new, (old, sparser)) in news.iter().zip(olds) {
            let taken = new.iter().fold(1, |taken, &(position, _)| taken | 1 << position);
            let old = old & sparser & !taken;
            write_refinement(&code, &mut bits, new, old);
            walks.push((new, old));
        }
        let bytes = bits.into_bytes();
        let table = AcRefinements::new(&code.decoder, 0);
        let mut reader = BitReader::new(&bytes, 0);
        for (new, old) in walks {
            let mut sums = [0; 64];
            let record = |position: u32, energy| sums[position as usize & 63] += energy;
            prop_assert_eq!(table.walk(&mut reader, 0, old, record).unwrap(), 0);
            prop_assert_eq!(sums, energies(new, |magnitude| open_energy(magnitude, 0)));
        }
        reader.refill();
        prop_assert!(reader.unread_bytes() == 0 && !reader.is_exhausted());
    }
}

/// Writes a block as figure G.7 of T.81 does: a symbol and a sign, then the correction bits of the coefficients passed.
fn write_refinement(code: &Code, bits: &mut Bits, new: &Block, old: u64) {
    let (mut run, mut corrections) = (0, 0);
    let is_last = |position: u32| new.iter().all(|&(other, _)| other <= position);
    for position in 1..=LAST {
        if old >> position & 1 == 1 {
            corrections += 1;
        } else if let Some(&(_, value)) = new.iter().find(|&&(other, _)| other == position) {
            code.write(bits, (run << 4 | 1) as u8);
            bits.write(u32::from(value > 0), 1);
            bits.write_corrections(corrections);
            (run, corrections) = (0, 0);
        } else {
            run += 1;
            // Sixteen zeros are written at once, unless only the end follows.
            if run == 16 && !is_last(position) {
                code.write(bits, 0xF0);
                bits.write_corrections(corrections);
                (run, corrections) = (0, 0);
            }
        }
    }
    if run > 0 || corrections > 0 {
        code.write(bits, 0x00);
        bits.write_corrections(corrections);
    }
}

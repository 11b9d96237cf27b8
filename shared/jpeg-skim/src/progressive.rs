//! Progressive scans (T.81, annex G): DC coefficients exactly, the AC coefficients of one component as far as measuring
//! them needs.

use crate::bits::BitReader;
use crate::detail::FrequencyEnergy;
use crate::error::{Error, Flaw};
use crate::huffman::{DcTable, HuffmanCode, magnitude, run_and_size};
use crate::planes::CoefficientPlane;
use crate::scan::{Cause, Interrupted, Layout, Restarts, ScanHeader, cause_of, cause_of_end, end_of_scan};
use crate::tables::Tables;

/// The unit of the sums that [`AcBands`] makes: it squares twice the coefficient, to have halves.
pub(crate) const ENERGY_UNIT: f64 = 0.25;

/// Reads a DC scan into the planes of its components and returns where it ends.
pub(crate) fn decode_dc(
    data: &[u8],
    start: usize,
    scan: &ScanHeader,
    layout: &Layout,
    tables: &[DcTable<'_>],
    planes: &mut [CoefficientPlane],
) -> Result<usize, Interrupted> {
    let low_bits = u32::from(scan.low_bits);
    if tables.is_empty() {
        return layout.walk(data, start, |mut reader, place, _| {
            reader.refill();
            let bit = reader.take(1) as i16;
            planes[scan.components[place.component].index].coefficients[place.block] |= bit << low_bits;
            Ok(reader)
        });
    }
    layout.walk(data, start, |mut reader, place, prediction| {
        reader.refill();
        *prediction = prediction.wrapping_add(tables[place.component].read(&mut reader)?);
        let plane = &mut planes[scan.components[place.component].index];
        plane.coefficients[place.block] = (*prediction << low_bits) as i16;
        Ok(reader)
    })
}

/// The Huffman tables of a DC scan: none for a refinement, which is plain bits.
pub(crate) fn dc_tables<'a>(scan: &ScanHeader, tables: &'a Tables) -> Result<Vec<DcTable<'a>>, Error> {
    if scan.previous_low_bits > 0 {
        return Ok(Vec::new());
    }
    let of_component = |component| Ok(DcTable::new(tables.dc(component)?));
    scan.components.iter().map(|component| of_component(component.dc_table)).collect()
}

/// The AC coefficients of one component, as they become known scan by scan.
///
/// To walk a refinement one has to know which coefficients are already nonzero, but not what they are: one bit each. So the
/// sums are not exact. A coefficient counts with the middle of the range that the scan which made it nonzero leaves open:
/// that is exact for those that turn up in the last scan, which are most of the fine ones.
pub(crate) struct AcBands {
    pub(crate) energy: FrequencyEnergy,
    /// Per visible block, bit `k` is set when the coefficient at zigzag index `k` is known to be nonzero.
    nonzero: Vec<u64>,
    blocks: usize,
    /// Low bits missing of each coefficient; `None` before its first scan.
    low_bits: [Option<u8>; 64],
}

impl AcBands {
    /// For a component with this many visible blocks. Allocates with the first scan.
    pub(crate) fn new(blocks: usize) -> Self {
        let energy = FrequencyEnergy { sums: [0; 64], unit: ENERGY_UNIT };
        Self { energy, nonzero: Vec::new(), blocks, low_bits: [None; 64] }
    }

    /// Whether every coefficient is known to the last bit.
    pub(crate) fn is_complete(&self) -> bool {
        self.low_bits[1..].iter().all(|&low_bits| low_bits == Some(0))
    }

    /// Checks that a scan comes in order and notes what it brings.
    pub(crate) fn begin(&mut self, scan: &ScanHeader) -> Result<(), Flaw> {
        let previous = (scan.previous_low_bits > 0).then_some(scan.previous_low_bits);
        for known in &mut self.low_bits[usize::from(scan.spectral_start)..=usize::from(scan.spectral_end)] {
            if *known != previous {
                return Err(Flaw::ScanOrder);
            }
            *known = Some(scan.low_bits);
        }
        self.nonzero.resize(self.blocks, 0);
        Ok(())
    }

    /// Reads a scan, which [`Self::begin`] accepted, and returns where it ends.
    pub(crate) fn decode(
        &mut self,
        data: &[u8],
        start: usize,
        scan: &ScanHeader,
        code: &HuffmanCode,
        restart_interval: u16,
    ) -> Result<usize, Interrupted> {
        let mut restarts = Restarts::new(restart_interval);
        let mut reader = BitReader::new(data, start);
        let band = Band::new(scan);
        let blocks = self.nonzero.len();
        let mut block = 0;
        let interrupted = |block: usize, cause| Interrupted { cause, fraction: block as f32 / blocks as f32 };
        while block < blocks {
            if restarts.is_due() {
                reader = restarts.pass(data, reader).map_err(|cause| interrupted(block, cause))?;
            }
            let read = if scan.previous_low_bits == 0 {
                first_block(code, reader, &band, &mut self.nonzero[block], &mut self.energy.sums)
            } else {
                refined_block(code, reader, &band, &mut self.nonzero[block], &mut self.energy.sums)
            };
            let (after, empty_blocks) = read.map_err(|flaw| interrupted(block, cause_of(flaw, data, reader)))?;
            reader = after;
            block += 1;
            let empty_blocks = (empty_blocks as usize).min(restarts.remaining()).min(blocks - block);
            restarts.advance(empty_blocks);
            if scan.previous_low_bits > 0 {
                for nonzero in &self.nonzero[block..block + empty_blocks] {
                    reader.skip((nonzero & band.mask).count_ones());
                }
            }
            block += empty_blocks;
            if reader.is_exhausted() {
                return Err(interrupted(block, cause_of_end(data, reader)));
            }
        }
        end_of_scan(data, reader).map_err(|flaw| interrupted(blocks, Cause::Corrupt(flaw)))
    }
}

/// The coefficients a scan is about.
struct Band {
    start: u32,
    end: u32,
    /// Bit `k` is set for each zigzag index `k` in the band.
    mask: u64,
    low_bits: u32,
}

impl Band {
    fn new(scan: &ScanHeader) -> Self {
        let (start, end) = (u32::from(scan.spectral_start), u32::from(scan.spectral_end));
        let mask = (u64::MAX << start) & (u64::MAX >> (63 - end));
        Self { start, end, mask, low_bits: u32::from(scan.low_bits) }
    }

    /// What a coefficient counts of which `magnitude` is known and the low bits are not: the square of twice the middle of
    /// what it may be.
    #[inline(always)]
    fn energy(&self, magnitude: u32) -> u64 {
        let doubled = (2 * u64::from(magnitude) + 1 << self.low_bits) - 1;
        doubled * doubled
    }
}

/// Reads a block of a first scan (T.81, G.1.2.2); the number returned is of blocks without coefficients that follow.
#[inline(always)]
fn first_block<'a>(
    code: &HuffmanCode,
    mut reader: BitReader<'a>,
    band: &Band,
    nonzero: &mut u64,
    sums: &mut [u64; 64],
) -> Result<(BitReader<'a>, u32), Flaw> {
    let mut next = band.start;
    while next <= band.end {
        reader.refill();
        let (run, size) = run_and_size(code.decode(&mut reader)?);
        if size == 0 && run < 15 {
            let empty_blocks = (1 << run) + reader.take(run) - 1;
            return Ok((reader, empty_blocks));
        }
        let k = next + run;
        if k > band.end {
            return Err(Flaw::Coefficients);
        }
        if size > 0 {
            let bits = reader.take(size);
            sums[(k & 63) as usize] += band.energy(magnitude(bits, size));
            *nonzero |= 1 << k;
        }
        next = k + 1;
    }
    Ok((reader, 0))
}

/// Reads a block of a refinement (T.81, G.1.2.3): new coefficients, of magnitude one, between correction bits for the old
/// ones. The number returned is of blocks that follow without new coefficients.
#[inline(always)]
fn refined_block<'a>(
    code: &HuffmanCode,
    mut reader: BitReader<'a>,
    band: &Band,
    nonzero: &mut u64,
    sums: &mut [u64; 64],
) -> Result<(BitReader<'a>, u32), Flaw> {
    let old = *nonzero & band.mask;
    // Coefficients still to come, as bits.
    let mut zeros = band.mask & !old;
    let mut to_come = band.mask;
    while to_come != 0 {
        reader.refill();
        let (run, size) = run_and_size(code.decode(&mut reader)?);
        if size == 0 && run < 15 {
            let empty_blocks = (1 << run) + reader.take(run) - 1;
            reader.skip((old & to_come).count_ones());
            return Ok((reader, empty_blocks));
        }
        // The sign of the new coefficient, if there is one (T.81 allows no other size).
        reader.consume(u32::from(size > 0));
        for _ in 0..run {
            zeros &= zeros.wrapping_sub(1);
        }
        if zeros == 0 {
            return Err(Flaw::Coefficients);
        }
        let k = zeros.trailing_zeros();
        let through_k = u64::MAX >> (63 - k);
        reader.skip((old & to_come & through_k).count_ones());
        if size > 0 {
            sums[k as usize] += band.energy(1);
            *nonzero |= 1 << k;
        }
        zeros &= !through_k;
        to_come &= !through_k;
    }
    Ok((reader, 0))
}

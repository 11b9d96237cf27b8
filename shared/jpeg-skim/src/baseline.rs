//! Sequential scans: DC coefficients are kept, AC coefficients measured or skipped.

use std::rc::Rc;

use crate::coefficients::{AcEnergies, Skips};
use crate::detail::FrequencyEnergy;
use crate::error::Error;
use crate::huffman::DcTable;
use crate::planes::CoefficientPlane;
use crate::scan::{Interrupted, Layout, ScanHeader};
use crate::tables::Tables;

/// Blocks that a measure of detail is content with. Twice as many make no better rank correlation with the pixels.
const ENOUGH_BLOCKS: usize = 4096;
/// Rows of units of which one at least is measured, lest a large picture is judged by a few stripes. A power of two.
const MOST_ROWS_APART: usize = 8;

/// Which rows of units are measured: every one of a small picture, a few of a large one, evenly spread.
#[derive(Clone, Copy)]
pub(crate) struct RowSampling {
    /// A power of two.
    interval: usize,
}

impl RowSampling {
    /// For a component with this many visible blocks.
    pub(crate) fn new(blocks: usize) -> Self {
        let affordable = (blocks / ENOUGH_BLOCKS).clamp(1, MOST_ROWS_APART);
        Self {
            interval: 1 << affordable.ilog2(),
        }
    }

    #[inline(always)]
    fn includes(self, unit_row: usize) -> bool {
        unit_row & (self.interval - 1) == self.interval / 2
    }
}

/// What it takes to read one component of a scan. Components that share a code share its tables.
pub(crate) struct Coder<'a> {
    /// Index of the component's plane.
    plane: usize,
    dc: Rc<DcTable<'a>>,
    skips: Rc<Skips<'a>>,
    /// Of the measured component.
    energies: Option<AcEnergies<'a>>,
}

/// Prepares the tables of each component in the scan, of which `measured` (an index in the frame) is to be measured.
pub(crate) fn coders<'a>(
    scan: &ScanHeader,
    tables: &'a Tables,
    measured: Option<usize>,
) -> Result<Vec<Coder<'a>>, Error> {
    let mut coders: Vec<Coder<'a>> = Vec::with_capacity(scan.components.len());
    for (index, component) in scan.components.iter().enumerate() {
        let earlier = || scan.components[..index].iter().zip(&coders);
        let dc = earlier()
            .find(|(other, _)| other.dc_table == component.dc_table)
            .map(|(_, coder)| Rc::clone(&coder.dc));
        let both = (component.dc_table, component.ac_table);
        let skips = earlier()
            .find(|(other, _)| (other.dc_table, other.ac_table) == both)
            .map(|(_, coder)| Rc::clone(&coder.skips));
        let dc_code = tables.dc(component.dc_table)?;
        let ac_code = tables.ac(component.ac_table)?;
        let dc = dc.unwrap_or_else(|| Rc::new(DcTable::new(dc_code)));
        let skips = skips.unwrap_or_else(|| Rc::new(Skips::new(Rc::clone(&dc), ac_code)));
        let is_measured = measured == Some(component.index);
        coders.push(Coder {
            plane: component.index,
            dc,
            skips,
            energies: is_measured.then(|| AcEnergies::sequential(ac_code)),
        });
    }
    Ok(coders)
}

/// Reads a scan from `start` into the planes of its components and returns where it ends.
pub(crate) fn decode(
    data: &[u8],
    start: usize,
    layout: &Layout,
    coders: &[Coder<'_>],
    planes: &mut [CoefficientPlane],
    sampling: RowSampling,
    energy: &mut FrequencyEnergy,
) -> Result<usize, Interrupted> {
    let mut invisible_sums = [0; 64];
    layout.walk(data, start, |reader, place, prediction| {
        let coder = &coders[place.component];
        reader.refill();
        let difference = match &coder.energies {
            Some(energies) if sampling.includes(place.unit_row) => {
                let difference = coder.dc.read(reader)?;
                energy.blocks += usize::from(place.is_visible);
                let sums = if place.is_visible {
                    &mut energy.sums
                } else {
                    &mut invisible_sums
                };
                energies.walk(reader, 0, |k, energy| sums[(k & 63) as usize] += energy)?;
                difference
            }
            _ => coder.skips.walk(reader)?,
        };
        *prediction = prediction.wrapping_add(difference);
        planes[coder.plane].coefficients[place.block] = *prediction as i16;
        Ok(())
    })
}

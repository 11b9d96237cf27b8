//! Sequential scans: DC coefficients are kept, AC coefficients measured or skipped.

use crate::coefficients::{AcEnergies, AcSkips};
use crate::detail::FrequencyEnergy;
use crate::error::Error;
use crate::huffman::DcTable;
use crate::planes::CoefficientPlane;
use crate::scan::{Interrupted, Layout, ScanHeader};
use crate::tables::Tables;

/// What it takes to read one component of a scan.
pub(crate) struct Coder<'a> {
    /// Index of the component's plane.
    plane: usize,
    dc: DcTable<'a>,
    ac: Ac<'a>,
}

enum Ac<'a> {
    Measured(AcEnergies<'a>),
    Skipped(AcSkips<'a>),
}

/// Prepares the tables of each component in the scan, of which `measured` (an index in the frame) is to be measured.
pub(crate) fn coders<'a>(
    scan: &ScanHeader,
    tables: &'a Tables,
    measured: Option<usize>,
) -> Result<Vec<Coder<'a>>, Error> {
    let mut coders = Vec::with_capacity(scan.components.len());
    for component in &scan.components {
        let ac_code = tables.ac(component.ac_table)?;
        let ac = if measured == Some(component.index) {
            Ac::Measured(AcEnergies::sequential(ac_code))
        } else {
            Ac::Skipped(AcSkips::new(ac_code))
        };
        coders.push(Coder {
            plane: component.index,
            dc: DcTable::new(tables.dc(component.dc_table)?),
            ac,
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
    energy: &mut FrequencyEnergy,
) -> Result<usize, Interrupted> {
    let mut invisible_sums = [0; 64];
    layout.walk(data, start, |reader, place, prediction| {
        let coder = &coders[place.component];
        reader.refill();
        *prediction = prediction.wrapping_add(coder.dc.read(reader)?);
        planes[coder.plane].coefficients[place.block] = *prediction as i16;
        match &coder.ac {
            Ac::Measured(ac) => {
                let sums = if place.is_visible {
                    &mut energy.sums
                } else {
                    &mut invisible_sums
                };
                ac.walk(reader, 0, |k, energy| sums[(k & 63) as usize] += energy)?;
            }
            Ac::Skipped(ac) => ac.walk(reader)?,
        }
        Ok(())
    })
}

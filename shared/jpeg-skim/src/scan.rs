//! Scans: their header (T.81, B.2.3), the order of their blocks (A.2) and their restart intervals (E.2.4).

use crate::bits::BitReader;
use crate::error::{Declined, Error, Flaw};
use crate::frame::Frame;
use crate::markers::{END_OF_IMAGE, FIRST_RESTART, find_marker};

/// Blocks that an interleaved coded unit may have (T.81, B.2.3).
const MAX_BLOCKS_PER_UNIT: usize = 10;

/// Bytes of entropy-coded data that may follow the last block; some encoders pad.
const TOLERATED_PADDING: usize = 16;

/// A scan header whose values were checked against the frame.
pub(crate) struct ScanHeader {
    pub(crate) components: Vec<ScanComponent>,
    /// First and last zigzag index of the coefficients in this scan.
    pub(crate) spectral_start: u8,
    pub(crate) spectral_end: u8,
    /// Low bits missing after the scan before this one; 0 if there was none.
    pub(crate) previous_low_bits: u8,
    /// Low bits still missing after this scan.
    pub(crate) low_bits: u8,
}

pub(crate) struct ScanComponent {
    /// Index in the frame.
    pub(crate) index: usize,
    pub(crate) dc_table: u8,
    pub(crate) ac_table: u8,
}

impl ScanHeader {
    pub(crate) fn parse(payload: &[u8], frame: &Frame) -> Result<Self, Flaw> {
        let [count, rest @ ..] = payload else {
            return Err(Flaw::Segment);
        };
        let (selectors, rest) = rest
            .split_at_checked(2 * usize::from(*count))
            .ok_or(Flaw::Segment)?;
        let &[spectral_start, spectral_end, approximation] = rest else {
            return Err(Flaw::Segment);
        };
        let mut components = Vec::new();
        for &[id, tables] in selectors.as_chunks::<2>().0 {
            let index = frame
                .components
                .iter()
                .position(|component| component.id == id)
                .ok_or(Flaw::Scan)?;
            if components
                .iter()
                .any(|other: &ScanComponent| other.index == index)
            {
                return Err(Flaw::Scan);
            }
            components.push(ScanComponent {
                index,
                dc_table: tables >> 4,
                ac_table: tables & 15,
            });
        }
        let is_band_valid = spectral_start <= spectral_end && spectral_end < 64;
        if components.is_empty() || !is_band_valid {
            return Err(Flaw::Scan);
        }
        let (previous_low_bits, low_bits) = (approximation >> 4, approximation & 15);
        Ok(Self {
            components,
            spectral_start,
            spectral_end,
            previous_low_bits,
            low_bits,
        })
    }
}

/// A block within a coded unit.
#[derive(Clone, Copy)]
struct Slot {
    /// Index of the component in the scan.
    component: usize,
    /// Index in the component's plane of this block in the first unit.
    first_block: usize,
    /// What the index grows by from unit to unit, across and down.
    step_across: usize,
    step_down: usize,
    /// Whether the block holds samples in the last unit across and down.
    is_visible_at_right: bool,
    is_visible_at_bottom: bool,
}

/// The order of a scan's blocks.
pub(crate) struct Layout {
    slots: Vec<Slot>,
    units_across: usize,
    units_down: usize,
    restart_interval: u16,
}

/// A block that is about to be read.
pub(crate) struct Place {
    /// Index of the component in the scan.
    pub(crate) component: usize,
    /// Index of the block in the component's plane.
    pub(crate) block: usize,
    /// The row of coded units it is in.
    pub(crate) unit_row: usize,
    /// Whether it holds samples, rather than only filling up a unit.
    pub(crate) is_visible: bool,
}

/// Why a scan was not read to its end, and how much of it was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interrupted {
    pub(crate) cause: Cause,
    /// Share of the scan's units that were read.
    pub(crate) fraction: f32,
}

impl Interrupted {
    pub(crate) const TRUNCATED: Self = Self {
        cause: Cause::Truncated,
        fraction: 0.0,
    };
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Cause {
    Truncated,
    Corrupt(Flaw),
}

impl Layout {
    pub(crate) fn new(
        scan: &ScanHeader,
        frame: &Frame,
        restart_interval: u16,
    ) -> Result<Self, Error> {
        let is_interleaved = scan.components.len() > 1;
        let (mut units_across, mut units_down) = frame.units();
        let mut slots = Vec::new();
        for (index, selected) in scan.components.iter().enumerate() {
            let component = &frame.components[selected.index];
            let visible = frame.visible_blocks(*component);
            let stride = frame.units().0 * usize::from(component.sampling.horizontal);
            let (mut columns_per_unit, mut rows_per_unit) = (1, 1);
            if is_interleaved {
                columns_per_unit = usize::from(component.sampling.horizontal);
                rows_per_unit = usize::from(component.sampling.vertical);
            } else {
                (units_across, units_down) = visible;
            }
            for row in 0..rows_per_unit {
                for column in 0..columns_per_unit {
                    slots.push(Slot {
                        component: index,
                        first_block: row * stride + column,
                        step_across: columns_per_unit,
                        step_down: rows_per_unit * stride,
                        is_visible_at_right: (units_across - 1) * columns_per_unit + column
                            < visible.0,
                        is_visible_at_bottom: (units_down - 1) * rows_per_unit + row < visible.1,
                    });
                }
            }
        }
        if slots.len() > MAX_BLOCKS_PER_UNIT {
            return Err(Declined::LargeUnits.into());
        }
        Ok(Self {
            slots,
            units_across,
            units_down,
            restart_interval,
        })
    }

    /// Calls `visit` for each block in coded order, with the DC prediction of the block's component. Returns where the
    /// coded data ends.
    #[inline(always)]
    pub(crate) fn walk<'a>(
        &self,
        data: &'a [u8],
        start: usize,
        mut visit: impl FnMut(&mut BitReader<'a>, &Place, &mut i32) -> Result<(), Flaw>,
    ) -> Result<usize, Interrupted> {
        let units = self.units_across * self.units_down;
        let mut reader = BitReader::new(data, start);
        let mut restarts = Restarts::new(self.restart_interval);
        let mut predictions = [0_i32; 4];
        let interrupted = |unit: usize, cause| Interrupted {
            cause,
            fraction: unit as f32 / units as f32,
        };
        for unit_row in 0..self.units_down {
            let is_at_bottom = unit_row + 1 == self.units_down;
            for unit_column in 0..self.units_across {
                let is_at_right = unit_column + 1 == self.units_across;
                let unit = unit_row * self.units_across + unit_column;
                if restarts.is_due() {
                    reader = restarts
                        .pass(data, reader)
                        .map_err(|cause| interrupted(unit, cause))?;
                    predictions = [0; 4];
                }
                for slot in &self.slots {
                    let place = Place {
                        component: slot.component,
                        block: slot.first_block
                            + unit_row * slot.step_down
                            + unit_column * slot.step_across,
                        unit_row,
                        is_visible: (!is_at_right || slot.is_visible_at_right)
                            && (!is_at_bottom || slot.is_visible_at_bottom),
                    };
                    visit(&mut reader, &place, &mut predictions[slot.component & 3])
                        .map_err(|flaw| interrupted(unit, cause_of(flaw, data, reader)))?;
                }
                if reader.is_exhausted() {
                    return Err(interrupted(unit, cause_of_end(data, reader)));
                }
            }
        }
        end_of_scan(data, reader).map_err(|flaw| interrupted(units, Cause::Corrupt(flaw)))
    }
}

/// What is behind a flaw that was met when the reader was at `reader`: at the end of the data, made-up bits are to blame.
pub(crate) fn cause_of(flaw: Flaw, data: &[u8], reader: BitReader<'_>) -> Cause {
    let mut ahead = reader;
    ahead.refill();
    if ahead.has_seen_the_end() {
        cause_of_end(data, ahead)
    } else {
        Cause::Corrupt(flaw)
    }
}

/// What is behind coded data that ends too soon: a file cut short may have got its end marker back from a careful tool.
pub(crate) fn cause_of_end(data: &[u8], reader: BitReader<'_>) -> Cause {
    match find_marker(data, reader.position()) {
        None => Cause::Truncated,
        Some(at) if data[at + 1] == END_OF_IMAGE => Cause::Truncated,
        Some(_) => Cause::Corrupt(Flaw::Marker),
    }
}

/// Where a scan's coded data ends, having checked that its last block was there.
pub(crate) fn end_of_scan(data: &[u8], reader: BitReader<'_>) -> Result<usize, Flaw> {
    let end = find_marker(data, reader.position()).unwrap_or(data.len());
    let left_over = reader.unread_bytes() + (end - reader.position());
    if left_over > TOLERATED_PADDING {
        return Err(Flaw::LeftOver);
    }
    Ok(end)
}

/// Counts coded units to the next restart marker.
pub(crate) struct Restarts {
    interval: u32,
    countdown: u32,
    passed: u8,
}

impl Restarts {
    pub(crate) fn new(interval: u16) -> Self {
        // No interval is one that is never reached: a frame has fewer than 2^32 units.
        let interval = if interval == 0 {
            u32::MAX
        } else {
            u32::from(interval)
        };
        Self {
            interval,
            countdown: interval,
            passed: 0,
        }
    }

    /// Counts a unit; whether a restart marker comes before it.
    #[inline(always)]
    pub(crate) fn is_due(&mut self) -> bool {
        let is_due = self.countdown == 0;
        if is_due {
            self.countdown = self.interval;
        }
        self.countdown -= 1;
        is_due
    }

    /// Units left before the next restart marker.
    pub(crate) fn remaining(&self) -> usize {
        self.countdown as usize
    }

    /// Counts several units at once, at most [`Self::remaining`].
    pub(crate) fn advance(&mut self, units: usize) {
        self.countdown -= units as u32;
    }

    /// Goes past the restart marker that has to be next.
    #[cold]
    #[inline(never)]
    pub(crate) fn pass<'a>(
        &mut self,
        data: &'a [u8],
        mut reader: BitReader<'a>,
    ) -> Result<BitReader<'a>, Cause> {
        reader.refill();
        if reader.unread_bytes() > 0 {
            return Err(Cause::Corrupt(Flaw::Marker));
        }
        let expected = FIRST_RESTART + self.passed % 8;
        self.passed = self.passed.wrapping_add(1);
        match find_marker(data, reader.position()) {
            Some(at) if data[at + 1] == expected => Ok(BitReader::new(data, at + 2)),
            _ => Err(cause_of_end(data, reader)),
        }
    }
}

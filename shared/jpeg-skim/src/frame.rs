//! The frame header (T.81, B.2.2) and the geometry that follows from it.

use crate::error::{Declined, Error, Flaw};
use crate::markers::{ApplicationData, Sampling, Segment, coding_of};

/// How the image is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Coding {
    /// Sequential, 8-bit, at most two tables of each kind (SOF0).
    Baseline,
    /// Sequential, up to four tables and 12 bits (SOF1).
    Extended,
    /// In several passes (SOF2).
    Progressive,
    /// Without loss (SOF3).
    Lossless,
    /// Frames that build on each other (DHP, SOF5 to SOF7).
    Hierarchical,
    /// Arithmetic coding (SOF9 to SOF15).
    Arithmetic,
}

/// How the components make a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ColorModel {
    /// One component.
    Grayscale,
    /// Luma and two colour differences as in JFIF (ITU-R BT.601, full range).
    YCbCr,
    /// Red, green and blue as they are (Adobe transform 0, or components named so).
    Rgb,
}

#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) precision: u8,
    pub(crate) coding: Coding,
    pub(crate) components: Vec<Component>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Component {
    pub(crate) id: u8,
    pub(crate) sampling: Sampling,
    pub(crate) quantization_table: u8,
}

impl Frame {
    pub(crate) fn parse(segment: &Segment<'_>) -> Result<Self, Error> {
        let &[
            precision,
            height_high,
            height_low,
            width_high,
            width_low,
            count,
            ref rest @ ..,
        ] = segment.payload
        else {
            return Err(Flaw::Segment.into());
        };
        let (parts, []) = rest.as_chunks::<3>() else {
            return Err(Flaw::Segment.into());
        };
        if parts.len() != usize::from(count) {
            return Err(Flaw::Segment.into());
        }
        let width = u32::from(u16::from_be_bytes([width_high, width_low]));
        let height = u32::from(u16::from_be_bytes([height_high, height_low]));
        if width == 0 || parts.is_empty() {
            return Err(Flaw::Frame.into());
        }
        if height == 0 {
            return Err(Declined::UnknownHeight.into());
        }
        let mut components = Vec::with_capacity(parts.len());
        for &[id, factors, quantization_table] in parts {
            let sampling = Sampling {
                horizontal: factors >> 4,
                vertical: factors & 15,
            };
            let valid = 1..=4;
            if !valid.contains(&sampling.horizontal) || !valid.contains(&sampling.vertical) {
                return Err(Flaw::Frame.into());
            }
            components.push(Component {
                id,
                sampling,
                quantization_table,
            });
        }
        Ok(Self {
            width,
            height,
            precision,
            coding: coding_of(segment.marker),
            components,
        })
    }

    /// Declines what is not skimmed.
    pub(crate) fn check_supported(&self) -> Result<(), Declined> {
        self.coding.check_supported()?;
        if self.precision != 8 {
            return Err(Declined::Precision(self.precision));
        }
        match self.components.len() {
            1 | 3 => Ok(()),
            other => Err(Declined::Components(other as u8)),
        }
    }

    /// The largest sampling factors, which give the size of a coded unit.
    pub(crate) fn largest_sampling(&self) -> Sampling {
        let factors = self.components.iter().map(|component| component.sampling);
        Sampling {
            horizontal: factors
                .clone()
                .map(|sampling| sampling.horizontal)
                .max()
                .unwrap_or(1),
            vertical: factors.map(|sampling| sampling.vertical).max().unwrap_or(1),
        }
    }

    /// Interleaved coded units across and down (T.81, A.2.4).
    pub(crate) fn units(&self) -> (usize, usize) {
        let largest = self.largest_sampling();
        let across = self.width.div_ceil(8 * u32::from(largest.horizontal));
        let down = self.height.div_ceil(8 * u32::from(largest.vertical));
        (across as usize, down as usize)
    }

    /// Blocks across and down that hold samples of a component (T.81, A.1.1 and A.2.3).
    pub(crate) fn visible_blocks(&self, component: Component) -> (usize, usize) {
        let largest = self.largest_sampling();
        let blocks = |pixels: u32, factor: u8, largest: u8| {
            let samples = (pixels * u32::from(factor)).div_ceil(u32::from(largest));
            samples.div_ceil(8) as usize
        };
        let Sampling {
            horizontal,
            vertical,
        } = component.sampling;
        (
            blocks(self.width, horizontal, largest.horizontal),
            blocks(self.height, vertical, largest.vertical),
        )
    }

    /// The colour model, by the rules that every decoder follows since the IJG's: JFIF, then Adobe, then component names.
    pub(crate) fn color_model(&self, application: &ApplicationData) -> ColorModel {
        let [first, second, third] = &self.components[..] else {
            return ColorModel::Grayscale;
        };
        let is_named_rgb = [first.id, second.id, third.id] == *b"RGB";
        match application.adobe_transform {
            _ if application.has_jfif => ColorModel::YCbCr,
            Some(0) => ColorModel::Rgb,
            None if is_named_rgb => ColorModel::Rgb,
            _ => ColorModel::YCbCr,
        }
    }
}

//! Why a file was not skimmed.

use thiserror::Error;

/// What a call can fail with. None of it is worth a retry on the same bytes.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// The bytes do not begin with a start-of-image marker.
    #[error("not a jpeg: no start-of-image marker")]
    NotJpeg,
    /// A JPEG, and maybe a good one, but of a kind this crate leaves to a library decoder.
    #[error("left to a full decoder: {0}")]
    Declined(Declined),
    /// The frame claims more pixels than [`Limits::max_pixels`](crate::Limits::max_pixels). Nothing was allocated for it.
    #[error("{pixels} pixels exceed the limit of {limit}")]
    TooManyPixels {
        /// Width times height.
        pixels: u64,
        /// The limit that was given.
        limit: u64,
    },
    /// The data stops before the image does.
    #[error("truncated with {:.0} % decoded", decoded_fraction * 100.0)]
    Truncated {
        /// Share of the blocks whose DC coefficient was read, 0 to 1. Of a progressive file this counts the first pass over
        /// each component, so that 1 means that only refinements are missing.
        decoded_fraction: f32,
    },
    /// The data contradicts the standard or itself.
    #[error("corrupt with {:.0} % decoded: {flaw}", decoded_fraction * 100.0)]
    Corrupt {
        /// What is wrong.
        flaw: Flaw,
        /// Share of the blocks whose DC coefficient was read, 0 to 1.
        decoded_fraction: f32,
    },
}

impl Error {
    /// Share of the image that had been decoded when a truncation or corruption was met, 0 to 1; `None` of other errors.
    pub fn decoded_fraction(&self) -> Option<f32> {
        match *self {
            Self::Truncated { decoded_fraction }
            | Self::Corrupt {
                decoded_fraction, ..
            } => Some(decoded_fraction),
            _ => None,
        }
    }

    pub(crate) fn corrupt(flaw: Flaw) -> Self {
        Self::Corrupt {
            flaw,
            decoded_fraction: 0.0,
        }
    }

    pub(crate) fn truncated() -> Self {
        Self::Truncated {
            decoded_fraction: 0.0,
        }
    }

    pub(crate) fn with_decoded_fraction(self, decoded_fraction: f32) -> Self {
        match self {
            Self::Truncated { .. } => Self::Truncated { decoded_fraction },
            Self::Corrupt { flaw, .. } => Self::Corrupt {
                flaw,
                decoded_fraction,
            },
            other => other,
        }
    }
}

impl From<Declined> for Error {
    fn from(declined: Declined) -> Self {
        Self::Declined(declined)
    }
}

impl From<Flaw> for Error {
    fn from(flaw: Flaw) -> Self {
        Self::corrupt(flaw)
    }
}

/// Kinds of JPEG that are left to a library decoder.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Declined {
    /// Arithmetic instead of Huffman coding (SOF9 to SOF15).
    #[error("arithmetic coding")]
    ArithmeticCoding,
    /// Lossless coding (SOF3, SOF7).
    #[error("lossless coding")]
    Lossless,
    /// Hierarchical coding (DHP, SOF5 to SOF7).
    #[error("hierarchical coding")]
    Hierarchical,
    /// Samples of other than 8 bits.
    #[error("{0}-bit samples")]
    Precision(u8),
    /// Other than one or three components, such as CMYK.
    #[error("{0} components")]
    Components(u8),
    /// The frame header leaves the height to a DNL segment after the first scan.
    #[error("height not in the frame header")]
    UnknownHeight,
    /// A scan uses a quantization or Huffman table that was not defined (as in abbreviated and motion JPEG streams).
    #[error("missing tables")]
    MissingTables,
    /// An interleaved scan with more than the ten blocks per unit that the standard allows (T.81, B.2.3).
    #[error("more than ten blocks per coded unit")]
    LargeUnits,
    /// More scans than any known encoder writes, each of which would cost a pass over the image.
    #[error("too many scans")]
    TooManyScans,
}

/// What is wrong with a corrupt file.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flaw {
    /// A marker segment is too short for what it must hold, or its parts do not add up to its length.
    #[error("inconsistent marker segment")]
    Segment,
    /// A frame header with values that the standard rules out, or a second one.
    #[error("invalid frame header")]
    Frame,
    /// A scan header with values that the standard rules out, or before any frame header.
    #[error("invalid scan header")]
    Scan,
    /// A progressive scan that sends a coefficient again or refines one that was not sent.
    #[error("progressive scans out of order")]
    ScanOrder,
    /// The image ended without a scan for every component.
    #[error("no scan for a component")]
    MissingScan,
    /// A Huffman table with more codes of some length than there can be.
    #[error("invalid huffman table")]
    HuffmanTable,
    /// Bits that are no Huffman code.
    #[error("invalid huffman code")]
    HuffmanCode,
    /// More than 64 coefficients in a block.
    #[error("too many coefficients in a block")]
    Coefficients,
    /// Something else where a restart marker should be, or a marker in the middle of entropy-coded data.
    #[error("misplaced marker in entropy-coded data")]
    Marker,
    /// Entropy-coded data goes on after the last block.
    #[error("entropy-coded data left over")]
    LeftOver,
}

//! Marker segments (T.81, annex B.1.1) and what the header says without touching the coded image.

use std::ops::Range;

use crate::error::{Declined, Error, Flaw};
use crate::frame::{Coding, Frame};

pub(crate) const START_OF_IMAGE: u8 = 0xD8;
pub(crate) const END_OF_IMAGE: u8 = 0xD9;
pub(crate) const START_OF_SCAN: u8 = 0xDA;
pub(crate) const DEFINE_HUFFMAN_TABLES: u8 = 0xC4;
pub(crate) const DEFINE_QUANTIZATION_TABLES: u8 = 0xDB;
pub(crate) const DEFINE_RESTART_INTERVAL: u8 = 0xDD;
pub(crate) const FIRST_RESTART: u8 = 0xD0;
const LAST_RESTART: u8 = 0xD7;
const DEFINE_HIERARCHICAL_PROGRESSION: u8 = 0xDE;
const TEMPORARY: u8 = 0x01;
const APP0: u8 = 0xE0;
const APP1: u8 = 0xE1;
const APP2: u8 = 0xE2;
const APP14: u8 = 0xEE;

/// A marker and what belongs to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    pub(crate) marker: u8,
    /// Where the payload begins in the file.
    pub(crate) offset: usize,
    /// What follows the length field; empty for markers without one.
    pub(crate) payload: &'a [u8],
}

/// Walks the markers of a file. Bytes between segments, such as fill bytes and the coded data of scans, are passed over.
pub(crate) struct Segments<'a> {
    data: &'a [u8],
    position: usize,
}

impl<'a> Segments<'a> {
    /// Starts after the start-of-image marker.
    pub(crate) fn new(data: &'a [u8]) -> Result<Self, Error> {
        if !data.starts_with(&[0xFF, START_OF_IMAGE]) {
            return Err(Error::NotJpeg);
        }
        Ok(Self { data, position: 2 })
    }

    /// The next segment; `None` at the end of the data.
    pub(crate) fn next(&mut self) -> Result<Option<Segment<'a>>, Error> {
        loop {
            let Some(at) = find_marker(self.data, self.position) else {
                self.position = self.data.len();
                return Ok(None);
            };
            let marker = self.data[at + 1];
            self.position = at + 2;
            match marker {
                FIRST_RESTART..=LAST_RESTART | TEMPORARY | START_OF_IMAGE => {}
                END_OF_IMAGE => {
                    return Ok(Some(Segment {
                        marker,
                        offset: self.position,
                        payload: &[],
                    }));
                }
                _ => return self.with_payload(marker).map(Some),
            }
        }
    }

    fn with_payload(&mut self, marker: u8) -> Result<Segment<'a>, Error> {
        let rest = &self.data[self.position..];
        let &[high, low, ..] = rest else {
            return Err(Error::truncated());
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length < 2 {
            return Err(Flaw::Segment.into());
        }
        let payload = rest.get(2..length).ok_or_else(Error::truncated)?;
        let offset = self.position + 2;
        self.position += length;
        Ok(Segment {
            marker,
            offset,
            payload,
        })
    }

    /// Where the next segment is looked for.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    pub(crate) fn set_position(&mut self, position: usize) {
        self.position = position;
    }
}

/// The offset of the first marker (its last 0xFF) at or after `from`.
pub(crate) fn find_marker(data: &[u8], mut from: usize) -> Option<usize> {
    loop {
        let at = from + find_ff(data.get(from..)?)?;
        match data.get(at + 1)? {
            0x00 => from = at + 2,
            0xFF => from = at + 1,
            _ => return Some(at),
        }
    }
}

/// Where the coded data of a scan that begins at `start` ends: at the first marker that is no restart marker.
pub(crate) fn end_of_coded_data(data: &[u8], start: usize) -> Option<usize> {
    let mut at = find_marker(data, start)?;
    while (FIRST_RESTART..=LAST_RESTART).contains(&data[at + 1]) {
        at = find_marker(data, at + 2)?;
    }
    Some(at)
}

/// Offset of the first 0xFF byte. Whole chunks are compared at once, which compiles to vector instructions.
fn find_ff(data: &[u8]) -> Option<usize> {
    const CHUNK: usize = 32;
    let highest = |chunk: &[u8]| chunk.iter().fold(0, |highest, &byte| byte.max(highest));
    let clean_chunks = data
        .chunks_exact(CHUNK)
        .take_while(|chunk| highest(chunk) < 0xFF)
        .count();
    let clean = clean_chunks * CHUNK;
    let offset = data[clean..].iter().position(|&byte| byte == 0xFF)?;
    Some(clean + offset)
}

/// Horizontal and vertical sampling factors of a component, 1 to 4 each (T.81, A.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// Blocks per coded unit, across.
    pub horizontal: u8,
    /// Blocks per coded unit, down.
    pub vertical: u8,
}

/// What the markers before the first scan say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// In pixels; not zero.
    pub width: u32,
    /// In pixels; not zero.
    pub height: u32,
    /// Bits per sample.
    pub precision: u8,
    /// How the image is coded.
    pub coding: Coding,
    /// Sampling factors, one entry per component.
    pub sampling: Vec<Sampling>,
    /// The colour transform of an Adobe APP14 segment: 0 none (RGB or CMYK), 1 `YCbCr`, 2 YCCK.
    pub adobe_transform: Option<u8>,
    /// Whether there is a JFIF APP0 segment.
    pub has_jfif: bool,
    /// Where in the file the EXIF data is: the TIFF structure after `Exif\0\0` in APP1.
    pub exif: Option<Range<usize>>,
    /// Whether there is an ICC profile (at least its first APP2 segment).
    pub has_icc_profile: bool,
    /// Coded units between restart markers; 0 for none.
    pub restart_interval: u16,
}

impl Header {
    /// Whether the image is coded in several passes.
    pub fn is_progressive(&self) -> bool {
        self.coding == Coding::Progressive
    }
}

/// Reads the header: markers only, up to the first scan, whatever the coding.
///
/// The first kilobytes of a file are enough if they hold the frame header. Fails with [`Error::Truncated`] where they do not:
/// more bytes would help then.
pub fn header(bytes: &[u8]) -> Result<Header, Error> {
    let mut segments = Segments::new(bytes)?;
    let mut application = ApplicationData::default();
    let mut frame = None;
    let mut restart_interval = 0;
    loop {
        let segment = match segments.next() {
            Ok(Some(segment))
                if segment.marker != START_OF_SCAN && segment.marker != END_OF_IMAGE =>
            {
                segment
            }
            Err(error) if frame.is_none() => return Err(error),
            _ => break,
        };
        application.observe(&segment);
        if is_start_of_frame(segment.marker) && frame.is_none() {
            frame = Some(Frame::parse(&segment)?);
        } else if segment.marker == DEFINE_RESTART_INTERVAL {
            restart_interval = parse_restart_interval(segment.payload).unwrap_or(0);
        }
    }
    let Some(frame) = frame else {
        let is_whole = segments.position() < bytes.len() || bytes.ends_with(&[0xFF, END_OF_IMAGE]);
        return Err(if is_whole {
            Flaw::Scan.into()
        } else {
            Error::truncated()
        });
    };
    Ok(Header {
        width: frame.width,
        height: frame.height,
        precision: frame.precision,
        coding: frame.coding,
        sampling: frame
            .components
            .iter()
            .map(|component| component.sampling)
            .collect(),
        adobe_transform: application.adobe_transform,
        has_jfif: application.has_jfif,
        exif: application.exif,
        has_icc_profile: application.has_icc_profile,
        restart_interval,
    })
}

/// Whether a marker begins a frame: SOF0 to SOF15 without the three that mean something else, and DHP.
pub(crate) fn is_start_of_frame(marker: u8) -> bool {
    const EXTENSION: u8 = 0xC8;
    const DEFINE_ARITHMETIC_CONDITIONING: u8 = 0xCC;
    match marker {
        DEFINE_HUFFMAN_TABLES | EXTENSION | DEFINE_ARITHMETIC_CONDITIONING => false,
        0xC0..=0xCF | DEFINE_HIERARCHICAL_PROGRESSION => true,
        _ => false,
    }
}

/// How the frame that `marker` begins is coded.
pub(crate) fn coding_of(marker: u8) -> Coding {
    match marker {
        0xC0 => Coding::Baseline,
        0xC1 => Coding::Extended,
        0xC2 => Coding::Progressive,
        0xC3 => Coding::Lossless,
        0xC5..=0xC7 | DEFINE_HIERARCHICAL_PROGRESSION => Coding::Hierarchical,
        _ => Coding::Arithmetic,
    }
}

pub(crate) fn parse_restart_interval(payload: &[u8]) -> Result<u16, Flaw> {
    let &[high, low] = payload else {
        return Err(Flaw::Segment);
    };
    Ok(u16::from_be_bytes([high, low]))
}

/// What application segments tell about the image.
#[derive(Default)]
pub(crate) struct ApplicationData {
    pub(crate) adobe_transform: Option<u8>,
    pub(crate) has_jfif: bool,
    exif: Option<Range<usize>>,
    has_icc_profile: bool,
}

impl ApplicationData {
    pub(crate) fn observe(&mut self, segment: &Segment<'_>) {
        const EXIF: &[u8] = b"Exif\0\0";
        const ADOBE_TRANSFORM: usize = 11;
        let payload = segment.payload;
        match segment.marker {
            APP0 if payload.starts_with(b"JFIF\0") => self.has_jfif = true,
            APP1 if payload.starts_with(EXIF) && self.exif.is_none() => {
                self.exif = Some(segment.offset + EXIF.len()..segment.offset + payload.len());
            }
            APP2 if payload.starts_with(b"ICC_PROFILE\0") => self.has_icc_profile = true,
            APP14 if payload.starts_with(b"Adobe") => {
                self.adobe_transform = payload
                    .get(ADOBE_TRANSFORM)
                    .copied()
                    .or(self.adobe_transform);
            }
            _ => {}
        }
    }
}

impl Coding {
    /// Only Huffman-coded DCT frames of one sequence are skimmed.
    pub(crate) fn check_supported(self) -> Result<(), Declined> {
        match self {
            Self::Baseline | Self::Extended | Self::Progressive => Ok(()),
            Self::Lossless => Err(Declined::Lossless),
            Self::Hierarchical => Err(Declined::Hierarchical),
            Self::Arithmetic => Err(Declined::ArithmeticCoding),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_found_at_any_offset_and_stuffing_is_passed_over() {
        for offset in 0..100 {
            let mut data = vec![0x11; offset];
            data.extend([0xFF, 0x00, 0x22, 0xFF, 0xFF, 0xD9, 0x33]);
            assert_eq!(find_marker(&data, 0), Some(offset + 4));
            assert_eq!(find_marker(&data, offset + 6), None);
        }
        assert_eq!(find_marker(&[0xFF], 0), None);
        assert_eq!(find_marker(&[0xFF, 0x00], 0), None);
        assert_eq!(find_marker(&[], 5), None);
    }

    #[test]
    fn a_header_without_its_frame_yet_asks_for_more() {
        let bytes = [0xFF, 0xD8, 0xFF, 0xE0, 0x00, 0x10, b'J', b'F'];
        for length in 2..=bytes.len() {
            assert!(
                matches!(header(&bytes[..length]), Err(Error::Truncated { .. })),
                "{length} bytes"
            );
        }
        assert_eq!(header(b"GIF89a"), Err(Error::NotJpeg));
        assert_eq!(header(&[]), Err(Error::NotJpeg));
    }

    #[test]
    fn a_scan_without_a_frame_is_corrupt() {
        let bytes = [0xFF, 0xD8, 0xFF, 0xDA, 0x00, 0x02, 0x00, 0x00];
        assert!(matches!(
            header(&bytes),
            Err(Error::Corrupt {
                flaw: Flaw::Scan,
                ..
            })
        ));
    }
}

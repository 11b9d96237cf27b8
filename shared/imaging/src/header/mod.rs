//! What an image's header tells without a pixel being decoded: one parser per format, each bounded and free of panics.
//!
//! Dimensions and frames are those that Pillow reports (`Image.size`, `Image.n_frames`), with one exception: a JPEG with
//! further images behind it (MPO) is one frame, since what shows it shows one.

mod bmp;
mod gif;
mod iso_media;
mod jpeg;
mod others;
mod png;
mod tiff;
mod webp;

pub(crate) use jpeg::{has_more_scans, is_interleaved};

use domain::{Exif, ImageFormat, Measurement};

use crate::content::{Content, sniff};
use crate::error::ImageError;
use crate::exif::Camera;
use crate::view::{Fault, Parsed, View};

/// Most bytes of an EXIF block that are read where the format sets no limit of its own.
const MAX_EXIF_BYTES: usize = 1024 * 1024;

/// Bytes that decide between image formats.
const SNIFF_BYTES: usize = 64;

/// How colours are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ColorSpace {
    /// One channel of luma.
    Gray,
    /// Red, green, blue.
    Rgb,
    /// Luma and two colour differences.
    Ycbcr,
    /// Four inks.
    Cmyk,
    /// A table of colours.
    Indexed,
}

impl ColorSpace {
    /// The name in result rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gray => "gray",
            Self::Rgb => "rgb",
            Self::Ycbcr => "ycbcr",
            Self::Cmyk => "cmyk",
            Self::Indexed => "indexed",
        }
    }
}

/// What an image's header tells.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// Format by content.
    pub format: ImageFormat,
    /// Pixels, as stored: before any orientation is applied. Never 0.
    pub width: u32,
    /// Pixels, as stored. Never 0.
    pub height: u32,
    /// Frames or pages; `None` where the bytes at hand end before they could be counted.
    pub frames: Option<u32>,
    /// Whether there is an alpha channel or a transparent colour.
    pub has_alpha: Option<bool>,
    /// EXIF orientation, 1 … 8.
    pub orientation: Option<u8>,
    /// How colours are stored.
    pub color_space: Option<ColorSpace>,
    /// Whether an ICC profile is embedded.
    pub has_icc_profile: bool,
    /// Camera data, where there is an EXIF block.
    pub exif: Option<Exif>,
    /// Whether the file's own structure says that it is there to its end; `true` where the format does not tell.
    pub is_complete: bool,
}

impl Header {
    fn new(format: ImageFormat, width: u32, height: u32) -> Self {
        Self {
            format,
            width,
            height,
            frames: None,
            has_alpha: None,
            orientation: None,
            color_space: None,
            has_icc_profile: false,
            exif: None,
            is_complete: true,
        }
    }

    fn set_camera(&mut self, camera: Option<Camera>) {
        if let Some(camera) = camera {
            self.exif = Some(camera.exif);
            self.orientation = camera.orientation;
        }
    }

    /// Pixels of all frames together; one frame where they are not counted.
    pub fn pixels(&self) -> u64 {
        u64::from(self.width)
            .saturating_mul(u64::from(self.height))
            .saturating_mul(u64::from(self.frames.unwrap_or(1).max(1)))
    }

    /// The measurement a header alone gives.
    pub fn to_measurement(&self) -> Measurement {
        let color_space = self.color_space.map(|space| {
            let profile = if self.has_icc_profile { "+icc" } else { "" };
            format!("{}{profile}", space.as_str())
        });
        Measurement {
            frames: self.frames,
            has_alpha: self.has_alpha,
            orientation: self.orientation,
            color_space,
            exif: self.exif.clone(),
            ..Measurement::of_header(self.format, self.width, self.height)
        }
    }
}

/// What the beginning of an image tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// The dimensions are known. What comes later in the file (frames, EXIF of some formats) may be unset.
    Header(Header),
    /// The dimensions come later.
    NeedMore {
        /// Bytes from the start of the file that have to be there before another probe can tell more.
        at_least: u64,
    },
}

/// Reads the header of a whole file.
///
/// # Errors
///
/// [`ImageError::NotAnImage`], [`ImageError::UnsupportedFormat`], [`ImageError::Truncated`] where the bytes end before
/// the dimensions, [`ImageError::Decode`] where they contradict the format.
pub fn probe(bytes: &[u8]) -> Result<Header, ImageError> {
    let format = format_of(bytes)?;
    finish(format, bytes, parse(format, bytes, Extent::Whole))
}

/// Reads the header from the first bytes of a file, while the rest may still be on its way.
///
/// # Errors
///
/// As [`probe`], but bytes that end too early are [`Probe::NeedMore`].
pub fn probe_prefix(bytes: &[u8]) -> Result<Probe, ImageError> {
    let format = match format_of(bytes) {
        Ok(format) => format,
        Err(ImageError::NotAnImage { .. }) if bytes.len() < SNIFF_BYTES => {
            return Ok(Probe::NeedMore {
                at_least: SNIFF_BYTES as u64,
            });
        }
        Err(error) => return Err(error),
    };
    match parse(format, bytes, Extent::Prefix) {
        Err(Fault::Short { needed }) => Ok(Probe::NeedMore {
            at_least: needed.max(bytes.len() as u64 + 1),
        }),
        other => finish(format, bytes, other).map(Probe::Header),
    }
}

/// Reads the header from bytes that may or may not be the whole file, for [`domain::MeasureMode::Header`].
pub(crate) fn probe_leniently(bytes: &[u8]) -> Result<Header, ImageError> {
    let format = format_of(bytes)?;
    finish(format, bytes, parse(format, bytes, Extent::Prefix))
}

/// Whether the bytes at hand are the whole file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    Whole,
    Prefix,
}

fn format_of(bytes: &[u8]) -> Result<ImageFormat, ImageError> {
    match sniff(bytes) {
        Content::Image(format) => Ok(format),
        found => Err(ImageError::NotAnImage { found }),
    }
}

fn parse(format: ImageFormat, bytes: &[u8], extent: Extent) -> Parsed<Header> {
    let view = View(bytes);
    match format {
        ImageFormat::Jpeg => jpeg::parse(view, extent),
        ImageFormat::Png => png::parse(view, extent),
        ImageFormat::Webp => webp::parse(view, extent),
        ImageFormat::Gif => gif::parse(view, extent),
        ImageFormat::Bmp => bmp::parse(view),
        ImageFormat::Tiff => tiff::parse(view, extent),
        ImageFormat::Avif | ImageFormat::Heif => iso_media::parse(view, format, extent),
        _ => others::dimensions(view, format)
            .map(|(width, height)| Header::new(format, width, height)),
    }
}

fn finish(format: ImageFormat, bytes: &[u8], parsed: Parsed<Header>) -> Result<Header, ImageError> {
    if !is_measured(format) {
        let dimensions = parsed.ok().map(|header| (header.width, header.height));
        return Err(ImageError::UnsupportedFormat { format, dimensions });
    }
    match parsed {
        Ok(header) if header.width == 0 || header.height == 0 => {
            Err(ImageError::decode(format, "a side of no pixels"))
        }
        Ok(header) => Ok(header),
        Err(Fault::Short { .. }) => Err(ImageError::Truncated {
            format,
            bytes: bytes.len() as u64,
        }),
        Err(Fault::Bad(what)) => Err(ImageError::decode(format, what)),
    }
}

/// Whether a format is measured, if only from its header.
const fn is_measured(format: ImageFormat) -> bool {
    matches!(
        format,
        ImageFormat::Jpeg
            | ImageFormat::Png
            | ImageFormat::Webp
            | ImageFormat::Gif
            | ImageFormat::Bmp
            | ImageFormat::Tiff
            | ImageFormat::Avif
    )
}

//! From bytes to the one small image that every feature is computed from.

mod any;
mod gif;
mod jpeg;
mod png;
mod reducer;
mod webp;

use std::error::Error;
use std::io;

use domain::{ImageFormat, MeasureMode};

pub(crate) use reducer::{Working, luma, over_white};

use crate::error::ImageError;
use crate::header::Header;

/// Most memory that one image may take while it is decoded: a process that measures has to get along with 400 MB (and the file, the
/// decoders beside it and the connections want their share).
pub(crate) const MOST_BYTES: u64 = 256 * 1024 * 1024;

/// Working memory that does not depend on the image: the working image and the decoders' tables.
const FIXED_BYTES: u64 = 4 * 1024 * 1024;

/// One image to decode. Its header has been read and its pixels are within the limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) header: &'a Header,
    pub(crate) mode: MeasureMode,
    pub(crate) max_pixels: u64,
}

impl Job<'_> {
    /// Decodes the first frame into the working image.
    pub(crate) fn run(&self) -> Result<Working, ImageError> {
        match self.header.format {
            ImageFormat::Jpeg => jpeg::decode(self),
            ImageFormat::Png => png::decode(self),
            ImageFormat::Gif => gif::decode(self),
            ImageFormat::Webp => webp::decode(self),
            _ => any::decode(self),
        }
    }

    fn size(&self) -> (u32, u32) {
        (self.header.width, self.header.height)
    }

    fn pixels(&self) -> u64 {
        u64::from(self.header.width) * u64::from(self.header.height)
    }

    /// Refuses what would take more memory than one image may have.
    fn check_memory(&self, needed: u64) -> Result<(), ImageError> {
        if needed <= MOST_BYTES {
            return Ok(());
        }
        let (needed, most) = (needed / 1_000_000, MOST_BYTES / 1_000_000);
        Err(ImageError::TooLarge {
            format: self.header.format,
            reason: format!(
                "it takes {needed} MB to decode, more than the {most} MB that one image may have"
            ),
        })
    }

    fn truncated(&self) -> ImageError {
        ImageError::Truncated {
            format: self.header.format,
            bytes: self.bytes.len() as u64,
        }
    }

    fn damaged(&self, source: impl Into<Box<dyn Error + Send + Sync>>) -> ImageError {
        ImageError::decode(self.header.format, source)
    }

    /// What a decoder's error means: cut off where an I/O error down its chain of sources says that the bytes ended.
    fn failed(&self, error: impl Error + Send + Sync + 'static) -> ImageError {
        let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
        while let Some(current) = cause {
            if let Some(error) = current.downcast_ref::<io::Error>()
                && error.kind() == io::ErrorKind::UnexpectedEof
            {
                return self.truncated();
            }
            cause = current.source();
        }
        self.damaged(error)
    }

    /// A decoder that reads the header in another way than we do must not get around the pixel limit.
    fn check_size(&self, size: (u32, u32)) -> Result<(), ImageError> {
        if size == self.size() {
            Ok(())
        } else {
            Err(self.damaged("its header can be read in two ways"))
        }
    }
}

/// Bytes that decoding an image of so many pixels may hold at once.
pub(crate) fn memory_needed(format: ImageFormat, pixels: u64) -> u64 {
    let bytes_per_pixel = match format {
        // Three channels of samples and, in a progressive file, their coefficients in 16 bits; then all again as RGB. Of a WebP what the
        // decoders of packed alpha and of frames hold beside the samples.
        ImageFormat::Jpeg | ImageFormat::Webp => 12,
        // Four channels; of a PNG rows alone, unless it is interlaced.
        ImageFormat::Png | ImageFormat::Bmp => 4,
        // Indexes of one frame.
        ImageFormat::Gif => 1,
        // Up to four channels of 32 bits.
        ImageFormat::Tiff => 16,
        _ => 0,
    };
    (pixels * bytes_per_pixel).min(MOST_BYTES) + FIXED_BYTES
}

/// A working image of gray pixels, for tests of features.
#[cfg(test)]
pub(crate) fn working_of_luma(width: u32, height: u32, pixel: impl Fn(u32, u32) -> u8) -> Working {
    let layout = reducer::Layout::Gray;
    let mut reducer = reducer::Reducer::new(layout, (width, height), MeasureMode::Fast);
    for y in 0..height {
        let row: Vec<u8> = (0..width).map(|x| pixel(x, y)).collect();
        reducer.push(&row);
    }
    reducer.finish()
}

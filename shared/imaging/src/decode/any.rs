//! Every other format through the `image` crate: the whole first frame at once, under the pixel limit.

use std::io::Cursor;

use domain::ImageFormat;
use image::codecs::{bmp::BmpDecoder, tiff::TiffDecoder, webp::WebPDecoder};
use image::{ColorType, ImageDecoder, ImageResult};

use super::reducer::{Layout, Reducer, Working};
use super::webp::first_of_picture;
use super::{Job, memory_needed};
use crate::error::ImageError;
use crate::view::View;

pub(super) fn decode(job: &Job<'_>) -> Result<Working, ImageError> {
    let cursor = Cursor::new(job.bytes);
    match job.header.format {
        ImageFormat::Webp => run(job, WebPDecoder::new(cursor)),
        ImageFormat::Bmp => run(job, BmpDecoder::new(cursor)),
        ImageFormat::Tiff => run(job, TiffDecoder::new(cursor)),
        _ => Err(job.damaged("there is no decoder for it")),
    }
}

fn run(job: &Job<'_>, decoder: ImageResult<impl ImageDecoder>) -> Result<Working, ImageError> {
    let mut decoder = decoder.map_err(|error| job.failed(error))?;
    let (width, height) = decoder.dimensions();
    job.check_size((width, height))?;
    let mut limits = image::Limits::no_limits();
    let pixels = u64::from(width) * u64::from(height);
    limits.max_alloc = Some(memory_needed(job.header.format, pixels));
    job.check_memory(memory_to_decode(job, decoder.total_bytes()))?;
    decoder
        .set_limits(limits)
        .map_err(|error| job.failed(error))?;
    let color_type = decoder.color_type();
    let mut samples = vec![0; usize::try_from(decoder.total_bytes()).unwrap_or(usize::MAX)];
    decoder
        .read_image(&mut samples)
        .map_err(|error| job.failed(error))?;
    let (layout, sample) = match color_type {
        ColorType::L8 => (Layout::Gray, Sample::Byte),
        ColorType::La8 => (Layout::GrayAlpha, Sample::Byte),
        ColorType::Rgb8 => (Layout::Rgb, Sample::Byte),
        ColorType::Rgba8 => (Layout::Rgba, Sample::Byte),
        ColorType::L16 => (Layout::Gray, Sample::Word),
        ColorType::La16 => (Layout::GrayAlpha, Sample::Word),
        ColorType::Rgb16 => (Layout::Rgb, Sample::Word),
        ColorType::Rgba16 => (Layout::Rgba, Sample::Word),
        ColorType::Rgb32F => (Layout::Rgb, Sample::Float),
        ColorType::Rgba32F => (Layout::Rgba, Sample::Float),
        _ => {
            return Err(job.damaged("its samples are of an unknown kind"));
        }
    };
    let row_bytes = width as usize * layout.channels() * sample.bytes();
    let mut reducer = Reducer::new(layout, (width, height), job.mode);
    let mut narrow = Vec::new();
    for row in samples.chunks_exact(row_bytes) {
        reducer.push(sample.narrow(row, &mut narrow));
    }
    Ok(reducer.finish())
}

/// Bytes that a decoder takes whose samples take `samples`: what it holds beside them differs.
fn memory_to_decode(job: &Job<'_>, samples: u64) -> u64 {
    match job.header.format {
        // Once as the strips come, once as they are asked for.
        ImageFormat::Tiff => 2 * samples,
        ImageFormat::Webp => samples + beside_samples_of_webp(job.bytes, job.pixels()),
        _ => samples,
    }
}

/// As measured with files of 16 million pixels.
fn beside_samples_of_webp(bytes: &[u8], pixels: u64) -> u64 {
    let kind = first_of_picture(View(bytes)).map(|(kind, _)| kind);
    match kind {
        // Planes of luma and, at half the size, of colour.
        Some(b"VP8 ") => pixels * 3 / 2,
        // The pixels before their alpha is dropped.
        Some(b"VP8L") => pixels * 4,
        // The same planes, the alpha, and the pixels that it was packed as.
        Some(b"ALPH") => pixels * 13 / 2,
        // The canvas and a frame.
        _ => pixels * 8,
    }
}

/// How wide a sample is.
#[derive(Debug, Clone, Copy)]
enum Sample {
    Byte,
    Word,
    Float,
}

impl Sample {
    const fn bytes(self) -> usize {
        match self {
            Self::Byte => 1,
            Self::Word => 2,
            Self::Float => 4,
        }
    }

    /// The row with 8 bits a sample: the upper byte of a word, 0 … 1 as 0 … 255.
    fn narrow<'a>(self, row: &'a [u8], narrow: &'a mut Vec<u8>) -> &'a [u8] {
        narrow.clear();
        match self {
            Self::Byte => return row,
            Self::Word => {
                let (words, _) = row.as_chunks::<2>();
                narrow.extend(
                    words
                        .iter()
                        .map(|word| (u16::from_ne_bytes(*word) >> 8) as u8),
                );
            }
            Self::Float => {
                let (floats, _) = row.as_chunks::<4>();
                let scaled = |float: &[u8; 4]| f32::from_ne_bytes(*float).clamp(0.0, 1.0) * 255.0;
                narrow.extend(floats.iter().map(|float| scaled(float).round() as u8));
            }
        }
        narrow
    }
}

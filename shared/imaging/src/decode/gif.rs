//! The first frame of a GIF: its indexes are held, one byte a pixel, and rows of colours made of them.

use std::io::Cursor;

use gif::{ColorOutput, DecodeOptions, DecodingError, Frame, MemoryLimit};

use super::Job;
use super::reducer::{Layout, Reducer, Working};
use crate::error::ImageError;

/// Pixels that one byte of LZW data can stand for at most: a code of 12 bits for a string of 4,096.
const MAX_PIXELS_PER_BYTE: u64 = 2_731;

pub(super) fn decode(job: &Job<'_>) -> Result<Working, ImageError> {
    let failed = |error: DecodingError| job.failed(error);
    let (width, height) = job.size();
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    // One frame's indexes are all that is ever allocated, and they are checked below.
    options.set_memory_limit(MemoryLimit::Unlimited);
    let mut decoder = options.read_info(Cursor::new(job.bytes)).map_err(failed)?;
    let frame = decoder
        .next_frame_info()
        .map_err(failed)?
        .ok_or_else(|| job.damaged("there is no frame"))?
        .clone();
    let frame_pixels = u64::from(frame.width) * u64::from(frame.height);
    let fits = u32::from(frame.left) + u32::from(frame.width) <= width
        && u32::from(frame.top) + u32::from(frame.height) <= height;
    if !fits {
        return Err(job.damaged("its header can be read in two ways"));
    }
    if frame_pixels / MAX_PIXELS_PER_BYTE > job.bytes.len() as u64 {
        return Err(job.truncated());
    }
    let mut indexes = vec![0; decoder.buffer_size()];
    decoder.read_into_buffer(&mut indexes).map_err(failed)?;
    let colors = Colors::new(decoder.palette().map_err(failed)?, &frame);
    let background = decoder.bg_color().unwrap_or(0);
    Ok(reduce(job, &frame, &indexes, &colors, background))
}

/// The frame on its screen; what it does not cover is transparent.
fn reduce(
    job: &Job<'_>,
    frame: &Frame<'_>,
    indexes: &[u8],
    colors: &Colors,
    background: usize,
) -> Working {
    let (width, height) = job.size();
    let covers_all = u32::from(frame.width) == width && u32::from(frame.height) == height;
    let has_alpha = frame.transparent.is_some() || !covers_all;
    let layout = if has_alpha { Layout::Rgba } else { Layout::Rgb };
    let channels = layout.channels();
    let mut outside = colors.0[background & 0xff];
    outside[3] = 0;
    let mut reducer = Reducer::new(layout, (width, height), job.mode);
    let empty_row: Vec<u8> = outside[..channels].repeat(width as usize);
    let mut row = empty_row.clone();
    let first = usize::from(frame.left) * channels;
    let frame_rows = u32::from(frame.top)..u32::from(frame.top) + u32::from(frame.height);
    let mut lines = indexes.chunks_exact(usize::from(frame.width).max(1));
    for y in 0..height {
        let line = if frame_rows.contains(&y) {
            lines.next()
        } else {
            None
        };
        let Some(line) = line else {
            reducer.push(&empty_row);
            continue;
        };
        for (pixel, index) in row[first..].chunks_exact_mut(channels).zip(line) {
            pixel.copy_from_slice(&colors.0[usize::from(*index)][..channels]);
        }
        reducer.push(&row);
    }
    reducer.finish()
}

/// Colour and alpha of each index. An index beyond the palette is black.
struct Colors([[u8; 4]; 256]);

impl Colors {
    fn new(palette: &[u8], frame: &Frame<'_>) -> Self {
        let mut colors = [[0, 0, 0, 255]; 256];
        let (entries, _) = palette.as_chunks::<3>();
        for (color, [red, green, blue]) in colors.iter_mut().zip(entries) {
            *color = [*red, *green, *blue, 255];
        }
        if let Some(transparent) = frame.transparent {
            colors[usize::from(transparent)][3] = 0;
        }
        Self(colors)
    }
}

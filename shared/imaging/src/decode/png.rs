//! PNG row by row; only an interlaced file is held as a whole.

use std::io::Cursor;

use png::{ColorType, Decoder, DecodingError, Limits, Transformations};

use super::Job;
use super::reducer::{Layout, Reducer, Working};
use crate::error::ImageError;

/// Memory for chunks other than image data.
const MAX_METADATA_BYTES: usize = 4 * 1024 * 1024;

pub(super) fn decode(job: &Job<'_>) -> Result<Working, ImageError> {
    let failed = |error: DecodingError| job.failed(error);
    let (width, height) = job.size();
    let limits = Limits {
        // A row of the widest image, four channels of 16 bits, may take more than metadata.
        bytes: MAX_METADATA_BYTES.max(width as usize * 16),
    };
    let mut decoder = Decoder::new_with_limits(Cursor::new(job.bytes), limits);
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let mut reader = decoder.read_info().map_err(failed)?;
    job.check_size(reader.info().size())?;
    let layout = match reader.output_color_type().0 {
        ColorType::Grayscale => Layout::Gray,
        ColorType::GrayscaleAlpha => Layout::GrayAlpha,
        ColorType::Rgb => Layout::Rgb,
        ColorType::Rgba => Layout::Rgba,
        ColorType::Indexed => {
            return Err(job.damaged("there is no palette"));
        }
    };
    let row_bytes = width as usize * layout.channels();
    let mut reducer = Reducer::new(layout, (width, height), job.mode);
    if reader.info().interlaced {
        let mut samples = vec![0; row_bytes * height as usize];
        reader.next_frame(&mut samples).map_err(failed)?;
        for row in samples.chunks_exact(row_bytes) {
            reducer.push(row);
        }
        return Ok(reducer.finish());
    }
    for _ in 0..height {
        let Some(row) = reader.next_row().map_err(failed)? else {
            return Err(job.truncated());
        };
        let Some(row) = row.data().get(..row_bytes) else {
            return Err(job.damaged("a row is too short"));
        };
        reducer.push(row);
    }
    Ok(reducer.finish())
}

//! Lossy WebP without alpha from its planes of luma and colour: pixels of red, green and blue are made of the working image's few only.
//! Everything else that is WebP goes the way of the other formats.

use domain::MeasureMode;
use image_webp::vp8::Vp8Decoder;

use super::reducer::{Planes, Working, reduce_planes};
use super::{Job, any};
use crate::error::ImageError;
use crate::view::View;

pub(super) fn decode(job: &Job<'_>) -> Result<Working, ImageError> {
    let is_plain = job.header.has_alpha == Some(false) && job.header.frames == Some(1);
    let chunk = match first_of_picture(View(job.bytes)) {
        Some((b"VP8 ", chunk)) if is_plain && job.mode == MeasureMode::Fast => chunk,
        _ => return any::decode(job),
    };
    // Planes of luma and, at half the size each way, of two colours.
    job.check_memory(job.pixels() * 3 / 2)?;
    let frame = Vp8Decoder::decode_frame(chunk).map_err(|error| job.failed(error))?;
    job.check_size((u32::from(frame.width), u32::from(frame.height)))?;
    let planes = Planes {
        luma: &frame.ybuf,
        blue: &frame.ubuf,
        red: &frame.vbuf,
        // Macroblocks of 16 pixels are decoded whole (RFC 6386, section 2).
        luma_stride: usize::from(frame.width).div_ceil(16) * 16,
    };
    Ok(reduce_planes(&planes, job.size(), job.mode))
}

/// The kind and the content of the first chunk that is part of the picture, which says how it is coded (RFC 9649, section 2): a lossy
/// image, a lossless one, the alpha that a lossy one follows, or a frame.
pub(super) fn first_of_picture(view: View<'_>) -> Option<(&[u8], &[u8])> {
    let mut at = 12;
    loop {
        let kind = view.slice(at, 4).ok()?;
        let length = view.le32(at + 4).ok()? as usize;
        if matches!(kind, b"VP8 " | b"VP8L" | b"ALPH" | b"ANMF") {
            return Some((kind, view.slice(at + 8, length).ok()?));
        }
        at = (at + 8).checked_add(length)?.checked_add(length & 1)?;
    }
}

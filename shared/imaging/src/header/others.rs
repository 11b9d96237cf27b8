//! Dimensions of formats that are recognised only, where a few bytes tell them.

use domain::ImageFormat;

use crate::view::{Fault, Parsed, View};

/// Boxes looked through for the one with the dimensions.
const MAX_BOXES: usize = 64;

/// Width and height, or [`Fault::Bad`] for a format whose dimensions are not cheap.
pub(super) fn dimensions(view: View<'_>, format: ImageFormat) -> Parsed<(u32, u32)> {
    match format {
        ImageFormat::Psd => Ok((view.be32(18)?, view.be32(14)?)),
        ImageFormat::Ico => icon(view),
        ImageFormat::Jp2 => jpeg_2000(view),
        ImageFormat::Jxl => jpeg_xl(view),
        _ => Err(Fault::Bad("the dimensions are not in the header")),
    }
}

/// The largest entry of the directory; a side of 256 is written as 0.
fn icon(view: View<'_>) -> Parsed<(u32, u32)> {
    let entries = usize::from(view.le16(4)?);
    let mut largest = (0, 0);
    for index in 0..entries {
        let side = |offset| -> Parsed<u32> {
            let stored = view.u8(6 + 16 * index + offset)?;
            Ok(if stored == 0 { 256 } else { u32::from(stored) })
        };
        let entry = (side(0)?, side(1)?);
        if entry.0 * entry.1 > largest.0 * largest.1 {
            largest = entry;
        }
    }
    Ok(largest)
}

/// Rec. ITU-T T.800: the size segment of a bare code stream, or the image header box of a file.
fn jpeg_2000(view: View<'_>) -> Parsed<(u32, u32)> {
    if view.be16(0)? == 0xff4f {
        let side =
            |at: usize| -> Parsed<u32> { Ok(view.be32(at)?.saturating_sub(view.be32(at + 8)?)) };
        return Ok((side(8)?, side(12)?));
    }
    let mut at = 0;
    for _ in 0..MAX_BOXES {
        let length = view.be32(at)? as usize;
        match view.slice(at + 4, 4)? {
            b"jp2h" => at += 8,
            b"ihdr" => return Ok((view.be32(at + 12)?, view.be32(at + 8)?)),
            _ if length < 8 => break,
            _ => at = at.saturating_add(length),
        }
    }
    Err(Fault::Bad("there is no image header box"))
}

/// ISO/IEC 18181-1: the size header that opens a bare code stream. In a container it lies deeper and is left alone.
fn jpeg_xl(view: View<'_>) -> Parsed<(u32, u32)> {
    // Numerator and denominator of the width in terms of the height.
    const RATIOS: [(u64, u64); 7] = [(1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1)];
    if view.be16(0)? != 0xff0a {
        return Err(Fault::Bad("the code stream is in a container"));
    }
    let mut bits = Bits { view, at: 16 };
    let is_small = bits.take(1)? == 1;
    let side = |bits: &mut Bits<'_>| -> Parsed<u32> {
        if is_small {
            return Ok((bits.take(5)? + 1) * 8);
        }
        let width_of_value = [9, 13, 18, 30][bits.take(2)? as usize];
        Ok(bits.take(width_of_value)? + 1)
    };
    let height = side(&mut bits)?;
    let width = match bits.take(3)? as usize {
        0 => side(&mut bits)?,
        ratio => {
            let (numerator, denominator) = RATIOS[ratio - 1];
            (u64::from(height) * numerator / denominator) as u32
        }
    };
    Ok((width, height))
}

/// Reads bits, the least significant of each byte first.
struct Bits<'a> {
    view: View<'a>,
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Parsed<u32> {
        let mut value = 0;
        for shift in 0..count {
            let byte = self.view.u8(self.at / 8)?;
            value |= u32::from(byte >> (self.at % 8) & 1) << shift;
            self.at += 1;
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_icon_is_as_large_as_its_largest_entry() {
        let mut bytes = vec![0, 0, 1, 0, 2, 0];
        bytes.extend([16, 16, 0, 0, 1, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend([0, 0, 0, 0, 1, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(dimensions(View(&bytes), ImageFormat::Ico), Ok((256, 256)));
    }

    #[test]
    fn the_size_header_of_jpeg_xl_is_read_bit_by_bit() {
        // Small, height (3 + 1) × 8 = 32, ratio 7: twice as wide as high.
        let bits: u16 = 1 | (3 << 1) | (7 << 6);
        let [low, high] = bits.to_le_bytes();
        let bytes = [0xff, 0x0a, low, high];
        assert_eq!(dimensions(View(&bytes), ImageFormat::Jxl), Ok((64, 32)));
    }

    #[test]
    fn the_image_header_box_of_jpeg_2000_is_found() {
        let mut bytes = b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 \0\0\0\0jp2 ".to_vec();
        bytes.extend(b"\0\0\0\x2djp2h\0\0\0\x16ihdr\0\0\0\x05\0\0\0\x07");
        assert_eq!(dimensions(View(&bytes), ImageFormat::Jp2), Ok((7, 5)));
    }
}

//! Windows bitmaps: the OS/2 header of 12 bytes, its longer brother, and the Windows headers of 40 to 124 bytes.

use domain::ImageFormat;

use super::{ColorSpace, Header};
use crate::view::{Fault, Parsed, View};

const UNCOMPRESSED: u32 = 0;
const BIT_FIELDS: u32 = 3;
const ALPHA_BIT_FIELDS: u32 = 6;
const EMBEDDED_PROFILE: &[u8] = b"DEBM";

pub(super) fn parse(view: View<'_>) -> Parsed<Header> {
    let header_bytes = view.le32(14)?;
    if header_bytes == 12 {
        let (width, height) = (u32::from(view.le16(18)?), u32::from(view.le16(20)?));
        let bits = view.le16(24)?;
        return finish(view, (width, height), bits, UNCOMPRESSED, false);
    }
    let width = view.le32(18)?;
    if i32::try_from(width).is_err() {
        return Err(Fault::Bad("a negative width"));
    }
    // A negative height means that the rows go from top to bottom.
    let height = view.le32(22)?.cast_signed().unsigned_abs();
    let bits = view.le16(28)?;
    if header_bytes < 40 {
        return finish(view, (width, height), bits, UNCOMPRESSED, false);
    }
    let compression = view.le32(30)?;
    let has_masks = matches!(compression, BIT_FIELDS | ALPHA_BIT_FIELDS);
    let has_alpha_mask = header_bytes >= 56 || compression == ALPHA_BIT_FIELDS;
    let has_alpha = bits >= 16 && has_masks && has_alpha_mask && view.le32(66)? != 0;
    let mut header = finish(view, (width, height), bits, compression, has_alpha)?;
    header.has_icc_profile = header_bytes == 124 && view.slice(70, 4)? == EMBEDDED_PROFILE;
    Ok(header)
}

fn finish(
    view: View<'_>,
    (width, height): (u32, u32),
    bits: u16,
    compression: u32,
    has_alpha: bool,
) -> Parsed<Header> {
    let mut header = Header::new(ImageFormat::Bmp, width, height);
    header.frames = Some(1);
    header.has_alpha = Some(has_alpha);
    header.color_space = Some(if bits <= 8 {
        ColorSpace::Indexed
    } else {
        ColorSpace::Rgb
    });
    let is_plain = matches!(compression, UNCOMPRESSED | BIT_FIELDS | ALPHA_BIT_FIELDS);
    if is_plain {
        let row_bytes = (u64::from(width) * u64::from(bits)).div_ceil(32) * 4;
        let pixels_at = u64::from(view.le32(10)?);
        let end = pixels_at.saturating_add(row_bytes.saturating_mul(u64::from(height)));
        header.is_complete = end <= view.len() as u64;
    }
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bitmap(fields: &[u8], pixels: usize) -> Vec<u8> {
        let pixels_at = 14 + fields.len() as u32;
        let mut bytes = b"BM\0\0\0\0\0\0\0\0".to_vec();
        bytes.extend(pixels_at.to_le_bytes());
        bytes.extend(fields);
        bytes.extend(vec![0; pixels]);
        bytes
    }

    #[test]
    fn the_short_header_has_sixteen_bit_sides() {
        let bytes = bitmap(&[12, 0, 0, 0, 3, 0, 2, 0, 1, 0, 24, 0], 24);
        let header = parse(View(&bytes)).unwrap();
        assert_eq!((header.width, header.height), (3, 2));
        assert_eq!(header.color_space, Some(ColorSpace::Rgb));
        assert!(header.is_complete);
    }

    #[test]
    fn a_negative_height_is_a_height() {
        let mut fields = vec![0; 40];
        fields[0] = 40;
        fields[4..8].copy_from_slice(&5_i32.to_le_bytes());
        fields[8..12].copy_from_slice(&(-4_i32).to_le_bytes());
        fields[14] = 8;
        let bytes = bitmap(&fields, 31);
        let header = parse(View(&bytes)).unwrap();
        assert_eq!((header.width, header.height), (5, 4));
        assert_eq!(header.color_space, Some(ColorSpace::Indexed));
        assert!(!header.is_complete);
    }
}

//! WebP: a RIFF file of a lossy, a lossless or an extended image (RFC 9649; VP8's key frame header from RFC 6386 section 9.1).

use domain::ImageFormat;

use super::{ColorSpace, Extent, Header, MAX_EXIF_BYTES};
use crate::exif;
use crate::view::{Fault, Parsed, View};

const ANIMATION_FLAG: u8 = 0x02;
const ALPHA_FLAG: u8 = 0x10;
const ICC_FLAG: u8 = 0x20;

pub(super) fn parse(view: View<'_>, extent: Extent) -> Parsed<Header> {
    let kind = view.slice(12, 4)?;
    let mut header = match kind {
        b"VP8 " => lossy(view, 20)?,
        b"VP8L" => lossless(view, 20)?,
        b"VP8X" => return extended(view, extent),
        _ => return Err(Fault::Bad("the first chunk is no image")),
    };
    header.frames = Some(1);
    let length = view.le32(16)? as usize;
    header.is_complete = view.slice(20, length).is_ok();
    Ok(header)
}

fn lossy(view: View<'_>, at: usize) -> Parsed<Header> {
    let is_key_frame = view.u8(at)? & 1 == 0;
    if !is_key_frame || view.slice(at + 3, 3)? != b"\x9d\x01\x2a" {
        return Err(Fault::Bad("the lossy image starts with no key frame"));
    }
    // The two upper bits ask the player to scale; the picture is as large as the lower fourteen say.
    let width = u32::from(view.le16(at + 6)? & 0x3fff);
    let height = u32::from(view.le16(at + 8)? & 0x3fff);
    let mut header = Header::new(ImageFormat::Webp, width, height);
    header.color_space = Some(ColorSpace::Ycbcr);
    header.has_alpha = Some(false);
    Ok(header)
}

fn lossless(view: View<'_>, at: usize) -> Parsed<Header> {
    if view.u8(at)? != 0x2f {
        return Err(Fault::Bad("the lossless image lacks its signature"));
    }
    let bits = view.le32(at + 1)?;
    let width = (bits & 0x3fff) + 1;
    let height = (bits >> 14 & 0x3fff) + 1;
    let mut header = Header::new(ImageFormat::Webp, width, height);
    header.color_space = Some(ColorSpace::Rgb);
    header.has_alpha = Some(bits >> 28 & 1 == 1);
    Ok(header)
}

fn extended(view: View<'_>, extent: Extent) -> Parsed<Header> {
    let flags = view.u8(20)?;
    let width = view.le24(24)? + 1;
    let height = view.le24(27)? + 1;
    let mut header = Header::new(ImageFormat::Webp, width, height);
    header.has_alpha = Some(flags & ALPHA_FLAG != 0);
    header.has_icc_profile = flags & ICC_FLAG != 0;
    let is_animated = flags & ANIMATION_FLAG != 0;
    let mut animation_frames = 0;
    let walked = walk(view, &mut header, &mut animation_frames);
    header.is_complete = walked.is_ok();
    header.frames = match (is_animated, extent) {
        (false, _) => Some(1),
        (true, Extent::Prefix) if walked.is_err() => None,
        (true, _) => Some(animation_frames.max(1)),
    };
    Ok(header)
}

/// Visits the chunks behind VP8X up to the length that RIFF claims.
fn walk(view: View<'_>, header: &mut Header, animation_frames: &mut u32) -> Parsed<()> {
    let end = (view.le32(4)? as usize).saturating_add(8);
    let mut at: usize = 30;
    while at.saturating_add(8) <= end {
        let kind = view.slice(at, 4)?;
        let length = view.le32(at + 4)? as usize;
        let content_at = at + 8;
        match kind {
            b"ANMF" => {
                *animation_frames = animation_frames.saturating_add(1);
                // Sixteen bytes of position and timing come before the frame's own chunks.
                let of_frame = |at| view.slice(at, 4).ok();
                note_coding(of_frame(content_at.saturating_add(16)), header);
            }
            b"VP8 " | b"VP8L" => note_coding(Some(kind), header),
            b"ALPH" => note_coding(Some(b"VP8 "), header),
            b"ICCP" => header.has_icc_profile = true,
            b"EXIF" if header.exif.is_none() => {
                let block = view.slice(content_at, length.min(MAX_EXIF_BYTES))?;
                header.set_camera(exif::read_block(block, MAX_EXIF_BYTES));
            }
            _ => {}
        }
        view.slice(content_at, length)?;
        at = content_at.saturating_add(length).saturating_add(length & 1);
    }
    Ok(())
}

fn note_coding(kind: Option<&[u8]>, header: &mut Header) {
    if header.color_space.is_some() {
        return;
    }
    header.color_space = match kind {
        Some(b"VP8 " | b"ALPH") => Some(ColorSpace::Ycbcr),
        Some(b"VP8L") => Some(ColorSpace::Rgb),
        _ => None,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn riff(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let mut body = b"WEBP".to_vec();
        for (kind, content) in chunks {
            body.extend(*kind);
            body.extend((content.len() as u32).to_le_bytes());
            body.extend(*content);
            body.extend(vec![0; content.len() & 1]);
        }
        let mut bytes = b"RIFF".to_vec();
        bytes.extend((body.len() as u32).to_le_bytes());
        bytes.extend(body);
        bytes
    }

    #[test]
    fn frames_of_an_animation_are_counted() {
        let extended: &[u8] = &[0x12, 0, 0, 0, 199, 0, 0, 149, 0, 0];
        let mut frame = vec![0; 16];
        frame.extend(b"VP8L\0\0\0\0");
        let bytes = riff(&[
            (b"VP8X", extended),
            (b"ANIM", &[0; 6]),
            (b"ANMF", &frame),
            (b"ANMF", &frame),
        ]);
        let header = parse(View(&bytes), Extent::Whole).unwrap();
        assert_eq!((header.width, header.height), (200, 150));
        assert_eq!(header.frames, Some(2));
        assert_eq!(header.has_alpha, Some(true));
        assert_eq!(header.color_space, Some(ColorSpace::Rgb));
        assert!(header.is_complete);
        let cut = &bytes[..bytes.len() - 1];
        assert!(!parse(View(cut), Extent::Whole).unwrap().is_complete);
        assert_eq!(parse(View(cut), Extent::Prefix).unwrap().frames, None);
    }

    #[test]
    fn a_lossless_image_tells_its_size_in_fourteen_bits() {
        let bits: u32 = 0x027f | (0x01df << 14) | (1 << 28);
        let mut content = vec![0x2f];
        content.extend(bits.to_le_bytes());
        let bytes = riff(&[(b"VP8L", &content)]);
        let header = parse(View(&bytes), Extent::Whole).unwrap();
        assert_eq!((header.width, header.height), (640, 480));
        assert_eq!(header.has_alpha, Some(true));
    }
}

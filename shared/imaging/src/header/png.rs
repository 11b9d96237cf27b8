//! PNG chunks (W3C PNG, third edition), the animation chunks of APNG included.

use domain::ImageFormat;

use super::{ColorSpace, Extent, Header, MAX_EXIF_BYTES};
use crate::exif;
use crate::view::{Fault, Parsed, View};

/// Frames as Pillow counts them: those the animation control chunk claims, and the default image where it is none of them.
#[derive(Debug, Default)]
struct Animation {
    claimed_frames: Option<u32>,
    has_frame_before_data: bool,
    has_reached_data: bool,
}

pub(super) fn parse(view: View<'_>, extent: Extent) -> Parsed<Header> {
    if view.slice(12, 4)? != b"IHDR" {
        return Err(Fault::Bad("the first chunk is not IHDR"));
    }
    let mut header = Header::new(ImageFormat::Png, view.be32(16)?, view.be32(20)?);
    let color_type = view.u8(25)?;
    header.color_space = match color_type {
        0 | 4 => Some(ColorSpace::Gray),
        2 | 6 => Some(ColorSpace::Rgb),
        3 => Some(ColorSpace::Indexed),
        _ => return Err(Fault::Bad("a colour type that does not exist")),
    };
    header.has_alpha = Some(color_type >= 4);
    let mut animation = Animation::default();
    let walked = walk(view, &mut header, &mut animation);
    header.is_complete = walked.is_ok();
    header.frames = match animation.claimed_frames {
        // Whether there is an animation, and whether the default image is a part of it, is known where the data begins.
        _ if extent == Extent::Prefix && !animation.has_reached_data => None,
        Some(claimed) => {
            let default_image = u32::from(!animation.has_frame_before_data);
            Some(claimed.saturating_add(default_image))
        }
        None => Some(1),
    };
    Ok(header)
}

/// Visits chunks up to IEND; the image data is skipped.
fn walk(view: View<'_>, header: &mut Header, animation: &mut Animation) -> Parsed<()> {
    let mut at = 8;
    loop {
        let length = view.be32(at)? as usize;
        let kind = view.slice(at + 4, 4)?;
        let content_at = at + 8;
        match kind {
            b"IEND" => return Ok(()),
            b"IDAT" => animation.has_reached_data = true,
            b"acTL" if !animation.has_reached_data => {
                let claimed = view.be32(content_at)?;
                let is_valid = (1..=0x8000_0000).contains(&claimed);
                animation.claimed_frames = is_valid.then_some(claimed);
            }
            b"fcTL" if !animation.has_reached_data => animation.has_frame_before_data = true,
            b"tRNS" => header.has_alpha = Some(true),
            b"iCCP" => header.has_icc_profile = true,
            b"eXIf" if header.exif.is_none() => {
                let block = view.slice(content_at, length.min(MAX_EXIF_BYTES))?;
                header.set_camera(exif::read_block(block, MAX_EXIF_BYTES));
            }
            _ => {}
        }
        // The content's end has to be there, then its four-byte checksum.
        at = content_at.saturating_add(length);
        view.slice(at, 4)?;
        at += 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
        let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
        let header: &[u8] = &[0, 0, 0, 7, 0, 0, 0, 5, 8, 3, 0, 0, 0];
        for (kind, content) in [(b"IHDR", header)].iter().chain(chunks) {
            bytes.extend((content.len() as u32).to_be_bytes());
            bytes.extend(*kind);
            bytes.extend(*content);
            bytes.extend([0; 4]);
        }
        bytes
    }

    #[test]
    fn a_default_image_outside_the_animation_is_one_more_frame() {
        let control: &[u8] = &[0, 0, 0, 3, 0, 0, 0, 0];
        let outside = png(&[
            (b"acTL", control),
            (b"IDAT", b""),
            (b"fcTL", b""),
            (b"IEND", b""),
        ]);
        let inside = png(&[
            (b"acTL", control),
            (b"fcTL", b""),
            (b"IDAT", b""),
            (b"IEND", b""),
        ]);
        let frames = |bytes: &[u8]| parse(View(bytes), Extent::Whole).unwrap().frames;
        assert_eq!(frames(&outside), Some(4));
        assert_eq!(frames(&inside), Some(3));
    }

    #[test]
    fn a_transparent_colour_counts_as_alpha() {
        let bytes = png(&[(b"tRNS", b"\0"), (b"IDAT", b""), (b"IEND", b"")]);
        let header = parse(View(&bytes), Extent::Whole).unwrap();
        assert_eq!(header.has_alpha, Some(true));
        assert_eq!(header.color_space, Some(ColorSpace::Indexed));
        assert_eq!((header.width, header.height), (7, 5));
        assert!(header.is_complete);
    }

    #[test]
    fn a_prefix_without_image_data_leaves_frames_open() {
        let bytes = png(&[(b"tEXt", b"k\0v")]);
        assert_eq!(parse(View(&bytes), Extent::Prefix).unwrap().frames, None);
        assert!(!parse(View(&bytes), Extent::Whole).unwrap().is_complete);
    }

    #[test]
    fn no_prefix_of_an_animation_counts_other_frames_than_the_whole() {
        let bytes = png(&[
            (b"acTL", &[0, 0, 0, 2, 0, 0, 0, 0]),
            (b"fcTL", b""),
            (b"IDAT", b""),
            (b"IEND", b""),
        ]);
        let frames = |length: usize| {
            let header = parse(View(&bytes[..length]), Extent::Prefix);
            header.ok().and_then(|header| header.frames)
        };
        assert_eq!(frames(bytes.len()), Some(2));
        for length in 0..bytes.len() {
            assert!(
                frames(length).is_none_or(|frames| frames == 2),
                "{length} bytes"
            );
        }
    }
}

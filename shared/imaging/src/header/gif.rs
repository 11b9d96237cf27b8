//! GIF blocks (GIF 89a specification). Frames are counted by walking the blocks; no image data is decompressed.

use domain::ImageFormat;

use super::{ColorSpace, Extent, Header};
use crate::view::{Fault, Parsed, View};

const EXTENSION: u8 = b'!';
const IMAGE: u8 = b',';
const TRAILER: u8 = b';';
const GRAPHIC_CONTROL: u8 = 0xf9;
const APPLICATION: u8 = 0xff;

#[derive(Debug, Default)]
struct Blocks {
    frames: u32,
    /// Right and lower edge of the first frame: it may reach beyond the screen.
    first_frame_end: (u32, u32),
    has_transparency: bool,
    has_icc_profile: bool,
    /// The bytes end where a block ends, without a trailer.
    is_cut_between: bool,
}

pub(super) fn parse(view: View<'_>, extent: Extent) -> Parsed<Header> {
    let screen = (u32::from(view.le16(6)?), u32::from(view.le16(8)?));
    let mut blocks = Blocks::default();
    let walked = walk(view, &mut blocks);
    if blocks.frames == 0 {
        walked?;
        // Only a trailer ends the walk well.
        return Err(Fault::Bad("there is no frame"));
    }
    let (right, lower) = blocks.first_frame_end;
    let mut header = Header::new(ImageFormat::Gif, screen.0.max(right), screen.1.max(lower));
    header.color_space = Some(ColorSpace::Indexed);
    header.has_alpha = Some(blocks.has_transparency);
    header.has_icc_profile = blocks.has_icc_profile;
    header.is_complete = walked.is_ok() || blocks.is_cut_between;
    let is_counted = walked.is_ok() || extent == Extent::Whole;
    header.frames = is_counted.then_some(blocks.frames);
    Ok(header)
}

/// Visits blocks up to the trailer.
fn walk(view: View<'_>, blocks: &mut Blocks) -> Parsed<()> {
    let mut at = 13 + color_table_bytes(view.u8(10)?);
    while at < view.len() {
        match view.u8(at)? {
            TRAILER => return Ok(()),
            EXTENSION => {
                read_extension(view, at, blocks)?;
                at = skip_sub_blocks(view, at + 2)?;
            }
            IMAGE => {
                let word = |offset| view.le16(at + offset).map(u32::from);
                let end = (word(1)? + word(5)?, word(3)? + word(7)?);
                let local_table = color_table_bytes(view.u8(at + 9)?);
                if blocks.frames == 0 {
                    blocks.first_frame_end = end;
                }
                blocks.frames = blocks.frames.saturating_add(1);
                // One byte between the colour table and the data: the initial code size.
                at = skip_sub_blocks(view, at + 11 + local_table)?;
            }
            // Decoders skip what they do not know, byte by byte.
            _ => at += 1,
        }
    }
    blocks.is_cut_between = at == view.len();
    view.u8(at).map(|_| ())
}

fn read_extension(view: View<'_>, at: usize, blocks: &mut Blocks) -> Parsed<()> {
    match view.u8(at + 1)? {
        GRAPHIC_CONTROL if blocks.frames == 0 => {
            blocks.has_transparency = view.u8(at + 3)? & 1 == 1;
        }
        APPLICATION if view.slice(at + 3, 11)? == b"ICCRGBG1012" => blocks.has_icc_profile = true,
        _ => {}
    }
    Ok(())
}

fn skip_sub_blocks(view: View<'_>, mut at: usize) -> Parsed<usize> {
    loop {
        let length = usize::from(view.u8(at)?);
        at += 1 + length;
        if length == 0 {
            return Ok(at);
        }
    }
}

const fn color_table_bytes(flags: u8) -> usize {
    if flags & 0x80 == 0 {
        0
    } else {
        3 << ((flags & 7) + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCREEN: &[u8] = b"GIF89a\x0a\0\x08\0\x80\0\0\0\0\0\xff\xff\xff";
    const FRAME: &[u8] = b",\0\0\0\0\x0a\0\x08\0\0\x02\x02\x4c\x01\0";

    fn gif(blocks: &[&[u8]]) -> Vec<u8> {
        [SCREEN, &blocks.concat()].concat()
    }

    #[test]
    fn frames_are_counted_between_extensions_and_rubbish() {
        let control: &[u8] = b"!\xf9\x04\x01\0\0\0\0";
        let bytes = gif(&[control, FRAME, b"\0\0", FRAME, FRAME, b";"]);
        let header = parse(View(&bytes), Extent::Whole).unwrap();
        assert_eq!((header.width, header.height), (10, 8));
        assert_eq!(header.frames, Some(3));
        assert_eq!(header.has_alpha, Some(true));
        assert!(header.is_complete);
        let without_trailer = &bytes[..bytes.len() - 1];
        assert!(
            parse(View(without_trailer), Extent::Whole)
                .unwrap()
                .is_complete
        );
    }

    #[test]
    fn a_cut_within_a_frame_is_incomplete_and_leaves_frames_of_a_prefix_open() {
        let bytes = gif(&[FRAME, FRAME]);
        let cut = &bytes[..bytes.len() - 2];
        let whole = parse(View(cut), Extent::Whole).unwrap();
        assert!(!whole.is_complete);
        assert_eq!(whole.frames, Some(2));
        assert_eq!(parse(View(cut), Extent::Prefix).unwrap().frames, None);
    }

    #[test]
    fn a_first_frame_beyond_the_screen_makes_the_image_larger() {
        let wide: &[u8] = b",\x01\0\0\0\x20\0\x08\0\0\x02\x02\x4c\x01\0";
        let header = parse(View(&gif(&[wide, b";"])), Extent::Whole).unwrap();
        assert_eq!((header.width, header.height), (33, 8));
    }

    #[test]
    fn a_file_without_a_frame_is_damaged() {
        let bytes = gif(&[b";"]);
        assert!(matches!(
            parse(View(&bytes), Extent::Whole),
            Err(Fault::Bad(_))
        ));
    }
}

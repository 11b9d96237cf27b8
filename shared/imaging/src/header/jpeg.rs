//! JPEG markers up to the first scan (ITU-T T.81 annex B).

use domain::ImageFormat;

use super::{ColorSpace, Extent, Header};
use crate::exif;
use crate::view::{Fault, Parsed, View};

/// A marker segment is no longer than its 16-bit length.
const MAX_SEGMENT_BYTES: usize = 65_535;

/// What the frame header and the segments before the first scan say.
#[derive(Debug, Default)]
struct Segments {
    frame: Option<Frame>,
    exif: Option<exif::Camera>,
    has_icc_profile: bool,
    adobe_transform: Option<u8>,
    scan_at: Option<usize>,
}

#[derive(Debug)]
struct Frame {
    width: u16,
    height: u16,
    components: u8,
    identifiers: [u8; 3],
}

pub(super) fn parse(view: View<'_>, extent: Extent) -> Parsed<Header> {
    let mut segments = Segments::default();
    let walked = walk(view, &mut segments);
    let Some(frame) = segments.frame else {
        walked?;
        return Err(Fault::Bad("no frame header before the first scan"));
    };
    let mut header = Header::new(
        ImageFormat::Jpeg,
        u32::from(frame.width),
        u32::from(frame.height),
    );
    header.frames = Some(1);
    header.has_alpha = Some(false);
    header.color_space = color_space(&frame, segments.adobe_transform);
    header.has_icc_profile = segments.has_icc_profile;
    header.set_camera(segments.exif);
    // The end of a beginning says nothing.
    let scan_at = segments.scan_at.filter(|_| extent == Extent::Whole);
    header.is_complete = scan_at.is_some_and(|scan_at| ends_with_marker(&view.0[scan_at..]));
    Ok(header)
}

/// Whether the first scan has all components of the frame.
pub(crate) fn is_interleaved(bytes: &[u8]) -> bool {
    let view = View(bytes);
    let mut segments = Segments::default();
    // A file cut off in its header is as good as one without scans.
    let _ = walk(view, &mut segments);
    let in_scan = segments.scan_at.and_then(|at| view.u8(at + 2).ok());
    let in_frame = segments.frame.map(|frame| frame.components);
    in_scan == in_frame
}

/// Whether so many scans begin in the file and one more. Within entropy-coded data no 0xff is followed by 0xda; a few segments that
/// hold a picture of their own make no difference.
pub(crate) fn has_more_scans(bytes: &[u8], most: usize) -> bool {
    memchr::memmem::find_iter(bytes, &[0xff, 0xda])
        .nth(most)
        .is_some()
}

fn walk(view: View<'_>, segments: &mut Segments) -> Parsed<()> {
    let mut at = 2;
    loop {
        // Anything may stand between segments, and a marker may be preceded by any number of fill bytes.
        while view.u8(at)? != 0xff {
            at += 1;
        }
        while view.u8(at)? == 0xff {
            at += 1;
        }
        let marker = view.u8(at)?;
        at += 1;
        match marker {
            0x00 | 0x01 | 0xd0..=0xd8 => continue,
            0xd9 => return Ok(()),
            _ => {}
        }
        let length = usize::from(view.be16(at)?);
        if length < 2 {
            return Err(Fault::Bad("a segment shorter than its own length field"));
        }
        if marker == 0xda {
            segments.scan_at = Some(at);
            return Ok(());
        }
        let content = view.slice(at + 2, length - 2)?;
        read_segment(marker, content, segments)?;
        at += length;
    }
}

fn read_segment(marker: u8, content: &[u8], segments: &mut Segments) -> Parsed<()> {
    match marker {
        // SOF0 … SOF15, without DHT, JPG and DAC, which lie between them.
        0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) && segments.frame.is_none() => {
            segments.frame = Some(read_frame(content)?);
        }
        0xe1 if content.starts_with(b"Exif\0") && segments.exif.is_none() => {
            segments.exif = exif::read_block(content, MAX_SEGMENT_BYTES);
        }
        0xe2 if content.starts_with(b"ICC_PROFILE\0") => segments.has_icc_profile = true,
        0xee if content.starts_with(b"Adobe") => {
            segments.adobe_transform = content.get(11).copied();
        }
        _ => {}
    }
    Ok(())
}

fn read_frame(content: &[u8]) -> Parsed<Frame> {
    let view = View(content);
    let read = || -> Parsed<Frame> {
        let components = view.u8(5)?;
        let mut identifiers = [0; 3];
        for (index, identifier) in identifiers.iter_mut().enumerate() {
            if index < usize::from(components) {
                *identifier = view.u8(6 + 3 * index)?;
            }
        }
        Ok(Frame {
            height: view.be16(1)?,
            width: view.be16(3)?,
            components,
            identifiers,
        })
    };
    read().map_err(|_| Fault::Bad("a frame header that is too short"))
}

/// The guess every decoder makes (as in libjpeg): an Adobe segment decides, else the components' names.
fn color_space(frame: &Frame, adobe_transform: Option<u8>) -> Option<ColorSpace> {
    match frame.components {
        1 => Some(ColorSpace::Gray),
        3 => {
            let is_rgb = match adobe_transform {
                Some(transform) => transform == 0,
                None => frame.identifiers == *b"RGB",
            };
            Some(if is_rgb {
                ColorSpace::Rgb
            } else {
                ColorSpace::Ycbcr
            })
        }
        4 => Some(ColorSpace::Cmyk),
        _ => None,
    }
}

/// Whether an end-of-image marker follows the first scan. Within entropy-coded data no 0xff is followed by 0xd9, so one
/// found anywhere is real; it is looked for from the end, since rubbish may follow it.
fn ends_with_marker(scans: &[u8]) -> bool {
    memchr::memrchr_iter(0xd9, scans).any(|at| at > 0 && scans[at - 1] == 0xff)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_segments(segments: &[(u8, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0xff, 0xd8];
        for (marker, content) in segments {
            bytes.extend([0xff, *marker]);
            bytes.extend((content.len() as u16 + 2).to_be_bytes());
            bytes.extend(*content);
        }
        bytes
    }

    const FRAME: &[u8] = &[8, 0, 20, 0, 30, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1];

    #[test]
    fn dimensions_are_those_of_the_frame_not_of_the_thumbnail() {
        let thumbnail = with_segments(&[(0xc0, &[8, 0, 2, 0, 3, 1, 1, 0x11, 0])]);
        let bytes = with_segments(&[(0xe1, &thumbnail), (0xc2, FRAME), (0xda, &[0; 10])]);
        let header = parse(View(&bytes), Extent::Whole).unwrap();
        assert_eq!((header.width, header.height), (30, 20));
        assert_eq!(header.color_space, Some(ColorSpace::Ycbcr));
        assert!(!header.is_complete);
    }

    #[test]
    fn an_adobe_segment_decides_the_colour_space() {
        let adobe: &[u8] = b"Adobe\0\x64\0\0\0\0\0";
        let bytes = with_segments(&[(0xee, adobe), (0xc0, FRAME), (0xda, &[0; 10])]);
        assert_eq!(
            parse(View(&bytes), Extent::Whole).unwrap().color_space,
            Some(ColorSpace::Rgb)
        );
    }

    #[test]
    fn the_end_is_found_before_rubbish() {
        let mut bytes = with_segments(&[(0xc0, FRAME), (0xda, &[0; 10])]);
        bytes.extend([1, 2, 3, 0xff, 0xd9, 0, 0, 0]);
        assert!(parse(View(&bytes), Extent::Whole).unwrap().is_complete);
    }

    #[test]
    fn a_scan_without_a_frame_is_damaged() {
        let bytes = with_segments(&[(0xda, &[0; 10])]);
        assert!(matches!(
            parse(View(&bytes), Extent::Whole),
            Err(Fault::Bad(_))
        ));
    }
}

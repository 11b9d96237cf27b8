//! TIFF: the first directory, and how many there are (TIFF 6.0; `BigTIFF`).

use std::collections::HashSet;

use domain::ImageFormat;

use super::{ColorSpace, Extent, Header};
use crate::exif;
use crate::ifd::{Directory, Tiff};
use crate::view::{Fault, Parsed, View};

/// Pages counted at most: far more than the pixel limit lets through, and what bounds the set that finds loops.
const MAX_PAGES: usize = 65_536;

const WIDTH: u16 = 256;
const HEIGHT: u16 = 257;
const PHOTOMETRIC: u16 = 262;
const EXTRA_SAMPLES: u16 = 338;
const ICC_PROFILE: u16 = 34_675;

pub(super) fn parse(view: View<'_>, extent: Extent) -> Parsed<Header> {
    let tiff = Tiff::open(view.0)?;
    let first = tiff.directory(tiff.first)?;
    let side = |tag| {
        let value = tiff
            .number_of(first, tag)
            .ok_or(Fault::Bad("the first directory lacks a side"))?;
        u32::try_from(value).map_err(|_| Fault::Bad("a side beyond 32 bits"))
    };
    let mut header = Header::new(ImageFormat::Tiff, side(WIDTH)?, side(HEIGHT)?);
    header.color_space = match tiff.number_of(first, PHOTOMETRIC) {
        Some(0 | 1) => Some(ColorSpace::Gray),
        Some(2) => Some(ColorSpace::Rgb),
        Some(3) => Some(ColorSpace::Indexed),
        Some(5) => Some(ColorSpace::Cmyk),
        Some(6) => Some(ColorSpace::Ycbcr),
        _ => None,
    };
    // 1 and 2 are alpha, associated and not; 0 is a sample of unknown meaning.
    let has_alpha = matches!(tiff.number_of(first, EXTRA_SAMPLES), Some(1 | 2));
    header.has_alpha = Some(has_alpha);
    header.has_icc_profile = tiff.find(first, ICC_PROFILE).is_some();
    let camera = exif::read_directory(&tiff, first);
    header.orientation = camera.orientation;
    header.exif = exif::is_present(&tiff, first).then_some(camera.exif);
    let (pages, counted) = count_pages(&tiff, first);
    let is_counted = counted.is_ok() || extent == Extent::Whole;
    header.frames = is_counted.then_some(pages);
    Ok(header)
}

/// Follows the chain of directories to its end, or to one that was there before.
fn count_pages(tiff: &Tiff<'_>, first: Directory) -> (u32, Parsed<()>) {
    let mut seen = HashSet::from([tiff.first]);
    let mut current = first;
    loop {
        let pages = seen.len() as u32;
        let next = match tiff.next(current) {
            Ok(next) => next,
            Err(fault) => return (pages, Err(fault)),
        };
        if next == 0 || seen.contains(&next) || seen.len() >= MAX_PAGES {
            return (pages, Ok(()));
        }
        current = match tiff.directory(next) {
            Ok(directory) => directory,
            Err(fault) => return (pages, Err(fault)),
        };
        seen.insert(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exif::tests::directory;

    fn tiff(entries: &[crate::exif::tests::RawEntry], next: u32) -> Vec<u8> {
        let mut bytes = b"II*\0\x08\0\0\0".to_vec();
        bytes.extend(directory(entries, next));
        bytes
    }

    #[test]
    fn a_loop_of_directories_ends() {
        let entries = [(WIDTH, 3, 1, 7), (HEIGHT, 4, 1, 5), (PHOTOMETRIC, 3, 1, 5)];
        let mut bytes = tiff(&entries, 50);
        assert_eq!(bytes.len(), 50);
        bytes.extend(directory(&[], 8));
        let header = parse(View(&bytes), Extent::Whole).unwrap();
        assert_eq!((header.width, header.height), (7, 5));
        assert_eq!(header.frames, Some(2));
        assert_eq!(header.color_space, Some(ColorSpace::Cmyk));
        assert_eq!(header.exif, None);
    }

    #[test]
    fn a_directory_without_sides_is_damaged() {
        let bytes = tiff(&[(WIDTH, 3, 1, 7)], 0);
        assert!(matches!(
            parse(View(&bytes), Extent::Whole),
            Err(Fault::Bad(_))
        ));
    }

    #[test]
    fn a_directory_behind_the_end_asks_for_more() {
        let bytes = b"II*\0\0\x10\0\0";
        assert_eq!(
            parse(View(bytes), Extent::Prefix),
            Err(Fault::Short { needed: 4098 })
        );
    }
}

//! AVIF and HEIF: boxes of an ISO base media file (ISO/IEC 14496-12, 23008-12; AV1 image file format 1.1).
//!
//! The dimensions are those of the primary item's `ispe` property; a rotation property is not applied.

use domain::ImageFormat;

use super::{ColorSpace, Extent, Header};
use crate::view::{Fault, Parsed, View};

/// Boxes visited in one file, on all levels together.
const MAX_BOXES: usize = 4096;

/// Item properties that are remembered.
const MAX_PROPERTIES: usize = 1024;

/// Associations of properties with the primary item that are remembered.
const MAX_ASSOCIATIONS: usize = 64;

/// Major brands of files whose pictures are the samples of a track; in any other file a track is not looked at.
const SEQUENCE_BRANDS: [&[u8]; 4] = [b"avis", b"msf1", b"hevc", b"hevx"];

/// What is read of a file's boxes.
#[derive(Debug, Default)]
struct Boxes {
    visited: usize,
    is_sequence: bool,
    primary_item: u32,
    properties: Vec<Property>,
    /// One-based indexes of the primary item's properties.
    associated: Vec<usize>,
    has_alpha: bool,
    track: Option<Track>,
}

#[derive(Debug, Clone, Copy)]
enum Property {
    Extent(u32, u32),
    Monochrome(bool),
    IccProfile,
    IsRgb(bool),
    Other,
}

/// A picture track of an image sequence.
#[derive(Debug, Default, Clone, Copy)]
struct Track {
    is_picture: bool,
    samples: u32,
    dimensions: (u32, u32),
}

/// One box: what kind, and where its content is.
#[derive(Debug, Clone, Copy)]
struct BoxAt {
    kind: [u8; 4],
    start: usize,
    end: usize,
}

/// Where boxes stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// Within no other: a box may reach beyond the bytes at hand.
    File(Extent),
    /// Within a box that is there to its end.
    Nested,
}

pub(super) fn parse(view: View<'_>, format: ImageFormat, extent: Extent) -> Parsed<Header> {
    let mut boxes = Boxes {
        is_sequence: SEQUENCE_BRANDS.contains(&view.slice(8, 4)?),
        ..Boxes::default()
    };
    let walked = read_file(view, extent, &mut boxes);
    let own: Vec<Property> = boxes
        .associated
        .iter()
        .filter_map(|index| boxes.properties.get(index.checked_sub(1)?).copied())
        .collect();
    let of_item = own.iter().find_map(|property| match property {
        Property::Extent(width, height) => Some((*width, *height)),
        _ => None,
    });
    let of_track = boxes.track.map(|track| track.dimensions);
    let Some((width, height)) = of_item.or(of_track) else {
        walked?;
        return Err(match extent {
            Extent::Whole => Fault::Bad("the primary item has no dimensions"),
            Extent::Prefix => more_than(view.len()),
        });
    };
    let mut header = Header::new(format, width, height);
    header.frames = match boxes.track {
        Some(track) => Some(track.samples.max(1)),
        // The tracks of a sequence may still be to come.
        None if boxes.is_sequence && (walked.is_err() || extent == Extent::Prefix) => None,
        None => Some(1),
    };
    header.has_alpha = Some(boxes.has_alpha);
    header.color_space = Some(color_space(&own));
    header.has_icc_profile = own
        .iter()
        .any(|property| matches!(property, Property::IccProfile));
    header.is_complete = walked.is_ok();
    Ok(header)
}

fn color_space(properties: &[Property]) -> ColorSpace {
    let has = |wanted: fn(&Property) -> bool| properties.iter().any(wanted);
    if has(|property| matches!(property, Property::Monochrome(true))) {
        ColorSpace::Gray
    } else if has(|property| matches!(property, Property::IsRgb(true))) {
        ColorSpace::Rgb
    } else {
        ColorSpace::Ycbcr
    }
}

fn read_file(view: View<'_>, extent: Extent, boxes: &mut Boxes) -> Parsed<()> {
    for_each_box(
        view,
        0,
        view.len(),
        Level::File(extent),
        boxes,
        |boxes, found| match &found.kind {
            b"meta" => read_meta(view, found, boxes),
            b"moov" if boxes.is_sequence => read_movie(view, found, boxes),
            _ => Ok(()),
        },
    )
}

/// Calls `visit` for each box in `start..end`. Boxes at the top level may reach beyond the bytes at hand, which is
/// reported once everything before it was visited.
fn for_each_box(
    view: View<'_>,
    start: usize,
    end: usize,
    level: Level,
    boxes: &mut Boxes,
    mut visit: impl FnMut(&mut Boxes, BoxAt) -> Parsed<()>,
) -> Parsed<()> {
    let mut at = start;
    while at.saturating_add(8) <= end {
        boxes.visited += 1;
        if boxes.visited > MAX_BOXES {
            return Err(Fault::Bad("there are too many boxes"));
        }
        let kind = *view
            .slice(at + 4, 4)?
            .first_chunk()
            .ok_or(Fault::Bad("a box without a type"))?;
        let claimed = view.be32(at)?;
        let (length, head) = match claimed {
            0 => ((end - at) as u64, 8),
            1 => (view.be64(at + 8)?, 16),
            length => (u64::from(length), 8),
        };
        if length < head as u64 {
            return Err(Fault::Bad("a box shorter than its own head"));
        }
        let box_end = usize::try_from(length)
            .ok()
            .and_then(|length| at.checked_add(length))
            .unwrap_or(usize::MAX);
        if box_end > end {
            if level != Level::Nested {
                return Err(Fault::Short {
                    needed: box_end as u64,
                });
            }
            return Err(Fault::Bad("a box longer than the one around it"));
        }
        let found = BoxAt {
            kind,
            start: at + head,
            end: box_end,
        };
        let visited = visit(boxes, found);
        // This box ends with the file. What is wrong with it may be no more than that it is not all there.
        if claimed == 0 && level == Level::File(Extent::Prefix) {
            return Err(more_than(view.len()));
        }
        visited?;
        at = box_end;
    }
    Ok(())
}

const fn more_than(bytes: usize) -> Fault {
    Fault::Short {
        needed: bytes as u64 + 1,
    }
}

fn read_meta(view: View<'_>, meta: BoxAt, boxes: &mut Boxes) -> Parsed<()> {
    // Version and flags come before the first child, in this box as in the others that are called full boxes.
    for_each_box(
        view,
        meta.start + 4,
        meta.end,
        Level::Nested,
        boxes,
        |boxes, found| match &found.kind {
            b"pitm" => {
                boxes.primary_item = if view.u8(found.start)? == 0 {
                    u32::from(view.be16(found.start + 4)?)
                } else {
                    view.be32(found.start + 4)?
                };
                Ok(())
            }
            b"iprp" => read_properties(view, found, boxes),
            _ => Ok(()),
        },
    )
}

fn read_properties(view: View<'_>, parent: BoxAt, boxes: &mut Boxes) -> Parsed<()> {
    for_each_box(
        view,
        parent.start,
        parent.end,
        Level::Nested,
        boxes,
        |boxes, found| match &found.kind {
            b"ipco" => for_each_box(
                view,
                found.start,
                found.end,
                Level::Nested,
                boxes,
                |boxes, found| {
                    let property = read_property(view, found, boxes)?;
                    if boxes.properties.len() < MAX_PROPERTIES {
                        boxes.properties.push(property);
                    }
                    Ok(())
                },
            ),
            b"ipma" => read_associations(view, found, boxes),
            _ => Ok(()),
        },
    )
}

fn read_property(view: View<'_>, found: BoxAt, boxes: &mut Boxes) -> Parsed<Property> {
    let content = view.slice(found.start, found.end - found.start)?;
    let property = match &found.kind {
        b"ispe" => Property::Extent(view.be32(found.start + 4)?, view.be32(found.start + 8)?),
        b"av1C" => Property::Monochrome(content.get(2).is_some_and(|flags| flags & 0x10 != 0)),
        b"colr" => match content.first_chunk::<4>() {
            Some(b"prof" | b"rICC") => Property::IccProfile,
            // Matrix coefficients 0 say that the three planes are green, blue and red.
            Some(b"nclx") => Property::IsRgb(content.get(8..10) == Some(&[0, 0])),
            _ => Property::Other,
        },
        b"auxC" => {
            let urn = content.get(4..).unwrap_or_default();
            boxes.has_alpha |= urn.windows(6).any(|part| part == b":alpha")
                || urn.starts_with(b"urn:mpeg:hevc:2015:auxid:1");
            Property::Other
        }
        _ => Property::Other,
    };
    Ok(property)
}

/// Which properties belong to the primary item. The box that names it may come later, so that all are gone through
/// here only where it came before, as every writer puts it.
fn read_associations(view: View<'_>, found: BoxAt, boxes: &mut Boxes) -> Parsed<()> {
    let version = view.u8(found.start)?;
    let has_wide_indexes = view.u8(found.start + 3)? & 1 == 1;
    let entries = view.be32(found.start + 4)?;
    let mut at = found.start + 8;
    for _ in 0..entries {
        if at >= found.end {
            break;
        }
        let item = if version == 0 {
            let item = u32::from(view.be16(at)?);
            at += 2;
            item
        } else {
            let item = view.be32(at)?;
            at += 4;
            item
        };
        let associations = view.u8(at)?;
        at += 1;
        for _ in 0..associations {
            // The upper bit says whether the property is essential.
            let index = if has_wide_indexes {
                usize::from(view.be16(at)? & 0x7fff)
            } else {
                usize::from(view.u8(at)? & 0x7f)
            };
            at += if has_wide_indexes { 2 } else { 1 };
            if item == boxes.primary_item && boxes.associated.len() < MAX_ASSOCIATIONS {
                boxes.associated.push(index);
            }
        }
    }
    Ok(())
}

fn read_movie(view: View<'_>, movie: BoxAt, boxes: &mut Boxes) -> Parsed<()> {
    for_each_box(
        view,
        movie.start,
        movie.end,
        Level::Nested,
        boxes,
        |boxes, found| {
            if &found.kind != b"trak" {
                return Ok(());
            }
            let mut track = Track::default();
            read_track(view, found, boxes, &mut track, 0)?;
            if track.is_picture && boxes.track.is_none() {
                boxes.track = Some(track);
            }
            Ok(())
        },
    )
}

/// `trak` › `mdia` › `minf` › `stbl`: four levels, and no more.
fn read_track(
    view: View<'_>,
    parent: BoxAt,
    boxes: &mut Boxes,
    track: &mut Track,
    depth: u8,
) -> Parsed<()> {
    for_each_box(
        view,
        parent.start,
        parent.end,
        Level::Nested,
        boxes,
        |boxes, found| {
            match &found.kind {
                b"mdia" | b"minf" | b"stbl" if depth < 3 => {
                    read_track(view, found, boxes, track, depth + 1)
                }
                b"hdlr" => {
                    // Full box, then four bytes, then the kind of media. A second hdlr, in minf, names another thing.
                    track.is_picture |= view.slice(found.start + 8, 4)? == b"pict";
                    Ok(())
                }
                b"stsz" => {
                    track.samples = view.be32(found.start + 8)?;
                    Ok(())
                }
                b"tkhd" if found.end - found.start >= 8 => {
                    // The box ends with width and height as 16.16 fixed-point numbers.
                    let whole = |at| view.be32(at).map(|fixed| fixed >> 16);
                    track.dimensions = (whole(found.end - 8)?, whole(found.end - 4)?);
                    Ok(())
                }
                _ => Ok(()),
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(kind: &[u8], content: &[u8]) -> Vec<u8> {
        let mut bytes = (content.len() as u32 + 8).to_be_bytes().to_vec();
        bytes.extend(kind);
        bytes.extend(content);
        bytes
    }

    fn extent(width: u32, height: u32) -> Vec<u8> {
        let content = [[0; 4], width.to_be_bytes(), height.to_be_bytes()].concat();
        boxed(b"ispe", &content)
    }

    fn still(extra: &[u8]) -> Vec<u8> {
        let alpha = boxed(
            b"auxC",
            b"\0\0\0\0urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0",
        );
        let properties = boxed(b"ipco", &[extent(9, 9), extent(400, 300), alpha].concat());
        // Item 1 has the first property, item 2 the second; the primary item is 2.
        let associations = boxed(
            b"ipma",
            &[0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 1, 0x81, 0, 2, 1, 2],
        );
        let iprp = boxed(b"iprp", &[properties, associations].concat());
        let pitm = boxed(b"pitm", &[0, 0, 0, 0, 0, 2]);
        let meta = boxed(b"meta", &[vec![0; 4], pitm, iprp].concat());
        let ftyp = boxed(b"ftyp", b"avif\0\0\0\0mif1");
        [ftyp, meta, extra.to_vec()].concat()
    }

    #[test]
    fn dimensions_are_those_of_the_primary_item() {
        let header = parse(View(&still(&[])), ImageFormat::Avif, Extent::Whole).unwrap();
        assert_eq!((header.width, header.height), (400, 300));
        assert_eq!(header.frames, Some(1));
        assert_eq!(header.has_alpha, Some(true));
        assert!(header.is_complete);
    }

    #[test]
    fn a_data_box_that_reaches_beyond_the_end_is_incomplete() {
        let data = boxed(b"mdat", &[0; 100]);
        let bytes = still(&data[..50]);
        let header = parse(View(&bytes), ImageFormat::Avif, Extent::Whole).unwrap();
        assert_eq!((header.width, header.height), (400, 300));
        assert!(!header.is_complete);
    }

    /// A picture track of seven samples of 64 × 48 pixels.
    fn movie() -> Vec<u8> {
        let stsz = boxed(b"stsz", &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
        let stbl = boxed(b"stbl", &stsz);
        let hdlr = boxed(b"hdlr", b"\0\0\0\0\0\0\0\0pict\0\0\0\0");
        let mdia = boxed(b"mdia", &[hdlr, boxed(b"minf", &stbl)].concat());
        let mut tkhd = vec![0; 84];
        tkhd[77] = 64;
        tkhd[81] = 48;
        let trak = boxed(b"trak", &[boxed(b"tkhd", &tkhd), mdia].concat());
        boxed(b"moov", &trak)
    }

    #[test]
    fn frames_of_a_sequence_are_its_samples() {
        let bytes = [boxed(b"ftyp", b"avis\0\0\0\0"), movie()].concat();
        let header = parse(View(&bytes), ImageFormat::Avif, Extent::Whole).unwrap();
        assert_eq!(header.frames, Some(7));
        assert_eq!((header.width, header.height), (64, 48));
    }

    #[test]
    fn no_prefix_is_held_to_what_only_the_whole_can_tell() {
        let open_ended = |mut bytes: Vec<u8>| {
            // The box behind ftyp, which is meta: its length says that it ends with the file.
            bytes[20..24].fill(0);
            bytes
        };
        let mut sequence = still(&movie());
        sequence[8..12].copy_from_slice(b"avis");
        for bytes in [still(&[]), open_ended(still(&[])), sequence] {
            let whole = parse(View(&bytes), ImageFormat::Avif, Extent::Whole).unwrap();
            for length in 12..=bytes.len() {
                match parse(View(&bytes[..length]), ImageFormat::Avif, Extent::Prefix) {
                    Ok(header) => {
                        assert_eq!((header.width, header.height), (400, 300), "{length} bytes");
                        assert!(
                            header.frames.is_none() || header.frames == whole.frames,
                            "{length} bytes"
                        );
                    }
                    Err(Fault::Short { needed }) => assert!(needed > length as u64),
                    Err(fault) => panic!("{length} bytes: {fault:?}"),
                }
            }
        }
    }

    #[test]
    fn a_track_counts_only_in_a_sequence() {
        let bytes = still(&movie());
        let header = parse(View(&bytes), ImageFormat::Avif, Extent::Whole).unwrap();
        assert_eq!(header.frames, Some(1));
    }
}

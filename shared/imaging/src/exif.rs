//! What is kept of an EXIF block: maker, model, time, orientation and whether there is a position (CIPA DC-008).

use domain::Exif;

use crate::ifd::{Directory, Tiff};

/// Longest text kept.
const MAX_CHARACTERS: usize = 128;

const MAKE: u16 = 0x010f;
const MODEL: u16 = 0x0110;
const ORIENTATION: u16 = 0x0112;
const EXIF_DIRECTORY: u16 = 0x8769;
const GPS_DIRECTORY: u16 = 0x8825;
const DATE_TIME_ORIGINAL: u16 = 0x9003;
const DATE_TIME_DIGITIZED: u16 = 0x9004;
const GPS_LATITUDE: u16 = 0x0002;
const GPS_LONGITUDE: u16 = 0x0004;

/// What one block says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Camera {
    pub(crate) exif: Exif,
    /// 1 … 8.
    pub(crate) orientation: Option<u8>,
}

/// Reads the first `cap` bytes of a block as found in JPEG, PNG, WebP and AVIF: a TIFF structure, with or without the
/// six bytes that JPEG puts before it. Nothing readable is `None`.
pub(crate) fn read_block(block: &[u8], cap: usize) -> Option<Camera> {
    let block = &block[..block.len().min(cap)];
    let block = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
    let tiff = Tiff::open(block).ok()?;
    let directory = tiff.directory(tiff.first).ok()?;
    Some(read_directory(&tiff, directory))
}

/// Reads what the directory of an image, and the two it points at, say of the camera.
pub(crate) fn read_directory(tiff: &Tiff<'_>, directory: Directory) -> Camera {
    let child = |tag| {
        let offset = tiff.number_of(directory, tag)?;
        tiff.directory(offset).ok()
    };
    let taken_at = child(EXIF_DIRECTORY).and_then(|shooting| {
        let time = |tag| date_time(tiff.text_of(shooting, tag, 32)?);
        time(DATE_TIME_ORIGINAL).or_else(|| time(DATE_TIME_DIGITIZED))
    });
    let has_gps = child(GPS_DIRECTORY).is_some_and(|position| {
        tiff.find(position, GPS_LATITUDE).is_some() && tiff.find(position, GPS_LONGITUDE).is_some()
    });
    let orientation = tiff
        .number_of(directory, ORIENTATION)
        .filter(|value| (1..=8).contains(value))
        .map(|value| value as u8);
    // Four bytes are the longest character of UTF-8.
    let name = |tag| clean(tiff.text_of(directory, tag, 4 * MAX_CHARACTERS)?);
    Camera {
        exif: Exif {
            make: name(MAKE),
            model: name(MODEL),
            taken_at,
            has_gps,
        },
        orientation,
    }
}

/// Whether a TIFF file's directory has anything of EXIF.
pub(crate) fn is_present(tiff: &Tiff<'_>, directory: Directory) -> bool {
    [MAKE, MODEL, EXIF_DIRECTORY, GPS_DIRECTORY]
        .into_iter()
        .any(|tag| tiff.find(directory, tag).is_some())
}

fn clean(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let printable: String = text
        .chars()
        .filter(|character| !character.is_control() && *character != char::REPLACEMENT_CHARACTER)
        .take(MAX_CHARACTERS)
        .collect();
    let trimmed = printable.trim();
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}

/// `YYYY:MM:DD hh:mm:ss` to `YYYY-MM-DDThh:mm:ss`; `None` for anything that is no time, such as zeros and blanks.
fn date_time(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let bytes = text.as_bytes();
    if bytes.len() < 19 {
        return None;
    }
    let separators_fit = [4, 7].iter().all(|at| matches!(bytes[*at], b':' | b'-'))
        && matches!(bytes[10], b' ' | b'T')
        && [13, 16].iter().all(|at| bytes[*at] == b':');
    if !separators_fit {
        return None;
    }
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to)?;
        let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
        all_digits.then(|| digits.parse::<u32>().ok()).flatten()
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let is_time = year > 0
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    is_time.then(|| format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// One entry: tag, type, count, value or offset.
    pub(crate) type RawEntry = (u16, u16, u32, u32);

    pub(crate) fn directory(entries: &[RawEntry], next: u32) -> Vec<u8> {
        let mut bytes = (entries.len() as u16).to_le_bytes().to_vec();
        for (tag, kind, count, value) in entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(kind.to_le_bytes());
            bytes.extend(count.to_le_bytes());
            bytes.extend(value.to_le_bytes());
        }
        bytes.extend(next.to_le_bytes());
        bytes
    }

    fn block_with_everything() -> Vec<u8> {
        let texts: &[u8] = b"Imag\x01inary  \0M1\0\x002024:02:29 23:59:58\0";
        let texts_at = 8;
        let first_at = texts_at + texts.len() as u32;
        let shooting_at = first_at + 2 + 5 * 12 + 4;
        let position_at = shooting_at + 2 + 12 + 4;
        let mut block = b"II*\0".to_vec();
        block.extend(first_at.to_le_bytes());
        block.extend(texts);
        block.extend(directory(
            &[
                (MAKE, 2, 13, texts_at),
                (MODEL, 2, 3, u32::from_le_bytes(*b"M1\0\0")),
                (ORIENTATION, 3, 1, 6),
                (EXIF_DIRECTORY, 4, 1, shooting_at),
                (GPS_DIRECTORY, 4, 1, position_at),
            ],
            0,
        ));
        block.extend(directory(&[(DATE_TIME_ORIGINAL, 2, 20, texts_at + 17)], 0));
        block.extend(directory(
            &[(GPS_LATITUDE, 5, 3, 8), (GPS_LONGITUDE, 5, 3, 8)],
            0,
        ));
        block
    }

    #[test]
    fn camera_time_orientation_and_position_are_read() {
        let camera = read_block(&block_with_everything(), 64 * 1024).unwrap();
        assert_eq!(camera.orientation, Some(6));
        assert_eq!(camera.exif.make.as_deref(), Some("Imaginary"));
        assert_eq!(camera.exif.model.as_deref(), Some("M1"));
        assert_eq!(camera.exif.taken_at.as_deref(), Some("2024-02-29T23:59:58"));
        assert!(camera.exif.has_gps);
    }

    #[test]
    fn every_cut_of_a_block_is_survived() {
        let block = block_with_everything();
        for length in 0..block.len() {
            let _ = read_block(&block[..length], 64 * 1024);
        }
    }

    #[test]
    fn a_block_of_pointers_to_itself_is_read_at_once() {
        // 5,000 pointers, each at the directory it stands in: following them all would take 5,000³ steps.
        let pointers = vec![(EXIF_DIRECTORY, 4, 1, 8); 5_000];
        let mut block = b"II*\0\x08\0\0\0".to_vec();
        block.extend(directory(&pointers, 8));
        let camera = read_block(&block, 64 * 1024).unwrap();
        assert_eq!(camera, Camera::default());
    }

    #[test]
    fn a_time_that_is_none_is_dropped() {
        assert_eq!(date_time(b"0000:00:00 00:00:00"), None);
        assert_eq!(date_time(b"    :  :     :  :  "), None);
        assert_eq!(date_time(b"2024:13:01 00:00:00"), None);
        assert_eq!(date_time(b"2024:01:01"), None);
        assert_eq!(date_time("2024:01:01 0\u{e9}:00:0".as_bytes()), None);
        assert_eq!(
            date_time(b"2024-01-01T10:00:00Z").as_deref(),
            Some("2024-01-01T10:00:00")
        );
    }

    #[test]
    fn a_long_name_is_cut() {
        let name = vec![b'x'; 500];
        assert_eq!(clean(&name).unwrap().len(), MAX_CHARACTERS);
        assert_eq!(clean(b" \x07 \xff "), None);
    }
}

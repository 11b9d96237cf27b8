//! The camera data that photographs carry: a TIFF block for the Exif segment (Exif 2.32, TIFF 6.0), little-endian.

const ASCII: u16 = 2;
const SHORT: u16 = 3;
const LONG: u16 = 4;
const RATIONAL: u16 = 5;

const MAKE: u16 = 0x010F;
const MODEL: u16 = 0x0110;
const ORIENTATION: u16 = 0x0112;
const EXIF_DIRECTORY: u16 = 0x8769;
const GPS_DIRECTORY: u16 = 0x8825;
const DATE_TIME_ORIGINAL: u16 = 0x9003;
const GPS_LATITUDE_REFERENCE: u16 = 1;
const GPS_LATITUDE: u16 = 2;
const GPS_LONGITUDE_REFERENCE: u16 = 3;
const GPS_LONGITUDE: u16 = 4;

const HEADER_LENGTH: usize = 8;

/// What the block says.
#[derive(Debug, Clone)]
pub struct Exif<'a> {
    /// Maker of the camera, ASCII.
    pub make: &'a str,
    /// Model of the camera, ASCII.
    pub model: &'a str,
    /// Which corner comes first, 1..=8.
    pub orientation: u16,
    /// `YYYY:MM:DD HH:MM:SS`.
    pub taken_at: &'a str,
    /// Whether a position is included.
    pub has_gps: bool,
}

struct Entry {
    tag: u16,
    kind: u16,
    count: u32,
    value: Vec<u8>,
}

impl Entry {
    fn text(tag: u16, text: &str) -> Self {
        let mut value = text.as_bytes().to_vec();
        value.push(0);
        Self {
            tag,
            kind: ASCII,
            count: value.len() as u32,
            value,
        }
    }

    fn short(tag: u16, number: u16) -> Self {
        Self {
            tag,
            kind: SHORT,
            count: 1,
            value: number.to_le_bytes().to_vec(),
        }
    }

    fn pointer(tag: u16, offset: usize) -> Self {
        Self {
            tag,
            kind: LONG,
            count: 1,
            value: (offset as u32).to_le_bytes().to_vec(),
        }
    }

    fn degrees(tag: u16, parts: [u32; 3]) -> Self {
        let mut value = Vec::new();
        for part in parts {
            value.extend(part.to_le_bytes());
            value.extend(1_u32.to_le_bytes());
        }
        Self {
            tag,
            kind: RATIONAL,
            count: 3,
            value,
        }
    }
}

impl Exif<'_> {
    /// The block as bytes, starting with the TIFF header.
    pub fn to_bytes(&self) -> Vec<u8> {
        let camera = [Entry::text(DATE_TIME_ORIGINAL, self.taken_at)];
        let position = [
            Entry::text(GPS_LATITUDE_REFERENCE, "N"),
            Entry::degrees(GPS_LATITUDE, [48, 8, 14]),
            Entry::text(GPS_LONGITUDE_REFERENCE, "E"),
            Entry::degrees(GPS_LONGITUDE, [11, 34, 31]),
        ];
        // The other directories come first: their places are then known when the main one points to them.
        let camera_at = HEADER_LENGTH;
        let camera_bytes = directory(&camera, camera_at);
        let position_at = camera_at + camera_bytes.len();
        let position_bytes = if self.has_gps {
            directory(&position, position_at)
        } else {
            Vec::new()
        };
        let main_at = position_at + position_bytes.len();
        let mut main = vec![
            Entry::text(MAKE, self.make),
            Entry::text(MODEL, self.model),
            Entry::short(ORIENTATION, self.orientation),
            Entry::pointer(EXIF_DIRECTORY, camera_at),
        ];
        if self.has_gps {
            main.push(Entry::pointer(GPS_DIRECTORY, position_at));
        }

        let mut block = b"II*\0".to_vec();
        block.extend((main_at as u32).to_le_bytes());
        block.extend(camera_bytes);
        block.extend(position_bytes);
        block.extend(directory(&main, main_at));
        block
    }
}

/// One image file directory at `offset`, its longer values behind it, padded to an even length.
fn directory(entries: &[Entry], offset: usize) -> Vec<u8> {
    let values_at = offset + 2 + 12 * entries.len() + 4;
    let mut table = (entries.len() as u16).to_le_bytes().to_vec();
    let mut values = Vec::new();
    for entry in entries {
        table.extend(entry.tag.to_le_bytes());
        table.extend(entry.kind.to_le_bytes());
        table.extend(entry.count.to_le_bytes());
        if entry.value.len() <= 4 {
            let mut inline = entry.value.clone();
            inline.resize(4, 0);
            table.extend(inline);
            continue;
        }
        table.extend(((values_at + values.len()) as u32).to_le_bytes());
        values.extend(&entry.value);
        if values.len() % 2 == 1 {
            values.push(0);
        }
    }
    table.extend(0_u32.to_le_bytes());
    table.extend(values);
    table
}

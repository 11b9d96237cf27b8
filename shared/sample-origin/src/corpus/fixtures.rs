//! Checked-in files in formats that cannot be written here: lossy and animated WebP, AVIF,
//! JPEG with successive approximation or four components. How they were made: `fixtures/README.md`.

use bytes::Bytes;

/// A checked-in file and what it holds.
pub(super) struct Fixture {
    pub(super) name: &'static str,
    bytes: &'static [u8],
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) frames: u32,
}

macro_rules! fixture {
    ($name:literal, $width:literal, $height:literal, $frames:literal) => {
        Fixture {
            name: $name,
            bytes: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/", $name)),
            width: $width,
            height: $height,
            frames: $frames,
        }
    };
}

pub(super) static LOSSY_WEBP: [Fixture; 6] = [
    fixture!("lossy-800x600.webp", 800, 600, 1),
    fixture!("lossy-640x480.webp", 640, 480, 1),
    fixture!("animated-200x150.webp", 200, 150, 6),
    fixture!("lossy-alpha-256x256.webp", 256, 256, 1),
    fixture!("lossy-480x640.webp", 480, 640, 1),
    fixture!("lossy-400x300.webp", 400, 300, 1),
];

pub(super) static AVIF: [Fixture; 3] = [
    fixture!("photo-320x240.avif", 320, 240, 1),
    fixture!("photo-800x600.avif", 800, 600, 1),
    fixture!("alpha-240x240.avif", 240, 240, 1),
];

pub(super) static JPEG: [Fixture; 3] = [
    fixture!("refined-400x300.jpeg", 400, 300, 1),
    fixture!("refined-gray-320x240.jpeg", 320, 240, 1),
    fixture!("cmyk-320x240.jpeg", 320, 240, 1),
];

impl Fixture {
    /// The file as it was checked in.
    pub(super) fn bytes(&self) -> Bytes {
        Bytes::from_static(self.bytes)
    }

    /// The file as a WebP with its own bytes for every `repetition`: an ignored RIFF chunk is appended to all but the first.
    pub(super) fn webp(&self, repetition: u32) -> Bytes {
        if repetition == 0 {
            return Bytes::from_static(self.bytes);
        }
        let mut file = self.bytes.to_vec();
        file.extend(b"copy");
        file.extend(4_u32.to_le_bytes());
        file.extend(repetition.to_le_bytes());
        let riff_length = file.len() as u32 - 8;
        file[4..8].copy_from_slice(&riff_length.to_le_bytes());
        file.into()
    }

    /// The file as an AVIF with its own bytes for every `repetition`: a `free` box is appended to all but the first.
    pub(super) fn avif(&self, repetition: u32) -> Bytes {
        if repetition == 0 {
            return Bytes::from_static(self.bytes);
        }
        let mut file = self.bytes.to_vec();
        file.extend(12_u32.to_be_bytes());
        file.extend(b"free");
        file.extend(repetition.to_be_bytes());
        file.into()
    }
}

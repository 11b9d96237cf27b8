//! Image files that attack a decoder: claimed sizes, bombs, loops, lies and damage. Each is small on the wire.

mod containers;

use std::sync::LazyLock;

use bytes::Bytes;

use crate::corpus::encode::{self, JpegOptions};
use crate::corpus::paint;
use containers::{
    Dimensions, bmp_header, deflated_zeros, png, png_chunk, tiff_with_looping_directories,
};

const SIDE: u32 = 160;
const ANIMATION_FRAMES: usize = 10_000;
/// A PNG with one bit a pixel and these sides inflates to 312 MB from about 300 KB.
const BOMB_SIDE: u32 = 50_000;
const METADATA_BOMB_BYTES: u64 = 64 * 1024 * 1024;
/// Each scan stands in ten bytes and costs a pass over the image.
const SCANS: usize = 20_000;

static FILES: LazyLock<Vec<(&'static str, Bytes)>> = LazyLock::new(|| {
    vec![
        ("gif-claims-65535x32767", gif_with_claimed_size().into()),
        ("gif-ten-thousand-frames", gif_with_many_frames().into()),
        ("png-bomb-50000x50000", png_bomb().into()),
        (
            "png-claimed-iccp-length",
            png_with_claimed_profile_length().into(),
        ),
        ("png-iccp-bomb", png_with_profile_bomb().into()),
        ("png-ztxt-bomb", png_with_text_bomb().into()),
        ("png-wrong-checksum", png_with_wrong_checksum().into()),
        ("png-truncated", cut(&small_png(), 2, 3)),
        (
            "png-zero-width",
            png(0, SIDE, 8, &deflated_zeros(u64::from(SIDE)), &[]).into(),
        ),
        ("jpeg-truncated", cut(&small_jpeg(), 1, 2)),
        ("jpeg-corrupt-entropy", jpeg_with_corrupt_entropy().into()),
        ("jpeg-header-only", jpeg_header_only()),
        ("jpeg-zero-width", jpeg_with_zero_width().into()),
        ("jpeg-html-polyglot", jpeg_html_polyglot().into()),
        ("jpeg-many-scans", jpeg_with_many_scans().into()),
        (
            "bmp-negative-width",
            bmp_header(&Dimensions {
                width: -1,
                height: 16,
                bits: 24,
                colours: 0,
            })
            .into(),
        ),
        (
            "bmp-overflowing-dimensions",
            bmp_header(&Dimensions {
                width: i32::MAX,
                height: i32::MIN,
                bits: 32,
                colours: 0,
            })
            .into(),
        ),
        ("bmp-short-palette", bmp_with_short_palette().into()),
        (
            "bmp-claimed-palette-length",
            bmp_header(&Dimensions {
                width: 16,
                height: 16,
                bits: 8,
                colours: u32::MAX,
            })
            .into(),
        ),
        (
            "tiff-directory-loop",
            tiff_with_looping_directories().into(),
        ),
    ]
});

/// Every hostile file with its name; the part before the first hyphen is the format it pretends to be.
pub fn all() -> Vec<(&'static str, Bytes)> {
    FILES.clone()
}

/// The hostile file of this name.
pub fn get(name: &str) -> Option<Bytes> {
    FILES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, bytes)| bytes.clone())
}

/// Four components of 4,096 × 4,096, and the first of them again and again, in scans whose data is missing: zeros to many decoders.
fn jpeg_with_many_scans() -> Vec<u8> {
    /// One code of one bit, which stands for 0: no difference to the last block, or no further coefficient in this one.
    const ONE_CODE: [u8; 17] = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    const SCAN: [u8; 10] = [0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0];
    let mut file = vec![0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0];
    file.extend([1; 64]);
    file.extend([0xFF, 0xC0, 0, 20, 8, 0x10, 0, 0x10, 0, 4]);
    for component in 1..=4 {
        file.extend([component, 0x11, 0]);
    }
    for class in [0x00, 0x10] {
        file.extend([0xFF, 0xC4, 0, 20, class]);
        file.extend(ONE_CODE);
    }
    file.extend(SCAN.repeat(SCANS));
    file.extend([0xFF, 0xD9]);
    file
}

fn small_jpeg() -> Bytes {
    encode::jpeg(&paint::photograph(99, SIDE, SIDE), &JpegOptions::default())
}

fn small_png() -> Bytes {
    encode::png(&paint::photograph(98, SIDE, SIDE).into())
}

fn cut(file: &Bytes, kept: usize, of: usize) -> Bytes {
    file.slice(..file.len() * kept / of)
}

/// A GIF of 35 bytes: one pixel of data under a screen and a frame of 65,535 × 32,767.
fn gif_with_claimed_size() -> Vec<u8> {
    let mut file = gif_header(65_535, 32_767);
    file.extend(gif_frame(65_535, 32_767));
    file.push(0x3B);
    file
}

fn gif_with_many_frames() -> Vec<u8> {
    let mut file = gif_header(1, 1);
    for _ in 0..ANIMATION_FRAMES {
        // Graphic control extension: a hundredth of a second, no transparency.
        file.extend([0x21, 0xF9, 0x04, 0x00, 0x01, 0x00, 0x00, 0x00]);
        file.extend(gif_frame(1, 1));
    }
    file.push(0x3B);
    file
}

/// Header, screen descriptor and a table of two colours.
fn gif_header(width: u16, height: u16) -> Vec<u8> {
    let mut header = b"GIF89a".to_vec();
    header.extend(width.to_le_bytes());
    header.extend(height.to_le_bytes());
    header.extend([0x80, 0x00, 0x00]);
    header.extend([0x00, 0x00, 0x00, 0xFF, 0xFF, 0xFF]);
    header
}

/// An image descriptor and the LZW data of one pixel.
fn gif_frame(width: u16, height: u16) -> Vec<u8> {
    let mut frame = vec![0x2C, 0, 0, 0, 0];
    frame.extend(width.to_le_bytes());
    frame.extend(height.to_le_bytes());
    frame.extend([0x00, 0x02, 0x02, 0x44, 0x01, 0x00]);
    frame
}

/// A valid file: whoever believes it gets 2.5 billion pixels.
fn png_bomb() -> Vec<u8> {
    let row_bytes = u64::from(BOMB_SIDE).div_ceil(8) + 1;
    png(
        BOMB_SIDE,
        BOMB_SIDE,
        1,
        &deflated_zeros(row_bytes * u64::from(BOMB_SIDE)),
        &[],
    )
}

fn valid_png_with(chunk: &[u8]) -> Vec<u8> {
    png(8, 8, 8, &deflated_zeros(9 * 8), chunk)
}

/// An iCCP chunk whose length field claims the two gigabytes PNG allows; twenty bytes follow, then the picture.
fn png_with_claimed_profile_length() -> Vec<u8> {
    let mut chunk = 0x7FFF_FFFF_u32.to_be_bytes().to_vec();
    chunk.extend(b"iCCPprofile\0\0");
    chunk.extend([0; 20]);
    valid_png_with(&chunk)
}

fn png_with_profile_bomb() -> Vec<u8> {
    let mut body = b"profile\0\0".to_vec();
    body.extend(deflated_zeros(METADATA_BOMB_BYTES));
    valid_png_with(&png_chunk(*b"iCCP", &body))
}

fn png_with_text_bomb() -> Vec<u8> {
    let mut body = b"Comment\0\0".to_vec();
    body.extend(deflated_zeros(METADATA_BOMB_BYTES));
    valid_png_with(&png_chunk(*b"zTXt", &body))
}

/// The checksum of the first IDAT chunk is off by one bit.
fn png_with_wrong_checksum() -> Vec<u8> {
    let mut file = small_png().to_vec();
    let mut at = 8;
    loop {
        let length =
            u32::from_be_bytes([file[at], file[at + 1], file[at + 2], file[at + 3]]) as usize;
        let checksum_at = at + 8 + length;
        if &file[at + 4..at + 8] == b"IDAT" {
            file[checksum_at] ^= 1;
            return file;
        }
        at = checksum_at + 4;
    }
}

/// Offset of the first marker segment of this kind.
fn jpeg_segment(file: &[u8], marker: u8) -> usize {
    let mut at = 2;
    while file[at + 1] != marker {
        at += 2 + usize::from(u16::from_be_bytes([file[at + 2], file[at + 3]]));
    }
    at
}

/// Offset of the entropy-coded data.
fn jpeg_scan_data(file: &[u8]) -> usize {
    let scan = jpeg_segment(file, 0xDA);
    scan + 2 + usize::from(u16::from_be_bytes([file[scan + 2], file[scan + 3]]))
}

/// The middle third of the scan is replaced by ones and zeros no Huffman table explains, without forming a marker.
fn jpeg_with_corrupt_entropy() -> Vec<u8> {
    let mut file = small_jpeg().to_vec();
    let data = jpeg_scan_data(&file);
    let third = (file.len() - data) / 3;
    for (number, byte) in file[data + third..data + 2 * third].iter_mut().enumerate() {
        *byte = if number % 7 == 0 { 0x00 } else { 0xFE };
    }
    file
}

fn jpeg_header_only() -> Bytes {
    let file = small_jpeg();
    let data = jpeg_scan_data(&file);
    file.slice(..data)
}

fn jpeg_with_zero_width() -> Vec<u8> {
    let mut file = small_jpeg().to_vec();
    let frame = jpeg_segment(&file, 0xC0);
    // Marker, length and precision come before the height and width.
    file[frame + 7..frame + 9].fill(0);
    file
}

/// A valid JPEG with a page in its comment and behind its end.
fn jpeg_html_polyglot() -> Vec<u8> {
    let page: &[u8] =
        b"--><html><body><script>document.title='not an image'</script></body></html><!--";
    let jpeg = small_jpeg();
    let mut file = jpeg[..2].to_vec();
    file.extend([0xFF, 0xFE]);
    file.extend((page.len() as u16 + 2).to_be_bytes());
    file.extend(page);
    file.extend(&jpeg[2..]);
    file.extend(page);
    file
}

/// A palette of two colours under pixels that name the other 254.
fn bmp_with_short_palette() -> Vec<u8> {
    let mut file = bmp_header(&Dimensions {
        width: 16,
        height: 16,
        bits: 8,
        colours: 2,
    });
    file.extend([0, 0, 0, 0, 255, 255, 255, 0]);
    file.extend((0..=255).rev().collect::<Vec<u8>>());
    file
}

#[cfg(test)]
mod tests;

//! The containers around hostile content, written byte by byte because no encoder would write them.

use flate2::{Compress, Compression, Crc, FlushCompress};

/// Zeros compressed at once; longer runs repeat their compressed form.
const RUN: u64 = 1024 * 1024;
/// The modulus of Adler-32 (RFC 1950).
const ADLER_MODULUS: u64 = 65_521;

/// A zlib stream (RFC 1950) of `length` zeros, made in time proportional to its compressed size.
///
/// After a full flush the compressor starts afresh on a byte boundary, so the blocks of one run can be repeated.
pub(super) fn deflated_zeros(length: u64) -> Vec<u8> {
    let run = deflated_run(RUN as usize);
    let mut stream = vec![0x78, 0xDA];
    for _ in 0..length / RUN {
        stream.extend(&run);
    }
    stream.extend(deflated_run((length % RUN) as usize));
    // A last, empty block with fixed codes.
    stream.extend([0x03, 0x00]);
    let adler = (length % ADLER_MODULUS) << 16 | 1;
    stream.extend((adler as u32).to_be_bytes());
    stream
}

#[expect(
    clippy::expect_used,
    reason = "deflating zeros into memory does not fail"
)]
fn deflated_run(length: usize) -> Vec<u8> {
    let zeros = vec![0; length];
    let mut output = Vec::with_capacity(length / 100 + 128);
    Compress::new(Compression::best(), false)
        .compress_vec(&zeros, &mut output, FlushCompress::Full)
        .expect("zeros are deflated");
    output
}

/// One PNG chunk with its length and checksum.
pub(super) fn png_chunk(kind: [u8; 4], body: &[u8]) -> Vec<u8> {
    let mut checksum = Crc::new();
    checksum.update(&kind);
    checksum.update(body);
    let mut chunk = (body.len() as u32).to_be_bytes().to_vec();
    chunk.extend(kind);
    chunk.extend(body);
    chunk.extend(checksum.sum().to_be_bytes());
    chunk
}

/// A grayscale PNG of `bits` a pixel with a ready zlib stream; `extra` goes between the header and the data.
pub(super) fn png(width: u32, height: u32, bits: u8, stream: &[u8], extra: &[u8]) -> Vec<u8> {
    let mut header = width.to_be_bytes().to_vec();
    header.extend(height.to_be_bytes());
    header.extend([bits, 0, 0, 0, 0]);
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    file.extend(png_chunk(*b"IHDR", &header));
    file.extend(extra);
    file.extend(png_chunk(*b"IDAT", stream));
    file.extend(png_chunk(*b"IEND", &[]));
    file
}

/// What a BMP header claims.
pub(super) struct Dimensions {
    pub(super) width: i32,
    pub(super) height: i32,
    pub(super) bits: u16,
    /// Entries of the palette.
    pub(super) colours: u32,
}

/// A BMP up to the end of its 40-byte information header.
pub(super) fn bmp_header(claims: &Dimensions) -> Vec<u8> {
    let data_at = 54_u32.wrapping_add(claims.colours.wrapping_mul(4));
    let mut file = b"BM".to_vec();
    file.extend(data_at.wrapping_add(256).to_le_bytes());
    file.extend([0; 4]);
    file.extend(data_at.to_le_bytes());
    file.extend(40_u32.to_le_bytes());
    file.extend(claims.width.to_le_bytes());
    file.extend(claims.height.to_le_bytes());
    file.extend(1_u16.to_le_bytes());
    file.extend(claims.bits.to_le_bytes());
    file.extend([0; 16]);
    file.extend(claims.colours.to_le_bytes());
    file.extend([0; 4]);
    file
}

/// A TIFF with two image file directories, each naming the other as the next.
pub(super) fn tiff_with_looping_directories() -> Vec<u8> {
    // One entry: 2 bytes of count, 12 of entry, 4 of next offset.
    const DIRECTORY_LENGTH: u32 = 18;
    let (first, second) = (8_u32, 8 + DIRECTORY_LENGTH);
    let mut file = b"II*\0".to_vec();
    file.extend(first.to_le_bytes());
    for next in [second, first] {
        file.extend(1_u16.to_le_bytes());
        // NewSubfileType, LONG, one value, 0.
        file.extend([
            0xFE, 0x00, 0x04, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        ]);
        file.extend(next.to_le_bytes());
    }
    file
}

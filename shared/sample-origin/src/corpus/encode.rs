//! Turns pictures into files. Encoding into memory fails only for pictures these functions document as unsupported.

use std::io::Cursor;

use bytes::Bytes;
use image::codecs::gif::{GifEncoder, Repeat};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::codecs::webp::WebPEncoder;
use image::{Delay, DynamicImage, Frame, ImageFormat, RgbImage};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

/// The fastest setting of the encoder's colour quantiser, 1..=30.
const GIF_SPEED: i32 = 30;

/// How the colour of a JPEG is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subsampling {
    /// Colour at full resolution (4:4:4).
    Yuv444,
    /// Colour at half the horizontal resolution (4:2:2).
    Yuv422,
    /// Colour at half the resolution both ways (4:2:0), the usual one.
    Yuv420,
    /// One component, no colour.
    Grayscale,
}

/// How a JPEG is written.
#[derive(Debug, Clone)]
pub struct JpegOptions {
    /// 1..=100 on the scale of the IJG's library.
    pub quality: u8,
    /// Several scans of growing detail (SOF2) instead of one (SOF0).
    pub progressive: bool,
    /// How colour is stored.
    pub subsampling: Subsampling,
    /// Units (MCUs) between restart markers; 0 for none.
    pub restart_interval: u16,
    /// Huffman tables made for this picture instead of the ones of ITU-T T.81 annex K, and, unless progressive, one scan for
    /// each component. Ignored together with restarts.
    pub optimised_tables: bool,
    /// A TIFF block for the Exif segment; see [`super::exif`].
    pub exif: Option<Vec<u8>>,
}

impl Default for JpegOptions {
    /// Baseline, quality 85, 4:2:0, as most tools write it.
    fn default() -> Self {
        Self {
            quality: 85,
            progressive: false,
            subsampling: Subsampling::Yuv420,
            restart_interval: 0,
            optimised_tables: false,
            exif: None,
        }
    }
}

/// Writes a JPEG.
///
/// # Panics
/// If a side exceeds 65,535 pixels or the Exif block 65,528 bytes: no JPEG can hold them.
#[expect(
    clippy::expect_used,
    reason = "writing to memory fails only for the sizes documented as panicking"
)]
pub fn jpeg(picture: &RgbImage, options: &JpegOptions) -> Bytes {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, options.quality);
    encoder.set_progressive(options.progressive);
    // The encoder counts symbols as if there were no restarts and then lacks codes for the differences they cause.
    encoder.set_optimized_huffman_tables(options.optimised_tables && options.restart_interval == 0);
    if options.restart_interval > 0 {
        encoder.set_restart_interval(options.restart_interval);
    }
    encoder.set_sampling_factor(match options.subsampling {
        Subsampling::Yuv444 | Subsampling::Grayscale => SamplingFactor::R_4_4_4,
        Subsampling::Yuv422 => SamplingFactor::R_4_2_2,
        Subsampling::Yuv420 => SamplingFactor::R_4_2_0,
    });
    if let Some(exif) = &options.exif {
        encoder
            .add_exif_metadata(exif)
            .expect("the Exif block fits into one segment");
    }
    let width = u16::try_from(picture.width()).expect("a JPEG is at most 65,535 pixels wide");
    let height = u16::try_from(picture.height()).expect("a JPEG is at most 65,535 pixels high");
    let written = if options.subsampling == Subsampling::Grayscale {
        encoder.encode(
            &image::imageops::grayscale(picture),
            width,
            height,
            ColorType::Luma,
        )
    } else {
        encoder.encode(picture, width, height, ColorType::Rgb)
    };
    written.expect("a picture in memory is encoded");
    file.into()
}

/// Writes a PNG of the picture's own colour type.
#[expect(clippy::expect_used, reason = "writing to memory does not fail")]
pub fn png(picture: &DynamicImage) -> Bytes {
    let mut file = Vec::new();
    let encoder =
        PngEncoder::new_with_quality(&mut file, CompressionType::Default, FilterType::Adaptive);
    picture
        .write_with_encoder(encoder)
        .expect("a picture in memory is encoded");
    file.into()
}

/// Writes a lossless WebP (VP8L).
///
/// # Panics
/// If a side exceeds 16,383 pixels, or the picture has more than 8 bits a channel.
#[expect(
    clippy::expect_used,
    reason = "writing to memory fails only for the pictures documented as panicking"
)]
pub fn webp(picture: &DynamicImage) -> Bytes {
    let mut file = Vec::new();
    let encoder = WebPEncoder::new_lossless(&mut file);
    picture
        .write_with_encoder(encoder)
        .expect("a picture in memory is encoded");
    file.into()
}

/// Writes a GIF that repeats for ever when it has several frames.
///
/// # Panics
/// If a side exceeds 65,535 pixels.
#[expect(
    clippy::expect_used,
    reason = "writing to memory fails only for the sizes documented as panicking"
)]
pub fn gif(frames: &[RgbImage]) -> Bytes {
    let mut file = Vec::new();
    let mut encoder = GifEncoder::new_with_speed(&mut file, GIF_SPEED);
    if frames.len() > 1 {
        encoder
            .set_repeat(Repeat::Infinite)
            .expect("the loop extension is written");
    }
    for frame in frames {
        let pixels = DynamicImage::ImageRgb8(frame.clone()).into_rgba8();
        let frame = Frame::from_parts(pixels, 0, 0, Delay::from_numer_denom_ms(100, 1));
        encoder
            .encode_frame(frame)
            .expect("a picture in memory is encoded");
    }
    drop(encoder);
    file.into()
}

/// Writes a BMP with 24 bits a pixel.
#[expect(clippy::expect_used, reason = "writing to memory does not fail")]
pub fn bmp(picture: &RgbImage) -> Bytes {
    let mut file = Cursor::new(Vec::new());
    picture
        .write_to(&mut file, ImageFormat::Bmp)
        .expect("a picture in memory is encoded");
    file.into_inner().into()
}

/// Writes a TIFF without compression.
#[expect(clippy::expect_used, reason = "writing to memory does not fail")]
pub fn tiff(picture: &RgbImage) -> Bytes {
    let mut file = Cursor::new(Vec::new());
    picture
        .write_to(&mut file, ImageFormat::Tiff)
        .expect("a picture in memory is encoded");
    file.into_inner().into()
}

//! An image as it is shown to a model: upright, over white, no larger than needed, a JPEG.

use std::borrow::Cow;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use domain::ImageFormat;
use image::codecs::jpeg::JpegEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageReader, Rgb, RgbImage};

use crate::error::ImageError;
use crate::header::{self, Header};

/// Artefacts cannot be told from content below this; above it files grow and models see no more.
const QUALITY: u8 = 85;
/// A JPEG that is small enough as it is goes as it is, up to this length.
const MAX_BYTES_AS_IT_IS: usize = 512 * 1024;
/// Bytes a pixel while it is decoded, turned and put over white.
const BYTES_A_PIXEL: u64 = 12;

/// Bytes of memory that [`scaled_jpeg`] may take at its peak for an image with this header, beside the file itself.
pub fn memory_to_scale(header: &Header, max_side: u32) -> u64 {
    let pixels = u64::from(header.width) * u64::from(header.height);
    (pixels + u64::from(max_side) * u64::from(max_side)) * BYTES_A_PIXEL
}

/// The first frame of an image whose pixels were checked against their limit, no side longer than `max_side`: the file itself where it
/// is such a JPEG already.
///
/// # Errors
///
/// As of measuring; formats that are measured from their header alone are [`ImageError::UnsupportedFormat`].
pub fn scaled_jpeg(bytes: &[u8], max_side: u32) -> Result<Cow<'_, [u8]>, ImageError> {
    let header = header::probe(bytes)?;
    let is_small = header.width.max(header.height) <= max_side;
    let is_upright = matches!(header.orientation, None | Some(1));
    let is_plain = header.format == ImageFormat::Jpeg && bytes.len() <= MAX_BYTES_AS_IT_IS;
    if is_small && is_upright && is_plain {
        return Ok(Cow::Borrowed(bytes));
    }
    let scale = AssertUnwindSafe(|| scale(bytes, &header, max_side));
    catch_unwind(scale)
        .unwrap_or_else(|_| {
            let reason = "the decoder stopped on an error of its own";
            Err(ImageError::decode(header.format, reason))
        })
        .map(Cow::Owned)
}

fn scale(bytes: &[u8], header: &Header, max_side: u32) -> Result<Vec<u8>, ImageError> {
    let failed = |error: image::ImageError| ImageError::decode(header.format, error);
    let format = match header.format {
        ImageFormat::Jpeg => image::ImageFormat::Jpeg,
        ImageFormat::Png => image::ImageFormat::Png,
        ImageFormat::Gif => image::ImageFormat::Gif,
        ImageFormat::Webp => image::ImageFormat::WebP,
        ImageFormat::Bmp => image::ImageFormat::Bmp,
        ImageFormat::Tiff => image::ImageFormat::Tiff,
        format => {
            return Err(ImageError::UnsupportedFormat {
                format,
                dimensions: Some((header.width, header.height)),
            });
        }
    };
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = image::Limits::no_limits();
    limits.max_alloc = Some(memory_to_scale(header, max_side));
    // A decoder that reads the header in another way than we do must not get around the pixel limit.
    limits.max_image_width = Some(header.width);
    limits.max_image_height = Some(header.height);
    reader.limits(limits);
    let mut image = reader.decode().map_err(failed)?;
    if image.width().max(image.height()) > max_side {
        image = image.thumbnail(max_side, max_side);
    }
    if let Some(orientation) = header.orientation.and_then(Orientation::from_exif) {
        image.apply_orientation(orientation);
    }
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, QUALITY)
        .encode_image(&over_white(image))
        .map_err(failed)?;
    Ok(jpeg)
}

fn over_white(image: DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let image = image.into_rgba8();
    let (width, height) = image.dimensions();
    RgbImage::from_fn(width, height, |x, y| {
        let [red, green, blue, alpha] = image.get_pixel(x, y).0;
        let over = |channel: u8| {
            let (channel, alpha) = (u32::from(channel), u32::from(alpha));
            ((channel * alpha + 255 * (255 - alpha) + 127) / 255) as u8
        };
        Rgb([over(red), over(green), over(blue)])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageEncoder, Rgba, RgbaImage};

    fn png(width: u32, height: u32, pixel: [u8; 4]) -> Vec<u8> {
        let image = RgbaImage::from_pixel(width, height, Rgba(pixel));
        let mut bytes = Vec::new();
        image::codecs::png::PngEncoder::new(&mut bytes)
            .write_image(&image, width, height, image::ExtendedColorType::Rgba8)
            .unwrap();
        bytes
    }

    fn pixels(jpeg: &[u8]) -> RgbImage {
        image::load_from_memory_with_format(jpeg, image::ImageFormat::Jpeg)
            .unwrap()
            .into_rgb8()
    }

    #[test]
    fn a_large_image_keeps_its_shape_within_the_longest_side() {
        let bytes = png(2_048, 512, [200, 10, 10, 255]);
        let scaled = pixels(&scaled_jpeg(&bytes, 1_024).unwrap());
        assert_eq!(scaled.dimensions(), (1_024, 256));
        let Rgb([red, green, blue]) = *scaled.get_pixel(500, 100);
        assert!(red > 190 && green < 30 && blue < 30);
    }

    #[test]
    fn a_small_image_is_not_made_larger_and_what_is_transparent_is_white() {
        let bytes = png(64, 32, [0, 0, 0, 0]);
        let scaled = pixels(&scaled_jpeg(&bytes, 1_024).unwrap());
        assert_eq!(scaled.dimensions(), (64, 32));
        assert!(
            scaled
                .get_pixel(5, 5)
                .0
                .iter()
                .all(|channel| *channel > 250)
        );
    }

    #[test]
    fn a_small_jpeg_is_passed_on_as_it_is() {
        let jpeg = scaled_jpeg(&png(640, 480, [9, 9, 9, 255]), 1_024)
            .unwrap()
            .into_owned();
        let again = scaled_jpeg(&jpeg, 1_024).unwrap();
        assert!(matches!(again, Cow::Borrowed(_)));
        assert!(matches!(scaled_jpeg(&jpeg, 320).unwrap(), Cow::Owned(_)));
    }

    #[test]
    fn what_is_no_image_and_what_is_cut_off_is_told() {
        assert!(scaled_jpeg(b"<html>", 1_024).is_err());
        let bytes = png(400, 400, [1, 2, 3, 255]);
        assert!(scaled_jpeg(&bytes[..bytes.len() / 2], 100).is_err());
    }
}

//! Changes a picture so that one quality measure, or the search for duplicates, has something to find.

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};

/// What was done to a sample's picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Variant {
    /// Nothing.
    Plain,
    /// A Gaussian blur of a sixtieth of the longer side: no fine detail is left.
    Blurred,
    /// An eighth of the brightness.
    Dark,
    /// An eighth of the distance to white.
    Bright,
    /// One colour only.
    Flat,
    /// No colour; stored with three equal channels.
    Grayscale,
    /// The same bytes as another sample.
    ExactCopy,
    /// Another sample's picture at four fifths of its size and another quality.
    NearCopy,
}

impl Variant {
    /// Every variant but [`Variant::Plain`].
    pub const CHANGED: [Self; 7] = [
        Self::Blurred,
        Self::ExactCopy,
        Self::Dark,
        Self::NearCopy,
        Self::Bright,
        Self::Grayscale,
        Self::Flat,
    ];

    /// Lower-case words joined by hyphens, as used in sample names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Blurred => "blurred",
            Self::Dark => "dark",
            Self::Bright => "bright",
            Self::Flat => "flat",
            Self::Grayscale => "grayscale",
            Self::ExactCopy => "exact-copy",
            Self::NearCopy => "near-copy",
        }
    }

    /// Applies the change to pixels. A plain picture and an exact copy stay as they are.
    pub fn apply(self, picture: RgbImage) -> RgbImage {
        match self {
            Self::Plain | Self::ExactCopy => picture,
            Self::Blurred => {
                let longer = picture.width().max(picture.height());
                blurred(&picture, longer as f32 / 60.0)
            }
            Self::Dark => mapped(picture, |value| value / 8),
            Self::Bright => mapped(picture, |value| 255 - (255 - value) / 8),
            Self::Flat => flat(&picture),
            Self::Grayscale => grayscale(picture),
            Self::NearCopy => {
                let (width, height) = (four_fifths(picture.width()), four_fifths(picture.height()));
                imageops::resize(&picture, width, height, FilterType::Triangle)
            }
        }
    }
}

/// Blurs with an approximated Gaussian of `sigma` pixels.
pub fn blurred(picture: &RgbImage, sigma: f32) -> RgbImage {
    imageops::fast_blur(picture, sigma)
}

fn mapped(mut picture: RgbImage, change: impl Fn(u8) -> u8) -> RgbImage {
    for value in picture.iter_mut() {
        *value = change(*value);
    }
    picture
}

fn flat(picture: &RgbImage) -> RgbImage {
    let middle = *picture.get_pixel(picture.width() / 2, picture.height() / 2);
    RgbImage::from_pixel(picture.width(), picture.height(), middle)
}

fn grayscale(mut picture: RgbImage) -> RgbImage {
    for pixel in picture.pixels_mut() {
        let [red, green, blue] = pixel.0.map(u32::from);
        // ITU-R BT.601 weights in thousandths.
        let luma = ((299 * red + 587 * green + 114 * blue) / 1000) as u8;
        *pixel = Rgb([luma; 3]);
    }
    picture
}

fn four_fifths(side: u32) -> u32 {
    (side * 4 / 5).max(1)
}

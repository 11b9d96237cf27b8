//! Why bytes gave no measurement.

use domain::{ImageFormat, Outcome};

use crate::content::Content;

/// Why bytes gave no measurement. The text is a sentence for the person who reads the report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The bytes are something else than an image.
    #[error("the answer is {found}, not an image")]
    NotAnImage {
        /// What they are.
        found: Content,
    },
    /// An image of a format that is recognised but not measured.
    #[error("images of the format {format} are recognised but not measured")]
    UnsupportedFormat {
        /// The format.
        format: ImageFormat,
        /// Width and height in pixels, where the header tells them cheaply.
        dimensions: Option<(u32, u32)>,
    },
    /// The header claims more pixels than the limit, frames counted. Nothing was decoded.
    #[error("the image claims {}{width} × {height} pixels, more than the limit of {limit}", frames_phrase(*frames))]
    PixelLimit {
        /// Claimed width in pixels.
        width: u32,
        /// Claimed height in pixels.
        height: u32,
        /// Claimed frames; 1 for a still image and where they are not known.
        frames: u32,
        /// The limit in pixels.
        limit: u64,
    },
    /// Its pixels are within the limit, and it would take more than one image may have all the same. Nothing was decoded.
    #[error("the {format} image is too large: {reason}")]
    TooLarge {
        /// The format.
        format: ImageFormat,
        /// What there is too much of.
        reason: String,
    },
    /// The image uses a way of coding that no decoder here knows.
    #[error("{format} images with {coding} are recognised but not measured")]
    UnsupportedCoding {
        /// The format.
        format: ImageFormat,
        /// The way of coding.
        coding: String,
    },
    /// The image ends before its last pixel.
    #[error("the {format} image is cut off: it ends after {bytes} bytes, before its last pixel")]
    Truncated {
        /// The format.
        format: ImageFormat,
        /// Bytes there are.
        bytes: u64,
    },
    /// The image is damaged.
    #[error("the {format} image cannot be decoded: {source}")]
    Decode {
        /// The format.
        format: ImageFormat,
        /// What the parser or decoder said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl ImageError {
    /// The outcome of the row.
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::NotAnImage { .. } => Outcome::NotAnImage,
            Self::UnsupportedFormat { .. } | Self::UnsupportedCoding { .. } => {
                Outcome::UnsupportedFormat
            }
            Self::PixelLimit { .. } | Self::TooLarge { .. } => Outcome::PixelLimit,
            Self::Truncated { .. } => Outcome::Truncated,
            Self::Decode { .. } => Outcome::DecodeError,
        }
    }

    pub(crate) fn decode(
        format: ImageFormat,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Decode {
            format,
            source: source.into(),
        }
    }
}

fn frames_phrase(frames: u32) -> String {
    if frames > 1 {
        format!("{frames} frames of ")
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_is_a_sentence_a_person_understands() {
        let html = ImageError::NotAnImage {
            found: Content::Html,
        };
        assert_eq!(html.to_string(), "the answer is an HTML page, not an image");
        let bomb = ImageError::PixelLimit {
            width: 65_535,
            height: 32_767,
            frames: 1,
            limit: 50_000_000,
        };
        assert_eq!(
            bomb.to_string(),
            "the image claims 65535 × 32767 pixels, more than the limit of 50000000"
        );
        assert_eq!(bomb.outcome(), Outcome::PixelLimit);
    }
}

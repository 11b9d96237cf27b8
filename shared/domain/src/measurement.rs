//! What was measured of an image. Absent is `None`, never a made-up zero.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Formats that are recognised by their first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ImageFormat {
    /// JPEG (ITU-T T.81).
    Jpeg,
    /// PNG (W3C), APNG included.
    Png,
    /// WebP (RFC 9649).
    Webp,
    /// GIF 87a and 89a.
    Gif,
    /// Windows bitmap.
    Bmp,
    /// TIFF 6.0, either byte order.
    Tiff,
    /// AV1 image file format: measured from its header only.
    Avif,
    /// HEIF with HEVC: recognised only.
    Heif,
    /// JPEG XL: recognised only.
    Jxl,
    /// JPEG 2000: recognised only.
    Jp2,
    /// Windows icon: recognised only.
    Ico,
    /// Scalable vector graphics: recognised, never rendered.
    Svg,
    /// Adobe Photoshop: recognised only.
    Psd,
}

impl ImageFormat {
    /// The name in result rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            Self::Png => "png",
            Self::Webp => "webp",
            Self::Gif => "gif",
            Self::Bmp => "bmp",
            Self::Tiff => "tiff",
            Self::Avif => "avif",
            Self::Heif => "heif",
            Self::Jxl => "jxl",
            Self::Jp2 => "jp2",
            Self::Ico => "ico",
            Self::Svg => "svg",
            Self::Psd => "psd",
        }
    }
}

impl fmt::Display for ImageFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// A 64-bit perceptual hash; in text 16 hexadecimal digits, most significant bit first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash64(pub u64);

impl Hash64 {
    /// Number of differing bits, 0 … 64.
    pub const fn distance(self, other: Self) -> u32 {
        (self.0 ^ other.0).count_ones()
    }
}

impl fmt::Display for Hash64 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

/// The text is not 16 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a 64-bit hash is written as 16 hexadecimal digits")]
pub struct InvalidHash;

impl FromStr for Hash64 {
    type Err = InvalidHash;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 16 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(InvalidHash);
        }
        u64::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| InvalidHash)
    }
}

impl Serialize for Hash64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A colour, 8 bits a channel, sRGB; in text `#rrggbb`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rgb(pub [u8; 3]);

impl fmt::Display for Rgb {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.0;
        write!(formatter, "#{red:02x}{green:02x}{blue:02x}")
    }
}

/// The text is not `#rrggbb`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a colour is written as # and 6 hexadecimal digits")]
pub struct InvalidColor;

impl FromStr for Rgb {
    type Err = InvalidColor;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix('#').ok_or(InvalidColor)?;
        if digits.len() != 6 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(InvalidColor);
        }
        let value = u32::from_str_radix(digits, 16).map_err(|_| InvalidColor)?;
        let [_, red, green, blue] = value.to_be_bytes();
        Ok(Self([red, green, blue]))
    }
}

impl Serialize for Rgb {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rgb {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Camera data from the EXIF segment (CIPA DC-008). Positions are never kept: only that there is one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Exif {
    /// Maker of the camera.
    pub make: Option<String>,
    /// Model of the camera.
    pub model: Option<String>,
    /// When the picture was taken, as the camera wrote it: `YYYY-MM-DDThh:mm:ss`, no zone.
    pub taken_at: Option<String>,
    /// Whether the file says where it was taken.
    pub has_gps: bool,
}

macro_rules! issues {
    ($( $(#[doc = $doc:literal])+ $variant:ident = $name:literal; )+) => {
        /// A flaw of an image that loaded. Thresholds are documented beside the table in `imaging`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Issue {
            $( $(#[doc = $doc])+ #[serde(rename = $name)] $variant, )+
        }

        // Written out: the derivation cannot see through the names of this macro.
        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for Issue {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::Type::String)
                    .enum_values(Some(Self::ALL.iter().map(|one| one.as_str())))
                    .into()
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for Issue {}

        impl Issue {
            /// Every issue, in the order reports show them.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )+ ];

            /// The name in result rows.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $name, )+ }
            }

            /// Whether it is known only once all rows of a batch are done.
            pub const fn is_of_all_rows(self) -> bool {
                matches!(self, Self::Placeholder | Self::ExactDuplicate | Self::NearDuplicate)
            }
        }
    };
}

issues! {
    /// Nearly black on the whole.
    Dark = "dark";
    /// Nearly white on the whole.
    Bright = "bright";
    /// Hardly any difference between light and shade.
    LowContrast = "low_contrast";
    /// No sharp edge anywhere.
    Blurry = "blurry";
    /// Next to nothing to see: one colour, or nearly.
    LowInformation = "low_information";
    /// No colour.
    Grayscale = "grayscale";
    /// Much wider than high, or the reverse.
    OddAspectRatio = "odd_aspect_ratio";
    /// Too few pixels for a product picture.
    Small = "small";
    /// The content is of another format than the Content-Type says.
    TypeMismatch = "type_mismatch";
    /// The same content for many URLs of one host: a stand-in picture.
    Placeholder = "placeholder";
    /// The same bytes as another row's image.
    ExactDuplicate = "exact_duplicate";
    /// Looks like another row's image.
    NearDuplicate = "near_duplicate";
}

/// The text names no issue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an issue; see the list of issues in the documentation")]
pub struct UnknownIssue(String);

impl FromStr for Issue {
    type Err = UnknownIssue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|issue| issue.as_str() == text)
            .ok_or_else(|| UnknownIssue(text.to_owned()))
    }
}

impl fmt::Display for Issue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// Everything measured of one image's bytes. Which fields are set depends on the format and on how much was decoded.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// Format by content, not by name or header.
    pub format: ImageFormat,
    /// Pixels, as stored: before the EXIF orientation is applied.
    pub width: u32,
    /// Pixels, as stored.
    pub height: u32,
    /// Frames of an animation, 1 for a still image; `None` where counting would mean decoding.
    pub frames: Option<u32>,
    /// Whether the file has an alpha channel or a transparent colour.
    pub has_alpha: Option<bool>,
    /// EXIF orientation, 1 … 8.
    pub orientation: Option<u8>,
    /// `gray`, `rgb`, `ycbcr`, `cmyk`, `indexed`, with `+icc` where a profile is embedded.
    pub color_space: Option<String>,
    /// Camera data.
    pub exif: Option<Exif>,
    /// DCT-based perceptual hash (as `imagehash.phash`: 32×32 DCT, 8×8 low frequencies against their median).
    pub phash: Option<Hash64>,
    /// Difference hash (as `imagehash.dhash`: 9×8, each pixel against its right neighbour).
    pub dhash: Option<Hash64>,
    /// ThumbHash, base 64: some 25 bytes that render as a blurred preview.
    pub thumbhash: Option<String>,
    /// Mean colour.
    pub mean_rgb: Option<Rgb>,
    /// Up to five dominant colours, the most frequent first.
    pub palette: Vec<Rgb>,
    /// Mean luma, 0 … 1 (BT.601).
    pub brightness: Option<f32>,
    /// Standard deviation of luma, 0 … 0.5.
    pub contrast: Option<f32>,
    /// Mean HSV saturation, 0 … 1.
    pub saturation: Option<f32>,
    /// Variance of the Laplacian of luma (0 … 255 scale): higher is sharper.
    pub sharpness: Option<f32>,
    /// Shannon entropy of the luma histogram, 0 … 8 bits.
    pub entropy: Option<f32>,
    /// Flaws found, in the order of [`Issue::ALL`].
    pub issues: Vec<Issue>,
}

impl Measurement {
    /// What a header alone tells: everything else unset.
    pub const fn of_header(format: ImageFormat, width: u32, height: u32) -> Self {
        Self {
            format,
            width,
            height,
            frames: None,
            has_alpha: None,
            orientation: None,
            color_space: None,
            exif: None,
            phash: None,
            dhash: None,
            thumbhash: None,
            mean_rgb: None,
            palette: Vec::new(),
            brightness: None,
            contrast: None,
            saturation: None,
            sharpness: None,
            entropy: None,
            issues: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_sixteen_digits_in_json() {
        let hash = Hash64(0x00ab_cdef_0123_4567);
        let json = serde_json::to_string(&hash).unwrap();
        assert_eq!(json, "\"00abcdef01234567\"");
        assert_eq!(serde_json::from_str::<Hash64>(&json).unwrap(), hash);
        assert!(serde_json::from_str::<Hash64>("\"+0abcdef01234567\"").is_err());
    }

    #[test]
    fn a_colour_is_six_digits_in_json() {
        let color = Rgb([255, 0, 10]);
        assert_eq!(serde_json::to_string(&color).unwrap(), "\"#ff000a\"");
        assert_eq!("#ff000a".parse(), Ok(color));
        assert_eq!("#ff00é".parse::<Rgb>(), Err(InvalidColor));
    }
}

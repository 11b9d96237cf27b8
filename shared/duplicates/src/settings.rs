//! How alike is alike.

use crate::{DuplicatesError, DuplicatesResult};

/// Largest distance that can be asked for. Two unrelated pictures differ in 32 bits, give or take four.
pub const MAX_DISTANCE: u32 = 12;

/// What counts as a duplicate, and what the search may use up.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Two images are alike when their perceptual hashes differ in at most so many bits, 0 … [`MAX_DISTANCE`].
    pub max_distance: u32,
    /// In which positions two images are compared.
    pub orientation: Orientation,
    /// Which images their perceptual hash says nothing about.
    pub flat: FlatImages,
    /// When the same content is a stand-in picture.
    pub placeholder: PlaceholderRule,
    /// Bytes that the sorts together may hold before they spill to disk. Representatives come on top, at 48 bytes each at most.
    pub sort_bytes: usize,
    /// Threads that look for neighbours.
    pub threads: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_distance: 6,
            orientation: Orientation::Upright,
            flat: FlatImages::default(),
            placeholder: PlaceholderRule::default(),
            sort_bytes: 128 * 1024 * 1024,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

impl Settings {
    pub(crate) fn check(&self) -> DuplicatesResult<()> {
        if self.max_distance > MAX_DISTANCE {
            return Err(DuplicatesError::Setting {
                name: "the distance of perceptual hashes",
                range: "0 to 12 bits",
            });
        }
        let share = self.placeholder.min_share;
        if share != 0.0 && !(0.001..=1.0).contains(&share) {
            return Err(DuplicatesError::Setting {
                name: "the share of a placeholder",
                range: "0, or 0.001 to 1",
            });
        }
        Ok(())
    }
}

/// In which positions an image is compared with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Orientation {
    /// As it is stored.
    #[default]
    Upright,
    /// Also mirrored left to right.
    Mirrored,
    /// Also mirrored and turned: all eight positions of a rectangle.
    Turned,
}

/// Images of next to no content. Their perceptual hash is the hash of rounding errors, or of one soft gradient like a thousand
/// others: they are duplicates only of the same bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlatImages {
    /// Flat below this entropy of luma, in bits.
    pub entropy_below: f32,
    /// Flat below this standard deviation of luma, 0 … 0.5.
    pub contrast_below: f32,
}

impl Default for FlatImages {
    fn default() -> Self {
        Self {
            // As `low_information`: a line drawing on white has little more, and its hash is its own.
            entropy_below: 0.5,
            contrast_below: 0.02,
        }
    }
}

impl FlatImages {
    /// Whether an image with these measurements is flat. What was not measured does not make it so.
    pub fn contains(&self, entropy: Option<f32>, contrast: Option<f32>) -> bool {
        entropy.is_some_and(|entropy| entropy < self.entropy_below)
            || contrast.is_some_and(|contrast| contrast < self.contrast_below)
    }
}

/// The same bytes under many URLs of one host are a stand-in picture, such as "image not available": from `min_rows` rows on
/// where they are `min_share` of the host's images, and from `enough_rows` on however many images the host has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlaceholderRule {
    /// Fewer rows than this are never called so.
    pub min_rows: u32,
    /// Share of the host's images: 0, or 0.001 … 1.
    pub min_share: f64,
    /// So many rows are always called so.
    pub enough_rows: u32,
}

impl Default for PlaceholderRule {
    fn default() -> Self {
        Self {
            min_rows: 5,
            min_share: 0.02,
            enough_rows: 100,
        }
    }
}

impl PlaceholderRule {
    /// Whether `rows` of the `of_host` images of one host are a stand-in picture, if they are the same.
    pub fn applies(&self, rows: u64, of_host: u64) -> bool {
        rows >= u64::from(self.min_rows)
            && (rows >= u64::from(self.enough_rows)
                || rows as f64 >= self.min_share * of_host as f64)
    }
}

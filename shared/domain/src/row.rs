//! A row on its way in and on its way out.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{BatchId, Exif, Hash64, ImageFormat, Issue, Measurement, Outcome, Rgb};

/// Position of a data row in the list, from 0; a header line is not counted.
pub type RowNumber = u64;

/// A row inside a chunk object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChunkRow {
    /// Position in the list.
    pub row: RowNumber,
    /// The URL as the list has it.
    pub url: String,
    /// Columns carried from the list to the result, in list order.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
    /// Set where the split already knows the row's end: nothing is fetched for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// What an earlier batch found out about the same URL, where this one is compared with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<Earlier>,
}

/// What an earlier batch knows of a row's URL.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Earlier {
    /// Nothing: it had no such row, or never fetched it.
    New,
    /// This result of it, without the list's columns.
    Known(Box<ResultRow>),
}

/// How a row differs from the same URL's row in an earlier batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// The same image, or the same failure.
    Unchanged,
    /// Another image, or another end.
    Changed,
    /// It loaded then, and is not found any more.
    Gone,
    /// The earlier batch did not have it.
    New,
}

impl Change {
    /// The name in rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Changed => "changed",
            Self::Gone => "gone",
            Self::New => "new",
        }
    }
}

/// A terminal result that needs no fetch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// `invalid_url` or `duplicate_url`.
    pub outcome: Outcome,
    /// Why, for a person: with the line number where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// For `duplicate_url`: the first row with the same URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicate_of: Option<RowNumber>,
}

/// A row of the result table: the columns of the contract, in its order. Absent is null.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResultRow {
    /// The batch.
    #[cfg_attr(feature = "openapi", schema(value_type = String, min_length = 26, max_length = 26))]
    pub batch: BatchId,
    /// Position in the list, from 0.
    pub row: RowNumber,
    /// The URL as the list has it.
    pub url: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, for a person.
    pub detail: Option<String>,
    /// Status of the last answer.
    pub http_status: Option<u16>,
    /// Where redirects led, if there were any.
    pub final_url: Option<String>,
    /// Requests made for this row, redirects not counted; 0 where nothing was fetched.
    pub attempts: u32,
    /// Milliseconds from the first attempt to the last byte, pauses between attempts included.
    pub elapsed_ms: Option<u64>,
    /// When the last attempt ended (UTC).
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub fetched_at: Option<Timestamp>,
    /// Length of the body in bytes.
    pub bytes: Option<u64>,
    /// The Content-Type of the answer.
    pub declared_type: Option<String>,
    /// The `ETag` of the answer: what a later batch asks with whether the image has changed.
    pub etag: Option<String>,
    /// The Last-Modified of the answer, likewise.
    pub last_modified: Option<String>,
    /// Format by content.
    pub format: Option<ImageFormat>,
    /// Pixels.
    pub width: Option<u32>,
    /// Pixels.
    pub height: Option<u32>,
    /// Frames of an animation, 1 for a still image.
    pub frames: Option<u32>,
    /// Whether there is an alpha channel.
    pub has_alpha: Option<bool>,
    /// EXIF orientation, 1 … 8.
    pub orientation: Option<u8>,
    /// Colour model, and whether a profile is embedded.
    pub color_space: Option<String>,
    /// Camera data.
    pub exif: Option<Exif>,
    /// SHA-256 of the body, 64 hexadecimal digits.
    pub sha256: Option<String>,
    /// DCT-based perceptual hash.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, pattern = "^[0-9a-f]{16}$"))]
    pub phash: Option<Hash64>,
    /// Difference hash.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, pattern = "^[0-9a-f]{16}$"))]
    pub dhash: Option<Hash64>,
    /// Blurred preview, base 64.
    pub thumbhash: Option<String>,
    /// Mean colour.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, pattern = "^#[0-9a-f]{6}$"))]
    pub mean_rgb: Option<Rgb>,
    /// Dominant colours.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<String>>))]
    pub palette: Option<Vec<Rgb>>,
    /// Mean luma, 0 … 1.
    pub brightness: Option<f32>,
    /// Standard deviation of luma, 0 … 0.5.
    pub contrast: Option<f32>,
    /// Mean saturation, 0 … 1.
    pub saturation: Option<f32>,
    /// Variance of the Laplacian.
    pub sharpness: Option<f32>,
    /// Entropy of the luma histogram, bits.
    pub entropy: Option<f32>,
    /// Flaws of an `ok` image.
    pub issues: Vec<Issue>,
    /// Per rule of the batch's rule pack: passed or not, and why.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub rules: Option<Map<String, Value>>,
    /// For duplicates: the row this one repeats.
    pub duplicate_of: Option<RowNumber>,
    /// The earlier batch that row is of; null where it is one of this batch.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, min_length = 26, max_length = 26))]
    pub duplicate_of_batch: Option<BatchId>,
    /// Rows with the same or nearly the same content share a group.
    pub duplicate_group: Option<u64>,
    /// The earlier batch whose row the group is named after; null where it is one of this batch.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, min_length = 26, max_length = 26))]
    pub duplicate_group_batch: Option<BatchId>,
    /// How it differs from an earlier batch, where it was compared with one and something can be said: not after a failure that may pass.
    pub change: Option<Change>,
    /// What a vision model sees, when asked.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub vision: Option<Map<String, Value>>,
    /// Columns carried from the list.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub extra: Map<String, Value>,
}

impl ResultRow {
    /// The result of `row` as far as it is known before anything is fetched.
    pub fn new(batch: BatchId, row: &ChunkRow, outcome: Outcome) -> Self {
        Self {
            batch,
            row: row.row,
            url: row.url.clone(),
            outcome,
            detail: None,
            http_status: None,
            final_url: None,
            attempts: 0,
            elapsed_ms: None,
            fetched_at: None,
            bytes: None,
            declared_type: None,
            etag: None,
            last_modified: None,
            format: None,
            width: None,
            height: None,
            frames: None,
            has_alpha: None,
            orientation: None,
            color_space: None,
            exif: None,
            sha256: None,
            phash: None,
            dhash: None,
            thumbhash: None,
            mean_rgb: None,
            palette: None,
            brightness: None,
            contrast: None,
            saturation: None,
            sharpness: None,
            entropy: None,
            issues: Vec::new(),
            rules: None,
            duplicate_of: None,
            duplicate_of_batch: None,
            duplicate_group: None,
            duplicate_group_batch: None,
            change: None,
            vision: None,
            extra: row.extra.clone(),
        }
    }

    /// The result of a row whose end the split already knew.
    pub fn settled(batch: BatchId, row: &ChunkRow, verdict: &Verdict) -> Self {
        Self {
            detail: verdict.detail.clone(),
            duplicate_of: verdict.duplicate_of,
            ..Self::new(batch, row, verdict.outcome)
        }
    }

    /// Takes over everything that was measured.
    pub fn set_measurement(&mut self, measured: Measurement) {
        self.format = Some(measured.format);
        self.width = Some(measured.width);
        self.height = Some(measured.height);
        self.frames = measured.frames;
        self.has_alpha = measured.has_alpha;
        self.orientation = measured.orientation;
        self.color_space = measured.color_space;
        self.exif = measured.exif;
        self.phash = measured.phash;
        self.dhash = measured.dhash;
        self.thumbhash = measured.thumbhash;
        self.mean_rgb = measured.mean_rgb;
        self.palette = Some(measured.palette).filter(|palette| !palette.is_empty());
        self.brightness = measured.brightness;
        self.contrast = measured.contrast;
        self.saturation = measured.saturation;
        self.sharpness = measured.sharpness;
        self.entropy = measured.entropy;
        self.issues = measured.issues;
    }
}

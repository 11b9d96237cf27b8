//! A batch: one list somebody asked about, from upload to report.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{BatchId, Outcome, VisionOptions};

/// Where a batch stands. Every move is conditional on the state it leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum BatchStatus {
    /// Created; waits for its list or for its start.
    Pending,
    /// Started; waits for the split.
    Queued,
    /// The list is being cut into chunks; the first of them may be under way.
    Splitting,
    /// Every chunk is queued.
    Processing,
    /// Every row has its result.
    Completed,
    /// The list cannot be read.
    Failed,
    /// Stopped by its owner.
    Cancelled,
}

impl BatchStatus {
    /// Every status.
    pub const ALL: &'static [Self] = &[
        Self::Pending,
        Self::Queued,
        Self::Splitting,
        Self::Processing,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The states a batch can still move on from.
    pub const OPEN: &'static [Self] = &[
        Self::Pending,
        Self::Queued,
        Self::Splitting,
        Self::Processing,
    ];

    /// The name in answers and queries.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Queued => "QUEUED",
            Self::Splitting => "SPLITTING",
            Self::Processing => "PROCESSING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// Whether no image of the batch is fetched any more, unless its owner asks for a retry.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for BatchStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// The text names no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a batch status")]
pub struct UnknownStatus(String);

impl FromStr for BatchStatus {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|status| status.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownStatus(text.to_owned()))
    }
}

/// How the rows of a list are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ListFormat {
    /// Comma-separated values (RFC 4180).
    Csv,
    /// Tab-separated values.
    Tsv,
    /// One JSON object or string a line.
    Ndjson,
    /// One URL a line.
    Text,
}

/// How much of an image is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum MeasureMode {
    /// Format and dimensions from the first bytes; no pixel is decoded, no hash of the content taken.
    Header,
    /// The cheapest decode that is good enough for every feature.
    #[default]
    Fast,
    /// Every pixel of the first frame.
    Full,
}

/// What the owner asked for, fixed when the batch is created.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct BatchOptions {
    /// Name of the column with the URLs; found by itself when unset.
    pub url_column: Option<String>,
    /// How the list is written; told from its name and first bytes when unset.
    pub list_format: Option<ListFormat>,
    /// Rows in a chunk; the engine's default when unset.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 100_000))]
    pub chunk_size: Option<u32>,
    /// How much of each image is looked at.
    pub measure: MeasureMode,
    /// Whether a model says what each image shows; nobody is asked when unset, nor in header mode, which reads no whole image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vision: Option<VisionOptions>,
    /// An earlier batch to compare with: images that it has are only sent again if they have changed, and every row says whether it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, min_length = 26, max_length = 26))]
    pub since: Option<BatchId>,
    /// What counts as a near duplicate, and of which images; as documented when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicates: Option<DuplicateOptions>,
    /// Rule packs that every image is checked against.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 10))]
    pub rules: Vec<RulePack>,
    /// An address that is told, by a signed request, when the report is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_length = 2000))]
    pub webhook: Option<String>,
}

/// What counts as a near duplicate, and of which images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct DuplicateOptions {
    /// Bits in which two perceptual hashes may differ.
    #[cfg_attr(feature = "openapi", schema(minimum = 0, maximum = 12))]
    pub distance: u32,
    /// Positions in which two images are compared.
    pub positions: Positions,
    /// An earlier batch whose images count as well, with all that it was matched against itself. It has to have the same distance and
    /// positions.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, min_length = 26, max_length = 26))]
    pub against: Option<BatchId>,
}

impl DuplicateOptions {
    /// Largest distance: two unrelated pictures differ in 32 bits, give or take four.
    pub const MAX_DISTANCE: u32 = 12;
}

impl Default for DuplicateOptions {
    fn default() -> Self {
        Self {
            distance: 6,
            positions: Positions::default(),
            against: None,
        }
    }
}

/// Positions in which two images are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Positions {
    /// As they are stored.
    #[default]
    Upright,
    /// Also mirrored left to right.
    Mirrored,
    /// Also mirrored and turned: all eight positions of a rectangle.
    Turned,
}

/// A pack of rules, such as what a marketplace asks of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum RulePack {
    /// One that comes with the program, by its name.
    BuiltIn(String),
    /// One of the owner's.
    Own {
        /// The pack, as TOML.
        #[cfg_attr(feature = "openapi", schema(max_length = 32_768))]
        toml: String,
    },
}

/// How far a split has come, so that another process can go on after a crash or at a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SplitCheckpoint {
    /// Chunks whose objects, shard row and messages are all out: always whole shards.
    pub chunks: u32,
    /// Rows in those chunks.
    pub rows: u64,
    /// Rows in every chunk but the last, fixed when the split begins, so that whoever goes on cuts in the same places; 0 before.
    #[serde(default)]
    pub chunk_size: u32,
    /// Whether nobody is at work from here on until the sweep sends for it: the split continued itself as often as it may.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_handed_over: bool,
}

/// What the whole list came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitTotals {
    /// Rows, bad ones included.
    pub rows: u64,
    /// Chunks.
    pub chunks: u32,
    /// Shards: chunks in hundreds, rounded up.
    pub shards: u32,
}

/// Another round over rows of a batch that had ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Rows that ended like this are done again.
    pub outcomes: Vec<Outcome>,
    /// When its owner asked for it.
    pub requested_at: Timestamp,
    /// When the round before had ended.
    pub ended_before: Timestamp,
}

/// One list somebody asked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each answers a question of its own, and any of them goes with any other"
)]
pub struct Batch {
    /// Identity.
    pub id: BatchId,
    /// What its owner calls it.
    pub name: String,
    /// Whose it is: the name of the token that created it.
    pub owner: String,
    /// Where it stands.
    pub status: BatchStatus,
    /// What was asked for.
    pub options: BatchOptions,
    /// File name of the list as it was handed in; tells its format.
    pub list_name: String,
    /// SHA-256 of the list, 64 hexadecimal digits; tells a repeated upload from another. Empty when the list did not pass through us
    /// on its way in.
    pub list_sha256: String,
    /// Length of the list in bytes, as handed in; 0 while it is awaited.
    pub list_bytes: u64,
    /// Whether the list is still to be handed in at the address its owner was given.
    #[serde(default)]
    pub awaits_list: bool,
    /// Whether the batch starts by itself once the list it awaits is there.
    #[serde(default)]
    pub auto_start: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its state last moved.
    pub updated_at: Timestamp,
    /// When its split began.
    pub started_at: Option<Timestamp>,
    /// When its last row was done, or it failed or was cancelled.
    pub ended_at: Option<Timestamp>,
    /// Why it failed, for a person.
    pub failure: Option<String>,
    /// How far the split has come; during a retry, how many chunks have been looked through for rows to do again.
    pub checkpoint: SplitCheckpoint,
    /// Known once the whole list is split.
    pub totals: Option<SplitTotals>,
    /// Whether the finalize message is known to be out; the outbox of completion.
    pub finalize_sent: bool,
    /// Whether the report is written.
    pub report_ready: bool,
    /// Rows that one process may fetch at once; as many as it can when unset. May change while the batch runs.
    #[serde(default)]
    pub max_concurrency: Option<u32>,
    /// The retries, oldest first.
    #[serde(default)]
    pub retries: Vec<Retry>,
    /// Whether its owner deleted it, and it goes as soon as its objects are gone.
    #[serde(default)]
    pub deleting: bool,
}

impl Batch {
    /// Which round over its rows this is: 0 for the first, then one more with every retry.
    pub fn generation(&self) -> u32 {
        self.retries.len() as u32
    }

    /// Whether every message of the current generation is out: the list is split, or a retry has looked through every chunk.
    pub fn is_fanned_out(&self) -> bool {
        self.totals
            .is_some_and(|totals| self.checkpoint.chunks >= totals.chunks)
    }

    /// Seconds it was worked on until `now`, or to its end; the time between an end and a retry is not counted. `None` before its
    /// split began.
    pub fn active_s(&self, now: Timestamp) -> Option<f64> {
        let mut since = self.started_at?;
        let mut active_s = 0.0;
        for retry in &self.retries {
            active_s += retry.ended_before.duration_since(since).as_secs_f64();
            since = retry.requested_at;
        }
        let until = self.ended_at.unwrap_or(now);
        Some(active_s + until.duration_since(since).as_secs_f64())
    }
}

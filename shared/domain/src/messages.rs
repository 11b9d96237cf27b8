//! What travels through the queues: JSON, small, safe to deliver twice.

use serde::{Deserialize, Serialize};

use crate::{BatchId, KpiDelta, Minute, PartRef};

/// Split queue: cut this batch's list into chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitMessage {
    /// The batch.
    pub batch: BatchId,
    /// How many processes had a go before this one.
    #[serde(default)]
    pub continuation: u32,
}

/// Chunk queue: analyse this part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkMessage {
    /// The work.
    #[serde(flatten)]
    pub part: PartRef,
    /// How often rows were left over because time ran out; bounded, unlike the part number.
    #[serde(default)]
    pub deferrals: u32,
    /// Parts of this chunk before it, since its batch began or was last retried. Bounded as well.
    #[serde(default)]
    pub parts_before: u32,
}

/// Vision queues: label the images of this part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VisionMessage {
    /// The part whose images they are.
    #[serde(flatten)]
    pub part: PartRef,
    /// 0 for all its images, then one more each time some were left over.
    #[serde(default)]
    pub step: u32,
}

/// Metrics queue: what a part adds to the indicators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricsMessage {
    /// The part, so that a repeat is counted once.
    pub part: PartRef,
    /// The minute it ended in.
    pub minute: Minute,
    /// What to add.
    pub delta: KpiDelta,
}

/// Finalize queue: write this table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportMessage {
    /// The batch whose rows it has.
    pub table_of: BatchId,
    /// Where it is to lie.
    pub key: String,
    /// The name of its format.
    pub format: String,
    /// Names of its columns; all when there are none.
    pub columns: Vec<String>,
    /// Conditions that a row has to meet.
    pub conditions: Vec<String>,
}

/// Finalize queue: write this batch's report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalizeMessage {
    /// The batch.
    pub batch: BatchId,
    /// Set where the report is written and only the notice of it is still to be sent: the attempt, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<u32>,
}

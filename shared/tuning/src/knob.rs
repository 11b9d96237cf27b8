//! What can be turned, and how far.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The names of the knobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KnobName {
    /// Rows in a chunk.
    ChunkSize,
    /// Requests under way at once.
    Concurrency,
    /// Images that a vision model is asked about at once.
    BatchSize,
}

impl KnobName {
    /// As it is written in log lines and documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ChunkSize => "chunk_size",
            Self::Concurrency => "concurrency",
            Self::BatchSize => "batch_size",
        }
    }
}

impl fmt::Display for KnobName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// A knob at a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Knob {
    /// Which one.
    pub name: KnobName,
    /// Its least value.
    pub least: u64,
    /// Its greatest.
    pub most: u64,
    /// Its present one.
    pub value: u64,
}

impl Knob {
    /// A knob within a range; a start outside of it is moved to its nearer end.
    pub fn new(name: KnobName, least: u64, most: u64, start: u64) -> Self {
        let least = least.max(1);
        let most = most.max(least);
        Self {
            name,
            least,
            most,
            value: start.clamp(least, most),
        }
    }

    /// The value a factor up or down, within the range and a whole number.
    pub(crate) fn moved(&self, factor: f64) -> u64 {
        let moved = (self.value as f64 * factor).round() as u64;
        // A small number times a small factor may be itself.
        let moved = if moved != self.value {
            moved
        } else if factor > 1.0 {
            moved + 1
        } else {
            moved.saturating_sub(1)
        };
        moved.clamp(self.least, self.most)
    }
}

//! Identity: batches by ULID, everything below a batch by position.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// Chunks whose counters share one shard row: about a hundred writes in a shard row's life, no hot key.
pub const CHUNKS_PER_SHARD: u32 = 100;

/// A batch's identity: a ULID, so that ids sort by creation time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BatchId(Ulid);

impl BatchId {
    /// Wraps a ULID handed out by [`crate::ports::Ids`].
    pub const fn new(ulid: Ulid) -> Self {
        Self(ulid)
    }

    /// The id of these 128 bits.
    pub const fn from_u128(bits: u128) -> Self {
        Self(Ulid(bits))
    }

    /// The id's 128 bits: 48 of time, 80 of chance.
    pub const fn as_u128(self) -> u128 {
        self.0.0
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The text is not a ULID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a batch id has 26 characters of Crockford's base 32")]
pub struct InvalidId;

impl FromStr for BatchId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ulid::from_string(text).map(Self).map_err(|_| InvalidId)
    }
}

/// Set in the part number of a labelling.
const LABELLING: u32 = 1 << 31;

/// One attempt's share of a chunk. `(batch, chunk, part)` is the identity of work, never a message id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PartRef {
    /// The batch it belongs to.
    pub batch: BatchId,
    /// Position of the chunk in the list, from 0.
    pub chunk: u32,
    /// 0 for the whole chunk, then one more each time rows were left over.
    pub part: u32,
}

impl PartRef {
    /// The shard whose counters this part adds to.
    pub const fn shard(self) -> ShardRef {
        ShardRef {
            batch: self.batch,
            shard: self.chunk / CHUNKS_PER_SHARD,
        }
    }

    /// The labelling of this part's images. It is counted in the chunk's shard like a part, under a number that no part of the analysis
    /// reaches.
    #[must_use]
    pub const fn labelling(self) -> Self {
        Self {
            part: LABELLING | self.part,
            ..self
        }
    }

    /// The part that takes up the rows this one left over.
    #[must_use]
    pub const fn next(self) -> Self {
        Self {
            part: self.part + 1,
            ..self
        }
    }
}

impl fmt::Display for PartRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}.{}", self.batch, self.chunk, self.part)
    }
}

/// One hundred chunks that share a row of counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardRef {
    /// The batch it belongs to.
    pub batch: BatchId,
    /// `chunk / 100`.
    pub shard: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_id_survives_its_text_form() {
        let id = BatchId::new(Ulid::from_parts(1, 2));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("not-a-ulid".parse::<BatchId>(), Err(InvalidId));
    }

    #[test]
    fn a_labelling_is_a_part_of_its_own() {
        let batch = BatchId::new(Ulid::nil());
        let part = |part| PartRef {
            batch,
            chunk: 7,
            part,
        };
        let numbers = [
            part(0),
            part(1),
            part(1_000_000),
            part(0).labelling(),
            part(1).labelling(),
            part(1_000_000).labelling(),
        ];
        assert!(numbers.is_sorted());
        let distinct: std::collections::BTreeSet<_> = numbers.iter().collect();
        assert_eq!(distinct.len(), numbers.len());
        assert_eq!(part(1).labelling().shard(), part(1).shard());
    }

    #[test]
    fn chunks_fall_into_shards_of_a_hundred() {
        let part = |chunk| PartRef {
            batch: BatchId::new(Ulid::nil()),
            chunk,
            part: 0,
        };
        assert_eq!(part(99).shard().shard, 0);
        assert_eq!(part(100).shard().shard, 1);
    }
}

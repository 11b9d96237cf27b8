//! The nouns of imgsweep and the ports its use cases need.
//!
//! Nothing in here does input or output, knows an SDK or decodes an image. The verbs live in `pipeline`; the ports of
//! [`ports`] are implemented by the adapters.
//!
//! | noun | what it is |
//! |---|---|
//! | [`Batch`] | one list somebody asked about, from upload to report |
//! | chunk | some thousand consecutive rows of the list: the unit of work, one message |
//! | part | one attempt's share of a chunk: what was finished is committed, the rest becomes the next part |
//! | shard | one hundred chunks that share one row of counters |
//! | generation | a round over the rows of a batch: the first, or a [`Retry`] of some of them |
//! | [`ChunkRow`] | a row on its way in: number, URL, carried columns |
//! | [`ResultRow`] | a row on its way out, with exactly one [`Outcome`] |

mod access;
mod batch;
mod counters;
mod ids;
pub mod keys;
mod kpi;
mod limits;
mod measurement;
mod messages;
mod outcome;
pub mod ports;
mod row;
mod vision;
mod vitals;

pub use access::{AccessToken, InvalidTokenHash, Scope, TokenHash, UnknownScope};
pub use batch::{
    Batch, BatchOptions, BatchStatus, DuplicateOptions, ListFormat, MeasureMode, Positions, Retry,
    RulePack, SplitCheckpoint, SplitTotals,
};
pub use counters::Counters;
pub use ids::{BatchId, CHUNKS_PER_SHARD, InvalidId, PartRef, ShardRef};
pub use kpi::{KpiDelta, LatencyHistogram, Minute};
pub use limits::Limits;
pub use measurement::{Exif, Hash64, ImageFormat, Issue, Measurement, Rgb};
pub use messages::{
    ChunkMessage, ExportMessage, FinalizeMessage, MetricsMessage, SplitMessage, VisionMessage,
};
pub use outcome::Outcome;
pub use row::{Change, ChunkRow, Earlier, ResultRow, RowNumber, Verdict};
pub use vision::{Priority, VisionCounters, VisionOptions, VisionReuse};
pub use vitals::{CacheStats, Gauge, HostTally, OperationStats, Vitals, troubled_hosts};

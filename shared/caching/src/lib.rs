//! Answers worth keeping, at three levels: this process's memory, this machine's disk, a store that all processes share.
//!
//! A question goes down until a level knows the answer, and the answer is kept at every level above. Nothing is opened before the first
//! question that a level has to answer. The two lower levels are a courtesy: where a file cannot be used, the level is left out and
//! said so once. Only the shared level may fail a question.
//!
//! The shared level also hands out leases ([`Cache::claim`]), so that an answer that is paid for is worked out by one process alone.

mod cache;
mod disk;
mod entry;
mod pattern;
mod stats;

pub use cache::{Cache, CacheSettings, Claim};
pub use entry::{Cached, Kind};
pub use stats::LevelStats;

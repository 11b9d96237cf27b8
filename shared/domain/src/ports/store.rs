//! State: batches, shards and key performance indicators.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::PortResult;
use crate::{
    Batch, BatchId, BatchStatus, Counters, KpiDelta, Minute, PartRef, Retry, ShardRef,
    SplitCheckpoint, SplitTotals,
};

/// Whether a batch was new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Creation {
    /// It is now stored.
    Created,
    /// One with the same id was there, and stays as it was.
    AlreadyThere,
}

/// What to set when a batch moves to another state; `None` leaves a field as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BatchChange {
    /// The new state; the same as before to change fields only.
    pub status: Option<BatchStatus>,
    /// Length in bytes of the list that arrived; it is awaited no longer.
    pub list_bytes: Option<u64>,
    /// When its split began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why it failed.
    pub failure: Option<String>,
    /// How far the split has come.
    pub checkpoint: Option<SplitCheckpoint>,
    /// What the list came to.
    pub totals: Option<SplitTotals>,
    /// Whether the finalize message is out.
    pub finalize_sent: Option<bool>,
    /// Whether the report is written.
    pub report_ready: Option<bool>,
    /// Rows that one process may fetch at once.
    pub max_concurrency: Option<u32>,
    /// Whether it is on its way out.
    pub deleting: Option<bool>,
    /// Not set but asked for: a batch that is in another generation stays as it is.
    pub in_generation: Option<u32>,
}

impl BatchChange {
    /// A move to `status`, nothing else.
    pub fn to(status: BatchStatus) -> Self {
        Self {
            status: Some(status),
            ..Self::default()
        }
    }
}

/// What became of a conditional change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advance {
    /// Done.
    Moved,
    /// Not done: the batch is in this state, which is none of those asked for.
    Stays(BatchStatus),
    /// There is no such batch.
    Missing,
}

/// Which batches to list: newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BatchQuery {
    /// Only those of this owner.
    pub owner: Option<String>,
    /// Only those in this state.
    pub status: Option<BatchStatus>,
    /// Only those whose report is not written. Costs no more than what it finds, however many other batches there are.
    pub without_report: bool,
    /// Only those older than this one: the last of the page before.
    pub before: Option<BatchId>,
    /// At most this many.
    pub limit: usize,
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// What was found.
    pub items: Vec<T>,
    /// Whether there is more behind it.
    pub more: bool,
}

/// A finished part, ready to be counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartCommit {
    /// Which.
    pub part: PartRef,
    /// Counts of the stored result object, never of an attempt.
    pub counters: Counters,
    /// Whether the result object names rows that are left over to the next part.
    pub has_leftover: bool,
    /// Whether a model is asked about its images, which the shard then waits for as for one more part.
    pub begins_labelling: bool,
    /// Set for a part that begins a retry, which nobody waited for: what the rows that it takes back had counted.
    pub retracted: Option<Counters>,
}

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// `false` when the part was counted before: success as well.
    pub is_new: bool,
    /// Whether every part of the shard is now counted.
    pub shard_complete: bool,
}

/// A shard row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// Which, within its batch.
    pub shard: u32,
    /// Parts to wait for: the chunks, one more for every part that left rows over, and every part that began a retry.
    pub expected: u32,
    /// Parts counted.
    pub done: u32,
    /// Sums over the parts counted, less what retries took back. Outcomes and flaws that no row has are left out.
    pub counters: Counters,
}

impl Shard {
    /// Whether every part is counted.
    pub const fn is_complete(&self) -> bool {
        self.done >= self.expected
    }
}

/// How far the shards of a batch are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollUp {
    /// Where the batch stands.
    pub status: BatchStatus,
    /// Shards in all, once every message of the current generation is out ([`Batch::is_fanned_out`]).
    pub shards: Option<u32>,
    /// Shards marked as done.
    pub shards_done: u32,
    /// Whether this call marked one.
    pub is_new: bool,
}

impl RollUp {
    /// Whether every row has its result: the batch can move to `COMPLETED`, or is cancelled and settled.
    pub fn is_complete(&self) -> bool {
        let is_last_stage = matches!(
            self.status,
            BatchStatus::Processing | BatchStatus::Cancelled
        );
        is_last_stage && self.shards == Some(self.shards_done)
    }
}

/// Whether new work is begun, in the whole system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Intake {
    /// Whether batches and chunks that are not begun have to wait.
    pub is_paused: bool,
    /// When it was last paused or resumed; `None` if never.
    pub since: Option<Timestamp>,
}

/// Minutes whose indicators can be asked for in one call: 31 days.
pub const MAX_KPI_MINUTES: i64 = 31 * 24 * 60;

/// A request that must not be carried out twice, by the key its sender gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyClaim {
    /// Whose key: others may use the same.
    pub owner: String,
    /// The key.
    pub key: String,
    /// SHA-256 of what was asked for, 64 hexadecimal digits.
    pub request_sha256: String,
    /// The batch that the request creates.
    pub batch: BatchId,
    /// From when on the key is free again.
    pub expires_at: Timestamp,
}

/// Batches, shards and indicators.
///
/// Every call is atomic. After an `Err` of a kind that may be retried, the call may have been carried out or not; every call can be
/// repeated, and a repeat has no further effect.
#[async_trait]
pub trait BatchStore: Send + Sync + 'static {
    /// Stores a new batch, if there is none with its id.
    async fn create_batch(&self, batch: &Batch) -> PortResult<Creation>;

    /// The batch, or `None`.
    async fn batch(&self, id: BatchId) -> PortResult<Option<Batch>>;

    /// Batches, newest first.
    async fn list_batches(&self, query: &BatchQuery) -> PortResult<Page<Batch>>;

    /// Applies `change` if the batch is in one of the states `from`, and in the generation that the change asks for, if any; `now`
    /// becomes its `updated_at`.
    async fn advance(
        &self,
        id: BatchId,
        from: &[BatchStatus],
        change: &BatchChange,
        now: Timestamp,
    ) -> PortResult<Advance>;

    /// Creates a shard row that waits for `expected` parts. One that is there already stays as it is.
    async fn create_shard(&self, shard: ShardRef, expected: u32) -> PortResult<()>;

    /// Counts a part once: marks it as done, adds its counters, and waits for one more part when rows are left over. A part that
    /// begins a retry was not waited for: it raises what is waited for by itself as well, and takes its `retracted` counters off. A
    /// part that is done already changes nothing. `Err` of kind `Rejected` when the shard does not exist.
    async fn commit_part(&self, commit: &PartCommit) -> PortResult<Commit>;

    /// Marks a shard as done in its batch, if it is complete and not yet marked, and says how far the batch is.
    /// `None` when there is no such batch. Nothing is marked while a retry looks through the batch
    /// ([`Batch::generation`] above 0, not [`Batch::is_fanned_out`]): a shard that is complete now may not stay so. A mark that would
    /// land in a later generation than the completeness it was read with is not made either.
    async fn close_shard(&self, shard: ShardRef) -> PortResult<Option<RollUp>>;

    /// The shards of a batch in ascending order; empty for an unknown batch.
    async fn shards(&self, batch: BatchId) -> PortResult<Vec<Shard>>;

    /// Begins generation `generation` of a batch, which counts from 0 and has to follow the current one: moves it from `COMPLETED` or
    /// `CANCELLED` to `SPLITTING`, adds `retry` to its retries, sets its checkpoint to chunk 0, unmarks all its shards, and
    /// forgets its end, its finalize message and its report. Stays where it is unless its report is written and it is not being
    /// deleted.
    async fn begin_retry(
        &self,
        id: BatchId,
        generation: u32,
        retry: &Retry,
        now: Timestamp,
    ) -> PortResult<Advance>;

    /// Adds a part's indicators to those of a minute, once a part. `false` when they were added before.
    async fn add_kpis(&self, part: PartRef, minute: Minute, delta: &KpiDelta) -> PortResult<bool>;

    /// The indicators of the minutes `from ..= to`, ascending; minutes without any are left out. At most [`MAX_KPI_MINUTES`] at once:
    /// more may be `Rejected`.
    async fn kpis(&self, from: Minute, to: Minute) -> PortResult<Vec<(Minute, KpiDelta)>>;

    /// Removes a batch, its shards and what belongs to them. An unknown batch is no error.
    async fn delete_batch(&self, id: BatchId) -> PortResult<()>;

    /// Whether new work is begun; it is unless [`BatchStore::set_intake`] said otherwise.
    async fn intake(&self) -> PortResult<Intake>;

    /// Sets whether new work is begun.
    async fn set_intake(&self, intake: &Intake) -> PortResult<()>;

    /// Stores a claim, unless its owner has one for the same key that has not expired by `now`, and answers with the one
    /// that stands. Of concurrent claims for one key exactly one stands.
    async fn claim_key(&self, claim: &KeyClaim, now: Timestamp) -> PortResult<KeyClaim>;
}

//! Batches, shards and indicators in tables. One file a noun; each function runs inside the transaction it is given.

mod batches;
mod intake;
mod kpis;
mod shards;

use async_trait::async_trait;
use domain::ports::{
    Advance, BatchChange, BatchQuery, BatchStore, Commit, Creation, Intake, KeyClaim, Page,
    PartCommit, PortResult, RollUp, Shard,
};
use domain::{Batch, BatchId, BatchStatus, KpiDelta, Minute, PartRef, Retry, ShardRef};
use jiff::Timestamp;

use crate::Database;

/// State of all batches in one [`Database`].
///
/// Beyond the port's contract: [`BatchStore::create_shard`] is `Rejected` when its batch does not exist, so that nothing
/// is left behind by a batch that was deleted while it was split.
pub struct SqliteStore {
    database: Database,
}

impl SqliteStore {
    /// The state in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

#[async_trait]
impl BatchStore for SqliteStore {
    async fn create_batch(&self, batch: &Batch) -> PortResult<Creation> {
        let batch = batch.clone();
        self.database
            .write("create batch", move |transaction| {
                batches::create(transaction, &batch)
            })
            .await
    }

    async fn batch(&self, id: BatchId) -> PortResult<Option<Batch>> {
        self.database
            .read("read batch", move |transaction| {
                batches::find(transaction, id)
            })
            .await
    }

    async fn list_batches(&self, query: &BatchQuery) -> PortResult<Page<Batch>> {
        let query = query.clone();
        self.database
            .read("list batches", move |transaction| {
                batches::list(transaction, &query)
            })
            .await
    }

    async fn advance(
        &self,
        id: BatchId,
        from: &[BatchStatus],
        change: &BatchChange,
        now: Timestamp,
    ) -> PortResult<Advance> {
        let from = from.to_vec();
        let change = change.clone();
        self.database
            .write("advance batch", move |transaction| {
                batches::advance(transaction, id, &from, change, now)
            })
            .await
    }

    async fn create_shard(&self, shard: ShardRef, expected: u32) -> PortResult<()> {
        self.database
            .write("create shard", move |transaction| {
                shards::create(transaction, shard, expected)
            })
            .await
    }

    async fn commit_part(&self, commit: &PartCommit) -> PortResult<Commit> {
        let commit = commit.clone();
        self.database
            .write("commit part", move |transaction| {
                shards::commit_part(transaction, &commit)
            })
            .await
    }

    async fn close_shard(&self, shard: ShardRef) -> PortResult<Option<RollUp>> {
        self.database
            .write("close shard", move |transaction| {
                shards::close(transaction, shard)
            })
            .await
    }

    async fn shards(&self, batch: BatchId) -> PortResult<Vec<Shard>> {
        self.database
            .read("read shards", move |transaction| {
                shards::list(transaction, batch)
            })
            .await
    }

    async fn add_kpis(&self, part: PartRef, minute: Minute, delta: &KpiDelta) -> PortResult<bool> {
        let delta = delta.clone();
        self.database
            .write("add indicators", move |transaction| {
                kpis::add(transaction, part, minute, delta)
            })
            .await
    }

    async fn kpis(&self, from: Minute, to: Minute) -> PortResult<Vec<(Minute, KpiDelta)>> {
        self.database
            .read("read indicators", move |transaction| {
                kpis::list(transaction, from, to)
            })
            .await
    }

    async fn begin_retry(
        &self,
        id: BatchId,
        generation: u32,
        retry: &Retry,
        now: Timestamp,
    ) -> PortResult<Advance> {
        let retry = retry.clone();
        self.database
            .write("begin retry", move |transaction| {
                batches::begin_retry(transaction, id, generation, retry, now)
            })
            .await
    }

    async fn intake(&self) -> PortResult<Intake> {
        self.database.read("read intake", intake::intake).await
    }

    async fn set_intake(&self, intake: &Intake) -> PortResult<()> {
        let intake = *intake;
        self.database
            .write("set intake", move |transaction| {
                intake::set_intake(transaction, intake)
            })
            .await
    }

    async fn claim_key(&self, claim: &KeyClaim, now: Timestamp) -> PortResult<KeyClaim> {
        let claim = claim.clone();
        self.database
            .write("claim key", move |transaction| {
                intake::claim_key(transaction, &claim, now)
            })
            .await
    }

    async fn delete_batch(&self, id: BatchId) -> PortResult<()> {
        self.database
            .write("delete batch", move |transaction| {
                kpis::forget_parts(transaction, id)?;
                batches::delete(transaction, id)
            })
            .await
    }
}

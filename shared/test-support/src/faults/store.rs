//! The layer over a store.

use async_trait::async_trait;
use domain::ports::{
    Advance, BatchChange, BatchQuery, BatchStore, Commit, Creation, Intake, KeyClaim, Page,
    PartCommit, PortResult, RollUp, Shard,
};
use domain::{Batch, BatchId, BatchStatus, KpiDelta, Minute, PartRef, Retry, ShardRef};
use futures::{FutureExt, TryFutureExt};
use jiff::Timestamp;

use super::Tapped;

#[async_trait]
impl BatchStore for Tapped<dyn BatchStore> {
    async fn create_batch(&self, batch: &Batch) -> PortResult<Creation> {
        let work = || self.port.create_batch(batch);
        self.process.call("store create_batch", work).await
    }

    async fn batch(&self, id: BatchId) -> PortResult<Option<Batch>> {
        let work = || self.port.batch(id);
        self.process.call("store batch", work).await
    }

    async fn list_batches(&self, query: &BatchQuery) -> PortResult<Page<Batch>> {
        let work = || self.port.list_batches(query);
        self.process.call("store list_batches", work).await
    }

    async fn advance(
        &self,
        id: BatchId,
        from: &[BatchStatus],
        change: &BatchChange,
        now: Timestamp,
    ) -> PortResult<Advance> {
        let work = || {
            let moving = self.port.advance(id, from, change, now);
            let noted = moving.map_ok(|advance| {
                if let (Advance::Moved, Some(to)) = (advance, change.status) {
                    self.process.script.moved(id, to);
                }
                advance
            });
            noted.boxed()
        };
        let to = change.status.map_or("", BatchStatus::as_str);
        let name = format!("store advance {to}");
        self.process.call(&name, work).await
    }

    async fn create_shard(&self, shard: ShardRef, expected: u32) -> PortResult<()> {
        let work = || self.port.create_shard(shard, expected);
        self.process.call("store create_shard", work).await
    }

    async fn commit_part(&self, commit: &PartCommit) -> PortResult<Commit> {
        let work = || self.port.commit_part(commit);
        let name = format!(
            "store commit_part {}.{}",
            commit.part.chunk, commit.part.part
        );
        self.process.call(&name, work).await
    }

    async fn close_shard(&self, shard: ShardRef) -> PortResult<Option<RollUp>> {
        let work = || self.port.close_shard(shard);
        self.process.call("store close_shard", work).await
    }

    async fn shards(&self, batch: BatchId) -> PortResult<Vec<Shard>> {
        let work = || self.port.shards(batch);
        self.process.call("store shards", work).await
    }

    async fn add_kpis(&self, part: PartRef, minute: Minute, delta: &KpiDelta) -> PortResult<bool> {
        let work = || self.port.add_kpis(part, minute, delta);
        self.process.call("store add_kpis", work).await
    }

    async fn kpis(&self, from: Minute, to: Minute) -> PortResult<Vec<(Minute, KpiDelta)>> {
        let work = || self.port.kpis(from, to);
        self.process.call("store kpis", work).await
    }

    async fn begin_retry(
        &self,
        id: BatchId,
        generation: u32,
        retry: &Retry,
        now: Timestamp,
    ) -> PortResult<Advance> {
        let work = || self.port.begin_retry(id, generation, retry, now);
        self.process.call("store begin_retry", work).await
    }

    async fn intake(&self) -> PortResult<Intake> {
        let work = || self.port.intake();
        self.process.call("store intake", work).await
    }

    async fn set_intake(&self, intake: &Intake) -> PortResult<()> {
        let work = || self.port.set_intake(intake);
        self.process.call("store set_intake", work).await
    }

    async fn claim_key(&self, claim: &KeyClaim, now: Timestamp) -> PortResult<KeyClaim> {
        let work = || self.port.claim_key(claim, now);
        self.process.call("store claim_key", work).await
    }

    async fn delete_batch(&self, id: BatchId) -> PortResult<()> {
        let work = || self.port.delete_batch(id);
        self.process.call("store delete_batch", work).await
    }
}

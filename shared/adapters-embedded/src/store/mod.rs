//! Batches, shards and indicators in tables. One file a noun; each function runs inside the transaction it is given.

mod access;
mod batches;
mod cache;
mod intake;
mod keys;
mod kpis;
mod monitoring;
mod shards;

use async_trait::async_trait;
use domain::keys::budget_pool;
use domain::ports::{
    AccessStore, Advance, BatchChange, BatchQuery, BatchStore, Commit, Creation, Intake, KeyClaim,
    MonitoringStore, Page, PartCommit, PortResult, RollUp, Shard, TroubledHost,
};
use domain::{
    AccessToken, Batch, BatchId, BatchStatus, KpiDelta, Minute, PartRef, Retry, ShardRef,
    TokenHash, Vitals,
};
use jiff::Timestamp;
use serde_json::Value;

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

    /// Forgets the indicators of all minutes before this one, and returns how many there were.
    pub async fn forget_minutes(&self, before: Minute) -> PortResult<u64> {
        self.database
            .write("forget indicators", move |transaction| {
                kpis::forget(transaction, before)
            })
            .await
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
                keys::forget(transaction, &budget_pool(id))?;
                batches::delete(transaction, id)
            })
            .await
    }
}

#[async_trait]
impl AccessStore for SqliteStore {
    async fn create_token(&self, token: &AccessToken) -> PortResult<Creation> {
        let token = token.clone();
        self.database
            .write("create token", move |transaction| {
                access::create(transaction, &token)
            })
            .await
    }

    async fn token_by_hash(&self, hash: &TokenHash) -> PortResult<Option<AccessToken>> {
        let hash = *hash;
        self.database
            .read("read token", move |transaction| {
                access::find(transaction, hash)
            })
            .await
    }

    async fn tokens(&self) -> PortResult<Vec<AccessToken>> {
        self.database.read("list tokens", access::list).await
    }

    async fn revoke_token(&self, name: &str, now: Timestamp) -> PortResult<bool> {
        let name = name.to_owned();
        self.database
            .write("revoke token", move |transaction| {
                access::revoke(transaction, &name, now)
            })
            .await
    }

    async fn count_use(
        &self,
        counter: &str,
        amount: u64,
        expires_at: Timestamp,
    ) -> PortResult<u64> {
        let counter = counter.to_owned();
        self.database
            .write("count use", move |transaction| {
                access::count(transaction, &counter, amount, expires_at)
            })
            .await
    }
}

#[async_trait]
impl MonitoringStore for SqliteStore {
    async fn add_vitals(&self, minute: Minute, vitals: &Vitals) -> PortResult<()> {
        let vitals = vitals.clone();
        self.database
            .write("add vitals", move |transaction| {
                monitoring::add_vitals(transaction, minute, vitals)
            })
            .await
    }

    async fn troubled_hosts(&self, from: Minute, to: Minute) -> PortResult<Vec<TroubledHost>> {
        self.database
            .read("read troubled hosts", move |transaction| {
                monitoring::troubled_hosts(transaction, from, to)
            })
            .await
    }

    async fn document(&self, name: &str) -> PortResult<Option<Value>> {
        let name = name.to_owned();
        self.database
            .read("read document", move |transaction| {
                monitoring::document(transaction, &name)
            })
            .await
    }

    async fn set_document(&self, name: &str, document: &Value) -> PortResult<()> {
        let (name, document) = (name.to_owned(), document.clone());
        self.database
            .write("set document", move |transaction| {
                monitoring::set_document(transaction, &name, &document)
            })
            .await
    }
}

//! Batches, shards and indicators in one DynamoDB table. One file a noun; a call is one request wherever one will do.
//!
//! What is read for a decision is read consistently. Listings follow writes within moments, because indexes do.

mod access;
mod batches;
mod cache;
mod intake;
mod items;
mod keys;
mod kpis;
mod listing;
mod monitoring;
mod reading;
mod removal;
mod shards;
mod sums;

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
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

use crate::clients::Clients;

/// State of all batches in one table.
///
/// Beyond the port's contract: [`BatchStore::create_shard`] is `Rejected` when its batch does not exist, so that nothing
/// is left behind by a batch that was deleted while it was split. [`BatchStore::kpis`] is `Rejected` for more than 31 days.
///
/// A deletion is not one step: the batch itself goes last, so that one that was broken off is seen and can be repeated.
/// [`Commit::is_new`] is `false` when the answer to the first attempt was lost on its way and the SDK asked again.
pub(crate) struct DynamoStore {
    clients: Arc<Clients>,
}

impl DynamoStore {
    pub(crate) fn new(clients: Arc<Clients>) -> Self {
        Self { clients }
    }

    fn client(&self) -> &aws_sdk_dynamodb::Client {
        self.clients.dynamodb()
    }

    fn table(&self) -> &str {
        &self.clients.settings.table
    }

    /// When the table may drop what is written now: the value of [`items::EXPIRES_AT`].
    fn expiry(&self) -> AttributeValue {
        let kept = self.clients.settings.record_retention;
        items::number((Timestamp::now() + kept).as_second())
    }
}

/// A mark that one call leaves on what it writes. The SDK repeats a request whose answer was lost; when the repeat finds the condition no
/// longer met, the mark tells whether the call's own first attempt did that.
fn write_mark() -> String {
    format!("{:032x}", fastrand::u128(..))
}

#[async_trait]
impl BatchStore for DynamoStore {
    async fn create_batch(&self, batch: &Batch) -> PortResult<Creation> {
        batches::create(self, batch).await
    }

    async fn batch(&self, id: BatchId) -> PortResult<Option<Batch>> {
        batches::find(self, id).await
    }

    async fn list_batches(&self, query: &BatchQuery) -> PortResult<Page<Batch>> {
        listing::list(self, query).await
    }

    async fn advance(
        &self,
        id: BatchId,
        from: &[BatchStatus],
        change: &BatchChange,
        now: Timestamp,
    ) -> PortResult<Advance> {
        batches::advance(self, id, from, change, now).await
    }

    async fn create_shard(&self, shard: ShardRef, expected: u32) -> PortResult<()> {
        shards::create(self, shard, expected).await
    }

    async fn commit_part(&self, commit: &PartCommit) -> PortResult<Commit> {
        shards::commit_part(self, commit).await
    }

    async fn close_shard(&self, shard: ShardRef) -> PortResult<Option<RollUp>> {
        shards::close(self, shard).await
    }

    async fn shards(&self, batch: BatchId) -> PortResult<Vec<Shard>> {
        shards::list(self, batch).await
    }

    async fn begin_retry(
        &self,
        id: BatchId,
        generation: u32,
        retry: &Retry,
        now: Timestamp,
    ) -> PortResult<Advance> {
        batches::begin_retry(self, id, generation, retry, now).await
    }

    async fn add_kpis(&self, part: PartRef, minute: Minute, delta: &KpiDelta) -> PortResult<bool> {
        kpis::add(self, part, minute, delta).await
    }

    async fn kpis(&self, from: Minute, to: Minute) -> PortResult<Vec<(Minute, KpiDelta)>> {
        kpis::list(self, from, to).await
    }

    async fn delete_batch(&self, id: BatchId) -> PortResult<()> {
        removal::delete(self, id).await
    }

    async fn intake(&self) -> PortResult<Intake> {
        intake::read(self).await
    }

    async fn set_intake(&self, intake: &Intake) -> PortResult<()> {
        intake::set(self, intake).await
    }

    async fn claim_key(&self, claim: &KeyClaim, now: Timestamp) -> PortResult<KeyClaim> {
        intake::claim_key(self, claim, now).await
    }
}

#[async_trait]
impl AccessStore for DynamoStore {
    async fn create_token(&self, token: &AccessToken) -> PortResult<Creation> {
        access::create(self, token).await
    }

    async fn token_by_hash(&self, hash: &TokenHash) -> PortResult<Option<AccessToken>> {
        access::find(self, *hash).await
    }

    async fn tokens(&self) -> PortResult<Vec<AccessToken>> {
        access::list(self).await
    }

    async fn revoke_token(&self, name: &str, now: Timestamp) -> PortResult<bool> {
        access::revoke(self, name, now).await
    }

    async fn count_use(
        &self,
        counter: &str,
        amount: u64,
        expires_at: Timestamp,
    ) -> PortResult<u64> {
        access::count(self, counter, amount, expires_at).await
    }
}

#[async_trait]
impl MonitoringStore for DynamoStore {
    async fn add_vitals(&self, minute: Minute, vitals: &Vitals) -> PortResult<()> {
        monitoring::add_vitals(self, minute, vitals).await
    }

    async fn troubled_hosts(&self, from: Minute, to: Minute) -> PortResult<Vec<TroubledHost>> {
        monitoring::troubled_hosts(self, from, to).await
    }

    async fn document(&self, name: &str) -> PortResult<Option<Value>> {
        monitoring::document(self, name).await
    }

    async fn set_document(&self, name: &str, document: &Value) -> PortResult<()> {
        monitoring::set_document(self, name, document).await
    }
}

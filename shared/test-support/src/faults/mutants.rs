//! Ports with a mistake: what the pipeline would do if it had been written wrongly. A test of exactly-once effects that does not notice
//! them is worth nothing.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use domain::ports::{
    Advance, BatchChange, BatchQuery, BatchStore, Commit, Creation, Intake, KeyClaim, Page,
    PartCommit, PortResult, RollUp, Shard,
};
use domain::{Batch, BatchId, BatchStatus, Counters, KpiDelta, Minute, PartRef, Retry, ShardRef};
use futures::stream::BoxStream;
use jiff::Timestamp;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use parking_lot::Mutex;

/// A mistake in how parts are committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreMistake {
    /// A part's counters are added whether or not it was counted before.
    UnguardedCounters,
    /// Whether a shard is complete is asked only by whoever counts a part, not by whoever finds it counted.
    MissingRollUp,
}

/// A store with a mistake.
pub struct MistakenStore {
    store: Arc<dyn BatchStore>,
    mistake: StoreMistake,
    /// What was added once too often, by shard.
    surplus: Mutex<HashMap<ShardRef, Counters>>,
}

impl MistakenStore {
    /// `store`, used wrongly.
    pub fn over(store: &Arc<dyn BatchStore>, mistake: StoreMistake) -> Arc<dyn BatchStore> {
        Arc::new(Self {
            store: Arc::clone(store),
            mistake,
            surplus: Mutex::default(),
        })
    }
}

#[async_trait]
impl BatchStore for MistakenStore {
    async fn commit_part(&self, commit: &PartCommit) -> PortResult<Commit> {
        let mut committed = self.store.commit_part(commit).await?;
        if committed.is_new {
            return Ok(committed);
        }
        match self.mistake {
            StoreMistake::UnguardedCounters => {
                let mut surplus = self.surplus.lock();
                *surplus.entry(commit.part.shard()).or_default() += &commit.counters;
            }
            StoreMistake::MissingRollUp => committed.shard_complete = false,
        }
        Ok(committed)
    }

    async fn shards(&self, batch: BatchId) -> PortResult<Vec<Shard>> {
        let mut shards = self.store.shards(batch).await?;
        let surplus = self.surplus.lock();
        for shard in &mut shards {
            let id = ShardRef {
                batch,
                shard: shard.shard,
            };
            if let Some(surplus) = surplus.get(&id) {
                shard.counters += surplus;
            }
        }
        Ok(shards)
    }

    async fn create_batch(&self, batch: &Batch) -> PortResult<Creation> {
        self.store.create_batch(batch).await
    }

    async fn batch(&self, id: BatchId) -> PortResult<Option<Batch>> {
        self.store.batch(id).await
    }

    async fn list_batches(&self, query: &BatchQuery) -> PortResult<Page<Batch>> {
        self.store.list_batches(query).await
    }

    async fn advance(
        &self,
        id: BatchId,
        from: &[BatchStatus],
        change: &BatchChange,
        now: Timestamp,
    ) -> PortResult<Advance> {
        self.store.advance(id, from, change, now).await
    }

    async fn create_shard(&self, shard: ShardRef, expected: u32) -> PortResult<()> {
        self.store.create_shard(shard, expected).await
    }

    async fn close_shard(&self, shard: ShardRef) -> PortResult<Option<RollUp>> {
        self.store.close_shard(shard).await
    }

    async fn begin_retry(
        &self,
        id: BatchId,
        generation: u32,
        retry: &Retry,
        now: Timestamp,
    ) -> PortResult<Advance> {
        self.store.begin_retry(id, generation, retry, now).await
    }

    async fn add_kpis(&self, part: PartRef, minute: Minute, delta: &KpiDelta) -> PortResult<bool> {
        self.store.add_kpis(part, minute, delta).await
    }

    async fn kpis(&self, from: Minute, to: Minute) -> PortResult<Vec<(Minute, KpiDelta)>> {
        self.store.kpis(from, to).await
    }

    async fn delete_batch(&self, id: BatchId) -> PortResult<()> {
        self.store.delete_batch(id).await
    }

    async fn intake(&self) -> PortResult<Intake> {
        self.store.intake().await
    }

    async fn set_intake(&self, intake: &Intake) -> PortResult<()> {
        self.store.set_intake(intake).await
    }

    async fn claim_key(&self, claim: &KeyClaim, now: Timestamp) -> PortResult<KeyClaim> {
        self.store.claim_key(claim, now).await
    }
}

/// An object store whose user takes results that somebody else stored for its own: what it counts are then the rows of its attempt,
/// not those of the stored object.
#[derive(Debug)]
pub struct CountsOfTheAttempt(Arc<dyn ObjectStore>);

impl CountsOfTheAttempt {
    /// `objects`, used wrongly.
    pub fn over(objects: &Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
        Arc::new(Self(Arc::clone(objects)))
    }
}

impl fmt::Display for CountsOfTheAttempt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

#[async_trait]
impl ObjectStore for CountsOfTheAttempt {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        let is_create = matches!(options.mode, PutMode::Create);
        match self.0.put_opts(location, payload, options).await {
            Err(Error::AlreadyExists { .. }) if is_create => Ok(PutResult {
                e_tag: None,
                version: None,
                extensions: object_store::Extensions::default(),
            }),
            put => put,
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(location, options).await
    }

    async fn get_opts(
        &self,
        location: &Path,
        options: GetOptions,
    ) -> object_store::Result<GetResult> {
        self.0.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(
        &self,
        from: &Path,
        to: &Path,
        options: CopyOptions,
    ) -> object_store::Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}

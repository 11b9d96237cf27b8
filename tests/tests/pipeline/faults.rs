//! A thin layer over real ports that lets one chosen call go wrong.

use std::fmt;
use std::future::{Future, pending};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use domain::ports::{
    Advance, BatchChange, BatchQuery, BatchStore, Commit, Creation, Delivery, Intake, KeyClaim,
    Outgoing, Page, PartCommit, PortError, PortErrorKind, PortResult, Queue, QueueDepth, RollUp,
    Shard, WorkQueue,
};
use domain::{Batch, BatchId, BatchStatus, KpiDelta, Minute, PartRef, Retry, ShardRef};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use parking_lot::Mutex;
use pipeline::Ports;
use tokio::sync::Notify;

/// What goes wrong at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is refused, and nothing is done.
    Refused,
    /// It is carried out, and the caller sees a time-out.
    AnswerLost,
    /// The process dies before it is carried out.
    CrashBefore,
    /// The process dies after it was carried out.
    CrashAfter,
    /// Of a send, every other message is accepted.
    HalfAccepted,
    /// An object that is read was not yet there when the reader looked.
    NotThereYet,
    /// The body of an object that is read breaks off half way.
    BodyBreaks,
}

impl Fault {
    /// The faults that any call can have.
    pub(crate) const OF_ANY_CALL: [Self; 4] = [
        Self::Refused,
        Self::AnswerLost,
        Self::CrashBefore,
        Self::CrashAfter,
    ];
}

/// The call that goes wrong: the `nth` (from 1) whose name starts with `call`. Names are those below, such as
/// `store commit_part`, `queue send chunks` and `objects put results/…`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) call: &'static str,
    pub(crate) nth: usize,
    pub(crate) fault: Fault,
}

/// One process's way to the ports: at most one call of it goes wrong.
pub(crate) struct Tap {
    plan: Option<Plan>,
    matching_calls: AtomicUsize,
    struck: Mutex<Option<String>>,
    crash: Notify,
    completions: Arc<Mutex<Vec<BatchId>>>,
}

impl Tap {
    /// Ports over `real`, and their tap. Every move of a batch to `COMPLETED` is noted in `completions`.
    pub(crate) fn over(
        real: &Ports,
        plan: Option<Plan>,
        completions: &Arc<Mutex<Vec<BatchId>>>,
    ) -> (Ports, Arc<Self>) {
        let tap = Arc::new(Self {
            plan,
            matching_calls: AtomicUsize::new(0),
            struck: Mutex::default(),
            crash: Notify::new(),
            completions: Arc::clone(completions),
        });
        let ports = Ports {
            store: Arc::new(Tapped::new(&real.store, &tap)),
            queue: Arc::new(Tapped::new(&real.queue, &tap)),
            objects: Arc::new(Tapped::new(&real.objects, &tap)),
            clock: Arc::clone(&real.clock),
            ids: Arc::clone(&real.ids),
            scratch: real.scratch.clone(),
        };
        (ports, tap)
    }

    /// Does `work` to its end, or to the crash: `None`.
    pub(crate) async fn run<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            ended = work => Some(ended),
            () = self.crash.notified() => None,
        }
    }

    /// The call that went wrong, or `None` when it never came to that.
    pub(crate) fn struck(&self) -> Option<String> {
        self.struck.lock().clone()
    }

    fn fault_of(&self, call: &str) -> Option<Fault> {
        let plan = self.plan.filter(|plan| call.starts_with(plan.call))?;
        let position = self.matching_calls.fetch_add(1, Ordering::SeqCst) + 1;
        if position != plan.nth {
            return None;
        }
        *self.struck.lock() = Some(call.to_owned());
        Some(plan.fault)
    }

    async fn call<T, E: Injected>(
        &self,
        name: &str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.call_with(self.fault_of(name), work).await
    }

    async fn call_with<T, E: Injected>(
        &self,
        fault: Option<Fault>,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        match fault {
            None => work.await,
            Some(Fault::AnswerLost) => {
                drop(work.await);
                Err(E::injected())
            }
            Some(Fault::CrashBefore) => self.die().await,
            Some(Fault::CrashAfter) => {
                drop(work.await);
                self.die().await
            }
            Some(_) => Err(E::injected()),
        }
    }

    async fn die<T>(&self) -> T {
        self.crash.notify_one();
        pending().await
    }
}

/// An error that a fault shows to the caller.
trait Injected {
    fn injected() -> Self;
}

impl Injected for PortError {
    fn injected() -> Self {
        Self::new(PortErrorKind::TimedOut, "tapped call", "a fault on purpose")
    }
}

impl Injected for object_store::Error {
    fn injected() -> Self {
        Self::Generic {
            store: "tapped",
            source: "a fault on purpose".into(),
        }
    }
}

struct Tapped<P: ?Sized> {
    port: Arc<P>,
    tap: Arc<Tap>,
}

impl<P: ?Sized> Tapped<P> {
    fn new(port: &Arc<P>, tap: &Arc<Tap>) -> Self {
        Self {
            port: Arc::clone(port),
            tap: Arc::clone(tap),
        }
    }
}

#[async_trait]
impl BatchStore for Tapped<dyn BatchStore> {
    async fn create_batch(&self, batch: &Batch) -> PortResult<Creation> {
        let work = self.port.create_batch(batch);
        self.tap.call("store create_batch", work).await
    }

    async fn batch(&self, id: BatchId) -> PortResult<Option<Batch>> {
        self.tap.call("store batch", self.port.batch(id)).await
    }

    async fn list_batches(&self, query: &BatchQuery) -> PortResult<Page<Batch>> {
        let work = self.port.list_batches(query);
        self.tap.call("store list_batches", work).await
    }

    async fn advance(
        &self,
        id: BatchId,
        from: &[BatchStatus],
        change: &BatchChange,
        now: Timestamp,
    ) -> PortResult<Advance> {
        let work = async {
            let advance = self.port.advance(id, from, change, now).await?;
            if advance == Advance::Moved && change.status == Some(BatchStatus::Completed) {
                self.tap.completions.lock().push(id);
            }
            Ok(advance)
        };
        let to = change.status.map_or("", BatchStatus::as_str);
        self.tap.call(&format!("store advance {to}"), work).await
    }

    async fn create_shard(&self, shard: ShardRef, expected: u32) -> PortResult<()> {
        let work = self.port.create_shard(shard, expected);
        self.tap.call("store create_shard", work).await
    }

    async fn commit_part(&self, commit: &PartCommit) -> PortResult<Commit> {
        let work = self.port.commit_part(commit);
        self.tap.call("store commit_part", work).await
    }

    async fn close_shard(&self, shard: ShardRef) -> PortResult<Option<RollUp>> {
        let work = self.port.close_shard(shard);
        self.tap.call("store close_shard", work).await
    }

    async fn shards(&self, batch: BatchId) -> PortResult<Vec<Shard>> {
        self.tap.call("store shards", self.port.shards(batch)).await
    }

    async fn add_kpis(&self, part: PartRef, minute: Minute, delta: &KpiDelta) -> PortResult<bool> {
        let work = self.port.add_kpis(part, minute, delta);
        self.tap.call("store add_kpis", work).await
    }

    async fn kpis(&self, from: Minute, to: Minute) -> PortResult<Vec<(Minute, KpiDelta)>> {
        self.tap.call("store kpis", self.port.kpis(from, to)).await
    }

    async fn begin_retry(
        &self,
        id: BatchId,
        generation: u32,
        retry: &Retry,
        now: Timestamp,
    ) -> PortResult<Advance> {
        let work = self.port.begin_retry(id, generation, retry, now);
        self.tap.call("store begin_retry", work).await
    }

    async fn intake(&self) -> PortResult<Intake> {
        self.tap.call("store intake", self.port.intake()).await
    }

    async fn set_intake(&self, intake: &Intake) -> PortResult<()> {
        let work = self.port.set_intake(intake);
        self.tap.call("store set_intake", work).await
    }

    async fn claim_key(&self, claim: &KeyClaim, now: Timestamp) -> PortResult<KeyClaim> {
        let work = self.port.claim_key(claim, now);
        self.tap.call("store claim_key", work).await
    }

    async fn delete_batch(&self, id: BatchId) -> PortResult<()> {
        let work = self.port.delete_batch(id);
        self.tap.call("store delete_batch", work).await
    }
}

#[async_trait]
impl WorkQueue for Tapped<dyn WorkQueue> {
    async fn send(&self, queue: Queue, messages: &[Outgoing]) -> PortResult<Vec<usize>> {
        let fault = self.tap.fault_of(&format!("queue send {queue}"));
        if fault == Some(Fault::HalfAccepted) {
            let accepted: Vec<Outgoing> = messages.iter().step_by(2).cloned().collect();
            self.port.send(queue, &accepted).await?;
            return Ok((1..messages.len()).step_by(2).collect());
        }
        self.tap
            .call_with(fault, self.port.send(queue, messages))
            .await
    }

    async fn receive(
        &self,
        queue: Queue,
        max: usize,
        visibility: Duration,
        wait: Duration,
    ) -> PortResult<Vec<Delivery>> {
        let work = self.port.receive(queue, max, visibility, wait);
        self.tap.call("queue receive", work).await
    }

    async fn extend(&self, queue: Queue, receipt: &str, visibility: Duration) -> PortResult<bool> {
        let work = self.port.extend(queue, receipt, visibility);
        self.tap.call("queue extend", work).await
    }

    async fn delete(&self, queue: Queue, receipts: &[String]) -> PortResult<()> {
        let work = self.port.delete(queue, receipts);
        self.tap.call("queue delete", work).await
    }

    async fn receive_dead(
        &self,
        queue: Queue,
        max: usize,
        visibility: Duration,
    ) -> PortResult<Vec<Delivery>> {
        let work = self.port.receive_dead(queue, max, visibility);
        self.tap.call("queue receive_dead", work).await
    }

    async fn delete_dead(&self, queue: Queue, receipts: &[String]) -> PortResult<()> {
        let work = self.port.delete_dead(queue, receipts);
        self.tap.call("queue delete_dead", work).await
    }

    async fn depth(&self, queue: Queue) -> PortResult<QueueDepth> {
        self.tap.call("queue depth", self.port.depth(queue)).await
    }
}

impl fmt::Display for Tapped<dyn ObjectStore> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "tapped {}", self.port)
    }
}

impl fmt::Debug for Tapped<dyn ObjectStore> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[async_trait]
impl ObjectStore for Tapped<dyn ObjectStore> {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        let work = self.port.put_opts(location, payload, options);
        let name = format!("objects put {location}");
        self.tap.call(&name, work).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        let work = self.port.put_multipart_opts(location, options);
        let name = format!("objects upload {location}");
        self.tap.call(&name, work).await
    }

    async fn get_opts(
        &self,
        location: &Path,
        options: GetOptions,
    ) -> object_store::Result<GetResult> {
        let fault = self.tap.fault_of(&format!("objects get {location}"));
        let work = self.port.get_opts(location, options);
        match fault {
            Some(Fault::NotThereYet) => Err(object_store::Error::NotFound {
                path: location.to_string(),
                source: "a fault on purpose".into(),
            }),
            Some(Fault::BodyBreaks) => Ok(broken_off(work.await?).await?),
            _ => self.tap.call_with(fault, work).await,
        }
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.port.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        let listed = self.port.list(prefix).try_collect::<Vec<ObjectMeta>>();
        let tap = Arc::clone(&self.tap);
        let call = async move { tap.call("objects list", listed).await };
        stream::once(call)
            .map_ok(|objects| stream::iter(objects.into_iter().map(Ok)))
            .try_flatten()
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        let work = self.port.list_with_delimiter(prefix);
        self.tap.call("objects list", work).await
    }

    async fn copy_opts(
        &self,
        from: &Path,
        to: &Path,
        options: CopyOptions,
    ) -> object_store::Result<()> {
        let work = self.port.copy_opts(from, to, options);
        self.tap.call("objects copy", work).await
    }
}

/// The same object with a body that ends in a fault half way.
async fn broken_off(found: GetResult) -> object_store::Result<GetResult> {
    let (meta, range) = (found.meta.clone(), found.range.clone());
    let (attributes, extensions) = (found.attributes.clone(), found.extensions.clone());
    let body: Bytes = found.bytes().await?;
    let pieces = [
        Ok(body.slice(..body.len() / 2)),
        Err(object_store::Error::injected()),
    ];
    Ok(GetResult {
        payload: GetResultPayload::Stream(stream::iter(pieces).boxed()),
        meta,
        range,
        attributes,
        extensions,
    })
}

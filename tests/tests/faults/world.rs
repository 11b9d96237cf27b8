//! What a storm blows over: ports of either kind, and how time passes there.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use adapters_aws::{Aws, Settings};
use adapters_embedded::{DataFolder, SqliteQueue};
use async_trait::async_trait;
use aws_emulators::Stack;
use domain::Limits;
use domain::ports::{Delivery, Outgoing, PortResult, Queue, QueueDepth, SystemClock, WorkQueue};
use fetching::{FetchOptions, Fetcher, Robots};
use object_store::local::LocalFileSystem;
use pipeline::Ports;
use test_support::ManualClock;
use test_support::faults::SeededIds;

use crate::model::Model;

/// Ports, and what it takes to play on them.
pub(crate) struct World {
    pub(crate) ports: Ports,
    pub(crate) fetcher: Fetcher,
    pub(crate) limits: Limits,
    pub(crate) model: Model,
    /// How long a message stays hidden.
    pub(crate) visibility: Duration,
    time: Time,
    _kept: Box<dyn Any + Send + Sync>,
}

enum Time {
    /// It stands still unless it is moved.
    Manual(Arc<ManualClock>),
    Real,
}

impl World {
    /// SQLite and a folder.
    pub(crate) fn embedded(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(folder.path()).unwrap();
        let clock = Arc::new(ManualClock::default());
        let queue = SqliteQueue::new(data.database().clone(), Arc::clone(&clock) as _);
        // The folder's own, but for the flush of every file: no storm cuts the power, and together they write thousands.
        let objects = LocalFileSystem::new_with_prefix(folder.path().join("objects")).unwrap();
        let ports = Ports {
            store: data.store(),
            queue: Arc::new(queue),
            objects: Arc::new(objects),
            clock: Arc::clone(&clock) as _,
            ids: Arc::new(SeededIds::new(seed)),
            scratch: folder.path().to_owned(),
        };
        let visibility = Duration::from_secs(60);
        let model = Model::new(data.keys(), data.cache(), Arc::clone(&clock) as _);
        Self::over(
            ports,
            model,
            Time::Manual(clock),
            visibility,
            Box::new((data, folder)),
        )
    }

    /// Stand-ins for DynamoDB, SQS and S3.
    pub(crate) async fn emulated(seed: u64) -> Self {
        let stack = Stack::create().await;
        let settings = Settings::from_lookup(|name| stack.variables().get(name).cloned()).unwrap();
        let aws = Aws::new(settings).unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let ports = Ports {
            store: aws.store(),
            queue: Arc::new(Hurried(aws.queue())),
            objects: aws.objects(),
            clock: Arc::new(SystemClock),
            ids: Arc::new(SeededIds::new(seed)),
            scratch: scratch.path().to_owned(),
        };
        let visibility = Duration::from_secs(5);
        let model = Model::new(aws.keys(), aws.cache(), Arc::new(SystemClock));
        Self::over(
            ports,
            model,
            Time::Real,
            visibility,
            Box::new((stack, scratch)),
        )
    }

    fn over(
        ports: Ports,
        model: Model,
        time: Time,
        visibility: Duration,
        kept: Box<dyn Any + Send + Sync>,
    ) -> Self {
        let limits = Limits {
            max_attempts: 1,
            ..Limits::default()
        };
        let options = FetchOptions {
            allow_private: vec!["127.0.0.0/8".parse().unwrap()],
            robots: Robots::Ignore,
            ..FetchOptions::default()
        };
        Self {
            fetcher: Fetcher::new(&limits, options).unwrap(),
            limits,
            model,
            ports,
            visibility,
            time,
            _kept: kept,
        }
    }

    /// Nothing happens for a while: `share` of a visibility time-out, on a clock that can be moved.
    pub(crate) async fn wait(&self, share: f64) {
        match &self.time {
            Time::Manual(clock) => clock.advance(self.visibility.mul_f64(share)),
            Time::Real => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Queues whose delays are short, where time cannot be moved.
struct Hurried(Arc<dyn WorkQueue>);

const LONGEST_DELAY: Duration = Duration::from_secs(1);

#[async_trait]
impl WorkQueue for Hurried {
    async fn send(&self, queue: Queue, messages: &[Outgoing]) -> PortResult<Vec<usize>> {
        let mut messages = messages.to_vec();
        for message in &mut messages {
            message.delay = message.delay.min(LONGEST_DELAY);
        }
        self.0.send(queue, &messages).await
    }

    async fn receive(
        &self,
        queue: Queue,
        max: usize,
        visibility: Duration,
        wait: Duration,
    ) -> PortResult<Vec<Delivery>> {
        self.0.receive(queue, max, visibility, wait).await
    }

    async fn extend(&self, queue: Queue, receipt: &str, visibility: Duration) -> PortResult<bool> {
        self.0.extend(queue, receipt, visibility).await
    }

    async fn delete(&self, queue: Queue, receipts: &[String]) -> PortResult<()> {
        self.0.delete(queue, receipts).await
    }

    async fn receive_dead(
        &self,
        queue: Queue,
        max: usize,
        visibility: Duration,
    ) -> PortResult<Vec<Delivery>> {
        self.0
            .receive_dead(queue, max, visibility.min(LONGEST_DELAY))
            .await
    }

    async fn delete_dead(&self, queue: Queue, receipts: &[String]) -> PortResult<()> {
        self.0.delete_dead(queue, receipts).await
    }

    async fn depth(&self, queue: Queue) -> PortResult<QueueDepth> {
        self.0.depth(queue).await
    }
}

//! One worker on one queue: receive, handle, delete; what fails stays and comes again.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use domain::ports::{Delivery, Queue};
use futures::FutureExt;
use pipeline::intake::{IntakeGate, is_governed};
use pipeline::{PipelineResult, Ports, parse_message};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::admission::{Admission, Turn};

/// How long a message stays hidden; extended as long as its handler is at work.
const VISIBILITY: Duration = Duration::from_secs(60);
/// How often a handler's message is hidden anew.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// How long to wait for a message before looking whether to stop.
const LONG_POLL: Duration = Duration::from_secs(1);
/// Pause after a fault of the queue itself.
const FAULT_PAUSE: Duration = Duration::from_secs(1);
/// A failed message comes again after this long, doubled by every receive.
const FIRST_RETRY: Duration = Duration::from_millis(500);

/// What a worker needs to know.
pub(super) struct Consumer {
    ports: Ports,
    queue: Queue,
    stopped: watch::Receiver<bool>,
    admission: Option<Arc<Admission>>,
    gate: Option<Arc<IntakeGate>>,
}

impl Consumer {
    pub(super) const fn new(ports: Ports, queue: Queue, stopped: watch::Receiver<bool>) -> Self {
        Self {
            ports,
            queue,
            stopped,
            admission: None,
            gate: None,
        }
    }

    /// One that receives nothing while the intake is paused, if its queue is one that pauses.
    pub(super) fn governed_by(mut self, gate: &Arc<IntakeGate>) -> Self {
        self.gate = is_governed(self.queue).then(|| Arc::clone(gate));
        self
    }

    async fn wait_while_paused(&self) {
        let Some(gate) = &self.gate else {
            return;
        };
        while gate.is_paused(&self.ports).await {
            tokio::time::sleep(LONG_POLL).await;
        }
    }

    /// One that receives only when it is let in.
    pub(super) fn admitted_by(mut self, admission: Arc<Admission>) -> Self {
        self.admission = Some(admission);
        self
    }
}

/// Handles messages one at a time until told to stop. `handle` gets the typed message and how often a process stopped while it
/// held it.
pub(super) async fn consume<M, H, F>(consumer: Consumer, handle: H)
where
    M: DeserializeOwned,
    H: Fn(Ports, M, u32) -> F,
    F: Future<Output = PipelineResult<()>>,
{
    let queue = consumer.queue;
    while !*consumer.stopped.borrow() {
        let entered = async {
            let turn = match &consumer.admission {
                Some(admission) => Some(admission.enter().await),
                None => None,
            };
            consumer.wait_while_paused().await;
            let received = consumer
                .ports
                .queue
                .receive(queue, 1, VISIBILITY, LONG_POLL)
                .await;
            (turn, received)
        };
        let mut stopped = consumer.stopped.clone();
        let (turn, received) = tokio::select! {
            entered = entered => entered,
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        let deliveries = match received {
            Ok(deliveries) => deliveries,
            Err(error) => {
                tracing::warn!(%queue, error = &error as &dyn std::error::Error, "receive failed");
                tokio::time::sleep(FAULT_PAUSE).await;
                continue;
            }
        };
        let _under_way = turn.filter(|_| !deliveries.is_empty()).map(Turn::take);
        for delivery in deliveries {
            let work = async {
                let message = parse_message(queue, &delivery.body)?;
                handle(consumer.ports.clone(), message, delivery.interruptions).await
            };
            let guarded = AssertUnwindSafe(work).catch_unwind();
            let ended = with_heartbeat(&consumer, &delivery, HEARTBEAT, guarded).await;
            settle(&consumer, &delivery, ended).await;
        }
    }
}

/// Runs `work` and keeps its message hidden meanwhile.
///
/// Both are polled all the time. Were `work` left alone while the message is extended, and had its turn at the database just come, the
/// extension would wait for work that waits for it.
async fn with_heartbeat<T>(
    consumer: &Consumer,
    delivery: &Delivery,
    every: Duration,
    work: impl Future<Output = T>,
) -> T {
    tokio::select! {
        ended = work => ended,
        never = keep_hidden(consumer, delivery, every) => match never {},
    }
}

async fn keep_hidden(consumer: &Consumer, delivery: &Delivery, every: Duration) -> Infallible {
    loop {
        tokio::time::sleep(every).await;
        let queues = &consumer.ports.queue;
        let extended = queues.extend(consumer.queue, &delivery.receipt, VISIBILITY);
        if let Err(error) = extended.await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "message not extended"
            );
        }
    }
}

/// Deletes what was done; what failed, or panicked, comes again after a while.
async fn settle(
    consumer: &Consumer,
    delivery: &Delivery,
    ended: std::thread::Result<PipelineResult<()>>,
) {
    let Consumer { ports, queue, .. } = consumer;
    let settled = match ended {
        Ok(Ok(())) => {
            ports
                .queue
                .delete(*queue, std::slice::from_ref(&delivery.receipt))
                .await
        }
        failed => {
            if let Ok(Err(error)) = failed {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(%queue, receives = delivery.receive_count, error, "message failed");
            } else {
                tracing::error!(%queue, body = delivery.body, "handler panicked");
            }
            let pause = FIRST_RETRY * 2u32.saturating_pow(delivery.receive_count.min(8));
            ports
                .queue
                .extend(*queue, &delivery.receipt, pause)
                .await
                .map(drop)
        }
    };
    if let Err(error) = settled {
        tracing::warn!(%queue, error = &error as &dyn std::error::Error, "message not settled");
    }
}

#[cfg(test)]
mod tests {
    use adapters_embedded::DataFolder;
    use domain::ports::Outgoing;

    use super::*;
    use crate::engine::ports;

    /// Work that has queued for the database when its message is to be extended, and gets its turn before the extension does.
    #[tokio::test(flavor = "multi_thread")]
    async fn work_and_heartbeat_do_not_wait_for_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(folder.path()).unwrap();
        let ports = ports(&data);
        let queues = Arc::clone(&ports.queue);
        let (_stop, stopped) = watch::channel(false);
        let consumer = Consumer::new(ports, Queue::Split, stopped);
        let message = [Outgoing::now("{}".to_owned())];
        queues.send(Queue::Split, &message).await.unwrap();
        let received = queues.receive(Queue::Split, 1, VISIBILITY, Duration::ZERO);
        let delivery = received.await.unwrap().remove(0);

        let others = Arc::clone(&queues);
        let long = tokio::spawn(async move {
            let many = vec![Outgoing::now("{}".to_owned()); 200_000];
            let started = std::time::Instant::now();
            others.send(Queue::Chunks, &many).await.unwrap();
            started.elapsed()
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
        let every = Duration::from_millis(50);
        let work = queues.send(Queue::Chunks, &message);
        let ended = with_heartbeat(&consumer, &delivery, every, work);
        let ended = tokio::time::timeout(Duration::from_secs(60), ended).await;
        assert!(ended.unwrap().unwrap().is_empty());
        // Long enough for the work and the heartbeat to have queued behind it.
        let held = long.await.unwrap();
        assert!(held > Duration::from_millis(200), "{held:?}");
    }
}

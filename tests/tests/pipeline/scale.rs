//! Advice that is acted on: more workers around a batch, within a range, back after it, and every change with its reason.

use std::sync::Arc;
use std::time::Duration;

use domain::ports::{Clock, Outgoing, PortErrorKind, Queue};
use domain::{Minute, PartRef};
use monitoring::applied::ScalingChange;
use monitoring::resources::{Limits, System, system};
use pipeline::observe::observe;
use pipeline::scale::{Scaling, advise_and_scale};
use test_support::{ManualScaler, a_batch, a_kpi_delta};

use crate::support::Scene;

/// Longer than the test lets its clock run.
const HIDDEN: Duration = Duration::from_secs(60 * 60);
const MINUTE: Duration = Duration::from_secs(60);

struct Stage {
    scene: Scene,
    scaler: Arc<ManualScaler>,
    scaling: Scaling,
    under_way: Vec<String>,
    parts: u32,
}

impl Stage {
    /// Ten workers are allowed, and up to sixty may be.
    fn new() -> Self {
        let scaler = Arc::new(ManualScaler::allowing(10));
        Self {
            scene: Scene::new(),
            scaling: Scaling {
                scaler: Arc::clone(&scaler) as _,
                least: 10,
                most: 60,
            },
            scaler,
            under_way: Vec::new(),
            parts: 0,
        }
    }

    /// Chunks arrive, of which so many are taken up.
    async fn chunks_arrive(&mut self, waiting: usize, taken: usize) {
        let message = Outgoing::now("{}".to_owned());
        let messages = vec![message; waiting + taken];
        let queue = &self.scene.ports.queue;
        queue.send(Queue::Chunks, &messages).await.unwrap();
        self.take(taken).await;
    }

    async fn take(&mut self, count: usize) {
        let queue = &self.scene.ports.queue;
        let mut left = count;
        while left > 0 {
            let max = left.min(10);
            let got = queue
                .receive(Queue::Chunks, max, HIDDEN, Duration::ZERO)
                .await;
            let got = got.unwrap();
            assert_eq!(got.len(), max);
            left -= max;
            self.under_way
                .extend(got.into_iter().map(|one| one.receipt));
        }
    }

    /// So many parts end in the running minute.
    async fn parts_end(&mut self, parts: u64) {
        self.parts += 1;
        let part = PartRef {
            batch: a_batch().id,
            chunk: self.parts,
            part: 0,
        };
        let mut delta = a_kpi_delta(10);
        delta.parts = parts;
        let minute = Minute::of(self.scene.clock.now());
        let store = &self.scene.ports.store;
        assert!(store.add_kpis(part, minute, &delta).await.unwrap());
    }

    /// The last chunk ends.
    async fn everything_ends(&mut self) {
        let waiting = self.scene.ports.queue.depth(Queue::Chunks).await.unwrap();
        self.take(usize::try_from(waiting.visible).unwrap()).await;
        let receipts = std::mem::take(&mut self.under_way);
        let queue = &self.scene.ports.queue;
        queue.delete(Queue::Chunks, &receipts).await.unwrap();
    }

    async fn sweep(&self) -> Option<ScalingChange> {
        let monitoring = self.scene.data.monitoring();
        advise_and_scale(&self.scene.ports, monitoring.as_ref(), &self.scaling)
            .await
            .unwrap()
    }

    /// What `GET /api/v1/monitoring/system` answers.
    async fn seen(&self) -> System {
        let monitoring = self.scene.data.monitoring();
        let observed = observe(&self.scene.ports, monitoring.as_ref()).await;
        system(&observed.unwrap(), Limits::default())
    }
}

#[tokio::test]
async fn a_long_batch_is_given_more_workers_and_gives_them_back_after_the_cool_down() {
    let mut stage = Stage::new();
    assert_eq!(stage.sweep().await, None, "nothing is done");
    // Twenty a minute of four hundred: twenty minutes, and five are promised.
    stage.chunks_arrive(390, 10).await;
    stage.parts_end(20).await;
    let change = stage.sweep().await.unwrap();
    assert_eq!((change.from, change.to), (10, 40));
    assert!(change.reason.contains("20 minutes"), "{}", change.reason);
    let seen = stage.seen().await.scaling_applied.unwrap();
    assert_eq!((seen.least, seen.allowed, seen.most), (10, 40, 60));
    assert_eq!(seen.changes, [change]);

    // Done within three minutes: the cool-down is waited for, all the same.
    stage.scene.clock.advance(3 * MINUTE);
    stage.everything_ends().await;
    assert_eq!(stage.sweep().await, None);
    assert_eq!(stage.scaler.told(), [40]);
    stage.scene.clock.advance(2 * MINUTE);
    let back = stage.sweep().await.unwrap();
    assert_eq!((back.from, back.to), (40, 10));
    assert!(back.reason.contains("no chunk"), "{}", back.reason);
    assert_eq!(stage.seen().await.scaling_applied.unwrap().changes.len(), 2);

    stage.scene.clock.advance(10 * MINUTE);
    assert_eq!(stage.sweep().await, None, "and there it stays");
    assert_eq!(stage.scaler.told(), [40, 10]);
}

#[tokio::test]
async fn a_batch_under_way_is_never_slowed_down_and_the_range_is_never_left() {
    let mut stage = Stage::new();
    stage.chunks_arrive(1_990, 10).await;
    stage.parts_end(20).await;
    assert_eq!(stage.sweep().await.unwrap().to, 60);
    // Few are left; the range's end was reached, and nothing is taken away.
    stage.scene.clock.advance(6 * MINUTE);
    stage.parts_end(2_000).await;
    assert_eq!(stage.sweep().await, None);
    assert_eq!(stage.scaler.told(), [60]);
}

#[tokio::test]
async fn what_somebody_else_set_is_what_counts() {
    let mut stage = Stage::new();
    stage.scaler.set(25);
    stage.chunks_arrive(375, 25).await;
    stage.parts_end(40).await;
    let change = stage.sweep().await.unwrap();
    assert_eq!((change.from, change.to), (25, 50));
}

#[tokio::test]
async fn a_platform_that_does_not_answer_is_left_alone_and_advice_is_given_all_the_same() {
    let mut stage = Stage::new();
    stage.chunks_arrive(990, 1).await;
    stage.scaler.fail(Some(PortErrorKind::Unavailable));
    assert_eq!(stage.sweep().await, None);
    let seen = stage.seen().await;
    assert_eq!(seen.scaling_applied, None);
    assert!(seen.scaling.cool_down_until.is_some(), "advice was kept");
    // It answers again, and is asked again.
    stage.scaler.fail(None);
    stage.scene.clock.advance(5 * MINUTE);
    stage.take(9).await;
    stage.parts_end(20).await;
    assert!(stage.sweep().await.is_some());
}

#[tokio::test]
async fn whoever_stopped_acting_is_not_shown_for_long() {
    let stage = Stage::new();
    stage.sweep().await;
    assert!(stage.seen().await.scaling_applied.is_some());
    stage.scene.clock.advance(21 * MINUTE);
    assert!(stage.seen().await.scaling_applied.is_none());
}

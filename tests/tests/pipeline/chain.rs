//! The whole chain under schedules drawn at random: every message at least twice, in any order, several at once, with processes
//! that fail, die, run out of time or were interrupted, and sweeps in between. A seed names a schedule.

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::ports::{Delivery, Queue};
use domain::{BatchId, BatchStatus, Counters, Outcome};
use fastrand::Rng;
use futures::future::join_all;
use pipeline::analyze_chunk::Budget;
use pipeline::finalize::read_report;
use pipeline::sweep::sweep;
use sample_origin::Origin;

use crate::faults::{Fault, Plan};
use crate::support::{Scene, counted_by_part, origin};

const SEEDS: u64 = 20;
/// Draws after which a schedule has to be over.
const MAX_DRAWS: u32 = 20_000;

/// A row of the list, and how it has to end.
struct ExpectedRow {
    url: String,
    outcome: Outcome,
    duplicate_of: Option<u64>,
}

/// One copy of a message that is still to be handled.
struct Copy {
    queue: Queue,
    delivery: Delivery,
}

/// What one process meets while it handles a message.
struct Circumstances {
    plan: Plan,
    budget: Budget,
}

struct Schedule {
    scene: Scene,
    rng: Rng,
    pool: Vec<Copy>,
}

fn a_row(scene: &Scene, rng: &mut Rng, number: u64, before: &[ExpectedRow]) -> ExpectedRow {
    let row = |url: String, outcome| ExpectedRow {
        url,
        outcome,
        duplicate_of: None,
    };
    let at = |path: &str| scene.origin.url(&format!("{path}?number={number}"));
    match rng.u32(..100) {
        0..30 => row(at("/image/plain.jpeg"), Outcome::Ok),
        30..40 => row(at("/redirect/1/dark.jpeg"), Outcome::Ok),
        40..50 => row(at("/status/404"), Outcome::NotFound),
        50..55 => row(at("/html"), Outcome::NotAnImage),
        55..60 => row(at("/truncated/plain.jpeg"), Outcome::Truncated),
        60..65 => row(format!("http://10.0.0.1/{number}"), Outcome::BlockedAddress),
        65..75 => row(format!("not a url {number}"), Outcome::InvalidUrl),
        _ => {
            let first_rows = (0_u64..).zip(before).filter(|(_, row)| {
                row.outcome != Outcome::InvalidUrl && row.duplicate_of.is_none()
            });
            match rng.choice(first_rows.collect::<Vec<_>>()) {
                None => row(at("/image/plain.jpeg"), Outcome::Ok),
                Some((first, repeated)) => ExpectedRow {
                    url: repeated.url.clone(),
                    outcome: Outcome::DuplicateUrl,
                    duplicate_of: Some(first),
                },
            }
        }
    }
}

impl Schedule {
    fn new(seed: u64, origin: &Arc<Origin>) -> Self {
        Self {
            scene: Scene::over(Arc::clone(origin)),
            rng: Rng::with_seed(seed),
            pool: Vec::new(),
        }
    }

    /// A list of its own, and the size of its chunks. Some have more than one shard.
    fn list(&mut self, seed: u64) -> (Vec<ExpectedRow>, u32) {
        let (count, chunk_size) = if seed.is_multiple_of(10) {
            (self.rng.u64(101..110), 1)
        } else {
            (self.rng.u64(1..40), self.rng.u32(1..9))
        };
        let mut rows = Vec::new();
        for row in 0..count {
            let number = seed * 1_000 + row;
            rows.push(a_row(&self.scene, &mut self.rng, number, &rows));
        }
        (rows, chunk_size)
    }

    fn circumstances(&mut self, queue: Queue) -> Circumstances {
        let rng = &mut self.rng;
        let faults = Fault::OF_ANY_CALL;
        let is_unlucky = rng.u32(..100) < 25;
        let plan = Plan {
            call: "",
            nth: if is_unlucky {
                rng.usize(1..15)
            } else {
                usize::MAX
            },
            fault: faults[rng.usize(..faults.len())],
        };
        let is_short = rng.u32(..100) < if queue == Queue::Split { 50 } else { 15 };
        let is_interrupted = rng.u32(..100) < 15;
        let budget = Budget {
            soft_deadline: is_short.then(Instant::now),
            hard_deadline: None,
            interruptions: if is_interrupted { rng.u32(1..3) } else { 0 },
        };
        Circumstances { plan, budget }
    }

    /// Handles one copy, and hands it back if that failed.
    async fn handle(&self, copy: Copy, circumstances: Circumstances) -> Option<Copy> {
        let (ports, tap) = self.scene.tapped(circumstances.plan);
        let body = &copy.delivery.body;
        let budget = circumstances.budget;
        let work = self.scene.handle(&ports, copy.queue, body, budget);
        match tap.run(work).await {
            Some(Ok(())) => {
                self.scene.delete(copy.queue, &copy.delivery).await;
                None
            }
            Some(Err(error)) => {
                assert!(tap.struck().is_some(), "{error:?} for {body}");
                Some(copy)
            }
            None => Some(copy),
        }
    }

    /// Takes what is visible into the pool, every message twice.
    async fn receive(&mut self) {
        for queue in Queue::ALL {
            for delivery in self.scene.receive(*queue).await {
                for _ in 0..2 {
                    let (queue, delivery) = (*queue, delivery.clone());
                    self.pool.push(Copy { queue, delivery });
                }
            }
        }
    }

    async fn draw(&mut self) {
        let count = self.rng.usize(1..4).min(self.pool.len());
        let mut drawn = Vec::new();
        for _ in 0..count {
            let copy = self.pool.swap_remove(self.rng.usize(..self.pool.len()));
            let circumstances = self.circumstances(copy.queue);
            drawn.push((copy, circumstances));
        }
        let handled = drawn
            .into_iter()
            .map(|(copy, circumstances)| self.handle(copy, circumstances));
        let failed = join_all(handled).await;
        self.pool.extend(failed.into_iter().flatten());
        if self.rng.u32(..100) < 3 {
            let circumstances = self.circumstances(Queue::Split);
            let (ports, tap) = self.scene.tapped(circumstances.plan);
            drop(tap.run(sweep(&ports, Duration::ZERO)).await);
        }
        let pause = Duration::from_millis(self.rng.u64(..1_000));
        self.scene.clock.advance(pause);
    }

    /// Until every queue is empty and the report is there.
    async fn play(&mut self, id: BatchId) {
        for _ in 0..MAX_DRAWS {
            self.receive().await;
            if !self.pool.is_empty() {
                self.draw().await;
                continue;
            }
            let mut waiting = 0;
            for queue in Queue::ALL {
                waiting += self.scene.waiting(*queue).await;
            }
            if waiting == 0 && self.scene.batch(id).await.report_ready {
                return;
            }
            self.scene.clock.advance(Duration::from_secs(5));
            self.scene.sweep().await;
        }
        let batch = self.scene.batch(id).await;
        panic!("the schedule does not end: {batch:?}");
    }
}

async fn play_seed(seed: u64, origin: &Arc<Origin>) {
    let mut schedule = Schedule::new(seed, origin);
    let (expected, chunk_size) = schedule.list(seed);
    let mut list = "url,sku\n".to_owned();
    for (number, row) in expected.iter().enumerate() {
        writeln!(list, "{},sku-{number}", row.url).unwrap();
    }
    let id = schedule.scene.start(list, chunk_size).await;
    schedule.play(id).await;

    let scene = &schedule.scene;
    scene.assert_completed(id, expected.len() as u64).await;
    let results = scene.results(id).await;
    for (result, row) in results.iter().zip(&expected) {
        assert_eq!(result.url, row.url);
        assert_eq!(result.outcome, row.outcome, "{result:?}");
        assert_eq!(result.duplicate_of, row.duplicate_of, "{result:?}");
        assert_eq!(result.extra["sku"], format!("sku-{}", result.row));
    }
    let recount: Counters = results.iter().collect();
    let report = read_report(&scene.ports, id).await.unwrap().unwrap();
    assert_eq!(counted_by_part(&report), recount);
    assert_eq!(report.batch.status, BatchStatus::Completed);
    let indicators = scene.indicators().await;
    assert_eq!(indicators.counters, recount);
    assert_eq!(indicators.parts, scene.parts(id).await.len() as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_delivered_when_every_row_ends_once_and_all_counts_agree() {
    let origin = origin();
    for seed in 0..SEEDS {
        // Shown when the test fails.
        eprintln!("seed {seed}");
        play_seed(seed, &origin).await;
    }
}

//! Plays a batch from its list to its report while everything goes wrong.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use domain::ports::{Delivery, Queue, QueueDepth};
use domain::{BatchId, BatchOptions, BatchStatus, MeasureMode, Outcome, VisionOptions, keys};
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use pipeline::Ports;
use pipeline::accept::{NewBatch, await_list};
use pipeline::analyze_chunk::Budget;
use pipeline::sweep::sweep;
use pipeline::uploaded::uploaded;
use test_support::faults::{Chaos, Process, Turns, TurnsOf};
use tokio::task::JoinSet;

use crate::oracle::{Expected, judge};
use crate::origin;
use crate::wishes::Wish;
use crate::workshop::Workshop;
use crate::world::World;

/// Handlers at work at once.
const PROCESSES: usize = 6;
/// Messages that are played again are drawn from so many.
const REMEMBERED: usize = 200;
/// No storm is longer, not even over stand-ins on a busy machine: a batch that has not ended by then is stuck.
const LONGEST: Duration = Duration::from_secs(300);

/// What kind of a storm.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Storm {
    pub(crate) seed: u64,
    pub(crate) chunks: u32,
    pub(crate) rows_per_chunk: u32,
    /// Whether the sweep helps. Without it messages are handled well at the last attempt, so that none is lost.
    pub(crate) janitor: bool,
    /// Whether owners cancel and retry, delete another batch, and operators pause.
    pub(crate) owners: bool,
    /// Whether a model is asked what images show.
    pub(crate) labels: bool,
}

/// What a storm came to.
#[derive(Debug, Default)]
pub(crate) struct Played {
    pub(crate) handled: u64,
    pub(crate) faults: BTreeMap<&'static str, u64>,
    /// Rows by outcome.
    pub(crate) outcomes: BTreeMap<Outcome, u64>,
    /// Rows that a model was asked about.
    pub(crate) labelled: u64,
    pub(crate) was_cancelled: bool,
    pub(crate) retries: u64,
    pub(crate) pauses: u64,
    pub(crate) deletions: u64,
}

/// What a process was up to when it ended, and whether it did it.
enum Ended {
    Message,
    Sweep,
    Start(BatchId, bool),
    Wish(Wish, bool),
}

struct Play<'a> {
    storm: Storm,
    world: &'a World,
    chaos: Arc<Chaos>,
    turns: Turns,
    mine: TurnsOf,
    random: fastrand::Rng,
    batch: BatchId,
    tasks: JoinSet<Ended>,
    in_hand: Vec<(Queue, Delivery)>,
    remembered: Vec<(Queue, String)>,
    /// Lists nobody has told of yet.
    unheard: Vec<BatchId>,
    /// What the owner of the batch wants.
    wish: Option<Wish>,
    /// A batch that is to be gone in the end.
    other: Option<BatchId>,
    /// Pauses still to come.
    pauses: u32,
    is_paused: bool,
    /// Whether somebody is about to pause or to resume: one after the other, so that it is known what holds in the end.
    sets_intake: bool,
    sweeps: usize,
    handled: u64,
}

impl Storm {
    /// Plays it. `Err` says which promise was broken.
    pub(crate) async fn play(self, world: &World) -> Result<Played, String> {
        let mut random = fastrand::Rng::with_seed(self.seed);
        let urls = self.urls(self.chunks, &mut random);
        let batch = self.hand_in(world, &urls).await;
        // A retry follows, so there is time for another batch to come and go.
        let other = if self.owners && self.seed % 4 == 3 {
            let urls = self.urls(self.chunks.div_ceil(10), &mut random);
            Some(self.hand_in(world, &urls).await)
        } else {
            None
        };

        let turns = Turns::new(random.u64(..));
        let chaos = Chaos::new(self.seed);
        let wish = match self.seed % 4 {
            _ if !self.owners => None,
            1 => Some(Wish::Cancel),
            3 => Some(Wish::Retry),
            _ => None,
        };
        let mut play = Play {
            storm: self,
            world,
            chaos: Arc::clone(&chaos),
            mine: turns.join(),
            turns,
            random,
            batch,
            tasks: JoinSet::new(),
            in_hand: Vec::new(),
            remembered: Vec::new(),
            unheard: other.into_iter().chain([batch]).collect(),
            wish,
            other,
            pauses: u32::from(self.owners && self.seed.is_multiple_of(2)) * 2,
            is_paused: false,
            sets_intake: false,
            sweeps: 0,
            handled: 0,
        };
        let deadline = Instant::now() + LONGEST;
        play.run_to_end(deadline).await?;
        let was_cancelled = chaos.moves(batch, BatchStatus::Cancelled) > 0;
        let status = if was_cancelled {
            BatchStatus::Cancelled
        } else {
            BatchStatus::Completed
        };
        let expected = Expected {
            batch,
            urls: &urls,
            status: &[status],
            deleted: other,
            labels: self.labels,
        };
        judge(&world.ports, &chaos, &expected).await?;

        // Whatever comes once more after the end changes nothing.
        for _ in 0..20 {
            play.handle_again();
        }
        play.run_to_end(deadline).await?;
        let recounted = judge(&world.ports, &chaos, &expected).await?;
        Ok(Played {
            handled: play.handled,
            faults: chaos.faults(),
            outcomes: recounted.by_outcome,
            labelled: recounted.vision.labelled,
            was_cancelled,
            retries: chaos.calls("store begin_retry"),
            pauses: chaos.calls("store set_intake"),
            deletions: chaos.calls("store delete_batch"),
        })
    }

    /// Puts a list where nobody has been told of it yet.
    async fn hand_in(self, world: &World, urls: &[String]) -> BatchId {
        let options = BatchOptions {
            chunk_size: Some(self.rows_per_chunk),
            measure: if self.labels {
                MeasureMode::Fast
            } else {
                MeasureMode::Header
            },
            vision: self.labels.then(VisionOptions::default),
            ..BatchOptions::default()
        };
        let request = NewBatch {
            name: "storm".to_owned(),
            owner: "tests".to_owned(),
            list_name: "list.csv".to_owned(),
            options,
        };
        let batch = await_list(&world.ports, request, true).await.unwrap();
        let list = Bytes::from(format!("url\n{}\n", urls.join("\n")));
        let upload = Path::from(keys::upload(batch.id));
        let put = world.ports.objects.put(&upload, PutPayload::from(list));
        put.await.unwrap();
        batch.id
    }

    /// Images, and now and then a URL that is none or comes again.
    fn urls(self, chunks: u32, random: &mut fastrand::Rng) -> Vec<String> {
        let rows = u64::from(chunks * self.rows_per_chunk);
        let mut urls = Vec::new();
        for row in 0..rows {
            urls.push(match random.u32(..10) {
                0 => format!("no-url-{row}"),
                1 => origin::url(self.seed, random.u64(..=row)),
                _ => origin::url(self.seed, row),
            });
        }
        urls
    }
}

impl Play<'_> {
    /// Plays until the batch ended and no message is left.
    async fn run_to_end(&mut self, deadline: Instant) -> Result<(), String> {
        loop {
            self.mine.take().await;
            while let Some(ended) = self.tasks.try_join_next() {
                self.note(&ended.unwrap());
            }
            if Instant::now() > deadline {
                return Err(self.stuck().await);
            }
            if self.tasks.len() < PROCESSES && !self.begin_something().await {
                if !self.tasks.is_empty() {
                    continue;
                }
                if self.is_over().await {
                    return Ok(());
                }
                self.pass_time().await?;
            }
        }
    }

    fn note(&mut self, ended: &Ended) {
        match ended {
            Ended::Wish(Wish::Pause(wanted), is_done) => {
                self.sets_intake = false;
                // One that failed may have been carried out.
                self.is_paused = *wanted || (self.is_paused && !is_done);
            }
            Ended::Message | Ended::Wish(_, false) | Ended::Start(_, false) => {}
            Ended::Sweep => self.sweeps -= 1,
            Ended::Start(id, true) => self.unheard.retain(|unheard| unheard != id),
            Ended::Wish(Wish::Cancel | Wish::Retry, true) => self.wish = None,
            Ended::Wish(Wish::Delete(_), true) => self.other = None,
        }
    }

    /// Begins one thing more, if there is one.
    async fn begin_something(&mut self) -> bool {
        let roll = self.random.u32(..100);
        if let Some(id) = self.unheard.last().copied()
            && roll < 30
        {
            // News of an upload come twice as well.
            self.begin_start(id);
            return true;
        }
        if self.storm.janitor && self.sweeps == 0 && roll < 2 {
            self.begin_sweep();
            return true;
        }
        if self.wish == Some(Wish::Cancel) && self.unheard.is_empty() && roll < 4 {
            self.begin_wish(Wish::Cancel);
            return true;
        }
        if self.pauses > 0 && self.unheard.is_empty() && !self.sets_intake && roll == 4 {
            self.pauses -= 1;
            self.begin_wish(Wish::Pause(true));
            return true;
        }
        if self.is_paused && !self.sets_intake && (4..7).contains(&roll) {
            self.begin_wish(Wish::Pause(false));
            return true;
        }
        if let Some(other) = self.other
            && (7..9).contains(&roll)
        {
            self.begin_wish(Wish::Delete(other));
            return true;
        }
        if !self.in_hand.is_empty() && roll < 75 {
            let position = self.random.usize(..self.in_hand.len());
            let (queue, delivery) = self.in_hand.swap_remove(position);
            if self.random.u32(..5) == 0 {
                self.begin_message(queue, delivery.clone());
            }
            self.begin_message(queue, delivery);
            return true;
        }
        if roll >= 97 && !self.remembered.is_empty() {
            self.handle_again();
            return true;
        }
        self.receive().await || !self.in_hand.is_empty()
    }

    /// Takes messages from the first queue that has any, in any order of queues.
    async fn receive(&mut self) -> bool {
        let mut queues = Queue::ALL.to_vec();
        self.random.shuffle(&mut queues);
        for queue in queues {
            let received = self
                .world
                .ports
                .queue
                .receive(queue, 10, self.world.visibility, Duration::ZERO)
                .await
                .unwrap();
            if received.is_empty() {
                continue;
            }
            for delivery in received {
                if self.remembered.len() < REMEMBERED {
                    self.remembered.push((queue, delivery.body.clone()));
                }
                self.in_hand.push((queue, delivery));
            }
            return true;
        }
        false
    }

    /// A message that was handled before is handled again, whoever sent it once more.
    fn handle_again(&mut self) {
        let (queue, body) = self.random.choice(self.remembered.clone()).unwrap();
        let delivery = Delivery {
            receipt: "none".to_owned(),
            body,
            receive_count: 1,
            interruptions: 0,
        };
        self.begin_message(queue, delivery);
    }

    fn begin_message(&mut self, queue: Queue, delivery: Delivery) {
        self.handled += 1;
        let is_last_try = delivery.receive_count + 1 >= Queue::MAX_RECEIVES;
        let one_of = match queue {
            // A list that cannot be split fails its batch, which is another story.
            Queue::Split if is_last_try => 0,
            _ if is_last_try && !self.storm.janitor => 0,
            Queue::Split => self.storm.chunks * 3 / 2,
            Queue::Finalize => self.storm.chunks * 3,
            Queue::Metrics => 8,
            _ => 25,
        };
        let budget = self.budget();
        let is_acknowledged = delivery.receipt != "none";
        let world = Workshop::of(self.world, self.storm.owners);
        self.begin(one_of, Ended::Message, move |ports| {
            async move {
                let handled = world.handle(&ports, queue, &delivery.body, budget).await;
                let receipts = [delivery.receipt];
                if handled.is_ok() && is_acknowledged {
                    // Where this fails, the message comes again.
                    drop(ports.queue.delete(queue, &receipts).await);
                }
                Ended::Message
            }
            .boxed()
        });
    }

    /// Mostly all the time there is; sometimes none, or that of a process which stopped before.
    fn budget(&mut self) -> Budget {
        let mut budget = Budget::default();
        match self.random.u32(..10) {
            0 => budget.soft_deadline = Some(Instant::now()),
            1 => budget.interruptions = self.random.u32(1..3),
            _ => {}
        }
        budget
    }

    fn begin_start(&mut self, id: BatchId) {
        // Once a batch is queued, only the sweep sends again what tells of it.
        let one_of = if self.storm.janitor { 5 } else { 0 };
        self.begin(one_of, Ended::Start(id, false), move |ports| {
            let news = async move { Ended::Start(id, uploaded(&ports, id).await.is_ok()) };
            news.boxed()
        });
    }

    fn begin_sweep(&mut self) {
        self.sweeps += 1;
        let grace = self.world.visibility.mul_f64(self.random.f64());
        // Most come far enough to write a report, which reads every part.
        let one_of = if self.random.u32(..4) == 0 {
            30
        } else {
            self.storm.chunks * 5
        };
        self.begin(one_of, Ended::Sweep, move |ports| {
            let swept = async move {
                drop(sweep(&ports, grace).await);
                Ended::Sweep
            };
            swept.boxed()
        });
    }

    fn begin_wish(&mut self, wish: Wish) {
        let id = self.batch;
        self.sets_intake |= matches!(wish, Wish::Pause(_));
        self.begin(6, Ended::Wish(wish, false), move |ports| {
            let asked = async move { Ended::Wish(wish, wish.ask(&ports, id).await) };
            asked.boxed()
        });
    }

    /// Begins a process, one of so many calls of which goes wrong. A crash ends it wherever it is, as `crashed`.
    fn begin(
        &mut self,
        one_of: u32,
        crashed: Ended,
        work: impl FnOnce(Ports) -> BoxFuture<'static, Ended> + Send + 'static,
    ) {
        let process = Process::in_turns(self.chaos.script(one_of), self.turns.join());
        let real = &self.world.ports;
        let ports = Ports {
            store: process.store(&real.store),
            queue: process.queue(&real.queue),
            objects: process.objects(&real.objects),
            ..real.clone()
        };
        self.tasks.spawn(async move {
            let ended = process.run(async { work(ports).await }).await;
            ended.unwrap_or(crashed)
        });
    }

    /// Whether nothing is left to do.
    async fn is_over(&mut self) -> bool {
        if !self.unheard.is_empty() {
            return false;
        }
        if self.is_paused {
            self.begin_wish(Wish::Pause(false));
            return false;
        }
        for queue in Queue::ALL {
            let depth = self.world.ports.queue.depth(*queue).await.unwrap();
            if depth.visible + depth.in_flight + depth.delayed + depth.dead > 0 {
                return false;
            }
        }
        let batch = self
            .world
            .ports
            .store
            .batch(self.batch)
            .await
            .unwrap()
            .unwrap();
        if !batch.status.is_terminal() || !batch.report_ready {
            return false;
        }
        if self.wish.is_some() {
            self.begin_wish(Wish::Retry);
            return false;
        }
        if let Some(other) = self.other {
            self.begin_wish(Wish::Delete(other));
            return false;
        }
        true
    }

    /// Nobody is at work, and no message is visible.
    async fn pass_time(&mut self) -> Result<(), String> {
        let share = self.random.f64();
        self.world.wait(share).await;
        if self.storm.janitor && self.sweeps == 0 && self.random.bool() {
            self.begin_sweep();
        } else if !self.storm.janitor && self.unheard.is_empty() && self.is_silent().await {
            return Err(self.stuck().await);
        }
        Ok(())
    }

    /// Whether nothing will ever happen by itself.
    async fn is_silent(&self) -> bool {
        for queue in Queue::ALL {
            let depth = self.world.ports.queue.depth(*queue).await.unwrap();
            if depth.visible + depth.in_flight + depth.delayed > 0 {
                return false;
            }
        }
        let batch = self
            .world
            .ports
            .store
            .batch(self.batch)
            .await
            .unwrap()
            .unwrap();
        self.wish.is_none() && !batch.report_ready
    }

    async fn stuck(&self) -> String {
        let batch = self
            .world
            .ports
            .store
            .batch(self.batch)
            .await
            .unwrap()
            .unwrap();
        let shards = self.world.ports.store.shards(self.batch).await.unwrap();
        let shards: Vec<_> = shards
            .iter()
            .map(|shard| (shard.done, shard.expected))
            .collect();
        let mut depths = Vec::new();
        for queue in Queue::ALL {
            let depth = self.world.ports.queue.depth(*queue).await.unwrap();
            if depth != QueueDepth::default() {
                depths.push((*queue, depth));
            }
        }
        format!(
            "the batch is stuck: {}, finalize sent {}, report {}, shards {shards:?}, queues {depths:?}, at work {}",
            batch.status,
            batch.finalize_sent,
            batch.report_ready,
            self.tasks.len(),
        )
    }
}

//! The embedded engine: every stage of the chain in one process, each at work on its own queue.

mod admission;
mod consume;
mod housekeeping;
mod labelling;
mod tuning;
mod vitals;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use adapters_embedded::DataFolder;
use anyhow::Context;
use domain::ports::{CacheStore, MonitoringStore, Queue, SystemClock, UlidIds};
use domain::{BatchId, Limits};
use fetching::{FetchOptions, Fetcher, Poster};
use pipeline::analyze_chunk::{AnalyzeSettings, Analyzer, Budget, RowObserver};
use pipeline::earlier::KeptComparison;
use pipeline::memory_watch::MemoryWatch;
use pipeline::notify::{self, Notifier, WebhookSecret};
use pipeline::recorder::Recorder;
use pipeline::split::SplitSettings;
use pipeline::{PipelineResult, Ports, record_metrics, split, sweep};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use self::tuning::TuningSettings;
use crate::args::vision::VisionWish;
use admission::Admission;
use consume::{Consumer, consume};
use labelling::Labelling;
pub(crate) use labelling::{SHARED_FILE as SHARED_ANSWERS, open_shared as open_shared_answers};
use vitals::Sampler;

/// Rows in a chunk unless somebody says otherwise: small enough that a killed process loses little, large enough that a commit costs nothing.
const CHUNK_SIZE: u32 = 250;
/// Chunks under way at once at most, however idle the network is.
pub(crate) const MAX_CHUNKS_UNDER_WAY: usize = 128;
/// Bytes that all decoders together may hold.
const DECODE_BYTES: u64 = 192 * 1024 * 1024;
/// Bytes of all bodies together that are being read or wait for a decoder.
const BODY_BYTES: u64 = 32 * 1024 * 1024;
/// A part stops fetching after this long, and leaves the rest to the next.
const SOFT_DEADLINE: Duration = Duration::from_secs(30);

/// How often somebody who waits for a batch looks whether it is done: the longer it takes, the seldomer.
const SHORTEST_LOOK: Duration = Duration::from_millis(2);
const LONGEST_LOOK: Duration = Duration::from_millis(50);

/// How the engine works.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// What webhooks are signed with; without it, none are sent.
    pub webhook: Option<WebhookSecret>,
    /// Limits on lists, servers and images.
    pub limits: Limits,
    /// How to fetch.
    pub fetch: FetchOptions,
    /// Rows in a chunk of a batch that says nothing of it; a number that suits one machine if unset.
    pub chunk_size: Option<u32>,
    /// Resident size the process should stay below.
    pub memory_limit_bytes: Option<u64>,
    /// Whom to ask what images show, if anybody.
    pub vision: Option<VisionWish>,
}

/// The stages at work. Dropping it stops them at once; what is not committed is done again next time.
pub struct Engine {
    ports: Ports,
    recorder: Arc<Recorder>,
    monitoring: Arc<dyn MonitoringStore>,
    labelling: Option<Arc<Labelling>>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    /// What analyses, and how many chunks it has under way; set once the stages are at work.
    at_work: Option<(Arc<Analyzer>, Arc<AtomicUsize>)>,
}

/// The ports over a data folder.
pub fn ports(folder: &DataFolder) -> Ports {
    Ports {
        store: folder.store(),
        queue: folder.queue(),
        objects: folder.objects(),
        clock: Arc::new(SystemClock),
        ids: Arc::new(UlidIds),
        scratch: folder.path().to_owned(),
    }
}

impl Engine {
    /// Takes up what an earlier process left in `folder`, and starts every stage.
    pub async fn start(
        folder: &DataFolder,
        settings: EngineSettings,
        observer: Option<Arc<dyn RowObserver>>,
    ) -> anyhow::Result<Self> {
        let ports = ports(folder);
        let recorder = Arc::new(Recorder::default());
        folder.database().observe(Arc::clone(&recorder) as _);
        let released = folder.database().release_interrupted().await;
        let released =
            released.context("messages that an earlier process held could not be released")?;
        if released > 0 {
            tracing::info!(messages = released, "took up what an earlier process held");
        }
        // This process is alone on the folder: whatever stopped half way is not somebody else's.
        let swept = sweep::sweep(&ports, Duration::ZERO)
            .await
            .context("the data folder could not be swept")?;
        recorder.swept(&swept);
        let (stop, stopped) = watch::channel(false);
        let mut engine = Self {
            ports,
            recorder,
            monitoring: folder.monitoring(),
            labelling: None,
            stop,
            tasks: JoinSet::new(),
            at_work: None,
        };
        engine.start_stages(settings, observer, folder, &stopped)?;
        Ok(engine)
    }

    /// The ports it works through.
    pub const fn ports(&self) -> &Ports {
        &self.ports
    }

    /// What it counts.
    pub const fn recorder(&self) -> &Arc<Recorder> {
        &self.recorder
    }

    /// Where the answers of a model are kept, if there is a model.
    pub fn answers(&self) -> Option<Arc<dyn CacheStore>> {
        self.labelling
            .as_ref()
            .and_then(|labelling| labelling.answers())
    }

    /// Waits until nothing more will happen to the batch and, if it completed, its report is written.
    pub async fn wait_for(&self, id: BatchId) -> PipelineResult<()> {
        let began = Instant::now();
        loop {
            let Some(batch) = self.ports.store.batch(id).await? else {
                return Ok(());
            };
            let is_completed = batch.status == domain::BatchStatus::Completed;
            if batch.status.is_terminal() && (batch.report_ready || !is_completed) {
                return Ok(());
            }
            // As often as adds a twentieth to the wait at most.
            let pause = (began.elapsed() / 20).clamp(SHORTEST_LOOK, LONGEST_LOOK);
            tokio::time::sleep(pause).await;
        }
    }

    /// Takes no more messages, lets the stages finish those they hold for up to `patience`, then stops them.
    pub async fn drain(mut self, patience: Duration) {
        // The stages hold receivers as long as they run.
        let _ = self.stop.send(true);
        let drained = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(patience, drained).await;
        self.settle().await;
    }

    /// Writes down what the process keeps in memory to spare writes: what became of calls to models, and what was counted.
    pub async fn settle(&self) {
        if let Some(labelling) = &self.labelling {
            labelling.settle().await;
        }
        let flushed = self.recorder.flush(&self.ports, self.monitoring.as_ref());
        if let Err(error) = flushed.await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "what was counted last is lost");
        }
    }

    fn start_stages(
        &mut self,
        settings: EngineSettings,
        observer: Option<Arc<dyn RowObserver>>,
        folder: &DataFolder,
        stopped: &watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        let concurrency = settings.fetch.max_concurrent;
        let notifier = match settings.webhook {
            Some(secret) => {
                let poster = Poster::new(&settings.limits, settings.fetch.clone())
                    .context("webhooks could not be set up")?;
                Some(Arc::new(Notifier::new(poster, secret)))
            }
            None => None,
        };
        let fetch = FetchOptions {
            max_body_bytes_in_flight: BODY_BYTES,
            ..settings.fetch
        };
        let fetcher =
            Fetcher::new(&settings.limits, fetch).context("the fetcher could not be set up")?;
        let decoders = std::thread::available_parallelism().map_or(1, usize::from);
        let analyze = AnalyzeSettings {
            limits: settings.limits.clone(),
            concurrency,
            decoders,
            decode_bytes: DECODE_BYTES,
            model_image_side: settings
                .vision
                .as_ref()
                .map(|wish| wish.settings.image_max_size),
        };
        let memory = Arc::new(MemoryWatch::new(settings.memory_limit_bytes));
        let analyzer = Analyzer::new(self.ports.clone(), fetcher, analyze, observer)
            .with_memory_watch(Arc::clone(&memory));
        let analyzer = Arc::new(analyzer);
        let gate = Arc::default();
        let consumer =
            |queue| Consumer::new(self.ports.clone(), queue, stopped.clone()).governed_by(&gate);

        let split_settings = split_settings(settings.limits, settings.chunk_size, folder);
        let split_settings = Arc::new(split_settings);
        self.tasks
            .spawn(consume(consumer(Queue::Split), move |ports, message, _| {
                let settings = Arc::clone(&split_settings);
                async move { split::split(&ports, &settings, &message).await.map(drop) }
            }));
        let room = Arc::clone(&analyzer);
        let admission = Arc::new(Admission::new(
            chunks_in_flight(concurrency),
            memory,
            move || room.has_room(),
        ));
        for _ in 0..MAX_CHUNKS_UNDER_WAY {
            let analyzer = Arc::clone(&analyzer);
            self.tasks.spawn(consume(
                consumer(Queue::Chunks).admitted_by(Arc::clone(&admission)),
                move |_, message, interruptions| {
                    let analyzer = Arc::clone(&analyzer);
                    let budget = Budget {
                        soft_deadline: Some(Instant::now() + SOFT_DEADLINE),
                        hard_deadline: None,
                        interruptions,
                    };
                    async move { analyzer.analyze_chunk(&message, budget).await }
                },
            ));
        }
        let recorder = Arc::clone(&self.recorder);
        self.tasks.spawn(consume(
            consumer(Queue::Metrics),
            move |ports, message, _| record_part(ports, message, Arc::clone(&recorder)),
        ));
        self.tasks.spawn(consume(
            consumer(Queue::Finalize),
            move |ports, message: domain::FinalizeMessage, _| {
                let notifier = notifier.clone();
                async move { notify::report(&ports, notifier.as_deref(), message).await }
            },
        ));
        let labelling = Labelling::of(&self.ports, folder, &self.recorder, settings.vision);
        let labelling = Arc::new(labelling);
        self.labelling = Some(Arc::clone(&labelling));
        for queue in [Queue::VisionHigh, Queue::Vision] {
            for _ in 0..labelling.workers() {
                let labelling = Arc::clone(&labelling);
                let label = move |ports, message, _| {
                    let labelling = Arc::clone(&labelling);
                    async move { labelling.label(&ports, &message).await }
                };
                self.tasks.spawn(consume(consumer(queue), label));
            }
        }
        let sampler = Sampler {
            ports: self.ports.clone(),
            monitoring: folder.monitoring(),
            recorder: Arc::clone(&self.recorder),
            workers: admission.under_way(),
            memory_limit_bytes: settings.memory_limit_bytes,
        };
        self.at_work = Some((analyzer, admission.under_way()));
        self.start_watching(sampler, stopped);
        Ok(())
    }

    /// Lets the requests under way at once follow what is measured, within a range.
    pub fn tune(&mut self, settings: TuningSettings) {
        let Some((analyzer, under_way)) = self.at_work.clone() else {
            return;
        };
        let monitoring = Arc::clone(&self.monitoring);
        let stopped = self.stop.subscribe();
        self.tasks.spawn(self::tuning::tune(
            settings, analyzer, under_way, monitoring, stopped,
        ));
    }

    /// Forgets batches this long after they ended, and the indicators of minutes this long after they were.
    pub fn keep_for(&mut self, keep: Duration, folder: &DataFolder) {
        self.tasks.spawn(housekeeping::expire_on_schedule(
            self.ports.clone(),
            folder.database().clone(),
            keep,
            Arc::clone(&self.recorder),
            self.stop.subscribe(),
        ));
    }

    /// What looks after the stages: samples, and sweeps on a schedule.
    fn start_watching(&mut self, sampler: Sampler, stopped: &watch::Receiver<bool>) {
        self.tasks.spawn(sampler.run(stopped.clone()));
        self.tasks.spawn(housekeeping::sweep_on_schedule(
            self.ports.clone(),
            Arc::clone(&self.recorder),
            stopped.clone(),
        ));
    }
}

async fn record_part(
    ports: Ports,
    message: domain::MetricsMessage,
    recorder: Arc<Recorder>,
) -> PipelineResult<()> {
    if record_metrics::record_metrics(&ports, &message).await? {
        recorder.part(&message.delta);
    }
    Ok(())
}

fn split_settings(limits: Limits, chunk_size: Option<u32>, folder: &DataFolder) -> SplitSettings {
    SplitSettings {
        limits,
        chunk_size: chunk_size.unwrap_or(CHUNK_SIZE),
        scratch: folder.path().to_owned(),
        soft_deadline: None,
        kept: KeptComparison::default(),
    }
}

/// Enough chunks to keep `concurrency` requests under way while the last rows of one come in.
fn chunks_in_flight(concurrency: usize) -> usize {
    concurrency.div_ceil(CHUNK_SIZE as usize) + 1
}

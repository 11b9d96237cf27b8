//! Asks a model what the images of a part show, each distinct image once, and commits the answers.
//!
//! A process never waits for a permit. It makes the calls that the key pool lets it make, stores their answers as a *step*, and leaves the
//! rest to a message that comes again when the next permits are due. The part counts in its shard once its last step is stored.

mod answers;
mod budget;
mod calls;
mod counting;
mod ends;
mod images;
mod precedence;
mod trouble;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use caching::{Cache, Kind};
use domain::ports::{KeyStore, PartCommit, PortErrorKind, Queue};
use domain::{
    Batch, Counters, KpiDelta, MetricsMessage, Minute, PartRef, Priority, RowNumber,
    VisionCounters, VisionMessage, VisionOptions, Vitals, keys,
};
use vision::{AdaptiveBatch, KeyPool, Pricing, Take, VisionProvider, VisionSettings};

use crate::commit::roll_up;
use crate::control::{Control, ControlSettings, Followed, Stop};
use crate::delete::remove_object;
use crate::recorder::Recorder;
use crate::send::{send_all, send_one};
use crate::{PipelineResult, Ports};

pub(crate) use answers::read_answers;
use answers::{StepManifest, Tries, VisionRow, put_step, read_step};
use budget::Spending;
use calls::{Calls, Rest};
use counting::Counting;
use ends::{End, payer};
use images::{Image, open_images};
use precedence::Precedence;
use trouble::Trouble;

/// Longest delay of a message.
const MAX_DELAY: Duration = Duration::from_secs(15 * 60);
/// A step whose message was sent twice is looked at again after this long.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// Pause before an image is looked at again that another process is at work on.
const BUSY_PAUSE: Duration = Duration::from_secs(5);
/// Pause after permits were left to images of high priority.
const YIELD_PAUSE: Duration = Duration::from_secs(2);
/// Pause after calls that failed; doubles with every try.
const FAILED_PAUSE: Duration = Duration::from_secs(15);

/// The queue of a priority.
pub(crate) const fn vision_queue(priority: Priority) -> Queue {
    match priority {
        Priority::Normal => Queue::Vision,
        Priority::High => Queue::VisionHigh,
    }
}

/// How one process labels.
#[derive(Debug, Clone)]
pub struct LabelSettings {
    /// Part of every answer's key: what was asked about which picture, and of whom.
    pub question: String,
    /// What calls cost.
    pub pricing: Pricing,
    /// How long answers are kept.
    pub keep_answers: Duration,
    /// How long it is remembered that there is no answer.
    pub keep_errors: Duration,
    /// How long nobody else asks about an image that a call is under way for: longer than any call takes.
    pub lease: Duration,
    /// Calls under way at once.
    pub calls_at_once: usize,
}

/// Beyond the longest call, for what is done before and after it.
const LEASE_MARGIN: Duration = Duration::from_secs(30);
/// Answers that cost a cent each are kept four times as long.
const DEAR_MICRO_USD: u64 = 10_000;
const DEAR_FACTOR: u32 = 4;
const KEEP_ERRORS: Duration = Duration::from_secs(3_600);

impl LabelSettings {
    /// What follows from the settings of a provider.
    pub fn of(settings: &VisionSettings) -> Self {
        Self {
            question: settings.question(),
            pricing: settings.pricing,
            keep_answers: settings.keep_answers,
            keep_errors: KEEP_ERRORS,
            lease: settings.openai.call_timeout + LEASE_MARGIN,
            calls_at_once: settings.calls_at_once,
        }
    }

    /// The kind of cached answers.
    fn kind(&self) -> Kind {
        Kind {
            prefix: "V",
            lifetime: self.keep_answers,
            negative_lifetime: self.keep_errors,
            dear_from_micro_usd: DEAR_MICRO_USD,
            dear_factor: DEAR_FACTOR,
        }
    }
}

/// Labels parts. One per process.
pub struct Labeller {
    ports: Ports,
    keys: Arc<dyn KeyStore>,
    cache: Arc<Cache>,
    pool: Arc<KeyPool>,
    provider: Arc<dyn VisionProvider>,
    settings: LabelSettings,
    batching: AdaptiveBatch,
    trouble: Trouble,
    precedence: Precedence,
    control: Control,
    counting: Option<Counting>,
}

impl Labeller {
    /// A labeller that works through `ports` with the keys of `pool`, whose states and budgets lie in `keys`.
    pub fn new(
        ports: Ports,
        keys: Arc<dyn KeyStore>,
        cache: Arc<Cache>,
        pool: Arc<KeyPool>,
        provider: Arc<dyn VisionProvider>,
        settings: LabelSettings,
    ) -> Self {
        Self {
            ports,
            keys,
            cache,
            pool,
            batching: AdaptiveBatch::new(provider.max_images()),
            provider,
            settings,
            trouble: Trouble::default(),
            precedence: Precedence::default(),
            control: Control::default(),
            counting: None,
        }
    }

    /// The same, following what owners change about their batches in another way than by default.
    #[must_use]
    pub fn with_control(mut self, settings: ControlSettings) -> Self {
        self.control = Control::new(settings);
        self
    }

    /// One that tells `recorder` what its cache and its keys did; somebody else takes it from there.
    #[must_use]
    pub fn counting_into(mut self, recorder: Arc<Recorder>) -> Self {
        self.counting = Some(Counting::new(recorder, false));
        self
    }

    /// The same, where what `recorder` holds goes along with each part that is committed.
    #[must_use]
    pub fn with_recorder(mut self, recorder: Arc<Recorder>) -> Self {
        self.counting = Some(Counting::new(recorder, true));
        self
    }

    /// Writes down what became of calls, for a process that ends, and counts what it has not told yet.
    pub async fn settle(&self) -> PipelineResult<()> {
        if let Some(counting) = &self.counting {
            counting.note(&self.cache, &self.pool);
        }
        Ok(self.pool.flush_all().await?)
    }

    /// What its keys did.
    pub fn pool(&self) -> &KeyPool {
        &self.pool
    }

    /// What its answers come from.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Labels what it can of the part that `message` names, and sends itself the rest. No call is begun after `deadline`.
    pub async fn label(
        &self,
        message: &VisionMessage,
        deadline: Option<Instant>,
    ) -> PipelineResult<()> {
        let Some(batch) = self.ports.store.batch(message.part.batch).await? else {
            return Ok(());
        };
        let stop = Stop::of(Some(&batch));
        if stop == Some(Stop::Pointless) {
            return Ok(());
        }
        let options = batch.options.vision.clone().unwrap_or_default();
        if let Some(stored) = read_step(&self.ports, message.part, message.step).await? {
            return self.follow_up(&batch, &options, &stored).await;
        }
        let (images, total) = self.open_images(message, &options).await?;
        let (ends, rest) = if stop == Some(Stop::Cancelled) {
            let ends = images.iter().map(|image| (image.clone(), End::Cancelled));
            (ends.collect(), Rest::default())
        } else {
            let followed = self.control.follow(&self.ports, &batch);
            self.work_through(message.part, &options, images, deadline, &followed)
                .await?
        };
        let delay = self.delay_of(&rest, &options).await?;
        if ends.is_empty() && !rest.images.is_empty() {
            // Nothing to store; the same again later.
            let queue = vision_queue(options.priority);
            return send_all(&self.ports, queue, &[*message], delay).await;
        }
        let manifest = self.step_of(message, ends, &rest, total, delay);
        let (manifest, rows) = manifest;
        let (stored, is_ours) = put_step(&self.ports, manifest, &rows).await?;
        if is_ours {
            return self.go_on(&batch, &options, &stored).await;
        }
        self.follow_up(&batch, &options, &stored).await
    }

    /// Ends what is open of a part without asking anybody, for a message that was given up.
    pub async fn give_up(ports: &Ports, message: &VisionMessage) -> PipelineResult<()> {
        let reason = "its labelling failed again and again and was given up";
        end_unasked(ports, message, reason).await
    }

    /// Ends what is open of a part where nobody can be asked any more: its batch was begun by a process that had a provider.
    pub async fn without_provider(ports: &Ports, message: &VisionMessage) -> PipelineResult<()> {
        tracing::warn!(part = %message.part, "there is no vision provider any more");
        end_unasked(ports, message, "there is no vision provider any more").await
    }

    async fn open_images(
        &self,
        message: &VisionMessage,
        options: &VisionOptions,
    ) -> PipelineResult<(Vec<Image>, VisionCounters)> {
        open_images(&self.ports, message, options, &self.settings.question).await
    }

    /// Answers from the cache first, then calls, as long as there are permits, money and time.
    async fn work_through(
        &self,
        part: PartRef,
        options: &VisionOptions,
        images: Vec<Image>,
        deadline: Option<Instant>,
        batch: &Followed,
    ) -> PipelineResult<(Vec<(Image, End)>, Rest)> {
        let kind = self.settings.kind();
        let by = payer(part);
        let mut ends = Vec::new();
        let mut open = Vec::new();
        for (image, known) in images::look_up(&self.cache, &kind, images).await? {
            match known {
                Some(known) => ends.push((image, End::of_cached(&known, &by))),
                None => open.push(image),
            }
        }
        if open.is_empty() {
            return Ok((ends, Rest::default()));
        }
        let spending = Spending::of(&self.keys, part.batch, options.budget_micro_usd).await?;
        let calls = Calls::new(self, part, batch, options.priority, kind, spending, open);
        let rest = calls.make(deadline, &mut ends).await?;
        Ok((ends, rest))
    }

    /// When the rest should come again.
    async fn delay_of(&self, rest: &Rest, options: &VisionOptions) -> PipelineResult<Duration> {
        if rest.images.is_empty() {
            return Ok(Duration::ZERO);
        }
        let wanted = u32::try_from(rest.images.len()).unwrap_or(u32::MAX);
        let now = self.ports.clock.now();
        let delay = match (rest.permits_at, options.priority) {
            (Some(_), Priority::Normal) => {
                let turn = self.pool.book_turn(wanted).await?;
                turn.duration_since(now).unsigned_abs()
            }
            (Some(permits_at), Priority::High) => permits_at.duration_since(now).unsigned_abs(),
            (None, _) if rest.out_of_time => Duration::ZERO,
            (None, _) if rest.failed_tries > 0 => {
                FAILED_PAUSE * 2u32.saturating_pow(rest.failed_tries - 1)
            }
            (None, _) => BUSY_PAUSE,
        };
        Ok(delay.min(MAX_DELAY))
    }

    fn step_of(
        &self,
        message: &VisionMessage,
        ends: Vec<(Image, End)>,
        rest: &Rest,
        mut total: VisionCounters,
        delay: Duration,
    ) -> (StepManifest, Vec<VisionRow>) {
        total += &rest.spent;
        let mut rows = Vec::new();
        for (image, end) in ends {
            end.count(image.rows.len() as u64, &mut total);
            let shown = end.row(self.provider.name());
            rows.extend(
                image
                    .rows
                    .iter()
                    .filter_map(|row| shown.clone().map(|vision| VisionRow { row: *row, vision })),
            );
        }
        rows.sort_unstable_by_key(|row| row.row);
        let mut leftover: Vec<RowNumber> = Vec::new();
        let mut tries = BTreeMap::new();
        for image in &rest.images {
            leftover.extend(&image.rows);
            if image.tries != Tries::default() {
                tries.insert(image.sha256.clone(), image.tries);
            }
        }
        leftover.sort_unstable();
        let manifest = StepManifest {
            part: message.part,
            step: message.step,
            leftover,
            tries,
            // Queues count in seconds.
            delay_s: delay.as_secs() + u64::from(delay.subsec_nanos() > 0),
            stored_at: self.ports.clock.now(),
            total,
        };
        (manifest, rows)
    }

    /// After our own step.
    async fn go_on(
        &self,
        batch: &Batch,
        options: &VisionOptions,
        stored: &StepManifest,
    ) -> PipelineResult<()> {
        if stored.leftover.is_empty() {
            tracing::debug!(batch = %batch.id, part = %stored.part, "part labelled");
            return commit(&self.ports, stored, self.vitals()).await;
        }
        let delay = Duration::from_secs(stored.delay_s).min(MAX_DELAY);
        let queue = vision_queue(options.priority);
        send_all(&self.ports, queue, &[stored.next()], delay).await
    }

    /// After a step that was there already. Whoever stored it sends what follows; only if that did not happen, we do. Were every
    /// repetition to send it at once, messages would double with every step.
    async fn follow_up(
        &self,
        batch: &Batch,
        options: &VisionOptions,
        stored: &StepManifest,
    ) -> PipelineResult<()> {
        if stored.leftover.is_empty() {
            return commit(&self.ports, stored, self.vitals()).await;
        }
        let next = stored.next();
        if read_step(&self.ports, next.part, next.step)
            .await?
            .is_some()
        {
            return Ok(());
        }
        let patience = Duration::from_secs(stored.delay_s) + LOOK_AGAIN;
        let age = self.ports.clock.now().duration_since(stored.stored_at);
        if age.unsigned_abs() >= patience {
            return self.go_on(batch, options, stored).await;
        }
        let same = VisionMessage {
            part: stored.part,
            step: stored.step,
        };
        let queue = vision_queue(options.priority);
        send_all(&self.ports, queue, &[same], patience.min(MAX_DELAY)).await
    }

    fn images_per_call(&self) -> usize {
        self.batching.size()
    }

    /// Takes in how long an answer took.
    fn note_latency(&self, latency: Duration) {
        if let Some(change) = self.batching.record(latency) {
            change.log();
        }
    }

    /// What goes along with the part that is committed now.
    fn vitals(&self) -> Vitals {
        let counting = self.counting.as_ref();
        counting.map_or_else(Vitals::default, |counting| {
            counting.note(&self.cache, &self.pool);
            counting.drained()
        })
    }

    /// A block of permits, or when one is likely to be there, or that there never will be.
    async fn take(&self, wanted: usize, priority: Priority) -> PipelineResult<Take> {
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        if priority == Priority::High || !self.precedence.others_wait(&self.ports).await {
            return Ok(self.pool.take(wanted).await?);
        }
        Ok(match self.pool.take_of_surplus(wanted).await? {
            Take::Wait { until } => Take::Wait {
                until: until.max(self.ports.clock.now() + YIELD_PAUSE),
            },
            taken => taken,
        })
    }
}

/// Ends what is open of a part with an error that says `reason`.
async fn end_unasked(ports: &Ports, message: &VisionMessage, reason: &str) -> PipelineResult<()> {
    let Some(batch) = ports.store.batch(message.part.batch).await? else {
        return Ok(());
    };
    let options = batch.options.vision.clone().unwrap_or_default();
    let (images, mut total) = open_images(ports, message, &options, "").await?;
    let mut rows = Vec::new();
    for image in images {
        total.done += image.rows.len() as u64;
        total.errors += image.rows.len() as u64;
        rows.extend(image.rows.iter().map(|row| VisionRow::error(*row, reason)));
    }
    let manifest = StepManifest {
        part: message.part,
        step: message.step,
        leftover: Vec::new(),
        tries: BTreeMap::new(),
        delay_s: 0,
        stored_at: ports.clock.now(),
        total,
    };
    let (stored, _) = put_step(ports, manifest, &rows).await?;
    if stored.leftover.is_empty() {
        return commit(ports, &stored, Vitals::default()).await;
    }
    let queue = vision_queue(options.priority);
    send_one(ports, queue, &stored.next()).await
}

/// Counts a part's labelling in its shard. Steps can be repeated, and are.
async fn commit(ports: &Ports, last: &StepManifest, vitals: Vitals) -> PipelineResult<()> {
    let part = last.part.labelling();
    let commit = PartCommit {
        part,
        counters: Counters {
            vision: last.total,
            ..Counters::default()
        },
        has_leftover: false,
        begins_labelling: false,
        retracted: None,
    };
    let committed = match ports.store.commit_part(&commit).await {
        Err(error) if error.kind == PortErrorKind::Rejected => {
            return forget_if_deleted(ports, last, error).await;
        }
        committed => committed?,
    };
    if committed.shard_complete {
        roll_up(ports, part.shard()).await?;
    }
    let metrics = MetricsMessage {
        part,
        minute: Minute::of(last.stored_at),
        delta: KpiDelta {
            counters: commit.counters,
            vitals,
            ..KpiDelta::default()
        },
    };
    send_one(ports, Queue::Metrics, &metrics).await
}

/// A batch that was deleted meanwhile takes the answers, which nobody else would find, with it.
async fn forget_if_deleted(
    ports: &Ports,
    last: &StepManifest,
    error: domain::ports::PortError,
) -> PipelineResult<()> {
    if ports.store.batch(last.part.batch).await?.is_some() {
        return Err(error.into());
    }
    for step in 0..=last.step {
        remove_object(ports, &keys::vision_answers(last.part, step)).await?;
    }
    Ok(())
}

/// Whether a part's results hold images to label, and how many rows.
pub(crate) fn rows_to_label(results: &[domain::ResultRow]) -> u64 {
    let to_label = results
        .iter()
        .filter(|row| row.outcome == domain::Outcome::Ok && row.sha256.is_some());
    to_label.count() as u64
}

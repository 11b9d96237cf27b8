//! Fetches and measures the rows of a part, stores their results and commits them.

mod admission;
mod changes;
mod decoders;
mod model_images;
mod part_rows;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use domain::ports::Queue;
use domain::{
    Batch, BatchId, ChunkMessage, ChunkRow, Issue, KpiDelta, Limits, MeasureMode, Minute, Outcome,
    PartRef, Priority, ResultRow,
};
use fetching::{Enough, FetchMode, Fetched, Fetcher, TargetUrl};
use futures::StreamExt;
use imaging::{ImageError, Measured, Measurer, Probe};

use crate::accept::hex;
use crate::control::{Control, ControlSettings, Followed, Stop};
use crate::delete::commit_unless_deleted;
use crate::hosts::interleaved;
use crate::label_images::rows_to_label;
use crate::leftovers::{Past, left_over, settle, settled};
use crate::memory_watch::MemoryWatch;
use crate::objects::{self, Manifest};
use crate::process_vitals::Since;
use crate::recorder::Recorder;
use crate::{PipelineResult, Ports};

use admission::Admission;
use decoders::{Decoders, Lost};
use model_images::ModelImages;
use part_rows::{OpenRows, PartRows};

/// Pause before rows that ran out of time are taken up again; doubles with every deferral.
const FIRST_DEFERRAL: Duration = Duration::from_secs(5);

/// A part most of whose rows are done and of which none ended for this long leaves the others to the next part, if the network
/// is idle meanwhile: they wait for slow hosts, and what is done need not wait with them.
const STALL: Duration = Duration::from_secs(2);
/// Share of the requests that are not under way while a part is stalled.
const IDLE_WHEN_STALLED: f64 = 0.75;
/// Share of the requests that are not under way while there is room for another part: of the rows that are open, too many wait for slow
/// hosts.
const IDLE_WITH_ROOM: f64 = 0.05;
/// Below this multiple of the requests that could be under way, the rows that are open will soon be too few to keep network and
/// processors busy: another part is taken on before they run out, not after.
const ROWS_AHEAD: usize = 2;
/// Rows that may wait for slow hosts before no further part is taken on: the bound on rows in memory.
const MAX_OPEN_ROWS: usize = 8_000;

/// Detail of rows that were not fetched because their batch was cancelled.
pub(crate) const BATCH_CANCELLED: &str = "the batch was cancelled";

/// Sees every row the moment it is done, before it is committed: for a progress bar.
pub trait RowObserver: Send + Sync {
    /// `row` has its result.
    fn row_done(&self, row: &ResultRow);
}

/// How one process analyses.
#[derive(Debug, Clone)]
pub struct AnalyzeSettings {
    /// Limits on servers and images.
    pub limits: Limits,
    /// Rows of one part under way at once.
    pub concurrency: usize,
    /// Images decoded at once: the processors there are.
    pub decoders: usize,
    /// Bytes that all decoders together may hold; an image that needs more is decoded alone.
    pub decode_bytes: u64,
    /// Longest side in pixels of the images that are kept for a model, where a batch wants to know what they show; `None` where there is
    /// no model.
    pub model_image_side: Option<u32>,
}

/// What one delivery may take.
#[derive(Debug, Clone, Copy, Default)]
pub struct Budget {
    /// When to stop fetching and leave the rest to the next part; `None` for no end.
    pub soft_deadline: Option<Instant>,
    /// When the last part that a row may be left over to has to end as well; its open rows are then `timeout`.
    pub hard_deadline: Option<Instant>,
    /// How often a process stopped while it held this message. The part is halved each time, so that something gets done
    /// between two stops, and so that a row which brings the process down ends up alone.
    pub interruptions: u32,
}

/// Analyses parts. One per process; it holds the connections.
pub struct Analyzer {
    ports: Ports,
    fetcher: Fetcher,
    measurer: Arc<Measurer>,
    decoders: Decoders,
    settings: AnalyzeSettings,
    observer: Option<Arc<dyn RowObserver>>,
    recorder: Option<Arc<Recorder>>,
    /// What this process may take.
    memory_bytes: Option<u64>,
    /// Rows of all parts under way that have no result yet.
    open_rows: AtomicUsize,
    /// Rows that ended since the start.
    ended_rows: AtomicU64,
    /// Requests under way at once: at first what the settings say.
    concurrency: AtomicUsize,
    /// As many of them as there may ever be: so many rows of a part are begun, and wait for their turn at the fetcher.
    most_concurrency: AtomicUsize,
    control: Control,
    admission: Admission,
    progress_every: Option<Duration>,
    model_images: Arc<ModelImages>,
}

/// What a part has to do.
struct Work {
    rows: Vec<ChunkRow>,
    past: Past,
    look: Look,
    batch: Arc<Followed>,
}

/// How the images of a part are looked at.
#[derive(Debug, Clone, Copy)]
struct Look {
    mode: MeasureMode,
    /// Longest side of the image that is kept for a model, if one is.
    model_side: Option<u32>,
    generation: u32,
    /// In which order a model is asked.
    priority: Priority,
}

/// A row's end, or the wish to try it again later.
enum RowEnd {
    Done(Box<ResultRow>),
    Later {
        not_before: Option<Duration>,
    },
    /// Its batch may have no more rows under way, and there was no time to wait.
    NotBegun,
}

impl Analyzer {
    /// An analyser that works through `ports`.
    pub fn new(
        ports: Ports,
        fetcher: Fetcher,
        settings: AnalyzeSettings,
        observer: Option<Arc<dyn RowObserver>>,
    ) -> Self {
        Self {
            ports,
            fetcher,
            measurer: Arc::new(Measurer::new(&settings.limits)),
            decoders: Decoders::start(
                settings.decoders,
                settings.decode_bytes,
                settings.limits.decode_timeout,
            ),
            model_images: Arc::default(),
            ended_rows: AtomicU64::new(0),
            concurrency: AtomicUsize::new(settings.concurrency),
            most_concurrency: AtomicUsize::new(settings.concurrency),
            settings,
            observer,
            recorder: None,
            memory_bytes: None,
            open_rows: AtomicUsize::new(0),
            control: Control::default(),
            admission: Admission::new(Arc::new(MemoryWatch::new(None))),
            progress_every: None,
        }
    }

    /// The same, following what owners change about their batches in another way than by default.
    #[must_use]
    pub fn with_control(mut self, settings: ControlSettings) -> Self {
        self.control = Control::new(settings);
        self
    }

    /// The same, beginning no further rows while `memory` is short.
    #[must_use]
    pub fn with_memory_watch(mut self, memory: Arc<MemoryWatch>) -> Self {
        self.admission = Admission::new(memory);
        self
    }

    /// The same, saying in the log how far a part is, this often.
    #[must_use]
    pub const fn with_progress_every(mut self, pause: Duration) -> Self {
        self.progress_every = Some(pause);
        self
    }

    /// The same, whose parts carry what this process saw of itself since the last one, and how it fared, with so much memory to take: where
    /// nothing else stores it.
    #[must_use]
    pub fn with_recorder(mut self, recorder: Arc<Recorder>, memory_bytes: u64) -> Self {
        self.recorder = Some(recorder);
        self.memory_bytes = Some(memory_bytes);
        self
    }

    /// Rows that ended since the start, whatever became of them.
    pub fn ended_rows(&self) -> u64 {
        self.ended_rows.load(Ordering::Relaxed)
    }

    /// Requests under way at once, as it is set now.
    pub fn concurrency(&self) -> usize {
        self.concurrency.load(Ordering::Relaxed)
    }

    /// Says that [`Self::set_concurrency`] will go up to this. Parts that are under way already do not know.
    pub fn expect_concurrency(&self, most: usize) {
        self.most_concurrency.fetch_max(most, Ordering::Relaxed);
    }

    /// Sets the requests under way at once, from now on.
    pub fn set_concurrency(&self, requests: usize) {
        self.concurrency.store(requests.max(1), Ordering::Relaxed);
        self.fetcher.allow_concurrent(requests);
    }

    /// Whether rows of another part would find something to do: few rows are left to begin, or requests could be under way that
    /// are not, and no image waits for a processor.
    pub fn has_room(&self) -> bool {
        let open_rows = self.open_rows.load(Ordering::Relaxed);
        if open_rows < self.concurrency() * ROWS_AHEAD {
            return true;
        }
        self.is_network_idle(IDLE_WITH_ROOM)
            && self.decoders.is_any_idle()
            && open_rows < MAX_OPEN_ROWS
    }

    /// Does the part that `message` names, unless its results are stored already, and commits it.
    pub async fn analyze_chunk(
        &self,
        message: &ChunkMessage,
        budget: Budget,
    ) -> PipelineResult<()> {
        let part = message.part;
        let Some(batch) = self.ports.store.batch(part.batch).await? else {
            tracing::warn!(%part, "part of a batch that is gone");
            return Ok(());
        };
        let stop = Stop::of(Some(&batch));
        if stop == Some(Stop::Pointless) {
            return Ok(());
        }
        // Results that are stored are never fetched again, however often the message comes.
        let manifest = if let Some(stored) = objects::read_manifest(&self.ports, part).await? {
            stored
        } else {
            let rows = objects::read_chunk(&self.ports, part).await?;
            let (rows, past) = left_over(&self.ports, part, rows).await?;
            if stop == Some(Stop::Cancelled) {
                let (rows, outcome) = ((rows.as_slice(), [].as_slice()), Outcome::Cancelled);
                settle(&self.ports, message, rows, &past, outcome, BATCH_CANCELLED).await?
            } else {
                let work = Work {
                    rows,
                    past,
                    look: self.look_of(&batch),
                    batch: self.control.follow(&self.ports, &batch),
                };
                match self.analyze_rows(message, work, budget).await? {
                    Some(manifest) => manifest,
                    None => return Ok(()),
                }
            }
        };
        commit_unless_deleted(&self.ports, &manifest).await
    }

    fn look_of(&self, batch: &Batch) -> Look {
        let mode = batch.options.measure;
        let wish = batch.options.vision.as_ref();
        Look {
            mode,
            model_side: self
                .settings
                .model_image_side
                .filter(|_| wish.is_some() && mode != MeasureMode::Header),
            generation: batch.generation(),
            priority: wish.map(|wish| wish.priority).unwrap_or_default(),
        }
    }

    /// `None` when nobody needs the results any more.
    async fn analyze_rows(
        &self,
        message: &ChunkMessage,
        mut work: Work,
        budget: Budget,
    ) -> PipelineResult<Option<Manifest>> {
        let (started, fared) = (Instant::now(), Since::now());
        let part = message.part;
        let row_count = work.rows.len();
        if is_poison(row_count, budget.interruptions) {
            let rest = work.rows.split_off(1);
            let rows = (work.rows.as_slice(), rest.as_slice());
            let (outcome, detail) = (
                Outcome::Poisoned,
                "the process stopped whenever this row's turn came",
            );
            let settled = settle(&self.ports, message, rows, &work.past, outcome, detail).await;
            return settled.map(Some);
        }
        let is_last = self.is_last(message);
        let share = share_of(row_count, budget.interruptions);
        let rest = work.rows.split_off(share);
        let past = std::mem::take(&mut work.past);
        let look = work.look;
        let Some(mut done) = self.work_through(message, work, budget).await else {
            return Ok(None);
        };
        done.pass_on(message, &rest, is_last);
        done.results.sort_unstable_by_key(|row| row.row);
        done.leftover.sort_unstable();
        let attempts_known = past.add_to(&mut done.results);
        let mut delta = KpiDelta::of_part(&done.results, started.elapsed().as_millis() as u64);
        delta.hosts = std::mem::take(&mut done.hosts);
        if let Some(recorder) = &self.recorder {
            let (processors, memory) = (self.settings.decoders, self.memory_bytes);
            recorder.sample(&fared.vitals(processors, memory));
            delta.vitals = recorder.drain();
        }
        let to_label = look.model_side.map_or(0, |_| rows_to_label(&done.results));
        delta.counters.vision.expected = to_label;
        let manifest = Manifest {
            part,
            earlier_attempts: past.of(&done.leftover),
            leftover: done.leftover,
            deferrals: message.deferrals + u32::from(done.is_deferred),
            parts_before: message.parts_before,
            delay_s: done.delay.as_secs(),
            minute: Minute::of(self.ports.clock.now()),
            delta,
            retry: None,
            attempts_known,
            labelling: (to_label > 0).then_some(look.priority),
        };
        let stored = objects::put_results(&self.ports, manifest, &done.results).await;
        stored.map(Some)
    }

    /// Works through the rows until all of them ended, there is no time left, or their batch is stopped. `None` when nobody needs the
    /// results any more.
    async fn work_through(
        &self,
        message: &ChunkMessage,
        work: Work,
        budget: Budget,
    ) -> Option<PartRows> {
        let Work {
            rows, look, batch, ..
        } = work;
        let is_last = self.is_last(message);
        let may_defer = message.deferrals < self.settings.limits.max_deferrals && !is_last;
        let pause = FIRST_DEFERRAL * 2u32.saturating_pow(message.deferrals);
        let mut open = OpenRows::new(&self.open_rows, &rows);
        let mut done = PartRows::default();
        let rows = interleaved(rows);
        let (rows, batch) = (rows.as_slice(), batch.as_ref());
        let mut ends = futures::stream::iter(0..rows.len())
            .map(|index| async move {
                let row = &rows[index];
                let end = self
                    .analyze_row(message.part, row, batch, look, budget, may_defer)
                    .await;
                self.ended_rows.fetch_add(1, Ordering::Relaxed);
                (row.row, end)
            })
            .buffer_unordered(self.most_concurrency.load(Ordering::Relaxed));
        let mut stopped = std::pin::pin!(batch.stopped());
        let mut stop = None;
        let mut not_begun = BTreeSet::new();
        let mut told = Instant::now();
        loop {
            if self
                .progress_every
                .is_some_and(|every| told.elapsed() >= every)
            {
                told = Instant::now();
                let (rows_done, rows_open) = (done.results.len(), open.rows.len());
                tracing::info!(part = %message.part, rows_done, rows_open, "under way");
            }
            let next = tokio::select! {
                biased;
                why = &mut stopped => {
                    stop = Some(why);
                    break;
                }
                next = tokio::time::timeout(STALL, ends.next()) => next,
            };
            let Ok(next) = next else {
                let is_mostly_done = done.results.len() >= open.rows.len();
                // Rows that wait because their batch may take no more do not wait for slow hosts.
                let may_leave = may_defer && is_mostly_done && !batch.is_limited();
                if may_leave && self.is_network_idle(IDLE_WHEN_STALLED) {
                    break;
                }
                continue;
            };
            let Some((number, end)) = next else {
                break;
            };
            open.remove(number);
            match end {
                RowEnd::Done(result) => {
                    if let Some(observer) = &self.observer {
                        observer.row_done(&result);
                    }
                    done.results.push(*result);
                }
                RowEnd::Later { not_before } => {
                    done.leave(number, not_before.unwrap_or(pause));
                }
                RowEnd::NotBegun => {
                    not_begun.insert(number);
                }
            }
        }
        // Whatever is under way ends here.
        drop(ends);
        match stop {
            Some(Stop::Pointless) => return None,
            Some(Stop::Cancelled) => {
                let open = rows.iter().filter(|row| open.rows.contains(&row.row));
                let cancelled =
                    open.map(|row| settled(message.part, row, Outcome::Cancelled, BATCH_CANCELLED));
                done.results.extend(cancelled);
            }
            None => {
                for number in &open.rows {
                    done.leave(*number, pause);
                }
            }
        }
        done.hosts = done.troubled_hosts(rows);
        if done.results.is_empty() && !not_begun.is_empty() {
            // Others have their turn first, which takes time.
            done.wait(message);
        }
        let not_begun = rows.iter().filter(|row| not_begun.contains(&row.row));
        done.pass_on(message, not_begun, is_last);
        Some(done)
    }

    /// Whether nothing may be left over any more.
    const fn is_last(&self, message: &ChunkMessage) -> bool {
        message.parts_before + 1 >= self.settings.limits.max_parts
    }

    /// Whether at least `share` of the requests that could be under way are not.
    fn is_network_idle(&self, share: f64) -> bool {
        self.fetcher.idle_turns() as f64 >= self.concurrency() as f64 * share
    }

    async fn analyze_row(
        &self,
        part: PartRef,
        row: &ChunkRow,
        batch: &Followed,
        look: Look,
        budget: Budget,
        may_defer: bool,
    ) -> RowEnd {
        if let Some(verdict) = &row.verdict {
            return RowEnd::Done(Box::new(ResultRow::settled(part.batch, row, verdict)));
        }
        let url = match TargetUrl::parse(&row.url, &self.settings.limits) {
            Ok(url) => url,
            Err(invalid) => {
                let mut result = ResultRow::new(part.batch, row, Outcome::InvalidUrl);
                result.detail = Some(invalid.to_string());
                return RowEnd::Done(Box::new(result));
            }
        };
        let until = if may_defer {
            budget.soft_deadline
        } else {
            budget.hard_deadline
        };
        let wanted = match look.mode {
            MeasureMode::Header => FetchMode::Prefix(&holds_dimensions),
            MeasureMode::Fast | MeasureMode::Full => FetchMode::Whole,
        };
        let Some(_begun) = self.admission.begin(budget.soft_deadline).await else {
            return RowEnd::NotBegun;
        };
        let Some(turn) = batch.turn(budget.soft_deadline).await else {
            return RowEnd::NotBegun;
        };
        let known = changes::validators(row, &url, look.mode);
        let fetcher = &self.fetcher;
        let fetched = fetcher.fetch_if_changed(&url, until, wanted, known.as_ref());
        let fetched = fetched.await;
        drop(turn);
        if let Some(later) = fetched.later().filter(|_| may_defer) {
            return RowEnd::Later {
                not_before: later.not_before,
            };
        }
        let mut result = self.measure(part, row, look, fetched).await;
        result.change = changes::change(row, &result);
        RowEnd::Done(Box::new(result))
    }

    async fn measure(
        &self,
        part: PartRef,
        row: &ChunkRow,
        look: Look,
        fetched: Fetched,
    ) -> ResultRow {
        let mut result = ResultRow::new(part.batch, row, Outcome::Ok);
        result.attempts = fetched.attempts;
        if fetched.attempts > 0 {
            result.elapsed_ms = Some(fetched.elapsed.as_millis() as u64);
            result.fetched_at = Some(self.ports.clock.now());
        }
        result.http_status = fetched.http_status;
        result.final_url = fetched.final_url;
        result.declared_type = fetched.declared_type;
        result.etag = fetched.etag;
        result.last_modified = fetched.last_modified;
        if fetched.is_not_modified {
            changes::carry_over(row, &mut result);
            return result;
        }
        let body = match fetched.result {
            Ok(body) => body,
            Err(error) => {
                result.outcome = error.outcome();
                result.detail = Some(error.to_string());
                return result;
            }
        };
        result.bytes = fetched.total_bytes;
        let measured = self.measure_body(part.batch, body, look).await;
        let (measured, model_image) = match measured {
            Ok((measured, model_image)) => (Ok(measured), model_image),
            Err(lost) => (Err(lost), None),
        };
        match measured {
            Ok(Ok(measured)) => {
                result.sha256 = measured.sha256.as_ref().map(|hash| hex(hash));
                if let (Some(image), Some(hash), Some(sha256)) =
                    (model_image, measured.sha256, &result.sha256)
                {
                    let name = (part.batch, look.generation, hash);
                    let ports = &self.ports;
                    self.model_images.keep(ports, name, sha256, image).await;
                }
                let format = measured.measurement.format;
                result.set_measurement(measured.measurement);
                let declared = result.declared_type.as_deref();
                if declared.is_some_and(|declared| imaging::type_mismatch(declared, format)) {
                    result.issues.push(Issue::TypeMismatch);
                }
            }
            Ok(Err(error)) => {
                result.outcome = error.outcome();
                result.detail = Some(error.to_string());
            }
            Err(lost) => {
                result.outcome = Outcome::DecodeError;
                result.detail = Some(self.describe(lost));
            }
        }
        result
    }

    /// Measures a body once there is a decoder and memory for it, and scales it for a model where one is asked and this process has not
    /// kept the image already.
    async fn measure_body(
        &self,
        batch: BatchId,
        body: Bytes,
        look: Look,
    ) -> Result<(Result<Measured, ImageError>, Option<Bytes>), Lost> {
        let mode = look.mode;
        if mode == MeasureMode::Header {
            // It takes microseconds; handing it to another thread takes longer.
            return Ok((self.measurer.measure(&body, mode), None));
        }
        // What cannot be probed is not decoded either, and takes nothing.
        let needed = imaging::probe(&body).map_or(0, |header| {
            let to_scale = look
                .model_side
                .map_or(0, |side| imaging::memory_to_scale(&header, side));
            self.measurer.memory_needed(&header, mode).max(to_scale)
        });
        let measurer = Arc::clone(&self.measurer);
        let model_images = Arc::clone(&self.model_images);
        let job = move || {
            let measured = measurer.measure(&body, mode);
            let sha256 = measured.as_ref().ok().and_then(|measured| measured.sha256);
            let (Some(side), Some(sha256)) = (look.model_side, sha256) else {
                return (measured, None);
            };
            if model_images.is_kept(&(batch, look.generation, sha256)) {
                return (measured, None);
            }
            let scaled = imaging::scaled_jpeg(&body, side).ok();
            let image = scaled.map(|scaled| match scaled {
                Cow::Borrowed(_) => body.clone(),
                Cow::Owned(jpeg) => Bytes::from(jpeg),
            });
            (measured, image)
        };
        self.decoders.run(needed, job).await
    }

    fn describe(&self, lost: Lost) -> String {
        match lost {
            Lost::Panicked => "the decoder gave up on this image".to_owned(),
            Lost::TooLong => format!(
                "decoding did not end within {} s",
                self.settings.limits.decode_timeout.as_secs_f64()
            ),
        }
    }
}

/// Whether a beginning of a body tells everything that header mode measures, or will never tell it.
fn holds_dimensions(prefix: &[u8]) -> Enough {
    match imaging::probe_prefix(prefix) {
        Ok(Probe::NeedMore { .. }) => Enough::No,
        Ok(Probe::Header(_)) | Err(_) => Enough::Yes,
    }
}

/// Rows of `rows` that a part takes on after so many interruptions: half as many each time, never none.
fn share_of(rows: usize, interruptions: u32) -> usize {
    rows.checked_shr(interruptions)
        .unwrap_or(0)
        .max(1)
        .min(rows)
}

/// Whether the process stopped as often with a single row in hand as a message may be received.
fn is_poison(rows: usize, interruptions: u32) -> bool {
    let halvings = rows.checked_ilog2().unwrap_or(0);
    rows > 0 && interruptions >= halvings + Queue::MAX_RECEIVES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_halved_by_every_interruption_down_to_one_row() {
        assert_eq!(share_of(500, 0), 500);
        assert_eq!(share_of(500, 1), 250);
        assert_eq!(share_of(500, 8), 1);
        assert_eq!(share_of(500, 200), 1);
        assert_eq!(share_of(0, 0), 0);
    }

    #[test]
    fn a_row_is_poison_only_after_five_stops_alone() {
        assert!(!is_poison(500, 12));
        assert!(is_poison(500, 13));
        assert!(!is_poison(1, 4));
        assert!(is_poison(1, 5));
        assert!(!is_poison(0, 99));
    }
}

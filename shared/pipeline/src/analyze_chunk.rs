//! Fetches and measures the rows of a part, stores their results and commits them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use domain::ports::Queue;
use domain::{
    BatchStatus, ChunkMessage, ChunkRow, Issue, KpiDelta, Limits, MeasureMode, Minute, Outcome,
    PartRef, ResultRow, RowNumber,
};
use fetching::{Enough, FetchMode, Fetched, Fetcher, TargetUrl};
use futures::StreamExt;
use imaging::{ImageError, Measured, Measurer, Probe};
use tokio::sync::Semaphore;
use tokio::task::JoinError;

use crate::accept::hex;
use crate::commit::commit;
use crate::hosts::interleaved;
use crate::objects::{self, Manifest};
use crate::{PipelineError, PipelineResult, Ports};

/// Pause before rows that ran out of time are taken up again; doubles with every deferral.
const FIRST_DEFERRAL: Duration = Duration::from_secs(5);

/// A part most of whose rows are done and of which none ended for this long leaves the others to the next part, if the network
/// is idle meanwhile: they wait for slow hosts, and what is done need not wait with them.
const STALL: Duration = Duration::from_secs(2);
/// Share of the requests that are not under way while a part is stalled.
const IDLE_WHEN_STALLED: f64 = 0.75;
/// Share of the requests that are not under way while there is room for another part.
const IDLE_WITH_ROOM: f64 = 0.25;
/// Rows that may wait for slow hosts before no further part is taken on: the bound on rows in memory.
const MAX_OPEN_ROWS: usize = 8_000;

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
    decoders: Arc<Semaphore>,
    /// Kibibytes that decoders may take.
    decode_kib: Arc<Semaphore>,
    settings: AnalyzeSettings,
    observer: Option<Arc<dyn RowObserver>>,
    /// Rows of all parts under way that have no result yet.
    open_rows: AtomicUsize,
}

/// A row's end, or the wish to try it again later.
enum RowEnd {
    Done(Box<ResultRow>),
    Later { not_before: Option<Duration> },
}

/// What came of the rows of a part.
#[derive(Default)]
struct PartRows {
    results: Vec<ResultRow>,
    leftover: Vec<RowNumber>,
    /// Whether some rows are left over because of time, not because the part was halved.
    is_deferred: bool,
    delay: Duration,
}

impl PartRows {
    /// Leaves a row over because of time.
    fn leave(&mut self, row: RowNumber, delay: Duration) {
        self.leftover.push(row);
        self.is_deferred = true;
        self.delay = self.delay.max(delay);
    }
}

/// The rows of a part that have no result yet, counted among those of all parts as long as this lives.
struct OpenRows<'a> {
    rows: BTreeSet<RowNumber>,
    of_all_parts: &'a AtomicUsize,
}

impl<'a> OpenRows<'a> {
    fn new(of_all_parts: &'a AtomicUsize, rows: &[ChunkRow]) -> Self {
        of_all_parts.fetch_add(rows.len(), Ordering::Relaxed);
        Self {
            rows: rows.iter().map(|row| row.row).collect(),
            of_all_parts,
        }
    }

    fn remove(&mut self, row: RowNumber) {
        if self.rows.remove(&row) {
            self.of_all_parts.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for OpenRows<'_> {
    fn drop(&mut self) {
        self.of_all_parts
            .fetch_sub(self.rows.len(), Ordering::Relaxed);
    }
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
            decoders: Arc::new(Semaphore::new(settings.decoders)),
            decode_kib: Arc::new(Semaphore::new(decode_kib(&settings) as usize)),
            settings,
            observer,
            open_rows: AtomicUsize::new(0),
        }
    }

    /// Whether rows of another part would find something to do: requests could be under way that are not, and no image waits
    /// for a processor.
    pub fn has_room(&self) -> bool {
        self.is_network_idle(IDLE_WITH_ROOM)
            && self.decoders.available_permits() > 0
            && self.open_rows.load(Ordering::Relaxed) < MAX_OPEN_ROWS
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
        if batch.status == BatchStatus::Failed {
            return Ok(());
        }
        // Results that are stored are never fetched again, however often the message comes.
        let manifest = if let Some(stored) = objects::read_manifest(&self.ports, part).await? {
            stored
        } else {
            let rows = open_rows(&self.ports, part).await?;
            if batch.status == BatchStatus::Cancelled {
                let detail = "the batch was cancelled";
                settle(&self.ports, message, &rows, Outcome::Cancelled, detail).await?
            } else {
                self.analyze_rows(message, rows, batch.options.measure, budget)
                    .await?
            }
        };
        commit(&self.ports, &manifest).await
    }

    async fn analyze_rows(
        &self,
        message: &ChunkMessage,
        mut rows: Vec<ChunkRow>,
        mode: MeasureMode,
        budget: Budget,
    ) -> PipelineResult<Manifest> {
        let started = Instant::now();
        let part = message.part;
        if is_poison(rows.len(), budget.interruptions) {
            let rest = rows.split_off(1);
            let detail = "the process stopped whenever this row's turn came";
            return settle_leaving(
                &self.ports,
                message,
                &rows,
                Outcome::Poisoned,
                detail,
                &rest,
            )
            .await;
        }
        let rest = rows.split_off(share_of(rows.len(), budget.interruptions));
        let mut done = self.work_through(message, rows, mode, budget).await;
        done.leftover.extend(rest.iter().map(|row| row.row));
        done.results.sort_unstable_by_key(|row| row.row);
        done.leftover.sort_unstable();
        let manifest = Manifest {
            part,
            leftover: done.leftover,
            deferrals: message.deferrals + u32::from(done.is_deferred),
            delay_s: done.delay.as_secs(),
            minute: Minute::of(self.ports.clock.now()),
            delta: KpiDelta::of_part(&done.results, started.elapsed().as_millis() as u64),
        };
        objects::put_results(&self.ports, manifest, &done.results).await
    }

    async fn work_through(
        &self,
        message: &ChunkMessage,
        rows: Vec<ChunkRow>,
        mode: MeasureMode,
        budget: Budget,
    ) -> PartRows {
        let may_defer = message.deferrals < self.settings.limits.max_deferrals;
        let pause = FIRST_DEFERRAL * 2u32.saturating_pow(message.deferrals);
        let mut open = OpenRows::new(&self.open_rows, &rows);
        let mut done = PartRows::default();
        let mut ends = futures::stream::iter(interleaved(rows))
            .map(|row| async move {
                let end = self
                    .analyze_row(message.part, &row, mode, budget, may_defer)
                    .await;
                (row.row, end)
            })
            .buffer_unordered(self.settings.concurrency);
        loop {
            let Ok(next) = tokio::time::timeout(STALL, ends.next()).await else {
                let is_mostly_done = done.results.len() >= open.rows.len();
                if may_defer && is_mostly_done && self.is_network_idle(IDLE_WHEN_STALLED) {
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
            }
        }
        for number in &open.rows {
            done.leave(*number, pause);
        }
        done
    }

    /// Whether at least `share` of the requests that could be under way are not.
    fn is_network_idle(&self, share: f64) -> bool {
        self.fetcher.idle_turns() as f64 >= self.settings.concurrency as f64 * share
    }

    async fn analyze_row(
        &self,
        part: PartRef,
        row: &ChunkRow,
        mode: MeasureMode,
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
        let wanted = match mode {
            MeasureMode::Header => FetchMode::Prefix(&holds_dimensions),
            MeasureMode::Fast | MeasureMode::Full => FetchMode::Whole,
        };
        let fetched = self.fetcher.fetch(&url, until, wanted).await;
        if let Some(later) = fetched.later().filter(|_| may_defer) {
            return RowEnd::Later {
                not_before: later.not_before,
            };
        }
        RowEnd::Done(Box::new(self.measure(part, row, mode, fetched).await))
    }

    async fn measure(
        &self,
        part: PartRef,
        row: &ChunkRow,
        mode: MeasureMode,
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
        let body = match fetched.result {
            Ok(body) => body,
            Err(error) => {
                result.outcome = error.outcome();
                result.detail = Some(error.to_string());
                return result;
            }
        };
        result.bytes = fetched.total_bytes;
        let measured = self.measure_body(body, mode).await;
        match measured {
            Ok(Ok(measured)) => {
                result.sha256 = measured.sha256.as_ref().map(|hash| hex(hash));
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
            Err(_) => {
                result.outcome = Outcome::DecodeError;
                result.detail = Some("the decoder gave up on this image".to_owned());
            }
        }
        result
    }

    /// Measures a body on a blocking thread, once there is a processor and memory for it.
    async fn measure_body(
        &self,
        body: Bytes,
        mode: MeasureMode,
    ) -> Result<Result<Measured, ImageError>, JoinError> {
        // What cannot be probed is not decoded either, and takes nothing.
        let needed =
            imaging::probe(&body).map_or(0, |header| self.measurer.memory_needed(&header, mode));
        let needed_kib = needed
            .div_ceil(1_024)
            .min(u64::from(decode_kib(&self.settings))) as u32;
        // The semaphores are never closed; were they, the image would be measured without its turn.
        let memory = Arc::clone(&self.decode_kib)
            .acquire_many_owned(needed_kib)
            .await;
        let turn = Arc::clone(&self.decoders).acquire_owned().await;
        let measurer = Arc::clone(&self.measurer);
        tokio::task::spawn_blocking(move || {
            let measured = measurer.measure(&body, mode);
            drop((memory, turn));
            measured
        })
        .await
    }
}

/// The allowance of all decoders in kibibytes: at least one, at most what a semaphore counts.
fn decode_kib(settings: &AnalyzeSettings) -> u32 {
    u32::try_from(settings.decode_bytes / 1_024)
        .unwrap_or(u32::MAX >> 3)
        .clamp(1, u32::MAX >> 3)
}

/// Whether a beginning of a body tells everything that header mode measures, or will never tell it.
fn holds_dimensions(prefix: &[u8]) -> Enough {
    match imaging::probe_prefix(prefix) {
        Ok(Probe::NeedMore { .. }) => Enough::No,
        Ok(Probe::Header(_)) | Err(_) => Enough::Yes,
    }
}

/// The rows a part has to do: all of its chunk's, or those the part before left over.
pub(crate) async fn open_rows(ports: &Ports, part: PartRef) -> PipelineResult<Vec<ChunkRow>> {
    let mut rows = objects::read_chunk(ports, part).await?;
    let Some(before) = part.part.checked_sub(1) else {
        return Ok(rows);
    };
    let before = PartRef {
        part: before,
        ..part
    };
    let manifest = objects::read_manifest(ports, before)
        .await?
        .ok_or_else(|| PipelineError::CorruptObject {
            key: domain::keys::result(before),
            reason: "it is missing, and the part after it needs it".to_owned(),
        })?;
    rows.retain(|row| manifest.leftover.binary_search(&row.row).is_ok());
    Ok(rows)
}

/// Gives `rows` the same end without fetching anything, and stores that.
pub(crate) async fn settle(
    ports: &Ports,
    message: &ChunkMessage,
    rows: &[ChunkRow],
    outcome: Outcome,
    detail: &str,
) -> PipelineResult<Manifest> {
    settle_leaving(ports, message, rows, outcome, detail, &[]).await
}

async fn settle_leaving(
    ports: &Ports,
    message: &ChunkMessage,
    rows: &[ChunkRow],
    outcome: Outcome,
    detail: &str,
    leftover: &[ChunkRow],
) -> PipelineResult<Manifest> {
    let batch = message.part.batch;
    let end_of = |row: &ChunkRow| match &row.verdict {
        Some(verdict) => ResultRow::settled(batch, row, verdict),
        None => ResultRow {
            detail: Some(detail.to_owned()),
            ..ResultRow::new(batch, row, outcome)
        },
    };
    let results: Vec<ResultRow> = rows.iter().map(end_of).collect();
    let manifest = Manifest {
        part: message.part,
        leftover: leftover.iter().map(|row| row.row).collect(),
        deferrals: message.deferrals,
        delay_s: 0,
        minute: Minute::of(ports.clock.now()),
        delta: KpiDelta::of_part(&results, 0),
    };
    objects::put_results(ports, manifest, &results).await
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

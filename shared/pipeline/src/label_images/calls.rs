//! The calls of one step.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use caching::{Cached, Claim, Kind};
use domain::{BatchId, PartRef, Priority, VisionCounters};
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use tokio::time::Instant as Later;
use vision::{ApiKey, Block, BlockReport, CallError, Reply, Take};

use super::Labeller;
use super::budget::Spending;
use super::ends::{End, KeptAnswer, payer};
use super::images::Image;
use crate::PipelineResult;
use crate::control::Followed;

/// An answer that cannot be used is asked for once more.
const MAX_BAD: u32 = 2;
/// Calls that fail for other reasons, over all steps.
const MAX_FAILED: u32 = 4;
/// Others should know of a refusal within this time, however long the other calls of its block take.
const TELL_WITHIN: Duration = Duration::from_millis(250);

/// What a step leaves to the next.
#[derive(Debug, Default)]
pub(super) struct Rest {
    pub(super) images: Vec<Image>,
    /// Set when permits are what is missing.
    pub(super) permits_at: Option<Timestamp>,
    pub(super) out_of_time: bool,
    /// Most tries at an image whose last call failed.
    pub(super) failed_tries: u32,
    /// What the calls of the step came to.
    pub(super) spent: VisionCounters,
}

/// What happened of all that is under way.
enum Event {
    Taken(Take),
    /// A block of so many permits is used up.
    Used(u32),
}

pub(super) struct Calls<'a> {
    labeller: &'a Labeller,
    batch: BatchId,
    followed: &'a Followed,
    by: String,
    priority: Priority,
    kind: Kind,
    /// Under which leases are held: of this attempt alone, so that a repetition of the message does not take them for its own.
    holder: String,
    spending: Spending,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: VecDeque<Image>,
    ended: Vec<(Image, End)>,
    /// For the next step.
    later: Vec<Image>,
    failed_tries: u32,
    spent: VisionCounters,
    /// Permits granted whose calls have not taken their images yet.
    spoken_for: usize,
}

impl<'a> Calls<'a> {
    pub(super) fn new(
        labeller: &'a Labeller,
        part: PartRef,
        followed: &'a Followed,
        priority: Priority,
        kind: Kind,
        spending: Spending,
        open: Vec<Image>,
    ) -> Self {
        let state = State {
            open: open.into(),
            ..State::default()
        };
        Self {
            labeller,
            batch: part.batch,
            followed,
            by: payer(part),
            priority,
            kind,
            holder: labeller.ports.ids.batch_id().to_string(),
            spending,
            state: Mutex::new(state),
        }
    }

    /// Makes calls until nothing is open, or there are no more permits, money or time.
    ///
    /// Everything under way is polled together: a future that is left alone while another is awaited may hold what the other waits for,
    /// such as the connection to the store.
    pub(super) async fn make(
        self,
        deadline: Option<Instant>,
        ends: &mut Vec<(Image, End)>,
    ) -> PipelineResult<Rest> {
        let mut rest = Rest::default();
        let mut under_way = 0;
        let mut events: FuturesUnordered<BoxFuture<'_, PipelineResult<Event>>> =
            FuturesUnordered::new();
        let mut is_taking = false;
        let mut is_stopped = false;
        loop {
            let wanted = self.calls_wanted(under_way);
            if wanted > 0 && !is_taking && !is_stopped {
                let trouble = &self.labeller.trouble;
                if self.followed.is_stopped() {
                    self.end_all_open(&End::Cancelled);
                } else if let Some(reason) = trouble.reason(self.labeller.ports.clock.now()) {
                    self.end_all_open(&End::Error(reason));
                } else if self.spending.is_used_up() {
                    self.end_all_open(&End::OverBudget);
                } else if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                    rest.out_of_time = true;
                    is_stopped = true;
                } else {
                    is_taking = true;
                    let take = async move {
                        let taken = self.labeller.take(wanted, self.priority).await?;
                        Ok(Event::Taken(taken))
                    };
                    events.push(take.boxed());
                }
            }
            match events.next().await.transpose()? {
                None => break,
                Some(Event::Taken(Take::Granted(block))) => {
                    is_taking = false;
                    under_way += block.permits as usize;
                    self.state().spoken_for += block.permits as usize;
                    events.push(self.use_up(block).boxed());
                }
                Some(Event::Taken(Take::Wait { until })) => {
                    is_taking = false;
                    is_stopped = true;
                    rest.permits_at = Some(until);
                }
                Some(Event::Taken(Take::NoKeys)) => {
                    is_taking = false;
                    let reason = "the provider accepts none of the keys";
                    self.end_all_open(&End::Error(reason.to_owned()));
                }
                Some(Event::Used(permits)) => {
                    under_way -= permits as usize;
                    // Time has passed: there may be permits by now.
                    is_stopped = rest.out_of_time;
                }
            }
        }
        drop(events);
        let state = self
            .state
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        if state.open.is_empty() {
            rest.permits_at = None;
            rest.out_of_time = false;
        }
        rest.images = state.later;
        rest.images.extend(state.open);
        rest.failed_tries = state.failed_tries;
        rest.spent = state.spent;
        ends.extend(state.ended);
        Ok(rest)
    }

    fn calls_wanted(&self, under_way: usize) -> usize {
        let per_call = self.labeller.images_per_call();
        let state = self.state();
        let images = state.open.len().saturating_sub(state.spoken_for * per_call);
        let calls = images.div_ceil(per_call);
        calls.min(self.labeller.settings.calls_at_once - under_way)
    }

    fn end_all_open(&self, end: &End) {
        let mut state = self.state();
        let open = std::mem::take(&mut state.open);
        state
            .ended
            .extend(open.into_iter().map(|image| (image, end.clone())));
    }

    /// Uses a block's permits, all at once, and reports what became of them. Returns how many there were.
    async fn use_up(&self, block: Block) -> PipelineResult<Event> {
        let mut calls: FuturesUnordered<_> =
            (0..block.permits).map(|_| self.call(&block.key)).collect();
        let mut reports = FuturesUnordered::new();
        let mut report = BlockReport::default();
        let mut tell_at = None;
        loop {
            let tell = async {
                match tell_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                next = calls.next() => {
                    let Some(ended) = next else {
                        break;
                    };
                    report.add(ended?);
                    if report.is_urgent() && tell_at.is_none() {
                        tell_at = Some(Later::now() + TELL_WITHIN);
                    }
                }
                Some(told) = reports.next() => told?,
                () = tell => {
                    let news = std::mem::take(&mut report);
                    reports.push(self.labeller.pool.report(&block.key, news));
                    tell_at = None;
                }
            }
        }
        reports.push(self.labeller.pool.report(&block.key, report));
        while let Some(told) = reports.next().await {
            told?;
        }
        Ok(Event::Used(block.permits))
    }

    /// One permit: claims the next images that nobody else is at work on, and asks about them.
    async fn call(&self, key: &ApiKey) -> PipelineResult<BlockReport> {
        self.state().spoken_for -= 1;
        let mut images = Vec::new();
        let mut files = Vec::new();
        let per_call = self.labeller.images_per_call();
        // What is open of a batch that was cancelled meanwhile ends before the next permits are asked for.
        while images.len() < per_call && !self.followed.is_stopped() {
            let next = self.state().open.pop_front();
            let Some(image) = next else {
                break;
            };
            if let Some(file) = self.claim(&image).await? {
                images.push(image);
                files.push(file);
            }
        }
        let mut report = BlockReport::default();
        if images.is_empty() {
            report.unused = 1;
            return Ok(report);
        }
        let started = Later::now();
        let called = self.labeller.provider.label(key, &files).await;
        let now = self.labeller.ports.clock.now();
        match called {
            Ok(reply) => {
                report.succeeded = 1;
                // Refusals are quick, and say nothing about how long answers take.
                self.labeller.note_latency(started.elapsed());
                self.labeller.trouble.answered();
                self.take_reply(images, reply).await?;
            }
            Err(CallError::Refused(reason)) => {
                report.succeeded = 1;
                let reason = format!("the provider refused the image: {reason}");
                if self.labeller.trouble.refused(&reason, now) {
                    // One of several is to blame, and may be in better company next time.
                    let is_alone = images.len() == 1;
                    for image in images {
                        self.end_bad(image, &reason, is_alone).await?;
                    }
                } else {
                    self.end_unkept(images, &reason).await?;
                }
            }
            Err(error @ CallError::Misconfigured(_)) => {
                report.succeeded = 1;
                let reason = error.to_string();
                self.labeller.trouble.stop(&reason, now);
                self.end_unkept(images, &reason).await?;
            }
            Err(CallError::TooMany { retry_after }) => {
                report.refused = 1;
                report.retry_after = retry_after;
                self.put_back(images, |_| {}, false).await?;
            }
            Err(error) if error.retires_for().is_some() => {
                report.retire_for = error.retires_for();
                tracing::error!(vision.key = key.id(), %error, "key not accepted");
                self.put_back(images, |_| {}, false).await?;
            }
            Err(error) => {
                report.failed = 1;
                tracing::debug!(vision.key = key.id(), %error, "call failed");
                self.put_back_failed(images, &error).await?;
            }
        }
        Ok(report)
    }

    /// Leases an image and reads its file; `None` when it was dealt with otherwise.
    async fn claim(&self, image: &Image) -> PipelineResult<Option<Bytes>> {
        let Labeller {
            cache,
            settings,
            ports,
            ..
        } = self.labeller;
        let claim = image.claim(cache, &self.kind, &self.holder, settings.lease);
        match claim.await? {
            Claim::Claimed => {}
            Claim::Found(cached) => {
                let end = End::of_cached(&cached, &self.by);
                self.state().ended.push((image.clone(), end));
                return Ok(None);
            }
            Claim::Busy { .. } => {
                self.state().later.push(image.clone());
                return Ok(None);
            }
        }
        let file = image.read(ports, self.batch).await?;
        if file.is_none() {
            image.release(cache, &self.kind, &self.holder).await?;
            let reason = "the image could not be prepared for a model";
            self.state()
                .ended
                .push((image.clone(), End::Error(reason.to_owned())));
        }
        Ok(file)
    }

    async fn take_reply(&self, images: Vec<Image>, reply: Reply) -> PipelineResult<()> {
        let Labeller {
            cache, settings, ..
        } = self.labeller;
        let micro_usd = settings.pricing.micro_usd(reply.usage);
        let paid = VisionCounters {
            calls: 1,
            input_tokens: reply.usage.input_tokens,
            output_tokens: reply.usage.output_tokens,
            micro_usd,
            ..VisionCounters::default()
        };
        self.state().spent += &paid;
        let mut paid = Some(paid);
        let share = micro_usd / images.len().max(1) as u64;
        let mut answers = reply.answers.into_iter();
        for image in images {
            match answers.next() {
                Some(Ok(answer)) => {
                    let kept = KeptAnswer {
                        answer,
                        paid_by: self.by.clone(),
                        paid: paid.take().unwrap_or_default(),
                    };
                    let cached = Cached {
                        value: Bytes::from(serde_json::to_vec(&kept).unwrap_or_default()),
                        is_negative: false,
                        cost_micro_usd: share,
                    };
                    image.keep(cache, &self.kind, &cached).await?;
                    let end = End::Answer {
                        answer: kept.answer,
                        is_reused: false,
                        recovered: VisionCounters::default(),
                    };
                    self.state().ended.push((image, end));
                }
                Some(Err(bad)) => self.end_bad(image, &bad.to_string(), false).await?,
                None => {
                    let reason = "the answer leaves the image out";
                    self.end_bad(image, reason, false).await?;
                }
            }
        }
        self.spending.add(micro_usd).await?;
        Ok(())
    }

    /// After an answer that cannot be used: asks once more, then remembers for a while that there is none.
    async fn end_bad(&self, mut image: Image, reason: &str, is_final: bool) -> PipelineResult<()> {
        image.tries.bad += 1;
        if image.tries.bad < MAX_BAD && !is_final {
            return self.put_back(vec![image], |_| {}, false).await;
        }
        let cached = Cached {
            value: Bytes::from(reason.to_owned()),
            is_negative: true,
            cost_micro_usd: 0,
        };
        let Labeller { cache, .. } = self.labeller;
        image.keep(cache, &self.kind, &cached).await?;
        let end = End::Error(reason.to_owned());
        self.state().ended.push((image, end));
        Ok(())
    }

    /// After a refusal that may have nothing to do with the images: nothing is remembered of it.
    async fn end_unkept(&self, images: Vec<Image>, reason: &str) -> PipelineResult<()> {
        for image in images {
            self.release(&image).await?;
            let end = End::Error(reason.to_owned());
            self.state().ended.push((image, end));
        }
        Ok(())
    }

    async fn release(&self, image: &Image) -> PipelineResult<()> {
        let Labeller { cache, .. } = self.labeller;
        image.release(cache, &self.kind, &self.holder).await
    }

    /// Gives images up again: for another call of this step, or for the next step.
    async fn put_back(
        &self,
        images: Vec<Image>,
        note: impl Fn(&mut super::Tries),
        for_later: bool,
    ) -> PipelineResult<()> {
        for mut image in images {
            note(&mut image.tries);
            self.release(&image).await?;
            let mut state = self.state();
            if for_later {
                state.later.push(image);
            } else {
                state.open.push_back(image);
            }
        }
        Ok(())
    }

    async fn put_back_failed(&self, images: Vec<Image>, error: &CallError) -> PipelineResult<()> {
        let (given_up, again): (Vec<Image>, Vec<Image>) = images
            .into_iter()
            .partition(|image| image.tries.failed + 1 >= MAX_FAILED);
        for image in given_up {
            self.release(&image).await?;
            let end = End::Error(error.to_string());
            self.state().ended.push((image, end));
        }
        let tries = again.iter().map(|image| image.tries.failed + 1).max();
        {
            let mut state = self.state();
            state.failed_tries = state.failed_tries.max(tries.unwrap_or(0));
        }
        self.put_back(again, |tries| tries.failed += 1, true).await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

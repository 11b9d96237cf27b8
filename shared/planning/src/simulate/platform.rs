//! One list on its way: messages that are sent shard by shard, pollers that take them, functions that start, are refused, and try again.

use std::collections::{BinaryHeap, VecDeque};

use super::At;
use crate::assumptions::{
    BEGIN_S, CHUNKS_PER_SHARD, COMMIT_S, LONGEST_STRAGGLER_PART_S, SOFT_DEADLINE_S, SPLIT_START_S,
    STRAGGLER_DELAY_S,
};
use crate::facts::Facts;
use crate::workload::{Pollers, Setup, Workload};

/// Seconds that a new execution environment takes before its first event. An estimate; `make bench-coldstart` measures our share of it.
const COLD_START_S: f64 = 0.25;
/// Share of the messages that come twice, and what the second costs: a look at the stored result.
const REPEATED: f64 = 0.002;
const REPEAT_S: f64 = 0.3;
/// How often pollers become more, in seconds, while messages wait.
const LOOK_S: f64 = 1.0;
/// Seconds until a refused invocation is tried again: doubled every time, up to a bound, half of it by chance. How the service does it is
/// not documented.
const FIRST_RETRY_S: f64 = 0.5;
const LONGEST_RETRY_S: f64 = 8.0;

/// What came of a list.
#[derive(Debug, Default)]
pub(super) struct List {
    /// Seconds until the last row was committed.
    pub(super) analyzed_s: f64,
    /// When each chunk had its rows, those of slow hosts apart.
    pub(super) chunks_done_s: Vec<f64>,
    pub(super) billed_s: f64,
    pub(super) invocations: u64,
    pub(super) throttles: u64,
    pub(super) cold_starts: u64,
    pub(super) functions: u64,
}

/// Seconds of a chunk with everything before and after, in as many parts as its time-out makes of it.
pub(super) fn alone_s(work_s: f64) -> f64 {
    let parts = (work_s / SOFT_DEADLINE_S).ceil().max(1.0);
    work_s + parts * (BEGIN_S + COMMIT_S)
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Work {
    /// Rows that still have to be fetched for so many seconds.
    Rows { left_s: f64 },
    /// Rows of slow hosts.
    Stragglers,
    /// A message that came twice.
    Repeat,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum What {
    /// The messages of a shard are sent.
    Sent { chunks: u64 },
    /// A delayed message can be received.
    Visible(Work),
    /// A poller invokes, again after so many refusals.
    Invoke(Work, u32),
    /// A function is done.
    Done(Work),
    /// Pollers may become more.
    Look,
}

struct Run<'a> {
    chance: &'a mut fastrand::Rng,
    detailed: &'a [f64],
    straggler_share: f64,
    events: BinaryHeap<At<What>>,
    visible: VecDeque<Work>,
    /// Messages that pollers hold.
    in_flight: f64,
    in_flight_most: f64,
    /// Invocations that pollers can have under way, how many more a second, and at most.
    polled: f64,
    polled_per_s: f64,
    polled_most: f64,
    is_looking: bool,
    /// Functions at work, and at most.
    running: u64,
    functions: u64,
    /// Environments that wait for an event.
    idle: u64,
    /// Environments that may be started now; refilled all the time, up to the same number.
    starts: f64,
    starts_per_s: f64,
    starts_most: f64,
    refilled_s: f64,
    /// Chunks that are not committed to their last row.
    open: u64,
    list: List,
}

/// Runs one list, whose chunks fetch for a time drawn from `detailed`.
pub(super) fn run(
    workload: &Workload,
    setup: &Setup,
    facts: &Facts,
    detailed: &[f64],
    chance: &mut fastrand::Rng,
) -> List {
    let platform = &facts.platform;
    let functions = setup.functions.max(1);
    let (polled, per_minute, polled_most) = match setup.pollers {
        // An event source with standard pollers has a maximum concurrency of its own.
        Pollers::Standard => (
            platform.standard_pollers_first.value,
            platform.standard_pollers_per_minute.value,
            platform.standard_pollers_most.value.min(functions as f64),
        ),
        // One with provisioned pollers has none: what the account does not bear is refused.
        Pollers::Provisioned { at_least } => (
            f64::from(at_least) * platform.provisioned_invokes_per_poller.value,
            platform.provisioned_invokes_per_minute.value,
            f64::INFINITY,
        ),
    };
    let mut run = Run {
        chance,
        detailed,
        straggler_share: workload.straggler_share,
        events: BinaryHeap::new(),
        visible: VecDeque::new(),
        in_flight: 0.0,
        in_flight_most: platform.sqs_in_flight_most.value,
        polled: polled.min(polled_most),
        polled_per_s: per_minute / 60.0,
        polled_most,
        is_looking: false,
        running: 0,
        functions,
        idle: 0,
        starts: platform.concurrency_ramp_per_10_s.value,
        starts_per_s: platform.concurrency_ramp_per_10_s.value / 10.0,
        starts_most: platform.concurrency_ramp_per_10_s.value,
        refilled_s: 0.0,
        open: workload.chunks_per_list(setup),
        list: List::default(),
    };
    run.send_shards(workload, setup);
    run.play();
    run.list
}

impl Run<'_> {
    fn send_shards(&mut self, workload: &Workload, setup: &Setup) {
        let (mut left, mut rows) = (self.open, 0);
        while left > 0 {
            let chunks = left.min(CHUNKS_PER_SHARD);
            left -= chunks;
            rows = (rows + chunks * setup.chunk_size).min(workload.rows_per_list());
            let cut_s = SPLIT_START_S + rows as f64 / setup.split_rows_per_s;
            self.at(cut_s, What::Sent { chunks });
        }
    }

    fn play(&mut self) {
        while self.open > 0 {
            let Some(event) = self.events.pop() else {
                return;
            };
            let now_s = event.s;
            match event.what {
                What::Sent { chunks } => {
                    for _ in 0..chunks {
                        let at = self.chance.usize(..self.detailed.len());
                        let left_s = self.detailed[at];
                        self.visible.push_back(Work::Rows { left_s });
                    }
                }
                What::Visible(work) => self.visible.push_back(work),
                What::Invoke(work, refused) => self.invoke(work, refused, now_s),
                What::Done(work) => self.done(work, now_s),
                What::Look => {
                    self.is_looking = false;
                    if !self.visible.is_empty() {
                        let more = self.polled + self.polled_per_s * LOOK_S;
                        self.polled = more.min(self.polled_most);
                    }
                }
            }
            self.receive(now_s);
            self.list.analyzed_s = now_s;
        }
    }

    /// Pollers take what they can hold.
    fn receive(&mut self, now_s: f64) {
        while self.in_flight + 1.0 <= self.polled.min(self.in_flight_most) {
            let Some(work) = self.visible.pop_front() else {
                return;
            };
            self.in_flight += 1.0;
            self.invoke(work, 0, now_s);
        }
        if !self.visible.is_empty() && !self.is_looking && self.polled < self.polled_most {
            self.is_looking = true;
            self.at(now_s + LOOK_S, What::Look);
        }
    }

    fn invoke(&mut self, work: Work, refused: u32, now_s: f64) {
        let refill = (now_s - self.refilled_s) * self.starts_per_s;
        self.starts = (self.starts + refill).min(self.starts_most);
        self.refilled_s = now_s;
        let is_bearable = self.running < self.functions;
        let cold_s = if is_bearable && self.idle > 0 {
            self.idle -= 1;
            0.0
        } else if is_bearable && self.starts >= 1.0 {
            self.starts -= 1.0;
            self.list.cold_starts += 1;
            COLD_START_S
        } else {
            self.list.throttles += 1;
            let pause_s = FIRST_RETRY_S * f64::from(refused.min(10)).exp2();
            let pause_s = pause_s.min(LONGEST_RETRY_S) * (0.5 + 0.5 * self.chance.f64());
            self.at(now_s + pause_s, What::Invoke(work, refused + 1));
            return;
        };
        self.running += 1;
        let work_s = cold_s + self.time_of(work);
        self.list.billed_s += work_s;
        self.list.invocations += 1;
        self.list.functions = self.list.functions.max(self.running);
        self.at(now_s + work_s, What::Done(work));
    }

    fn time_of(&mut self, work: Work) -> f64 {
        match work {
            Work::Rows { left_s } => BEGIN_S + left_s.min(SOFT_DEADLINE_S) + COMMIT_S,
            // Some are quick, some as slow as their hosts.
            Work::Stragglers => LONGEST_STRAGGLER_PART_S * self.chance.f64(),
            Work::Repeat => REPEAT_S,
        }
    }

    fn done(&mut self, work: Work, now_s: f64) {
        self.running -= 1;
        self.idle += 1;
        self.in_flight -= 1.0;
        if work != Work::Repeat && self.chance.f64() < REPEATED {
            self.visible.push_back(Work::Repeat);
        }
        match work {
            Work::Rows { left_s } if left_s > SOFT_DEADLINE_S => {
                let left_s = left_s - SOFT_DEADLINE_S;
                let later = What::Visible(Work::Rows { left_s });
                self.at(now_s + STRAGGLER_DELAY_S, later);
            }
            Work::Rows { .. } => {
                self.list.chunks_done_s.push(now_s);
                if self.chance.f64() < self.straggler_share {
                    let later = What::Visible(Work::Stragglers);
                    self.at(now_s + STRAGGLER_DELAY_S, later);
                } else {
                    self.open -= 1;
                }
            }
            Work::Stragglers => self.open -= 1,
            Work::Repeat => {}
        }
    }

    fn at(&mut self, s: f64, what: What) {
        self.events.push(At { s, what });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(urls: u64, work_s: f64, change: impl FnOnce(&mut Setup, &mut Facts)) -> List {
        let workload = Workload {
            urls,
            straggler_share: 0.0,
            ..Workload::default()
        };
        let (mut setup, mut facts) = (Setup::default(), Facts::load(None).unwrap());
        change(&mut setup, &mut facts);
        run(
            &workload,
            &setup,
            &facts,
            &[work_s],
            &mut fastrand::Rng::with_seed(1),
        )
    }

    #[test]
    fn functions_that_the_account_does_not_bear_are_refused_and_come_later() {
        let bearable = list(2_000_000, 10.0, |setup, _| setup.functions = 1_000);
        assert_eq!(bearable.throttles, 0);
        let tight = list(2_000_000, 10.0, |setup, _| setup.functions = 200);
        assert!(tight.throttles > 0);
        assert_eq!(tight.functions, 200);
        // 1,000 chunks by 200: five rounds.
        assert!(
            (52.0..75.0).contains(&tight.analyzed_s),
            "{}",
            tight.analyzed_s
        );
        assert_eq!(tight.chunks_done_s.len(), 1_000);
    }

    #[test]
    fn environments_start_no_faster_than_the_platform_lets_them() {
        let slow = list(2_000_000, 60.0, |_, facts| {
            facts.platform.concurrency_ramp_per_10_s.value = 100.0;
        });
        // A hundred at once and ten a second: in a minute 700 have begun, and those that ended take on more.
        assert!(slow.throttles > 0);
        assert!(
            (100.0..160.0).contains(&slow.analyzed_s),
            "{}",
            slow.analyzed_s
        );
    }

    #[test]
    fn no_more_is_in_flight_than_the_queue_allows() {
        let few = list(2_000_000, 10.0, |_, facts| {
            facts.platform.sqs_in_flight_most.value = 50.0;
        });
        assert_eq!(few.functions, 50);
    }

    #[test]
    fn standard_pollers_begin_with_few_and_stop_at_the_event_sources_maximum() {
        let standard = list(10_000_000, 10.0, |setup, _| {
            setup.pollers = Pollers::Standard;
            setup.functions = 100;
        });
        assert_eq!((standard.functions, standard.throttles), (100, 0));
        let ramped = list(100_000, 1_000.0, |setup, _| {
            setup.pollers = Pollers::Standard;
        });
        assert!(ramped.analyzed_s > 1_000.0, "{}", ramped.analyzed_s);
        // Longer than a function runs: ten parts a chunk.
        assert!(ramped.invocations >= 500, "{}", ramped.invocations);
    }
}

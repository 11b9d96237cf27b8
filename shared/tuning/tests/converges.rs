//! From bad starting values to the best setting of a sweep, in the plan's model and in the simulation that checks it: chunks in functions,
//! with what surrounds a chunk, and a last round in which functions have nothing to do.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops where something is not as expected"
)]

use std::cell::RefCell;
use std::collections::HashMap;

use planning::facts::Facts;
use planning::plan;
use planning::simulate::simulate;
use planning::workload::{Pollers, Setup, Workload};
use proptest::prelude::*;
use tuning::{Band, Knob, KnobName, Patience, Tuner};

const CHUNK_SIZES: std::ops::RangeInclusive<u64> = 10..=100_000;
const CONCURRENCIES: std::ops::RangeInclusive<u64> = 1..=4_000;
/// A window is worth this much of the climb at most: two knobs, from one end to the other.
const WINDOWS: usize = 150;

/// Seconds for a list.
type Seconds = fn(&Workload, &Setup, &Facts) -> f64;

fn planned(workload: &Workload, setup: &Setup, facts: &Facts) -> f64 {
    plan(workload, setup, facts).timeline.list_s
}

fn simulated(workload: &Workload, setup: &Setup, facts: &Facts) -> f64 {
    simulate(workload, setup, facts, 1).total_s
}

/// Rows a second with these settings.
struct World {
    workload: Workload,
    setup: Setup,
    facts: Facts,
    seconds: Seconds,
    /// Each step of a sweep is so many times the one before.
    step: u64,
    /// What was worked out already, by chunk size and requests.
    known: RefCell<HashMap<(u64, u64), f64>>,
}

impl World {
    fn planned(latency_s: f64, cpu_s: f64) -> Self {
        Self {
            workload: Workload {
                urls: 200_000,
                latency_s,
                cpu_s,
                straggler_share: 0.0,
                ..Workload::default()
            },
            setup: Setup {
                // As many turns at a host as there are requests: the knob is what is to be seen.
                requests_per_host: 4_000,
                functions: 20,
                ..Setup::default()
            },
            facts: Facts::load(None).unwrap(),
            seconds: planned,
            step: 2,
            known: RefCell::default(),
        }
    }

    /// Few functions, so that the list is long beside its last round: where chunks are just as many as functions a round less is a matter of luck.
    fn simulated(latency_s: f64, cpu_s: f64) -> Self {
        let mut world = Self::planned(latency_s, cpu_s);
        world.setup.functions = 4;
        world.setup.pollers = Pollers::Standard;
        world.seconds = simulated;
        world.step = 3;
        world
    }

    fn rate(&self, chunk_size: u64, requests: u64) -> f64 {
        let mut known = self.known.borrow_mut();
        let rate = known.entry((chunk_size, requests));
        *rate.or_insert_with(|| self.work_out(chunk_size, requests))
    }

    fn work_out(&self, chunk_size: u64, requests: u64) -> f64 {
        let setup = Setup {
            chunk_size,
            requests,
            ..self.setup.clone()
        };
        // More under way than a function can hold in memory is paid for with work done twice.
        let crowded = 1.0 + (requests as f64 / 600.0).powi(2);
        let seconds = (self.seconds)(&self.workload, &setup, &self.facts);
        self.workload.urls as f64 / (seconds * crowded)
    }

    /// The best of a sweep over both ranges, from end to end.
    fn best(&self) -> f64 {
        let steps = |range: std::ops::RangeInclusive<u64>| {
            let (least, most) = (*range.start(), *range.end());
            let raised = std::iter::successors(Some(least), |step| Some(step * self.step));
            raised.take_while(move |step| *step < most).chain([most])
        };
        let rates = steps(CHUNK_SIZES).flat_map(|chunk_size| {
            steps(CONCURRENCIES).map(move |requests| self.rate(chunk_size, requests))
        });
        rates.fold(0.0, f64::max)
    }
}

struct Climb {
    rate: f64,
    settled_after: Option<usize>,
    changes_once_settled: usize,
}

fn climb(world: &World, start: (u64, u64), noise: f64, seed: u64) -> Climb {
    let mut chance = fastrand::Rng::with_seed(seed);
    let knobs = vec![
        Knob::new(
            KnobName::Concurrency,
            *CONCURRENCIES.start(),
            *CONCURRENCIES.end(),
            start.1,
        ),
        Knob::new(
            KnobName::ChunkSize,
            *CHUNK_SIZES.start(),
            *CHUNK_SIZES.end(),
            start.0,
        ),
    ];
    let mut tuner = Tuner::new(knobs, Patience::default());
    let now = |tuner: &Tuner| {
        let value = |name| tuner.value(name).unwrap();
        world.rate(value(KnobName::ChunkSize), value(KnobName::Concurrency))
    };
    let mut settled_after = None;
    let mut changes_once_settled = 0;
    for window in 0..WINDOWS {
        let rate = now(&tuner) * (1.0 + noise * (2.0 * chance.f64() - 1.0));
        let changes = tuner.window(rate);
        if settled_after.is_some() {
            changes_once_settled += changes.len();
        } else if tuner.is_settled() {
            settled_after = Some(window);
        }
    }
    Climb {
        rate: now(&tuner),
        settled_after,
        changes_once_settled,
    }
}

fn assert_climbs(world: &World) {
    let best = world.best();
    for start in [(10, 1), (100_000, 4_000)] {
        let began = world.rate(start.0, start.1);
        assert!(began < best / 2.0, "the start is bad: {began} of {best}");
        let climb = climb(world, start, 0.0, 1);
        assert!(
            climb.rate > 0.9 * best,
            "from {start:?}: {} of {best}: {:?}",
            climb.rate,
            world.workload
        );
        assert!(climb.settled_after.is_some(), "from {start:?}");
        assert_eq!(climb.changes_once_settled, 0);
    }
}

#[test]
fn both_bad_starts_come_within_a_tenth_of_the_best_swept_setting() {
    for (latency_s, cpu_s) in [(0.3, 0.006), (0.1, 0.002), (1.0, 0.006)] {
        assert_climbs(&World::planned(latency_s, cpu_s));
    }
}

/// Where nothing is a formula: rows queue, functions end when they end, messages come twice.
#[test]
fn both_bad_starts_come_within_a_tenth_of_the_best_setting_swept_in_simulation() {
    assert_climbs(&World::simulated(0.3, 0.006));
}

/// On AWS requests at once are a parameter of the stack, and the chunk size alone follows: seconds of work in a chunk, over its rows, as parts report
/// them.
#[test]
fn a_chunk_size_that_keeps_to_its_seconds_comes_within_a_tenth_of_the_best_from_both_ends() {
    let band = Band {
        least: 15.0,
        most: 40.0,
        aim: 25.0,
    };
    let facts = Facts::load(None).unwrap();
    for (latency_s, requests) in [(0.3, 128), (0.3, 25), (1.0, 25)] {
        let workload = Workload {
            urls: 1_000_000,
            latency_s,
            straggler_share: 0.0,
            ..Workload::default()
        };
        let run = |chunk_size| {
            let setup = Setup {
                chunk_size,
                requests,
                functions: 30,
                pollers: Pollers::Standard,
                ..Setup::default()
            };
            simulate(&workload, &setup, &facts, 1)
        };
        let sizes = [100, 300, 1_000, 2_000, 4_000, 10_000, 30_000];
        let best = sizes.map(|size| run(size).total_s).into_iter();
        let best_s = best.fold(f64::INFINITY, f64::min);
        for start in [10, 100_000] {
            let mut knob = Knob::new(KnobName::ChunkSize, 10, 100_000, start);
            let mut changes = 0;
            for _ in 0..10 {
                let seconds_per_row = run(knob.value).billed_s / workload.urls as f64;
                let change = band.change(&knob, seconds_per_row, "s of work in a chunk");
                let Some(change) = change else { break };
                knob.value = change.to;
                changes += 1;
            }
            assert!((1..5).contains(&changes), "{changes} changes from {start}");
            let reached_s = run(knob.value).total_s;
            assert!(
                reached_s < best_s / 0.9,
                "from {start} to {}: {reached_s} s, best {best_s} s, {latency_s} s away",
                knob.value
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn wherever_it_starts_it_ends_well_and_holds_still(
        chunk_size in CHUNK_SIZES, concurrency in CONCURRENCIES, seed in any::<u64>(),
    ) {
        let world = World::planned(0.3, 0.006);
        let climb = climb(&world, (chunk_size, concurrency), 0.03, seed);
        prop_assert!(climb.rate > 0.8 * world.best(), "{} of {}", climb.rate, world.best());
        prop_assert!(climb.settled_after.is_some());
        prop_assert_eq!(climb.changes_once_settled, 0);
    }
}

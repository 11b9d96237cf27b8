//! From bad starting values to the best, in the model of the plan: chunks in functions, with what surrounds a chunk, and a last round in
//! which functions have nothing to do.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops where something is not as expected"
)]

use planning::facts::Facts;
use planning::plan;
use planning::workload::{Setup, Workload};
use proptest::prelude::*;
use tuning::{Knob, KnobName, Patience, Tuner};

const CHUNK_SIZES: std::ops::RangeInclusive<u64> = 10..=100_000;
const CONCURRENCIES: std::ops::RangeInclusive<u64> = 1..=4_000;
/// A window is worth this much of the climb at most: two knobs, from one end to the other.
const WINDOWS: usize = 150;

/// Rows a second with these settings.
struct World {
    workload: Workload,
    facts: Facts,
}

impl World {
    fn new(latency_s: f64, cpu_s: f64) -> Self {
        Self {
            workload: Workload {
                urls: 200_000,
                latency_s,
                cpu_s,
                straggler_share: 0.0,
                ..Workload::default()
            },
            facts: Facts::load(None).unwrap(),
        }
    }

    fn rate(&self, chunk_size: u64, requests: u64) -> f64 {
        let setup = Setup {
            chunk_size,
            requests,
            // As many turns at a host as there are requests: the knob is what is to be seen.
            requests_per_host: 4_000,
            functions: 20,
            ..Setup::default()
        };
        // More under way than a function can hold in memory is paid for with work done twice.
        let crowded = 1.0 + (requests as f64 / 600.0).powi(2);
        self.workload.urls as f64
            / (plan(&self.workload, &setup, &self.facts).timeline.analyze_s * crowded)
    }

    /// The best of a sweep over both ranges.
    fn best(&self) -> f64 {
        let steps = |range: std::ops::RangeInclusive<u64>| {
            let (least, most) = (*range.start() as f64, *range.end() as f64);
            let steps = ((most / least).log2() * 2.0).ceil() as i32;
            (0..=steps)
                .map(move |step| (least * 2.0_f64.powf(f64::from(step) / 2.0)).min(most) as u64)
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

#[test]
fn both_bad_starts_come_within_a_tenth_of_the_best_swept_setting() {
    for (latency_s, cpu_s) in [(0.3, 0.006), (0.1, 0.002), (1.0, 0.006)] {
        let world = World::new(latency_s, cpu_s);
        let best = world.best();
        for start in [(10, 1), (100_000, 4_000)] {
            let began = world.rate(start.0, start.1);
            assert!(began < best / 2.0, "the start is bad: {began} of {best}");
            let climb = climb(&world, start, 0.0, 1);
            assert!(
                climb.rate > 0.9 * best,
                "from {start:?} at {latency_s} s: {} of {best}",
                climb.rate
            );
            assert!(climb.settled_after.is_some(), "from {start:?}");
            assert_eq!(climb.changes_once_settled, 0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn wherever_it_starts_it_ends_well_and_holds_still(
        chunk_size in CHUNK_SIZES, concurrency in CONCURRENCIES, seed in any::<u64>(),
    ) {
        let world = World::new(0.3, 0.006);
        let climb = climb(&world, (chunk_size, concurrency), 0.03, seed);
        prop_assert!(climb.rate > 0.8 * world.best(), "{} of {}", climb.rate, world.best());
        prop_assert!(climb.settled_after.is_some());
        prop_assert_eq!(climb.changes_once_settled, 0);
    }
}

//! Storms over either kind of adapter.

use std::collections::BTreeMap;
use std::env;
use std::num::NonZero;
use std::thread;
use std::time::Instant;

use domain::Outcome;
use parking_lot::Mutex;

use crate::storm::{Played, Storm};
use crate::world::World;

/// How many seeds are played, and over how many chunks; `STORM_SEEDS` and `STORM_CHUNKS` say otherwise.
struct Season {
    seeds: u64,
    chunks: u32,
    /// Whether half of its storms ask a model. Where time cannot be moved, its pauses would take longer than any storm.
    labels: bool,
}

impl Season {
    fn of(name: &str, seeds: u64, chunks: u32, labels: bool) -> Self {
        let number = |what: &str| {
            let text = env::var(format!("{name}_{what}")).ok()?;
            Some(text.parse::<u64>().unwrap())
        };
        Self {
            seeds: number("SEEDS").unwrap_or(seeds),
            chunks: number("CHUNKS").map_or(chunks, |chunks| chunks as u32),
            labels,
        }
    }

    /// The seeds to play: all of them, or the one that somebody wants to see again.
    fn seeds(&self) -> Vec<u64> {
        match env::var("STORM_SEED") {
            Ok(seed) => vec![seed.parse().unwrap()],
            Err(_) => (0..self.seeds).collect(),
        }
    }

    fn storm(&self, seed: u64) -> Storm {
        Storm {
            seed,
            chunks: self.chunks,
            rows_per_chunk: 3,
            janitor: true,
            owners: true,
            labels: self.labels && seed % 8 < 4,
        }
    }
}

/// What all storms of a season came to.
#[derive(Default)]
struct Tally {
    storms: u64,
    handled: u64,
    cancelled: u64,
    retries: u64,
    pauses: u64,
    deletions: u64,
    labelled: u64,
    faults: BTreeMap<&'static str, u64>,
    outcomes: BTreeMap<Outcome, u64>,
}

impl Tally {
    fn add(&mut self, played: &Played) {
        self.storms += 1;
        self.handled += played.handled;
        self.cancelled += u64::from(played.was_cancelled);
        self.retries += played.retries;
        self.pauses += played.pauses;
        self.deletions += played.deletions;
        self.labelled += played.labelled;
        for (kind, count) in &played.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        for (outcome, rows) in &played.outcomes {
            *self.outcomes.entry(*outcome).or_default() += rows;
        }
    }

    /// A season without any kind of fault shows nothing.
    fn assert_everything_happened(&self) {
        let kinds: Vec<&str> = self.faults.keys().copied().collect();
        let expected = [
            "answer lost",
            "body breaks",
            "crash after",
            "crash before",
            "half accepted",
            "late",
            "refused",
            "throttled",
            "twice",
        ];
        assert_eq!(kinds, expected);
        for (what, count) in [
            ("pauses", self.pauses),
            ("deletions", self.deletions),
            ("labels", self.labelled),
        ] {
            assert!(count > 0, "no {what}");
        }
    }

    fn print(&self, name: &str, begun: Instant) {
        println!(
            "{name}: {} storms in {:.1} s, {} messages handled, {} batches cancelled, {} retries asked for, {} times paused or resumed, {} deletions, {} rows labelled, faults {:?}, rows {:?}",
            self.storms,
            begun.elapsed().as_secs_f64(),
            self.handled,
            self.cancelled,
            self.retries,
            self.pauses,
            self.deletions,
            self.labelled,
            self.faults,
            self.outcomes
        );
    }
}

/// A storm by itself, on one thread, so that the seed alone decides.
pub(crate) fn play_embedded(storm: Storm) -> Result<Played, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { storm.play(&World::embedded(storm.seed)).await })
}

#[test]
fn nothing_is_lost_or_counted_twice_over_the_embedded_adapters() {
    let season = Season::of("STORM", 8, 200, true);
    let begun = Instant::now();
    let tally = Mutex::new(Tally::default());
    let seeds = Mutex::new(season.seeds().into_iter());
    let next = || seeds.lock().next();
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(seed) = next() {
                    match play_embedded(season.storm(seed)) {
                        Ok(played) => tally.lock().add(&played),
                        Err(broken) => panic!("STORM_SEED={seed}: {broken}"),
                    }
                }
            });
        }
    });
    let tally = tally.into_inner();
    tally.print("embedded", begun);
    if tally.storms > 1 {
        tally.assert_everything_happened();
    }
}

#[test]
fn nothing_is_lost_or_counted_twice_over_stand_ins_for_aws() {
    let season = Season::of("AWS_STORM", 2, 12, false);
    let begun = Instant::now();
    let mut tally = Tally::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for seed in season.seeds() {
        let played = runtime.block_on(async {
            let world = World::emulated(seed).await;
            season.storm(seed).play(&world).await
        });
        match played {
            Ok(played) => tally.add(&played),
            Err(broken) => panic!("STORM_SEED={seed}: {broken}"),
        }
    }
    tally.print("stand-ins for AWS", begun);
}

#[test]
fn batches_end_without_the_sweep_as_long_as_no_message_is_given_up() {
    for seed in 1_000_u64..1_004 {
        let storm = Storm {
            seed,
            chunks: 110,
            rows_per_chunk: 2,
            janitor: false,
            owners: false,
            labels: seed.is_multiple_of(2),
        };
        if let Err(broken) = play_embedded(storm) {
            panic!("seed {seed}: {broken}");
        }
    }
}

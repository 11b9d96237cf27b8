//! Mistakes that storms have to find.

use test_support::faults::mutants::{CountsOfTheAttempt, MistakenStore, StoreMistake};

use crate::storm::Storm;
use crate::world::World;

/// Storms of one mutant that are played until one finds it.
const SEEDS: u64 = 20;

/// The first seed that finds a mistake, and what it says.
fn found(janitor: bool, spoil: impl Fn(&mut World)) -> Option<(u64, String)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    (2_000..2_000 + SEEDS).find_map(|seed| {
        let storm = Storm {
            seed,
            chunks: 60,
            rows_per_chunk: 3,
            janitor,
            owners: false,
            labels: false,
        };
        let (right, wrong) = runtime.block_on(async {
            let right = storm.play(&World::embedded(seed)).await;
            let mut world = World::embedded(seed);
            spoil(&mut world);
            (right, storm.play(&world).await)
        });
        // Or the storm would find what is not there.
        right.unwrap_or_else(|broken| panic!("seed {seed} without the mistake: {broken}"));
        wrong.err().map(|broken| (seed, broken))
    })
}

fn use_wrongly(world: &mut World, mistake: StoreMistake) {
    world.ports.store = MistakenStore::over(&world.ports.store, mistake);
}

#[test]
fn counters_that_are_added_without_a_guard_are_found() {
    let (seed, broken) = found(true, |world| {
        use_wrongly(world, StoreMistake::UnguardedCounters);
    })
    .expect("found");
    println!("seed {seed}: {broken}");
    assert!(broken.starts_with("counted as"), "{broken}");
}

#[test]
fn counts_taken_from_the_attempt_are_found() {
    let (seed, broken) = found(true, |world| {
        world.ports.objects = CountsOfTheAttempt::over(&world.ports.objects);
    })
    .expect("found");
    println!("seed {seed}: {broken}");
}

#[test]
fn a_missing_roll_up_is_found() {
    // With the sweep it would be made good.
    let (seed, broken) = found(false, |world| {
        use_wrongly(world, StoreMistake::MissingRollUp);
    })
    .expect("found");
    println!("seed {seed}: {broken}");
    // Or complete, with nobody to write its report.
    let is_stuck =
        broken.starts_with("the batch is stuck") || broken.starts_with("there is no report");
    assert!(is_stuck, "{broken}");
}

//! The model and the simulation, over set-ups that are bound by different things.

use super::simulate;
use crate::cost::billed_s;
use crate::facts::Facts;
use crate::plan;
use crate::workload::{Pollers, Setup, Vision, Workload};

/// How far apart they may be.
const AGREEMENT: std::ops::Range<f64> = 0.85..1.0 / 0.85;

/// Everything on which the two are not agreed, in time or in what is billed.
fn differences(workload: &Workload, setup: &Setup) -> Vec<String> {
    let facts = Facts::load(None).unwrap();
    let model = plan(workload, setup, &facts);
    let simulated = simulate(workload, setup, &facts, 1);
    let billed = billed_s(workload, setup, &model.chunk);
    [
        ("time", model.timeline.total_s, simulated.total_s),
        ("billed", billed, simulated.billed_s),
        ("chunk", model.chunk.total_s, simulated.chunk_s),
    ]
    .into_iter()
    .filter(|(_, planned, simulated)| !AGREEMENT.contains(&(planned / simulated)))
    .map(|(what, planned, simulated)| {
        format!(
            "{what}: {planned:.1} s planned, {simulated:.1} s simulated: {workload:?} {setup:?}"
        )
    })
    .collect()
}

fn assert_agreed(cases: impl IntoIterator<Item = (Workload, Setup)>) {
    let differ: Vec<String> = cases
        .into_iter()
        .flat_map(|(workload, setup)| differences(&workload, &setup))
        .collect();
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

fn three_million() -> Workload {
    Workload {
        urls: 3_000_000,
        ..Workload::default()
    }
}

fn set_up(change: impl FnOnce(&mut Setup)) -> Setup {
    let mut setup = Setup::default();
    change(&mut setup);
    setup
}

#[test]
fn on_slow_and_quick_hosts_and_on_large_and_small_images() {
    let images = [
        (0.3, 150_000.0, 0.006),
        (2.0, 150_000.0, 0.003),
        (0.1, 1_500_000.0, 0.006),
        (0.02, 20_000.0, 0.001),
    ];
    let setups = [
        Setup::default(),
        set_up(|setup| setup.pollers = Pollers::Standard),
        set_up(|setup| {
            setup.functions = 50;
            setup.chunk_size = 500;
        }),
        set_up(|setup| setup.split_rows_per_s = 20_000.0),
        set_up(|setup| setup.memory_mb = 885),
        set_up(|setup| setup.memory_mb = 3_538),
        set_up(|setup| setup.requests = 5),
    ];
    let cases = setups.iter().flat_map(|setup| {
        images.iter().map(|(latency_s, body_bytes, cpu_s)| {
            let workload = Workload {
                latency_s: *latency_s,
                body_bytes: *body_bytes,
                cpu_s: *cpu_s,
                ..three_million()
            };
            (workload, setup.clone())
        })
    });
    assert_agreed(cases);
}

#[test]
fn on_few_hosts_that_allow_little() {
    let cases = [1, 2, 4, 8, 30].into_iter().flat_map(|hosts| {
        [4, 16].into_iter().map(move |requests_per_host| {
            let workload = Workload {
                hosts,
                ..three_million()
            };
            let setup = set_up(|setup| setup.requests_per_host = requests_per_host);
            (workload, setup)
        })
    });
    assert_agreed(cases);
}

#[test]
fn on_chunks_that_take_longer_than_a_function_may() {
    let cases = [10_000, 50_000].into_iter().map(|chunk_size| {
        let setup = set_up(|setup| {
            setup.chunk_size = chunk_size;
            setup.functions = 100;
        });
        (three_million(), setup)
    });
    assert_agreed(cases);
}

#[test]
fn on_lists_that_are_short_and_on_an_account_that_bears_little() {
    let short = [1_000, 20_000, 200_000].map(|urls| {
        let workload = Workload {
            urls,
            // Whether the one chunk has slow hosts is chance, and decides.
            straggler_share: if urls > 1_000 { 0.3 } else { 0.0 },
            ..Workload::default()
        };
        (workload, Setup::default())
    });
    let tight = [10, 100, 300].map(|functions| {
        let setup = set_up(|setup| setup.functions = functions);
        (three_million(), setup)
    });
    assert_agreed(short.into_iter().chain(tight));
}

#[test]
fn on_the_vision_stage() {
    let cases = [(2_000, 100.0), (50, 60.0), (100_000, 100.0)].map(|(keys, calls_per_minute)| {
        let workload = Workload {
            vision: Some(Vision {
                keys,
                calls_per_minute,
                distinct_share: 0.7,
                usd_per_call: 0.0,
            }),
            ..three_million()
        };
        (workload, Setup::default())
    });
    assert_agreed(cases);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let facts = Facts::load(None).unwrap();
    let run = |seed| simulate(&Workload::default(), &Setup::default(), &facts, seed);
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

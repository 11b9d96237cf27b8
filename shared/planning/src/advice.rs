//! What holds a workload up, and a set-up that does better.

use serde::Serialize;

use crate::facts::Facts;
use crate::workload::{Pollers, Setup, Workload};
use crate::{Plan, plan};

/// What holds the work up most.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bottleneck {
    /// Its name.
    pub resource: &'static str,
    /// Seconds that twice as much of it would save.
    pub doubling_saves_s: f64,
    /// What can be done about it.
    pub remedy: &'static str,
}

/// A change that gives twice as much of something.
type Doubling = fn(&mut Workload, &mut Setup);

/// Everything that can be short, and how there would be twice as much of it.
const RESOURCES: [(&str, Doubling, &str); 8] = [
    (
        "processor time",
        |workload, _| workload.cpu_s /= 2.0,
        "give the analyze function more memory (a vCPU for every 1,769 MB), or measure less (`measure: header`)",
    ),
    (
        "network of a function",
        |workload, _| workload.body_bytes /= 2.0,
        "use smaller chunks and more functions, or smaller renditions of the images",
    ),
    (
        "requests under way",
        |_, setup| {
            setup.requests *= 2;
            setup.requests_per_host *= 2;
        },
        "raise MAX_CONCURRENT_REQUESTS, and MAX_CONCURRENT_PER_HOST where the hosts allow it",
    ),
    (
        "functions at once",
        |_, setup| setup.functions *= 2,
        "ask for a higher concurrency quota, then raise the event source's maximum concurrency",
    ),
    (
        "ramp of the event source",
        |_, setup| {
            setup.pollers = match setup.pollers {
                Pollers::Standard => Pollers::Provisioned { at_least: 100 },
                Pollers::Provisioned { at_least } => Pollers::Provisioned {
                    at_least: at_least * 2,
                },
            }
        },
        "provision event pollers for the analyze queue",
    ),
    (
        "fan-out",
        |_, setup| setup.split_rows_per_s *= 2.0,
        "hand the list in as several lists, or uncompressed",
    ),
    (
        "finalize",
        |_, setup| setup.finalize_rows_per_s *= 2.0,
        "read the results while they come in; the report waits for every row",
    ),
    (
        "vision keys",
        |workload, _| {
            if let Some(vision) = &mut workload.vision {
                vision.keys *= 2;
            }
        },
        "add keys, or label a share of the images",
    ),
];

/// The resource of which twice as much would save the most time.
pub fn bottleneck(workload: &Workload, setup: &Setup, facts: &Facts) -> Bottleneck {
    let now_s = plan(workload, setup, facts).timeline.total_s;
    let mut worst = Bottleneck {
        resource: "nothing",
        doubling_saves_s: 0.0,
        remedy: "the time is that of one chunk; there is nothing to gain",
    };
    for (resource, double, remedy) in RESOURCES {
        let (mut workload, mut setup) = (workload.clone(), setup.clone());
        double(&mut workload, &mut setup);
        let saves_s = now_s - plan(&workload, &setup, facts).timeline.total_s;
        if saves_s > worst.doubling_saves_s {
            worst = Bottleneck {
                resource,
                doubling_saves_s: saves_s,
                remedy,
            };
        }
    }
    worst
}

/// The cheapest set-up that does `workload` within `within_s` seconds; the quickest where none does.
///
/// `setup` says what is given: architecture, functions at once, requests per host, rates of fan-out and finalize.
pub fn recommend(workload: &Workload, setup: &Setup, facts: &Facts, within_s: f64) -> Plan {
    let mut best = plan(workload, setup, facts);
    for chunk_size in [250, 500, 1_000, 2_000, 4_000, 8_000] {
        for memory_mb in [1_769, 3_538] {
            for requests in [32, 64, 128, 256, 512] {
                for pollers in [
                    Pollers::Standard,
                    Pollers::Provisioned { at_least: 10 },
                    Pollers::Provisioned { at_least: 30 },
                    Pollers::Provisioned { at_least: 100 },
                ] {
                    let candidate = Setup {
                        chunk_size,
                        memory_mb,
                        requests,
                        pollers,
                        ..setup.clone()
                    };
                    let candidate = plan(workload, &candidate, facts);
                    // A chunk that does not fit a function's time is cut off and begun again: more of everything.
                    if candidate.chunk.parts == 1 && is_better(&candidate, &best, within_s) {
                        best = candidate;
                    }
                }
            }
        }
    }
    best
}

fn is_better(candidate: &Plan, best: &Plan, within_s: f64) -> bool {
    let is_in_time = |plan: &Plan| plan.timeline.total_s <= within_s;
    match (is_in_time(candidate), is_in_time(best)) {
        (true, false) => true,
        (false, true) => false,
        (true, true) => candidate.cost.total_usd < best.cost.total_usd,
        (false, false) => candidate.timeline.total_s < best.timeline.total_s,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bottleneck_of(workload: &Workload, setup: &Setup) -> &'static str {
        bottleneck(workload, setup, &Facts::load(None).unwrap()).resource
    }

    #[test]
    fn what_is_short_is_named() {
        let large = Workload {
            urls: 15_000_000,
            cpu_s: 0.02,
            ..Workload::default()
        };
        let setup = Setup::default();
        let few = Setup {
            functions: 100,
            ..setup.clone()
        };
        assert!(["functions at once", "processor time"].contains(&bottleneck_of(&large, &few)));
        let slow_split = Setup {
            split_rows_per_s: 20_000.0,
            ..setup.clone()
        };
        let light = Workload {
            cpu_s: 0.001,
            ..large.clone()
        };
        assert_eq!(bottleneck_of(&light, &slow_split), "fan-out");
        let slow_report = Setup {
            finalize_rows_per_s: 10_000.0,
            ..setup.clone()
        };
        assert_eq!(bottleneck_of(&light, &slow_report), "finalize");
        let one_host = Workload {
            hosts: 1,
            latency_s: 1.0,
            ..light
        };
        let slow_ramp = Setup {
            pollers: Pollers::Standard,
            ..setup
        };
        let small = Workload {
            urls: 3_000_000,
            ..Workload::default()
        };
        assert_eq!(
            bottleneck_of(&small, &slow_ramp),
            "ramp of the event source"
        );
        assert_eq!(
            bottleneck_of(&one_host, &Setup::default()),
            "requests under way"
        );
    }

    #[test]
    fn the_recommendation_is_no_dearer_within_the_same_time() {
        let facts = Facts::load(None).unwrap();
        let workload = Workload::default();
        let setup = Setup::default();
        let before = plan(&workload, &setup, &facts);
        let advised = recommend(&workload, &setup, &facts, before.timeline.total_s);
        assert!(advised.timeline.total_s <= before.timeline.total_s);
        assert!(advised.cost.total_usd <= before.cost.total_usd);
    }
}

//! Whether a build has become slower, on a machine that does other things as well.
//!
//! Three means against noise:
//!
//! - **Processor time** instead of time on the clock: what a neighbour takes is not counted.
//! - **A yardstick** just before and after every sample: a processor that is throttled or whose caches a neighbour fills is slower at the yardstick,
//!   too, so the sample is divided by it.
//! - **Medians, and an interval** by bootstrap around their ratio. As long as the interval lies on both sides of the threshold, more
//!   samples are asked for.
//!
//! A build is slower if the geometric mean over everything measured says so, or if one case alone does with its whole interval. Time on the clock
//! counts as well, but only where it has about doubled: that is what waiting for the wrong thing looks like, and no neighbour
//! explains it after the division.

use serde::Serialize;

use crate::record::{Case, Record, Sample, median};

/// Samples of a case that a comparison begins with, and with which it ends however unclear things are.
pub const SAMPLES: std::ops::RangeInclusive<usize> = 9..=27;
/// Slower than this is a regression (source B6 of the product's requirements: 10 %).
pub const SLOWER: f64 = 1.10;
/// The same for time on the clock.
const MUCH_SLOWER: f64 = 2.0;
/// Success may fall by this share (B6).
const LESS_SUCCESS: f64 = 0.90;
/// Drawn samples of the bootstrap, and what share of them the interval leaves out on each side.
const DRAWN: usize = 1_000;
const LEFT_OUT: f64 = 0.01;

/// How many times as much something takes as before.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ratio {
    /// Ratio of the medians.
    pub ratio: f64,
    /// Bounds between which the ratio lies with 98 % certainty.
    pub low: f64,
    /// The upper one.
    pub high: f64,
}

/// One case, before and now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CaseComparison {
    /// Its name.
    pub name: String,
    /// Processor time of an item.
    pub cpu: Ratio,
    /// Time of an item on the clock.
    pub wall: Ratio,
    /// Items a second before and now, as they were: for reading, not for judging.
    pub per_second: [f64; 2],
    /// Share of the items that did not fail, before and now.
    pub success: [f64; 2],
}

/// A whole record, before and now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Everything that both have.
    pub cases: Vec<CaseComparison>,
    /// Cases of the earlier record that the later one has not.
    pub missing: Vec<String>,
    /// Geometric mean of the ratios of processor time.
    pub cpu: f64,
    /// What is worse, in sentences; empty when nothing is.
    pub regressions: Vec<String>,
    /// What makes the comparison doubtful, in sentences.
    pub warnings: Vec<String>,
}

impl Ratio {
    fn of(before: &Case, now: &Case, cost: impl Fn(&Sample) -> f64) -> Self {
        let (before, now) = (before.values(&cost), now.values(&cost));
        let ratio_of =
            |before: Vec<f64>, now: Vec<f64>| median(now) / median(before).max(f64::MIN_POSITIVE);
        // The same samples give the same interval.
        let mut chance = fastrand::Rng::with_seed(1);
        let mut draw = |values: &[f64]| -> Vec<f64> {
            let drawn = values.iter().map(|_| values[chance.usize(..values.len())]);
            drawn.collect()
        };
        let mut ratios: Vec<f64> = (0..DRAWN)
            .map(|_| ratio_of(draw(&before), draw(&now)))
            .collect();
        ratios.sort_by(f64::total_cmp);
        let left_out = (DRAWN as f64 * LEFT_OUT) as usize;
        Self {
            ratio: ratio_of(before, now),
            low: ratios[left_out],
            high: ratios[DRAWN - 1 - left_out],
        }
    }

    /// Whether it is clear on which side of `threshold` it lies.
    pub fn is_clear_of(&self, threshold: f64) -> bool {
        self.low > threshold || self.high < threshold
    }
}

impl CaseComparison {
    /// Compares two cases of one name.
    pub fn of(before: &Case, now: &Case) -> Self {
        let items = |sample: &Sample| sample.items.max(1) as f64;
        let cpu = |sample: &Sample| sample.cpu_s / items(sample) / sample.yardstick_cpu_s.max(1e-9);
        let wall =
            |sample: &Sample| sample.wall_s / items(sample) / sample.yardstick_wall_s.max(1e-9);
        Self {
            name: now.name.clone(),
            cpu: Ratio::of(before, now, cpu),
            wall: Ratio::of(before, now, wall),
            per_second: [before.per_second(), now.per_second()],
            success: [before.success(), now.success()],
        }
    }

    /// Whether more samples could change what is said of it.
    pub fn is_clear(&self) -> bool {
        self.cpu.is_clear_of(SLOWER)
    }

    fn regression(&self) -> Option<String> {
        let Self {
            name, cpu, wall, ..
        } = self;
        if self.success[1] < self.success[0] * LESS_SUCCESS {
            let [before, now] = self.success.map(|share| share * 100.0);
            return Some(format!("{name}: {now:.1} % succeed, {before:.1} % did"));
        }
        if cpu.low > SLOWER {
            return Some(format!("{name}: {} processor time", percent(cpu.ratio)));
        }
        if wall.low > MUCH_SLOWER {
            return Some(format!("{name}: {} time on the clock", percent(wall.ratio)));
        }
        None
    }
}

impl Comparison {
    /// Compares two records.
    pub fn of(before: &Record, now: &Record) -> Self {
        let mut cases = Vec::new();
        let mut missing = Vec::new();
        for case in &before.cases {
            match now.case(&case.name) {
                Some(now) if !now.samples.is_empty() && !case.samples.is_empty() => {
                    cases.push(CaseComparison::of(case, now));
                }
                _ => missing.push(case.name.clone()),
            }
        }
        let logs: f64 = cases.iter().map(|case| case.cpu.ratio.max(1e-9).ln()).sum();
        let cpu = (logs / cases.len().max(1) as f64).exp();
        let mut regressions: Vec<String> = cases
            .iter()
            .filter_map(CaseComparison::regression)
            .collect();
        if cpu > SLOWER {
            regressions.insert(0, format!("all together: {} processor time", percent(cpu)));
        }
        let mut warnings = before.machine.differences(&now.machine);
        if before.build != now.build {
            warnings.push(format!("builds: {} and {}", before.build, now.build));
        }
        Self {
            cases,
            missing,
            cpu,
            regressions,
            warnings,
        }
    }
}

/// `+12.3 %`.
pub fn percent(ratio: f64) -> String {
    format!("{:+.1} %", (ratio - 1.0) * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;

    /// Samples on a machine whose speed wanders: the yardstick feels most of it, and each has noise of its own, always upwards.
    fn case(chance: &mut fastrand::Rng, samples: usize, slow_down: f64, noise: f64) -> Case {
        let mut sample = || {
            let speed = 1.0 + noise * chance.f64();
            let own = |chance: &mut fastrand::Rng| 1.0 + 0.3 * noise * chance.f64().powi(3);
            let cpu_s = 0.2 * speed * own(chance) * slow_down;
            let waited = 1.0 + 4.0 * noise * chance.f64();
            Sample {
                items: 100,
                failed: 0,
                wall_s: cpu_s * waited,
                cpu_s,
                yardstick_cpu_s: 0.01 * speed * own(chance),
                yardstick_wall_s: 0.01 * speed * waited,
            }
        };
        Case {
            name: "batch/100".to_owned(),
            unit: "rows".to_owned(),
            samples: (0..samples).map(|_| sample()).collect(),
        }
    }

    fn record(cases: Vec<Case>) -> Record {
        Record {
            schema: crate::record::SCHEMA,
            made_at: String::new(),
            version: String::new(),
            revision: None,
            build: "release".to_owned(),
            machine: Machine::here(),
            cases,
        }
    }

    /// Whether a comparison as the command makes it finds a regression.
    fn is_caught(seed: u64, slow_down: f64) -> bool {
        let mut chance = fastrand::Rng::with_seed(seed);
        let before = case(&mut chance, *SAMPLES.start(), 1.0, 0.05);
        let mut now = case(&mut chance, *SAMPLES.start(), slow_down, 0.5);
        while now.samples.len() < *SAMPLES.end() && !CaseComparison::of(&before, &now).is_clear() {
            now.samples
                .extend(case(&mut chance, 3, slow_down, 0.5).samples);
        }
        let comparison = Comparison::of(&record(vec![before]), &record(vec![now]));
        !comparison.regressions.is_empty()
    }

    #[test]
    fn a_fifth_slower_is_caught_and_nothing_is_not() {
        let caught = |slow_down| (0..100).filter(|seed| is_caught(*seed, slow_down)).count();
        let (slowed, unchanged) = (caught(1.2), caught(1.0));
        assert!(slowed >= 98, "{slowed} of 100 are caught");
        assert!(unchanged <= 2, "{unchanged} of 100 are false alarms");
    }

    #[test]
    fn means_without_the_yardstick_would_be_fooled() {
        let mut chance = fastrand::Rng::with_seed(5);
        let before = case(&mut chance, 9, 1.0, 0.05);
        let now = case(&mut chance, 9, 1.0, 0.5);
        assert!(
            now.cpu_s() / before.cpu_s() > SLOWER,
            "the noise is worth the name"
        );
    }

    #[test]
    fn one_slow_case_of_many_is_named() {
        let mut chance = fastrand::Rng::with_seed(3);
        let mut named = |name: &str, slow_down| Case {
            name: name.to_owned(),
            ..case(&mut chance, 15, slow_down, 0.02)
        };
        let before = record(vec![
            named("a", 1.0),
            named("b", 1.0),
            named("c", 1.0),
            named("d", 1.0),
        ]);
        let now = record(vec![named("a", 1.0), named("b", 1.25), named("c", 1.0)]);
        let comparison = Comparison::of(&before, &now);
        assert_eq!(comparison.missing, ["d"]);
        assert_eq!(comparison.regressions.len(), 1, "{comparison:?}");
        assert!(
            comparison.regressions[0].starts_with("b: +2"),
            "{comparison:?}"
        );
    }

    #[test]
    fn failures_and_waiting_are_regressions_too() {
        let mut chance = fastrand::Rng::with_seed(3);
        let before = case(&mut chance, 9, 1.0, 0.0);
        let mut failing = before.clone();
        let mut waiting = before.clone();
        for at in 0..9 {
            failing.samples[at].failed = 20;
            waiting.samples[at].wall_s *= 3.0;
        }
        for (now, word) in [(failing, "succeed"), (waiting, "clock")] {
            let comparison = Comparison::of(&record(vec![before.clone()]), &record(vec![now]));
            assert!(comparison.regressions[0].contains(word), "{comparison:?}");
        }
        let same = Comparison::of(&record(vec![before.clone()]), &record(vec![before]));
        assert!(same.regressions.is_empty() && (same.cpu - 1.0).abs() < 1e-9);
    }
}

//! Key performance indicators by the minute, in a form that adds up across processes.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Counters, HostTally, ResultRow, Vitals};

/// Minutes since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Minute(pub i64);

impl Minute {
    /// The minute that `time` falls into.
    pub fn of(time: Timestamp) -> Self {
        Self(time.as_second().div_euclid(60))
    }
}

/// Buckets of a factor 2 are cut into this many; the relative error of a percentile is at most one bucket, 19 %.
const BUCKETS_PER_OCTAVE: f64 = 4.0;

/// Latencies in logarithmic buckets, so that histograms of many processes merge by addition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LatencyHistogram(BTreeMap<u16, u64>);

impl LatencyHistogram {
    /// Adds one latency in milliseconds.
    pub fn record(&mut self, milliseconds: u64) {
        let bucket = ((milliseconds + 1) as f64).log2() * BUCKETS_PER_OCTAVE;
        *self.0.entry(bucket as u16).or_default() += 1;
    }

    /// Bucket numbers and their counts: what a store keeps of it.
    pub fn counts(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        self.0.iter().map(|(bucket, count)| (*bucket, *count))
    }

    /// The histogram with these [`LatencyHistogram::counts`].
    pub fn from_counts(counts: impl IntoIterator<Item = (u16, u64)>) -> Self {
        let mut histogram = Self::default();
        for (bucket, count) in counts {
            *histogram.0.entry(bucket).or_default() += count;
        }
        histogram
    }

    /// Latencies recorded.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// How many latencies are of this many milliseconds or less, to within a bucket.
    pub fn at_most(&self, milliseconds: f64) -> u64 {
        let edge = |bucket: u16| ((f64::from(bucket) + 1.0) / BUCKETS_PER_OCTAVE).exp2() - 1.0;
        let within = self
            .0
            .iter()
            .filter(|(bucket, _)| edge(**bucket) <= milliseconds);
        within.map(|(_, count)| count).sum()
    }

    /// The buckets that hold something, ascending: the middle of each in milliseconds, and how many latencies fell into it.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        self.0.iter().map(|(bucket, count)| {
            let middle = (f64::from(*bucket) + 0.5) / BUCKETS_PER_OCTAVE;
            (middle.exp2() - 1.0, *count)
        })
    }

    /// The latency in milliseconds that the share `quantile` (0 … 1) of all entries does not exceed, to the upper edge
    /// of its bucket; `None` of an empty histogram.
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let total: u64 = self.0.values().sum();
        let rank = (quantile.clamp(0.0, 1.0) * total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in &self.0 {
            seen += count;
            if seen >= rank {
                let upper_edge = (f64::from(*bucket) + 1.0) / BUCKETS_PER_OCTAVE;
                return Some(upper_edge.exp2() - 1.0);
            }
        }
        None
    }
}

impl AddAssign<&Self> for LatencyHistogram {
    fn add_assign(&mut self, other: &Self) {
        for (bucket, count) in &other.0 {
            *self.0.entry(*bucket).or_default() += count;
        }
    }
}

/// What one part adds to the indicators of the minute it ended in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KpiDelta {
    /// Parts.
    pub parts: u64,
    /// Counts of the parts' rows.
    pub counters: Counters,
    /// Milliseconds handlers were busy.
    pub busy_ms: u64,
    /// Time from first attempt to last byte, of rows that were fetched.
    pub latency: LatencyHistogram,
    /// Hosts that gave trouble. Only on its way in: stores keep them apart ([`crate::ports::MonitoringStore::troubled_hosts`]).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hosts: BTreeMap<String, HostTally>,
    /// What processes saw of themselves meanwhile.
    #[serde(default, skip_serializing_if = "Vitals::is_empty")]
    pub vitals: Vitals,
}

impl KpiDelta {
    /// The indicators of one part.
    pub fn of_part(rows: &[ResultRow], busy_ms: u64) -> Self {
        let mut latency = LatencyHistogram::default();
        for elapsed_ms in rows.iter().filter_map(|row| row.elapsed_ms) {
            latency.record(elapsed_ms);
        }
        Self {
            parts: 1,
            counters: rows.iter().collect(),
            busy_ms,
            latency,
            ..Self::default()
        }
    }
}

impl AddAssign<&Self> for KpiDelta {
    fn add_assign(&mut self, other: &Self) {
        self.parts += other.parts;
        self.counters += &other.counters;
        self.busy_ms += other.busy_ms;
        self.latency += &other.latency;
        for (host, tally) in &other.hosts {
            *self.hosts.entry(host.clone()).or_default() += tally;
        }
        self.vitals += &other.vitals;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_within_one_bucket_of_the_truth() {
        let mut histogram = LatencyHistogram::default();
        for milliseconds in 1..=1_000 {
            histogram.record(milliseconds);
        }
        let median = histogram.quantile(0.5).unwrap();
        assert!((500.0..=600.0).contains(&median), "{median}");
        let highest = histogram.quantile(1.0).unwrap();
        assert!((1_000.0..=1_200.0).contains(&highest), "{highest}");
        assert_eq!(LatencyHistogram::default().quantile(0.5), None);
    }

    #[test]
    fn merged_histograms_equal_one_histogram_of_everything() {
        let (mut left, mut right, mut whole) =
            <(LatencyHistogram, LatencyHistogram, LatencyHistogram)>::default();
        for milliseconds in 0..500 {
            let half = if milliseconds % 3 == 0 {
                &mut left
            } else {
                &mut right
            };
            half.record(milliseconds);
            whole.record(milliseconds);
        }
        left += &right;
        assert_eq!(left, whole);
    }

    #[test]
    fn minutes_before_the_epoch_do_not_round_towards_zero() {
        assert_eq!(Minute::of(Timestamp::from_second(-1).unwrap()), Minute(-1));
    }
}

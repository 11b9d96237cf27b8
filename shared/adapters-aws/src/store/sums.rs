//! Counters as attributes of their own, because DynamoDB adds to top-level attributes only.
//!
//! Names are short: a write is billed by the size of the whole item, its names included, and is made once a chunk.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{
    CacheStats, Counters, Gauge, Issue, KpiDelta, LatencyHistogram, OperationStats, Outcome, Vitals,
};

use super::items::{EXPIRES_AT, Item, count, number};
use crate::error::Malformed;

const OUTCOME_PREFIX: &str = "o#";
const ISSUE_PREFIX: &str = "i#";
const VISION_PREFIX: &str = "v#";
const LATENCY_PREFIX: &str = "l#";
/// What processes saw of themselves: calls to the API, calls to the database, levels of caches, samples.
const API_PREFIX: &str = "a#";
const DATABASE_PREFIX: &str = "d#";
const CACHE_PREFIX: &str = "c#";
const GAUGE_PREFIX: &str = "g#";
/// Sums of one update: DynamoDB takes 300 operators, and 4 KB of expression.
const MAX_SUMS: usize = 280;
const RETIRED_KEYS: &str = "retired_keys";

/// What to add to which attribute.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sums(BTreeMap<String, i64>);

impl Sums {
    pub(super) fn add(&mut self, name: impl Into<String>, value: i64) {
        *self.0.entry(name.into()).or_default() += value;
    }

    pub(super) fn subtract(&mut self, other: Self) {
        for (name, value) in other.0 {
            self.add(name, -value);
        }
    }

    fn add_count(&mut self, name: impl Into<String>, count: u64) {
        self.add(name, i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Takes `other` in, if all that is to be added then still goes into one update; otherwise `other` comes back.
    pub(super) fn take_in(&mut self, other: Self) -> Option<Self> {
        let added = |sums: &Self| sums.0.values().filter(|value| **value != 0).count();
        if added(self) + added(&other) > MAX_SUMS {
            return Some(other);
        }
        for (name, value) in other.0 {
            self.add(name, value);
        }
        None
    }

    /// The same sums in pieces of at most `size`.
    pub(super) fn in_pieces(self, size: usize) -> Vec<Self> {
        let mut pieces = Vec::new();
        let mut piece = BTreeMap::new();
        for (name, value) in self.0 {
            piece.insert(name, value);
            if piece.len() == size {
                pieces.push(Self(std::mem::take(&mut piece)));
            }
        }
        if !piece.is_empty() {
            pieces.push(Self(piece));
        }
        pieces
    }

    /// The addition of all sums. What is nothing is left out.
    pub(super) fn into_addition(self) -> Addition {
        let mut addition = Addition::default();
        let sums = self.0.into_iter().filter(|(_, value)| *value != 0);
        for (position, (name, value)) in sums.enumerate() {
            addition.actions.push(format!("#s{position} :s{position}"));
            addition.names.insert(format!("#s{position}"), name);
            addition
                .values
                .insert(format!(":s{position}"), number(value));
        }
        addition
    }
}

/// An `ADD` in the making, with the names and values it stands on.
#[derive(Default)]
pub(super) struct Addition {
    pub(super) actions: Vec<String>,
    pub(super) names: HashMap<String, String>,
    pub(super) values: HashMap<String, AttributeValue>,
    expires: bool,
}

impl Addition {
    /// The same, to an item that expires then.
    pub(super) fn expiring(mut self, expiry: AttributeValue) -> Self {
        self.names
            .insert("#expires_at".to_owned(), EXPIRES_AT.to_owned());
        self.values.insert(":expires_at".to_owned(), expiry);
        self.expires = true;
        self
    }

    pub(super) fn expression(&self) -> String {
        let added = self.actions.join(", ");
        if self.expires {
            format!("ADD {added} SET #expires_at = :expires_at")
        } else {
            format!("ADD {added}")
        }
    }
}

/// The sums of a part.
pub(super) fn of_counters(counters: &Counters) -> Sums {
    // Taken apart by name, so that a new field cannot be forgotten here.
    let Counters {
        rows,
        by_outcome,
        by_issue,
        attempts,
        bytes,
        elapsed_ms,
        vision,
    } = counters;
    let mut sums = Sums::default();
    sums.add_count("rows", *rows);
    sums.add_count("attempts", *attempts);
    sums.add_count("bytes", *bytes);
    sums.add_count("elapsed_ms", *elapsed_ms);
    for (name, value) in vision.named() {
        sums.add_count(format!("{VISION_PREFIX}{name}"), value);
    }
    for (outcome, rows) in by_outcome {
        sums.add_count(format!("{OUTCOME_PREFIX}{outcome}"), *rows);
    }
    for (issue, rows) in by_issue {
        sums.add_count(format!("{ISSUE_PREFIX}{}", issue.as_str()), *rows);
    }
    sums
}

/// The counters that [`of_counters`] was added up to.
pub(super) fn to_counters(item: &Item) -> Result<Counters, Malformed> {
    let mut counters = Counters {
        rows: count(item, "rows")?,
        attempts: count(item, "attempts")?,
        bytes: count(item, "bytes")?,
        elapsed_ms: count(item, "elapsed_ms")?,
        ..Counters::default()
    };
    for name in item.keys() {
        let unreadable = || Malformed::Attribute(name.clone());
        if let Some(outcome) = name.strip_prefix(OUTCOME_PREFIX) {
            let outcome = Outcome::from_str(outcome).map_err(|_| unreadable())?;
            counters.by_outcome.insert(outcome, count(item, name)?);
        } else if let Some(issue) = name.strip_prefix(ISSUE_PREFIX) {
            let known = Issue::ALL.iter().find(|known| known.as_str() == issue);
            let issue = *known.ok_or_else(unreadable)?;
            counters.by_issue.insert(issue, count(item, name)?);
        } else if let Some(of_vision) = name.strip_prefix(VISION_PREFIX) {
            let sum = counters.vision.of_name(of_vision);
            *sum.ok_or_else(unreadable)? = count(item, name)?;
        }
    }
    // What retries took back altogether is as if it had never been added.
    counters.by_outcome.retain(|_, rows| *rows > 0);
    counters.by_issue.retain(|_, rows| *rows > 0);
    Ok(counters)
}

/// The sums of a part's indicators, without its hosts and vitals, which are kept apart.
pub(super) fn of_indicators(delta: &KpiDelta) -> Sums {
    let KpiDelta {
        parts,
        counters,
        busy_ms,
        latency,
        hosts: _,
        vitals: _,
    } = delta;
    let mut sums = of_counters(counters);
    sums.add_count("parts", *parts);
    sums.add_count("busy_ms", *busy_ms);
    sums.add_latency("", latency);
    sums
}

impl Sums {
    fn add_latency(&mut self, prefix: &str, latency: &LatencyHistogram) {
        for (bucket, entries) in latency.counts() {
            self.add_count(format!("{prefix}{LATENCY_PREFIX}{bucket}"), entries);
        }
    }

    fn add_operations(&mut self, prefix: &str, stats: &OperationStats) {
        let OperationStats {
            calls,
            failed,
            throttled,
            retried,
            elapsed_ms,
            latency,
        } = stats;
        self.add_count(format!("{prefix}calls"), *calls);
        self.add_count(format!("{prefix}failed"), *failed);
        self.add_count(format!("{prefix}throttled"), *throttled);
        self.add_count(format!("{prefix}retried"), *retried);
        self.add_count(format!("{prefix}ms"), *elapsed_ms);
        self.add_latency(prefix, latency);
    }
}

/// The gauges of vitals with their names.
fn gauges(vitals: &mut Vitals) -> [(&'static str, &mut Gauge); 6] {
    let Vitals {
        api: _,
        database: _,
        caches: _,
        cpu_percent,
        memory_mb,
        memory_percent,
        workers,
        pending,
        dead_letters,
        retired_keys: _,
    } = vitals;
    [
        ("cpu", cpu_percent),
        ("mb", memory_mb),
        ("memory", memory_percent),
        ("workers", workers),
        ("pending", pending),
        ("dead", dead_letters),
    ]
}

/// The sums of what processes saw of themselves.
pub(super) fn of_vitals(vitals: &Vitals) -> Sums {
    let mut sums = Sums::default();
    sums.add_operations(API_PREFIX, &vitals.api);
    sums.add_operations(DATABASE_PREFIX, &vitals.database);
    for (level, stats) in &vitals.caches {
        let CacheStats {
            hits,
            misses,
            bytes,
            saved_micro_usd,
        } = stats;
        for (name, value) in [
            ("hits", hits),
            ("misses", misses),
            ("bytes", bytes),
            ("saved", saved_micro_usd),
        ] {
            sums.add_count(format!("{CACHE_PREFIX}{name}#{level}"), *value);
        }
    }
    sums.add_count(RETIRED_KEYS, vitals.retired_keys);
    for (name, gauge) in gauges(&mut vitals.clone()) {
        sums.add_count(format!("{GAUGE_PREFIX}{name}#sum"), gauge.sum);
        sums.add_count(format!("{GAUGE_PREFIX}{name}#samples"), gauge.samples);
    }
    sums
}

fn to_latency(item: &Item, prefix: &str) -> Result<LatencyHistogram, Malformed> {
    let mut counts = Vec::new();
    for name in item.keys() {
        let bucket = name
            .strip_prefix(prefix)
            .and_then(|name| name.strip_prefix(LATENCY_PREFIX));
        if let Some(bucket) = bucket {
            let bucket = bucket
                .parse()
                .map_err(|_| Malformed::Attribute(name.clone()))?;
            counts.push((bucket, count(item, name)?));
        }
    }
    Ok(LatencyHistogram::from_counts(counts))
}

fn to_operations(item: &Item, prefix: &str) -> Result<OperationStats, Malformed> {
    Ok(OperationStats {
        calls: count(item, &format!("{prefix}calls"))?,
        failed: count(item, &format!("{prefix}failed"))?,
        throttled: count(item, &format!("{prefix}throttled"))?,
        retried: count(item, &format!("{prefix}retried"))?,
        elapsed_ms: count(item, &format!("{prefix}ms"))?,
        latency: to_latency(item, prefix)?,
    })
}

/// The vitals that [`of_vitals`] was added up to.
fn to_vitals(item: &Item) -> Result<Vitals, Malformed> {
    let mut vitals = Vitals {
        api: to_operations(item, API_PREFIX)?,
        database: to_operations(item, DATABASE_PREFIX)?,
        retired_keys: count(item, RETIRED_KEYS)?,
        ..Vitals::default()
    };
    for name in item.keys() {
        let Some((field, level)) = name
            .strip_prefix(CACHE_PREFIX)
            .and_then(|rest| rest.split_once('#'))
        else {
            continue;
        };
        let stats = vitals.caches.entry(level.to_owned()).or_default();
        let value = count(item, name)?;
        match field {
            "hits" => stats.hits = value,
            "misses" => stats.misses = value,
            "bytes" => stats.bytes = value,
            "saved" => stats.saved_micro_usd = value,
            _ => return Err(Malformed::Attribute(name.clone())),
        }
    }
    for (name, gauge) in gauges(&mut vitals) {
        gauge.sum = count(item, &format!("{GAUGE_PREFIX}{name}#sum"))?;
        gauge.samples = count(item, &format!("{GAUGE_PREFIX}{name}#samples"))?;
    }
    Ok(vitals)
}

/// The indicators that [`of_indicators`] and [`of_vitals`] were added up to.
pub(super) fn to_indicators(item: &Item) -> Result<KpiDelta, Malformed> {
    Ok(KpiDelta {
        parts: count(item, "parts")?,
        counters: to_counters(item)?,
        busy_ms: count(item, "busy_ms")?,
        latency: to_latency(item, "")?,
        vitals: to_vitals(item)?,
        ..KpiDelta::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::VisionCounters;

    fn stored(sums: Sums) -> Item {
        let attribute = |(name, value)| (name, number(value));
        sums.0.into_iter().map(attribute).collect()
    }

    #[test]
    fn every_outcome_issue_and_bucket_comes_back() {
        let mut delta = KpiDelta {
            parts: 3,
            busy_ms: 5,
            ..KpiDelta::default()
        };
        for outcome in Outcome::ALL {
            let (attempts, bytes, elapsed_ms) = (2, Some(700), Some(30));
            delta
                .counters
                .add_row(*outcome, Issue::ALL, attempts, bytes, elapsed_ms);
        }
        for exponent in 0..24 {
            delta.latency.record(1 << exponent);
        }
        for (position, (name, _)) in VisionCounters::default().named().into_iter().enumerate() {
            *delta.counters.vision.of_name(name).unwrap() = position as u64 + 1;
        }
        let item = stored(of_indicators(&delta));
        assert_eq!(to_indicators(&item).unwrap(), delta);
    }

    #[test]
    fn everything_processes_saw_of_themselves_comes_back_and_travels_in_pieces() {
        let mut vitals = Vitals {
            cpu_percent: Gauge::of(70),
            pending: Gauge::of(12),
            ..Vitals::default()
        };
        for milliseconds in [1, 20, 300] {
            vitals.api.calls += 1;
            vitals.api.elapsed_ms += milliseconds;
            vitals.api.latency.record(milliseconds);
        }
        vitals.database.throttled = 2;
        vitals.retired_keys = 3;
        let stats = CacheStats {
            hits: 3,
            saved_micro_usd: 9,
            ..CacheStats::default()
        };
        vitals.caches.insert("memory".to_owned(), stats);
        let mut item = Item::new();
        for piece in of_vitals(&vitals).in_pieces(4) {
            assert!(piece.0.len() <= 4);
            item.extend(stored(piece));
        }
        assert_eq!(to_indicators(&item).unwrap().vitals, vitals);
    }

    #[test]
    fn an_update_of_everything_stays_within_the_limits_of_an_expression() {
        let mut delta = KpiDelta::default();
        for outcome in Outcome::ALL {
            delta.counters.add_row(*outcome, Issue::ALL, 1, None, None);
        }
        // Up to twelve hours in milliseconds, every bucket of the histogram.
        for quarter_octave in 0..102 {
            let milliseconds = (f64::from(quarter_octave) / 4.0).exp2();
            delta.latency.record(milliseconds as u64);
        }
        let addition = of_indicators(&delta).into_addition();
        assert!(addition.actions.len() > 100);
        let length = addition.expression().len();
        assert!(length < 4_096, "{length} bytes");
    }

    #[test]
    fn as_much_as_fits_goes_into_one_update() {
        let many = |prefix: &str, count: usize| {
            let mut sums = Sums::default();
            for number in 0..count {
                sums.add(format!("{prefix}{number}"), 1);
            }
            sums
        };
        let mut sums = many("a", MAX_SUMS - 10);
        assert_eq!(sums.take_in(many("b", 11)), Some(many("b", 11)));
        assert_eq!(sums.take_in(many("b", 10)), None);
        let addition = sums.into_addition();
        assert_eq!(addition.actions.len(), MAX_SUMS);
        let length = addition.expression().len();
        assert!(length < 4_096, "{length} bytes");
    }

    #[test]
    fn what_is_taken_back_leaves_no_trace() {
        let mut counters = Counters::default();
        counters.add_row(Outcome::Ok, &[Issue::Dark], 1, Some(10), Some(5));
        let before = stored(of_counters(&counters));
        let mut sums = of_counters(&counters);
        sums.subtract(of_counters(&counters));
        assert_eq!(sums.into_addition().actions, [] as [String; 0]);
        assert_eq!(to_counters(&before).unwrap(), counters);
        let nothing = before.into_keys().map(|name| (name, number(0))).collect();
        assert_eq!(to_counters(&nothing).unwrap(), Counters::default());
    }

    #[test]
    fn an_attribute_of_an_unknown_outcome_is_not_passed_over() {
        let mut sums = Sums::default();
        sums.add("o#of_a_later_version", 1);
        let item = stored(sums);
        let fault = to_counters(&item).unwrap_err();
        assert!(
            fault.to_string().contains("o#of_a_later_version"),
            "{fault}"
        );
    }
}

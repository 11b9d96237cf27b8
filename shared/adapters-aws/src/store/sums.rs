//! Counters as attributes of their own, because DynamoDB adds to top-level attributes only.
//!
//! Names are short: a write is billed by the size of the whole item, its names included, and is made once a chunk.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{Counters, Issue, KpiDelta, LatencyHistogram, Outcome};

use super::items::{Item, count, number};
use crate::error::Malformed;

const OUTCOME_PREFIX: &str = "o#";
const ISSUE_PREFIX: &str = "i#";
const LATENCY_PREFIX: &str = "l#";

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
}

impl Addition {
    pub(super) fn expression(&self) -> String {
        format!("ADD {}", self.actions.join(", "))
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
    } = counters;
    let mut sums = Sums::default();
    sums.add_count("rows", *rows);
    sums.add_count("attempts", *attempts);
    sums.add_count("bytes", *bytes);
    sums.add_count("elapsed_ms", *elapsed_ms);
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
        }
    }
    // What retries took back altogether is as if it had never been added.
    counters.by_outcome.retain(|_, rows| *rows > 0);
    counters.by_issue.retain(|_, rows| *rows > 0);
    Ok(counters)
}

/// The sums of a part's indicators.
pub(super) fn of_indicators(delta: &KpiDelta) -> Result<Sums, serde_json::Error> {
    let KpiDelta {
        parts,
        counters,
        busy_ms,
        latency,
    } = delta;
    let mut sums = of_counters(counters);
    sums.add_count("parts", *parts);
    sums.add_count("busy_ms", *busy_ms);
    // A histogram's own form is a map of bucket to count.
    let buckets: BTreeMap<u16, u64> = serde_json::from_value(serde_json::to_value(latency)?)?;
    for (bucket, entries) in buckets {
        sums.add_count(format!("{LATENCY_PREFIX}{bucket}"), entries);
    }
    Ok(sums)
}

/// The indicators that [`of_indicators`] was added up to.
pub(super) fn to_indicators(item: &Item) -> Result<KpiDelta, Malformed> {
    let mut buckets: BTreeMap<u16, u64> = BTreeMap::new();
    for name in item.keys() {
        if let Some(bucket) = name.strip_prefix(LATENCY_PREFIX) {
            let bucket = bucket
                .parse()
                .map_err(|_| Malformed::Attribute(name.clone()))?;
            buckets.insert(bucket, count(item, name)?);
        }
    }
    let latency: LatencyHistogram = serde_json::to_value(buckets)
        .and_then(serde_json::from_value)
        .map_err(|_| Malformed::Attribute(LATENCY_PREFIX.to_owned()))?;
    Ok(KpiDelta {
        parts: count(item, "parts")?,
        counters: to_counters(item)?,
        busy_ms: count(item, "busy_ms")?,
        latency,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let item = stored(of_indicators(&delta).unwrap());
        assert_eq!(to_indicators(&item).unwrap(), delta);
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
        let addition = of_indicators(&delta).unwrap().into_addition();
        assert!(addition.actions.len() > 100);
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

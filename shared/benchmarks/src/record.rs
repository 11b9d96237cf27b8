//! A file of measurements. Every sample is kept: means alone cannot be compared.

use serde::{Deserialize, Serialize};

use crate::machine::Machine;

/// Version of the file's form.
pub const SCHEMA: u32 = 1;

/// What was measured of a build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: u32,
    /// When it was made: RFC 3339.
    pub made_at: String,
    /// Version of the program.
    pub version: String,
    /// Revision of its source, where the build was told.
    pub revision: Option<String>,
    /// How it was compiled: `release` or `debug`.
    pub build: String,
    /// What it was made on.
    pub machine: Machine,
    /// What was measured, by name.
    pub cases: Vec<Case>,
}

/// Samples of one thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// Suite and setting, such as `batch/1000`.
    pub name: String,
    /// What an item is, such as `rows`.
    pub unit: String,
    /// In the order in which they were made.
    pub samples: Vec<Sample>,
}

/// One repetition.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Items done.
    pub items: u64,
    /// Of these, how many failed.
    pub failed: u64,
    /// Time on the clock, in seconds.
    pub wall_s: f64,
    /// Processor time, in seconds.
    pub cpu_s: f64,
    /// Processor time of the yardstick, mean of just before and just after, in seconds.
    pub yardstick_cpu_s: f64,
    /// The same on the clock.
    pub yardstick_wall_s: f64,
}

/// Why a file was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// It is something else.
    #[error("is no record of measurements: {0}")]
    Malformed(#[from] serde_json::Error),
    /// It is of another version of the program.
    #[error("is of form {0}; this program reads form {SCHEMA}: make it anew with --save")]
    Schema(u64),
}

impl Record {
    /// Reads a file.
    pub fn parse(text: &str) -> Result<Self, RecordError> {
        let value: serde_json::Value = serde_json::from_str(text)?;
        let schema = value["schema"].as_u64().unwrap_or(0);
        if schema != u64::from(SCHEMA) && value["cases"].is_array() {
            return Err(RecordError::Schema(schema));
        }
        Ok(serde_json::from_value(value)?)
    }

    /// The case of this name.
    pub fn case(&self, name: &str) -> Option<&Case> {
        self.cases.iter().find(|case| case.name == name)
    }
}

impl Case {
    /// Items a second: the median of all samples.
    pub fn per_second(&self) -> f64 {
        median(self.values(|sample| sample.items as f64 / sample.wall_s.max(1e-9)))
    }

    /// Seconds an item takes: the median.
    pub fn wall_s(&self) -> f64 {
        median(self.values(|sample| sample.wall_s / sample.items.max(1) as f64))
    }

    /// Processor seconds an item takes: the median.
    pub fn cpu_s(&self) -> f64 {
        median(self.values(|sample| sample.cpu_s / sample.items.max(1) as f64))
    }

    /// Share of the items that did not fail.
    pub fn success(&self) -> f64 {
        let items: u64 = self.samples.iter().map(|sample| sample.items).sum();
        let failed: u64 = self.samples.iter().map(|sample| sample.failed).sum();
        1.0 - failed as f64 / items.max(1) as f64
    }

    pub(crate) fn values(&self, of: impl Fn(&Sample) -> f64) -> Vec<f64> {
        self.samples.iter().map(of).collect()
    }
}

/// The middle one; of an even number the mean of the middle two; 0 of none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        length if length % 2 == 1 => values[middle],
        _ => values[middle - 1].midpoint(values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file as version 1 wrote it.
    const GOLDEN: &str = include_str!("../tests/record-1.json");

    #[test]
    fn a_file_of_this_form_is_read_whatever_comes_later() {
        let record = Record::parse(GOLDEN).unwrap();
        let case = record.case("batch/100").unwrap();
        assert_eq!(case.samples.len(), 3);
        assert!((case.per_second() - 100.0).abs() < 1e-9);
        assert!((case.success() - 0.99).abs() < 1e-9);
        let written = serde_json::to_value(&record).unwrap();
        let golden: serde_json::Value = serde_json::from_str(GOLDEN).unwrap();
        assert_eq!(written, golden, "the form changed: raise SCHEMA");
    }

    #[test]
    fn other_files_are_refused_with_what_to_do() {
        let newer = GOLDEN.replace("\"schema\": 1", "\"schema\": 2");
        let error = Record::parse(&newer).unwrap_err().to_string();
        assert!(error.contains("--save"), "{error}");
        assert!(Record::parse("{}").is_err());
        assert!(Record::parse("rows").is_err());
    }
}

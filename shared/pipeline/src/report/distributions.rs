//! How sizes, dimensions and other measurements are spread, in buckets with fixed edges: memory does not depend on the rows.

use domain::Outcome;
use serde::{Deserialize, Serialize};

use super::ReportRow;

/// How one measurement is spread over the rows that have it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// Name of the measurement: a column, or made of columns.
    pub name: String,
    /// What a person calls it.
    pub title: String,
    /// Its unit; empty for a ratio.
    pub unit: String,
    /// Rows that have it.
    pub rows: u64,
    /// The smallest value.
    pub min: f64,
    /// The mean.
    pub mean: f64,
    /// The largest value.
    pub max: f64,
    /// Buckets, ascending, without gaps; the empty ones at either end are left out.
    pub buckets: Vec<Bucket>,
}

/// Rows whose value is in `from .. to`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// At least; `None` below the lowest edge.
    pub from: Option<f64>,
    /// Less than; `None` above the highest edge.
    pub to: Option<f64>,
    /// Rows.
    pub rows: u64,
}

/// A measurement that is worth a picture.
struct Measure {
    name: &'static str,
    title: &'static str,
    unit: &'static str,
    edges: &'static [f64],
    of: fn(&ReportRow) -> Option<f64>,
}

const MEASURES: &[Measure] = &[
    Measure {
        name: "bytes",
        title: "File size",
        unit: "bytes",
        edges: &[
            1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6, 1e7, 2e7, 5e7,
        ],
        of: |row| row.bytes.map(|bytes| bytes as f64),
    },
    Measure {
        name: "longest_side",
        title: "Longer side",
        unit: "pixels",
        edges: &[
            50.0, 100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 800.0, 1_000.0, 1_200.0, 1_600.0,
            2_000.0, 3_000.0, 4_000.0, 6_000.0, 10_000.0,
        ],
        of: |row| sides(row).map(|(width, height)| width.max(height)),
    },
    Measure {
        name: "megapixels",
        title: "Pixels in all",
        unit: "megapixels",
        edges: &[
            0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0,
        ],
        of: |row| sides(row).map(|(width, height)| width * height / 1e6),
    },
    Measure {
        name: "aspect_ratio",
        title: "Width to height",
        unit: "",
        edges: &[
            0.25, 0.5, 0.65, 0.74, 0.76, 0.95, 1.05, 1.25, 1.32, 1.35, 1.49, 1.51, 1.77, 1.79, 2.0,
            4.0,
        ],
        of: |row| sides(row).map(|(width, height)| width / height.max(1.0)),
    },
    Measure {
        name: "brightness",
        title: "Brightness",
        unit: "0 is black, 1 is white",
        edges: &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
        of: |row| row.brightness.map(f64::from),
    },
    Measure {
        name: "sharpness",
        title: "Sharpness",
        unit: "variance of the Laplacian",
        edges: &[
            1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0, 30_000.0,
        ],
        of: |row| row.sharpness.map(f64::from),
    },
];

/// Of the time that rows took, whatever became of them.
const TIME: Measure = Measure {
    name: "elapsed_ms",
    title: "Time of a row",
    unit: "milliseconds",
    edges: &[
        10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0, 20_000.0,
        50_000.0,
    ],
    of: |row| row.elapsed_ms.map(|elapsed| elapsed as f64),
};

fn sides(row: &ReportRow) -> Option<(f64, f64)> {
    Some((f64::from(row.width?), f64::from(row.height?)))
}

/// Counts rows by their measurements.
pub(crate) struct Distributions {
    of_images: Vec<Counts>,
    of_time: Counts,
}

impl Default for Distributions {
    fn default() -> Self {
        Self {
            of_images: MEASURES.iter().map(Counts::of).collect(),
            of_time: Counts::of(&TIME),
        }
    }
}

impl Distributions {
    pub(crate) fn add(&mut self, row: &ReportRow) {
        if row.attempts > 0 {
            self.of_time.add(&TIME, row);
        }
        if row.outcome != Outcome::Ok {
            return;
        }
        for (measure, counts) in MEASURES.iter().zip(&mut self.of_images) {
            counts.add(measure, row);
        }
    }

    /// Those that have rows.
    pub(crate) fn build(&self) -> Vec<Distribution> {
        let of_images = MEASURES.iter().zip(&self.of_images);
        let all = of_images.chain([(&TIME, &self.of_time)]);
        all.filter(|(_, counts)| counts.rows > 0)
            .map(|(measure, counts)| counts.build(measure))
            .collect()
    }
}

struct Counts {
    rows: u64,
    sum: f64,
    min: f64,
    max: f64,
    /// One more than there are edges.
    buckets: Vec<u64>,
}

impl Counts {
    fn of(measure: &Measure) -> Self {
        Self {
            rows: 0,
            sum: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            buckets: vec![0; measure.edges.len() + 1],
        }
    }

    fn add(&mut self, measure: &Measure, row: &ReportRow) {
        let Some(value) = (measure.of)(row).filter(|value| value.is_finite()) else {
            return;
        };
        self.rows += 1;
        self.sum += value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        let place = measure.edges.partition_point(|edge| *edge <= value);
        if let Some(bucket) = self.buckets.get_mut(place) {
            *bucket += 1;
        }
    }

    fn build(&self, measure: &Measure) -> Distribution {
        let edge = |place: Option<usize>| place.and_then(|place| measure.edges.get(place)).copied();
        let buckets: Vec<Bucket> = self
            .buckets
            .iter()
            .enumerate()
            .map(|(place, rows)| Bucket {
                from: edge(place.checked_sub(1)),
                to: edge(Some(place)),
                rows: *rows,
            })
            .collect();
        let is_used = |bucket: &Bucket| bucket.rows > 0;
        let first = buckets.iter().position(is_used).unwrap_or(0);
        let last = buckets.iter().rposition(is_used).unwrap_or(0);
        Distribution {
            name: measure.name.to_owned(),
            title: measure.title.to_owned(),
            unit: measure.unit.to_owned(),
            rows: self.rows,
            min: self.min,
            mean: self.sum / self.rows.max(1) as f64,
            max: self.max,
            buckets: buckets.get(first..=last).unwrap_or_default().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::row;

    #[test]
    fn every_row_is_in_one_bucket_and_edges_belong_to_the_upper() {
        let mut distributions = Distributions::default();
        for bytes in [500, 999, 1_000, 1_500, 60_000_000] {
            let mut row = row(0, Outcome::Ok);
            row.bytes = Some(bytes);
            distributions.add(&row);
        }
        let built = distributions.build();
        let bytes = built.iter().find(|one| one.name == "bytes").unwrap();
        assert_eq!((bytes.rows, bytes.min, bytes.max), (5, 500.0, 6e7));
        let counts: Vec<u64> = bytes.buckets.iter().map(|bucket| bucket.rows).collect();
        assert_eq!(counts.iter().sum::<u64>(), 5);
        assert_eq!((counts[0], counts[1], counts[15]), (2, 2, 1));
        assert_eq!(
            (bytes.buckets[0].from, bytes.buckets[0].to),
            (None, Some(1e3))
        );
        assert_eq!(bytes.buckets[15].to, None);
    }

    #[test]
    fn only_images_that_loaded_have_sizes_and_every_fetched_row_has_a_time() {
        let mut distributions = Distributions::default();
        let mut failed = row(0, Outcome::NotFound);
        (failed.bytes, failed.elapsed_ms, failed.attempts) = (Some(10), Some(20), 1);
        distributions.add(&failed);
        let names: Vec<String> = distributions
            .build()
            .into_iter()
            .map(|one| one.name)
            .collect();
        assert_eq!(names, ["elapsed_ms"]);
    }

    #[test]
    fn edges_ascend() {
        for measure in MEASURES.iter().chain([&TIME]) {
            assert!(measure.edges.is_sorted(), "{}", measure.name);
        }
    }
}

//! What the batch costs on AWS, by the model of `planning` with what was measured of the batch put in. On one machine it costs nothing;
//! the figure then says what it would.

use domain::Counters;
use planning::facts::Facts;
use planning::workload::{Setup, Workload};
use serde::{Deserialize, Serialize};

/// An estimate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CostEstimate {
    /// US dollars.
    pub total_usd: f64,
    /// The same for a million rows.
    pub usd_per_million: f64,
    /// Its lines, the dearest first.
    pub lines: Vec<CostLine>,
    /// What it rests on, for a person.
    pub assumptions: String,
}

/// A line of the estimate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CostLine {
    /// The service, and for what.
    pub what: String,
    /// US dollars.
    pub usd: f64,
}

/// The estimate for a batch of which `fetched` rows were fetched from `hosts` hosts; `None` where there were none.
pub(crate) fn estimate(counters: &Counters, fetched: u64, hosts: u64) -> Option<CostEstimate> {
    if fetched == 0 {
        return None;
    }
    let facts = Facts::load(None).ok()?;
    let defaults = Workload::default();
    let workload = Workload {
        urls: fetched,
        body_bytes: counters.bytes as f64 / fetched as f64,
        latency_s: counters.elapsed_ms as f64 / 1e3 / fetched as f64,
        hosts: hosts.max(1),
        ..defaults
    };
    let setup = Setup::default();
    let plan = planning::plan(&workload, &setup, &facts);
    let vision_usd = counters.vision.micro_usd as f64 / 1e6;
    let mut lines: Vec<CostLine> = plan
        .cost
        .lines
        .iter()
        .map(|line| CostLine {
            what: format!("{}: {}", line.service, line.what),
            usd: line.usd,
        })
        .collect();
    if vision_usd > 0.0 {
        lines.push(CostLine {
            what: "Vision model: calls, as counted".to_owned(),
            usd: vision_usd,
        });
    }
    lines.sort_by(|left, right| right.usd.total_cmp(&left.usd));
    let total_usd = plan.cost.total_usd + vision_usd;
    Some(CostEstimate {
        total_usd,
        usd_per_million: total_usd / fetched as f64 * 1e6,
        lines,
        assumptions: format!(
            "The list prices of one region, without a free tier; {fetched} rows of {:.0} KB and {:.0} ms each, as measured; {:.1} ms of \
             processor time an image, assumed.",
            workload.body_bytes / 1e3,
            workload.latency_s * 1e3,
            workload.cpu_s * 1e3
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Outcome;

    #[test]
    fn an_estimate_adds_up_and_grows_with_the_rows() {
        let mut counters = Counters::default();
        counters.add_row(Outcome::Ok, &[], 1, Some(150_000), Some(300));
        let one = estimate(&counters, 1, 1).unwrap();
        let sum: f64 = one.lines.iter().map(|line| line.usd).sum();
        assert!((sum - one.total_usd).abs() < 1e-9, "{one:?}");
        counters.bytes *= 1_000_000;
        counters.elapsed_ms *= 1_000_000;
        let million = estimate(&counters, 1_000_000, 100).unwrap();
        assert!(
            million.total_usd > one.total_usd && million.total_usd < 10.0,
            "{million:?}"
        );
        assert_eq!(estimate(&Counters::default(), 0, 0), None);
    }
}

//! `imgsweep plan`

use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use planning::Plan;
use planning::advice::{Bottleneck, bottleneck, recommend};
use planning::facts::Facts;
use planning::simulate::{Simulated, simulate};
use planning::workload::Workload;
use serde::Serialize;

use super::BadArguments;
use crate::args::plan::PlanArgs;
use crate::list_run::WrittenReport;
use crate::screen;

/// Seed of the simulation: the same question gets the same answer.
const SEED: u64 = 1;

/// Everything there is to say, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(crate) struct PlanSummary {
    pub(crate) plan: Plan,
    pub(crate) bottleneck: Bottleneck,
    pub(crate) recommended: Plan,
    pub(crate) within_s: f64,
    pub(crate) simulated: Option<Simulated>,
    /// How long the simulation took, in seconds.
    pub(crate) simulation_s: Option<f64>,
    pub(crate) facts: Facts,
}

pub(super) fn plan(args: &PlanArgs) -> anyhow::Result<()> {
    let prices = match &args.prices {
        None => None,
        Some(path) => {
            let text = std::fs::read_to_string(path);
            Some(text.map_err(|error| BadArguments(format!("{}: {error}", path.display())))?)
        }
    };
    let facts = Facts::load(prices.as_deref()).map_err(|error| {
        let file = args.prices.as_deref().unwrap_or(Path::new("prices"));
        BadArguments(format!("{}: {error}", file.display()))
    })?;
    let measured = match &args.from_run {
        None => Workload::default(),
        Some(folder) => measured_in(folder)?,
    };
    let workload = args.workload(&measured, &facts.prices);
    let setup = args.setup();
    let started = Instant::now();
    let simulated = args
        .simulate
        .then(|| simulate(&workload, &setup, &facts, SEED));
    let summary = PlanSummary {
        plan: planning::plan(&workload, &setup, &facts),
        bottleneck: bottleneck(&workload, &setup, &facts),
        recommended: recommend(&workload, &setup, &facts, args.within),
        within_s: args.within,
        simulation_s: simulated.as_ref().map(|_| started.elapsed().as_secs_f64()),
        simulated,
        facts,
    };
    let text = if args.json {
        serde_json::to_string_pretty(&summary)? + "\n"
    } else {
        screen::plan::render(&summary)
    };
    screen::print_data(&text).context("the plan could not be printed")
}

/// What the report of a run says about its images.
fn measured_in(folder: &Path) -> anyhow::Result<Workload> {
    let path = folder.join("report.json");
    let text = std::fs::read(&path).map_err(|error| {
        BadArguments(format!(
            "{}: {error}; --from-run takes the folder of a run that has ended",
            path.display()
        ))
    })?;
    let WrittenReport { report, cpu_s } = serde_json::from_slice(&text).map_err(|error| {
        BadArguments(format!("{} is no report of a run: {error}", path.display()))
    })?;
    let defaults = Workload::default();
    let ok = report.ok.max(1) as f64;
    let latency = report.latency_ms.map(|latency| latency.p50 / 1_000.0);
    let cpu_s = cpu_s.map(|cpu_s| cpu_s / ok);
    Ok(Workload {
        body_bytes: report.counters.bytes as f64 / ok,
        // The fetching of a body is in the report's latency, too: on the safe side.
        latency_s: latency.unwrap_or(defaults.latency_s).max(0.001),
        cpu_s: cpu_s.unwrap_or(defaults.cpu_s),
        hosts: report.hosts.max(1),
        ..defaults
    })
}

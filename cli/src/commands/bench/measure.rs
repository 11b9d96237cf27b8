//! Cases in turn, sample after sample; then what came out, kept or compared.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use benchmarks::clock::{burn, cpu_of, process_cpu, yardstick};
use benchmarks::compare::{CaseComparison, Comparison, SAMPLES};
use benchmarks::machine::Machine;
use benchmarks::record::{Case, Record, SCHEMA, Sample};

use super::shown;
use super::suites::{self, Prepared};
use crate::args::bench::BenchArgs;
use crate::commands::BadArguments;
use crate::screen::print_data;

/// Samples that unclear cases get at once.
const MORE_SAMPLES: usize = 3;
/// A comparison ends here at the latest, however unclear.
const LONGEST_COMPARISON: Duration = Duration::from_secs(600);

/// What a comparison found; the command's exit status says so.
#[derive(Debug, thiserror::Error)]
#[error("slower than {file}: {}", regressions.join("; "))]
struct Regressed {
    file: String,
    regressions: Vec<String>,
}

/// Measures what `args` ask for.
pub(super) async fn measure(args: &BenchArgs) -> anyhow::Result<()> {
    let before = args.compare.as_deref().map(read_record).transpose()?;
    let machine = Machine::here();
    let mut prepared = suites::prepare(&args.suite, args.quick).await?;
    if let Some(before) = &before {
        // What is not in the file cannot be compared with it.
        prepared.retain(|case| before.case(&case.name).is_some());
        if prepared.is_empty() {
            bail!(BadArguments(
                "the file holds none of the cases that would be measured: save it with the same --suite and --quick".to_owned()
            ));
        }
    }
    eprintln!("Measuring {} cases …", prepared.len());
    let mut measured = Measured::new(prepared, args.slow_down);
    measured.warm_up().await?;
    // What every later comparison rests on is measured as well as what is unclear.
    let samples = if args.save.is_some() {
        *SAMPLES.end()
    } else {
        *SAMPLES.start()
    };
    for _ in 0..samples {
        measured.sample_all().await?;
    }
    if let Some(before) = &before {
        measured.sample_until_clear(before).await?;
    }
    let record = Record {
        schema: SCHEMA,
        made_at: jiff::Timestamp::now().to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        revision: option_env!("IMGSWEEP_REVISION").map(str::to_owned),
        build: if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        }
        .to_owned(),
        machine,
        cases: measured.cases,
    };
    if let Some(path) = &args.save {
        let json = serde_json::to_string_pretty(&record)? + "\n";
        fs::write(path, json)
            .with_context(|| format!("{} could not be written", path.display()))?;
    }
    let comparison = before.map(|before| Comparison::of(&before, &record));
    let text = if args.json {
        let both = serde_json::json!({ "record": record, "comparison": comparison });
        serde_json::to_string_pretty(&both)?
    } else {
        shown::render(&record, comparison.as_ref())
    };
    print_data(&format!("{}\n", text.trim_end()))?;
    match comparison {
        Some(comparison) if !comparison.regressions.is_empty() => {
            let file = args.compare.as_deref().unwrap_or(Path::new("the file"));
            bail!(Regressed {
                file: file.display().to_string(),
                regressions: comparison.regressions,
            })
        }
        _ => Ok(()),
    }
}

fn read_record(path: &Path) -> anyhow::Result<Record> {
    let refuse = |reason: String| BadArguments(format!("{}: {reason}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
    Ok(Record::parse(&text).map_err(|error| refuse(error.to_string()))?)
}

/// Cases and what was measured of them, side by side.
struct Measured {
    prepared: Vec<Prepared>,
    cases: Vec<Case>,
    slow_down: f64,
}

impl Measured {
    fn new(prepared: Vec<Prepared>, slow_down: f64) -> Self {
        let cases = prepared.iter().map(|case| Case {
            name: case.name.clone(),
            unit: case.unit.to_owned(),
            samples: Vec::new(),
        });
        Self {
            cases: cases.collect(),
            prepared,
            slow_down,
        }
    }

    /// One sample of each that is not kept: the first pays for what the others find ready.
    async fn warm_up(&mut self) -> anyhow::Result<()> {
        for at in 0..self.prepared.len() {
            self.sample(at).await?;
            self.cases[at].samples.clear();
        }
        Ok(())
    }

    /// One more of each, in turn: what disturbs the machine for a while disturbs all of them a little.
    async fn sample_all(&mut self) -> anyhow::Result<()> {
        for at in 0..self.prepared.len() {
            self.sample(at).await?;
        }
        Ok(())
    }

    async fn sample_until_clear(&mut self, before: &Record) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            let is_unclear = |case: &&Case| {
                let earlier = before.case(&case.name);
                let is_clear =
                    earlier.is_none_or(|earlier| CaseComparison::of(earlier, case).is_clear());
                !is_clear && case.samples.len() < *SAMPLES.end()
            };
            let unclear: Vec<usize> = (0..self.cases.len())
                .filter(|at| is_unclear(&&self.cases[*at]))
                .collect();
            if unclear.is_empty() || started.elapsed() > LONGEST_COMPARISON {
                return Ok(());
            }
            for _ in 0..MORE_SAMPLES {
                for at in &unclear {
                    self.sample(*at).await?;
                }
            }
        }
    }

    async fn sample(&mut self, at: usize) -> anyhow::Result<()> {
        let case = &mut self.prepared[at];
        let cpu_so_far =
            |pid: Option<u32>| process_cpu() + pid.and_then(cpu_of).unwrap_or_default();
        let running = (case.run)().with_context(|| case.name.clone())?;
        let before = yardstick(case.work);
        let (cpu, wall) = (cpu_so_far(case.pid), Instant::now());
        let done = running.await.with_context(|| case.name.clone())?;
        if self.slow_down > 1.0 {
            burn(
                cpu_so_far(case.pid)
                    .saturating_sub(cpu)
                    .mul_f64(self.slow_down - 1.0),
            );
        }
        let wall_s = wall.elapsed().as_secs_f64();
        let cpu_s = cpu_so_far(case.pid).saturating_sub(cpu).as_secs_f64();
        let after = yardstick(case.work);
        let sample = Sample {
            items: done.items,
            failed: done.failed,
            wall_s,
            cpu_s,
            yardstick_cpu_s: f64::midpoint(before.cpu_s, after.cpu_s),
            yardstick_wall_s: f64::midpoint(before.wall_s, after.wall_s),
        };
        self.cases[at].samples.push(sample);
        Ok(())
    }
}

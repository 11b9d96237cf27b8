//! What the pipeline costs on top of fetching and measuring: `imgsweep run` beside a bare loop over the same list and origin.
//!
//! Both are processes of their own, started in turn; the figures are whole-process wall times, so `imgsweep run` pays for
//! its start, the split, every commit, the report and the result table. Prints medians and the median of the ratios.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use domain::{Limits, MeasureMode};
use fetching::{FetchMode, FetchOptions, Fetcher, TargetUrl};
use futures::StreamExt;
use imaging::Measurer;
use sample_origin::{Corpus, Origin};
use tokio::sync::Semaphore;

const IMAGES: usize = 300;
const ROWS: usize = 20_000;
const ROUNDS: usize = 5;
/// What the command uses when not told otherwise.
const CONCURRENCY: usize = 128;
const PER_HOST: usize = 16;
/// What the pipeline is to reach of the bare loop's rate.
const GOAL: f64 = 0.85;

fn main() -> anyhow::Result<()> {
    match std::env::args().nth(1).as_deref() {
        None => compare(),
        Some("bare") => bare(&PathBuf::from(std::env::args().nth(2).context("a list")?)),
        Some(other) => bail!("{other} is not something this benchmark does"),
    }
}

fn compare() -> anyhow::Result<()> {
    let origin = Origin::start(Arc::new(Corpus::generate(1, IMAGES)))?;
    let folder = tempfile::tempdir()?;
    let list = folder.path().join("list.txt");
    std::fs::write(&list, urls(&origin)?)?;
    let this = std::env::current_exe()?;
    let command = this.with_file_name("imgsweep");
    ensure!(
        command.exists(),
        "{} is missing: build it with the same profile",
        command.display()
    );

    let (mut bare_rates, mut run_rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let bare = rate(Command::new(&this).arg("bare").arg(&list))?;
        let out = folder.path().join(format!("out-{round}"));
        let run = rate(
            Command::new(&command)
                .arg("run")
                .arg(&list)
                .arg("-o")
                .arg(&out)
                .args(["--allow-private", "127.0.0.0/8"]),
        )?;
        // The first round warms the caches up.
        if round > 0 {
            bare_rates.push(bare);
            run_rates.push(run);
            ratios.push(run / bare);
        }
    }
    println!(
        "rows {ROWS}, images {IMAGES}, concurrency {CONCURRENCY}, {ROUNDS} interleaved rounds"
    );
    println!(
        "bare fetch-and-measure loop  {:>8.0} rows/s",
        median(&mut bare_rates)
    );
    println!(
        "imgsweep run                 {:>8.0} rows/s",
        median(&mut run_rates)
    );
    let ratio = median(&mut ratios);
    println!("ratio                        {ratio:>8.2}");
    ensure!(ratio >= GOAL, "the ratio is below {GOAL}");
    Ok(())
}

fn urls(origin: &Origin) -> anyhow::Result<String> {
    let corpus = Corpus::generate(1, IMAGES);
    let mut list = String::new();
    for row in 0..ROWS {
        let name = &corpus.images[row % IMAGES].name;
        writeln!(list, "{}", origin.url(&format!("/image/{name}?row={row}")))?;
    }
    Ok(list)
}

fn rate(command: &mut Command) -> anyhow::Result<f64> {
    let started = Instant::now();
    let status = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(ROWS as f64 / started.elapsed().as_secs_f64())
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Fetches and measures every URL of a list and keeps nothing.
fn bare(list: &Path) -> anyhow::Result<()> {
    let limits = Limits::default();
    let options = FetchOptions {
        max_concurrent: CONCURRENCY,
        max_concurrent_per_host: PER_HOST,
        allow_private: vec!["127.0.0.0/8".parse()?],
        ..FetchOptions::default()
    };
    let text = std::fs::read_to_string(list)?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let fetcher = Fetcher::new(&limits, options)?;
        let measurer = Arc::new(Measurer::new(&limits));
        let decoders = Arc::new(Semaphore::new(std::thread::available_parallelism()?.get()));
        let failed = futures::stream::iter(text.lines())
            .map(|line| measure_one(line, &limits, &fetcher, &measurer, &decoders))
            .buffer_unordered(CONCURRENCY)
            .filter(|measured| futures::future::ready(measured.is_err()))
            .count()
            .await;
        ensure!(failed == 0, "{failed} rows failed");
        Ok(())
    })
}

async fn measure_one(
    line: &str,
    limits: &Limits,
    fetcher: &Fetcher,
    measurer: &Arc<Measurer>,
    decoders: &Arc<Semaphore>,
) -> anyhow::Result<()> {
    let url = TargetUrl::parse(line, limits)?;
    let body = fetcher.fetch(&url, None, FetchMode::Whole).await.result?;
    let permit = Arc::clone(decoders).acquire_owned().await?;
    let measurer = Arc::clone(measurer);
    let measured = tokio::task::spawn_blocking(move || {
        let measured = measurer.measure(&body, MeasureMode::Fast);
        drop(permit);
        measured
    });
    measured.await??;
    Ok(())
}

//! How fast a plain CSV is split and queued on the embedded engine, and in how much memory: rows a second and peak resident
//! size for lists of growing length, each in a process of its own.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::io;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use adapters_embedded::DataFolder;
use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use domain::ports::{SystemClock, UlidIds};
use domain::{BatchOptions, Limits, SplitMessage};
use futures::StreamExt;
use pipeline::Ports;
use pipeline::accept::{self, NewBatch};
use pipeline::earlier::KeptComparison;
use pipeline::split::{SplitEnd, SplitSettings, split};

const LENGTHS: &[u64] = &[100_000, 1_000_000, 4_000_000];
/// Memory that lists of up to a million rows may take.
const MOST_MEGABYTES: f64 = 150.0;
const BOUNDED_UP_TO: u64 = 1_000_000;
/// As production splits.
const CHUNK_SIZE: u32 = 2_000;
/// Rows handed in at once.
const PIECE_ROWS: u64 = 4_096;

fn main() -> anyhow::Result<()> {
    if let Some(rows) = std::env::args().nth(1) {
        return tokio::runtime::Runtime::new()?.block_on(measure(rows.parse()?));
    }
    println!("{:>12} {:>12} {:>10}", "rows", "rows/s", "peak MB");
    for rows in LENGTHS {
        let status = Command::new(std::env::current_exe()?)
            .arg(rows.to_string())
            .status()?;
        ensure!(status.success(), "{rows} rows: {status}");
    }
    Ok(())
}

async fn measure(rows: u64) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let data = DataFolder::open(folder.path())?;
    let ports = Ports {
        store: data.store(),
        queue: data.queue(),
        objects: data.objects(),
        clock: Arc::new(SystemClock),
        ids: Arc::new(UlidIds),
        scratch: folder.path().to_owned(),
    };
    let stored = accept::store_list(&ports, list(rows)).await?;
    let request = NewBatch {
        name: "split".to_owned(),
        owner: "bench".to_owned(),
        list_name: "list.csv".to_owned(),
        options: BatchOptions::default(),
    };
    let batch = accept::create_batch(&ports, stored, request).await?;
    accept::start(&ports, batch.id).await?;
    let settings = SplitSettings {
        limits: Limits::default(),
        chunk_size: CHUNK_SIZE,
        scratch: folder.path().to_owned(),
        soft_deadline: None,
        kept: KeptComparison::default(),
    };
    let message = SplitMessage {
        batch: batch.id,
        continuation: 0,
    };
    let started = Instant::now();
    let SplitEnd::Done(totals) = split(&ports, &settings, &message).await? else {
        bail!("the split did not end");
    };
    ensure!(
        totals.rows == rows,
        "{} of {rows} rows were split",
        totals.rows
    );
    let rate = rows as f64 / started.elapsed().as_secs_f64();
    let peak = peak_megabytes()?;
    println!("{rows:>12} {rate:>12.0} {peak:>10.0}");
    if rows <= BOUNDED_UP_TO {
        ensure!(
            peak <= MOST_MEGABYTES,
            "{rows} rows took {peak:.0} MB, more than {MOST_MEGABYTES} MB"
        );
    }
    Ok(())
}

/// `sku,url,title` with distinct URLs, made as it is read.
fn list(rows: u64) -> impl futures::Stream<Item = io::Result<Bytes>> {
    let pieces = futures::stream::iter((0..rows.div_ceil(PIECE_ROWS)).map(move |piece| {
        let first = piece * PIECE_ROWS;
        let lines = (first..rows.min(first + PIECE_ROWS)).map(|row| {
            format!("S-{row},https://images.example.com/catalogue/{row}/front.jpg,Title {row}\n")
        });
        Ok(Bytes::from(lines.collect::<String>()))
    }));
    futures::stream::iter([Ok(Bytes::from_static(b"sku,url,title\n"))]).chain(pieces)
}

/// Peak resident size of this process so far (Linux, `proc_pid_status(5)`).
fn peak_megabytes() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .context("VmHWM")?;
    let kilobytes: f64 = line
        .split_whitespace()
        .nth(1)
        .context("a figure")?
        .parse()?;
    Ok(kilobytes / 1_024.0)
}

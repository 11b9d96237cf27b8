//! What the answers cost at the end of a batch: the report with exact and near duplicates, and every table, over so many synthetic
//! result rows. Seconds, rate and peak resident size of each step; every step in a process of its own.
//!
//! `answers ROWS [FOLDER]` — with a folder, the batch and its tables are left there.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use adapters_embedded::DataFolder;
use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use domain::ports::{BatchChange, BatchQuery, SystemClock, UlidIds};
use domain::{
    Batch, BatchOptions, BatchStatus, ChunkRow, Exif, Hash64, ImageFormat, Issue, KpiDelta, Minute,
    Outcome, PartRef, ResultRow, Rgb, ShardRef, SplitCheckpoint, SplitTotals, keys,
};
use exports::FilesRequest;
use fastrand::Rng;
use jiff::Timestamp;
use object_store::path::Path as Key;
use object_store::{ObjectStoreExt, PutPayload};
use pipeline::Ports;
use pipeline::accept::{self, NewBatch};
use pipeline::export::ExportFormat;
use serde_json::json;

/// As production splits.
const CHUNK_SIZE: u64 = 2_000;
/// When the rows were fetched.
const STARTED_S: i64 = 1_780_000_000;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["write", rows, folder] => runtime.block_on(write(rows.parse()?, Path::new(folder))),
        ["report", folder] => runtime.block_on(report(Path::new(folder))),
        ["export", format, folder] => runtime.block_on(export(format, Path::new(folder))),
        [rows] => {
            let folder = tempfile::tempdir()?;
            steps(rows, folder.path())
        }
        [rows, folder] => steps(rows, Path::new(folder)),
        _ => bail!("usage: answers ROWS [FOLDER]"),
    }
}

/// What is promised of a million rows on two processors; of more, in proportion.
const MAX_REPORT_SECONDS: f64 = 60.0;
/// Whatever the number of rows up to a million.
const MAX_REPORT_MB: f64 = 1_024.0;
const MAX_EXPORT_MB: f64 = 300.0;
/// What the paper estimate is for.
const ESTIMATED_ROWS: f64 = 15_000_000.0;

fn steps(rows: &str, folder: &Path) -> anyhow::Result<()> {
    let all: u64 = rows.parse()?;
    let half = tempfile::tempdir()?;
    println!("{:>16} {:>9} {:>11} {:>8}", "", "s", "rows/s", "peak MB");
    let half_rows = (all / 2).max(1);
    step(&["write", &half_rows.to_string()], half.path())?;
    let smaller = step(&["report"], half.path())?.context("no figures")?;
    drop(half);
    step(&["write", rows], folder)?;
    let report = step(&["report"], folder)?.context("no figures")?;
    let limit = MAX_REPORT_SECONDS * (all as f64 / 1e6).max(1.0);
    ensure!(
        report.seconds < limit,
        "the report took {:.1} s, more than {limit:.0}",
        report.seconds
    );
    ensure!(
        all > 1_000_000 || report.peak_mb < MAX_REPORT_MB,
        "the report took {:.0} MB, more than {MAX_REPORT_MB:.0}",
        report.peak_mb
    );
    for format in ExportFormat::ALL {
        let export = step(&["export", format.as_str()], folder)?.context("no figures")?;
        ensure!(
            export.peak_mb < MAX_EXPORT_MB,
            "{} took {:.0} MB, more than {MAX_EXPORT_MB:.0}",
            format.as_str(),
            export.peak_mb
        );
    }
    let more = (all - half_rows) as f64;
    let estimate = |small: f64, large: f64| {
        let slope = (large - small) / more;
        (slope * 1e6, large + slope * (ESTIMATED_ROWS - all as f64))
    };
    let (s_per_million, seconds) = estimate(smaller.seconds, report.seconds);
    let (mb_per_million, megabytes) = estimate(smaller.peak_mb, report.peak_mb);
    println!(
        "\nOn paper, the report of {ESTIMATED_ROWS:.0} rows: {:.0} min and {megabytes:.0} MB; each million more takes {s_per_million:.1} s \
         and {mb_per_million:.0} MB, measured from {half_rows} rows to {all}.",
        seconds / 60.0
    );
    Ok(())
}

/// What a step took.
struct Figures {
    seconds: f64,
    peak_mb: f64,
}

/// Runs a step in a process of its own, shows what it says, and returns its figures if it has any.
fn step(arguments: &[&str], folder: &Path) -> anyhow::Result<Option<Figures>> {
    let ended = Command::new(std::env::current_exe()?)
        .args(arguments)
        .arg(folder)
        .output()?;
    let said = String::from_utf8_lossy(&ended.stdout);
    print!("{said}");
    let error = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success(), "{arguments:?}: {error}");
    let figures = said.lines().next().map(str::split_whitespace);
    let figures: Vec<&str> = figures.map_or_else(Vec::new, Iterator::collect);
    let &[_, seconds, _, peak_mb] = &figures[..] else {
        return Ok(None);
    };
    Ok(Some(Figures {
        seconds: seconds.parse()?,
        peak_mb: peak_mb.parse()?,
    }))
}

fn line(name: &str, rows: u64, started: Instant) -> anyhow::Result<()> {
    let seconds = started.elapsed().as_secs_f64();
    let rate = rows as f64 / seconds;
    let peak = peak_megabytes()?;
    println!("{name:>16} {seconds:>9.1} {rate:>11.0} {peak:>8.0}");
    Ok(())
}

fn ports(data: &DataFolder) -> Ports {
    Ports {
        store: data.store(),
        queue: data.queue(),
        objects: data.objects(),
        clock: Arc::new(SystemClock),
        ids: Arc::new(UlidIds),
        scratch: data.path().to_owned(),
    }
}

fn data_folder(folder: &Path) -> PathBuf {
    folder.join(".imgsweep")
}

async fn only_batch(ports: &Ports) -> anyhow::Result<Batch> {
    let query = BatchQuery {
        limit: 1,
        ..BatchQuery::default()
    };
    let page = ports.store.list_batches(&query).await?;
    page.items.into_iter().next().context("there is no batch")
}

/// A batch whose every row has its result, as the analyser leaves it.
async fn write(rows: u64, folder: &Path) -> anyhow::Result<()> {
    let data = DataFolder::open(data_folder(folder))?;
    let ports = ports(&data);
    let list = futures::stream::iter([Ok(Bytes::from_static(b"url\n"))]);
    let stored = accept::store_list(&ports, list).await?;
    let request = NewBatch {
        name: "synthetic".to_owned(),
        owner: "bench".to_owned(),
        list_name: "synthetic.csv".to_owned(),
        options: BatchOptions::default(),
    };
    let batch = accept::create_batch(&ports, stored, request).await?;
    let chunks = rows.div_ceil(CHUNK_SIZE);
    let mut made = Rows::new();
    for chunk in 0..chunks {
        let part = PartRef {
            batch: batch.id,
            chunk: chunk as u32,
            part: 0,
        };
        let first = chunk * CHUNK_SIZE;
        let last = rows.min(first + CHUNK_SIZE);
        let results: Vec<ResultRow> = (first..last).map(|row| made.next(part, row)).collect();
        let body = encode(part, &results)?;
        let key = Key::from(keys::result(part));
        ports.objects.put(&key, PutPayload::from(body)).await?;
        if chunk % 100 == 0 {
            let shard: ShardRef = part.shard();
            ports.store.create_shard(shard, 0).await?;
        }
    }
    let started = Timestamp::from_second(STARTED_S)?;
    let ended = Timestamp::from_second(STARTED_S + (rows / 1_000) as i64 + 1)?;
    let change = BatchChange {
        started_at: Some(started),
        ended_at: Some(ended),
        checkpoint: Some(SplitCheckpoint {
            chunks: chunks as u32,
            rows,
            chunk_size: CHUNK_SIZE as u32,
            is_handed_over: false,
        }),
        totals: Some(SplitTotals {
            rows,
            chunks: chunks as u32,
            shards: chunks.div_ceil(100) as u32,
        }),
        finalize_sent: Some(true),
        ..BatchChange::to(BatchStatus::Completed)
    };
    let from = BatchStatus::ALL;
    ports.store.advance(batch.id, from, &change, ended).await?;
    Ok(())
}

fn encode(part: PartRef, rows: &[ResultRow]) -> anyhow::Result<Vec<u8>> {
    let manifest = json!({
        "part": part,
        "leftover": [],
        "deferrals": 0,
        "delay_s": 0,
        "minute": Minute(STARTED_S / 60),
        "delta": KpiDelta::of_part(rows, 1_000),
    });
    let mut text = manifest.to_string();
    text.push('\n');
    for row in rows {
        writeln!(text, "{}", serde_json::to_string(row)?)?;
    }
    Ok(zstd::encode_all(text.as_bytes(), 1)?)
}

async fn report(folder: &Path) -> anyhow::Result<()> {
    let data = DataFolder::open(data_folder(folder))?;
    let ports = ports(&data);
    let batch = only_batch(&ports).await?;
    let started = Instant::now();
    let report = pipeline::finalize::finalize(&ports, batch.id).await?;
    let report = report.context("the batch has rows without a result")?;
    line("report", report.counters.rows, started)?;
    let found = &report.duplicates;
    println!(
        "{:>16} {} exact and {} near duplicates in {} groups",
        "", found.exact_rows, found.near_rows, found.groups
    );
    Ok(())
}

async fn export(format: &str, folder: &Path) -> anyhow::Result<()> {
    let data = DataFolder::open(data_folder(folder))?;
    let ports = ports(&data);
    let batch = only_batch(&ports).await?;
    let mut formats = ExportFormat::ALL.iter().copied();
    let format = formats.find(|one| one.as_str() == format);
    let format = format.context("no such format")?;
    let request = FilesRequest {
        formats: vec![format],
        ..FilesRequest::default()
    };
    let started = Instant::now();
    let manifest = exports::write_files(&ports, &batch, &request, folder).await?;
    let file = manifest.files().next().context("nothing was written")?;
    line(format.as_str(), file.rows, started)?;
    println!("{:>16} {:.0} MB", "", file.bytes as f64 / 1e6);
    Ok(())
}

/// Rows as a catalogue has them: most load, one in ten is an exact copy, one in ten looks like another; cells that spreadsheets, quoting
/// and UTF-8 trip over.
struct Rows {
    rng: Rng,
    /// Contents to repeat: a bounded number of the earlier ones.
    earlier: Vec<(String, u64, u64)>,
}

/// Contents that later rows repeat.
const KEPT: usize = 100_000;

impl Rows {
    fn new() -> Self {
        Self {
            rng: Rng::with_seed(7),
            earlier: Vec::new(),
        }
    }

    fn next(&mut self, part: PartRef, number: u64) -> ResultRow {
        let host = self.rng.u32(..500);
        let notes = [
            "=1+1",
            "-5",
            "\"quoted\", with comma",
            "zwei\nZeilen",
            "日本語",
            "",
        ];
        let note = notes[self.rng.usize(..notes.len())];
        let chunk_row = ChunkRow {
            row: number,
            url: format!("https://shop-{host}.example.com/catalogue/{number}/front.jpg"),
            extra: json!({"sku": format!("S-{number}"), "note": note, "price": number % 997})
                .as_object()
                .cloned()
                .unwrap_or_default(),
            verdict: None,
            earlier: None,
        };
        let outcome = match self.rng.u32(..100) {
            0..=90 => Outcome::Ok,
            91..=95 => Outcome::NotFound,
            96..=97 => Outcome::Timeout,
            98 => Outcome::NotAnImage,
            _ => Outcome::DnsError,
        };
        let mut row = ResultRow::new(part.batch, &chunk_row, outcome);
        row.attempts = 1;
        row.elapsed_ms = Some(u64::from(self.rng.u32(20..3_000)));
        row.fetched_at = Timestamp::from_millisecond(STARTED_S * 1_000 + number as i64).ok();
        if outcome == Outcome::Ok {
            self.measure(&mut row);
        } else if outcome == Outcome::NotFound {
            row.http_status = Some(404);
        } else {
            row.detail = Some("no answer, \"as so often\"".to_owned());
        }
        row
    }

    fn measure(&mut self, row: &mut ResultRow) {
        let rng = &mut self.rng;
        let fresh = (
            format!(
                "{:064x}",
                u128::from(rng.u64(..)) << 64 | u128::from(rng.u64(..))
            ),
            rng.u64(..),
            u64::from(rng.u32(2_000..900_000)),
        );
        let kind = rng.u32(..10);
        let (sha256, phash, bytes) = if kind < 2 && !self.earlier.is_empty() {
            let (sha256, phash, bytes) = self.earlier[rng.usize(..self.earlier.len())].clone();
            if kind == 0 {
                (sha256, phash, bytes)
            } else {
                // Up to six bits apart.
                let changed =
                    (0..rng.u32(1..=6)).fold(phash, |hash, _| hash ^ (1 << rng.u32(..64)));
                (fresh.0, changed, bytes / 2)
            }
        } else {
            if self.earlier.len() < KEPT {
                self.earlier.push(fresh.clone());
            }
            fresh
        };
        row.http_status = Some(200);
        row.bytes = Some(bytes);
        row.sha256 = Some(sha256);
        row.phash = Some(Hash64(phash));
        row.dhash = Some(Hash64(rng.u64(..)));
        row.declared_type = Some("image/jpeg".to_owned());
        row.format = Some([ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Webp][rng.usize(..3)]);
        row.width = Some(rng.u32(100..4_000));
        row.height = Some(rng.u32(100..4_000));
        row.frames = Some(1);
        row.has_alpha = Some(rng.bool());
        row.orientation = Some(1);
        row.color_space = Some("ycbcr".to_owned());
        row.exif = rng.bool().then(|| Exif {
            make: Some("Canon".to_owned()),
            model: None,
            taken_at: Some("2024-05-06T07:08:09".to_owned()),
            has_gps: false,
        });
        row.thumbhash = Some("1QcSHQRnh493V4dIh4eXh1h4kJUI".to_owned());
        row.mean_rgb = Some(Rgb([rng.u8(..), rng.u8(..), rng.u8(..)]));
        row.palette = Some(
            (0..5)
                .map(|_| Rgb([rng.u8(..), rng.u8(..), rng.u8(..)]))
                .collect(),
        );
        row.brightness = Some(rng.f32());
        row.contrast = Some(0.05 + rng.f32() * 0.4);
        row.saturation = Some(rng.f32());
        row.sharpness = Some(rng.f32() * 3_000.0);
        row.entropy = Some(4.0 + rng.f32() * 4.0);
        if rng.u32(..10) == 0 {
            row.issues.push(Issue::Blurry);
        }
    }
}

/// Peak resident size of this process so far (Linux, `proc_pid_status(5)`).
fn peak_megabytes() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    let kilobytes: f64 = line
        .and_then(|line| line.split_whitespace().nth(1))
        .context("VmHWM")?
        .parse()?;
    Ok(kilobytes / 1024.0)
}

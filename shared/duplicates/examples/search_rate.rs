//! How fast duplicates are found, and in how much memory: rows of the kinds a list holds, and kinds that hurt. The largest
//! resident size is that of the process, so one kind and one number of rows is measured at a time.
//!
//! `cargo run --release -p duplicates --example search_rate -- KIND ROWS [DISTANCE [turned]]`
//!
//! | kind | rows |
//! |---|---|
//! | `web` | one in ten the bytes of another, one in ten a near copy, the rest unrelated |
//! | `unrelated` | no two alike: every row becomes a representative |
//! | `equal` | one perceptual hash, all bytes different |
//! | `ball` | perceptual hashes within 3 bits of one hash, so within 6 of each other |
//! | `same` | the same bytes |
//! | `dense` | 40 of the 64 bits fixed: many rows share a bucket |
//! | `check` | `web`, and every pair of hashes compared: the groups must be the same |

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::time::Instant;

use domain::Hash64;
use duplicates::{Duplicate, Finder, Image, Orientation, Settings, Summary};
use fastrand::Rng;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let kind = arguments.first().map_or("web", String::as_str);
    let rows: u64 = arguments.get(1).map_or(Ok(100_000), |rows| rows.parse())?;
    let mut settings = Settings::default();
    if let Some(distance) = arguments.get(2) {
        settings.max_distance = distance.parse()?;
    }
    if arguments.get(3).is_some_and(|word| word == "turned") {
        settings.orientation = Orientation::Turned;
    }
    let scratch = tempfile::tempdir()?;
    let mut made = Rows::new(kind);
    let mut kept = Vec::new();
    let started = Instant::now();
    let mut finder = Finder::new(settings.clone(), scratch.path())?;
    for row in 0..rows {
        let image = made.next(row);
        finder.add(&image)?;
        if kind == "check" {
            kept.push(image);
        }
    }
    let added = started.elapsed();
    let findings = finder.finish()?;
    let summary = findings.summary().clone();
    let mut found = BTreeMap::new();
    let mut annotated = 0_u64;
    for finding in findings {
        let finding = finding?;
        annotated += 1;
        if kind == "check" {
            found.insert(finding.row, finding.duplicate);
        }
    }
    let elapsed = started.elapsed();
    let mut output = io::stdout().lock();
    report(&mut output, &summary, annotated)?;
    writeln!(
        output,
        "{kind}, {rows} rows, d = {}: {:.2} s, {:.2} s of them to add; {:.0} rows/s; {} processor seconds; {} MB at most",
        settings.max_distance,
        elapsed.as_secs_f64(),
        added.as_secs_f64(),
        rows as f64 / elapsed.as_secs_f64(),
        processor_seconds(),
        peak_megabytes(),
    )?;
    if kind == "check" {
        check(&mut output, &kept, &found, settings.max_distance)?;
    }
    Ok(())
}

fn report(output: &mut impl Write, summary: &Summary, annotated: u64) -> io::Result<()> {
    writeln!(
        output,
        "{} groups, {} exact, {} near, {} placeholders, {annotated} rows with a finding",
        summary.groups, summary.exact.rows, summary.near.rows, summary.placeholders
    )
}

/// Makes rows of one kind.
struct Rows {
    kind: String,
    rng: Rng,
    /// Some of the rows made, to be repeated.
    earlier: Vec<Image>,
}

impl Rows {
    fn new(kind: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            rng: Rng::with_seed(1),
            earlier: Vec::new(),
        }
    }

    fn next(&mut self, row: u64) -> Image {
        let rng = &mut self.rng;
        let mut image = Image {
            row,
            sha256: std::array::from_fn(|_| rng.u8(..)),
            phash: Some(Hash64(rng.u64(..))),
            entropy: Some(7.0),
            contrast: Some(0.2),
            host: rng.u64(0..5_000),
            pixels: 1_000_000,
            bytes: 150_000,
        };
        match self.kind.as_str() {
            "equal" => image.phash = Some(Hash64(0x9cb4_1eac_1000_fff7)),
            "ball" => {
                let turned = (0..rng.u32(0..4)).fold(0, |bits, _| bits ^ 1 << rng.u32(0..64));
                image.phash = Some(Hash64(0x9cb4_1eac_1000_fff7 ^ turned));
            }
            "same" => image.sha256 = [1; 32],
            "dense" => {
                image.phash = Some(Hash64(rng.u64(..) & 0x5555_0000_5555_aaaa));
            }
            "unrelated" => {}
            _ => self.repeat_some(&mut image),
        }
        image
    }

    fn repeat_some(&mut self, image: &mut Image) {
        let rng = &mut self.rng;
        if rng.u8(0..2) == 0 && self.earlier.len() < 100_000 {
            self.earlier.push(*image);
        }
        if self.earlier.is_empty() {
            return;
        }
        let earlier = self.earlier[rng.usize(0..self.earlier.len())];
        match rng.u8(0..10) {
            0 => image.sha256 = earlier.sha256,
            1 => {
                let turned = (0..rng.u32(0..9)).fold(0, |bits, _| bits ^ 1 << rng.u32(0..64));
                image.phash = earlier.phash.map(|hash| Hash64(hash.0 ^ turned));
                return;
            }
            _ => return,
        }
        image.phash = earlier.phash;
    }
}

/// Groups by the rule, with every first of a content compared with every representative; precision and recall of the near
/// duplicates found, as pairs of row and representative.
fn check(
    output: &mut impl Write,
    images: &[Image],
    found: &BTreeMap<u64, Option<Duplicate>>,
    max_distance: u32,
) -> io::Result<()> {
    let mut first_of: HashMap<[u8; 32], u64> = HashMap::new();
    let mut representatives: Vec<(u64, u64)> = Vec::new();
    let mut expected: BTreeMap<u64, (bool, u64)> = BTreeMap::new();
    for image in images {
        if let Some(first) = first_of.get(&image.sha256) {
            expected.insert(image.row, (true, *first));
            continue;
        }
        first_of.insert(image.sha256, image.row);
        let Some(Hash64(phash)) = image.phash else {
            continue;
        };
        let near = representatives
            .iter()
            .map(|(hash, row)| ((hash ^ phash).count_ones(), *row))
            .filter(|(distance, _)| *distance <= max_distance);
        match near.min() {
            Some((_, row)) => {
                expected.insert(image.row, (false, row));
            }
            None => representatives.push((phash, image.row)),
        }
    }
    let found: BTreeMap<u64, (bool, u64)> = found
        .iter()
        .filter_map(|(row, duplicate)| match (*duplicate)? {
            Duplicate::Exact(of) => Some((*row, (true, of.row))),
            Duplicate::Near(of) => Some((*row, (false, of.row))),
        })
        .collect();
    let right = found
        .iter()
        .filter(|(row, of)| expected.get(*row) == Some(*of))
        .count();
    writeln!(
        output,
        "against comparing all: {} expected, {} found, recall {:.6}, precision {:.6}",
        expected.len(),
        found.len(),
        right as f64 / expected.len().max(1) as f64,
        right as f64 / found.len().max(1) as f64
    )
}

/// User and system time of this process, from `/proc` (proc(5)); 0 where there is none.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<f64> = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse().ok())
        .collect();
    // Clock ticks are hundredths of a second on Linux.
    fields.iter().sum::<f64>() / 100.0
}

/// The largest resident size of this process, from `/proc` (proc(5)); 0 where there is none.
fn peak_megabytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) / 1024
}

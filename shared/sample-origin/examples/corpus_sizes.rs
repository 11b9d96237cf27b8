//! Prints how many files, bytes and milliseconds each format takes: `cargo run --profile demo -p sample-origin --example corpus_sizes -- 200 bench [folder]`.
//!
//! With a folder, the files are also written there to be looked at.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Instant;

use sample_origin::{Corpus, Profile};

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let count = arguments
        .next()
        .and_then(|count| count.parse().ok())
        .unwrap_or(200);
    let profile = if arguments.next().as_deref() == Some("demo") {
        Profile::Demo
    } else {
        Profile::Bench
    };

    let started = Instant::now();
    let corpus = Corpus::generate_profile(profile, 1, count);
    let elapsed = started.elapsed();

    let mut by_format: BTreeMap<&str, (usize, usize, u64)> = BTreeMap::new();
    for sample in &corpus.images {
        let (files, bytes, pixels) = by_format.entry(sample.format).or_default();
        *files += 1;
        *bytes += sample.bytes.len();
        *pixels += u64::from(sample.width) * u64::from(sample.height);
    }
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{profile:?}: {count} files in {} ms",
        elapsed.as_millis()
    )?;
    writeln!(
        out,
        "{:6} {:>6} {:>10} {:>12} {:>10}",
        "format", "files", "mean kB", "mean pixels", "bits/pixel"
    )?;
    for (format, (files, bytes, pixels)) in by_format {
        let bits_per_pixel = bytes as f64 * 8.0 / pixels as f64;
        writeln!(
            out,
            "{format:6} {files:6} {:10.1} {:12} {bits_per_pixel:10.2}",
            bytes as f64 / 1000.0 / files as f64,
            pixels / files as u64
        )?;
    }
    if let Some(folder) = arguments.next() {
        std::fs::create_dir_all(&folder)?;
        for sample in &corpus.images {
            std::fs::write(format!("{folder}/{}", sample.name), &sample.bytes)?;
        }
    }
    Ok(())
}

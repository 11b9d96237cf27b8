//! Times skimming against full decoding, on the files given as arguments or on synthetic photographs of 1200×900 pixels.
//!
//! `cargo run --release -p jpeg-skim --example skim_speed [FILE…]`

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement prints its result and stops at any fault"
)]

#[path = "../tests/photograph/mod.rs"]
mod photograph;

use std::hint::black_box;
use std::time::{Duration, Instant};

use jpeg_encoder::SamplingFactor;
use jpeg_skim::{Options, skim};

const ROUNDS: u32 = 5;
const ROUND: Duration = Duration::from_millis(150);

fn main() {
    let mut files: Vec<(String, Vec<u8>)> = std::env::args()
        .skip(1)
        .map(|path| {
            let bytes = std::fs::read(&path).unwrap();
            (
                path.rsplit('/').next().unwrap_or_default().to_owned(),
                bytes,
            )
        })
        .collect();
    if files.is_empty() {
        files = synthetic();
    }
    println!(
        "{:28} {:>7} {:>9} {:>9} {:>9} {:>9} {:>7}",
        "", "KB", "skim ms", "DC ms", "full ms", "skim MB/s", "ratio"
    );
    for (name, bytes) in &files {
        let without_detail = Options {
            measure_detail: false,
            ..Options::default()
        };
        let with_detail = Options::default();
        let [skimmed, dc_only, decoded] = fastest([
            &mut || drop(black_box(skim(bytes, &with_detail).unwrap().to_rgb8())),
            &mut || drop(black_box(skim(bytes, &without_detail).unwrap().to_rgb8())),
            &mut || drop(black_box(image::load_from_memory(bytes).unwrap())),
        ]);
        println!(
            "{name:28} {:7.0} {skimmed:9.3} {dc_only:9.3} {decoded:9.2} {:9.0} {:6.1}×",
            bytes.len() as f64 / 1e3,
            bytes.len() as f64 / 1e3 / skimmed,
            decoded / skimmed
        );
    }
}

/// Milliseconds per call, the best of interleaved rounds.
fn fastest<const N: usize>(mut calls: [&mut dyn FnMut(); N]) -> [f64; N] {
    let mut best = [f64::INFINITY; N];
    for _ in 0..ROUNDS {
        for (call, best) in calls.iter_mut().zip(&mut best) {
            let (start, mut count) = (Instant::now(), 0);
            while start.elapsed() < ROUND {
                call();
                count += 1;
            }
            *best = best.min(start.elapsed().as_secs_f64() * 1e3 / f64::from(count));
        }
    }
    best
}

fn synthetic() -> Vec<(String, Vec<u8>)> {
    let picture = photograph::photograph(1200, 900, 7);
    let mut files = Vec::new();
    let mut add = |name: &str, quality, sampling, optimized, progressive| {
        let bytes = photograph::encode(&picture, quality, |encoder| {
            encoder.set_sampling_factor(sampling);
            encoder.set_optimized_huffman_tables(optimized);
            encoder.set_progressive(progressive);
        });
        files.push((format!("{name} q{quality}"), bytes));
    };
    for quality in [60, 75, 85, 95] {
        add(
            "baseline 4:2:0",
            quality,
            SamplingFactor::F_2_2,
            false,
            false,
        );
    }
    add("baseline 4:4:4", 80, SamplingFactor::F_1_1, false, false);
    add(
        "a scan per component 4:2:0",
        80,
        SamplingFactor::F_2_2,
        true,
        false,
    );
    add("progressive 4:2:0", 80, SamplingFactor::F_2_2, false, true);
    files
}

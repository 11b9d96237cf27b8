//! Whether `imgsweep bench --compare` tells a build that is a fifth slower from one that is not, on a machine that does other things as well.
//!
//! One measurement is kept; then, in turn, an unchanged program and one that wastes a fifth (`--slow-down 1.2`) are compared with it, each so
//! many times, beside a neighbour that takes processors and caches away in bursts. Ends with 1 unless of both at least 19 in 20 are judged right.
//!
//! `bench-gate PROGRAM [RUNS] [SUITES]`

#![expect(clippy::print_stdout, reason = "a gate prints what it saw")]

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// What is measured unless something else is asked for: everything but what is served.
const SUITES: &str = "single,batch,cache,store";
const RUNS: u32 = 20;
/// Right judgements of [`RUNS`] at least, as a share.
const RIGHT: f64 = 0.95;
/// Bytes that the neighbour walks over: more than caches hold.
const WALKED_BYTES: usize = 32 << 20;
/// The neighbour works and rests for up to this long.
const LONGEST_BURST_MS: u64 = 1_500;

fn main() -> ExitCode {
    match gate() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench-gate: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn gate() -> anyhow::Result<bool> {
    let mut arguments = std::env::args().skip(1);
    let program = arguments.next().context("which program?")?;
    let runs: u32 = arguments.next().map_or(Ok(RUNS), |runs| runs.parse())?;
    let suites = arguments.next().unwrap_or_else(|| SUITES.to_owned());
    let folder = tempfile::tempdir()?;
    let saved = folder.path().join("before.json");
    let stop = Arc::new(AtomicBool::new(false));
    let neighbours = thread::available_parallelism().map_or(1, usize::from);
    // What is compared with is made on a noisy machine, too.
    let neighbours: Vec<_> = (0..neighbours as u64)
        .map(|seed| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || disturb(&stop, seed))
        })
        .collect();
    let judged = judge(&program, &suites, &saved, runs);
    stop.store(true, Ordering::Relaxed);
    for neighbour in neighbours {
        if neighbour.join().is_err() {
            bail!("the neighbour died");
        }
    }
    judged
}

fn judge(program: &str, suites: &str, saved: &Path, runs: u32) -> anyhow::Result<bool> {
    // Exit status, and what the program said last.
    let bench = |arguments: &[&str]| -> anyhow::Result<(i32, String)> {
        let output = Command::new(program)
            .args(["bench", "--quick", "--suite", suites])
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("the program does not start")?
            .wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().last().unwrap_or_default().to_owned();
        let code = output.status.code().context("the program was killed")?;
        Ok((code, said))
    };
    let path = saved.to_str().context("a path that is text")?;
    let (code, said) = bench(&["--save", path])?;
    if code != 0 {
        bail!("the measurement to compare with failed: {said}");
    }
    let started = Instant::now();
    let (mut passed, mut caught) = (0, 0);
    for run in 1..=runs {
        let (unchanged, said) = bench(&["--compare", path])?;
        let (slowed, _) = bench(&["--compare", path, "--slow-down", "1.2"])?;
        passed += u32::from(unchanged == 0);
        caught += u32::from(slowed == 1);
        println!(
            "{run:>3}: unchanged {} · slowed {} · so far {passed} passed, {caught} caught, {:.0} s",
            if unchanged == 0 {
                "passes"
            } else {
                "FALSE ALARM"
            },
            if slowed == 1 { "caught" } else { "MISSED" },
            started.elapsed().as_secs_f64()
        );
        if unchanged != 0 {
            println!("     {said}");
        }
    }
    let least = (f64::from(runs) * RIGHT).ceil() as u32;
    println!(
        "{passed} of {runs} unchanged builds pass, {caught} of {runs} slowed ones are caught; {least} are wanted of each"
    );
    Ok(passed >= least && caught >= least)
}

/// Fills processors and caches for a while, rests for a while, again and again.
fn disturb(stop: &AtomicBool, seed: u64) {
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![1_u8; WALKED_BYTES];
    while !stop.load(Ordering::Relaxed) {
        let until = Instant::now() + Duration::from_millis(chance.u64(50..LONGEST_BURST_MS));
        while Instant::now() < until {
            for _ in 0..10_000 {
                let at = chance.usize(..bytes.len());
                bytes[at] = bytes[at].wrapping_mul(31).wrapping_add(7);
            }
        }
        thread::sleep(Duration::from_millis(chance.u64(50..LONGEST_BURST_MS)));
    }
    std::hint::black_box(bytes);
}

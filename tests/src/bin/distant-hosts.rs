//! How `imgsweep run` fares with hosts that are far away, and with hosts that hold rows up.
//!
//! `distant-hosts` prints, for several concurrencies over 400 hosts 100 ms away, rows a second beside what that concurrency could reach
//! at most. `distant-hosts stuck` prints how long 9,000 rows take alone and among 1,000 more, half of which lie on a host that answers
//! no SYN and half on one that sends a byte a second. Needs the `imgsweep` command in the same folder.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::fmt::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail, ensure};
use domain::{Outcome, ResultRow};
use sample_origin::{Corpus, Origin, OriginOptions};

const HOSTS: u16 = 400;
const LATENCY: Duration = Duration::from_millis(100);
/// Concurrencies measured, and how long each should take at its best: long enough that asking every host for its robots.txt, and waiting
/// for the last rows, is a small part of it.
const CONCURRENCIES: [usize; 3] = [64, 256, 1_024];
const SECONDS: usize = 15;
const ROUNDS: usize = 3;
/// The share of the most a concurrency could reach that is asked for.
const ASKED: f64 = 0.9;
const IMAGE: &str = "plain.jpeg";

const GOOD_ROWS: usize = 9_000;
const STUCK_ROWS: usize = 1_000;
const STUCK_CONCURRENCY: usize = 256;
/// How much longer the good rows may take among the others.
const ALLOWED: f64 = 1.2;

fn main() -> anyhow::Result<()> {
    let bench = Bench::start()?;
    match std::env::args().nth(1).as_deref() {
        None => bench.latency(),
        Some("stuck") => bench.stuck(),
        Some(other) => bail!("{other} is not something this benchmark does"),
    }
}

struct Bench {
    origin: Origin,
    command: PathBuf,
    folder: tempfile::TempDir,
}

/// What a run of the command took.
struct Run {
    began: SystemTime,
    wall: Duration,
    /// Processor time of the command.
    cpu: Duration,
    rows: Vec<ResultRow>,
}

impl Bench {
    fn start() -> anyhow::Result<Self> {
        let options = OriginOptions {
            latency: LATENCY,
            further_hosts: HOSTS,
            ..OriginOptions::default()
        };
        let command = std::env::current_exe()?.with_file_name("imgsweep");
        ensure!(
            command.exists(),
            "{} is missing: build it with the same profile",
            command.display()
        );
        Ok(Self {
            origin: Origin::start_with(Arc::new(Corpus::variants(1, 96, 64)), options)?,
            command,
            folder: tempfile::tempdir()?,
        })
    }

    fn latency(&self) -> anyhow::Result<()> {
        let processors = std::thread::available_parallelism()?.get();
        println!(
            "{HOSTS} hosts {} ms away, medians of {ROUNDS} rounds, {processors} processors",
            LATENCY.as_millis()
        );
        println!(
            "concurrency      rows     rows/s  at most    ratio  processors busy  rows a processor second"
        );
        for concurrency in CONCURRENCIES {
            let at_most = concurrency as f64 / LATENCY.as_secs_f64();
            let rows = at_most as usize * SECONDS;
            let list = self.list(&self.good_urls(rows))?;
            let mut rates = Vec::new();
            let mut busy = Vec::new();
            for _ in 0..ROUNDS {
                let run = self.run(&list, concurrency)?;
                ensure!(run.rows.len() == rows, "{} of {rows} rows", run.rows.len());
                let failed = run.rows.iter().find(|row| row.outcome != Outcome::Ok);
                ensure!(failed.is_none(), "{failed:?}");
                rates.push(rows as f64 / run.wall.as_secs_f64());
                busy.push(run.cpu.as_secs_f64() / run.wall.as_secs_f64());
            }
            let rate = median(&mut rates);
            let busy = median(&mut busy);
            println!(
                "{concurrency:>11} {rows:>9} {rate:>10.0} {at_most:>8.0} {:>8.2} {busy:>16.2} {:>24.0}{}",
                rate / at_most,
                rate / busy,
                if rate >= ASKED * at_most {
                    ""
                } else {
                    "  below what is asked for"
                }
            );
        }
        Ok(())
    }

    fn stuck(&self) -> anyhow::Result<()> {
        let hole = black_hole()?;
        let good = self.good_urls(GOOD_ROWS);
        let mut mixed = Vec::new();
        for (number, url) in good.iter().enumerate() {
            mixed.push(url.clone());
            // One in ten, spread over the list, in turn on either of the two hosts.
            if number % (GOOD_ROWS / STUCK_ROWS) == 0 {
                mixed.push(if number % 2 == 0 {
                    format!("http://{}/{number}.jpeg", hole.address)
                } else {
                    self.origin
                        .url_on(HOSTS, &format!("/drip/1/{IMAGE}?row={number}"))
                });
            }
        }
        let (alone, among) = (self.list(&good)?, self.list(&mixed)?);
        let mut ratios = Vec::new();
        println!(
            "{GOOD_ROWS} rows alone and among {STUCK_ROWS} stuck ones, concurrency {STUCK_CONCURRENCY}"
        );
        for _ in 0..ROUNDS {
            let alone = self.run(&alone, STUCK_CONCURRENCY)?;
            let among = self.run(&among, STUCK_CONCURRENCY)?;
            let (without, with) = (good_rows_took(&alone)?, good_rows_took(&among)?);
            println!(
                "alone {:>6.2} s, among the others {:>6.2} s, ratio {:.2}; with the others done {:.1} s",
                without.as_secs_f64(),
                with.as_secs_f64(),
                with.as_secs_f64() / without.as_secs_f64(),
                among.wall.as_secs_f64(),
            );
            ratios.push(with.as_secs_f64() / without.as_secs_f64());
        }
        let ratio = median(&mut ratios);
        println!("median ratio {ratio:.2}, allowed {ALLOWED}");
        Ok(())
    }

    /// Distinct URLs of a good image, over all hosts but the last in turn.
    fn good_urls(&self, rows: usize) -> Vec<String> {
        let hosts = usize::from(HOSTS) - 1;
        let url = |row: usize| {
            let host = (1 + row % hosts) as u16;
            self.origin
                .url_on(host, &format!("/image/{IMAGE}?row={row}"))
        };
        (0..rows).map(url).collect()
    }

    fn list(&self, urls: &[String]) -> anyhow::Result<PathBuf> {
        let mut text = String::new();
        for url in urls {
            writeln!(text, "{url}")?;
        }
        let path = self.folder.path().join(format!("list-{}.txt", urls.len()));
        std::fs::write(&path, text)?;
        Ok(path)
    }

    fn run(&self, list: &Path, concurrency: usize) -> anyhow::Result<Run> {
        let out = tempfile::tempdir_in(self.folder.path())?;
        let cpu_before = children_cpu()?;
        let (began, started) = (SystemTime::now(), Instant::now());
        let status = Command::new(&self.command)
            .arg("run")
            .arg(list)
            .arg("-o")
            .arg(out.path())
            .args(["--allow-private", "127.0.0.0/8"])
            .args(["--concurrency", &concurrency.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        let wall = started.elapsed();
        ensure!(status.success(), "the command ended with {status}");
        let table = std::fs::read_to_string(out.path().join("results.ndjson"))?;
        let rows: Result<Vec<ResultRow>, _> = table.lines().map(serde_json::from_str).collect();
        Ok(Run {
            began,
            wall,
            cpu: children_cpu()?.saturating_sub(cpu_before),
            rows: rows?,
        })
    }
}

/// From the start of the command to the end of the last good row.
fn good_rows_took(run: &Run) -> anyhow::Result<Duration> {
    let good = run.rows.iter().filter(|row| row.outcome == Outcome::Ok);
    ensure!(
        good.clone().count() == GOOD_ROWS,
        "{} good rows",
        good.count()
    );
    let last = good.filter_map(|row| row.fetched_at).max();
    let last: SystemTime = last.context("no row was fetched")?.into();
    Ok(last.duration_since(run.began)?)
}

/// An address whose queue of connections is full and that nobody accepts from.
struct BlackHole {
    address: std::net::SocketAddr,
    _listener: TcpListener,
    _queued: Vec<std::net::TcpStream>,
}

fn black_hole() -> anyhow::Result<BlackHole> {
    // The shortest queue there is takes a socket option that the standard library does not set.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let listener = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(([127, 1, 0, 1], 0).into())?;
        socket.listen(0)?.into_std()
    })?;
    let address = listener.local_addr()?;
    let mut queued = Vec::new();
    while let Ok(stream) =
        std::net::TcpStream::connect_timeout(&address, Duration::from_millis(300))
    {
        queued.push(stream);
        ensure!(queued.len() < 1_000, "the queue has no end");
    }
    Ok(BlackHole {
        address,
        _listener: listener,
        _queued: queued,
    })
}

/// Processor time of all ended child processes (Linux, `proc_pid_stat(5)`, fields 16 and 17).
fn children_cpu() -> anyhow::Result<Duration> {
    /// Clock ticks a second, the same on every Linux of today.
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The second field is the name, in parentheses and with any character in it.
    let (_, after_name) = stat.rsplit_once(')').context("the system does not tell")?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |field: usize| -> anyhow::Result<f64> {
        Ok(fields.get(field - 3).context("a field")?.parse()?)
    };
    Ok(Duration::from_secs_f64((ticks(16)? + ticks(17)?) / TICKS))
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

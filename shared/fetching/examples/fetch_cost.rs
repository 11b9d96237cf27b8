//! What a fetch costs in processor time, beside a loop over bare sockets. The host runs in a process of its own:
//!
//! ```text
//! cargo run --profile demo -p sample-origin --example serve -- 2000 bench 8090 > urls.csv &
//! cargo run --profile demo -p fetching --example fetch_cost -- urls.csv 64 5
//! ```
//!
//! Arguments: the file with one URL a line, requests at once, rounds over the file. Every URL has to be on one host, and allowed by
//! its robots.txt.

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use domain::Limits;
use fetching::{Enough, FetchMode, FetchOptions, Fetcher, TargetUrl};
use futures::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

type Failure = Box<dyn Error>;

/// Enough for the header of nearly every image.
const PREFIX_BYTES: usize = 4096;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or("name a file with URLs")?;
    let concurrency: usize = arguments.next().map_or(Ok(64), |text| text.parse())?;
    let rounds: usize = arguments.next().map_or(Ok(3), |text| text.parse())?;
    let text = fs::read_to_string(file)?;
    let lines: Vec<&str> = text.lines().collect();

    let limits = Limits::default();
    parse(&lines, &limits)?;
    let urls: Result<Vec<_>, _> = lines
        .iter()
        .map(|line| TargetUrl::parse(line, &limits))
        .collect();
    let urls = urls?;
    let options = FetchOptions {
        max_concurrent: concurrency,
        max_concurrent_per_host: concurrency,
        allow_private: vec!["127.0.0.0/8".parse()?],
        ..FetchOptions::default()
    };
    let fetcher = Fetcher::new(&limits, options)?;
    for _ in 0..rounds {
        let meter = Meter::start()?;
        let bytes = raw(&lines, concurrency).await?;
        meter.stop("bare sockets", lines.len(), bytes)?;

        let meter = Meter::start()?;
        let bytes = fetch(&fetcher, &urls, FetchMode::Whole, concurrency).await?;
        meter.stop("whole", lines.len(), bytes)?;

        let meter = Meter::start()?;
        let is_enough = |prefix: &[u8]| {
            if prefix.len() < PREFIX_BYTES {
                Enough::No
            } else {
                Enough::Yes
            }
        };
        let bytes = fetch(&fetcher, &urls, FetchMode::Prefix(&is_enough), concurrency).await?;
        meter.stop("prefix", lines.len(), bytes)?;
    }
    Ok(())
}

fn parse(lines: &[&str], limits: &Limits) -> Result<(), Failure> {
    const ROUNDS: usize = 100;
    let meter = Meter::start()?;
    let mut bytes = 0;
    for _ in 0..ROUNDS {
        for line in lines {
            bytes += TargetUrl::parse(line, limits)?.canonical().len();
        }
    }
    meter.stop("parse only", ROUNDS * lines.len(), bytes)
}

async fn fetch(
    fetcher: &Fetcher,
    urls: &[TargetUrl],
    mode: FetchMode<'_>,
    concurrency: usize,
) -> Result<usize, Failure> {
    let mut fetches = futures::stream::iter(urls)
        .map(|url| fetcher.fetch(url, None, mode))
        .buffer_unordered(concurrency);
    let mut bytes = 0;
    while let Some(fetched) = fetches.next().await {
        bytes += fetched.result?.len();
    }
    Ok(bytes)
}

/// Asks for every URL over `concurrency` connections and drops the bodies: what no client can beat.
async fn raw(lines: &[&str], concurrency: usize) -> Result<usize, Failure> {
    let shares = lines
        .chunks(lines.len().div_ceil(concurrency))
        .map(raw_share);
    let shares: Result<Vec<usize>, Failure> = futures::future::join_all(shares)
        .await
        .into_iter()
        .collect();
    Ok(shares?.iter().sum())
}

async fn raw_share(lines: &[&str]) -> Result<usize, Failure> {
    let mut stream: Option<TcpStream> = None;
    let mut buffer = vec![0; 64 * 1024];
    let mut total = 0;
    for line in lines {
        let (host, path) = line
            .trim_start_matches("http://")
            .split_once('/')
            .ok_or("no path")?;
        let connection = match &mut stream {
            Some(open) => open,
            none => none.insert(TcpStream::connect(host).await?),
        };
        let request = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        connection.write_all(request.as_bytes()).await?;
        let mut filled = 0;
        let (mut left, body) = loop {
            filled += connection.read(&mut buffer[filled..]).await?;
            if let Some(head) = buffer[..filled]
                .windows(4)
                .position(|four| four == b"\r\n\r\n")
            {
                let length = content_length(&buffer[..head])?;
                break (length - (filled - head - 4), length);
            }
        };
        while left > 0 {
            left -= connection.read(&mut buffer).await?;
        }
        total += body;
    }
    Ok(total)
}

fn content_length(head: &[u8]) -> Result<usize, Failure> {
    let head = std::str::from_utf8(head)?.to_ascii_lowercase();
    let (_, length) = head.split_once("content-length: ").ok_or("no length")?;
    Ok(length.lines().next().unwrap_or_default().parse()?)
}

/// Measures wall time, and processor time of this process.
struct Meter {
    started: Instant,
    cpu: Duration,
}

impl Meter {
    fn start() -> Result<Self, Failure> {
        Ok(Self {
            started: Instant::now(),
            cpu: processor_time()?,
        })
    }

    fn stop(self, what: &str, urls: usize, bytes: usize) -> Result<(), Failure> {
        let cpu = processor_time()?.saturating_sub(self.cpu);
        let wall = self.started.elapsed().as_secs_f64();
        let cpu_ms = cpu.as_secs_f64() * 1000.0 / urls as f64;
        let rate = urls as f64 / wall;
        writeln!(
            io::stdout(),
            "{what:12} {cpu_ms:9.5} CPU-ms/URL {rate:11.0} URLs/s {:9.1} MB",
            bytes as f64 / 1e6
        )?;
        Ok(())
    }
}

/// User and system time so far, from Linux's `/proc/self/stat` in its hundredths of a second.
fn processor_time() -> Result<Duration, Failure> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(") ").ok_or("an odd stat file")?;
    let mut ticks = fields.split(' ').skip(11).map(str::parse::<u64>);
    let user = ticks.next().ok_or("no user time")??;
    let system = ticks.next().ok_or("no system time")??;
    Ok(Duration::from_millis((user + system) * 10))
}

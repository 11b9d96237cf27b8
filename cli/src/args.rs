//! What a person can type. Raw text becomes typed values here and nowhere else.

pub mod bench;
pub mod cache;
pub mod doctor;
pub mod export;
pub mod plan;
pub mod remote;
pub mod token;
pub mod vision;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use domain::{BatchOptions, DuplicateOptions, Limits, ListFormat, MeasureMode, Positions};
use fetching::{FetchOptions, Robots};
use http::HeaderValue;
use ipnet::IpNet;
use pipeline::memory_watch::available_bytes;

use self::vision::{LabelArgs, VisionArgs};
use crate::engine::TuningSettings;

/// Images are mostly small and hosts mostly far away: enough requests under way to keep two processors busy at 100 ms.
const DEFAULT_CONCURRENCY: usize = 128;
/// What one host is asked for at once.
const DEFAULT_PER_HOST: usize = 16;
/// Longest list that `serve` takes in one request, in bytes.
const SERVE_MAX_UPLOAD_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// Checks every image of a list: whether it loads, what it is, whether it is any good.
#[derive(Debug, Parser)]
#[command(name = "imgsweep", version, about, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check the images of a list on this machine
    #[command(
        after_help = "Examples:\n  imgsweep run products.csv -o checked --format ndjson,csv\n  zcat urls.txt.gz | imgsweep run - --json\n\n\
        Interrupted? The same command with the same -o goes on where it stopped.\n\
        Exit status: 0 the batch ended, 1 it could not, 2 bad arguments."
    )]
    Run(RunArgs),
    /// See it work: a small generated corpus on a loop-back host, good, broken and hostile
    #[command(after_help = "Example:\n  imgsweep demo --once")]
    Demo(DemoArgs),
    /// Serve the HTTP API on this machine
    #[command(
        after_help = "Example:\n  imgsweep serve --port 8080 --data ./imgsweep-data\n  \
        curl -H \"Authorization: Bearer $TOKEN\" -F file=@list.csv -F batch_name=first http://127.0.0.1:8080/upload"
    )]
    Serve(ServeArgs),
    /// Write the result table of a run, also while it runs: other formats, some columns, some rows
    #[command(
        after_help = "Examples:\n  imgsweep export checked --format parquet,csv --where outcome=ok --columns row,url,width,height,extra\n  \
        imgsweep export checked --format parquet --partition outcome -o table\n\n\
        Conditions: outcome=ok, issues!=blurry, width>=500, format=jpeg|png, duplicate_of= (is empty). Several have all to be met.\n\
        Interrupted? The same command goes on where it stopped."
    )]
    Export(export::ExportArgs),
    /// Hand a list in at a server
    #[command(
        after_help = "Examples:\n  imgsweep submit products.csv --endpoint https://imgsweep.example --token $TOKEN --wait\n  \
        imgsweep submit products.csv --preview\n  \
        zcat urls.txt.gz | imgsweep submit - --name nightly --rules google-merchant,catalogue"
    )]
    Submit(remote::SubmitArgs),
    /// Say how the batches of a server are
    #[command(
        after_help = "Examples:\n  imgsweep status\n  imgsweep status 01JD3Q5W4RZ6N8T0V2X4Y6B8C0 --wait"
    )]
    Status(remote::StatusArgs),
    /// Print result rows of a server's batch as NDJSON
    #[command(
        after_help = "Example:\n  imgsweep results 01JD3Q5W4RZ6N8T0V2X4Y6B8C0 --outcome timeout --limit 20"
    )]
    Results(remote::ResultsArgs),
    /// Fetch rows of a server's batch again
    #[command(
        after_help = "Example:\n  imgsweep retry 01JD3Q5W4RZ6N8T0V2X4Y6B8C0 --outcome timeout,server_error --wait"
    )]
    Retry(remote::RetryArgs),
    /// Stop a batch of a server
    #[command(after_help = "Example:\n  imgsweep cancel 01JD3Q5W4RZ6N8T0V2X4Y6B8C0")]
    Cancel(remote::CancelArgs),
    /// List the rule packs that come with the program, or print one
    #[command(
        after_help = "Examples:\n  imgsweep rules\n  imgsweep rules template > my.toml\n  imgsweep run list.csv --rules google-merchant,my.toml"
    )]
    Rules(RulesArgs),
    /// Say what a list would cost on AWS and how long it would take
    #[command(
        after_help = "Examples:\n  imgsweep plan --urls 15000000 --bytes 150k --latency 300ms --cpu 6ms\n  \
        imgsweep plan --urls 2M --environment production\n  imgsweep plan --urls 2M --from-run checked --simulate"
    )]
    Plan(plan::PlanArgs),
    /// Make, list and revoke tokens of a server
    #[command(
        after_help = "Examples:\n  imgsweep token create --name catalogue --scope write\n  \
        imgsweep token list --endpoint https://imgsweep.example --token $ADMIN\n  imgsweep token revoke --name catalogue"
    )]
    Token(token::TokenArgs),
    /// Look after the answers that all runs on this machine share
    Cache(cache::CacheArgs),
    /// Measure this program on this machine, compare with an earlier measurement, or put a server under load
    #[command(
        after_help = "Examples:\n  imgsweep bench --quick --save before.json\n  imgsweep bench --quick --compare before.json\n  \
        imgsweep bench --sweep\n  imgsweep bench --scenario normal --endpoint http://127.0.0.1:8080 --token $TOKEN\n  \
        imgsweep bench --scenario upload --duration 30s\n\nWithout --endpoint a scenario starts a server of its own for the time of the measurement."
    )]
    Bench(bench::BenchArgs),
    /// Look whether this machine, a planned stack or a running one is fit for the work, and say what to do where it is not
    #[command(
        after_help = "Examples:\n  imgsweep doctor\n  imgsweep doctor --environment production --account-concurrency 1000\n  \
        imgsweep doctor --endpoint https://imgsweep.example --token $TOKEN\n\nExit status: 0 nothing grave, 1 something grave, 2 bad arguments."
    )]
    Doctor(doctor::DoctorArgs),
}

/// `imgsweep run`
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The list: CSV, TSV, NDJSON or plain text, also compressed with gzip or zstd; `-` for standard input
    pub list: PathBuf,
    /// Folder for the results [default: `imgsweep-` and the list's name]
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Folder of an earlier run to compare with: unchanged images are not sent again, and each row says what became of it
    #[arg(long, value_name = "DIR")]
    pub since: Option<PathBuf>,
    /// Folder of an earlier run whose images count as well when duplicates are looked for (and those it counted itself)
    #[arg(long, value_name = "DIR")]
    pub duplicates_of: Option<PathBuf>,
    /// Rule packs to check every image against: google-merchant, google-merchant-apparel, amazon, ebay, open-graph, catalogue (every
    /// image once), or a TOML file of your own (`imgsweep rules template` prints one to begin with)
    #[arg(long, value_delimiter = ',', value_name = "PACKS")]
    pub rules: Vec<String>,
    /// Tables to write.
    #[command(flatten)]
    pub tables: export::TableArgs,
    /// Seconds between two lines about progress where there is no terminal [default: 10]
    #[arg(long, env = "PROGRESS_UPDATE_INTERVAL", value_name = "SECONDS", value_parser = seconds)]
    pub progress_interval: Option<Duration>,
    /// Print one JSON summary on standard output instead of the report
    #[arg(long)]
    pub json: bool,
    /// How to read the list.
    #[command(flatten)]
    pub list_options: ListArgs,
    /// How to fetch.
    #[command(flatten)]
    pub fetch: FetchArgs,
    /// What images show.
    #[command(flatten)]
    pub vision: VisionArgs,
    /// How images are labelled.
    #[command(flatten)]
    pub labels: LabelArgs,
}

/// `imgsweep rules`
#[derive(Debug, Args)]
pub struct RulesArgs {
    /// The pack to print as TOML, or `template`
    pub pack: Option<String>,
}

/// `imgsweep demo`
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// End after the report instead of leaving the API up; also when standard output is no terminal
    #[arg(long, env = "ONCE")]
    pub once: bool,
    /// Rows of the generated list
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(100..=100_000))]
    pub rows: u32,
    /// What the corpus is generated from
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// `imgsweep serve`
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Port to listen on; 0 for any free one
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    pub bind: std::net::IpAddr,
    /// Folder for lists, results and state
    #[arg(long, value_name = "DIR", default_value = "imgsweep-data")]
    pub data: PathBuf,
    /// Token that clients send; a new one is made up and printed when unset
    #[arg(long, env = "IMGSWEEP_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// What webhooks are signed with: `whsec_` and the Base64 of 24 to 64 random bytes; none are sent without it
    #[arg(
        long,
        env = "WEBHOOK_SECRET",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    pub webhook_secret: Option<String>,
    /// Longest list taken in one request, in bytes
    #[arg(long, default_value_t = SERVE_MAX_UPLOAD_BYTES)]
    pub max_upload_bytes: u64,
    /// Origin whose pages may ask, such as <https://tools.example> (repeatable) [default: none]
    #[arg(long, value_name = "ORIGIN", value_parser = origin)]
    pub cors_origin: Vec<HeaderValue>,
    /// Rows in a unit of work, for batches that do not say themselves
    #[arg(long, env = "CHUNK_SIZE", value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub chunk_size: Option<u32>,
    /// Days after its end that a batch is deleted with all its results, and after which indicators are forgotten [default: never]
    #[arg(long, env = "RETENTION_DAYS", value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3_650))]
    pub retention_days: Option<u32>,
    /// Requests in a minute that a token may make which has no quota of its own [default: no bound]
    #[arg(long, env = "REQUESTS_PER_MINUTE", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub requests_per_minute: Option<u32>,
    /// Lists that such a token may hand in on a day [default: no bound]
    #[arg(long, env = "UPLOADS_PER_DAY", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub uploads_per_day: Option<u32>,
    /// How to fetch.
    #[command(flatten)]
    pub fetch: FetchArgs,
    /// What images show.
    #[command(flatten)]
    pub vision: VisionArgs,
}

/// How to read a list.
#[derive(Debug, Args)]
#[command(next_help_heading = "List")]
pub struct ListArgs {
    /// Column with the URLs [default: found by its name or content]
    #[arg(long, value_name = "NAME")]
    pub url_column: Option<String>,
    /// How the list is written [default: told from its name or content]
    #[arg(long, value_enum)]
    pub list_format: Option<ListFormatArg>,
    /// Rows in a unit of work
    #[arg(long, env = "CHUNK_SIZE", value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub chunk_size: Option<u32>,
    /// How much of each image is looked at
    #[arg(long, value_enum, default_value = "fast")]
    pub measure: MeasureArg,
    /// Bits in which the perceptual hashes of near duplicates may differ
    #[arg(long, value_name = "BITS", default_value_t = 6, value_parser = clap::value_parser!(u32).range(0..=12))]
    pub duplicate_distance: u32,
    /// Positions in which images are compared: mirrored left to right too, or turned as well
    #[arg(long, value_enum, default_value = "upright")]
    pub duplicate_positions: PositionsArg,
}

impl ListArgs {
    /// The options of a batch.
    pub fn options(&self) -> BatchOptions {
        BatchOptions {
            url_column: self.url_column.clone(),
            list_format: self.list_format.map(ListFormat::from),
            chunk_size: self.chunk_size,
            measure: self.measure.into(),
            vision: None,
            since: None,
            duplicates: Some(self.duplicates())
                .filter(|wanted| *wanted != DuplicateOptions::default()),
            rules: Vec::new(),
            webhook: None,
        }
    }

    /// What counts as a near duplicate.
    pub fn duplicates(&self) -> DuplicateOptions {
        DuplicateOptions {
            distance: self.duplicate_distance,
            positions: self.duplicate_positions.into(),
            against: None,
        }
    }
}

/// How to fetch.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Fetching")]
pub struct FetchArgs {
    /// Requests under way at once
    #[arg(long, env = "MAX_CONCURRENT_REQUESTS", value_name = "N", default_value_t = DEFAULT_CONCURRENCY, value_parser = positive)]
    pub concurrency: usize,
    /// Let the requests under way at once follow what is measured, within LEAST-MOST; --concurrency is where it begins
    #[arg(long, env = "TUNE", value_name = "LEAST-MOST", num_args = 0..=1, default_missing_value = "8-1024", value_parser = tuning)]
    pub tune: Option<TuningSettings>,
    /// Requests under way at once to one host
    #[arg(long, env = "MAX_CONCURRENT_PER_HOST", value_name = "N", default_value_t = DEFAULT_PER_HOST, value_parser = positive)]
    pub per_host: usize,
    /// Open a private or special address range, such as 127.0.0.0/8 (repeatable)
    #[arg(long, value_name = "CIDR")]
    pub allow_private: Vec<IpNet>,
    /// Open a port beside 80 and 443 (repeatable)
    #[arg(long, env = "ALLOW_PORTS", value_name = "PORT", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..))]
    pub allow_port: Vec<u16>,
    /// A host that no list may point at, with its subdomains, such as the name of this server (repeatable)
    #[arg(long, env = "REFUSE_HOSTS", value_name = "HOST", value_delimiter = ',')]
    pub refuse_host: Vec<String>,
    /// Least seconds between the beginnings of two requests to one host [default: none]
    #[arg(long, env = "MIN_INTERVAL_PER_HOST", value_name = "SECONDS", value_parser = seconds)]
    pub per_host_interval: Option<Duration>,
    /// Seconds for one attempt, from its start to its last byte
    #[arg(long, env = "REQUEST_TIMEOUT", value_name = "SECONDS", value_parser = seconds)]
    pub request_timeout: Option<Duration>,
    /// Seconds for name look-up, TCP and TLS together
    #[arg(long, env = "CONNECT_TIMEOUT", value_name = "SECONDS", value_parser = seconds)]
    pub connect_timeout: Option<Duration>,
    /// Seconds of silence while a body is read
    #[arg(long, env = "READ_TIMEOUT", value_name = "SECONDS", value_parser = seconds)]
    pub read_timeout: Option<Duration>,
    /// Attempts at a row, the first included
    #[arg(long, env = "RETRY_ATTEMPTS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10))]
    pub attempts: Option<u32>,
    /// Longest body read, in bytes
    #[arg(long, env = "MAX_BODY_BYTES", value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..=1_073_741_824))]
    pub max_body_bytes: Option<u64>,
    /// Most pixels of an image, frames counted
    #[arg(long, env = "MAX_PIXELS", value_name = "PIXELS", value_parser = clap::value_parser!(u64).range(1..=1_073_741_824))]
    pub max_pixels: Option<u64>,
    /// Most redirects followed
    #[arg(long, env = "MAX_REDIRECTS", value_name = "N", value_parser = clap::value_parser!(u32).range(0..=20))]
    pub max_redirects: Option<u32>,
    /// Resident size in MB to stay below: at 80 % of it no further work is taken on [default: what the machine or its control group has]
    #[arg(long, env = "MEMORY_LIMIT_MB", value_name = "MB", value_parser = clap::value_parser!(u64).range(64..))]
    pub memory_limit_mb: Option<u64>,
    /// Whether robots.txt is obeyed
    #[arg(long, env = "ROBOTS", value_enum, default_value = "honor")]
    pub robots: RobotsArg,
    /// Whether images whose answer says `X-Robots-Tag: noai`, `noimageai` or `noindex` are left alone
    #[arg(long, env = "RESPECT_NOAI", value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub respect_noai: bool,
    /// What hosts are told who asks
    #[arg(long, env = "USER_AGENT", value_name = "TEXT")]
    pub user_agent: Option<String>,
}

impl FetchArgs {
    /// Resident size the process should stay below, in bytes; `None` only where nobody and nothing says.
    pub fn memory_limit_bytes(&self) -> Option<u64> {
        let asked = self.memory_limit_mb.map(|megabytes| megabytes << 20);
        asked.or_else(available_bytes)
    }

    /// The limits, with what was asked for in place of the defaults.
    pub fn limits(&self) -> Limits {
        let defaults = Limits::default();
        Limits {
            request_timeout: self.request_timeout.unwrap_or(defaults.request_timeout),
            connect_timeout: self.connect_timeout.unwrap_or(defaults.connect_timeout),
            read_timeout: self.read_timeout.unwrap_or(defaults.read_timeout),
            max_attempts: self.attempts.unwrap_or(defaults.max_attempts),
            max_body_bytes: self.max_body_bytes.unwrap_or(defaults.max_body_bytes),
            max_pixels: self.max_pixels.unwrap_or(defaults.max_pixels),
            max_redirects: self.max_redirects.unwrap_or(defaults.max_redirects),
            ..defaults
        }
    }

    /// What the fetcher is told.
    pub fn options(&self) -> FetchOptions {
        let defaults = FetchOptions::default();
        FetchOptions {
            max_concurrent: self.concurrency,
            max_concurrent_per_host: self.per_host,
            allow_private: self.allow_private.clone(),
            allow_ports: self.allow_port.clone(),
            refuse_hosts: self.refuse_host.clone(),
            min_interval_per_host: self.per_host_interval.unwrap_or_default(),
            robots: self.robots.into(),
            respect_noai: self.respect_noai,
            user_agent: self.user_agent.clone().unwrap_or(defaults.user_agent),
            ..FetchOptions::default()
        }
    }
}

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ListFormatArg {
    /// Comma-separated values
    Csv,
    /// Tab-separated values
    Tsv,
    /// One JSON object or string a line
    Ndjson,
    /// One URL a line
    Text,
}

impl From<ListFormatArg> for ListFormat {
    fn from(format: ListFormatArg) -> Self {
        match format {
            ListFormatArg::Csv => Self::Csv,
            ListFormatArg::Tsv => Self::Tsv,
            ListFormatArg::Ndjson => Self::Ndjson,
            ListFormatArg::Text => Self::Text,
        }
    }
}

/// How much of each image is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MeasureArg {
    /// Format and dimensions only; reads no more of the body than that takes
    Header,
    /// Every feature, by the cheapest decode that is good enough
    Fast,
    /// Every feature, from every pixel
    Full,
}

/// Positions in which images are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PositionsArg {
    /// As they are stored
    Upright,
    /// Also mirrored left to right
    Mirrored,
    /// Also mirrored and turned
    Turned,
}

impl From<PositionsArg> for Positions {
    fn from(positions: PositionsArg) -> Self {
        match positions {
            PositionsArg::Upright => Self::Upright,
            PositionsArg::Mirrored => Self::Mirrored,
            PositionsArg::Turned => Self::Turned,
        }
    }
}

impl From<MeasureArg> for MeasureMode {
    fn from(measure: MeasureArg) -> Self {
        match measure {
            MeasureArg::Header => Self::Header,
            MeasureArg::Fast => Self::Fast,
            MeasureArg::Full => Self::Full,
        }
    }
}

/// Whether robots.txt is obeyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RobotsArg {
    /// Obeyed
    Honor,
    /// Not asked for
    Ignore,
}

impl From<RobotsArg> for Robots {
    fn from(robots: RobotsArg) -> Self {
        match robots {
            RobotsArg::Honor => Self::Honor,
            RobotsArg::Ignore => Self::Ignore,
        }
    }
}

fn tuning(text: &str) -> Result<TuningSettings, String> {
    let range = text.split_once('-');
    let range = range.and_then(|(least, most)| Some((least.parse().ok()?, most.parse().ok()?)));
    match range {
        Some((least, most)) if (1..=most).contains(&least) && most <= 4_000 => Ok(TuningSettings {
            least,
            most,
            window: TuningSettings::WINDOW,
        }),
        _ => Err("must be a range within 1-4000, such as 8-1024".to_owned()),
    }
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err("is not a number".to_owned()),
    }
}

fn origin(text: &str) -> Result<HeaderValue, String> {
    let text = text.trim_end_matches('/');
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
        .unwrap_or_default();
    if host.is_empty() || host.contains(['/', '?', '#', '@', '*']) {
        return Err("is no origin, such as https://tools.example".to_owned());
    }
    HeaderValue::from_str(text).map_err(|error| error.to_string())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "is not a number of seconds".to_owned())?;
    if !(0.001..=3_600.0).contains(&seconds) {
        return Err("must be from 0.001 to 3600 seconds".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_of_the_commands_is_sound() {
        Cli::command().debug_assert();
    }

    fn serve(arguments: &[&str]) -> Result<ServeArgs, clap::Error> {
        let all = ["imgsweep", "serve"].iter().chain(arguments);
        match Cli::try_parse_from(all)?.command {
            Command::Serve(args) => Ok(args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn how_to_fetch_reaches_the_fetcher() {
        let args = serve(&[
            "--allow-port=8080",
            "--allow-port=8443",
            "--refuse-host=own.example",
            "--per-host-interval=0.5",
            "--chunk-size=7",
            "--memory-limit-mb=100",
        ]);
        let args = args.unwrap();
        let options = args.fetch.options();
        assert_eq!(options.allow_ports, [8_080, 8_443]);
        assert_eq!(options.refuse_hosts, ["own.example"]);
        assert_eq!(options.min_interval_per_host, Duration::from_millis(500));
        assert_eq!(args.chunk_size, Some(7));
        assert_eq!(args.fetch.memory_limit_bytes(), Some(100 << 20));
    }

    #[test]
    fn memory_is_watched_without_being_asked_for() {
        let args = serve(&[]).unwrap();
        assert_eq!(args.fetch.memory_limit_bytes(), available_bytes());
        assert!(available_bytes().is_some());
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        for argument in [
            "--allow-port=0",
            "--attempts=0",
            "--attempts=11",
            "--chunk-size=0",
            "--max-body-bytes=0",
            "--max-pixels=0",
            "--max-redirects=21",
            "--per-host=0",
            "--per-host-interval=-1",
            "--memory-limit-mb=63",
        ] {
            assert!(serve(&[argument]).is_err(), "{argument}");
        }
    }
}

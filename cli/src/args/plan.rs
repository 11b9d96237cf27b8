//! `imgsweep plan`: what a list costs on AWS and how long it takes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use planning::facts::Prices;
use planning::workload::{Architecture, Environment, Pollers, Setup, Vision, Workload};

/// `imgsweep plan`
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Rows of the list
    #[arg(long, value_name = "N", value_parser = count)]
    pub urls: u64,
    /// Print the plan as JSON on standard output
    #[arg(long)]
    pub json: bool,
    /// Check the plan by simulating it, chunk by chunk
    #[arg(long)]
    pub simulate: bool,
    /// Look for the cheapest set-up that is done within this time
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "5m")]
    pub within: f64,
    /// Prices of another region: a file like the one this command comes with
    #[arg(long, value_name = "FILE")]
    pub prices: Option<PathBuf>,
    /// Take bytes, latency, hosts and processor time from a run of `imgsweep run -o DIR`
    #[arg(long, value_name = "DIR")]
    pub from_run: Option<PathBuf>,
    /// What the images are like.
    #[command(flatten)]
    pub images: ImageArgs,
    /// How the stack is set up.
    #[command(flatten)]
    pub stack: StackArgs,
    /// The vision stage.
    #[command(flatten)]
    pub vision: VisionArgs,
}

/// What the images are like.
#[derive(Debug, Args)]
#[command(next_help_heading = "Images")]
pub struct ImageArgs {
    /// Mean size of an image, such as 150k [default: 150k]
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub bytes: Option<f64>,
    /// Mean time to the first byte of an answer, such as 300ms [default: 300ms]
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub latency: Option<f64>,
    /// Processor time of one image, such as 6ms [default: 6ms]
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub cpu: Option<f64>,
    /// Different hosts in the list [default: 1000]
    #[arg(long, value_name = "N", value_parser = count)]
    pub hosts: Option<u64>,
    /// Bytes sent for one image: request, handshakes, acknowledgements [default: 4k]
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub egress: Option<f64>,
}

/// How the stack is set up.
#[derive(Debug, Args)]
#[command(next_help_heading = "Stack")]
pub struct StackArgs {
    /// A stack as it is deployed [default: one set up for 15 million rows in five minutes]
    #[arg(long, value_enum)]
    pub environment: Option<EnvironmentArg>,
    /// Rows in a chunk [default: 2000]
    #[arg(long, value_name = "ROWS", value_parser = count)]
    pub chunk_size: Option<u64>,
    /// Memory of the analyze function in MB; 1,769 are one vCPU [default: 1769]
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u64).range(128..=10_240))]
    pub memory: Option<u64>,
    /// Instruction set of the functions
    #[arg(long, value_enum, default_value = "arm64")]
    pub architecture: ArchitectureArg,
    /// Requests under way at once in one function [default: 128]
    #[arg(long, value_name = "N", value_parser = count)]
    pub requests: Option<u64>,
    /// Analyze functions at once: what the account's concurrency leaves for them [default: 950]
    #[arg(long, value_name = "N", value_parser = count)]
    pub functions: Option<u64>,
    /// Provisioned event pollers of the analyze queue; 0 for the standard ones [default: 100]
    #[arg(long, value_name = "N")]
    pub pollers: Option<u32>,
    /// Requests leave through a NAT gateway
    #[arg(long)]
    pub nat: bool,
}

/// The vision stage.
#[derive(Debug, Args)]
#[command(next_help_heading = "Vision")]
pub struct VisionArgs {
    /// Keys of the vision provider; 0 for no labelling
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub vision_keys: u32,
    /// Calls a minute that each key allows
    #[arg(long, value_name = "R", default_value_t = 60.0)]
    pub rpm: f64,
    /// Share of the rows that are a distinct image that loads
    #[arg(long, value_name = "SHARE", default_value_t = 0.7)]
    pub distinct: f64,
    /// Dollars for one call [default: what the file of prices says]
    #[arg(long, value_name = "USD")]
    pub vision_price: Option<f64>,
}

/// A stack as `make deploy ENVIRONMENT=…` sets it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EnvironmentArg {
    /// Chunks of 100 rows, four at once
    Development,
    /// Chunks of 1,000 rows, twenty at once
    Staging,
    /// Chunks of 2,000 rows, 900 at once, no provisioned pollers
    Production,
}

impl From<EnvironmentArg> for Environment {
    fn from(environment: EnvironmentArg) -> Self {
        match environment {
            EnvironmentArg::Development => Self::Development,
            EnvironmentArg::Staging => Self::Staging,
            EnvironmentArg::Production => Self::Production,
        }
    }
}

/// Instruction set of the functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ArchitectureArg {
    /// AWS Graviton
    Arm64,
    /// Intel or AMD
    #[value(name = "x86_64")]
    X86,
}

impl PlanArgs {
    /// What is to be done, where the arguments say nothing as in `measured`.
    pub fn workload(&self, measured: &Workload, prices: &Prices) -> Workload {
        let vision = (self.vision.vision_keys > 0).then_some(Vision {
            keys: self.vision.vision_keys,
            calls_per_minute: self.vision.rpm,
            distinct_share: self.vision.distinct,
            usd_per_call: self
                .vision
                .vision_price
                .unwrap_or_else(|| prices.vision_call_usd()),
        });
        Workload {
            urls: self.urls,
            body_bytes: self.images.bytes.unwrap_or(measured.body_bytes),
            latency_s: self.images.latency.unwrap_or(measured.latency_s),
            cpu_s: self.images.cpu.unwrap_or(measured.cpu_s),
            hosts: self.images.hosts.unwrap_or(measured.hosts),
            egress_bytes: self.images.egress.unwrap_or(measured.egress_bytes),
            vision,
            ..measured.clone()
        }
    }

    /// How the stack is set up.
    pub fn setup(&self) -> Setup {
        let stack = &self.stack;
        let defaults = stack.environment.map_or_else(Setup::default, |deployed| {
            Environment::from(deployed).setup()
        });
        Setup {
            chunk_size: stack.chunk_size.unwrap_or(defaults.chunk_size),
            memory_mb: stack.memory.unwrap_or(defaults.memory_mb),
            architecture: match stack.architecture {
                ArchitectureArg::Arm64 => Architecture::Arm64,
                ArchitectureArg::X86 => Architecture::X86_64,
            },
            requests: stack.requests.unwrap_or(defaults.requests),
            functions: stack.functions.unwrap_or(defaults.functions),
            pollers: match stack.pollers {
                None => defaults.pollers,
                Some(0) => Pollers::Standard,
                Some(at_least) => Pollers::Provisioned { at_least },
            },
            nat: stack.nat,
            ..defaults
        }
    }
}

fn count(text: &str) -> Result<u64, String> {
    let digits: String = text.chars().filter(|&c| c != ',' && c != '_').collect();
    match with_suffix(&digits, &[("k", 1e3), ("M", 1e6), ("B", 1e9)]) {
        Some(number) if number >= 1.0 => Ok(number as u64),
        _ => Err("must be a number from 1 up, such as 15000000 or 15M".to_owned()),
    }
}

fn bytes(text: &str) -> Result<f64, String> {
    let suffixes = [("kB", 1e3), ("k", 1e3), ("MB", 1e6), ("M", 1e6), ("B", 1.0)];
    with_suffix(text, &suffixes)
        .filter(|&bytes| bytes >= 1.0)
        .ok_or_else(|| "must be a number of bytes, such as 150k or 1.5M".to_owned())
}

fn seconds(text: &str) -> Result<f64, String> {
    let suffixes = [
        ("us", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3_600.0),
    ];
    with_suffix(text, &suffixes)
        .filter(|&seconds| seconds > 0.0)
        .ok_or_else(|| "must be a time with its unit, such as 300ms, 0.3s or 5m".to_owned())
}

/// A number with one of these suffixes, or none; the first that fits counts.
fn with_suffix(text: &str, suffixes: &[(&str, f64)]) -> Option<f64> {
    let fitting = suffixes.iter().find_map(|(suffix, factor)| {
        let number = text.strip_suffix(suffix)?;
        Some((number, factor))
    });
    let (number, factor) = fitting.unwrap_or((text, &1.0));
    let number: f64 = number.trim().parse().ok()?;
    number.is_finite().then_some(number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_with_their_units() {
        assert_eq!(count("15,000,000"), Ok(15_000_000));
        assert_eq!(count("1B"), Ok(1_000_000_000));
        assert_eq!(bytes("150k"), Ok(150_000.0));
        assert_eq!(bytes("150kB"), Ok(150_000.0));
        assert_eq!(seconds("6ms"), Ok(0.006));
        assert_eq!(seconds("5m"), Ok(300.0));
    }

    #[test]
    fn what_is_no_number_is_refused_with_an_example() {
        assert!(count("0").unwrap_err().contains("15M"));
        assert!(bytes("-1").unwrap_err().contains("150k"));
        assert!(seconds("ms").unwrap_err().contains("300ms"));
        assert!(seconds("inf").is_err());
    }
}

//! `imgsweep bench`

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

/// `imgsweep bench`
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Put a server under load instead of measuring this program's parts
    #[arg(long, value_enum, conflicts_with_all = ["suite", "quick", "save", "compare", "sweep", "slow_down"])]
    pub scenario: Option<ScenarioArg>,
    /// What to measure [default: all; with --quick all but scenarios]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub suite: Vec<SuiteArg>,
    /// Fewer cases and smaller ones: less than a minute
    #[arg(long)]
    pub quick: bool,
    /// Keep what was measured, every sample of it, with a description of this machine
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Compare with a file that --save wrote: exit status 1 when something takes 10 % more processor time, or fails more often
    #[arg(long, value_name = "FILE")]
    pub compare: Option<PathBuf>,
    /// Look for the best chunk size and concurrency, on hosts that are 20 ms away
    #[arg(long, conflicts_with_all = ["suite", "compare"])]
    pub sweep: bool,
    /// Waste so many times as much processor time on purpose: checks that --compare finds it
    #[arg(long, value_name = "FACTOR", value_parser = slow_down, default_value = "1", hide_default_value = true)]
    pub slow_down: f64,
    /// Address of the server [default: one of its own, started for the time of the measurement]
    #[arg(long, env = "IMGSWEEP_ENDPOINT", requires = "token")]
    pub endpoint: Option<String>,
    /// Token of scope write
    #[arg(long, env = "IMGSWEEP_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// How long it takes altogether, such as 90s, 10m or 1h [default: what the scenario says]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Rows of a list that is handed in
    #[arg(long, value_name = "ROWS", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rows: u32,
    /// Pause of a user between two requests
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub think: Duration,
    /// Print the figures as JSON
    #[arg(long)]
    pub json: bool,
}

impl BenchArgs {
    /// Whether the figures are to be compared with others, now or later.
    pub fn is_kept_or_compared(&self) -> bool {
        !self.sweep && (self.save.is_some() || self.compare.is_some())
    }
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SuiteArg {
    /// Images measured one by one, and a list of one row
    Single,
    /// Lists of 10, 100 and 1,000 rows through the whole pipeline
    Batch,
    /// 1, 2 and 4 workers with chunks of 25, 50 and 100 rows
    Workers,
    /// Answers put into the cache and taken out of it
    Cache,
    /// Messages, batches and commits of the embedded store
    Store,
    /// Requests to the HTTP API
    Api,
    /// Users who look at a batch
    Scenarios,
}

/// What users do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScenarioArg {
    /// 100 users look at batches, results and statistics, for five minutes
    Normal,
    /// From 50 to 500 users, for five minutes
    Stress,
    /// 50 users, then 1,000 at once, then 50 again, for three minutes
    Spike,
    /// 50 users, for an hour
    Endurance,
    /// 200 users who look and hand lists in, for five minutes
    Mixed,
    /// Lists handed in at 1, 10, 50 and 1 a second, each followed by a look at the statistics, for 40 minutes
    Upload,
    /// 1,000 users who follow one batch, and 50 lists a second that wait for their start, for a minute
    Pollers,
}

fn slow_down(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(factor) if (1.0..=10.0).contains(&factor) => Ok(factor),
        _ => Err("must be from 1 to 10".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: f64 = digits
        .parse()
        .map_err(|_| "is no time, such as 90s, 10m or 1h".to_owned())?;
    let seconds = match &text[digits.len()..] {
        "ms" => number / 1_000.0,
        "" | "s" => number,
        "m" => number * 60.0,
        "h" => number * 3_600.0,
        unit => return Err(format!("{unit:?} is no unit of time: ms, s, m or h")),
    };
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert!(duration("soon").is_err() && duration("3d").is_err());
    }
}

//! `imgsweep bench`

use std::time::Duration;

use clap::{Args, ValueEnum};

/// `imgsweep bench`
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// What to put the server under
    #[arg(long, value_enum)]
    pub scenario: ScenarioArg,
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

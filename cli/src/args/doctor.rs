//! `imgsweep doctor`: what to look at.

use std::path::PathBuf;

use clap::Args;

use super::plan::EnvironmentArg;

/// `imgsweep doctor`
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Folder that `run` or `serve` is to work on
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub data: PathBuf,
    /// Requests under way at once that this machine is to bear
    #[arg(long, value_name = "N", default_value_t = super::DEFAULT_CONCURRENCY, value_parser = super::positive)]
    pub concurrency: usize,
    /// Hold a stack as it would be deployed against the account's quotas
    #[arg(long, value_enum)]
    pub environment: Option<EnvironmentArg>,
    /// Concurrent executions that the account may have in its region
    #[arg(
        long,
        value_name = "N",
        requires = "environment",
        conflicts_with = "quotas"
    )]
    pub account_concurrency: Option<u64>,
    /// The same from a file: what `aws service-quotas list-service-quotas --service-code lambda` printed
    #[arg(long, value_name = "FILE", requires = "environment")]
    pub quotas: Option<PathBuf>,
    /// Address of a running server to look at
    #[arg(
        long,
        env = "IMGSWEEP_ENDPOINT",
        value_name = "URL",
        requires = "token"
    )]
    pub endpoint: Option<String>,
    /// Token of scope read
    #[arg(long, env = "IMGSWEEP_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Print the findings as JSON
    #[arg(long)]
    pub json: bool,
}

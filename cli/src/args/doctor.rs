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
    /// Folder of the answers that all runs share [default: imgsweep in the user's cache folder]
    #[arg(long, env = "CACHE_DIR", value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,
    /// Hold a stack as `make deploy` makes it against the account's quotas
    #[arg(long, value_enum, group = "stack")]
    pub environment: Option<EnvironmentArg>,
    /// Hold a stack as this template.yaml makes it against the account's quotas, and its numbers against each other
    #[arg(long, value_name = "FILE", group = "stack")]
    pub template: Option<PathBuf>,
    /// Parameters of the template, as `sam deploy` takes them: "Environment=production AnalyzeMaximumConcurrency=900"
    #[arg(
        long,
        value_name = "PAIRS",
        requires = "template",
        default_value = "",
        hide_default_value = true
    )]
    pub parameter_overrides: String,
    /// Concurrent executions that the account may have in its region
    #[arg(long, value_name = "N", requires = "stack", conflicts_with = "quotas")]
    pub account_concurrency: Option<u64>,
    /// The same from a file: what `aws service-quotas list-service-quotas --service-code lambda` printed
    #[arg(long, value_name = "FILE", requires = "stack")]
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

//! What can be asked of a server: `submit`, `status`, `results`, `retry`, `cancel`.

use std::path::PathBuf;

use clap::Args;
use domain::{BatchId, Issue, Outcome};

use super::ListArgs;
use super::vision::LabelArgs;

/// Where `imgsweep serve` listens when it is not told.
pub(super) const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:8080";

/// Which server, and who asks.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server")]
pub struct RemoteArgs {
    /// Address of a deployed stack or of `imgsweep serve`
    #[arg(
        long,
        env = "IMGSWEEP_ENDPOINT",
        value_name = "URL",
        default_value = DEFAULT_ENDPOINT
    )]
    pub endpoint: String,
    /// A token of that server
    #[arg(
        long,
        env = "IMGSWEEP_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    pub token: String,
}

/// `imgsweep submit`
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch that a person sets by itself"
)]
pub struct SubmitArgs {
    /// The list: CSV, TSV, NDJSON or plain text, also compressed with gzip or zstd; `-` for standard input
    pub list: PathBuf,
    /// What to call the batch [default: the list's name]
    #[arg(long)]
    pub name: Option<String>,
    /// Stay until the batch has ended
    #[arg(long)]
    pub wait: bool,
    /// Hand the list in and leave the batch to be started later
    #[arg(long, conflicts_with = "wait")]
    pub hold: bool,
    /// Only show how the list would be read: the column with the URLs and the first rows
    #[arg(long, conflicts_with_all = ["wait", "hold", "resume"])]
    pub preview: bool,
    /// Go on with a long list that was interrupted: the batch it was for
    #[arg(long, value_name = "ID", conflicts_with_all = ["name", "hold", "since", "duplicates_of", "rules", "webhook"])]
    pub resume: Option<BatchId>,
    /// An earlier batch to compare with: unchanged images are not sent again, and each row says what became of it
    #[arg(long, value_name = "ID")]
    pub since: Option<BatchId>,
    /// An earlier batch whose images count as well when duplicates are looked for (and those it counted itself)
    #[arg(long, value_name = "ID")]
    pub duplicates_of: Option<BatchId>,
    /// Rule packs to check every image against; `imgsweep rules` lists those there are, a TOML file may hold your own
    #[arg(long, value_delimiter = ',', value_name = "PACKS")]
    pub rules: Vec<String>,
    /// An address that is told, by a signed request, when the report is written
    #[arg(long, value_name = "URL")]
    pub webhook: Option<String>,
    /// How to read the list.
    #[command(flatten)]
    pub list_options: ListArgs,
    /// Have the server's model say what each image shows
    #[arg(long, help_heading = "What images show")]
    pub vision: bool,
    /// How images are labelled.
    #[command(flatten)]
    pub labels: LabelArgs,
    /// Which server.
    #[command(flatten)]
    pub server: RemoteArgs,
}

/// `imgsweep status`
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Which batch [default: all, newest first]
    pub batch: Option<String>,
    /// Stay until the batch has ended
    #[arg(long, requires = "batch")]
    pub wait: bool,
    /// Print what the server answers
    #[arg(long)]
    pub json: bool,
    /// Which server.
    #[command(flatten)]
    pub server: RemoteArgs,
}

/// `imgsweep results`
#[derive(Debug, Args)]
pub struct ResultsArgs {
    /// Which batch
    pub batch: String,
    /// Only rows that ended so
    #[arg(long)]
    pub outcome: Option<Outcome>,
    /// Only rows with this flaw
    #[arg(long)]
    pub issue: Option<Issue>,
    /// Only rows of this host
    #[arg(long)]
    pub host: Option<String>,
    /// At most so many rows
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// Which server.
    #[command(flatten)]
    pub server: RemoteArgs,
}

/// `imgsweep retry`
#[derive(Debug, Args)]
pub struct RetryArgs {
    /// Which batch
    pub batch: String,
    /// Ends of rows that are fetched again [default: all that are worth it]
    #[arg(long, value_delimiter = ',')]
    pub outcome: Vec<Outcome>,
    /// Stay until the batch has ended again
    #[arg(long)]
    pub wait: bool,
    /// Which server.
    #[command(flatten)]
    pub server: RemoteArgs,
}

/// `imgsweep cancel`
#[derive(Debug, Args)]
pub struct CancelArgs {
    /// Which batch
    pub batch: String,
    /// Which server.
    #[command(flatten)]
    pub server: RemoteArgs,
}

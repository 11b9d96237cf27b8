//! `imgsweep token`

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use domain::Scope;

/// `imgsweep token`
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: TokenAction,
}

/// What to do about tokens.
#[derive(Debug, Subcommand)]
pub enum TokenAction {
    /// Make a token and print it; it is not shown again
    Create(CreateArgs),
    /// List all tokens, revoked ones included
    List(ServerArgs),
    /// Let nobody in with a token any more
    Revoke(RevokeArgs),
}

/// `imgsweep token create`
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// What to call it: letters, digits, `_`, `.`, `@` and `-`
    #[arg(long)]
    pub name: String,
    /// Whose batches it makes and sees [default: its name]
    #[arg(long)]
    pub owner: Option<String>,
    /// What it is good for
    #[arg(long, value_enum)]
    pub scope: ScopeArg,
    /// Requests in a minute [default: the server's bound]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub requests_per_minute: Option<u32>,
    /// Lists handed in on a day [default: the server's bound]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub uploads_per_day: Option<u32>,
    /// Which server.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `imgsweep token revoke`
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// Which
    #[arg(long)]
    pub name: String,
    /// Which server.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Which server the tokens are of: one that is asked, or one whose data folder is here.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// Address of a server or deployed stack; needs a token of scope admin
    #[arg(long, env = "IMGSWEEP_ENDPOINT", requires = "token")]
    pub endpoint: Option<String>,
    /// Token of scope admin
    #[arg(long, env = "IMGSWEEP_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Data folder of `imgsweep serve`, whether that runs or not
    #[arg(long, value_name = "DIR", default_value = "imgsweep-data")]
    pub data: PathBuf,
}

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScopeArg {
    /// Look at batches, results and how the system is
    Read,
    /// Hand lists in, start, cancel, retry and delete as well
    Write,
    /// Make tokens and hold all work as well
    Admin,
}

impl From<ScopeArg> for Scope {
    fn from(scope: ScopeArg) -> Self {
        match scope {
            ScopeArg::Read => Self::Read,
            ScopeArg::Write => Self::Write,
            ScopeArg::Admin => Self::Admin,
        }
    }
}

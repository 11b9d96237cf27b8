//! The `imgsweep` command.

use std::process::ExitCode;

use clap::Parser;
use imgsweep::args::Cli;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error")),
        )
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
    imgsweep::dispatch(cli).await
}

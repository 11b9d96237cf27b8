//! The `imgsweep` command.

use std::process::ExitCode;

use clap::Parser;
use imgsweep::args::{Cli, Command};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    // Who serves wants to see what is slow or refused; who runs one list sees that in its report.
    let shown = if matches!(cli.command, Command::Serve(_)) {
        "warn"
    } else {
        "error"
    };
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(shown)),
        )
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
    imgsweep::dispatch(cli).await
}

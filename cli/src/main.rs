//! The `imgsweep` command.

use std::process::ExitCode;

use benchmarks::clock::keep_to_one_processor;
use clap::Parser;
use imgsweep::args::{Cli, Command};
use tokio::runtime::Runtime;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Command::Bench(args) = &cli.command
        && args.is_kept_or_compared()
    {
        // Threads have the processors of whoever starts them, so it is done before there are any.
        keep_to_one_processor();
    }
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
    match Runtime::new() {
        Ok(runtime) => runtime.block_on(imgsweep::dispatch(cli)),
        Err(error) => {
            eprintln!("imgsweep: no threads to work with: {error}");
            ExitCode::FAILURE
        }
    }
}

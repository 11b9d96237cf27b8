//! The commands, one file each.

mod bench;
mod cache;
mod demo;
mod doctor;
mod export;
pub(crate) mod plan;
mod remote;
mod rules;
mod run;
mod serve;
mod token;

use std::process::ExitCode;

use benchmarks::clock::keep_to_one_processor;
use clap::Parser;
use tokio::runtime::Runtime;
use tracing_subscriber::EnvFilter;

use crate::args::{Cli, Command};
use crate::list_run::OutputTaken;

/// The batch could not end.
const FAILED: u8 = 1;
/// What was typed cannot be done.
const BAD_ARGUMENTS: u8 = 2;

/// What was typed is well-formed and still cannot be done: a file that is not there, an address in use.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadArguments(pub(crate) String);

/// The command, from what was typed to its exit status.
pub fn main() -> ExitCode {
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
        Ok(runtime) => runtime.block_on(dispatch(cli)),
        Err(error) => {
            eprintln!("imgsweep: no threads to work with: {error}");
            ExitCode::from(FAILED)
        }
    }
}

/// Does what was asked for; on a fault says why, in a sentence, on standard error.
async fn dispatch(cli: Cli) -> ExitCode {
    let done = match cli.command {
        Command::Run(args) => Box::pin(run::run(args)).await,
        Command::Demo(args) => Box::pin(demo::demo(args)).await,
        Command::Serve(args) => Box::pin(serve::serve(args)).await,
        Command::Export(args) => export::export(args).await,
        Command::Submit(args) => Box::pin(remote::submit(&args)).await,
        Command::Status(args) => remote::status(&args).await,
        Command::Results(args) => remote::results(&args).await,
        Command::Retry(args) => remote::retry(&args).await,
        Command::Cancel(args) => remote::cancel(&args).await,
        Command::Rules(args) => rules::rules(&args),
        Command::Plan(args) => plan::plan(&args),
        Command::Token(args) => token::token(args).await,
        Command::Cache(args) => cache::cache(args).await,
        Command::Bench(args) => Box::pin(bench::bench(args)).await,
        Command::Doctor(args) => doctor::doctor(&args).await,
    };
    let Err(error) = done else {
        return ExitCode::SUCCESS;
    };
    eprintln!("imgsweep: {error:#}");
    let is_bad_arguments = error.is::<BadArguments>() || error.is::<OutputTaken>();
    ExitCode::from(if is_bad_arguments {
        BAD_ARGUMENTS
    } else {
        FAILED
    })
}

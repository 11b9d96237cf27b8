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

/// Does what was asked for; on a fault says why, in a sentence, on standard error.
pub async fn dispatch(cli: Cli) -> ExitCode {
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

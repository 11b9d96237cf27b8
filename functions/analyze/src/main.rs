//! `analyze`: fetches and measures the rows of a part.

mod context;
mod fragile;
mod handler;

use context::Context;
use lambda_runtime::service_fn;
use lambda_support::logging;

fn main() -> Result<(), lambda_runtime::Error> {
    logging::start();
    let context = Context::from_env()?;
    // Fetching shares the processors with decoding, which has threads of its own: a worker more would only take turns away.
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(context.processors)
        .enable_all()
        .build()?
        .block_on(lambda_runtime::run(service_fn(|event| {
            handler::handle(&context, event)
        })))
}

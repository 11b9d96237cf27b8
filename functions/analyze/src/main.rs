//! `analyze`: fetches and measures the rows of a part.

mod context;
mod fragile;
mod handler;

use context::Context;
use lambda_runtime::service_fn;
use lambda_support::logging;
use tokio::runtime::Builder;

fn main() -> Result<(), lambda_runtime::Error> {
    logging::start();
    let context = Context::from_env()?;
    runtime(context.processors)
        .enable_all()
        .build()?
        .block_on(lambda_runtime::run(service_fn(|event| {
            handler::handle(&context, event)
        })))
}

/// Fetching shares the processors with decoding, which has threads of its own: a worker more would only take turns away, and where there is one processor, handing
/// an event from thread to thread would take longer than what is done with it.
fn runtime(processors: usize) -> Builder {
    if processors == 1 {
        return Builder::new_current_thread();
    }
    let mut runtime = Builder::new_multi_thread();
    runtime.worker_threads(processors);
    runtime
}

//! `vision`: asks a model what the images of a part show.

mod context;
mod handler;

use context::Context;
use lambda_runtime::service_fn;
use lambda_support::logging;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    logging::start();
    let context = Context::from_env()?;
    lambda_runtime::run(service_fn(|event| handler::handle(&context, event))).await
}

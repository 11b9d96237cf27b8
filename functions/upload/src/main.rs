//! `upload`: serves the routes that take lists in, `POST /upload` and `POST /api/v1/batches`.
//!
//! Which routes lead here is the template's decision; the router is the same in both functions.

mod context;
mod handler;

use context::Context;
use lambda_support::logging;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    logging::start();
    let context = Context::from_env()?;
    lambda_http::run(handler::router(context)).await
}

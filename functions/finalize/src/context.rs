//! Everything outside the process.

use std::sync::Arc;

use lambda_support::notices::{Reporting, reporting};
use lambda_support::{ConfigurationError, Environment};
use pipeline::export::TableExporter;

/// What the handler works with.
pub(crate) struct Context {
    pub(crate) reporting: Reporting,
    pub(crate) exporter: Arc<dyn TableExporter>,
}

impl Context {
    /// Reads the environment; connects to nothing.
    pub(crate) fn from_env() -> Result<Self, ConfigurationError> {
        let reporting = reporting(Environment::of_process())?;
        Ok(Self {
            reporting,
            exporter: Arc::new(exports::Tables),
        })
    }
}

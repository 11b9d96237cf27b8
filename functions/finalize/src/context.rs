//! Everything outside the process.

use lambda_support::notices::{Reporting, reporting};
use lambda_support::{ConfigurationError, Environment};

/// What the handler works with.
pub(crate) struct Context {
    pub(crate) reporting: Reporting,
}

impl Context {
    /// Reads the environment; connects to nothing.
    pub(crate) fn from_env() -> Result<Self, ConfigurationError> {
        let reporting = reporting(Environment::of_process())?;
        Ok(Self { reporting })
    }
}
